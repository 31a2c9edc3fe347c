"""The live journal of one instance as Server-Sent Events: history, then what is committed, without a gap or a
duplicate.

    retry: 1000   event: hello    {server_time, last_seq, status}    at once
    id: 41        event: journal  [{event}, …, {event 41}]           one message per wake-up, its id that of the last
                  event: ping     {server_time}                      every 15 s
                  event: reset    an instance view, id its last_seq  the reader is ahead of the journal:
                                                                     begin anew from it
                  event: end      {status, last_seq}                 after the final event;
                                                                     asked again with nothing new: 204
    retry: 500    event: restart  {}                                 the server stops; come again

With a filter, only events of its types are sent, and the id of `end` is the last seq, so that who asks again gets the
204 too.

The values of a stream that steps append to come the same way (stream_values.py).

A reader pulls from the store by seq and is woken by it: no queue per client, so a slow one costs nothing but its
socket, and one that does not read is dropped. Stored JSON is sent as it is stored.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from playground.store import StoreError
from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.web.api.stream_source import Journal, Source, message
from playground.web.api.stream_values import Values
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound

RETRY_MS = 1_000
RETRY_AT_RESTART_MS = 500
PING_SECONDS = 15
PACE_SECONDS = 0.02  # a burst is gathered into a message per this time; what comes alone goes out at once, ...
AT_ONCE = 8  # ... and so do so many messages, which is what a run of a few steps takes
GRACE_SECONDS = 1.0  # to say goodbye when the server stops
DELETED = "deleted"  # said in `end` of an instance that is gone
SCOPE_ABORT = "playground.abort"  # where web/http/connections.py puts the connection's abort in the ASGI scope


class Streams:
    """Opens streams and ends them when the server stops. `dropped` counts those whose reader did not read."""

    def __init__(self, store: Store, now: Callable[[], int], send_seconds: float, log: Callable[..., None]) -> None:
        self._store, self._now, self._send_seconds, self._log = store, now, send_seconds, log
        self._bells: set[_Bell] = set()
        self._stopping = False
        self.dropped = 0

    def stop(self) -> None:
        """Say `restart` to every reader and close; streams opened later end at once."""
        self._stopping = True
        for bell in self._bells:
            bell.on_stop()

    def stream_response(
        self,
        row: InstanceRow,
        after: int,
        view: dict[str, Any] | None,
        leave: Callable[[], None],
        wanted: frozenset[str] | None = None,
    ) -> Response:
        """The stream of an instance after a seq; with `wanted`, of its events of these types.

        `view` is set when the reader is ahead; `leave` is called when it is over.
        """
        return self._response(row, Journal(self._store, row, after, view, wanted), leave)

    def values_response(self, row: InstanceRow, name: str, after: int, leave: Callable[[], None]) -> Response:
        """The values of one of an instance's streams after a seq (stream_values.py)."""
        return self._response(row, Values(self._store, row, name, after), leave)

    def _response(self, row: InstanceRow, source: Source, leave: Callable[[], None]) -> Response:
        def dropped() -> None:
            self.dropped += 1
            self._log("stream.dropped", instance=row.key, after_seconds=self._send_seconds)

        def closed() -> None:
            self._bells.discard(bell)
            leave()

        bell = _Bell()
        self._bells.add(bell)
        if self._stopping:
            bell.on_stop()
        return _StreamResponse(self._messages(row, source, bell), bell, self._send_seconds, closed, dropped)

    def _ping(self) -> bytes:
        return ServerSentEvent(json.dumps({"server_time": self._now()}), event="ping", sep="\n").encode()

    async def _messages(self, row: InstanceRow, source: Source, bell: "_Bell") -> AsyncGenerator[bytes]:
        hello = {"server_time": self._now(), "last_seq": row.last_seq, "status": row.status}
        ready = message("hello", hello, retry=RETRY_MS) + source.beginning
        final = row.status if row.status in ev.FINAL_STATUSES else ""
        pace = _LeakyBucket()
        try:
            async with self._listening(row.key, bell):
                while True:
                    batch = await source.read()
                    ready += batch.text
                    status = final = batch.final if batch.read_any else final
                    if not batch.read_any or (final and bell.has_heard_of(source.after + 1)):
                        status = await self._status(row)  # it may have been restarted or deleted
                    if status == DELETED or (final and status in ev.FINAL_STATUSES and not batch.more):
                        yield ready + source.end_message(status)
                        return
                    if ready:
                        yield ready
                        ready = b""
                        pace.count_message()
                    if batch.more:
                        continue
                    while not await bell.wait(source.after, PING_SECONDS):
                        yield self._ping()
                    if pace.delay():
                        await bell.wait_for_end(pace.delay())
                    if bell.stopping:
                        yield message("restart", {}, retry=RETRY_AT_RESTART_MS)
                    if bell.is_over:
                        return
        except StoreError as error:
            # The stream just ends: its reader reconnects, and is told then.
            self._log("unavailable", method="GET", route="a stream", error=f"{type(error).__name__}: {error}")

    @asynccontextmanager
    async def _listening(self, key: int, bell: "_Bell") -> AsyncIterator[None]:
        """Ring the bell for each commit to a journal, and for what it has: a read of large values ends early."""
        async with AsyncExitStack() as leaving:
            leaving.callback(self._store.listen(key, bell.on_growth))
            try:
                grown = await leaving.enter_async_context(self._store.subscribe(key))
                bell.on_growth(await grown(-1))
            except InstanceNotFound:
                bell.on_growth(None)
            yield

    async def _status(self, row: InstanceRow) -> str:
        try:
            return (await self._store.find(row.tenant, row.id)).status
        except InstanceNotFound:
            return DELETED


