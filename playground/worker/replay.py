"""Deterministic replay: the order in which the workflow's own code receives results and timers.

`History` holds the stored steps. A step is found by kind, name and count, never by position. A step that is called in
another step's callback is counted in that step's own namespace, from 1 in each of its attempts: it shifts no other
count, and the next attempt of its parent finds it done.

`Replay` releases results to the code. A replay takes the same path as the first execution, because both follow one
rule. Results are released one at a time, in the order of their commits, each when the code is at rest: no callback of
the workflow's own is ready to run (callbacks of steps do not count). The workflow has a clock of its own, which stands
still while its code runs. Every result carries a time of this clock; timers that are due no later fire before it, one
at a time. While stored results are left, the clock is the journal's and waiting takes no time. Then the execution is
live: new steps and attempts start, and the clock advances with the machine's from where it was.

A result that was sent and is not acknowledged holds the clock: a timer due after it waits, since the result comes first
in every replay. Results that the trusted side decides carry its estimate of this clock; where a timer had fired before
such a result arrived, the worker reports the time at which the code received it (`released`).
"""

import asyncio
import heapq
import itertools
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from playground.worker.channel import Channel
from playground.worker.context import MACHINERY, Key, context_of, parent_of, parse_key
from playground.worker.loop import Loop
from playground.workflows.events import CHILD, DO, PATCH

COMPLETED = "completed"
ERRORED = "errored"
CANCELLED = "cancelled"  # the code cancelled this wait or sleep, and will do so again
OPEN = "open"
OVER = (COMPLETED, ERRORED)

Stored = Mapping[str, Any]


class History:
    """The stored steps of the start frame, and the counters that name the steps of this execution."""

    def __init__(self) -> None:
        self._stored: dict[Key, Stored] = {}
        self._unreached: set[Key] = set()
        self._to_cancel: set[Key] = set()  # cancelled by an earlier execution, and not yet by this one
        self._counts: dict[Key | None, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))
        self.patches: dict[str, bool] = {}  # decisions, by name: those of the journal, then those of this execution

    def load_steps(self, stored: Iterable[Stored]) -> list[tuple[Key, Stored]]:
        """Load the stored steps, none of which the code has reached yet.

        Returns the ended ones that are not nested in others, in the order in which they ended.
        """
        self._stored = {parse_key(step["key"]): step for step in stored}
        for key in [key for key in self._stored if key[0] == PATCH]:
            self.patches[key[1]] = self._stored.pop(key)["value"]
        self._unreached = {key for key in self._stored if parent_of(key) is None}
        self._to_cancel = {key for key in self._unreached if self._stored[key]["status"] == CANCELLED}
        ended = [(key, step) for key, step in self._stored.items() if step["status"] in OVER and parent_of(key) is None]
        return sorted(ended, key=lambda each: each[1]["ended"])

    @property
    def has_unreached(self) -> bool:
        """Whether the journal has a step, or the cancellation of one, that the code has not reached yet."""
        return bool(self._unreached or self._to_cancel)

    def unreached_steps(self) -> list[Key]:
        """The stored steps that the code has not reached, except nested ones."""
        return [key for key in self._stored if key in self._unreached]

    def next_key(self, kind: str, name: str, parent: Key | None) -> Key:
        """The key of the next such step; counts begin at 1 in every execution, and in every attempt of `parent`."""
        counts = self._counts[parent]
        counts[kind, name] += 1
        if parent is None:
            return kind, name, counts[kind, name]
        while self._needs_new((kind, name, counts[kind, name], parent)):
            counts[kind, name] += 1
        return kind, name, counts[kind, name], parent

    def _needs_new(self, key: Key) -> bool:
        """Whether an attempt of its parent needs a new step in its place: an earlier one cancelled it, which this one
        may not, or its child failed, which another attempt is to run again.
        """
        stored = self._stored.get(key)
        if stored is None:
            return False
        status: str = stored["status"]
        return status == CANCELLED or (key[0] == CHILD and status == ERRORED)

    def reset_counts(self, parent: Key) -> None:
        """Count the steps nested in `parent` from 1: a new attempt of it begins."""
        self._counts.pop(parent, None)

    def is_over(self, key: Key) -> bool:
        """Whether a step's end is stored."""
        stored = self._stored.get(key)
        return stored is not None and stored["status"] in OVER

    def reach_step(self, key: Key) -> Stored | None:
        """The code has reached a step: the stored one, if there is one."""
        self._unreached.discard(key)
        return self._stored.get(key)

    def mark_cancelled(self, key: Key) -> None:
        """The code has cancelled a sleep or a wait, as the journal may have expected."""
        self._to_cancel.discard(key)

    def store_outcome(self, key: Key, outcome: Stored) -> None:
        """Store the outcome of a nested step, which the next attempt of its parent finds."""
        self._stored[key] = outcome


SPINS_MAX = 1_000  # turns of the loop that code which is never at rest may take before it gets the next result
REPORTED_STEPS = 100  # steps named in one report
MICROSECONDS = 1_000_000

Outcome = Mapping[str, Any]


