"""uvicorn's HTTP protocol with what it lacks for strangers: limits on the head and on slow requests, and a way to cut a
connection off.
"""

import asyncio
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from playground.settings import Settings
from playground.web.api.stream import SCOPE_ABORT
from playground.web.http.errors import TooMany
from playground.web.http.hosts import ClientAddresses
from playground.web.http.rate_limits import CONNECTIONS, ConcurrencyLimit
from playground.workflows.errors import setting_sentence, setting_variable

REQUEST_LINE_BYTES = 64  # of the request line and line ends, beside its address and headers
URL_BYTES = 65_535  # httptools keeps places within an address in 16 bits; /new carries a source in its address

# Requests that may wait on a connection for the answers before them; thousands fit into one read, and each takes a
# kilobyte here.
PIPELINED_REQUESTS = 32

HEADERS_MAX = 200  # headers of a request
WRITE_PROGRESS_BYTES = (
    128 * 1024
)  # of a large answer that a client must at least take in the time that one may not read

OnRefused = Callable[[int, str, str], None]  # (status, the limit's setting or "", address of the peer)

_TOO_LONG = "The address is longer than 65,535 bytes. Send long code with POST /api/snippets."
_TOO_LARGE = "The address and headers of the request have more than {most:,} bytes. Send data in the body."
_TOO_MANY = f"The request has more than {HEADERS_MAX} headers. Send data in the body."
_NOT_HTTP = "This is no request of HTTP/1.1, or one that could be read in two ways."
_HOST_HEADER = re.compile(rb"[A-Za-z0-9._~-]{0,255}(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{0,5})?")
_RESPONSE_HEAD = (
    b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\ncache-control: no-store\r\n"
    b"x-content-type-options: nosniff\r\ncontent-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
)
_TOO_SLOW = (
    "The {what} of the request took longer than {seconds:g} s to arrive, which is the limit here. Send it again, or "
    "less at once."
)


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may cost: bytes and seconds of a request's head, seconds of its body and without taking an
    answer, and how many an address may have open.

    Proxies that are trusted bring many people's connections, so theirs are not counted. `refused` is told of each
    request that is refused here.
    """

    head_bytes: int
    head_seconds: float
    body_seconds: float
    send_seconds: float
    open: ConcurrencyLimit
    addresses: ClientAddresses
    on_refused: OnRefused

    @classmethod
    def from_settings(cls, settings: Settings, refused: OnRefused) -> "ConnectionLimits":
        """As the settings have it. Raises BadSetting."""
        return cls(
            head_bytes=settings.head_bytes,
            head_seconds=settings.head_seconds,
            body_seconds=settings.body_seconds,
            send_seconds=settings.stream_send_seconds,
            # Per node on purpose: a connection holds a descriptor and memory of this process.
            open=ConcurrencyLimit(settings.connections_per_address, CONNECTIONS, "connections_per_address"),
            addresses=ClientAddresses.parse(settings.trusted_proxies),
            on_refused=refused,
        )

    def counted_address(self, peer: Any) -> str | None:
        """The address that a connection counts for, or None."""
        host = peer[0] if isinstance(peer, tuple) else None
        return (
            None if host is None or self.addresses.is_trusted_proxy(host) else self.addresses.nearest_client(host, ())
        )


class _CloseDelimitedSend:
    """Sends an answer to a client of HTTP/1.0, which knows no chunks: the end of the connection ends the body.

    uvicorn (0.54) takes any answer without a length for chunked, so each part is passed off as having the right length.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = weakref.ref(cycle)  # which has this in its place of its own `send`, and must be freed at once
        self._no_length = False

    async def __call__(self, message: Any) -> None:
        cycle = self._cycle()
        assert cycle is not None, "it runs the application that calls this"
        if not cycle.response_started:
            self._no_length = not any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if self._no_length:
                cycle.chunked_encoding, cycle.keep_alive = False, False
        elif self._no_length:
            cycle.expected_content_length = len(message.get("body", b""))
        await RequestResponseCycle.send(cycle, message)


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, connections: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = connections
        self._counted_address: str | None = None
        self.url = b""
        self._unparsed_head_bytes = 0
        self._header_bytes = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        whose = self._limits.counted_address(transport.get_extra_info("peername"))
        if whose is not None:
            try:
                self._limits.open.acquire(whose)
            except TooMany as error:
                self._refuse(429, error.code, error.message, error.details["setting"], error.details["retry_after"])
                return
            self._counted_address = whose
        self._set_deadline(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_deadline(None)
        self._stop_write_timer()
        if self._counted_address is not None:
            self._limits.open.release(self._counted_address)
            self._counted_address = None
        super().connection_lost(exc)
        self._drop_references()

    def _drop_references(self) -> None:
        """Let go of everything, so that it is all freed at once: a timer would hold it for a minute, and a circle until
        the next collection of garbage.
        """
        self._unset_keepalive_if_required()  # which uvicorn leaves running after a reset
        self.pipeline.clear()
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]  # the scope knows our _abort

    def data_received(self, data: bytes) -> None:
        self._unparsed_head_bytes += len(data)
        super().data_received(data)
        most = self._limits.head_bytes
        if self._in_head and self._unparsed_head_bytes > most + REQUEST_LINE_BYTES:
            self._refuse(431, "too_large", _TOO_LARGE.format(most=most), "head_bytes")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.send_seconds, self._check_write_progress)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def _check_write_progress(self, before: int | None = None) -> None:
        """Cut off who takes nothing, or next to nothing, of what is held for it.

        An event stream sees to it by itself, earlier.
        """
        left = self.transport.get_write_buffer_size()
        if before is not None and left > before - WRITE_PROGRESS_BYTES:
            self._report_refusal(408, "stream_send_seconds")
            self._abort()
        else:
            self._write_timer = self.loop.call_later(self._limits.send_seconds, self._check_write_progress, left)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self.scope["extensions"] = {SCOPE_ABORT: self._abort}  # type: ignore[dict-item]  # ASGI allows any value
        self._in_head = True
        self._set_deadline(self._limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > URL_BYTES:
            raise ValueError("the address is too long")  # makes the parser stop; answered below

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > HEADERS_MAX:
            raise ValueError("too many headers")  # makes the parser stop; answered below
        self._header_bytes += len(name) + len(value) + 4  # with its colon, space and line end

    def send_400_response(self, msg: str) -> None:
        if len(self.url) > URL_BYTES:
            self._refuse(414, "too_large", _TOO_LONG, "head_bytes")
        elif len(self.headers or ()) > HEADERS_MAX:
            self._refuse(431, "too_large", _TOO_MANY, "")
        elif self._head_is_too_large():
            self._refuse(431, "too_large", _TOO_LARGE.format(most=self._limits.head_bytes), "head_bytes")
        else:
            self._refuse(400, "bad_request", _NOT_HTTP, "")

    def _head_is_too_large(self) -> bool:
        return self._header_bytes + len(self.url) > self._limits.head_bytes

    def on_headers_complete(self) -> None:
        if self._head_is_too_large():  # it came in one piece
            raise ValueError("the head is too large")  # makes the parser stop; answered above
        self._check_head()
        self._in_head = False
        self._unparsed_head_bytes = 0
        self._set_deadline(self._limits.body_seconds)
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0":
            self.cycle.send = _CloseDelimitedSend(self.cycle)  # type: ignore[method-assign]

    def _check_head(self) -> None:
        """What the parser lets pass and a proxy before it might read otherwise (RFC 9112, 3.2 and 2.3), or that costs
        too much. Raises ValueError.
        """
        version = self.parser.get_http_version()
        hosts = [value for name, value in self.headers if name == b"host"]
        if version not in ("1.0", "1.1") or len(hosts) > 1 or (version == "1.1" and not hosts):
            raise ValueError("not one host, or another version")  # makes the parser stop
        if hosts and not _HOST_HEADER.fullmatch(hosts[0]):
            raise ValueError("a host that is no name")
        if len(self.pipeline) >= PIPELINED_REQUESTS:
            raise ValueError("too many requests ahead of their answers")

    def on_message_complete(self) -> None:
        self._set_deadline(None)
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """A client that asks for WebSockets is answered over HTTP; that is nothing an operator must know."""

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._on_deadline)

    def _on_deadline(self) -> None:
        connections = self._limits
        if self._in_head:
            said = _TOO_SLOW.format(what="head", seconds=connections.head_seconds)
            # Browsers open connections ahead of need.
            self._refuse(408, "too_slow", said, "head_seconds" if self._unparsed_head_bytes else "")
            return
        if self.cycle is not None and not self.cycle.response_started:
            self._refuse(
                408, "too_slow", _TOO_SLOW.format(what="body", seconds=connections.body_seconds), "body_seconds"
            )
        self._abort(flush=True)

    def _refuse(self, status: int, code: str, message: str, setting: str, retry_after: int | None = None) -> None:
        self._set_deadline(None)
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not (self._in_head or cycle.response_started):
            details = ({"setting": setting, "variable": setting_variable(setting)} if setting else {}) | (
                {} if retry_after is None else {"retry_after": retry_after}
            )
            if setting and setting not in message:
                message = f"{message} {setting_sentence(setting)}"
            body = msgspec.json.encode({"error": {"code": code, "message": message, **details}})
            head = _RESPONSE_HEAD % len(body)
            if retry_after is not None:
                head += b"retry-after: %d\r\n" % retry_after
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
            if setting or self._unparsed_head_bytes:  # an idle connection that is closed is no request
                self._report_refusal(status, setting)
        self.transport.close()

    def _report_refusal(self, status: int, setting: str) -> None:
        peer = self.transport.get_extra_info("peername")
        self._limits.on_refused(
            status, setting, self._counted_address or str(peer[0] if isinstance(peer, tuple) else peer)
        )

    def _abort(self, *, flush: bool = False) -> None:
        """Cut the connection off.

        Closing would wait until the client has taken what is buffered, which it may never do: `flush` is for little.
        """
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not (flush and self.transport.is_closing()):
            self.transport.abort()