class _LeakyBucket:
    """Lets AT_ONCE messages out at once and then one per PACE_SECONDS: a burst becomes fewer, larger ones (the leaky
    bucket of ITU-T I.371).
    """

    def __init__(self) -> None:
        self._due = float("-inf")  # when the messages so far would have gone out, one per PACE_SECONDS

    def count_message(self) -> None:
        """A message went out now."""
        self._due = max(self._due, asyncio.get_running_loop().time()) + PACE_SECONDS

    def delay(self) -> float:
        """Seconds to wait before the next."""
        return max(0.0, self._due - (AT_ONCE - 1) * PACE_SECONDS - asyncio.get_running_loop().time())


class _Bell:
    """What one reader's stream waits for: its journal has grown, its reader has gone, the server stops.

    One future at a time and no task: a stream of a short run costs as much as what is done around its messages.
    """

    def __init__(self) -> None:
        self._last_seq = 0
        self._deleted = self.gone = self.stopping = False
        self._waiting: asyncio.Future[None] | None = None

    def on_growth(self, last_seq: int | None) -> None:
        """The journal has been committed to; None: its instance was deleted."""
        self._deleted = self._deleted or last_seq is None
        self._last_seq = max(self._last_seq, last_seq or 0)
        self._ring()

    def on_gone(self) -> None:
        """Nobody reads any more."""
        self.gone = True
        self._ring()

    def on_stop(self) -> None:
        """The server stops."""
        self.stopping = True
        self._ring()

    def has_heard_of(self, seq: int) -> bool:
        """Whether the journal is known to have this event, or to be deleted."""
        return self._deleted or self._last_seq >= seq

    async def wait(self, after: int, seconds: float) -> bool:
        """Until the journal is longer than `after` or the stream is over; False when so many seconds have passed."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while not (self.is_over or self.has_heard_of(after + 1)):
            if loop.time() >= due:
                return False
            await self._wait(due)
        return True

    async def wait_for_end(self, seconds: float) -> None:
        """Until the stream is over, so many seconds at most."""
        due = asyncio.get_running_loop().time() + seconds
        while not self.is_over and asyncio.get_running_loop().time() < due:
            await self._wait(due)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be sent of the journal."""
        return self.gone or self.stopping

    async def _wait(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = loop.call_at(due, self._ring)
        try:
            await self._waiting
        finally:
            timer.cancel()

    def _ring(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class _StreamResponse(EventSourceResponse):
    """sse-starlette's response without its four tasks a stream: the messages wait for the end and the next ping
    themselves, so one task that watches the connection is left. It is aborted when its reader does not read.
    """

    def __init__(
        self,
        messages: AsyncGenerator[bytes],
        bell: _Bell,
        send_seconds: float,
        closed: Callable[[], None],
        dropped: Callable[[], None],
    ) -> None:
        super().__init__(messages, send_timeout=send_seconds)
        del self.headers["connection"]  # what becomes of the connection is uvicorn's to say, once
        self._messages, self._bell, self._send_seconds = messages, bell, send_seconds
        self._on_close, self._on_dropped = closed, dropped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            self._on_close()
            await super().__call__(scope, receive, send)
            return
        watch = asyncio.ensure_future(self._watch(receive))
        try:
            await self._send(send)
        except TimeoutError:
            # Closing would wait for the reader to take what is buffered, which is what it does not do.
            scope.get("extensions", {}).get(SCOPE_ABORT, lambda: None)()
            self._on_dropped()
        finally:
            watch.cancel()
            self._on_close()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._messages) as messages:
            async for text in messages:
                async with asyncio.timeout(self._send_seconds):
                    await send({"type": "http.response.body", "body": text, "more_body": True})
        async with asyncio.timeout(self._send_seconds):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._bell.on_gone()
