"""Stopping before a step: breakpoints of a run, what its worker is sent of them, and how a run goes on from a stop.

A worker knows the breakpoints (`playground/workflows/breakpoints.py`) and holds a new step that one stands before: it
starts nothing more and sends `stop` with what the step would begin with. That is committed as `breakpoint_hit`, and the
instance is paused as by a person: attempts that run come to their end, then the worker is released. A stopped instance
is a row. So it survives whatever a paused one does, and any node goes on with it.

Going on resumes it, and a replay brings the code to the same step, which is passed by then. *Next commit* and *run to
here* are breakpoints that are gone after the next stop. A result or an error that is given stands in the journal before
the code runs, as the end of the step, so that every replay finds it. What goes into a step can't be given: its callback
takes that from the code around it, which computes it from the params and from earlier results. A fork from the step
whose result it is runs with another one.

A worker that ignores its breakpoints, since its tenant wrote it so, runs on: they guard nothing. One that claims a stop
where none was sent, or two at once, breaks the protocol.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.engine import messages, operations
from playground.sandbox import frames
from playground.store.protocol import Decider, DeciderWithNeeds, Needs, Snapshot
from playground.store.rows import STEP_RUNNING
from playground.workflows import breakpoints, event_rules, names
from playground.workflows import events as ev
from playground.workflows.breakpoints import Breakpoint, Passed, Stop
from playground.workflows.errors import CannotBreak, CannotContinue, InstanceInFiniteState
from playground.workflows.events import Event, NewEvent, StepKey


@dataclass(frozen=True, slots=True)
class StepPattern:
    """The steps that a breakpoint stands before: what is None matches every step."""

    name: str | None = None
    kind: str | None = None
    count: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The pattern as in the journal."""
        fields = {"kind": self.kind, "name": self.name, "count": self.count}
        return {name: value for name, value in fields.items() if value is not None}


ANY_STEP = StepPattern()
NOTHING: Any = object()  # no result is given


def breakpoint_event(step: StepPattern, *, on: bool = True, once: bool = False) -> NewEvent:
    """The event that sets a breakpoint, or clears it. Raises CannotBreak when it makes no sense."""
    if step.name is not None and not names.is_step_name(step.name):
        raise CannotBreak(names.step_name_error(step.name))
    if step.kind is not None and step.kind not in ev.KINDS:
        raise CannotBreak(f"kind takes {', '.join(ev.KINDS)}")
    if step.count is not None and (step.count < 1 or step.name is None):
        raise CannotBreak("count is which call of a name it is, from 1, and needs that name")
    data: dict[str, Any] = {"step": step.as_json(), **({"once": True} if once else {})}
    return NewEvent(ev.BREAKPOINT_SET if on else ev.BREAKPOINT_CLEARED, data)


def change_breakpoints(event: NewEvent) -> Decider:
    """Set or clear a breakpoint of an instance that has not ended; nothing where that changes nothing.

    Raises InstanceInFiniteState, CannotBreak.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        if row.status in ev.FINAL_STATUSES:
            raise InstanceInFiniteState(
                f'Instance "{row.id}" has ended ({row.status}). Restart it with `breakpoints`: then they are set '
                "before it runs."
            )
        before = breakpoints.breakpoints_of(row.injected)
        if breakpoints.breakpoints_after(before, event.type, event.data) == list(before):
            return []
        _check_not_nested([event], snapshot)
        breakpoints.check_number_of_breakpoints(before, [event])
        return [event]

    return DeciderWithNeeds(decide, Needs(keys=event.type == ev.BREAKPOINT_SET))


def _check_not_nested(events: Sequence[NewEvent], snapshot: Snapshot) -> None:
    """Raises CannotBreak for a `breakpoint_set` before a step that this run has only had inside another one."""
    for event in events:
        outer = None if snapshot.keys is None else breakpoints.nested_in(event.data, snapshot.keys)
        if outer is not None:
            raise CannotBreak(breakpoints.nested_sentence(event.data["step"]["name"], outer.label))


def stop_before(data: Mapping[str, Any]) -> Decider:
    """The code has come to a breakpoint: stop now, or when the attempts that run have ended. `data`: of the event."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        if snapshot.row.status in ev.FINAL_STATUSES:
            return []
        return [NewEvent(ev.BREAKPOINT_HIT, data), *operations.pause(snapshot)]

    return decide


