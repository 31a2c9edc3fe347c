"""`State`, the fold over a journal: an instance with its steps, attempts and executions, as people see it.

Pages, API and tests see an instance through this. The changes that rows have too are in `event_rules.py`; what only
people see (the list of attempts, times of steps, executions) is in the tables at the end of this file.
`static/js/run/fold.js` is the same fold in the browser; tests/journals holds cases on which both must agree.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from playground.workflows import events as ev
from playground.workflows.breakpoints import Breakpoint, Passed, Stop
from playground.workflows.breaks import Break
from playground.workflows.event_rules import (
    AS_COPIED,
    CANCELLED,
    COMPLETED,
    ERRORED,
    OPEN_STATUSES,
    PENDING,
    RULES,
    SLEEPING,
    WAITING,
    Rule,
    activated,
)
from playground.workflows.events import Event, StepKey
from playground.workflows.streams import Stream


@dataclass(slots=True)
class Attempt:
    """One attempt of a step or of its rollback handler.

    `error` is None while it is open and after success; `injected` is the fault that a person set for it.
    """

    attempt: int
    execution: int | None
    started_at: int
    ended_at: int | None = None
    error: dict[str, Any] | None = None
    retry_delay_ms: int | None = None
    took_us: int | None = None  # by the worker's own clock
    virtual: bool = False
    injected: str | None = None


@dataclass(slots=True)
class Rollback:
    """A step's rollback handler. `attempt` is the number of the latest attempt, `until` when the next is due."""

    status: str
    attempts: list[Attempt] = field(default_factory=list)
    error: dict[str, Any] | None = None
    attempt: int = 0
    until: int | None = None


@dataclass(slots=True)
class Step:
    """A do, sleep, wait or child of the current generation.

    `attempt` is the number of the latest attempt. `copied` has the attempts and the duration of a step that a fork took
    over.
    """

    key: StepKey
    status: str
    line: int | None
    started_at: int
    ended_at: int | None = None
    until: int | None = None
    event_type: str | None = None
    config: dict[str, Any] | None = None
    has_output: bool = False
    output: Any = None
    error: dict[str, Any] | None = None
    attempt: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    rollback: Rollback | None = None
    virtual: bool = False
    started_seq: int = 0
    cut_short: bool = False  # it was open when the run ended
    copied: dict[str, Any] | None = None
    edited: bool = False  # a person gave its result
    child: str | None = None  # the id of the instance that it runs
    reply: dict[str, Any] | None = None  # of a wait, to its event
    by: dict[str, Any] | None = None  # who sent the event of a wait
    ai: dict[str, Any] | None = None  # what its calls of models came to
    mcp: dict[str, Any] | None = None  # what its calls of tools came to

    @property
    def is_over(self) -> bool:
        """Whether neither it nor its rollback handler changes any more, unless the instance is restarted."""
        return self.status not in OPEN_STATUSES and (
            self.rollback is None or self.rollback.status in (COMPLETED, ERRORED)
        )

    def as_json(self) -> dict[str, Any]:
        """The step as under `steps` in the API."""
        shown: dict[str, Any] = {
            **self.key.as_json(),
            "line": self.line,
            "status": self.status,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }
        shown |= _present(self, "until", "event_type", "child", "reply", "by", "config", "error", "ai", "mcp")
        if self.has_output:
            shown["output"] = self.output
        if self.virtual:
            shown["virtual"] = True
        if self.copied is not None:
            shown["copied"] = self.copied
        if self.edited:
            shown["edited"] = True
        if self.key.kind == ev.DO:
            shown["attempts"] = [_attempt_json(attempt) for attempt in self.attempts]
        if self.rollback is not None:
            shown["rollback"] = {
                "status": self.rollback.status,
                "attempts": [_attempt_json(a) for a in self.rollback.attempts],
            }
            if self.rollback.error is not None:
                shown["rollback"]["error"] = self.rollback.error
        return shown


@dataclass(slots=True)
class Execution:
    """One life of a worker for the instance."""

    execution: int
    worker: str | None
    replayed: int
    code_version: str | None
    started_at: int
    ended_at: int | None = None
    reason: str | None = None


def _present(value: "Step | Attempt", *names: str) -> dict[str, Any]:
    """The fields of these names that have a value."""
    return {name: found for name in names if (found := getattr(value, name)) is not None}


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "attempt": attempt.attempt,
        "execution": attempt.execution,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
    }
    shown |= _present(attempt, "error", "retry_delay_ms", "took_us", "injected")
    if attempt.virtual:
        shown["virtual"] = True
    return shown


