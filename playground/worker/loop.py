"""The worker's event loop: sends what was posted before it waits, and says when there is nothing left to do but wait.

`idle` is what lets the trusted side take the worker away: no callback is ready and no timer of the tenant's is running.
"""

import asyncio
import selectors
from collections.abc import Callable, Collection
from typing import Any

from playground.worker.channel import Channel


class IdleSelector(selectors.PollSelector):
    """Waits for the channel; `wait` is what a loop with another clock replaces."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._told = -1

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None and not self._channel.owed and self._told != self._channel.received:
            self._told = self._channel.received
            self._channel.post({"op": "idle", "seen": self._channel.received})
        if timeout is None or timeout > 0:
            self._channel.flush()
        return self.wait(timeout)

    def wait(self, timeout: float | None) -> Any:
        """Wait for something to arrive, for at most `timeout` seconds."""
        return super().select(timeout)


class Loop(asyncio.SelectorEventLoop):
    """The event loop of one worker and its channel."""

    _ready: Collection[Any]  # asyncio's own

    def __init__(self, channel: Channel, selector: IdleSelector | None = None) -> None:
        super().__init__(selector or IdleSelector(channel))
        self.channel = channel

    @property
    def has_more(self) -> bool:
        """Whether something else is to be run before anything is waited for."""
        return bool(self._ready)

    def listen(self, handle: Callable[[Any], None], closed: Callable[[], None], starved: Callable[[], None]) -> None:
        """Give each frame to `handle`; call `closed` when the trusted side has gone, `starved` when there is no memory to hear it."""

        def readable() -> None:
            try:
                for frame in self.channel.receive():
                    handle(frame)
            except ConnectionError:
                closed()
            except MemoryError:
                starved()

        self.add_reader(self.channel.fd, readable)


class LockedLoop(Loop):
    """The event loop of a process without threads and without signals: nobody there could wake it from elsewhere, so it has no pipe for that."""

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None

    def _close_self_pipe(self) -> None:
        """There is none."""