@dataclass(frozen=True, slots=True)
class Given:
    """A result for the step that an instance is stopped before: an encoded value, of a wait its event's payload."""

    value: Any


@dataclass(frozen=True, slots=True)
class GivenError:
    """An error in place of a result: the step has failed for good. A wait has only that of its timeout: no words.

    `name` is that of a class: one of the tenant's module, of `workers` or a built-in one is raised as itself, any other
    as a `StepError` of that name.
    """

    name: str | None = None
    message: str | None = None


def go_on(at: int, until: StepPattern | None = None, given: Given | GivenError | None = None) -> Decider:
    """Go on from a stop or a pause, until a step if one is named. `given`: the step ends so and does not run.

    On an instance that runs, `until` makes it stop there; without it, what was to stop it once is forgotten.

    Raises InstanceInFiniteState, CannotContinue, CannotBreak.
    """
    stops = [] if until is None else [breakpoint_event(until, once=True)]
    resume = operations.resume(at)

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        if row.status in ev.FINAL_STATUSES:
            raise InstanceInFiniteState(f'Instance "{row.id}" has ended ({row.status}); it does not go on.')
        events = [] if given is None else [_give(snapshot, given, at)]
        before = breakpoints.breakpoints_of(row.injected)
        kept = breakpoints.lasting(before)
        cleared = [
            NewEvent(ev.BREAKPOINT_CLEARED, each)
            for each in before
            if each not in kept and each["step"] not in [stop.data["step"] for stop in stops]
        ]
        stops_now = [stop for stop in stops if stop.data not in before]
        _check_not_nested(stops, snapshot)
        breakpoints.check_number_of_breakpoints(kept, stops)
        return [*events, *cleared, *stops_now, *resume(snapshot)]

    return DeciderWithNeeds(decide, Needs(keys=until is not None and until.name is not None))


def _give(snapshot: Snapshot, given: Given | GivenError, at: int) -> NewEvent:
    """The end of the step that an instance is stopped before, with what a person gives it."""
    row, stop = snapshot.row, breakpoints.stopped_before(snapshot.row.injected)
    if stop is None:
        raise CannotContinue(f'Instance "{row.id}" is not stopped before a step ({row.status}), so none gets a result.')
    key = StepKey(stop["kind"], stop["name"], stop["count"])
    if row.status != ev.PAUSED:
        running = [step.key.label for step in snapshot.open if step.status == STEP_RUNNING]
        raise CannotContinue(
            f'Instance "{row.id}" is about to stop before "{key.label}": {", ".join(running)} still runs. Give the '
            "result once it is paused."
        )
    data: dict[str, Any] = {
        "status": event_rules.COMPLETED,
        "line": stop["line"],
        "edited": True,
        "clock_us": max(row.clock or 0, stop.get("clock_us") or 0),
        **{name: stop[name] for name in ("config", "rollback", "event_type") if name in stop},
    }
    if isinstance(given, GivenError):
        return NewEvent(ev.STEP_GIVEN, {**data, **_failure(stop, key, given)}, key)
    value = given.value
    if key.kind == ev.SLEEP:
        if value is not None:
            raise CannotContinue(f'"{key.label}" is a sleep, which has no result: null skips it.')
        return NewEvent(ev.STEP_GIVEN, data, key)
    if key.kind == ev.WAIT:
        value = {"type": names.split_event_types(stop["event_type"])[0], "payload": value, "timestamp": at}
    if (stop.get("config") or {}).get("sensitive"):
        return NewEvent(ev.STEP_GIVEN, {**data, "output": ev.REDACTED}, key, value)
    return NewEvent(ev.STEP_GIVEN, {**data, "output": value}, key)


