"""Fault injection: breaks of steps, and the kills of a chaos run.

A break makes attempts of a step fail, time out, slow down or return a value (`playground/workflows/breaks.py`). A
worker starts a first attempt without asking, so it is sent the breaks and claims one (`playground/worker/attempts.py`).
A claim must name a break that the worker was sent, for that step, and that is not used up. What is written of such an
attempt is decided here: its error or its result is the break's, whatever the worker sends.

A chaos run kills the worker of each of its instances before one commit, and ends every wait at once. The plan is in
the row (`injected["chaos"]`): `kill_before_commit` (a number from 1, None: never), `timed_out` (waits as name and
count, which get no event) and, once it has happened, `killed`. A commit is that of a step's result or last error, and
last the one that ends the run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.engine import messages
from playground.engine.execution import open_steps
from playground.engine.execution.open_steps import OpenStep
from playground.sandbox import frames
from playground.store.encoding import encode_input
from playground.store.protocol import Decider, Snapshot
from playground.workflows import breaks, names
from playground.workflows import events as ev
from playground.workflows.breaks import Break
from playground.workflows.errors import CannotBreak, InstanceInFiniteState
from playground.workflows.events import Event, NewEvent, StepKey

WAYS = f"how takes {', '.join(breaks.HOWS)}, or null to clear"


@dataclass(frozen=True, slots=True)
class NewBreak:
    """A break that is requested for the step `name`, or for its `count`-th call only.

    `how` None clears; `ms` is for slow, `value` (JSON-able) for return.
    """

    name: str
    count: int | None = None
    how: str | None = None
    times: int = 1
    ms: int | None = None
    value: Any = None


async def break_event(new: NewBreak) -> NewEvent:
    """The event that sets or clears a break.

    Raises:
        CannotBreak: it makes no sense; the message says why.
        NotSerialisable, TooLarge: its value can't be stored.
    """
    if not names.is_step_name(new.name):
        raise CannotBreak(names.step_name_error(new.name))
    step = {"kind": ev.DO, "name": new.name, **({} if new.count is None else {"count": new.count})}
    if new.how is None:
        return NewEvent(ev.BREAK_CLEARED, {"step": step})
    if new.how not in breaks.HOWS:
        raise CannotBreak(WAYS)
    if not 1 <= new.times <= breaks.MAX_TIMES:
        raise CannotBreak(f"times is how many attempts it falls on, from 1 to {breaks.MAX_TIMES:,}")
    data: dict[str, Any] = {"step": step, "how": new.how, "times": new.times}
    if new.how == breaks.SLOW:
        if new.ms is None or not 1 <= new.ms <= breaks.MAX_SLOW_MS:
            raise CannotBreak(f"slow takes ms, from 1 to {breaks.MAX_SLOW_MS:,}")
        data["ms"] = new.ms
    if new.how == breaks.RETURN:
        data["value"] = await encode_input(new.value, "value to return", breaks.MAX_VALUE_BYTES)
    return NewEvent(ev.BREAK_SET, data)


def change_breaks(event: NewEvent) -> Decider:
    """Set or clear a break of an instance that still runs. Raises InstanceInFiniteState, CannotBreak."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        if row.status in ev.FINAL_STATUSES:
            raise InstanceInFiniteState(
                f'Instance "{row.id}" has ended ({row.status}). Restart it with `breaks`: then they are set before it '
                "runs."
            )
        before = breaks.breaks_of(row.injected)
        after = breaks.breaks_after(before, event.type, 0, event.data)
        if event.type == ev.BREAK_CLEARED and len(after) == len(before):
            return []
        breaks.check_number_of_breaks(before, [event])
        return [event]

    return decide