class State:
    """An instance after the events applied so far, in the order of their seq."""

    def __init__(self) -> None:
        self.status = ev.QUEUED
        self.generation = 1
        self.params: Any = None
        self.trigger: Any = None
        self.output: Any = None
        self.error: dict[str, Any] | None = None
        self.rollback: str | None = None
        self.created_at: int | None = None
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.paused_at: int | None = None
        self.wait_until: int | None = None
        self.held_until: int | None = None  # it is held (flow.py), and does not start before
        self.last_seq = 0
        self.steps: dict[StepKey, Step] = {}
        self.executions: list[Execution] = []
        self.log_truncated = 0
        self.streams: dict[str, Stream] = {}
        self.code_changes: list[dict[str, Any]] = []
        self.in_execution = False
        self.breaks: list[Break] = []
        self.breakpoints: list[Breakpoint] = []
        self.stopped_before: Stop | None = None
        self.passed: list[Passed] = []
        self.armed: str | None = None  # when the worker is to be killed
        self.skips_sleeps = False
        self.patches: dict[str, dict[str, Any]] = {}  # decisions of `step.patched`, by name
        self.tags: list[str] = []

    def apply(self, event: Event) -> None:
        """Apply the next event.

        Events of unknown types, and of unknown steps, change only `last_seq`, so that an older program can read newer
        journals.
        """
        self.last_seq = event.seq
        applied = _CHANGES.get(event.type)
        if applied is None:
            return
        rule, step_change, instance_change = applied
        begins, step_rule, handler_rule, keeps, postpones, instance_rule, activates = rule
        if begins is not None:
            self._start_step(event, event.data["status"] if begins is AS_COPIED else begins)
        if step_rule is not None or handler_rule is not None or step_change is not None:
            step = None if event.step is None else self.steps.get(event.step)
            if step is None:
                return
            if step_rule is not None:
                for name, value in step_rule(event.data, event.at).items():
                    setattr(step, name, value)
            if handler_rule is not None:
                step.rollback = step.rollback or Rollback(PENDING)
                for name, value in handler_rule(event.data, event.at).items():
                    setattr(step.rollback, name, value)
            if step_change is not None:
                step_change(step, event)
        if instance_rule is not None:
            if keeps is not None:
                before = keeps(event.data, self.steps)
                self.steps = {key: step for key, step in self.steps.items() if step.started_seq < before}
                self.patches = {name: one for name, one in self.patches.items() if one["seq"] < before}
            if postpones is not None:
                self._postpone(postpones(self, event.at))
            for name, value in instance_rule(self, event.data, event.at).items():
                setattr(self, name, value)
        if activates and self.status == ev.WAITING:
            for name, value in activated(self).items():
                setattr(self, name, value)
        if instance_change is not None:
            instance_change(self, event)

    def as_json(self, steps: Any = None) -> dict[str, Any]:
        """The part of `GET /api/instances/{id}` that comes from the journal. `steps`: those that are JSON already."""
        shown = {
            "status": self.status,
            "output": self.output,
            "error": self.error,
            "rollback": self.rollback,
            "params": self.params,
            "generation": self.generation,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "waiting_until": self.wait_until if self.status == ev.WAITING else None,
            "held_until": self.held_until,
            "executions": [_execution_json(execution) for execution in self.executions],
            "last_seq": self.last_seq,
            "steps": [step.as_json() for step in self.steps.values()] if steps is None else steps,
            "log_truncated": self.log_truncated,
            "streams": self.streams_json(),
            "breaks": [*self.breaks],
            "breakpoints": [*self.breakpoints],
            "stopped_before": self.stopped_before,
            "armed": self.armed,
            "skips_sleeps": self.skips_sleeps,
            "tags": [*self.tags],
        }
        if isinstance(self.trigger, Mapping):
            shown["trigger"] = self.trigger
        if self.patches:
            shown["patches"] = list(self.patches.values())
        if self.code_changes:
            shown["code_changes"] = list(self.code_changes)
        return shown

    def streams_json(self) -> list[dict[str, Any]]:
        """The streams that its steps have appended to, as in the API."""
        return [stream.as_json(name) for name, stream in self.streams.items()]

    def _start_step(self, event: Event, status: str) -> None:
        data = event.data
        step = self.steps[event.key] = Step(event.key, status, data.get("line"), event.at, started_seq=event.seq)
        step.until, step.event_type, step.config = data.get("until"), data.get("event_type"), data.get("config")
        step.child = data.get("child")
        if data.get("rollback"):
            step.rollback = Rollback(PENDING)

    def _postpone(self, by: int) -> None:
        for step in self.steps.values():
            if step.until is not None and step.status in OPEN_STATUSES:
                step.until += by
            if step.rollback is not None and step.rollback.until is not None:
                step.rollback.until += by


