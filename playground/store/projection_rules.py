"""Projection rules by event type: how each event changes the rows of an instance.

`Fold` applies the rules that rows share with `State` (`workflows/event_rules.py`). The two tables at the end hold what
only rows keep: owner, due time, results, sizes, the inbox, keys and values. An event in no table changes only
`last_seq`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from playground.store.encoding import as_objects, encode
from playground.store.errors import JournalError
from playground.store.rows import STEP_ERRORED, STEP_OPEN, InboxRow, InstanceRow, MessageRow, StepRow
from playground.workflows import breakpoints, breaks, event_rules
from playground.workflows import events as ev
from playground.workflows.breakpoints import Breakpoint, Passed, Stop
from playground.workflows.breaks import Break
from playground.workflows.errors import WORKER_LOST
from playground.workflows.event_rules import Changes, Rule
from playground.workflows.events import NewEvent, StepKey
from playground.workflows.step_bytes import stored_size
from playground.workflows.tags import tags_of

replace = msgspec.structs.replace

# Statuses of the rules that rows merge into one: replay and scheduling need not distinguish them.
STORED_STATUSES = {event_rules.SLEEPING: STEP_OPEN, event_rules.WAITING: STEP_OPEN, event_rules.TIMED_OUT: STEP_ERRORED}
# The columns of a step's row for its rollback handler, by the rules' names.
# The limits of an instance that say how long it is kept in milliseconds, once it is complete or has ended otherwise.
RETENTION_OF_SUCCESS = "success_retention_ms"
RETENTION_OF_ERROR = "error_retention_ms"
HANDLER_COLUMNS = {"status": "rollback", "attempt": "rollback_attempt", "until": "rollback_until"}
# Fields of an instance that rows keep inside `injected`.
INJECTED = ("breaks", "armed", "breakpoints", "stopped_before", "passed", "skips_sleeps", "tags")

# Called with the step's row as before the event; adds to its changed columns.
StepProjection = Callable[["Fold", NewEvent, StepRow, Changes], None]
# Changes the instance's row, inbox, keys and values.
InstanceProjection = Callable[["Fold", NewEvent], None]


def step_key_of(event: NewEvent) -> StepKey:
    """The step of an event that must have one. Raises JournalError."""
    if event.step is None:
        raise JournalError(f"{event.type} names no step")
    return event.step


class Fold(msgspec.Struct):
    """An instance while a batch of events is folded into it.

    `changed` are fields of its row, `touched` its changed steps; the others are as in `Change`. A Struct, because every
    commit makes one: an `__init__` of so many fields takes twice as long.
    """

    row: InstanceRow
    at: int
    steps: Mapping[StepKey, StepRow]
    last_seq: int
    status: str
    changed: dict[str, Any] = {}
    touched: dict[StepKey, StepRow] = {}
    started: set[StepKey] = set()
    keep_before_seq: int | None = None
    inbox_added: dict[int, InboxRow] = {}
    inbox_removed: list[int] = []
    inbox_cleared: bool = False
    results: dict[StepKey, str] = {}
    kv: dict[str, str | None] = {}
    messages: list[MessageRow] = []
    tagged: list[str] = []

    def get(self, name: str) -> Any:
        """A field of the row after the events folded so far."""
        changed = self.changed
        return changed[name] if name in changed else getattr(self.row, name)

    @property
    def generation(self) -> int:
        number: int = self.get("generation")
        return number

    @property
    def in_execution(self) -> bool:
        found: bool = self.get("in_execution")
        return found

    @property
    def paused_at(self) -> int | None:
        at: int | None = self.get("paused_at")
        return at

    @property
    def breaks(self) -> Sequence[Break]:
        return breaks.breaks_of(self.get("injected"))

    @property
    def breakpoints(self) -> Sequence[Breakpoint]:
        return breakpoints.breakpoints_of(self.get("injected"))

    @property
    def stopped_before(self) -> Stop | None:
        return breakpoints.stopped_before(self.get("injected"))

    @property
    def passed(self) -> Sequence[Passed]:
        return breakpoints.passed_of(self.get("injected"))

    @property
    def tags(self) -> Sequence[str]:
        return tags_of(self.get("injected"))

    def apply(
        self,
        event: NewEvent,
        rule: Rule,
        project_step: StepProjection | None,
        project_instance: InstanceProjection | None,
    ) -> None:
        """Fold one event: by the rule, then by the projections on what only rows keep. Raises JournalError."""
        self.last_seq += 1
        begins, step_rule, handler_rule, keeps, postpones, instance_rule, activates = rule
        if begins is not None:
            self.begin_step(event, begins, project_step)
        elif step_rule is not None or handler_rule is not None or project_step is not None:
            step = self.step(event)
            changes: Changes = {} if step_rule is None else step_rule(event.data, self.at)
            if handler_rule is not None:
                handler_changes = handler_rule(event.data, self.at)
                for name, column in HANDLER_COLUMNS.items():
                    if name in handler_changes:
                        changes[column] = handler_changes[name]
            if project_step is not None:
                project_step(self, event, step, changes)
            if changes:
                self.touched[step.key] = replace(step, **changes)
        if instance_rule is not None:
            if keeps is not None:
                steps = self.all_steps()
                self._keep_steps(steps, keeps(event.data, steps))
            if postpones is not None:
                self._postpone_deadlines(postpones(self, self.at))
            changes = instance_rule(self, event.data, self.at)
            if changes:
                self._change_instance(changes)
        if activates and self.status == ev.WAITING:
            changes = event_rules.activated(self)
            self._change_instance({**changes, "due_at": None if changes else self.at})
        if project_instance is not None:
            project_instance(self, event)

    def step(self, event: NewEvent) -> StepRow:
        """The row of an event's step. Raises JournalError."""
        key = event.step or step_key_of(event)
        row = self.touched.get(key)
        if row is None:
            row = self.steps.get(key)
            if row is not None and self.keep_before_seq is not None and row.started_seq >= self.keep_before_seq:
                row = None
        if row is None:
            raise JournalError(f"{event.type} of step {key}, which has not started, in instance {self.row.id}")
        return row

    def all_steps(self) -> dict[StepKey, StepRow]:
        """Every step of the generation; untouched rows may lack their results."""
        rows = {**self.steps, **self.touched}
        if self.keep_before_seq is None:
            return rows
        return {key: row for key, row in rows.items() if row.started_seq < self.keep_before_seq or key in self.touched}

    def inject(self, name: str, value: Any) -> None:
        """Set a field of `injected` (faults that were injected on purpose), or remove it where `value` is falsy."""
        before = self.get("injected") or {}
        if value or name in before:
            others = {key: each for key, each in before.items() if key != name}
            self.changed["injected"] = {**others, name: value} if value else others or None

    def count_stored(self, text: str) -> int:
        """Add the size of a stored value, JSON text, to `stored_bytes`; returns it."""
        size = len(text) if text.isascii() else len(text.encode())
        self.changed["stored_bytes"] = self.get("stored_bytes") + size
        return size

    def clear_inbox(self) -> None:
        """Delete every unconsumed event."""
        self.inbox_added.clear()
        self.inbox_removed.clear()
        self.inbox_cleared = True

    def _change_instance(self, changes: Changes) -> None:
        for name in INJECTED:
            if name in changes:
                self.inject(name, changes.pop(name))
        self.changed.update(changes)
        self.status = changes.get("status", self.status)

    def begin_step(self, event: NewEvent, begins: str, project_step: StepProjection | None) -> None:
        """Begin a step with the row that its event says."""
        data, key = event.data, event.step or step_key_of(event)
        if key in self.touched:
            raise JournalError(f"step {key} starts a second time in instance {self.row.id}")
        status = data["status"] if begins is event_rules.AS_COPIED else begins
        handler = data.get("rollback") or None
        row = StepRow(
            key, STORED_STATUSES.get(status, status), self.last_seq, data.get("line"), data.get("config"), 0, 0, 0,
            data.get("until"), None, data.get("error"), data.get("event_type") or data.get("child"),
            None if handler is None else event_rules.PENDING, handler, started_clock=data.get("clock_us"),
        )  # fmt: skip
        if project_step is not None:
            changes: Changes = {}
            project_step(self, event, row, changes)
            row = replace(row, **changes)
        self.touched[key] = row
        self.started.add(key)

    def _keep_steps(self, steps: Mapping[StepKey, StepRow], before: int) -> None:
        self.changed["stored_bytes"] = sum(row.result_bytes for row in steps.values() if row.started_seq < before)
        self.keep_before_seq = before if self.keep_before_seq is None else min(before, self.keep_before_seq)
        self.touched = {key: row for key, row in self.touched.items() if row.started_seq < before}
        self.started &= self.touched.keys()

    def _postpone_deadlines(self, by: int) -> None:
        if not by:
            return
        for key, row in self.all_steps().items():
            deadlines = {"until": row.until, "rollback_until": row.rollback_until}
            moved = {name: until + by for name, until in deadlines.items() if until is not None}
            if moved:
                self.touched[key] = replace(row, **moved)


