"""The projection, as tables: given these events, expect these rows."""

import pytest
from store_support import (
    AT,
    CONFIG,
    attempt,
    attempt_errored,
    completed,
    do,
    execution_ended,
    execution_started,
    new,
    printed,
    quick,
    sleep,
    started,
    wait,
)

from playground.store import JournalError
from playground.store.projection import first_event, initial_row, project, required_reads
from playground.store.rows import InboxRow
from playground.workflows import events as ev
from playground.workflows.errors import NotSerialisable
from playground.workflows.events import NewEvent, StepKey
from playground.workflows.state import fold

OWNED = {"owner": "node-a", "execution": 1}
WAITS = NewEvent(ev.WORKFLOW_WAITING, {"until": AT + 5000})
RECEIVED = NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": {"by": "me"}})
TAKEN = {"event": {"type": "go", "payload": {"by": "me"}, "timestamp": AT}}
RUNS = [execution_started()]
PAUSED = NewEvent(ev.WORKFLOW_PAUSED)
RESUMED = NewEvent(ev.WORKFLOW_RESUMED)


class Told:
    """An instance told event by event, 10 ms apart, one projection each, or all in one batch."""

    def __init__(self, events, *, batch=False, claimed=True):
        row = initial_row(new("i"), 1, AT)
        change = project(row, [first_event(new("i"))], AT, {})
        self.row, self.steps, self.inbox = change.row, {}, {}
        if claimed:
            self.row = type(self.row)(
                **{**{name: getattr(self.row, name) for name in self.row.__struct_fields__}, **OWNED}
            )
        for at, group in [(AT, events)] if batch else [(AT + 10 * n, [event]) for n, event in enumerate(events, 1)]:
            self.tell(group, at)

    def tell(self, events, at):
        reads = required_reads(events)
        given = {
            key: step
            for key, step in self.steps.items()
            if reads.all or key in reads.steps or (reads.open and step.is_open)
        }
        change = project(self.row, events, at, given)
        if change.keep_before_seq is not None:
            self.steps = {key: step for key, step in self.steps.items() if step.started_seq < change.keep_before_seq}
        if change.inbox_cleared:
            self.inbox = {}
        self.row = change.row
        self.steps = {**self.steps, **change.steps}
        self.inbox |= {row.seq: row for row in change.inbox_added}
        for seq in change.inbox_removed:
            del self.inbox[seq]


