"""The clock, passed in: the system's, one that a test moves by hand, or that of the store.

Nodes on several machines go by the clock of their store. A sleep that one of them begins may be ended by another, so
their times must agree, and a machine may be an hour off.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

_LONGEST_CALL = 86_400.0  # seconds; asyncio's timers are re-armed rather than trusted with months


class Timer(Protocol):
    def cancel(self) -> None:
        """Do not call back any more."""


class Clock(Protocol):
    def now(self) -> int:
        """Epoch milliseconds."""

    def elapsed(self) -> int:
        """Milliseconds that count on evenly, whatever the clock is set to."""

    def call_at(self, when: int, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back on the event loop once `now()` has reached `when` (epoch milliseconds)."""


def machine_ms() -> int:
    """Monotonic milliseconds that count on while the machine is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class SystemClock:
    """The machine's clock and the running event loop's timers."""

    def now(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def elapsed(self) -> int:
        """See `Clock`."""
        return machine_ms()

    def call_at(self, when: int, callback: Callable[..., Any], *args: Any) -> Timer:
        """See `Clock`."""
        return _LoopTimer(self, when, callback, args)


class _LoopTimer:
    def __init__(self, clock: Clock, when: int, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
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


class SharedClock:
    """The clock that all nodes of a store share, as this machine's own time counts on from its last reading.

    Each reading leaves an interval for the difference, since its answer takes time. The correction is kept while it
    lies in that interval, unless the interval is shorter than all before: so it is wrong by half of the quickest
    answer's time. What this machine's clock is set to is of no account.

    Args:
        elapsed: see `Clock`.
    """

    def __init__(self, elapsed: Callable[[], int]) -> None:
        self._elapsed = elapsed
        self._ahead = 0  # of the time that has elapsed, in milliseconds
        self._interval: int | None = None  # that the correction was read with; None: there is none

    def now(self) -> int:
        """Epoch milliseconds."""
        return self._elapsed() + self._ahead

    def elapsed(self) -> int:
        """See `Clock`."""
        return self._elapsed()

    def call_at(self, when: int, callback: Callable[..., Any], *args: Any) -> Timer:
        """See `Clock`."""
        return _LoopTimer(self, when, callback, args)

    async def correct(self, read: Callable[[], Awaitable[int]]) -> None:
        """Read the shared clock. Raises what `read` raises."""
        before = self._elapsed()
        shared = await read()
        after = self._elapsed()
        interval = after - before
        is_possible = shared - after <= self._ahead <= shared - before
        if self._interval is None or interval < self._interval or not is_possible:
            self._ahead, self._interval = shared - before - interval // 2, interval


class FakeClock:
    """A clock that stands still until it is moved; what falls due is called in order of its time."""

    def __init__(self, now: int = 1_767_225_600_000) -> None:
        self._now = self._start = now
        self._order = itertools.count()
        self._timers: list[tuple[int, int, _FakeTimer]] = []

    def now(self) -> int:
        """Epoch milliseconds."""
        return self._now

    def elapsed(self) -> int:
        """See `Clock`."""
        return self._now - self._start

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
