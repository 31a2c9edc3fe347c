"""What each journal event changes in a state: one rule an event type, in one table."""

from collections.abc import Callable, Mapping
from typing import Any

from playground.workflows import breaks
from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey
from playground.workflows.state_parts import (
    CANCELLED,
    COMPLETED,
    ERRORED,
    OPEN_STATUSES,
    RETRYING,
    RUNNING,
    SLEEPING,
    TIMED_OUT,
    WAITING,
    Attempt,
    Execution,
    Facts,
    Rollback,
    Step,
)


def _queued(state: Facts, event: Event) -> None:
    state.params, state.trigger = event.data.get("params"), event.data.get("trigger")
    state.created_at = event.at
    state.status = ev.QUEUED


def _started(state: Facts, event: Event) -> None:
    state.started_at = event.at


def _waiting(state: Facts, event: Event) -> None:
    state.waiting_until = event.data.get("until")
    state.status = ev.WAITING


def _waiting_for_pause(state: Facts, event: Event) -> None:
    state.status = ev.WAITING_FOR_PAUSE


def _paused(state: Facts, event: Event) -> None:
    state.status, state.paused_at = ev.PAUSED, event.at


def _resumed(state: Facts, event: Event) -> None:
    if state.status == ev.WAITING_FOR_PAUSE:
        state.status = ev.RUNNING
        return
    state.status = ev.QUEUED
    held = event.at - (state.paused_at if state.paused_at is not None else event.at)
    for step in state.steps.values():
        if step.until is not None and step.status in OPEN_STATUSES:
            step.until += held
    state.paused_at = None


def _restarted(state: Facts, event: Event) -> None:
    state.generation += 1
    origin = event.data.get("from_step")
    kept: dict[StepKey, Step] = {}
    if origin:
        first = state.steps.get(StepKey.from_json(origin))
        if first is not None:
            kept = {key: step for key, step in state.steps.items() if step.started_seq < first.started_seq}
    for step in kept.values():
        if step.cut_short:
            step.status, step.ended_at, step.cut_short = SLEEPING if step.key.kind == ev.SLEEP else WAITING, None, False
    state.steps = kept
    state.status = ev.QUEUED
    state.output = state.error = state.rollback = state.started_at = state.ended_at = state.paused_at = None
    state.log_truncated = 0


def _final(state: Facts, event: Event) -> None:
    state.status = {
        ev.WORKFLOW_COMPLETED: ev.COMPLETE,
        ev.WORKFLOW_ERRORED: ev.ERRORED,
        ev.WORKFLOW_TERMINATED: ev.TERMINATED,
    }[event.type]
    state.output, state.error, state.ended_at = event.data.get("output"), event.data.get("error"), event.at
    for step in state.steps.values():
        if step.status in (SLEEPING, WAITING):  # nobody waits for it any more
            step.status, step.ended_at, step.cut_short = CANCELLED, event.at, True


def _execution_started(state: Facts, event: Event) -> None:
    data = event.data
    state.executions.append(
        Execution(data["execution"], data.get("worker"), data.get("replayed", 0), data.get("code_version"), event.at)
    )
    state.in_execution = True
    if state.status != ev.WAITING_FOR_PAUSE:
        state.status = ev.RUNNING


def _execution_ended(state: Facts, event: Event) -> None:
    if state.executions:
        state.executions[-1].ended_at, state.executions[-1].reason = event.at, event.data["reason"]
    state.in_execution = False
    if event.data["reason"] in ev.DISARMING:
        state.armed = None
    if state.status == ev.RUNNING:
        state.status = ev.QUEUED


def _step_copied(state: Facts, event: Event) -> None:
    data = event.data
    step = Step(
        event.key,
        data["status"],
        data.get("line"),
        event.at,
        event.at,
        event_type=data.get("event_type"),
        config=data.get("config"),
        has_output="output" in data,
        output=data.get("output"),
        error=data.get("error"),
        started_seq=event.seq,
        copied={name: data[name] for name in ("attempts", "took_ms", "edited") if name in data},
    )
    if data.get("rollback"):
        step.rollback = Rollback("pending")
    state.steps[event.key] = step


