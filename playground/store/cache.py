"""The writer's cache of instances between commits, so that an append reads nothing from the database.

On SQLite the cache equals the database, since the file's lock makes its process the only writer; a rollback drops every
instance that it touched. On PostgreSQL other nodes write too: the statement that appends compares owner, execution and
last_seq with the cached ones, which together determine the row, and an instance that has moved is read again.
"""

from collections import OrderedDict
from collections.abc import Iterable

from playground.store.projection import Change
from playground.store.rows import InboxRow, InstanceRow, StepRow
from playground.workflows.errors import Fenced
from playground.workflows.events import FINAL_STATUSES, StepKey

CACHED_INSTANCES = 4096
CACHED_BYTES = 16 * 1024 * 1024  # of their params and other values as JSON


def check_fence(row: InstanceRow, execution: int | None) -> None:
    """Raise Fenced unless the row takes what this execution writes; None: what is no execution's."""
    if execution is not None and (row.execution != execution or row.owner is None or row.status in FINAL_STATUSES):
        now = f"{row.status}, {'nobody has it' if row.owner is None else f'at execution {row.execution}'}"
        raise Fenced(f"instance {row.id} takes nothing from execution {execution} any more: it is {now}")


class CachedInstance:
    """One instance: `row` after the open transaction, `stored` as the database has it, and the changes not written yet.

    `weight` is the size of its values as JSON. `steps` has open steps, all of them if `has_open_steps`, and unwritten
    ones; a row may lack its result (see `has_result`).
    """

    steps: dict[StepKey, StepRow]
    has_open_steps: bool
    keep_before_seq: int | None
    changed: dict[StepKey, StepRow]
    started: set[StepKey]
    results: dict[StepKey, str]
    inbox_added: dict[int, InboxRow]
    inbox_removed: list[int]
    inbox_cleared: bool

    def __init__(self, row: InstanceRow, weight: int) -> None:
        self.key = row.key
        self.row = self.stored = row
        self.weight = weight
        self.steps = {}
        self.has_open_steps = row.last_seq <= 1
        self._clear_unwritten()

    def is_at(self, row: InstanceRow) -> bool:
        """Whether the database, where the instance has this row, is as it was for the cache."""
        return self.stored is self.row and all(
            getattr(self.row, name) == getattr(row, name) for name in ("owner", "execution", "last_seq")
        )

    def open_steps(self) -> list[StepRow]:
        """The open steps, by start; only where `has_open_steps`."""
        assert self.has_open_steps, "open steps are known or read first"
        return sorted((row for row in self.steps.values() if row.is_open), key=lambda row: row.started_seq)

    def apply(self, change: Change) -> None:
        """Apply a change, to be written later. The caller writes before and after a change that is a restart."""
        assert change.row.last_seq > self.row.last_seq, "a change appends events"
        assert change.row.execution >= self.row.execution, "an execution number never decreases"
        self.row = change.row
        if change.keep_before_seq is not None:
            self.steps = {key: row for key, row in self.steps.items() if row.started_seq < change.keep_before_seq}
        self.steps.update(change.steps)
        self.keep_before_seq = change.keep_before_seq
        self.changed.update(change.steps)
        self.started |= change.started
        self.results.update(change.results)
        if change.inbox_cleared:
            self.inbox_cleared = True
            self.inbox_added.clear()
            self.inbox_removed.clear()
        for row in change.inbox_added:
            self.inbox_added[row.seq] = row
        for seq in change.inbox_removed:
            if self.inbox_added.pop(seq, None) is None:
                self.inbox_removed.append(seq)

    def mark_written(self, maybe_over: Iterable[StepKey] | None = None) -> None:
        """All changes are in the database: keep only the open steps.

        `maybe_over` are those that may not be open; None: they are among the changed ones. Of thousands of open steps
        the others cost nothing.
        """
        self.stored = self.row
        for key in self.changed if maybe_over is None else maybe_over:
            row = self.steps.get(key)
            if row is not None and not row.is_open:
                del self.steps[key]
        self._clear_unwritten()

    def _clear_unwritten(self) -> None:
        self.keep_before_seq = None
        self.changed = {}
        self.started = set()
        self.results = {}
        self.inbox_added = {}
        self.inbox_removed = []
        self.inbox_cleared = False


def has_result(row: StepRow) -> bool:
    """Whether a cached row is complete: rows of open steps are read without their results."""
    return row.result is not None or row.result_bytes <= len("null")


class InstanceCache:
    """An LRU cache of instances, bounded by number and weight."""

    def __init__(self) -> None:
        self._instances: OrderedDict[int, CachedInstance] = OrderedDict()
        self._weight = 0

    def get(self, key: int) -> CachedInstance | None:
        return self._instances.get(key)

    def put(self, instance: CachedInstance) -> None:
        """Cache an instance whose changes are all written, and evict the least recently used ones over the bounds."""
        assert instance.stored is instance.row, "the cache equals the database"
        if instance.key not in self._instances:
            self._instances[instance.key] = instance
            self._weight += instance.weight
        self._instances.move_to_end(instance.key)
        while len(self._instances) > CACHED_INSTANCES or (self._weight > CACHED_BYTES and len(self._instances) > 1):
            self._weight -= self._instances.popitem(last=False)[1].weight

    def clear(self) -> None:
        """Drop all. The caller holds the instances that the open transaction has touched."""
        self._instances.clear()
        self._weight = 0

    def forget(self, key: int) -> None:
        instance = self._instances.pop(key, None)
        if instance is not None:
            self._weight -= instance.weight
            assert self._weight >= 0, "what is forgotten was counted"
