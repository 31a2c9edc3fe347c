"""Turns among workers that talk without pause: one of them is heard at a time, for a moment, and everyone else in
between.

A worker that says a little now and then is heard at once. One that took longer than a moment waits for its next turn,
and while others have something to do it first rests for a multiple of the time it took. So any number of loud workers,
or of costly frames, leave most of the event loop to the rest.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

MOMENT_SECONDS = 0.002
REST = 4  # times as long as it took
BUSY_SECONDS = 0.0005  # a round of the loop that takes longer had others in it
BUSY_LASTS_SECONDS = 0.1


class Turns:
    """Whose turn it is. One for all channels of an event loop; `now` gives seconds."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._coming: asyncio.Handle | None = None
        self._expected = 0.0
        self._busy_until = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, hear: Callable[[], None], took: float) -> None:
        """Have `hear` called when its turn comes, after it took so many seconds; it asks again if it needs another."""
        now = self._now()
        rest = REST * took if now < self._busy_until else 0.0
        self._waiting.append((now + rest, hear))
        if self._coming is None:
            self._schedule(now)

    def _schedule(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        first = min(due for due, _ in self._waiting)
        if first <= now:
            self._expected = now
            self._coming = loop.call_soon(self._next)
        else:
            self._expected = first
            self._coming = loop.call_later(first - now, self._next)

    def _next(self) -> None:
        now = self._now()
        if now - self._expected > BUSY_SECONDS:
            self._busy_until = now + BUSY_LASTS_SECONDS
        self._coming = None
        for _ in range(len(self._waiting)):
            due, hear = self._waiting.popleft()
            if due <= now:
                hear()
                break
            self._waiting.append((due, hear))
        if self._waiting and self._coming is None:
            self._schedule(self._now())
