"""What events do to rows: pure, and the same for every database. The journal is the truth; rows are kept because replay and
scheduling need them fast. `workflows/state.py` folds the same events for people; a test holds the two together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from playground.store import protocol as rows
from playground.store.encoding import encode
from playground.store.errors import JournalError
from playground.store.protocol import InboxRow, InstanceRow, NewInstance, StepRow
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

WORKER_LOST = "WorkerLost"  # the name of an attempt's error when its worker died; a loss is not the tenant's failure

# What becomes of a step's rollback handler.
HANDLER_PENDING = "pending"
HANDLER_RUNNING = "running"
HANDLER_RETRYING = "retrying"
HANDLER_COMPLETED = "completed"
HANDLER_ERRORED = "errored"

# What becomes of an instance's rollback as a whole.
ROLLBACK_RUNNING = "running"
ROLLBACK_COMPLETE = "complete"
ROLLBACK_ERRORED = "errored"

replace = msgspec.structs.replace


class Change(NamedTuple):
    """What a run of events of one instance changes.

    `steps` are the rows as they become; those in `started` did not exist before. With `restarted`, every stored step is dropped
    first and `steps` are all there are. With `inbox_cleared`, every stored inbox row goes, then `inbox_added` come.
    `results` holds the JSON text of those results that were set here, so that it is made once.
    """

    row: InstanceRow
    steps: dict[StepKey, StepRow]
    started: set[StepKey]
    restarted: bool
    inbox_added: list[InboxRow]
    inbox_removed: list[int]
    inbox_cleared: bool
    results: dict[StepKey, str]


def first_row(new: NewInstance, key: int, at: int) -> InstanceRow:
    """The row of a new instance before its first event; `at` is in epoch milliseconds."""
    return InstanceRow(
        key=key, tenant=new.tenant, id=new.id, workflow=new.workflow, snippet=new.snippet, class_name=new.class_name,
        params=new.params, queue=new.queue, control_hash=new.control_hash, metadata=new.metadata, limits=new.limits,
        status=ev.QUEUED, generation=1, execution=0, last_seq=0, owner=None, due_at=at, log_bytes=0, stored_bytes=0,
        output=None, error=None, rollback=None, created_at=at, started_at=None, ended_at=None, paused_at=None,
        wait_until=None, fresh=True, in_execution=False,
    )  # fmt: skip


def first_event(new: NewInstance) -> NewEvent:
    """The event that every journal begins with."""
    return NewEvent(ev.WORKFLOW_QUEUED, {"params": new.params, "trigger": new.trigger})


def project(row: InstanceRow, events: Sequence[NewEvent], at: int, steps: Mapping[StepKey, StepRow]) -> Change:
    """The change that `events`, committed at `at` (epoch milliseconds), make to an instance.

    `steps` are those of the current generation. It may be lazy: it is asked only for steps whose earlier row matters, and read
    as a whole only by a restart and a resume.

    Raises:
        JournalError: the events can't follow from the rows.
        NotSerialisable: a value in them can't be stored.
    """
    fold = _Fold(row, at, steps)
    for event in events:
        fold.seq += 1
        rule = _RULES.get(event.type)
        if rule is not None:
            rule(fold, event)
    changed = fold.changed
    changed["last_seq"] = fold.seq
    return Change(
        replace(row, **changed),
        fold.touched,
        fold.started,
        fold.restarted,
        list(fold.inbox_added.values()),
        fold.inbox_removed,
        fold.inbox_cleared,
        fold.results,
    )


class _Fold:
    """An instance while a batch is folded into it; `changed` are fields of its row."""

    __slots__ = (
        "at", "changed", "inbox_added", "inbox_cleared", "inbox_removed", "restarted", "results", "row", "seq", "started",
        "status", "steps", "touched",
    )  # fmt: skip

    def __init__(self, row: InstanceRow, at: int, steps: Mapping[StepKey, StepRow]) -> None:
        self.row = row
        self.at = at
        self.seq = row.last_seq
        self.status = row.status
        self.steps = steps
        self.changed: dict[str, Any] = {}
        self.touched: dict[StepKey, StepRow] = {}
        self.started: set[StepKey] = set()
        self.restarted = False
        self.inbox_added: dict[int, InboxRow] = {}
        self.inbox_removed: list[int] = []
        self.inbox_cleared = False
        self.results: dict[StepKey, str] = {}

    def get(self, name: str) -> Any:
        changed = self.changed
        return changed[name] if name in changed else getattr(self.row, name)

    def become(self, status: str) -> None:
        self.status = self.changed["status"] = status

    def step(self, event: NewEvent) -> StepRow:
        key = event.step
        row = self.touched.get(key)
        if row is None and not self.restarted:
            row = self.steps.get(key)
        if row is None:
            raise JournalError(f"{event.type} of step {key}, which has not started, in instance {self.row.id}")
        return row

    def all_steps(self) -> dict[StepKey, StepRow]:
        return dict(self.touched) if self.restarted else {**self.steps, **self.touched}

    def start(self, event: NewEvent, row: StepRow) -> None:
        if event.step in self.touched:
            raise JournalError(f"{event.type} of step {event.step}, which has started, in instance {self.row.id}")
        self.touched[event.step] = row
        self.started.add(event.step)

    def stirred(self) -> None:
        """Something ended or began in a waiting instance: it runs again, or wants a worker now."""
        if self.status != ev.WAITING:
            return
        if self.get("in_execution"):
            self.become(ev.RUNNING)
            self.changed["due_at"] = self.changed["wait_until"] = None
        else:
            self.changed["due_at"] = self.at

    def store(self, text: str) -> None:
        """Count a stored value, given as JSON text."""
        size = len(text) if text.isascii() else len(text.encode())
        self.changed["stored_bytes"] = self.get("stored_bytes") + size

    def finish(self, status: str, output: Any, error: Any) -> None:
        self.become(status)
        self.changed.update(
            output=output, error=error, ended_at=self.at, due_at=None, wait_until=None, owner=None, in_execution=False
        )
        self.clear_inbox()

    def clear_inbox(self) -> None:
        self.inbox_added.clear()
        self.inbox_removed.clear()
        self.inbox_cleared = True


def _queued(fold: _Fold, event: NewEvent) -> None:
    fold.become(ev.QUEUED)
    fold.changed["due_at"] = fold.at
    fold.store(encode(event.data["params"]))


def _workflow_started(fold: _Fold, event: NewEvent) -> None:
    fold.changed["started_at"] = fold.at


def _waiting(fold: _Fold, event: NewEvent) -> None:
    fold.become(ev.WAITING)
    fold.changed["wait_until"] = fold.changed["due_at"] = event.data.get("until")


def _waiting_for_pause(fold: _Fold, event: NewEvent) -> None:
    fold.become(ev.WAITING_FOR_PAUSE)


def _paused(fold: _Fold, event: NewEvent) -> None:
    fold.become(ev.PAUSED)
    fold.changed.update(paused_at=fold.at, due_at=None, wait_until=None, owner=None, in_execution=False)


def _resumed(fold: _Fold, event: NewEvent) -> None:
    if fold.status == ev.WAITING_FOR_PAUSE:
        fold.become(ev.RUNNING)
        return
    paused_at = fold.get("paused_at")
    held = fold.at - (fold.at if paused_at is None else paused_at)
    fold.become(ev.QUEUED)
    fold.changed.update(due_at=fold.at, paused_at=None)
    for key, step in fold.all_steps().items():
        if step.until is not None and step.status in (rows.STEP_OPEN, rows.STEP_RETRYING):
            step = fold.touched[key] = replace(step, until=step.until + held)
        if step.rollback_until is not None and step.rollback == HANDLER_RETRYING:
            fold.touched[key] = replace(step, rollback_until=step.rollback_until + held)


def _restarted(fold: _Fold, event: NewEvent) -> None:
    steps = fold.all_steps()
    origin = event.data.get("from_step")
    kept: dict[StepKey, StepRow] = {}
    if origin:
        first = steps.get(StepKey(origin["kind"], origin["name"], origin["count"]))
        if first is not None:
            kept = {key: step for key, step in steps.items() if step.started_seq < first.started_seq}
    fold.restarted = True
    fold.touched, fold.started = kept, set(kept)
    fold.results = {key: encode(step.result) for key, step in kept.items() if step.result is not None}
    fold.clear_inbox()
    fold.become(ev.QUEUED)
    fold.changed.update(
        generation=fold.get("generation") + 1, due_at=fold.at, wait_until=None, fresh=True, owner=None, in_execution=False,
        output=None, error=None, started_at=None, ended_at=None, rollback=None, paused_at=None, log_bytes=0, stored_bytes=0,
    )  # fmt: skip
    fold.store(encode(fold.row.params))
    for text in fold.results.values():
        fold.store(text)


def _execution_started(fold: _Fold, event: NewEvent) -> None:
    if fold.status != ev.WAITING_FOR_PAUSE:
        fold.become(ev.RUNNING)
    fold.changed.update(in_execution=True, due_at=None, wait_until=None)


def _execution_ended(fold: _Fold, event: NewEvent) -> None:
    fold.changed.update(owner=None, in_execution=False, fresh=False)
    if fold.status == ev.WAITING:
        fold.changed["due_at"] = fold.get("wait_until")
    elif fold.status in (ev.QUEUED, ev.RUNNING):
        fold.become(ev.QUEUED)
        fold.changed["due_at"] = fold.at
    elif fold.status == ev.WAITING_FOR_PAUSE:
        fold.changed["due_at"] = fold.at


def _step_started(fold: _Fold, event: NewEvent) -> None:
    data = event.data
    handler = data.get("rollback")
    row = StepRow(
        event.step, rows.STEP_RUNNING, fold.seq, data.get("line"), data.get("config"), 0, 0, 0, None, None, None, None,
        HANDLER_PENDING if handler else None, handler or None,
    )  # fmt: skip
    fold.start(event, row)
    fold.stirred()


def _attempt_started(fold: _Fold, event: NewEvent) -> None:
    step = fold.step(event)
    fold.touched[event.step] = replace(step, status=rows.STEP_RUNNING, attempt=event.data["attempt"], until=None)
    fold.stirred()


def _attempt_completed(fold: _Fold, event: NewEvent) -> None:
    step = fold.step(event)
    if step.losses:
        fold.touched[event.step] = replace(step, losses=0)


def _attempt_errored(fold: _Fold, event: NewEvent) -> None:
    step, data = fold.step(event), event.data
    delay = data.get("retry_delay_ms")
    if data["error"]["name"] == WORKER_LOST:
        changed: dict[str, Any] = {"losses": step.losses + 1, "status": rows.STEP_RETRYING, "until": fold.at}
    else:
        changed = {"losses": 0, "failures": step.failures + 1}
        if delay is not None:
            changed |= {"status": rows.STEP_RETRYING, "until": fold.at + delay}
    fold.touched[event.step] = replace(step, attempt=data["attempt"], **changed)


def _step_completed(fold: _Fold, event: NewEvent) -> None:
    _complete(fold, event, event.data.get("output") if event.secret is None else event.secret)


def _step_errored(fold: _Fold, event: NewEvent) -> None:
    step = fold.step(event)
    fold.touched[event.step] = replace(step, status=rows.STEP_ERRORED, error=event.data.get("error"), until=None)
    fold.stirred()


def _complete(fold: _Fold, event: NewEvent, result: Any) -> None:
    step = fold.step(event)
    fold.results[event.step] = text = encode(result)
    fold.store(text)
    fold.touched[event.step] = replace(step, status=rows.STEP_COMPLETED, result=result, until=None)
    fold.stirred()


def _timer_started(fold: _Fold, event: NewEvent) -> None:
    data = event.data
    row = StepRow(
        event.step, rows.STEP_OPEN, fold.seq, data.get("line"), None, 0, 0, 0, data["until"], None, None, data.get("event_type")
    )
    fold.start(event, row)


def _sleep_completed(fold: _Fold, event: NewEvent) -> None:
    fold.touched[event.step] = replace(fold.step(event), status=rows.STEP_COMPLETED, result=None, until=None)
    fold.stirred()


def _wait_completed(fold: _Fold, event: NewEvent) -> None:
    received = event.data.get("received")
    if received is not None and fold.inbox_added.pop(received, None) is None:
        fold.inbox_removed.append(received)
    _complete(fold, event, event.data["event"])


def _event_received(fold: _Fold, event: NewEvent) -> None:
    payload = event.data["payload"]
    fold.store(encode(payload))
    fold.inbox_added[fold.seq] = InboxRow(fold.seq, fold.at, event.data["type"], payload)


def _log(fold: _Fold, event: NewEvent) -> None:
    text = event.data["text"]
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise JournalError(f"a log line of instance {fold.row.id} is not text") from None
    fold.changed["log_bytes"] = fold.get("log_bytes") + size


def _completed(fold: _Fold, event: NewEvent) -> None:
    fold.finish(ev.COMPLETE, event.data.get("output"), None)


def _errored(fold: _Fold, event: NewEvent) -> None:
    fold.finish(ev.ERRORED, None, event.data.get("error"))


def _terminated(fold: _Fold, event: NewEvent) -> None:
    fold.finish(ev.TERMINATED, None, event.data.get("error"))


def _rollback_started(fold: _Fold, event: NewEvent) -> None:
    fold.changed.update(rollback=ROLLBACK_RUNNING, error=event.data.get("error"))
    if fold.get("owner") is None:
        fold.become(ev.QUEUED)
        fold.changed.update(due_at=fold.at, wait_until=None, paused_at=None)
    else:
        fold.stirred()


def _rollback_completed(fold: _Fold, event: NewEvent) -> None:
    fold.changed["rollback"] = ROLLBACK_COMPLETE


def _rollback_errored(fold: _Fold, event: NewEvent) -> None:
    fold.changed["rollback"] = ROLLBACK_ERRORED


def _handler_started(fold: _Fold, event: NewEvent) -> None:
    fold.touched[event.step] = replace(fold.step(event), rollback=HANDLER_RUNNING, rollback_until=None)
    fold.stirred()


def _handler_attempt_started(fold: _Fold, event: NewEvent) -> None:
    step = fold.step(event)
    attempt = event.data["attempt"]
    fold.touched[event.step] = replace(step, rollback=HANDLER_RUNNING, rollback_attempt=attempt, rollback_until=None)
    fold.stirred()


def _handler_attempt_errored(fold: _Fold, event: NewEvent) -> None:
    step, data = fold.step(event), event.data
    delay = data.get("retry_delay_ms")
    if data["error"]["name"] == WORKER_LOST:
        changed: dict[str, Any] = {"losses": step.losses + 1, "rollback": HANDLER_RETRYING, "rollback_until": fold.at}
    else:
        changed = {"losses": 0, "rollback_failures": step.rollback_failures + 1}
        if delay is not None:
            changed |= {"rollback": HANDLER_RETRYING, "rollback_until": fold.at + delay}
    fold.touched[event.step] = replace(step, rollback_attempt=data["attempt"], **changed)


def _handler_ended(status: str) -> Callable[[_Fold, NewEvent], None]:
    def rule(fold: _Fold, event: NewEvent) -> None:
        fold.touched[event.step] = replace(fold.step(event), rollback=status, rollback_until=None)
        fold.stirred()

    return rule


_RULES: Mapping[str, Callable[[_Fold, NewEvent], None]] = {
    ev.WORKFLOW_QUEUED: _queued,
    ev.WORKFLOW_STARTED: _workflow_started,
    ev.WORKFLOW_WAITING: _waiting,
    ev.WORKFLOW_WAITING_FOR_PAUSE: _waiting_for_pause,
    ev.WORKFLOW_PAUSED: _paused,
    ev.WORKFLOW_RESUMED: _resumed,
    ev.WORKFLOW_RESTARTED: _restarted,
    ev.WORKFLOW_COMPLETED: _completed,
    ev.WORKFLOW_ERRORED: _errored,
    ev.WORKFLOW_TERMINATED: _terminated,
    ev.EXECUTION_STARTED: _execution_started,
    ev.EXECUTION_ENDED: _execution_ended,
    ev.STEP_STARTED: _step_started,
    ev.ATTEMPT_STARTED: _attempt_started,
    ev.ATTEMPT_COMPLETED: _attempt_completed,
    ev.ATTEMPT_ERRORED: _attempt_errored,
    ev.STEP_COMPLETED: _step_completed,
    ev.STEP_ERRORED: _step_errored,
    ev.SLEEP_STARTED: _timer_started,
    ev.SLEEP_COMPLETED: _sleep_completed,
    ev.WAIT_STARTED: _timer_started,
    ev.WAIT_COMPLETED: _wait_completed,
    ev.WAIT_TIMED_OUT: _step_errored,
    ev.EVENT_RECEIVED: _event_received,
    ev.LOG: _log,
    ev.ROLLBACK_STARTED: _rollback_started,
    ev.ROLLBACK_STEP_STARTED: _handler_started,
    ev.ROLLBACK_ATTEMPT_STARTED: _handler_attempt_started,
    ev.ROLLBACK_ATTEMPT_COMPLETED: _attempt_completed,
    ev.ROLLBACK_ATTEMPT_ERRORED: _handler_attempt_errored,
    ev.ROLLBACK_STEP_COMPLETED: _handler_ended(HANDLER_COMPLETED),
    ev.ROLLBACK_STEP_ERRORED: _handler_ended(HANDLER_ERRORED),
    ev.ROLLBACK_COMPLETED: _rollback_completed,
    ev.ROLLBACK_ERRORED: _rollback_errored,
}
