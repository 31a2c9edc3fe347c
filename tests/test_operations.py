"""Deciders run while every other commit waits, so none may look through the steps that are over, which may be many.

They see what is open, and what they name in their needs.
"""

import pytest
from msgspec.structs import replace

from playground.engine import delivery, operations
from playground.store.projection import initial_row
from playground.store.protocol import NO_NEEDS, Decider, Needs, Snapshot, needs_of
from playground.store.rows import STEP_OPEN, STEP_RUNNING, InboxRow, NewInstance, StepRow
from playground.workflows import events as ev
from playground.workflows.errors import NothingToWake
from playground.workflows.events import CHILD, DO, WAIT, StepKey

AT = 1_000
RUNS = replace(
    initial_row(NewInstance("", "one", "w", "s", None, ""), 1, AT),
    status=ev.RUNNING,
    owner="here",
    execution=1,
    in_execution=True,
)


def step(kind: str, status: str, **more: object) -> StepRow:
    given = {
        "line": None,
        "config": None,
        "attempt": 1,
        "failures": 0,
        "losses": 0,
        "until": None,
        "result": None,
        "error": None,
    }
    return StepRow(StepKey(kind, "it", 1), status, 2, **{**given, **more})


WORKS = step(DO, STEP_RUNNING)
WAITS = step(WAIT, STEP_OPEN, until=2 * AT, event_type="go")


@pytest.mark.parametrize(
    ("decider", "status", "open_", "types"),
    [
        pytest.param(
            delivery.send_event("go", 1, AT),
            ev.RUNNING,
            WAITS,
            [ev.EVENT_RECEIVED, ev.WAIT_COMPLETED],
            id="an event for a wait",
        ),
        pytest.param(
            delivery.send_event("go", 1, AT), ev.RUNNING, WORKS, [ev.EVENT_RECEIVED], id="an event that is kept"
        ),
        pytest.param(
            operations.pause, ev.RUNNING, WORKS, [ev.WORKFLOW_WAITING_FOR_PAUSE], id="a pause while a step runs"
        ),
        pytest.param(
            operations.pause, ev.RUNNING, WAITS, [ev.EXECUTION_ENDED, ev.WORKFLOW_PAUSED], id="a pause at once"
        ),
        pytest.param(
            operations.complete_pause,
            ev.WAITING_FOR_PAUSE,
            WAITS,
            [ev.EXECUTION_ENDED, ev.WORKFLOW_PAUSED],
            id="a pause that takes effect",
        ),
        pytest.param(operations.resume(AT), ev.PAUSED, WAITS, [ev.WORKFLOW_RESUMED], id="a resumption"),
        pytest.param(
            operations.terminate(False),
            ev.RUNNING,
            WORKS,
            [ev.ATTEMPT_ERRORED, ev.EXECUTION_ENDED, ev.WORKFLOW_TERMINATED],
            id="an end",
        ),
        pytest.param(
            operations.lose_worker(ev.LOST, 3),
            ev.RUNNING,
            WORKS,
            [ev.ATTEMPT_ERRORED, ev.EXECUTION_ENDED],
            id="a lost worker",
        ),
        pytest.param(
            operations.crash(1, 9, made_progress=False),
            ev.RUNNING,
            WORKS,
            [ev.ATTEMPT_ERRORED, ev.EXECUTION_ENDED, ev.WORKFLOW_ERRORED],
            id="too many lost",
        ),
        pytest.param(
            operations.break_limit({}),
            ev.RUNNING,
            WORKS,
            [ev.ATTEMPT_ERRORED, ev.EXECUTION_ENDED, ev.WORKFLOW_ERRORED],
            id="a broken limit",
        ),
    ],
)
def test_only_what_is_open_is_looked_through(decider: Decider, status: str, open_: StepRow, types: list[str]) -> None:
    assert needs_of(decider) == NO_NEEDS
    events = decider(Snapshot(replace(RUNS, status=status), {}, [], [open_]))
    assert [event.type for event in events] == types


INSIDE = replace(WAITS, key=StepKey(WAIT, "inner", 1, WORKS.key), started_seq=3)