def _failure(stop: Stop, key: StepKey, given: GivenError) -> dict[str, Any]:
    """How the step that an instance is stopped before fails."""
    if key.kind == ev.SLEEP:
        raise CannotContinue(f'"{key.label}" is a sleep, which cannot fail: `output` null skips it.')
    if key.kind == ev.WAIT:
        if (given.name, given.message) != (None, None):
            raise CannotContinue(
                f'"{key.label}" waits for an event, whose only error is that of its timeout: `error` takes no name and '
                "no message there."
            )
        return {"status": event_rules.TIMED_OUT, "error": messages.timed_out(stop["timeout"])}
    try:
        error = messages.given_error(given.name, given.message, stop["line"])
    except ValueError as refused:
        raise CannotContinue(str(refused)) from None
    return {"status": event_rules.ERRORED, "error": error}


def stop_data(frame: frames.Stop) -> dict[str, Any]:
    """The data of the event that a worker's `stop` becomes."""
    step = frames.step_key(frame.step)
    begins = {
        "config": _config_of(frame),
        "rollback": None if frame.rollback is None else frames.config_to_builtins(frame.rollback),
        "event_type": frame.event_type,
        "timeout": frame.timeout,
        "duration": frame.duration,
        "until": frame.until,
        "clock_us": frame.clock,
    }
    shown = {name: value for name, value in begins.items() if value is not None}
    return {"step": step.as_json(), "line": frame.line, **shown}


def _config_of(frame: frames.Stop) -> Mapping[str, Any] | None:
    """What `config` is in the event that begins the step."""
    if frame.schema is not None:
        return {"schema": frame.schema}
    return None if frame.config is None else frames.config_to_builtins(frame.config)


def is_stop(frame: frames.Stop) -> bool:
    """Whether a `stop` has what its kind of step begins with, and is not of a step inside another."""
    wanted = {
        ev.DO: frame.config is not None,
        ev.CHILD: True,
        ev.WAIT: frame.event_type is not None and frame.timeout is not None,
    }
    sleeps = (frame.duration is None) != (frame.until is None)
    return frame.step.parent is None and wanted.get(frame.step.kind, sleeps)


class Breakpoints:
    """The breakpoints of one execution, and those that its worker was ever sent.

    Args:
        on_change: sends them to the worker (`as_frame`), while it can receive them.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._now: list[Breakpoint] = []
        self._passed: list[Passed] = []
        self._sent: list[Breakpoint] = []
        self._stop: Stop | None = None
        self._claimed = False

    @property
    def is_set(self) -> bool:
        """Whether a later step may be stopped before."""
        return bool(self._now)

    def begin(self, injected: Mapping[str, Any] | None) -> None:
        """Read them from the row that the execution starts from."""
        self._now = list(breakpoints.breakpoints_of(injected))
        self._passed = list(breakpoints.passed_of(injected))

    def as_frame(self) -> dict[str, Any]:
        """What the worker is sent of them."""
        self._sent += [each for each in self._now if each not in self._sent]
        return {"set": self._now, "passed": self._passed}

    def claim(self, frame: frames.Stop) -> None:
        """The worker has stopped before a step. Raises ProtocolError when it was sent no breakpoint there."""
        step = frame.step
        if self._claimed or not is_stop(frame):
            raise frames.ProtocolError("the worker stopped twice, or before what is no step")
        if not breakpoints.stops_before(self._sent, (), step.kind, step.name, step.count):
            raise frames.ProtocolError("the worker stopped where no breakpoint is")
        self._claimed = True

    def apply_event(self, event: Event) -> None:
        """A breakpoint was set, cleared or hit, or the instance goes on from a stop: send the worker what is new."""
        if event.type == ev.WORKFLOW_RESUMED:
            self._claimed = False
            if self._stop is None:
                return
            self._passed, self._stop = breakpoints.passed_after(self._passed, self._stop), None
        else:
            self._now = breakpoints.breakpoints_after(self._now, event.type, event.data)
            if event.type == ev.BREAKPOINT_HIT:
                self._stop = breakpoints.stop_of(event.data)
        self._on_change()
