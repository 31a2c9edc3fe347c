"""Breaking steps on purpose: what a person asks for, what an execution knows of it, and what is written of an attempt
that it falls on.

A worker begins a first attempt without asking, so it is given the breaks and claims one
(`playground/worker/injected_faults.py`). A claim has to be of a break that it was given, for that step, and not used
up. What is written of such an attempt is decided here: its error or its result is the break's, whatever the worker
says.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.engine import messages
from playground.engine.execution.conversation import Conversation
from playground.engine.inputs import stored
from playground.sandbox import frames
from playground.store.protocol import Decider, Snapshot
from playground.workflows import breaks, names
from playground.workflows import events as ev
from playground.workflows.breaks import Break
from playground.workflows.errors import CannotBreak, InstanceInFiniteState
from playground.workflows.events import Event, NewEvent, StepKey

WAYS = f"how takes {', '.join(breaks.HOWS)}, or null to clear"


@dataclass(frozen=True, slots=True)
class NewBreak:
    """What is asked for of the step `name`, or of its `count`-th call only.

    `how` None clears; `ms` is for slow, `value` (JSON-able) for return.
    """

    name: str
    count: int | None = None
    how: str | None = None
    times: int = 1
    ms: int | None = None
    value: Any = None


async def asked(new: NewBreak) -> NewEvent:
    """The event that sets or clears a break.

    Raises:
        CannotBreak: it makes no sense; the message says why.
        NotSerialisable, TooLarge: its value can't be stored.
    """
    if not names.step_name_fits(new.name):
        raise CannotBreak(names.step_name_refusal(new.name))
    step = {"kind": ev.DO, "name": new.name, **({} if new.count is None else {"count": new.count})}
    if new.how is None:
        return NewEvent(ev.BREAK_CLEARED, {"step": step})
    if new.how not in breaks.HOWS:
        raise CannotBreak(WAYS)
    if not 1 <= new.times <= breaks.TIMES_MOST:
        raise CannotBreak(f"times is how many attempts it falls on, from 1 to {breaks.TIMES_MOST:,}")
    data: dict[str, Any] = {"step": step, "how": new.how, "times": new.times}
    if new.how == breaks.SLOW:
        if new.ms is None or not 1 <= new.ms <= breaks.SLOW_MOST_MS:
            raise CannotBreak(f"slow takes ms, from 1 to {breaks.SLOW_MOST_MS:,}")
        data["ms"] = new.ms
    if new.how == breaks.RETURN:
        data["value"] = await stored(new.value, "value to return", breaks.VALUE_BYTES)
    return NewEvent(ev.BREAK_SET, data)


def set_or_clear(event: NewEvent) -> Decider:
    """Set or clear a break of an instance that still runs. Raises InstanceInFiniteState, CannotBreak."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        if row.status in ev.FINAL_STATUSES:
            raise InstanceInFiniteState(
                f'Instance "{row.id}" has ended ({row.status}). Restart it with `breaks`: then they are set before it '
                "runs."
            )
        if event.type == ev.BREAK_CLEARED and len(_after(of(row.injected), event)) == len(of(row.injected)):
            return []
        check_room(of(row.injected), [event])
        return [event]

    return decide


def check_room(before: Sequence[Break], events: Sequence[NewEvent]) -> None:
    """Raises CannotBreak when the breaks after these events would be too many."""
    for event in events:
        before = _after(before, event)
    if len(before) > breaks.MOST:
        raise CannotBreak(f"An instance can have {breaks.MOST} breaks at once. Clear some first.")


def of(injected: Mapping[str, Any] | None) -> Sequence[Break]:
    """The breaks that a row holds."""
    found: Sequence[Break] = (injected or {}).get("breaks", ())
    return found


def _after(before: Sequence[Break], event: NewEvent) -> list[Break]:
    return breaks.after(before, event.type, 0, event.data)


class Breaks:
    """The breaks that one execution knows of, and what its worker was given of them."""

    def __init__(self, execution: Conversation) -> None:
        self._execution = execution
        self._now: list[Break] = []
        self._given: dict[int, Break] = {}
        self._claimed: Counter[int] = Counter()

    def begin(self, injected: Mapping[str, Any] | None) -> None:
        """Take them from the row that the execution starts from."""
        self._now = list(of(injected))

    def frame(self) -> list[Break]:
        """The breaks as the worker is to know them: it subtracts what it has claimed by itself."""
        shown: list[Break] = [{**each, "left": each["left"] + self._claimed[each["id"]]} for each in self._now]
        for each in shown:  # it only gets less, and the worker may have claimed more before it heard
            self._given.setdefault(each["id"], each)
        return shown

    def apply(self, event: Event) -> None:
        """Take in that one was set or cleared, and tell the worker."""
        self._now = breaks.after(self._now, event.type, event.seq, event.data)
        self._tell()

    def claimed(self, frame: frames.Do) -> Break | None:
        """The break that the worker says a first attempt falls under.

        Raises:
            ProtocolError: it was never given such a break, or not so often.
        """
        if frame.broken is None:
            return None
        found = self._given.get(frame.broken)
        name, count = frame.step.name, frame.step.count
        if found is None or found["step"]["name"] != name or found["step"].get("count") not in (None, count):
            raise frames.ProtocolError("the worker claims a break that does not exist")
        self._claimed[frame.broken] += 1
        if self._claimed[frame.broken] > found["left"]:
            raise frames.ProtocolError("the worker claims a break that is used up")
        self._use(found)
        return found

    def of_next(self, step: StepKey) -> Break | None:
        """The break that the next attempt of a step falls under, which is used once more."""
        found = breaks.find(self._now, step.name, step.count)
        if found is not None:
            self._use(found)
            self._tell()
        return found

    def _use(self, found: Break) -> None:
        self._now = breaks.after(self._now, ev.ATTEMPT_STARTED, 0, {"break": found["id"]})

    def _tell(self) -> None:
        execution = self._execution
        if execution.channel is not None and not execution.closing:
            execution.send({"op": "breaks", "breaks": self.frame()})


def noted(broken: Break | None, *, begins: bool = False) -> dict[str, Any]:
    """What stands in an attempt's events when it falls under a break."""
    if broken is None:
        return {}
    return {"injected": broken["how"], **({"break": broken["id"]} if begins else {})}


def result(broken: Break | None, value: Any) -> Any:
    """The result of an attempt that has one.

    Raises:
        ProtocolError: it was to fail.
    """
    if broken is None or broken["how"] == breaks.SLOW:
        return value
    if broken["how"] == breaks.RETURN:
        return broken["value"]
    raise frames.ProtocolError("the worker has a result of an attempt that was made to fail")


def failure(broken: Break | None, timeout: int, error: dict[str, Any], retryable: bool) -> dict[str, Any]:
    """The error of an attempt that failed; one that may not be tried again is that of the step's own delay function."""
    if broken is None or not retryable:
        return error
    if broken["how"] == breaks.FAIL:
        return messages.error(breaks.ERROR, breaks.MESSAGE)
    return dict(messages.timed_out(timeout)) if broken["how"] == breaks.TIMEOUT else error
