"""Virtual time: stands still until it is moved, and knows which of its timers are worth moving it for."""

from collections.abc import Callable
from typing import Any

from playground.engine.clock import FakeClock, Timer
from playground.engine.execution.worker_timeouts import Idleness
from playground.engine.scheduler import Scheduler

# The engine's own rounds: they happen when time passes them, but nobody skips time to see them.
HOUSEKEEPING = frozenset({Scheduler.expire, Idleness.watch_silence})


class VirtualClock(FakeClock):
    """The engine's clock in a test. Used on the event loop's thread; `now` may be read on any."""

    def __init__(self, now: int) -> None:
        super().__init__(now)
        self.start = now
        self._armed: dict[int, tuple[int, Timer]] = {}
        self._number = 0

    def call_at(self, when: int, callback: Callable[..., Any], *args: Any) -> Timer:
        """See `Clock`."""
        self._number += 1
        number = self._number

        def fire() -> None:
            self._armed.pop(number, None)
            callback(*args)

        timer = super().call_at(when, fire)
        worth = getattr(callback, "__func__", None) not in HOUSEKEEPING
        self._armed[number] = (when if worth else -1, timer)
        return timer

    def next_worth(self) -> int | None:
        """When the earliest timer is due that somebody waits for, or None when there is none."""
        self._armed = {number: armed for number, armed in self._armed.items() if not armed[1].done}  # type: ignore[attr-defined]
        return min((when for when, _ in self._armed.values() if when >= 0), default=None)

    def forget(self) -> None:
        """Call nothing of what was armed so far: whoever armed it is gone."""
        for _, timer in self._armed.values():
            timer.cancel()
        self._armed.clear()
