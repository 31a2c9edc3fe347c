"""An instance's rows while events are folded into them: what `projection_rules.py` works on."""

from collections.abc import Mapping
from typing import Any

import msgspec

from playground.store.errors import JournalError
from playground.store.protocol import InboxRow, InstanceRow, StepRow
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

replace = msgspec.structs.replace


def key_of(event: NewEvent) -> StepKey:
    """The step of an event that is about one. Raises JournalError."""
    if event.step is None:
        raise JournalError(f"{event.type} names no step")
    return event.step


class Fold:
    """An instance while a batch is folded into it; `changed` are fields of its row."""

    __slots__ = (
        "at", "changed", "inbox_added", "inbox_cleared", "inbox_removed", "kept_before", "kv", "results", "row", "seq",
        "started", "status", "steps", "touched",
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
        self.kept_before: int | None = None
        self.inbox_added: dict[int, InboxRow] = {}
        self.inbox_removed: list[int] = []
        self.inbox_cleared = False
        self.results: dict[StepKey, str] = {}
        self.kv: dict[str, str | None] = {}

    def get(self, name: str) -> Any:
        changed = self.changed
        return changed[name] if name in changed else getattr(self.row, name)

    def become(self, status: str) -> None:
        self.status = self.changed["status"] = status

    def step(self, event: NewEvent) -> StepRow:
        key = key_of(event)
        row = self.touched.get(key)
        if row is None:
            row = self.steps.get(key)
            if row is not None and self.kept_before is not None and row.started_seq >= self.kept_before:
                row = None
        if row is None:
            raise JournalError(f"{event.type} of step {key}, which has not started, in instance {self.row.id}")
        return row

    def all_steps(self) -> dict[StepKey, StepRow]:
        rows = {**self.steps, **self.touched}
        if self.kept_before is None:
            return rows
        return {key: row for key, row in rows.items() if row.started_seq < self.kept_before or key in self.touched}

    def start(self, row: StepRow) -> None:
        if row.key in self.touched:
            raise JournalError(f"step {row.key} starts a second time in instance {self.row.id}")
        self.touched[row.key] = row
        self.started.add(row.key)

    def put(self, row: StepRow) -> None:
        self.touched[row.key] = row

    def stirred(self) -> None:
        """Something ended or began in a waiting instance: it runs again, or wants a worker now."""
        if self.status != ev.WAITING:
            return
        if self.get("in_execution"):
            self.become(ev.RUNNING)
            self.changed["due_at"] = self.changed["wait_until"] = None
        else:
            self.changed["due_at"] = self.at

    def store(self, text: str) -> int:
        """Count a stored value, given as JSON text; returns its length in bytes."""
        size = len(text) if text.isascii() else len(text.encode())
        self.changed["stored_bytes"] = self.get("stored_bytes") + size
        return size

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