@pytest.mark.parametrize(
    ("status", "open_", "takes", "wakes"),
    [
        (ev.WAITING_FOR_PAUSE, [WORKS, INSIDE], True, True),
        (ev.WAITING_FOR_PAUSE, [WAITS, WORKS, INSIDE], False, True),  # the older wait gets it after the pause
        (ev.WAITING_FOR_PAUSE, [WAITS, WORKS], False, False),
        (ev.PAUSED, [INSIDE], False, False),
    ],
)
def test_while_a_pause_waits_for_an_attempt_only_what_its_callback_calls_goes_on(
    status: str, open_: list[StepRow], takes: bool, wakes: bool
) -> None:
    snapshot = Snapshot(replace(RUNS, status=status), {INSIDE.key: None}, [], open_)
    sent = delivery.send_event("go", 1, AT)(snapshot)
    assert [event.step for event in sent[1:]] == ([INSIDE.key] if takes else [])
    others = [one for one in open_ if one is not INSIDE]
    kept = Snapshot(snapshot.row, {INSIDE.key: None}, [InboxRow(2, AT, "go", 1)], others)
    begun = delivery.start_wait(INSIDE.key, {"event_type": "go", "until": 2 * AT, "line": 1})(kept)
    assert [event.type for event in begun[1:]] == ([ev.WAIT_COMPLETED] if takes else [])
    if wakes:
        assert [event.step for event in operations.wake(None, AT)(snapshot)] == [INSIDE.key]
    else:
        with pytest.raises(NothingToWake):
            operations.wake(None, AT)(snapshot)


def test_what_wake_ends_is_found_among_what_is_open() -> None:
    (event,) = operations.wake(None, AT)(Snapshot(RUNS, {}, [], [WORKS, WAITS]))
    assert (event.type, event.step) == (ev.WAIT_TIMED_OUT, WAITS.key)


STEP = StepKey(DO, "it", 1)


@pytest.mark.parametrize(
    ("decider", "needs"),
    [
        pytest.param(delivery.start_wait(STEP, {}), Needs(steps=(STEP,)), id="a wait begins"),
        pytest.param(operations.cancel_suspension(STEP, AT, {}), Needs(steps=(STEP,)), id="a wait is given up"),
        pytest.param(operations.end_wait(STEP, 1), NO_NEEDS, id="a wait times out"),
        pytest.param(operations.end_sleep(STEP), NO_NEEDS, id="a sleep ends"),
        pytest.param(operations.restart(STEP), Needs(steps=(STEP,)), id="a restart from a step"),
        pytest.param(operations.restart(None), NO_NEEDS, id="a restart"),
        pytest.param(operations.terminate(True), Needs(pending_rollback=True), id="an end with rollback"),
    ],
)
def test_a_decider_names_what_else_it_needs(decider: Decider, needs: Needs) -> None:
    assert needs_of(decider) == needs


def test_a_step_that_was_not_named_cannot_be_asked_for() -> None:
    snapshot = Snapshot(RUNS, {STEP: None}, [], [])
    assert snapshot.step(STEP) is None
    with pytest.raises(AssertionError, match="names it in its needs"):
        snapshot.step(StepKey(DO, "another", 1))


@pytest.mark.parametrize(("pending", "type"), [(True, ev.ROLLBACK_STARTED), (False, ev.WORKFLOW_TERMINATED)])
def test_a_termination_rolls_back_where_a_handler_is_pending(pending: bool, type: str) -> None:
    events = operations.terminate(True)(Snapshot(RUNS, {}, [], [], pending_rollback=pending))
    assert events[-1].type == type


def test_the_end_of_a_child_is_kept_while_its_parent_lasts_and_no_longer() -> None:
    waits = step(CHILD, STEP_OPEN)
    end = operations.end_children([operations.ChildEnd(waits.key, waits.started_seq, output=3)], AT, 10**6)
    found = {
        status: [event.type for event in end(Snapshot(replace(RUNS, status=status), {waits.key: waits}, [], [waits]))]
        for status in (ev.RUNNING, ev.PAUSED, ev.TERMINATED, ev.ERRORED, ev.COMPLETE)
    }
    kept = [ev.CHILD_COMPLETED]
    assert found == {ev.RUNNING: kept, ev.PAUSED: kept, ev.TERMINATED: [], ev.ERRORED: [], ev.COMPLETE: []}