def fold(events: Iterable[Event]) -> State:
    """The state after a journal's events."""
    state = State()
    for event in events:
        state.apply(event)
    return state


def _execution_json(execution: Execution) -> dict[str, Any]:
    return {name: getattr(execution, name) for name in Execution.__slots__}


def _step_copied(step: Step, event: Event) -> None:
    data = event.data
    step.ended_at, step.error = event.at, data.get("error")
    step.has_output, step.output = "output" in data, data.get("output")
    step.copied = {name: data[name] for name in ("attempts", "took_ms", "edited") if name in data}


def _step_given(step: Step, event: Event) -> None:
    step.ended_at, step.edited, step.error = event.at, True, event.data.get("error")
    step.has_output, step.output = "output" in event.data, event.data.get("output")


def _attempt_started(step: Step, event: Event) -> None:
    data = event.data
    virtual, injected = bool(data.get("virtual")), data.get("injected")
    step.attempts.append(Attempt(data["attempt"], event.execution, event.at, virtual=virtual, injected=injected))


def _attempt_completed(step: Step, event: Event) -> None:
    _complete_attempt(step.attempts, event)


def _attempt_errored(step: Step, event: Event) -> None:
    _fail_attempt(step.attempts, event)


def _retry_woken(step: Step, event: Event) -> None:
    if step.attempts:
        step.attempts[-1].virtual = True


def _ended(step: Step, event: Event) -> None:
    step.ended_at, step.virtual = event.at, bool(event.data.get("virtual"))


def _step_completed(step: Step, event: Event) -> None:
    _ended(step, event)
    step.has_output, step.output = True, event.data.get("output")


def _wait_completed(step: Step, event: Event) -> None:
    _ended(step, event)
    step.has_output, step.output, step.by = True, event.data["event"], event.data.get("by")


def _cancelled(step: Step, event: Event) -> None:
    _ended(step, event)
    step.has_output, step.output, step.by = False, None, None


def _handler_started(step: Step, event: Event) -> None:
    assert step.rollback is not None, "its rule has created it"
    step.rollback.attempts, step.rollback.error = [], None


def _handler_attempt_started(step: Step, event: Event) -> None:
    assert step.rollback is not None, "its rule has created it"
    step.rollback.attempts.append(Attempt(event.data["attempt"], event.execution, event.at))


def _handler_attempt_completed(step: Step, event: Event) -> None:
    if step.rollback is not None:
        _complete_attempt(step.rollback.attempts, event)


def _handler_attempt_errored(step: Step, event: Event) -> None:
    assert step.rollback is not None, "its rule has created it"
    _fail_attempt(step.rollback.attempts, event)


def _complete_attempt(attempts: list[Attempt], event: Event) -> None:
    if attempts:
        attempts[-1].ended_at, attempts[-1].took_us = event.at, event.data.get("took_us")


def _fail_attempt(attempts: list[Attempt], event: Event) -> None:
    if attempts and attempts[-1].ended_at is None:
        attempt = attempts[-1]
        attempt.ended_at, attempt.error = event.at, event.data["error"]
        attempt.retry_delay_ms, attempt.took_us = event.data.get("retry_delay_ms"), event.data.get("took_us")


def _workflow_queued(state: State, event: Event) -> None:
    state.params, state.trigger = event.data.get("params"), event.data.get("trigger")
    state.created_at = event.at


def _restarted(state: State, event: Event) -> None:
    state.log_truncated = 0
    for stream in state.streams.values():
        stream.restart(state.steps)
    for step in state.steps.values():
        if step.cut_short:
            step.status, step.ended_at, step.cut_short = SLEEPING if step.key.kind == ev.SLEEP else WAITING, None, False


def _final(state: State, event: Event) -> None:
    for step in state.steps.values():
        if step.status in (SLEEPING, WAITING):  # the run has ended, so the wait has too
            step.status, step.ended_at, step.cut_short = CANCELLED, event.at, True


def _execution_started(state: State, event: Event) -> None:
    data = event.data
    state.executions.append(
        Execution(data["execution"], data.get("worker"), data.get("replayed", 0), data.get("code_version"), event.at)
    )


def _execution_ended(state: State, event: Event) -> None:
    if state.executions:
        state.executions[-1].ended_at, state.executions[-1].reason = event.at, event.data["reason"]


def _patch_decided(state: State, event: Event) -> None:
    name, data = event.key.name, event.data
    state.patches[name] = {"name": name, "patched": data["patched"], "at": event.at, "seq": event.seq}


