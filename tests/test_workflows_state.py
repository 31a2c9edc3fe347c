"""The fold of a journal: what an instance looks like after these events.

That it agrees with the rows, the crash tests show.
"""

from typing import Any

import pytest

from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey
from playground.workflows.state import State, fold

DO = StepKey(ev.DO, "charge", 1)
NAP = StepKey(ev.SLEEP, "nap", 1)
WAIT = StepKey(ev.WAIT, "approval", 1)
ERROR = {"name": "ValueError", "message": "no", "traceback": [], "line": 3}
CREATED = (ev.WORKFLOW_QUEUED, {"params": {"n": 1}, "trigger": "api"})
BEGUN = (
    CREATED,
    (ev.WORKFLOW_STARTED,),
    (ev.EXECUTION_STARTED, {"execution": 1, "worker": "w1", "replayed": 0, "code_version": "v"}),
)
STEP = ((ev.STEP_STARTED, {"config": {}, "line": 4}, DO), (ev.ATTEMPT_STARTED, {"attempt": 1}, DO))
COMPLETED = ((ev.ATTEMPT_COMPLETED, {"attempt": 1}, DO), (ev.STEP_COMPLETED, {"output": 7}, DO))


def folded(*events: tuple[Any, ...], every: int = 1000) -> State:
    """The state after events given as (type, data?, step?), one each `every` milliseconds, from 0."""
    full = [(*event, {}, None)[:3] if len(event) == 1 else (*event, None)[:3] for event in events]
    return fold(Event(place + 1, place * every, type, 1, step, data) for place, (type, data, step) in enumerate(full))


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), "queued"),
        ((CREATED,), "queued"),
        (BEGUN, "running"),
        ((*BEGUN, (ev.WORKFLOW_WAITING, {"until": 9})), "waiting"),
        ((*BEGUN, (ev.WORKFLOW_WAITING, {"until": 9}), (ev.EXECUTION_ENDED, {"reason": "hibernated"})), "waiting"),
        ((*BEGUN, (ev.EXECUTION_ENDED, {"reason": "lost"})), "queued"),
        ((*BEGUN, (ev.WORKFLOW_WAITING_FOR_PAUSE,)), "waitingForPause"),
        ((*BEGUN, (ev.WORKFLOW_WAITING_FOR_PAUSE,), (ev.WORKFLOW_RESUMED,)), "running"),
        ((*BEGUN, (ev.EXECUTION_ENDED, {"reason": "evicted"}), (ev.WORKFLOW_PAUSED,)), "paused"),
        (
            (*BEGUN, (ev.EXECUTION_ENDED, {"reason": "evicted"}), (ev.WORKFLOW_PAUSED,), (ev.WORKFLOW_RESUMED,)),
            "queued",
        ),
        ((*BEGUN, (ev.WORKFLOW_COMPLETED, {"output": 1})), "complete"),
        ((*BEGUN, (ev.WORKFLOW_ERRORED, {"error": ERROR})), "errored"),
        ((*BEGUN, (ev.WORKFLOW_TERMINATED,)), "terminated"),
        ((*BEGUN, (ev.WORKFLOW_COMPLETED, {"output": 1}), (ev.WORKFLOW_RESTARTED,)), "queued"),
        (
            (
                *BEGUN,
                (ev.SLEEP_STARTED, {"until": 9, "line": 1}, NAP),
                (ev.WORKFLOW_WAITING, {}),
                (ev.SLEEP_COMPLETED, {}, NAP),
            ),
            "running",
        ),
    ],
)
def test_the_status_of_an_instance(events, status):
    assert folded(*events).status == status


def test_a_step_from_its_start_to_its_output():
    assert folded(*BEGUN, *STEP).steps[DO].status == "running"
    step = folded(*BEGUN, *STEP, *COMPLETED).steps[DO]
    assert (step.status, step.output, step.line, step.started_at, step.ended_at) == ("completed", 7, 4, 3000, 6000)
    assert [(attempt.attempt, attempt.started_at, attempt.ended_at) for attempt in step.attempts] == [(1, 4000, 5000)]


def test_a_failed_attempt_is_due_again_after_its_delay_and_a_lost_one_at_once():
    failed = folded(
        *BEGUN, *STEP, (ev.ATTEMPT_ERRORED, {"attempt": 1, "error": ERROR, "retry_delay_ms": 500}, DO)
    ).steps[DO]
    assert (failed.status, failed.until, failed.attempts[0].retry_delay_ms) == ("retrying", 5_500, 500)
    lost = folded(*BEGUN, *STEP, (ev.ATTEMPT_ERRORED, {"attempt": 1, "error": ERROR}, DO)).steps[DO]
    assert (lost.status, lost.until) == ("retrying", 5_000)


