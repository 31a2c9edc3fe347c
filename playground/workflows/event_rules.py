"""What each type of event changes in an instance, in its step and in the step's rollback handler: one rule per type.

Two folds apply these rules: the projection on rows, which scheduling and replay read (`store/projection.py`), and
`State`, which people see (`state.py`). Each adds what only it keeps. The page's fold (`static/js/run/fold-*.js`)
follows the same rules in the browser; `tests/test_folds_agree.py` compares all three.

A rule is pure: its parts are functions that return the fields that change, with their new values.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from playground.workflows import breakpoints, breaks
from playground.workflows import events as ev
from playground.workflows.breakpoints import Breakpoint, Passed, Stop
from playground.workflows.breaks import Break
from playground.workflows.events import StepKey
from playground.workflows.tags import tags_after

# Statuses of a step. Those of its rollback handler are PENDING, RUNNING, RETRYING, COMPLETED and ERRORED.
RUNNING = "running"  # an attempt is open
RETRYING = "retrying"  # between two attempts
SLEEPING = "sleeping"
WAITING = "waiting"  # for an event, or for a child
COMPLETED = "completed"
ERRORED = "errored"
TIMED_OUT = "timed_out"  # no event came in time
CANCELLED = "cancelled"  # a sleep, wait or child that the code cancelled, or that was open when the run ended
PENDING = "pending"  # a handler that has not started
STATUSES = (RUNNING, RETRYING, SLEEPING, WAITING, COMPLETED, ERRORED, TIMED_OUT, CANCELLED)
OPEN_STATUSES = frozenset({RUNNING, RETRYING, SLEEPING, WAITING})

# Statuses of an instance's rollback as a whole.
ROLLBACK_RUNNING = "running"
ROLLBACK_COMPLETE = "complete"
ROLLBACK_ERRORED = "errored"

AS_COPIED = "as copied"  # the step starts with the `status` in its event

Changes = dict[str, Any]


class Instance(Protocol):
    """What rules read of an instance: its state before the event, but `last_seq` is that of the event itself."""

    @property
    def status(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def in_execution(self) -> bool: ...

    @property
    def paused_at(self) -> int | None: ...

    @property
    def breaks(self) -> Sequence[Break]: ...

    @property
    def breakpoints(self) -> Sequence[Breakpoint]: ...

    @property
    def stopped_before(self) -> Stop | None: ...

    @property
    def passed(self) -> Sequence[Passed]: ...

    @property
    def tags(self) -> Sequence[str]: ...

    @property
    def last_seq(self) -> int: ...


class Started(Protocol):
    """What rules read of a step."""

    @property
    def started_seq(self) -> int: ...


# Both take the `data` of an event and the time of its commit, in epoch milliseconds.
StepRule = Callable[[Mapping[str, Any], int], Changes]
InstanceRule = Callable[[Instance, Mapping[str, Any], int], Changes]


class Rule(NamedTuple):
    """What one type of event changes. A fold applies the parts in this order; a part that is None changes nothing.

    `begins`: the status of the step that this event starts; its handler, if it has one, is PENDING.
    `step` and `handler` return fields of the event's step and of its rollback handler: `status`, `attempt` (its
    number), `until` (when the next attempt starts, or a wait ends) and `error`. The step must have started.
    `keeps` returns a seq: only steps that started before it are kept. `postpones` returns by how many milliseconds
    every open deadline moves. Only a rule that has `instance` too may have these two.
    `instance` returns fields of the instance: `status`, `generation`, `params`, `output`, `error`, `rollback`,
    `started_at`, `ended_at`, `paused_at`, `wait_until`, `held_until`, `in_execution`, `breaks`, `breakpoints`,
    `stopped_before`, `passed`, `armed` (when its worker is to be killed), `skips_sleeps` and `tags`.
    `activates`: an instance that waits stops waiting, see `activated`.
    """

    begins: str | None = None
    step: StepRule | None = None
    handler: StepRule | None = None
    keeps: Callable[[Mapping[str, Any], Mapping[StepKey, Started]], int] | None = None
    postpones: Callable[[Instance, int], int] | None = None
    instance: InstanceRule | None = None
    activates: bool = False


def activated(it: Instance) -> Changes:
    """The changes of an instance whose step goes on: one that waits and has a worker runs again.

    One without a worker waits on until it gets one.
    """
    return {"status": ev.RUNNING, "wait_until": None} if it.status == ev.WAITING and it.in_execution else {}


# Changes of a step, or of a handler.


def _attempt_started(data: Mapping[str, Any], at: int) -> Changes:
    return {"status": RUNNING, "attempt": data["attempt"], "until": None}


def _attempt_errored(data: Mapping[str, Any], at: int) -> Changes:
    return {"status": RETRYING, "attempt": data["attempt"], "until": at + (data.get("retry_delay_ms") or 0)}


def _handler_started(data: Mapping[str, Any], at: int) -> Changes:
    return {"status": RUNNING, "until": None}


def _retry_due(data: Mapping[str, Any], at: int) -> Changes:
    return {"until": at}


def _ended(status: str) -> StepRule:
    def ended(data: Mapping[str, Any], at: int) -> Changes:
        return {"status": status, "until": None, "error": data.get("error")}

    return ended


def _wait_ended(status: str) -> StepRule:
    """Like `_ended`, but the deadline of a sleep or wait stays, since people still see it."""

    def ended(data: Mapping[str, Any], at: int) -> Changes:
        return {"status": status, "error": data.get("error")}

    return ended


# Changes of all steps.


def _kept_before(data: Mapping[str, Any], steps: Mapping[StepKey, Started]) -> int:
    origin = data.get("from_step")
    first = steps.get(StepKey.from_json(origin)) if origin else None
    return 0 if first is None else first.started_seq


def _pause_length(it: Instance, at: int) -> int:
    return 0 if it.status == ev.WAITING_FOR_PAUSE or it.paused_at is None else at - it.paused_at


# Changes of the instance.


def _workflow_queued(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"status": ev.QUEUED, "held_until": (data.get("flow") or {}).get("until")}


def _admitted(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"held_until": None}


def _debounced(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"params": data["params"], "held_until": data["until"]}


def _workflow_started(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"started_at": at}


def _workflow_waiting(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"status": ev.WAITING, "wait_until": data.get("until")}


def _waiting_for_pause(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"status": ev.WAITING_FOR_PAUSE}


def _paused(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"status": ev.PAUSED, "paused_at": at, "wait_until": None, "in_execution": False}


def _resumed(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    changes: Changes = {} if it.stopped_before is None else _passing(it, it.stopped_before)
    if it.status == ev.WAITING_FOR_PAUSE:
        return {**changes, "status": ev.RUNNING}
    return {**changes, "status": ev.QUEUED, "paused_at": None}


def _passing(it: Instance, stop: Stop) -> Changes:
    return {"stopped_before": None, "passed": breakpoints.passed_after(it.passed, stop)}


def _stops_over(it: Instance) -> Changes:
    """The generation is over, or no step of it begins any more: what is left are breakpoints for a restart."""
    if not (it.breakpoints or it.passed or it.stopped_before):
        return {}
    return {"breakpoints": breakpoints.lasting(it.breakpoints), "stopped_before": None, "passed": []}


def _restarted(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {
        "status": ev.QUEUED, "generation": it.generation + 1, "output": None, "error": None, "rollback": None,
        "started_at": None, "ended_at": None, "paused_at": None, "wait_until": None, "in_execution": False,
        "held_until": data.get("until"), **_stops_over(it),
    }  # fmt: skip


def _final(status: str) -> InstanceRule:
    def instance(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
        return {
            "status": status, "output": data.get("output"), "error": data.get("error"), "ended_at": at,
            "wait_until": None, "in_execution": False, "held_until": None, **_stops_over(it),
        }  # fmt: skip

    return instance


def _execution_started(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    status = ev.WAITING_FOR_PAUSE if it.status == ev.WAITING_FOR_PAUSE else ev.RUNNING
    return {"status": status, "wait_until": None, "in_execution": True}


def _execution_ended(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    changes: Changes = {"in_execution": False}
    if it.status == ev.RUNNING:
        changes["status"] = ev.QUEUED
    if data["reason"] in ev.DISARMING:
        changes["armed"] = None
    return changes


def _break_used(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"breaks": breaks.breaks_after(it.breaks, ev.ATTEMPT_STARTED, it.last_seq, data)} if "break" in data else {}


def _break_set(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"breaks": breaks.breaks_after(it.breaks, ev.BREAK_SET, it.last_seq, data)}


def _break_cleared(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"breaks": breaks.breaks_after(it.breaks, ev.BREAK_CLEARED, it.last_seq, data)}


def _breakpoint_set(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"breakpoints": breakpoints.breakpoints_after(it.breakpoints, ev.BREAKPOINT_SET, data)}


def _breakpoint_cleared(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"breakpoints": breakpoints.breakpoints_after(it.breakpoints, ev.BREAKPOINT_CLEARED, data)}


def _breakpoint_hit(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    left = breakpoints.breakpoints_after(it.breakpoints, ev.BREAKPOINT_HIT, data)
    return {"breakpoints": left, "stopped_before": breakpoints.stop_of(data)}


def _step_given(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"stopped_before": None}


def _armed(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"armed": data.get("when")}


def _tagged(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"tags": tags_after(it.tags, data["tags"])}


def _sleeps_skipped(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"skips_sleeps": True}


def _sleeps_kept(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"skips_sleeps": False}


def _rollback_started(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    changes: Changes = {"rollback": ROLLBACK_RUNNING, **_stops_over(it)}
    if it.in_execution:
        return changes
    return {**changes, "status": ev.QUEUED, "paused_at": None, "wait_until": None, "held_until": None}


def _rollback_completed(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"rollback": ROLLBACK_COMPLETE}


def _rollback_errored(it: Instance, data: Mapping[str, Any], at: int) -> Changes:
    return {"rollback": ROLLBACK_ERRORED}


RULES: Mapping[str, Rule] = {
    ev.WORKFLOW_QUEUED: Rule(instance=_workflow_queued),
    ev.WORKFLOW_ADMITTED: Rule(instance=_admitted),
    ev.WORKFLOW_DEBOUNCED: Rule(instance=_debounced),
    ev.WORKFLOW_STARTED: Rule(instance=_workflow_started),
    ev.WORKFLOW_WAITING: Rule(instance=_workflow_waiting),
    ev.WORKFLOW_WAITING_FOR_PAUSE: Rule(instance=_waiting_for_pause),
    ev.WORKFLOW_PAUSED: Rule(instance=_paused),
    ev.WORKFLOW_RESUMED: Rule(postpones=_pause_length, instance=_resumed),
    ev.WORKFLOW_RESTARTED: Rule(keeps=_kept_before, instance=_restarted),
    ev.WORKFLOW_COMPLETED: Rule(instance=_final(ev.COMPLETE)),
    ev.WORKFLOW_ERRORED: Rule(instance=_final(ev.ERRORED)),
    ev.WORKFLOW_TERMINATED: Rule(instance=_final(ev.TERMINATED)),
    ev.EXECUTION_STARTED: Rule(instance=_execution_started),
    ev.EXECUTION_ENDED: Rule(instance=_execution_ended),
    ev.KILL_ARMED: Rule(instance=_armed),
    ev.KILL_DISARMED: Rule(instance=_armed),
    ev.WORKFLOW_TAGGED: Rule(instance=_tagged),
    ev.SLEEPS_SKIPPED: Rule(instance=_sleeps_skipped),
    ev.SLEEPS_KEPT: Rule(instance=_sleeps_kept),
    ev.BREAK_SET: Rule(instance=_break_set),
    ev.BREAK_CLEARED: Rule(instance=_break_cleared),
    ev.BREAKPOINT_SET: Rule(instance=_breakpoint_set),
    ev.BREAKPOINT_CLEARED: Rule(instance=_breakpoint_cleared),
    ev.BREAKPOINT_HIT: Rule(instance=_breakpoint_hit),
    ev.STEP_COPIED: Rule(begins=AS_COPIED),
    ev.STEP_GIVEN: Rule(begins=AS_COPIED, instance=_step_given),
    ev.STEP_STARTED: Rule(begins=RUNNING, activates=True),
    ev.ATTEMPT_STARTED: Rule(step=_attempt_started, instance=_break_used, activates=True),
    ev.ATTEMPT_ERRORED: Rule(step=_attempt_errored),
    ev.RETRY_WOKEN: Rule(step=_retry_due, activates=True),
    ev.STEP_COMPLETED: Rule(step=_ended(COMPLETED), activates=True),
    ev.STEP_ERRORED: Rule(step=_ended(ERRORED), activates=True),
    ev.SLEEP_STARTED: Rule(begins=SLEEPING),
    ev.SLEEP_COMPLETED: Rule(step=_wait_ended(COMPLETED), activates=True),
    ev.SLEEP_CANCELLED: Rule(step=_wait_ended(CANCELLED), activates=True),
    ev.WAIT_STARTED: Rule(begins=WAITING),
    ev.WAIT_COMPLETED: Rule(step=_wait_ended(COMPLETED), activates=True),
    ev.WAIT_TIMED_OUT: Rule(step=_wait_ended(TIMED_OUT), activates=True),
    ev.WAIT_CANCELLED: Rule(step=_wait_ended(CANCELLED), activates=True),
    ev.CHILD_STARTED: Rule(begins=WAITING),
    ev.CHILD_COMPLETED: Rule(step=_wait_ended(COMPLETED), activates=True),
    ev.CHILD_ERRORED: Rule(step=_wait_ended(ERRORED), activates=True),
    ev.CHILD_CANCELLED: Rule(step=_wait_ended(CANCELLED), activates=True),
    ev.ROLLBACK_STARTED: Rule(instance=_rollback_started, activates=True),
    ev.ROLLBACK_STEP_STARTED: Rule(handler=_handler_started, activates=True),
    ev.ROLLBACK_ATTEMPT_STARTED: Rule(handler=_attempt_started, activates=True),
    ev.ROLLBACK_ATTEMPT_ERRORED: Rule(handler=_attempt_errored),
    ev.ROLLBACK_STEP_COMPLETED: Rule(handler=_ended(COMPLETED)),
    ev.ROLLBACK_STEP_ERRORED: Rule(handler=_ended(ERRORED)),
    ev.ROLLBACK_COMPLETED: Rule(instance=_rollback_completed),
    ev.ROLLBACK_ERRORED: Rule(instance=_rollback_errored),
}

assert all(rule.instance is not None for rule in RULES.values() if rule.keeps is not None or rule.postpones is not None)