# Events by which a worker makes progress. An attempt that was lost with its worker is none.
PROGRESS = frozenset({
    ev.STEP_STARTED, ev.ATTEMPT_STARTED, ev.ATTEMPT_COMPLETED, ev.STEP_COMPLETED, ev.STEP_ERRORED,
    ev.SLEEP_STARTED, ev.SLEEP_COMPLETED, ev.SLEEP_CANCELLED, ev.WAIT_STARTED, ev.WAIT_COMPLETED, ev.WAIT_TIMED_OUT,
    ev.WAIT_CANCELLED, ev.CHILD_STARTED, ev.CHILD_COMPLETED, ev.CHILD_ERRORED, ev.CHILD_CANCELLED,
    ev.ROLLBACK_STARTED, ev.ROLLBACK_STEP_STARTED, ev.ROLLBACK_ATTEMPT_STARTED, ev.ROLLBACK_STEP_COMPLETED,
    ev.STEP_GIVEN,
})  # fmt: skip


def reset_crash_streak(fold: Fold, events: Sequence[NewEvent]) -> None:
    """Reset the crash streak when the worker made progress."""
    if fold.row.crashes and any(event.type in PROGRESS for event in events):
        fold.changed["crashes"] = 0


def record_clock(fold: Fold, events: Sequence[NewEvent]) -> None:
    """Record the latest time of the workflow's clock in the events, and when it was committed."""
    for event in reversed(events):
        if event.type == ev.WORKFLOW_RESTARTED:
            return
        clock = event.data.get("clock_us")
        if clock is not None:
            fold.changed["clock"], fold.changed["clock_at"] = max(fold.row.clock or 0, clock), fold.at
            return