def _event_replied(state: State, event: Event) -> None:
    step = state.steps.get(event.key._replace(kind=ev.WAIT))
    if step is not None:
        fields = {name: event.data[name] for name in ("output", "error") if name in event.data}
        step.reply = {"at": event.at, **fields}


def _ai_called(step: Step, event: Event) -> None:
    data, before = event.data, step.ai or {}
    tokens = {name: before.get(name, 0) + data[name] for name in ("tokens_in", "tokens_out")}
    step.ai = _called(before, event) | {"model": data["model"], **tokens}


def _mcp_called(step: Step, event: Event) -> None:
    step.mcp = _called(step.mcp or {}, event) | {"server": event.data["server"], "tool": event.data["tool"]}


def _called(before: Mapping[str, Any], event: Event) -> dict[str, Any]:
    return {
        "calls": before.get("calls", 0) + 1,
        "failed": before.get("failed", 0) + ("error" in event.data),
        "took_ms": before.get("took_ms", 0) + event.data["took_ms"],
    }


def _code_changed(state: State, event: Event) -> None:
    data = event.data
    change = {"seq": event.seq, "at": event.at, "from": data.get("from"), "snippet": data["snippet"]}
    state.code_changes.append(change)


def _stream_appended(state: State, event: Event) -> None:
    state.streams.setdefault(event.data["stream"], Stream()).append(event.key, event.data)


def _stream_truncated(state: State, event: Event) -> None:
    state.streams.setdefault(event.data["stream"], Stream()).dropped += event.data["dropped"]


def _attempt_begins_streams(state: State, event: Event) -> None:
    for stream in state.streams.values():
        stream.begin_attempt(event.key, event.data["attempt"])


def _log_truncated(state: State, event: Event) -> None:
    state.log_truncated = event.data["dropped"]


# What an event changes in addition to its rule, in its step and in the instance.

StepChange = Callable[[Step, Event], None]
InstanceChange = Callable[[State, Event], None]

STEP_CHANGES: Mapping[str, StepChange] = {
    ev.STEP_COPIED: _step_copied,
    ev.STEP_GIVEN: _step_given,
    ev.ATTEMPT_STARTED: _attempt_started,
    ev.ATTEMPT_COMPLETED: _attempt_completed,
    ev.ATTEMPT_ERRORED: _attempt_errored,
    ev.RETRY_WOKEN: _retry_woken,
    ev.STEP_COMPLETED: _step_completed,
    ev.STEP_ERRORED: _ended,
    ev.SLEEP_COMPLETED: _ended,
    ev.SLEEP_CANCELLED: _cancelled,
    ev.WAIT_COMPLETED: _wait_completed,
    ev.WAIT_TIMED_OUT: _ended,
    ev.WAIT_CANCELLED: _cancelled,
    ev.CHILD_COMPLETED: _step_completed,
    ev.CHILD_ERRORED: _ended,
    ev.CHILD_CANCELLED: _cancelled,
    ev.AI_CALLED: _ai_called,
    ev.MCP_CALLED: _mcp_called,
    ev.ROLLBACK_STEP_STARTED: _handler_started,
    ev.ROLLBACK_ATTEMPT_STARTED: _handler_attempt_started,
    ev.ROLLBACK_ATTEMPT_COMPLETED: _handler_attempt_completed,
    ev.ROLLBACK_ATTEMPT_ERRORED: _handler_attempt_errored,
}

INSTANCE_CHANGES: Mapping[str, InstanceChange] = {
    ev.WORKFLOW_QUEUED: _workflow_queued,
    ev.WORKFLOW_RESTARTED: _restarted,
    ev.WORKFLOW_COMPLETED: _final,
    ev.WORKFLOW_ERRORED: _final,
    ev.WORKFLOW_TERMINATED: _final,
    ev.EXECUTION_STARTED: _execution_started,
    ev.EXECUTION_ENDED: _execution_ended,
    ev.CODE_CHANGED: _code_changed,
    ev.EVENT_REPLIED: _event_replied,
    ev.PATCH_DECIDED: _patch_decided,
    ev.LOG_TRUNCATED: _log_truncated,
    ev.STREAM_APPENDED: _stream_appended,
    ev.STREAM_TRUNCATED: _stream_truncated,
    ev.ATTEMPT_STARTED: _attempt_begins_streams,
}

# The types of events that change more than `last_seq`.
FOLDED_TYPES = RULES.keys() | STEP_CHANGES.keys() | INSTANCE_CHANGES.keys()

_CHANGES: Mapping[str, tuple[Rule, StepChange | None, InstanceChange | None]] = {
    type: (RULES.get(type, Rule()), STEP_CHANGES.get(type), INSTANCE_CHANGES.get(type)) for type in FOLDED_TYPES
}