class PendingResult(NamedTuple):
    """A result that is not released to the code yet.

    `clock` is its time in microseconds, None if unknown; `stored`: it came with the start frame.
    """

    key: Key
    outcome: Outcome
    clock: int | None
    stored: bool


class Replay:
    """Releases results and timers to the workflow's code. `now` is the workflow's clock in seconds."""

    def __init__(self, loop: Loop, channel: Channel, history: History) -> None:
        self._loop, self._channel, self._history = loop, channel, history
        self._outside = context_of(MACHINERY)
        self._pending: deque[PendingResult] = deque()
        self._stored_pending = 0  # how many of them came with the start frame
        self._waiting: dict[Key, asyncio.Future[Outcome]] = {}
        self._released: dict[Key, Outcome] = {}  # released before the code asked for them
        self._settled: set[Key] = set()
        self._unacknowledged: dict[Key, int] = {}
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = itertools.count()
        self._fired = 0.0  # when the last fired timer was due
        self._last_clock = 0.0  # of the journal
        self._base = 0.0  # workflow clock minus machine clock, in seconds
        self._wakeup: asyncio.TimerHandle | None = None
        self._spins = 0
        self._look_scheduled = False
        self._start_when_live: list[Callable[[], None]] = []
        self._went_live: asyncio.Future[None] | None = None
        self._only_replays = False
        self.now = 0.0
        self.live = False
        self.waits_for_binding: Callable[[], bool] = lambda: False  # replaced by the execution

    def start(self, stored: Iterable[tuple[Key, Mapping[str, Any]]], last_clock: int, *, only_replays: bool) -> None:
        """Start with the stored results, in their order. With `only_replays` the execution never goes live.

        Args:
            last_clock: the journal's last time on the workflow's clock, in microseconds.
        """
        self._pending.extend(PendingResult(key, step, step.get("clock"), True) for key, step in stored)
        self._stored_pending = len(self._pending)
        self._last_clock = last_clock / MICROSECONDS
        self._only_replays = only_replays
        self._loop.use_clock(self)
        if not self._pending and not self._history.has_unreached and not only_replays:
            self._go_live()

    @property
    def replaying(self) -> bool:
        """Whether the code repeats what an earlier execution did."""
        return not self.live and (self._stored_pending > 0 or self._history.has_unreached)

    # What the code waits for.

    def take_due_result(self, key: Key) -> Outcome | None:
        """Take the result of a step if it is released, or is next and nothing else can come before it; else None."""
        if key in self._released:
            return self._released.pop(key)
        if (
            self.live
            or not self._pending
            or self._pending[0].key != key
            or self._loop.has_ready_callbacks
            or self.waits_for_binding()
        ):
            return None
        task = asyncio.current_task()
        if task is None or getattr(task, "_must_cancel", False):
            return None  # it must see its cancellation where it waits
        time, timer = self._time_of_result(self._pending[0]), self._first_timer()
        if timer is not None and timer.when() <= time:
            return None
        self.now = time
        self._stored_pending -= self._pending[0].stored
        return self._pending.popleft().outcome

    def result_future(self, key: Key) -> "asyncio.Future[Outcome]":
        """A future that gets the result of a step at its turn."""
        future = self._waiting[key] = self._loop.create_future()
        return future

    def cancel_wait(self, key: Key) -> None:
        """The code cancelled a wait or a sleep: drop its result, now and later."""
        self._waiting.pop(key, None)
        self._settled.add(key)
        kept = [release for release in self._pending if release.key != key]
        if len(kept) < len(self._pending):
            self._stored_pending -= sum(release.stored for release in self._pending if release.key == key)
            self._pending = deque(kept)

    def receive_result(self, key: Key, outcome: Outcome, clock: int | None) -> None:
        """Queue a result that was received over the channel, for its turn."""
        self._unacknowledged.pop(key, None)
        if key in self._settled:
            return
        if key[0] != DO:  # the end of a sleep or a wait may be sent twice
            self._settled.add(key)
        if parent_of(key) is not None:  # awaited in a callback, which no replay calls again once its step is done
            self._deliver(key, outcome)
            return
        self._pending.append(PendingResult(key, outcome, clock, False))
        if self.live:
            self._run_due()

    def hold_clock(self, key: Key) -> int:
        """Hold the clock for a result that is being sent: no later timer fires before it is acknowledged.

        Returns the result's time in microseconds.
        """
        clock = self.clock()
        self._unacknowledged[key] = clock
        return clock

    def release_clock(self, key: Key) -> None:
        """Release the clock that a step holds: it has another attempt."""
        if self._unacknowledged.pop(key, None) is not None:
            self._run_due()

    def clock(self) -> int:
        """The time now, in microseconds; never earlier than `observed_clock`."""
        return max(math.ceil(self.now * MICROSECONDS), int(self._running_clock() * MICROSECONDS))

    def observed_clock(self) -> int:
        """The time as the code sees it, in microseconds."""
        return math.ceil(self.now * MICROSECONDS)

    # Going live.

    def when_live(self, begin: Callable[[], None]) -> None:
        """Call `begin` once no stored result is left."""
        if self.live:
            begin()
        else:
            self._start_when_live.append(begin)

    async def until_live(self) -> None:
        """Wait until no stored result is left."""
        if not self.live:
            self._went_live = self._loop.create_future()
            await self._went_live

    # The workflow's timers.

    def call_at(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Any
    ) -> asyncio.TimerHandle:
        """As `asyncio.loop.call_at`, on the workflow's clock."""
        handle = asyncio.TimerHandle(when, callback, args, self._loop, context)
        heapq.heappush(self._timers, (when, next(self._number), handle))
        if self.live:
            self._arm_wakeup()
        return handle

    # Called by the event loop.

    def before_wait(self, *, spinning: bool) -> bool:
        """Called before the loop waits, or turns once more (`spinning`).

        True when there is something new to run or to wait for.
        """
        if spinning:
            if self.live or not (self._pending or self._start_when_live):
                return False
            self._spins += 1
            if self._spins < SPINS_MAX:
                return False
        elif self.live and not self._pending and not self._timers:
            return False
        self._spins = 0
        return self._run_next()

    def _run_due(self) -> None:
        """While live, run what is due as long as the code is at rest; else look again after its next turn."""
        while not self._look_scheduled and (self._pending or self._timers):
            if self._loop.workflow_is_ready() and self._spins < SPINS_MAX:
                self._spins += 1
                self._look_scheduled = True
                self._loop.call_soon(self._run_due_again, context=self._outside)
                return
            self._spins = 0
            if not self._run_next():
                return

    def _run_due_again(self) -> None:
        self._look_scheduled = False
        self._run_due()

    def _run_next(self) -> bool:
        if not self.live and self.waits_for_binding():
            return False
        timer = self._first_timer()
        if self._pending:
            time = self._time_of_result(self._pending[0])
            if timer is not None and timer.when() <= time:
                self._fire(timer)
            else:
                self._release(time)
            return True
        if not self.live:
            if timer is not None and timer.when() <= self._last_clock:  # it had fired by the journal's last time
                self._fire(timer)
                return True
            return self._go_live()
        if timer is not None and timer.when() <= min(
            self._running_clock() + self._loop.resolution, self._clock_held_at()
        ):
            self._fire(timer)
            return True
        return self._arm_wakeup()

    def _go_live(self) -> bool:
        if self._only_replays or self.live:
            return False
        self.live = True
        self._base = self.now - self._loop.machine_time()
        unread = self._history.unreached_steps()
        if unread:
            self._channel.post({"op": "diverged", "steps": unread[:REPORTED_STEPS], "clock": self.clock()})
        begin, self._start_when_live = self._start_when_live, []
        for each in begin:
            each()
        if self._went_live is not None and not self._went_live.done():
            self._went_live.set_result(None)
        self._arm_wakeup()
        return True

    def _release(self, time: float) -> None:
        key, outcome, clock, stored = self._pending.popleft()
        self.now = time
        self._stored_pending -= stored
        if not stored and (clock is None or self._fired * MICROSECONDS > clock):
            self.now = math.ceil(time * MICROSECONDS) / MICROSECONDS
            self._channel.post({"op": "released", "step": key, "clock": self.observed_clock()})
        self._deliver(key, outcome)

    def _deliver(self, key: Key, outcome: Outcome) -> None:
        future = self._waiting.pop(key, None)
        if future is None or future.cancelled():
            assert key not in self._released, "a result is released once"
            self._released[key] = outcome
        else:
            future.set_result(outcome)

    def _fire(self, timer: asyncio.TimerHandle) -> None:
        heapq.heappop(self._timers)
        self._fired = timer.when()
        self.now = max(self.now, self._fired)
        self._loop.call_soon(_run_timer, timer, context=timer._context)  # type: ignore[attr-defined]

    def _time_of_result(self, release: PendingResult) -> float:
        if release.clock is None:
            return max(self.now, self._running_clock())
        return max(self.now, release.clock / MICROSECONDS)

    def _running_clock(self) -> float:
        return self._base + self._loop.machine_time() if self.live else self.now

    def _clock_held_at(self) -> float:
        return next(iter(self._unacknowledged.values())) / MICROSECONDS if self._unacknowledged else math.inf

    def _first_timer(self) -> asyncio.TimerHandle | None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][2] if self._timers else None

    def _arm_wakeup(self) -> bool:
        """Schedule a wake-up for the first timer. True when its time has changed."""
        timer = self._first_timer()
        when = None if timer is None or timer.when() > self._clock_held_at() else timer.when() - self._base
        if self._wakeup is not None:
            if self._wakeup.when() == when and not self._wakeup.cancelled():
                return False
            self._wakeup.cancel()
            self._wakeup = None
        if when is None:
            return False
        self._wakeup = self._loop.call_at(when, self._wake, context=self._outside)
        return True

    def _wake(self) -> None:
        self._wakeup = None
        self._run_due()


def _run_timer(timer: asyncio.TimerHandle) -> None:
    if not timer.cancelled():
        timer._callback(*timer._args)  # type: ignore[attr-defined]
