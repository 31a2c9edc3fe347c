"""The order in which the workflow's own code learns of things: stored results as the journal has them, then what
happens now.

An execution goes the way that the first one went, because both follow one rule. Results are handed to the code one at a
time, in the order of their commits, each when the code has come to rest: no callback of the workflow's own is ready to
run (what steps' callbacks do does not count). The workflow has a clock of its own, which stands still while its code
runs. Every result carries a time of this clock; timers that are due no later fire before it, one at a time. While
stored results are left, the clock is the journal's and waiting takes no time; then new steps and attempts begin, and it
goes on at its own pace from where it was.

A result that has been sent and is not acknowledged holds the clock: a timer due after it waits, since the result comes
first in every replay. What the trusted side decides carries its estimate of this clock. Where a timer had fired before
it arrived, the worker says when it was seen.

What the journal already holds for this execution: found by kind, name and count, never by position.

A step that is called in another step's callback is counted in that step's own namespace, afresh in each of its
attempts: it shifts nobody else's count, and the next attempt of its parent finds it done.
"""

import asyncio
import heapq
import itertools
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from playground.worker.channel import Channel
from playground.worker.context import OUTSIDE, Key, as_key, context_of, parent_of
from playground.worker.loop import Loop
from playground.workflows.events import DO

COMPLETED = "completed"
ERRORED = "errored"
CANCELLED = "cancelled"  # the code gave this wait or sleep up, and will again
OPEN = "open"
OVER = (COMPLETED, ERRORED)

Stored = Mapping[str, Any]


class History:
    """The stored steps that come with the start, and the counters that name the steps of this execution."""

    def __init__(self) -> None:
        self._stored: dict[Key, Stored] = {}
        self._unread: set[Key] = set()
        self._to_give_up: set[Key] = set()  # what the code cancelled before, and has not yet again
        self._counts: dict[Key | None, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))

    def hold(self, stored: Iterable[Stored]) -> list[tuple[Key, Stored]]:
        """Take the stored steps, none of which the code has come to.

        Gives those of the workflow itself that are over, as they ended.
        """
        self._stored = {as_key(step["key"]): step for step in stored}
        self._unread = {key for key in self._stored if parent_of(key) is None}
        self._to_give_up = {key for key in self._unread if self._stored[key]["status"] == CANCELLED}
        ended = [(key, step) for key, step in self._stored.items() if step["status"] in OVER and parent_of(key) is None]
        return sorted(ended, key=lambda each: each[1]["ended"])

    @property
    def is_ahead(self) -> bool:
        """Whether the journal tells of something that the code has not done yet: a step that it began, or gave up."""
        return bool(self._unread or self._to_give_up)

    def unread(self) -> list[Key]:
        """The stored steps that the code has not come to, but for those inside other steps."""
        return [key for key in self._stored if key in self._unread]

    def next_key(self, kind: str, name: str, parent: Key | None) -> Key:
        """Name the next step of this kind and name in its namespace; counts begin at 1 in every execution, and in every
        attempt of `parent`.
        """
        counts = self._counts[parent]
        counts[kind, name] += 1
        if parent is None:
            return kind, name, counts[kind, name]
        while self._gave_up((kind, name, counts[kind, name], parent)):
            counts[kind, name] += 1
        return kind, name, counts[kind, name], parent

    def _gave_up(self, key: Key) -> bool:
        """Whether an earlier attempt of its parent cancelled it: the attempt that runs now may not, and so needs
        another.
        """
        stored = self._stored.get(key)
        return stored is not None and stored["status"] == CANCELLED

    def begin_attempt(self, parent: Key) -> None:
        """An attempt of a step begins: what it calls is counted afresh."""
        self._counts.pop(parent, None)

    def find(self, key: Key) -> Stored | None:
        """The stored step, if there is one; the code has now come to it."""
        self._unread.discard(key)
        return self._stored.get(key)

    def give_up(self, key: Key) -> None:
        """The code has cancelled a sleep or a wait."""
        self._to_give_up.discard(key)

    def remember(self, key: Key, outcome: Stored) -> None:
        """A step inside another one is over: the next attempt of its parent finds it."""
        self._stored[key] = outcome


SPINS = 1_000  # turns of the loop that code which never rests may take before the next result comes all the same
REPORTED = 100  # steps that one report names
MICROSECONDS = 1_000_000

Outcome = Mapping[str, Any]


class Release(NamedTuple):
    """A result on its way to the code.

    `clock` is its time in microseconds, None where nobody knew; `stored`: it came with the start.
    """

    key: Key
    outcome: Outcome
    clock: int | None
    stored: bool


