"""An instance's rows while events are folded into them: the rules of `workflows/event_rules.py`, applied to rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from playground.store.errors import JournalError
from playground.store.protocol import STEP_ERRORED, STEP_OPEN, InboxRow, InstanceRow, StepRow
from playground.workflows import event_rules
from playground.workflows import events as ev
from playground.workflows.breaks import Break
from playground.workflows.event_rules import Changes, Rule
from playground.workflows.events import NewEvent, StepKey

replace = msgspec.structs.replace

# What rows call a status of the rules by another name: replay and scheduling need not tell these apart.
STORED = {event_rules.SLEEPING: STEP_OPEN, event_rules.WAITING: STEP_OPEN, event_rules.TIMED_OUT: STEP_ERRORED}
# Where a step's row keeps what the rules say of its rollback handler.
HANDLER_COLUMNS = {"status": "rollback", "attempt": "rollback_attempt", "until": "rollback_until"}
# What the rules say of an instance and `injected` holds.
INJECTED = ("breaks", "armed")

# Adds columns of a step's row, as it was before the event, to those that change.
StepColumns = Callable[["Fold", NewEvent, StepRow, Changes], None]
# Changes what else belongs to the instance.
InstanceColumns = Callable[["Fold", NewEvent], None]


def key_of(event: NewEvent) -> StepKey:
    """The step of an event that is about one. Raises JournalError."""
    if event.step is None:
        raise JournalError(f"{event.type} names no step")
    return event.step


class Fold(msgspec.Struct):
    """An instance while a batch is folded into it; `changed` are fields of its row. The others are as in `Change`.

    A Struct, because every commit makes one: an `__init__` of so many fields takes twice as long.
    """

    row: InstanceRow
    at: int
    steps: Mapping[StepKey, StepRow]
    last_seq: int
    status: str
    changed: dict[str, Any] = {}
    touched: dict[StepKey, StepRow] = {}
    started: set[StepKey] = set()
    kept_before: int | None = None
    inbox_added: dict[int, InboxRow] = {}
    inbox_removed: list[int] = []
    inbox_cleared: bool = False
    results: dict[StepKey, str] = {}
    kv: dict[str, str | None] = {}

    def get(self, name: str) -> Any:
        """A field of the row as the batch has left it so far."""
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
        found: Sequence[Break] = (self.get("injected") or {}).get("breaks", ())
        return found

    def apply(self, event: NewEvent, rule: Rule, columns: StepColumns | None, others: InstanceColumns | None) -> None:
        """Change the rows as a rule says; `columns` and `others` change what only rows keep. Raises JournalError."""
        self.last_seq += 1
        begins, of_step, of_handler, keeps, postpones, of_instance, activates = rule
        if begins is not None:
            self._begin(event, begins, columns)
        elif of_step is not None or of_handler is not None or columns is not None:
            step = self.step(event)
            changes: Changes = {} if of_step is None else of_step(event.data, self.at)
            if of_handler is not None:
                of_its_handler = of_handler(event.data, self.at)
                for name, column in HANDLER_COLUMNS.items():
                    if name in of_its_handler:
                        changes[column] = of_its_handler[name]
            if columns is not None:
                columns(self, event, step, changes)
            if changes:
                self.touched[step.key] = replace(step, **changes)
        if of_instance is not None:
            if keeps is not None:
                steps = self.all_steps()
                self._keep(steps, keeps(event.data, steps))
            if postpones is not None:
                self._postpone(postpones(self, self.at))
            changes = of_instance(self, event.data, self.at)
            if changes:
                self._change(changes)
        if activates and self.status == ev.WAITING:
            changes = event_rules.activated(self)
            self._change({**changes, "due_at": None if changes else self.at})
        if others is not None:
            others(self, event)

    def step(self, event: NewEvent) -> StepRow:
        """The row of an event's step. Raises JournalError."""
        key = event.step or key_of(event)
        row = self.touched.get(key)
        if row is None:
            row = self.steps.get(key)
            if row is not None and self.kept_before is not None and row.started_seq >= self.kept_before:
                row = None
        if row is None:
            raise JournalError(f"{event.type} of step {key}, which has not started, in instance {self.row.id}")
        return row

    def all_steps(self) -> dict[StepKey, StepRow]:
        """Every step of the generation; rows that the batch has not touched come without results."""
        rows = {**self.steps, **self.touched}
        if self.kept_before is None:
            return rows
        return {key: row for key, row in rows.items() if row.started_seq < self.kept_before or key in self.touched}

    def inject(self, name: str, value: Any) -> None:
        """Keep what is done to the instance on purpose, or nothing of it any more."""
        before = self.get("injected") or {}
        if value or name in before:
            others = {key: each for key, each in before.items() if key != name}
            self.changed["injected"] = {**others, name: value} if value else others or None

    def store(self, text: str) -> int:
        """Count a stored value, given as JSON text; returns its length in bytes."""
        size = len(text) if text.isascii() else len(text.encode())
        self.changed["stored_bytes"] = self.get("stored_bytes") + size
        return size

    def clear_inbox(self) -> None:
        """Drop every event that nobody has consumed."""
        self.inbox_added.clear()
        self.inbox_removed.clear()
        self.inbox_cleared = True

    def _change(self, changes: Changes) -> None:
        for name in INJECTED:
            if name in changes:
                self.inject(name, changes.pop(name))
        self.changed.update(changes)
        self.status = changes.get("status", self.status)

    def _begin(self, event: NewEvent, begins: str, columns: StepColumns | None) -> None:
        data, key = event.data, event.step or key_of(event)
        if key in self.touched:
            raise JournalError(f"step {key} starts a second time in instance {self.row.id}")
        status = data["status"] if begins is event_rules.AS_COPIED else begins
        handler = data.get("rollback") or None
        row = StepRow(
            key, STORED.get(status, status), self.last_seq, data.get("line"), data.get("config"), 0, 0, 0,
            data.get("until"), None, data.get("error"), data.get("event_type"),
            None if handler is None else event_rules.PENDING, handler, started_clock=data.get("clock_us"),
        )  # fmt: skip
        if columns is not None:
            changes: Changes = {}
            columns(self, event, row, changes)
            row = replace(row, **changes)
        self.touched[key] = row
        self.started.add(key)

    def _keep(self, steps: Mapping[StepKey, StepRow], before: int) -> None:
        self.changed["stored_bytes"] = sum(row.result_bytes for row in steps.values() if row.started_seq < before)
        self.kept_before = before if self.kept_before is None else min(before, self.kept_before)
        self.touched = {key: row for key, row in self.touched.items() if row.started_seq < before}
        self.started &= self.touched.keys()

    def _postpone(self, by: int) -> None:
        if not by:
            return
        for key, row in self.all_steps().items():
            deadlines = {"until": row.until, "rollback_until": row.rollback_until}
            moved = {name: until + by for name, until in deadlines.items() if until is not None}
            if moved:
                self.touched[key] = replace(row, **moved)