ROW = [
    ("a new instance is queued, due at once and fresh", [],
     {"status": "queued", "due_at": AT, "fresh": True, "last_seq": 1}),
    ("its params are counted", [], {"stored_bytes": len('{"n":1}')}),
    ("it starts", [*RUNS, NewEvent(ev.WORKFLOW_STARTED)], {"status": "running", "started_at": AT + 20, "due_at": None}),
    ("it waits with its worker", [*RUNS, WAITS], {"status": "waiting", "wait_until": AT + 5000, "owner": "node-a"}),
    ("it waits for an event without end", [*RUNS, NewEvent(ev.WORKFLOW_WAITING)],
     {"status": "waiting", "due_at": None}),
    (
        "it hibernates: due when its wait ends",
        [*RUNS, WAITS, execution_ended()],
        {"status": "waiting", "owner": None, "due_at": AT + 5000, "fresh": False, "in_execution": False},
    ),
    (
        "it hibernates with nothing to wake it but an operation",
        [*RUNS, NewEvent(ev.WORKFLOW_WAITING), execution_ended()],
        {"status": "waiting", "due_at": None},
    ),
    (
        "its worker dies in mid-run: queued again, due at once, before new ones",
        [*RUNS, execution_ended(ev.CRASHED)],
        {"status": "queued", "owner": None, "due_at": AT + 20, "fresh": False},
    ),
    ("a step ends in a waiting instance with a worker: running", [*RUNS, started(sleep()), WAITS,
     NewEvent(ev.SLEEP_COMPLETED, {}, sleep())], {"status": "running", "wait_until": None, "due_at": None}),
    ("a step ends in a sleeping instance: it is woken", [*RUNS, started(wait()), WAITS, execution_ended(), RECEIVED,
     NewEvent(ev.WAIT_COMPLETED, {**TAKEN, "received": 6}, wait())], {"status": "waiting", "due_at": AT + 60}),
    ("a woken one runs", [*RUNS, WAITS, execution_ended(), execution_started(2)],
     {"status": "running", "wait_until": None}),
    ("a pause is asked", [*RUNS, NewEvent(ev.WORKFLOW_WAITING_FOR_PAUSE)],
     {"status": "waitingForPause", "owner": "node-a"}),
    ("the worker is lost while a pause is asked: still to be paused, never stuck",
     [*RUNS, NewEvent(ev.WORKFLOW_WAITING_FOR_PAUSE), execution_ended(ev.LOST)],
     {"status": "waitingForPause", "due_at": AT + 30}),
    ("it starts while a pause is asked", [NewEvent(ev.WORKFLOW_WAITING_FOR_PAUSE), *RUNS],
     {"status": "waitingForPause"}),
    ("it pauses", [*RUNS, execution_ended(ev.EVICTED), PAUSED],
     {"status": "paused", "due_at": None, "owner": None, "paused_at": AT + 30}),
    ("a queued one pauses", [PAUSED], {"status": "paused", "due_at": None, "owner": None, "fresh": True}),
    ("a pause is called off", [*RUNS, NewEvent(ev.WORKFLOW_WAITING_FOR_PAUSE), RESUMED], {"status": "running"}),
    ("it resumes", [*RUNS, execution_ended(), PAUSED, RESUMED],
     {"status": "queued", "due_at": AT + 40, "paused_at": None}),
    ("it completes", [*RUNS, execution_ended(ev.COMPLETED), NewEvent(ev.WORKFLOW_COMPLETED, {"output": [1]})],
     {"status": "complete", "output": [1], "error": None, "ended_at": AT + 30, "due_at": None, "owner": None}),
    ("it fails", [*RUNS, execution_ended(), NewEvent(ev.WORKFLOW_ERRORED, {"error": {"name": "E"}})],
     {"status": "errored", "error": {"name": "E"}, "output": None, "ended_at": AT + 30}),
    ("it is terminated while queued", [NewEvent(ev.WORKFLOW_TERMINATED)],
     {"status": "terminated", "due_at": None, "owner": None}),
    ("log text is counted in bytes", [*RUNS, printed("añb"), printed("x")], {"log_bytes": 5}),
    ("values are counted", [*RUNS, *quick(do(), "four")], {"stored_bytes": len('{"n":1}"four"')}),
    ("the true value is counted, not what is shown", [*RUNS, started(do()), completed(do(), ev.REDACTED, "pw")],
     {"stored_bytes": len('{"n":1}"pw"')}),
    ("a payload is counted in bytes, when received and when taken", [*RUNS, started(wait()), NewEvent(ev.EVENT_RECEIVED,
     {"type": "go", "payload": "ñ"}), NewEvent(ev.WAIT_COMPLETED, {"event": "ñ", "received": 4}, wait())],
     {"stored_bytes": len('{"n":1}') + 4 + 4}),
    ("it restarts", [*RUNS, *quick(do()), printed("x"), execution_ended(), NewEvent(ev.WORKFLOW_ERRORED,
     {"error": {"name": "E"}}), NewEvent(ev.WORKFLOW_RESTARTED)], {"status": "queued", "generation": 2, "fresh": True,
     "due_at": AT + 90, "error": None, "ended_at": None, "started_at": None, "log_bytes": 0,
     "stored_bytes": len('{"n":1}'), "owner": None}),
    ("it is rolled back after a failure", [*RUNS, NewEvent(ev.ROLLBACK_STARTED, {"error": {"name": "E"}})],
     {"status": "running", "rollback": "running", "error": {"name": "E"}}),
    ("it is to be rolled back while paused: it wants a worker",
     [PAUSED, NewEvent(ev.ROLLBACK_STARTED, {"error": None})],
     {"status": "queued", "rollback": "running", "due_at": AT + 20}),
    ("it is rolled back to the end", [*RUNS, NewEvent(ev.ROLLBACK_STARTED), NewEvent(ev.ROLLBACK_COMPLETED)],
     {"rollback": "complete"}),
    ("its rollback fails", [*RUNS, NewEvent(ev.ROLLBACK_STARTED), NewEvent(ev.ROLLBACK_ERRORED)],
     {"rollback": "errored"}),
    ("an event of a type from a newer program only lengthens the journal", [*RUNS, NewEvent("something_new", {"x": 1})],
     {"status": "running", "last_seq": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), [case[1:] for case in ROW], ids=[case[0] for case in ROW])
def test_instance_row(events, expected):
    row = Told(events).row
    assert {name: getattr(row, name) for name in expected} == expected


HANDLER = {"rollback": {"retries": CONFIG["retries"], "timeout": 1000}}
STEP = [
    ("a do starts", [started(do())], do(),
     {"status": "running", "attempt": 0, "config": CONFIG, "line": 5, "started_seq": 3}),
    ("a do with a rollback handler", [started(do(), **HANDLER)], do(),
     {"rollback": "pending", "rollback_config": HANDLER["rollback"]}),
    ("a do without one", [started(do())], do(), {"rollback": None, "rollback_config": None}),
    ("an attempt starts", [started(do()), attempt(do())], do(), {"status": "running", "attempt": 1, "until": None}),
    ("an attempt fails and will be tried again",
     [started(do()), attempt(do()), attempt_errored(do(), retry_delay_ms=700)], do(),
     {"status": "retrying", "until": AT + 40 + 700, "failures": 1, "losses": 0}),
    ("a retry starts", [started(do()), attempt(do()), attempt_errored(do(), retry_delay_ms=700), attempt(do(), 2)],
     do(), {"status": "running", "attempt": 2, "until": None, "failures": 1}),
    ("the last attempt fails", [started(do()), attempt(do()), attempt_errored(do())], do(),
     {"status": "retrying", "failures": 1}),
    ("a worker is lost: the next attempt is due at once, and it is not the tenant's failure",
     [started(do()), attempt(do()), attempt_errored(do(), name="WorkerLost")], do(),
     {"status": "retrying", "until": AT + 40, "losses": 1, "failures": 0, "attempt": 1}),
    ("losses in a row add up", [started(do()), attempt(do()), attempt_errored(do(), name="WorkerLost"), attempt(do(),
     2), attempt_errored(do(), 2, name="WorkerLost")], do(), {"losses": 2, "attempt": 2}),
    ("a failure ends a row of losses", [started(do()), attempt(do()), attempt_errored(do(), name="WorkerLost"),
     attempt(do(), 2), attempt_errored(do(), 2, retry_delay_ms=0)], do(),
     {"losses": 0, "failures": 1, "status": "retrying"}),
    ("a success ends a row of losses", [started(do()), attempt(do()), attempt_errored(do(), name="WorkerLost"),
     attempt(do(), 2), NewEvent(ev.ATTEMPT_COMPLETED, {"attempt": 2}, do())], do(), {"losses": 0}),
    ("a do completes", quick(do(), {"a": 1}), do(),
     {"status": "completed", "result": {"a": 1}, "until": None, "attempt": 1}),
    ("a sensitive result is kept for replay", [started(do()), completed(do(), ev.REDACTED, "pw")], do(),
     {"result": "pw"}),
    ("a do without a result", quick(do(), None), do(), {"status": "completed", "result": None}),
    ("a do fails for good", [started(do()), NewEvent(ev.STEP_ERRORED, {"error": {"name": "E"}}, do())], do(),
     {"status": "errored", "error": {"name": "E"}}),
    ("a sleep starts", [started(sleep())], sleep(), {"status": "open", "until": AT + 5000, "line": 6, "config": None}),
    ("a sleep ends", [started(sleep()), NewEvent(ev.SLEEP_COMPLETED, {}, sleep())], sleep(),
     {"status": "completed", "until": None}),
    ("a wait starts", [started(wait())], wait(), {"status": "open", "event_type": "go", "until": AT + 9000}),
    ("a wait gets its event",
     [started(wait()), RECEIVED, NewEvent(ev.WAIT_COMPLETED, {**TAKEN, "received": 4}, wait())], wait(),
     {"status": "completed", "result": TAKEN["event"], "until": None}),
    ("a wait runs out", [started(wait()), NewEvent(ev.WAIT_TIMED_OUT, {"error": {"name": "T"}}, wait())], wait(),
     {"status": "errored", "error": {"name": "T"}, "until": None}),
    ("a pause moves deadlines", [started(sleep()), PAUSED, RESUMED], sleep(), {"until": AT + 5000 + 10}),
    ("a pause moves a retry",
     [started(do()), attempt(do()), attempt_errored(do(), retry_delay_ms=700), PAUSED, RESUMED], do(),
     {"until": AT + 40 + 700 + 10}),
    ("a pause moves nothing that is over",
     [started(sleep()), NewEvent(ev.SLEEP_COMPLETED, {}, sleep()), PAUSED, RESUMED], sleep(), {"until": None}),
    ("a handler starts", [started(do(), **HANDLER), NewEvent(ev.ROLLBACK_STEP_STARTED, {}, do())], do(),
     {"rollback": "running", "rollback_config": HANDLER["rollback"], "status": "running"}),
    ("a handler's attempt starts",
     [started(do(), **HANDLER), NewEvent(ev.ROLLBACK_ATTEMPT_STARTED, {"attempt": 1}, do())], do(),
     {"rollback": "running", "rollback_attempt": 1, "attempt": 0}),
    ("a handler's attempt fails", [started(do(), **HANDLER), NewEvent(ev.ROLLBACK_ATTEMPT_ERRORED,
     {"attempt": 1, "error": {"name": "E"}, "retry_delay_ms": 50}, do())], do(),
     {"rollback": "retrying", "rollback_until": AT + 30 + 50, "rollback_failures": 1, "failures": 0}),
    ("a handler's worker is lost", [started(do(), **HANDLER), NewEvent(ev.ROLLBACK_ATTEMPT_ERRORED,
     {"attempt": 1, "error": {"name": "WorkerLost"}}, do())], do(),
     {"rollback": "retrying", "rollback_until": AT + 30, "losses": 1, "rollback_failures": 0}),
    ("a handler completes", [started(do(), **HANDLER), NewEvent(ev.ROLLBACK_STEP_COMPLETED, {}, do())], do(),
     {"rollback": "completed"}),
    ("a handler fails", [started(do(), **HANDLER), NewEvent(ev.ROLLBACK_STEP_ERRORED, {"error": {}}, do())], do(),
     {"rollback": "errored"}),
    ("a pause moves a handler's retry", [started(do(), **HANDLER), NewEvent(ev.ROLLBACK_ATTEMPT_ERRORED,
     {"attempt": 1, "error": {"name": "E"}, "retry_delay_ms": 50}, do()), PAUSED, RESUMED], do(),
     {"rollback_until": AT + 30 + 50 + 10}),
]  # fmt: skip


@pytest.mark.parametrize(("events", "step", "expected"), [case[1:] for case in STEP], ids=[case[0] for case in STEP])
def test_step_row(events, step, expected):
    row = Told([execution_started(), *events]).steps[step]
    assert {name: getattr(row, name) for name in expected} == expected


def test_an_event_is_kept_until_it_is_taken():
    told = Told([execution_started(), started(wait()), RECEIVED])
    assert told.inbox == {4: InboxRow(4, AT + 30, "go", {"by": "me"})}
    told.tell([NewEvent(ev.WAIT_COMPLETED, {**TAKEN, "received": 4}, wait())], AT + 40)
    assert told.inbox == {}


def test_an_event_taken_in_the_batch_that_brings_it_is_never_stored():
    told = Told([execution_started(), started(wait())])
    change = project(
        told.row, [RECEIVED, NewEvent(ev.WAIT_COMPLETED, {**TAKEN, "received": 4}, wait())], AT, told.steps
    )
    assert (change.inbox_added, change.inbox_removed) == ([], [])


@pytest.mark.parametrize(
    "end", [ev.WORKFLOW_COMPLETED, ev.WORKFLOW_ERRORED, ev.WORKFLOW_TERMINATED, ev.WORKFLOW_RESTARTED]
)
def test_the_end_and_a_restart_clear_the_inbox(end):
    assert Told([execution_started(), RECEIVED, NewEvent(end)]).inbox == {}


def test_a_restart_drops_every_step():
    assert Told([execution_started(), *quick(do("a")), started(sleep()), NewEvent(ev.WORKFLOW_RESTARTED)]).steps == {}


def test_a_restart_from_a_step_keeps_those_that_started_before_it():
    events = [execution_started(), *quick(do("a"), "A"), started(sleep()), *quick(do("b")), *quick(do("c"))]
    origin = {"from_step": {"kind": "do", "name": "b", "count": 1}}
    told = Told([*events, NewEvent(ev.WORKFLOW_RESTARTED, origin)])
    assert list(told.steps) == [do("a"), sleep()]
    assert told.steps[do("a")].result == "A"
    assert told.row.stored_bytes == len('{"n":1}"A"')


def test_a_dropped_step_can_start_again():
    told = Told(
        [
            execution_started(),
            *quick(do("a")),
            NewEvent(ev.WORKFLOW_RESTARTED),
            execution_started(2),
            *quick(do("a"), 2),
        ]
    )
    assert told.steps[do("a")].result == 2


def test_a_batch_gives_the_same_rows_as_its_events_one_by_one():
    events = [execution_started(), *quick(do("a")), started(do("b")), attempt(do("b")), started(wait()), RECEIVED]
    one_by_one, batch = Told(events), Told(events, batch=True)
    assert batch.row == one_by_one.row
    assert batch.steps == one_by_one.steps
    assert batch.inbox.keys() == one_by_one.inbox.keys()


@pytest.mark.parametrize(
    "events",
    [
        [attempt(do())],
        [started(do(), x=1), NewEvent(ev.STEP_COMPLETED, {"output": 1})],
        [NewEvent(ev.STEP_STARTED, {"config": CONFIG, "line": 1})],
        [completed(do())],
        [NewEvent(ev.SLEEP_COMPLETED, {}, sleep())],
        [NewEvent(ev.ROLLBACK_STEP_COMPLETED, {}, do())],
        [started(do()), started(do())],
        [started(do()), NewEvent(ev.WORKFLOW_RESTARTED), attempt(do())],
    ],
    ids=[
        "attempt of no step",
        "end that names no step",
        "start that names no step",
        "end of no step",
        "end of no sleep",
        "rollback of no step",
        "started twice",
        "step of before a restart",
    ],
)
def test_events_that_cannot_follow_are_refused(events):
    with pytest.raises(JournalError):
        Told([execution_started(), *events], batch=True)


@pytest.mark.parametrize(
    "value", ["\ud800", object(), {"a": [b"raw", {1j}]}], ids=["lone surrogate", "object", "complex in a set"]
)
def test_a_value_that_json_cannot_hold_is_refused(value):
    with pytest.raises(NotSerialisable):
        Told([execution_started(), started(do()), completed(do(), value)])


def test_rows_and_the_fold_for_people_agree():
    """The journal a page folds and the rows the engine reads never tell different stories."""
    stories = [events for _, events, _ in ROW] + [[execution_started(), *events] for _, events, _, _ in STEP]
    shown_as = {"open": {"sleeping", "waiting"}, "errored": {"errored", "timed_out"}}
    for events in stories:
        told = Told(events)
        journal = [first_event(new("i")), *events]
        times = [AT, *(AT + 10 * n for n in range(1, len(events) + 1))]
        numbered = enumerate(zip(journal, times, strict=True), 1)
        state = fold(ev.Event(seq, at, event.type, 1, event.step, event.data) for seq, (event, at) in numbered)
        row = told.row
        assert (state.status, state.generation, state.last_seq) == (row.status, row.generation, row.last_seq)
        assert (state.output, state.rollback) == (row.output, row.rollback)
        assert (state.started_at, state.ended_at) == (row.started_at, row.ended_at)
        assert list(state.steps) == list(told.steps)
        for key, step in state.steps.items():
            stored = told.steps[key]
            assert stored.started_seq == step.started_seq
            # Between the last failure and the step_errored that follows.
            if not (stored.status == "running" and stored.failures):
                assert step.status in shown_as.get(stored.status, {stored.status})
                assert stored.until is None or stored.until == step.until


def test_a_step_key_of_another_kind_is_another_step():
    told = Told([execution_started(), *quick(StepKey(ev.DO, "a", 1)), started(StepKey(ev.SLEEP, "a", 1))])
    assert len(told.steps) == 2
