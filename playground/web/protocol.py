"""uvicorn's HTTP protocol with what it lacks for strangers: limits on the head and on slow requests, and a way to cut a connection off."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from playground.web.stream import ABORT

ADDRESS_BYTES = 65_535  # httptools keeps places within an address in 16 bits; /new carries a source in its address
HEAD_BYTES = 128 * 1024  # request line and headers
HEAD_SECONDS = 15.0  # from a connection, or a request's first byte, to the end of its headers
BODY_SECONDS = 60.0  # from there to the end of its body

_TOO_LONG = b"The address is longer than 65,535 bytes. Send long code with POST /api/snippets."
_TOO_LARGE = b"The address and headers of the request are too large."
_TOO_SLOW = b"The request took too long to arrive."


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = b""
        self._head_bytes = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._within(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._within(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self._abort}  # type: ignore[dict-item]  # ASGI allows any value
        self._in_head = True
        self._within(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > ADDRESS_BYTES:
            raise ValueError("the address is too long")  # makes the parser stop; answered below

    def send_400_response(self, msg: str) -> None:
        if len(self.url) > ADDRESS_BYTES:
            self._refuse(414, _TOO_LONG)
        else:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._within(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._within(None)
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """A client that asks for WebSockets is answered over HTTP; that is nothing an operator must know."""

    def _within(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self._in_head:
            self._refuse(408, _TOO_SLOW)
        else:
            self._abort()

    def _refuse(self, status: int, words: bytes) -> None:
        self._within(None)
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(words)
            self.transport.write(STATUS_LINE[status] + head + words)
        self.transport.close()

    def _abort(self) -> None:
        """Cut the connection off. Closing would wait until the client has taken what is buffered, which it may never do."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.abort()
