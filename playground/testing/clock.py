"""Virtual time for tests: a clock for the engine and an event loop for workers, both of which only the test moves.

The clock knows for which of its timers time may be skipped. The loop knows whether its worker is at rest: blocked until
a frame arrives or until virtual time reaches one of its timers.
"""

import math
import socket
from collections.abc import Callable
from typing import Any

from playground.engine.clock import FakeClock, Timer
from playground.engine.execution.watchdog import IdleTimeout
from playground.engine.scheduler import Scheduler
from playground.worker.channel import Channel
from playground.worker.loop import IdleSelector, Loop

# Periodic tasks of the engine: they run when time passes them, but time is not skipped for them.
PERIODIC_TASKS = frozenset({Scheduler.expire, IdleTimeout.check_stalled})


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
        awaited = getattr(callback, "__func__", None) not in PERIODIC_TASKS
        self._armed[number] = (when if awaited else -1, timer)
        return timer

    def next_awaited(self) -> int | None:
        """When the earliest timer is due that is no periodic task; None without one."""
        self._armed = {number: armed for number, armed in self._armed.items() if not armed[1].done}  # type: ignore[attr-defined]
        return min((when for when, _ in self._armed.values() if when >= 0), default=None)

    def cancel_timers(self) -> None:
        """Cancel all timers: the server that set them is gone."""
        for _, timer in self._armed.values():
            timer.cancel()
        self._armed.clear()


OWN_FILES = 2  # that every loop listens to: the channel, and its wake-up pipe


class VirtualSelector(IdleSelector):
    """Blocks for as long as virtual time does. `due` is when the loop's next timer falls (epoch milliseconds).

    The worker's thread sets `resting` before it blocks, and clears it before it reads what arrived.
    """

    def __init__(self, channel: Channel, clock: VirtualClock, rested: Callable[[], None]) -> None:
        super().__init__(channel)
        self._clock, self._rested = clock, rested
        self.resting = False
        self.due: int | None = None

    def wait(self, timeout: float | None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().wait(timeout)
        self.due = None if timeout is None else self._clock.now() + max(1, math.ceil(timeout * 1000 - 0.5))
        self.resting = True
        self._rested()
        try:
            return super().wait(None)
        finally:
            self.resting = False

    @property
    def file_count(self) -> int:
        """How many files the loop listens to."""
        return len(self.get_map() or ())


class VirtualLoop(Loop):
    """A worker's event loop whose time is the virtual clock's, so that a callback's own `asyncio.sleep` takes no time
    either.
    """

    def __init__(self, channel: Channel, clock: VirtualClock, rested: Callable[[], None]) -> None:
        self.selector = VirtualSelector(channel, clock, rested)
        self._virtual = clock
        self._executor_calls = 0  # calls that run in threads
        super().__init__(channel, self.selector)
        self._clock_resolution = 0.0005  # the clock counts milliseconds, the loop floating-point seconds

    def machine_time(self) -> float:
        """Seconds of virtual time since the test began."""
        return (self._virtual.now() - self._virtual.start) / 1000

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """As in asyncio; while it runs, the worker does not rest."""
        future = super().run_in_executor(executor, func, *args)
        self._executor_calls += 1
        future.add_done_callback(self._back)
        return future

    def _back(self, future: Any) -> None:
        self._executor_calls -= 1

    def at_rest(self, ours: socket.socket) -> bool:
        """Whether the worker can do nothing until a frame arrives or time moves. Called on the engine's thread, with
        its end of the socket.

        The order avoids races: first that the worker has nothing to read, then its flag, then that it wrote nothing
        before it set the flag.
        """
        selector = self.selector
        if (
            _is_readable(self.channel.socket)
            or not selector.resting
            or self._executor_calls
            or selector.file_count > OWN_FILES
        ):
            return False
        return not _is_readable(ours)

    def wake(self) -> None:
        """Virtual time has reached a timer of this loop."""
        self.selector.resting = False
        self.call_soon_threadsafe(_nothing)


def _is_readable(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _nothing() -> None:
    """Scheduled only to wake the loop."""