def _code_changed(state: Facts, event: Event) -> None:
    state.code_changes.append({"seq": event.seq, "at": event.at, "from": event.data.get("from"), "snippet": event.data["snippet"]})


def _step_started(state: Facts, event: Event) -> None:
    data = event.data
    step = Step(event.key, RUNNING, data.get("line"), event.at, config=data.get("config"), started_seq=event.seq)
    if data.get("rollback"):
        step.rollback = Rollback("pending")
    state.steps[event.key] = step
    state.stirred()


def _attempt_started(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is None:
        return
    step.status, step.until = RUNNING, None
    virtual = bool(event.data.get("virtual"))
    step.attempts.append(Attempt(event.data["attempt"], event.execution, event.at, virtual=virtual, injected=event.data.get("injected")))
    if "break" in event.data:
        _breaks(state, event)
    state.stirred()


def _breaks(state: Facts, event: Event) -> None:
    state.breaks = breaks.after(state.breaks, event.type, event.seq, event.data)


def _armed(state: Facts, event: Event) -> None:
    state.armed = event.data.get("when")


def _attempt_completed(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is not None and step.attempts:
        step.attempts[-1].ended_at, step.attempts[-1].took_us = event.at, event.data.get("took_us")


def _attempt_errored(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is None:
        return
    _close_attempt(step.attempts, event)
    step.status = RETRYING
    step.until = event.at + event.data.get("retry_delay_ms", 0)


def _retry_woken(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is not None:
        step.until = event.at
        if step.attempts:
            step.attempts[-1].virtual = True
        state.stirred()


def _close_attempt(attempts: list[Attempt], event: Event) -> None:
    if attempts and attempts[-1].ended_at is None:
        attempt = attempts[-1]
        attempt.ended_at, attempt.error = event.at, event.data["error"]
        attempt.retry_delay_ms, attempt.took_us = event.data.get("retry_delay_ms"), event.data.get("took_us")


def _step_completed(state: Facts, event: Event) -> None:
    _end(state, event, COMPLETED, output=event.data.get("output"))


def _step_errored(state: Facts, event: Event) -> None:
    _end(state, event, ERRORED)


def _end(state: Facts, event: Event, status: str, **output: Any) -> None:
    step = state.steps.get(event.key)
    if step is None:
        return
    step.status, step.ended_at, step.error = status, event.at, event.data.get("error")
    if step.key.kind == ev.DO:
        step.until = None
    step.virtual = bool(event.data.get("virtual"))
    if output:
        step.has_output, step.output = True, output["output"]
    state.stirred()


def _sleep_started(state: Facts, event: Event) -> None:
    data = event.data
    state.steps[event.key] = Step(event.key, SLEEPING, data.get("line"), event.at, until=data["until"], started_seq=event.seq)


def _sleep_completed(state: Facts, event: Event) -> None:
    _end(state, event, COMPLETED)


def _wait_started(state: Facts, event: Event) -> None:
    data = event.data
    state.steps[event.key] = Step(
        event.key,
        WAITING,
        data.get("line"),
        event.at,
        until=data["until"],
        event_type=data["event_type"],
        started_seq=event.seq,
    )


def _wait_completed(state: Facts, event: Event) -> None:
    _end(state, event, COMPLETED, output=event.data["event"])


def _wait_timed_out(state: Facts, event: Event) -> None:
    _end(state, event, TIMED_OUT)


def _given_up(state: Facts, event: Event) -> None:
    _end(state, event, CANCELLED)
    step = state.steps.get(event.key)
    if step is not None:
        step.has_output, step.output = False, None


def _log_truncated(state: Facts, event: Event) -> None:
    state.log_truncated = event.data["dropped"]


def _rollback_started(state: Facts, event: Event) -> None:
    state.rollback = "running"
    if not state.in_execution:
        state.status = ev.QUEUED
    state.stirred()


def _rollback_step_started(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is not None:
        step.rollback = Rollback(RUNNING)
    state.stirred()


def _rollback_attempt_started(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is not None and step.rollback is not None:
        step.rollback.status = RUNNING
        step.rollback.attempts.append(Attempt(event.data["attempt"], event.execution, event.at))
    state.stirred()


def _rollback_attempt_completed(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is not None and step.rollback is not None and step.rollback.attempts:
        step.rollback.attempts[-1].ended_at = event.at


def _rollback_attempt_errored(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is not None and step.rollback is not None:
        _close_attempt(step.rollback.attempts, event)
        step.rollback.status = RETRYING


def _rollback_step_ended(state: Facts, event: Event) -> None:
    step = state.steps.get(event.key)
    if step is None:
        return
    if step.rollback is None:
        step.rollback = Rollback(RUNNING)
    step.rollback.status = COMPLETED if event.type == ev.ROLLBACK_STEP_COMPLETED else ERRORED
    step.rollback.error = event.data.get("error")


def _rollback_ended(state: Facts, event: Event) -> None:
    state.rollback = "complete" if event.type == ev.ROLLBACK_COMPLETED else "errored"


RULES: Mapping[str, Callable[[Facts, Event], None]] = {
    ev.WORKFLOW_QUEUED: _queued,
    ev.WORKFLOW_STARTED: _started,
    ev.WORKFLOW_WAITING: _waiting,
    ev.WORKFLOW_WAITING_FOR_PAUSE: _waiting_for_pause,
    ev.WORKFLOW_PAUSED: _paused,
    ev.WORKFLOW_RESUMED: _resumed,
    ev.WORKFLOW_RESTARTED: _restarted,
    ev.WORKFLOW_COMPLETED: _final,
    ev.WORKFLOW_ERRORED: _final,
    ev.WORKFLOW_TERMINATED: _final,
    ev.EXECUTION_STARTED: _execution_started,
    ev.EXECUTION_ENDED: _execution_ended,
    ev.CODE_CHANGED: _code_changed,
    ev.STEP_COPIED: _step_copied,
    ev.STEP_STARTED: _step_started,
    ev.ATTEMPT_STARTED: _attempt_started,
    ev.ATTEMPT_COMPLETED: _attempt_completed,
    ev.ATTEMPT_ERRORED: _attempt_errored,
    ev.RETRY_WOKEN: _retry_woken,
    ev.KILL_ARMED: _armed,
    ev.KILL_DISARMED: _armed,
    ev.BREAK_SET: _breaks,
    ev.BREAK_CLEARED: _breaks,
    ev.STEP_COMPLETED: _step_completed,
    ev.STEP_ERRORED: _step_errored,
    ev.SLEEP_STARTED: _sleep_started,
    ev.SLEEP_COMPLETED: _sleep_completed,
    ev.WAIT_STARTED: _wait_started,
    ev.WAIT_COMPLETED: _wait_completed,
    ev.WAIT_TIMED_OUT: _wait_timed_out,
    ev.SLEEP_CANCELLED: _given_up,
    ev.WAIT_CANCELLED: _given_up,
    ev.LOG_TRUNCATED: _log_truncated,
    ev.ROLLBACK_STARTED: _rollback_started,
    ev.ROLLBACK_STEP_STARTED: _rollback_step_started,
    ev.ROLLBACK_ATTEMPT_STARTED: _rollback_attempt_started,
    ev.ROLLBACK_ATTEMPT_COMPLETED: _rollback_attempt_completed,
    ev.ROLLBACK_ATTEMPT_ERRORED: _rollback_attempt_errored,
    ev.ROLLBACK_STEP_COMPLETED: _rollback_step_ended,
    ev.ROLLBACK_STEP_ERRORED: _rollback_step_ended,
    ev.ROLLBACK_COMPLETED: _rollback_ended,
    ev.ROLLBACK_ERRORED: _rollback_ended,
}