def _step_copied(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    data = event.data
    changes["ended_seq"] = data.get("ended", fold.last_seq)
    changes["started_clock"], changes["clock"] = data.get("began_us"), data.get("clock_us")
    if data["status"] == event_rules.COMPLETED and step.key.kind != ev.SLEEP:
        _store_result(fold, event, step, changes, data.get("output"))


def _attempt_completed(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    if step.losses:
        changes["losses"] = 0


def _attempt_errored(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    if event.data["error"]["name"] == WORKER_LOST:
        changes["losses"] = step.losses + 1
    else:
        changes["losses"], changes["failures"] = 0, step.failures + 1


def _handler_attempt_errored(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    if event.data["error"]["name"] == WORKER_LOST:
        changes["losses"] = step.losses + 1
    else:
        changes["losses"], changes["rollback_failures"] = 0, step.rollback_failures + 1


def _step_ended(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    """Close a step. Without a time from a worker, the workflow's clock still shows the last time it sent."""
    clock = event.data.get("clock_us")
    changes["until"], changes["ended_seq"] = None, fold.last_seq
    changes["clock"] = fold.get("clock") if clock is None else clock


def _step_completed(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    _step_ended(fold, event, step, changes)
    _store_result(fold, event, step, changes, event.data.get("output"))


def _store_result(fold: Fold, event: NewEvent, step: StepRow, changes: Changes, journal_value: Any) -> None:
    """Store a result: in its event alone, or in the step's row where the event shows something else."""
    if event.secret is None and not (step.config and step.config.get("sensitive")):  # of which None is a secret too
        text, result = encode(journal_value), journal_value
        changes["result_seq"] = fold.last_seq
    else:
        text = fold.results[step.key] = encode(event.secret)
        result = event.secret
    size = fold.count_stored(text)
    kept = stored_size(result)
    if kept is not None:  # beside the journal
        size += kept
        fold.changed["stored_bytes"] += kept
    changes["result"], changes["result_bytes"] = result, size


def _wait_started(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    if step.config is not None:
        fold.count_stored(encode(step.config))


def _wait_completed(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    received = changes["received"] = event.data.get("received")
    if received is not None and fold.inbox_added.pop(received, None) is None:
        fold.inbox_removed.append(received)
    _step_ended(fold, event, step, changes)
    _store_result(fold, event, step, changes, event.data["event"])


def _wait_timed_out(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    _step_ended(fold, event, step, changes)
    changes["status"] = STORED_STATUSES[event_rules.TIMED_OUT]


def _wait_cancelled(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    _step_ended(fold, event, step, changes)
    returned = event.data.get("returned")
    if returned is not None:
        event_of_wait = as_objects(step.result)
        fold.inbox_added[returned] = InboxRow(
            returned, event_of_wait["timestamp"], event_of_wait["type"], event_of_wait["payload"]
        )


def _step_released(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    if event.data.get("reordered"):  # its place is after what the code learned before it
        changes["ended_seq"] = fold.last_seq
    else:
        changes["clock"] = event.data["clock_us"]


def _workflow_queued(fold: Fold, event: NewEvent) -> None:
    _make_due(fold)
    fold.count_stored(encode(event.data["params"]))


def _make_due(fold: Fold) -> None:
    """Let a queued instance be claimed, unless it is held."""
    fold.changed["due_at"] = fold.at if fold.get("held_until") is None else None


def _workflow_admitted(fold: Fold, event: NewEvent) -> None:
    if fold.status == ev.QUEUED:
        fold.changed["due_at"] = fold.at


def _workflow_debounced(fold: Fold, event: NewEvent) -> None:
    fold.count_stored(encode(event.data["params"]))


def _workflow_waiting(fold: Fold, event: NewEvent) -> None:
    fold.changed["due_at"] = event.data.get("until")


def _workflow_paused(fold: Fold, event: NewEvent) -> None:
    fold.changed.update(due_at=None, owner=None)


def _workflow_resumed(fold: Fold, event: NewEvent) -> None:
    if fold.status == ev.QUEUED:
        _make_due(fold)


def _workflow_restarted(fold: Fold, event: NewEvent) -> None:
    fold.clear_inbox()
    _make_due(fold)
    fold.changed.update(fresh=True, owner=None, log_bytes=0, clock=None, clock_at=None, crashes=0)
    fold.count_stored(encode(fold.row.params))


def _workflow_final(fold: Fold, event: NewEvent) -> None:
    kept_ms = own_retention_ms(fold.row.limits, fold.status)
    fold.changed.update(due_at=None, owner=None, wait_until=None if kept_ms is None else fold.at + kept_ms)
    fold.clear_inbox()


def own_retention_ms(limits: Mapping[str, Any] | None, status: str) -> int | None:
    """How long an instance with these limits that has ended with this status is kept; None: as all others."""
    return (limits or {}).get(RETENTION_OF_SUCCESS if status == ev.COMPLETE else RETENTION_OF_ERROR)


def _execution_started(fold: Fold, event: NewEvent) -> None:
    fold.changed["due_at"] = None


def _execution_ended(fold: Fold, event: NewEvent) -> None:
    fold.changed.update(owner=None, fresh=False)
    if event.data["reason"] == ev.CRASHED:
        fold.changed["crashes"] = event.data.get("crashes", 0)
    if "injected" in event.data:
        fold.inject("chaos", {**fold.get("injected")["chaos"], "killed": {"step": event.data.get("step")}})
    if fold.status == ev.WAITING:
        fold.changed["due_at"] = fold.get("wait_until")
    elif fold.status in (ev.QUEUED, ev.WAITING_FOR_PAUSE):
        fold.changed["due_at"] = fold.at


def _rollback_started(fold: Fold, event: NewEvent) -> None:
    fold.changed["error"] = event.data.get("error")
    if not fold.in_execution:
        fold.changed["due_at"] = fold.at


def _code_changed(fold: Fold, event: NewEvent) -> None:
    fold.changed["snippet"] = event.data["snippet"]
    if fold.status == ev.WAITING:
        fold.changed["due_at"] = fold.at  # the new code may do more than wait


def _workflow_migrated(fold: Fold, event: NewEvent) -> None:
    fold.changed["snippet"] = event.data["to"]


def _event_received(fold: Fold, event: NewEvent) -> None:
    payload = event.data["payload"]
    fold.count_stored(encode(payload))
    fold.inbox_added[fold.last_seq] = InboxRow(fold.last_seq, fold.at, event.data["type"], payload)


def _event_replied(fold: Fold, event: NewEvent) -> None:
    """A row of its own, of which people see nothing: that there is one keeps a replay from replying again."""
    fold.begin_step(event, event_rules.AS_COPIED, _step_copied)


def _patch_decided(fold: Fold, event: NewEvent) -> None:
    """A row of its own, of which people see nothing: every replay takes the way that it says."""
    fold.begin_step(event, event_rules.COMPLETED, _patch_stored)


def _patch_stored(fold: Fold, event: NewEvent, step: StepRow, changes: Changes) -> None:
    patched = event.data["patched"]
    text = fold.results[step.key] = encode(patched)
    changes["ended_seq"], changes["clock"] = fold.last_seq, event.data.get("clock_us")
    changes["result"], changes["result_bytes"] = patched, fold.count_stored(text)


def _kv_put(fold: Fold, event: NewEvent) -> None:
    text = fold.kv[event.data["key"]] = encode(event.data["value"] if event.secret is None else event.secret)
    fold.count_stored(text)


def _kv_deleted(fold: Fold, event: NewEvent) -> None:
    fold.kv[event.data["key"]] = None


def _message_sent(fold: Fold, event: NewEvent) -> None:
    data, text = event.data, encode(event.data["body"])
    fold.count_stored(text)
    due_at = fold.at + data["delay_ms"]
    fold.messages.append(MessageRow(data["queue"], data["id"], fold.at, due_at, data["content_type"], text))


def _workflow_tagged(fold: Fold, event: NewEvent) -> None:
    fold.tagged += event.data["tags"]


def _log_line(fold: Fold, event: NewEvent) -> None:
    text = event.data["text"]
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise JournalError(f"a log line of instance {fold.row.id} is not text") from None
    fold.changed["log_bytes"] = fold.get("log_bytes") + size


def _stream_appended(fold: Fold, event: NewEvent) -> None:
    fold.count_stored(encode(event.data["values"]))


# What an event does to its step's row, beyond its rule.
STEP_PROJECTIONS: Mapping[str, StepProjection] = {
    ev.STEP_COPIED: _step_copied,
    ev.STEP_GIVEN: _step_copied,
    ev.ATTEMPT_COMPLETED: _attempt_completed,
    ev.ATTEMPT_ERRORED: _attempt_errored,
    ev.STEP_COMPLETED: _step_completed,
    ev.STEP_ERRORED: _step_ended,
    ev.SLEEP_COMPLETED: _step_ended,
    ev.SLEEP_CANCELLED: _step_ended,
    ev.WAIT_STARTED: _wait_started,
    ev.WAIT_COMPLETED: _wait_completed,
    ev.WAIT_TIMED_OUT: _wait_timed_out,
    ev.WAIT_CANCELLED: _wait_cancelled,
    ev.CHILD_COMPLETED: _step_completed,
    ev.CHILD_ERRORED: _step_ended,
    ev.CHILD_CANCELLED: _step_ended,
    ev.STEP_RELEASED: _step_released,
    ev.ROLLBACK_ATTEMPT_COMPLETED: _attempt_completed,
    ev.ROLLBACK_ATTEMPT_ERRORED: _handler_attempt_errored,
}

# What an event does to the instance's other rows, beyond its rule.
INSTANCE_PROJECTIONS: Mapping[str, InstanceProjection] = {
    ev.WORKFLOW_QUEUED: _workflow_queued,
    ev.WORKFLOW_ADMITTED: _workflow_admitted,
    ev.WORKFLOW_DEBOUNCED: _workflow_debounced,
    ev.WORKFLOW_WAITING: _workflow_waiting,
    ev.WORKFLOW_PAUSED: _workflow_paused,
    ev.WORKFLOW_RESUMED: _workflow_resumed,
    ev.WORKFLOW_RESTARTED: _workflow_restarted,
    ev.WORKFLOW_COMPLETED: _workflow_final,
    ev.WORKFLOW_ERRORED: _workflow_final,
    ev.WORKFLOW_TERMINATED: _workflow_final,
    ev.WORKFLOW_MIGRATED: _workflow_migrated,
    ev.WORKFLOW_TAGGED: _workflow_tagged,
    ev.EXECUTION_STARTED: _execution_started,
    ev.EXECUTION_ENDED: _execution_ended,
    ev.CODE_CHANGED: _code_changed,
    ev.EVENT_RECEIVED: _event_received,
    ev.EVENT_REPLIED: _event_replied,
    ev.PATCH_DECIDED: _patch_decided,
    ev.KV_PUT: _kv_put,
    ev.KV_DELETED: _kv_deleted,
    ev.MESSAGE_SENT: _message_sent,
    ev.LOG: _log_line,
    ev.STREAM_APPENDED: _stream_appended,
    ev.ROLLBACK_STARTED: _rollback_started,
}
