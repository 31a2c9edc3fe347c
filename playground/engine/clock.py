"""The clock, passed in: the system's, or one that a test moves by hand."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol

_LONGEST_CALL = 86_400.0  # seconds; asyncio's timers are re-armed rather than trusted with months


class Timer(Protocol):
    def cancel(self) -> None:
        """Do not call back any more."""


class Clock(Protocol):
    def now(self) -> int:
        """Epoch milliseconds."""

    def call_at(self, when: int, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back on the event loop once `now()` has reached `when` (epoch milliseconds)."""


def _not_ahead() -> int:
    return 0


class SystemClock:
    """The machine's clock and the running event loop's timers.

    Args:
        ahead: milliseconds to add to the machine's clock: what the clock of a store that several machines share is
            ahead of it (`Store.clock_offset_ms`), so that the nodes agree on what is due.
        machine_ns: the machine's clock in epoch nanoseconds.
    """

    def __init__(self, ahead: Callable[[], int] = _not_ahead, machine_ns: Callable[[], int] = time.time_ns) -> None:
        self._offset_ms, self._machine_ns = ahead, machine_ns

    def now(self) -> int:
        """Epoch milliseconds."""
        return self._machine_ns() // 1_000_000 + self._offset_ms()

    def call_at(self, when: int, callback: Callable[..., Any], *args: Any) -> Timer:
        """See `Clock`."""
        return _SystemTimer(self, when, callback, args)


class _SystemTimer:
    def __init__(self, clock: SystemClock, when: int, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._clock, self._when, self._callback, self._args = clock, when, callback, args
        self._loop = asyncio.get_running_loop()
        self._arm()

    def _arm(self) -> None:
        wait = max(0.0, (self._when - self._clock.now()) / 1000)
        self._handle = self._loop.call_later(min(wait, _LONGEST_CALL), self._fire)

    def _fire(self) -> None:
        if self._clock.now() < self._when:
            self._arm()
        else:
            self._callback(*self._args)

    def cancel(self) -> None:
        self._handle.cancel()


class FakeClock:
    """A clock that stands still until it is moved; what falls due is called in order of its time."""

    def __init__(self, now: int = 1_767_225_600_000) -> None:
        self._now = now
        self._order = itertools.count()
        self._timers: list[tuple[int, int, _FakeTimer]] = []

    def now(self) -> int:
        """Epoch milliseconds."""
        return self._now

    def call_at(self, when: int, callback: Callable[..., Any], *args: Any) -> Timer:
        """See `Clock`. A time already past is called at the next move, or on the loop's next turn."""
        timer = _FakeTimer(callback, args)
        if when <= self._now:
            asyncio.get_running_loop().call_soon(timer.fire)
        else:
            heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def advance(self, milliseconds: int) -> None:
        """Move on, calling what falls due on the way."""
        target = self._now + milliseconds
        while self._timers and self._timers[0][0] <= target:
            when, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            timer.fire()
        self._now = target

    def next_due(self) -> int | None:
        """When the earliest timer is due, or None when there is none."""
        while self._timers and self._timers[0][2].done:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None


class _FakeTimer:
    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._callback, self._args, self.done = callback, args, False

    def fire(self) -> None:
        if not self.done:
            self.done = True
            self._callback(*self._args)

    def cancel(self) -> None:
        self.done = True