class Replay:
    """What the workflow's code waits for: results by step, and timers. `now` is the workflow's clock in seconds."""

    def __init__(self, loop: Loop, channel: Channel, history: History) -> None:
        self._loop, self._channel, self._history = loop, channel, history
        self._outside = context_of(OUTSIDE)
        self._due: deque[Release] = deque()
        self._stored = 0  # how many of them came with the start
        self._waiting: dict[Key, asyncio.Future[Outcome]] = {}
        self._released: dict[Key, Outcome] = {}  # before the code asked for them
        self._arrived: set[Key] = set()
        self._owed: dict[Key, int] = {}
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = itertools.count()
        self._fired = 0.0  # when the last timer was due
        self._last_clock = 0.0  # of the journal
        self._base = 0.0  # what the workflow's clock is ahead of the machine's
        self._armed: asyncio.TimerHandle | None = None
        self._spins = 0
        self._looking = False
        self._begin_live: list[Callable[[], None]] = []
        self._went_live: asyncio.Future[None] | None = None
        self._only_replays = False
        self.now = 0.0
        self.live = False
        self.calls: Callable[[], bool] = lambda: False  # whether the code waits for a binding

    def begin(self, stored: Iterable[tuple[Key, Mapping[str, Any]]], last_clock: int, *, only_replays: bool) -> None:
        """Begin with the stored results, in their order. With `only_replays` nothing new ever begins.

        `last_clock` is the journal's last time on the workflow's clock, in microseconds.
        """
        self._due.extend(Release(key, step, step.get("clock"), True) for key, step in stored)
        self._stored = len(self._due)
        self._last_clock = last_clock / MICROSECONDS
        self._only_replays = only_replays
        self._loop.follow(self)
        if not self._due and not self._history.is_ahead and not only_replays:
            self._go_live()

    @property
    def replaying(self) -> bool:
        """Whether the code does now what an earlier execution did."""
        return not self.live and (self._stored > 0 or self._history.is_ahead)

    # What the code waits for.

    def at_once(self, key: Key) -> Outcome | None:
        """The result of a step, if its turn has come already, or is now and nothing else could come first."""
        if key in self._released:
            return self._released.pop(key)
        if self.live or not self._due or self._due[0].key != key or self._loop.has_more or self.calls():
            return None
        task = asyncio.current_task()
        if task is None or getattr(task, "_must_cancel", False):
            return None  # the cancellation comes where the code waits
        time, timer = self._time_of(self._due[0]), self._first_timer()
        if timer is not None and timer.when() <= time:
            return None
        self.now = time
        self._stored -= self._due[0].stored
        return self._due.popleft().outcome

    def expect(self, key: Key) -> "asyncio.Future[Outcome]":
        """What becomes the result of a step at its turn."""
        future = self._waiting[key] = self._loop.create_future()
        return future

    def withdraw(self, key: Key) -> None:
        """The code gave a wait or a sleep up: what comes of it is not for this code."""
        self._waiting.pop(key, None)
        self._arrived.add(key)
        kept = [release for release in self._due if release.key != key]
        if len(kept) < len(self._due):
            self._stored -= sum(release.stored for release in self._due if release.key == key)
            self._due = deque(kept)

    def arrive(self, key: Key, outcome: Outcome, clock: int | None) -> None:
        """A result has come over the channel."""
        self._owed.pop(key, None)
        if key in self._arrived:
            return
        if key[0] != DO:  # what a sleep or a wait came to may be sent twice
            self._arrived.add(key)
        if parent_of(key) is not None:  # for the callback of a step, which no replay calls again once it is done
            self._hand_over(key, outcome)
            return
        self._due.append(Release(key, outcome, clock, False))
        if self.live:
            self._look()

    def owe(self, key: Key) -> int:
        """A result is being sent: nothing that is due later happens before it is acknowledged. Gives its time in
        microseconds.
        """
        clock = self.clock()
        self._owed[key] = clock
        return clock

    def owe_no_more(self, key: Key) -> None:
        """The step goes on: there is another attempt."""
        if self._owed.pop(key, None) is not None:
            self._look()

    def clock(self) -> int:
        """The time now, in microseconds: never earlier than what the code has seen."""
        return max(math.ceil(self.now * MICROSECONDS), int(self._running() * MICROSECONDS))

    def seen_clock(self) -> int:
        """The time that the code sees, in microseconds."""
        return math.ceil(self.now * MICROSECONDS)

    # What is to begin.

    def when_live(self, begin: Callable[[], None]) -> None:
        """Begin something new once nothing stored is left."""
        if self.live:
            begin()
        else:
            self._begin_live.append(begin)

    async def until_live(self) -> None:
        """Wait until nothing stored is left."""
        if not self.live:
            self._went_live = self._loop.create_future()
            await self._went_live

    # The workflow's timers.

    def call_at(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Any
    ) -> asyncio.TimerHandle:
        """See `asyncio.loop.call_at`, on the workflow's clock."""
        handle = asyncio.TimerHandle(when, callback, args, self._loop, context)
        heapq.heappush(self._timers, (when, next(self._number), handle))
        if self.live:
            self._arm()
        return handle

    # What the event loop asks.

    def rest(self, *, spinning: bool) -> bool:
        """Called before the loop waits, or turns once more (`spinning`).

        True when there is something new to run or to wait for.
        """
        if spinning:
            if self.live or not (self._due or self._begin_live):
                return False
            self._spins += 1
            if self._spins < SPINS:
                return False
        elif self.live and not self._due and not self._timers:
            return False
        self._spins = 0
        return self._do_next()

    def _look(self) -> None:
        """While live: do what is due, as far as the code is at rest, and look again after its next turn."""
        while not self._looking and (self._due or self._timers):
            if self._loop.workflow_is_ready() and self._spins < SPINS:
                self._spins += 1
                self._looking = True
                self._loop.call_soon(self._look_again, context=self._outside)
                return
            self._spins = 0
            if not self._do_next():
                return

    def _look_again(self) -> None:
        self._looking = False
        self._look()

    def _do_next(self) -> bool:
        if not self.live and self.calls():
            return False
        timer = self._first_timer()
        if self._due:
            time = self._time_of(self._due[0])
            if timer is not None and timer.when() <= time:
                self._fire(timer)
            else:
                self._release(time)
            return True
        if not self.live:
            if timer is not None and timer.when() <= self._last_clock:  # it had fired before the code saw that time
                self._fire(timer)
                return True
            return self._go_live()
        if timer is not None and timer.when() <= min(self._running() + self._loop.resolution, self._held_at()):
            self._fire(timer)
            return True
        return self._arm()

    def _go_live(self) -> bool:
        if self._only_replays or self.live:
            return False
        self.live = True
        self._base = self.now - self._loop.real()
        unread = self._history.unread()
        if unread:
            self._channel.post({"op": "diverged", "steps": unread[:REPORTED], "clock": self.clock()})
        begin, self._begin_live = self._begin_live, []
        for each in begin:
            each()
        if self._went_live is not None and not self._went_live.done():
            self._went_live.set_result(None)
        self._arm()
        return True

    def _release(self, time: float) -> None:
        key, outcome, clock, stored = self._due.popleft()
        self.now = time
        self._stored -= stored
        if not stored and (clock is None or self._fired * MICROSECONDS > clock):
            self.now = math.ceil(time * MICROSECONDS) / MICROSECONDS
            self._channel.post({"op": "released", "step": key, "clock": self.seen_clock()})
        self._hand_over(key, outcome)

    def _hand_over(self, key: Key, outcome: Outcome) -> None:
        future = self._waiting.pop(key, None)
        if future is None or future.cancelled():
            self._released[key] = outcome
        else:
            future.set_result(outcome)

    def _fire(self, timer: asyncio.TimerHandle) -> None:
        heapq.heappop(self._timers)
        self._fired = timer.when()
        self.now = max(self.now, self._fired)
        self._loop.call_soon(_run_timer, timer, context=timer._context)  # type: ignore[attr-defined]

    def _time_of(self, release: Release) -> float:
        if release.clock is None:
            return max(self.now, self._running())
        return max(self.now, release.clock / MICROSECONDS)

    def _running(self) -> float:
        return self._base + self._loop.real() if self.live else self.now

    def _held_at(self) -> float:
        return next(iter(self._owed.values())) / MICROSECONDS if self._owed else math.inf

    def _first_timer(self) -> asyncio.TimerHandle | None:
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][2] if self._timers else None

    def _arm(self) -> bool:
        """Wake the loop when the first timer is due. True when that is another time than before."""
        timer = self._first_timer()
        when = None if timer is None or timer.when() > self._held_at() else timer.when() - self._base
        if self._armed is not None:
            if self._armed.when() == when and not self._armed.cancelled():
                return False
            self._armed.cancel()
            self._armed = None
        if when is None:
            return False
        self._armed = self._loop.call_at(when, self._wake, context=self._outside)
        return True

    def _wake(self) -> None:
        self._armed = None
        self._look()


def _run_timer(timer: asyncio.TimerHandle) -> None:
    if not timer.cancelled():
        timer._callback(*timer._args)  # type: ignore[attr-defined]
