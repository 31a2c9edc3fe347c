"""Turns among workers that talk without pause: one of them is heard at a time, for a moment, and everyone else in between.

A worker that says a little now and then is heard at once. One that has more to say than fits a moment waits for its next turn, so that any
number of them together take no more than a moment of each round of the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable

MOMENT_SECONDS = 0.002


class Turns:
    """Whose turn it is. One for all channels of an event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._coming: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, hear: Callable[[], None]) -> None:
        """Have `hear` called when its turn comes; it asks again if it needs another."""
        self._waiting.append(hear)
        if self._coming is None:
            self._coming = asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._coming = None
        hear = self._waiting.popleft()
        try:
            hear()
        finally:
            if self._waiting and self._coming is None:
                self._coming = asyncio.get_running_loop().call_soon(self._next)