def test_a_pause_moves_the_deadlines_of_what_is_open_by_its_length():
    open_ = (
        (ev.SLEEP_STARTED, {"until": 60_000, "line": 1}, NAP),
        (ev.WAIT_STARTED, {"until": 90_000, "event_type": "a", "line": 2}, WAIT),
    )
    over = (ev.WAIT_TIMED_OUT, {"error": ERROR}, WAIT)
    paused = folded(
        *BEGUN, *open_, over, (ev.WORKFLOW_PAUSED,), (ev.LOG, {"text": "x", "replay": False}), (ev.WORKFLOW_RESUMED,)
    )
    assert paused.steps[NAP].until == 62_000
    assert (paused.steps[WAIT].until, paused.steps[WAIT].status) == (90_000, "timed_out")


def test_a_pause_moves_the_deadline_of_a_handler_by_its_length():
    failed = (ev.ROLLBACK_ATTEMPT_ERRORED, {"attempt": 1, "error": ERROR, "retry_delay_ms": 500}, DO)
    rolled_back = (*BEGUN, *STEP, (ev.ROLLBACK_STARTED,), (ev.ROLLBACK_ATTEMPT_STARTED, {"attempt": 1}, DO), failed)
    assert folded(*rolled_back).steps[DO].rollback.until == 7_500
    assert folded(*rolled_back, (ev.WORKFLOW_PAUSED,), (ev.WORKFLOW_RESUMED,)).steps[DO].rollback.until == 8_500


def test_a_restart_from_a_step_keeps_what_started_before_it():
    events = (
        *BEGUN,
        *STEP,
        *COMPLETED,
        (ev.SLEEP_STARTED, {"until": 60_000, "line": 1}, NAP),
        (ev.WORKFLOW_COMPLETED, {"output": 1}),
    )
    again = folded(*events, (ev.WORKFLOW_RESTARTED, {"from_step": {"kind": "sleep", "name": "nap", "count": 1}}))
    assert (list(again.steps), again.generation, again.output, again.ended_at) == ([DO], 2, None, None)
    assert folded(*events, (ev.WORKFLOW_RESTARTED, {})).steps == {}


def test_a_rollback_is_told_of_its_step():
    begun = (
        *BEGUN,
        (ev.STEP_STARTED, {"config": {}, "line": 4, "rollback": {"timeout": 1}}, DO),
        *STEP[1:],
        *COMPLETED,
        (ev.ROLLBACK_STARTED, {"error": ERROR}),
    )
    tried = (*begun, (ev.ROLLBACK_STEP_STARTED, {"config": {}}, DO), (ev.ROLLBACK_ATTEMPT_STARTED, {"attempt": 1}, DO))
    assert (folded(*begun).rollback, folded(*begun).steps[DO].rollback.status) == ("running", "pending")
    done = folded(
        *tried,
        (ev.ROLLBACK_ATTEMPT_COMPLETED, {"attempt": 1}, DO),
        (ev.ROLLBACK_STEP_COMPLETED, {}, DO),
        (ev.ROLLBACK_COMPLETED,),
    )
    assert (done.rollback, done.steps[DO].rollback.status, len(done.steps[DO].rollback.attempts)) == (
        "complete",
        "completed",
        1,
    )
    failed = folded(*tried, (ev.ROLLBACK_STEP_ERRORED, {"error": ERROR}, DO), (ev.ROLLBACK_ERRORED, {"error": ERROR}))
    assert (failed.rollback, failed.steps[DO].rollback.error) == ("errored", ERROR)


def test_the_times_of_the_journal_become_those_of_the_instance():
    state = folded(*BEGUN, (ev.EXECUTION_ENDED, {"reason": "completed"}), (ev.WORKFLOW_COMPLETED, {"output": {"a": 1}}))
    assert (state.created_at, state.started_at, state.ended_at, state.last_seq) == (0, 1_000, 4_000, 5)
    assert [
        (execution.execution, execution.started_at, execution.ended_at, execution.reason)
        for execution in state.executions
    ] == [(1, 2_000, 3_000, "completed")]
    assert state.as_json()["output"] == {"a": 1}


def test_events_of_a_later_program_and_of_steps_nobody_knows_change_nothing_but_last_seq():
    before = folded(*BEGUN).as_json()
    after = folded(
        *BEGUN,
        ("invented_later", {"x": 1}),
        (ev.STEP_COMPLETED, {"output": 1}, DO),
        (ev.ATTEMPT_STARTED, {"attempt": 1}, DO),
    ).as_json()
    assert {**after, "last_seq": before["last_seq"]} == before


def test_a_virtual_end_is_marked():
    state = folded(
        *BEGUN, (ev.SLEEP_STARTED, {"until": 60_000, "line": 1}, NAP), (ev.SLEEP_COMPLETED, {"virtual": True}, NAP)
    )
    assert state.steps[NAP].as_json()["virtual"] is True
