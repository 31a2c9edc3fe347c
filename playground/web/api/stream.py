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
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
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
        self._stopping = asyncio.Event()
        self.dropped = 0

    def stop(self) -> None:
        """Say `restart` to every reader and close; streams opened later end at once."""
        self._stopping.set()

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

        return _StreamResponse(
            self._messages(row, source), self._stopping, self._ping, self._send_seconds, leave, dropped
        )

    def _ping(self) -> ServerSentEvent:
        return ServerSentEvent(json.dumps({"server_time": self._now()}), event="ping", sep="\n")

    async def _messages(self, row: InstanceRow, source: Source) -> AsyncIterator[bytes]:
        hello = {"server_time": self._now(), "last_seq": row.last_seq, "status": row.status}
        ready = message("hello", hello, retry=RETRY_MS) + source.beginning
        over = row.status in ev.FINAL_STATUSES
        stopping = asyncio.ensure_future(self._stopping.wait())
        pace = _LeakyBucket()
        try:
            async with self._store.subscribe(row.key) as grown:
                while True:
                    batch = await source.read()
                    ready += batch.text
                    if batch.read_any:
                        over = batch.over
                    status = await self._status(row) if over or not batch.read_any else row.status
                    if status == DELETED or (over and status in ev.FINAL_STATUSES and not batch.more):
                        yield ready + source.end_message(status)
                        return
                    if ready:
                        yield ready
                        ready = b""
                        pace.count_message()
                    if batch.more:
                        continue
                    if not await self._wait_for_events(grown, source.after, stopping, pace):
                        yield message("restart", {}, retry=RETRY_AT_RESTART_MS)
                        return
        except StoreError as error:
            # The stream just ends: its reader reconnects, and is told then.
            self._log("unavailable", method="GET", route="a stream", error=f"{type(error).__name__}: {error}")
        finally:
            stopping.cancel()

    async def _wait_for_events(
        self, grown: Callable[[int], Any], after: int, stopping: "asyncio.Future[Any]", pace: "_LeakyBucket"
    ) -> bool:
        """Wait until the journal is longer than `after`; False when the server stops first."""
        growth = asyncio.ensure_future(grown(after))
        try:
            if pace.delay():
                await asyncio.wait((stopping,), timeout=pace.delay())
            await asyncio.wait((stopping, growth), return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return False
            if not isinstance(growth.exception(), InstanceNotFound):
                growth.result()
            return True
        finally:
            growth.cancel()

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


class _StreamResponse(EventSourceResponse):
    """sse-starlette's response, ended by our own event instead of its polling watcher, and aborted when its reader does
    not read.
    """

    def __init__(
        self,
        messages: AsyncIterator[bytes],
        stopping: asyncio.Event,
        ping: Callable[[], ServerSentEvent],
        send_seconds: float,
        leave: Callable[[], None],
        dropped: Callable[[], None],
    ) -> None:
        super().__init__(
            messages,
            ping=PING_SECONDS,
            ping_message_factory=ping,
            sep="\n",
            send_timeout=send_seconds,
            shutdown_event=anyio.Event(),
            shutdown_grace_period=GRACE_SECONDS,
        )
        del self.headers["connection"]  # what becomes of the connection is uvicorn's to say, once
        self._stopping, self._on_close, self._on_dropped = stopping, leave, dropped

    async def _listen_for_exit_signal(self) -> None:  # type: ignore[override]
        await self._stopping.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            # Closing would wait for the reader to take what is buffered, which is what it does not do.
            scope.get("extensions", {}).get(SCOPE_ABORT, lambda: None)()
            self._on_dropped()
        finally:
            self._on_close()
