"""What a test pins of a run, as facts of its journal: its steps in the order in which they began, how each attempt went
and how the step ended, and the points of the journal after which something came from outside.

The same is taken of the run that was recorded and of the run that a test makes, so that the two are compared as equals.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from playground.workflows import events as ev
from playground.workflows.errors import WORKER_LOST
from playground.workflows.events import Event, StepKey
from playground.workflows.state import Attempt, State, Step

# How an attempt went.
OK, ERROR, LOST, TIMED_OUT, OPEN = "ok", "error", "lost", "timed out", "open"
TIMEOUT_ERROR = "WorkflowTimeoutError"

NOTHING = object()  # the result of what has none

_PHASES = {
    ev.SLEEP_STARTED: "started",
    ev.WAIT_STARTED: "started",
    ev.CHILD_STARTED: "started",
    ev.STEP_COMPLETED: "ended",
    ev.STEP_ERRORED: "ended",
    ev.SLEEP_COMPLETED: "ended",
    ev.WAIT_COMPLETED: "ended",
    ev.WAIT_TIMED_OUT: "ended",
    ev.CHILD_COMPLETED: "ended",
    ev.CHILD_ERRORED: "ended",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt went; `error` is the stored one. `injected` is the fault that a person set for it."""

    how: str
    error: dict[str, Any] | None = None
    injected: str | None = None
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class StepFacts:
    """A step. `result` is an encoded value, of a wait the payload of its event, or NOTHING."""

    key: StepKey
    status: str
    attempts: tuple[Outcome, ...] = ()
    result: Any = NOTHING
    error: dict[str, Any] | None = None
    event_type: str | None = None
    rollback: str | None = None
    schema: dict[str, Any] | None = None  # that the payload of a wait has to fit


def facts_of(state: State) -> list[StepFacts]:
    """The steps of a run in the order in which they began."""
    return [_facts(step) for step in sorted(state.steps.values(), key=lambda step: step.started_seq)]


def _facts(step: Step) -> StepFacts:
    result = step.output if step.has_output else NOTHING
    event_type = step.event_type
    if step.key.kind == ev.WAIT and step.has_output:
        event_type, result = step.output.get("type", event_type), step.output.get("payload")
    rollback = None if step.rollback is None else step.rollback.status
    attempts = tuple(map(outcome_of, step.attempts)) if step.key.kind == ev.DO else ()
    schema = (step.config or {}).get("schema") if step.key.kind == ev.WAIT else None
    return StepFacts(step.key, step.status, attempts, result, step.error, event_type, rollback, schema)


def patches_of(state: State) -> dict[str, bool]:
    """Which way a run takes at each patch that its code has asked for."""
    return {name: one["patched"] for name, one in state.patches.items()}


def tags_at_begin(events: Iterable[Event]) -> list[str]:
    """The tags that a run was created with, not those that its code has added."""
    found: list[str] = []
    for event in events:
        if event.type == ev.EXECUTION_STARTED:
            break
        if event.type == ev.WORKFLOW_TAGGED:
            found += event.data["tags"]
    return found


def outcome_of(attempt: Attempt) -> Outcome:
    """How an attempt went."""
    took = 0 if attempt.took_us is None else round(attempt.took_us / 1_000)
    if attempt.error is not None:
        how = {WORKER_LOST: LOST, TIMEOUT_ERROR: TIMED_OUT}.get(attempt.error["name"], ERROR)
        return Outcome(how, attempt.error, attempt.injected, took)
    return Outcome(OPEN if attempt.ended_at is None else OK, None, attempt.injected, took)


def milestone(event: Event) -> str | None:
    """The point that an event is in the way of the code, such as `do charge card-1 attempt 2`; None: it is none."""
    if event.step is None:
        return None
    if event.type == ev.ATTEMPT_STARTED:
        phase = f"attempt {event.data['attempt']}"
    elif event.type == ev.ATTEMPT_ERRORED:
        if event.data["error"]["name"] == WORKER_LOST:
            return None
        phase = f"attempt {event.data['attempt']} failed"
    elif event.type in _PHASES:
        phase = _PHASES[event.type]
    else:
        return None
    return f"{event.step.kind} {event.step} {phase}"


def milestones(events: Iterable[Event]) -> list[str]:
    """All of them, in order."""
    return [point for event in events if (point := milestone(event)) is not None]