class Breaks:
    """The breaks of one execution, and those that its worker was sent.

    Args:
        on_change: sends them to the worker (`as_frame`), while it can receive them.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._now: list[Break] = []
        self._sent: dict[int, Break] = {}
        self._claimed: Counter[int] = Counter()

    @property
    def is_set(self) -> bool:
        """Whether a later attempt may fall under one."""
        return bool(self._now)

    def begin(self, injected: Mapping[str, Any] | None) -> None:
        """Read them from the row that the execution starts from."""
        self._now = list(breaks.breaks_of(injected))

    def as_frame(self) -> list[Break]:
        """The breaks in the form of the frame: the worker subtracts by itself what it has claimed."""
        shown: list[Break] = [{**each, "left": each["left"] + self._claimed[each["id"]]} for each in self._now]
        for each in shown:  # `left` only decreases, and the worker may have claimed more before it received this
            self._sent.setdefault(each["id"], each)
        return shown

    def apply_event(self, event: Event) -> None:
        """A break was set or cleared: send the worker the new list."""
        self._now = breaks.breaks_after(self._now, event.type, event.seq, event.data)
        self._on_change()

    def claim(self, frame: frames.Do) -> Break | None:
        """Use up and return the break that the worker claims for a first attempt, or None.

        Raises:
            ProtocolError: it was never sent such a break, or has used it up.
        """
        if frame.broken is None:
            return None
        found = self._sent.get(frame.broken)
        name, count = frame.step.name, frame.step.count
        if found is None or found["step"]["name"] != name or found["step"].get("count") not in (None, count):
            raise frames.ProtocolError("the worker claims a break that does not exist")
        self._claimed[frame.broken] += 1
        if self._claimed[frame.broken] > found["left"]:
            raise frames.ProtocolError("the worker claims a break that is used up")
        self._use_up(found)
        return found

    def take_for_next_attempt(self, step: StepKey) -> Break | None:
        """Use up and return the break that the next attempt of a step falls under, or None."""
        found = breaks.find_break(self._now, step.name, step.count)
        if found is not None:
            self._use_up(found)
            self._on_change()
        return found

    def _use_up(self, found: Break) -> None:
        self._now = breaks.breaks_after(self._now, ev.ATTEMPT_STARTED, 0, {"break": found["id"]})


def break_fields(broken: Break | None, *, begins: bool = False) -> dict[str, Any]:
    """The fields of an attempt's events that say that it falls under a break."""
    if broken is None:
        return {}
    return {"injected": broken["how"], **({"break": broken["id"]} if begins else {})}


def broken_result(broken: Break | None, value: Any) -> Any:
    """The result of an attempt that has one.

    Raises:
        ProtocolError: it was to fail.
    """
    if broken is None or broken["how"] == breaks.SLOW:
        return value
    if broken["how"] == breaks.RETURN:
        return broken["value"]
    raise frames.ProtocolError("the worker has a result of an attempt that was made to fail")


def broken_failure(broken: Break | None, timeout: int, error: dict[str, Any], retryable: bool) -> dict[str, Any]:
    """The error of an attempt that failed; one that may not be tried again is that of the step's own delay function."""
    if broken is None or not retryable:
        return error
    if broken["how"] == breaks.FAIL:
        return messages.error(breaks.ERROR_NAME, breaks.ERROR_MESSAGE)
    return dict(messages.timed_out(timeout)) if broken["how"] == breaks.TIMEOUT else error


class Chaos:
    """The chaos plan of one execution; without a plan it does nothing.

    `virtual`: sleeps, retries and waits end at once.

    Args:
        kill: kills the worker and ends the execution; receives the details for the event of the end.
    """

    def __init__(self, kill: Callable[[Mapping[str, Any]], None]) -> None:
        self._kill = kill
        self._kill_before: int | None = None
        self._commits = 0
        self._timed_out: frozenset[tuple[str, int]] = frozenset()
        self.virtual = False

    def begin(self, injected: Mapping[str, Any] | None, steps: Iterable[OpenStep]) -> None:
        """Read the plan from the row that the execution starts from, and count the commits of its steps."""
        plan = (injected or {}).get("chaos")
        if plan is None:
            return
        self.virtual = True
        self._timed_out = frozenset((name, count) for name, count in plan["timed_out"])
        if "killed" not in plan:
            self._kill_before = plan["kill_before_commit"]
        self._commits = sum(step.key.kind == ev.DO and step.status == open_steps.OVER for step in steps)

    def times_out(self, step: StepKey) -> bool:
        """Whether a wait times out, as it did in the run that this one repeats."""
        return (step.name, step.count) in self._timed_out

    def kill_if_due(self, step: StepKey | None) -> bool:
        """Count a commit that is about to be made, and kill the worker if it is the planned one. True: it was killed.

        `step` None is the end of the run.
        """
        if self._kill_before is None:
            return False
        self._commits += 1
        if self._commits != self._kill_before:
            return False
        details: dict[str, Any] = {"injected": self._kill_before}
        if step is not None:
            details["step"] = step.as_json()
        self._kill(details)
        return True


def commits_of_steps(steps: int) -> int:
    """How many commits a run with so many `do`s made that a worker may be killed before."""
    return steps + 1


def spread_over_commits(made: int, most: int) -> list[int]:
    """The commits to kill before: all, or as many as may be, evenly spread with the first and the last among them."""
    if made <= most:
        return list(range(1, made + 1))
    return [1] if most == 1 else [1 + place * (made - 1) // (most - 1) for place in range(most)]
