"""A node's looks for work in the background: one at a time, when somebody wakes it or a time has come.

A wake during a look causes another one. A look that failed is made again after `RETRY_MS`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from playground.engine.clock import Clock, Timer

RETRY_MS = 1_000  # after a look that failed, as it does while the database is away


class Looks:
    """Makes looks from `start` to `stop`, or while `run` runs.

    Args:
        look: does what is to be done; gives when to look again at the latest, None: when it is woken.
        on_failure: is told of the error of a look.
    """

    def __init__(
        self, clock: Clock, look: Callable[[], Awaitable[int | None]], on_failure: Callable[[Exception], None]
    ) -> None:
        self._clock, self._look, self._on_failure = clock, look, on_failure
        self._wake = asyncio.Event()
        self._busy = False
        self._timer: Timer | None = None
        self._due = 0  # while there is a timer
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Make looks from now on, the first at once."""
        self._task = asyncio.get_running_loop().create_task(self.run())
        self.wake()

    async def stop(self) -> None:
        """Stop at once, in the middle of a look too."""
        self._disarm()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def at_rest(self) -> bool:
        """Whether it waits for time to pass or to be woken."""
        return not self._busy and not self._wake.is_set()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def wake_at(self, when: int) -> None:
        """Look at a time, in epoch milliseconds; until the next look the earliest counts."""
        if self._timer is None or when < self._due:
            self._disarm()
            self._due, self._timer = when, self._clock.call_at(when, self.wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def run(self) -> None:
        """Make looks until it is cancelled, the first when it is woken."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._busy = True
            self._disarm()
            try:
                again = await self._look()
            except Exception as error:  # noqa: BLE001 - it is told, and the look is made again
                self._on_failure(error)
                again = self._clock.now() + RETRY_MS
            finally:
                self._busy = False
            if again is not None:
                self.wake_at(again)
