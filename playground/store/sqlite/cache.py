"""The writer's cache of instances between commits, so that a fenced append reads nothing from the database.

Per process on purpose: the file's lock makes this process the only writer, so the cache equals the database; a rollback
drops every instance that it touched. A database with other writers must compare owner, execution and last_seq in the
statement instead.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from playground.store.encryption import Keyring
from playground.store.named_sql import NamedSql
from playground.store.projection import Change, required_reads
from playground.store.projection_rules import replace
from playground.store.protocol import Needs, Snapshot
from playground.store.rows import InboxRow, InstanceRow, StepRow
from playground.store.sqlite import rows as columns
from playground.store.sqlite.secrets_at_rest import decrypt_result
from playground.workflows.events import NewEvent, StepKey

CACHED_INSTANCES = 4096
CACHED_BYTES = 16 * 1024 * 1024  # of their params and other values as JSON


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

    def mark_written(self) -> None:
        """All changes are in the database: keep only the open steps."""
        self.stored = self.row
        for key in [key for key, row in self.steps.items() if not row.is_open]:
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


class StepReader:
    """Reads the steps of cached instances, from the cache where they are there, and decrypts their results.

    Args:
        run_sql: runs SQL text in the open transaction.
        sql: the statements of queries.sql.
        keyring: decrypts results.
    """

    def __init__(self, run_sql: Callable[..., sqlite3.Cursor], sql: NamedSql, keyring: Keyring) -> None:
        self._run_sql, self._sql, self._keyring = run_sql, sql, keyring

    def snapshot(self, cached: CachedInstance, needs: Needs) -> Snapshot:
        """The snapshot for a decider. The caller has flushed, so the database has all that is not cached."""
        key, generation = cached.key, cached.row.generation
        inbox = [columns.inbox_row(row) for row in self._run_sql(self._sql["inbox"], (key,))]
        self._load_open_steps(cached)
        steps = {step: self._read_step(cached, step) for step in needs.steps}
        keys = pending = None
        if needs.keys:
            keys = frozenset(
                columns.step_key(*step) for step in self._run_sql(self._sql["step_keys"], (key, generation))
            )
        if needs.pending_rollback:
            pending = self._run_sql(self._sql["pending_rollback"], (key, generation)).fetchone() is not None
        return Snapshot(cached.row, steps, inbox, cached.open_steps(), keys, pending)

    def steps_to_fold(self, cached: CachedInstance, events: Sequence[NewEvent]) -> Mapping[StepKey, StepRow]:
        """The step rows that the events are folded into, cached or read."""
        reads = required_reads(events)
        if reads.all:
            query = self._sql["steps_without_results"]
            stored = [columns.step_row(row) for row in self._run_sql(query, (cached.key, cached.row.generation))]
            return {**{row.key: row for row in stored}, **cached.steps}
        if reads.open:
            self._load_open_steps(cached)
        if not reads.results and reads.steps <= cached.steps.keys():
            return cached.steps
        read = {step: self._read_step(cached, step, result=step in reads.results) for step in reads.steps}
        return {**cached.steps, **{step: row for step, row in read.items() if row is not None}}

    def _read_step(self, cached: CachedInstance, step: StepKey, *, result: bool = True) -> StepRow | None:
        """A step of the current generation, perhaps without its result unless `result`."""
        row = cached.steps.get(step)
        if row is not None and (not result or has_result(row)):
            return decrypt_result(self._keyring, cached.key, row) if result else row
        if row is None and not result:
            return self._query_step("step_without_result", cached, step)
        stored = self._query_step("step", cached, step)
        if row is None or stored is None:
            assert row is None, "a result is only missing of a step that is stored"
            return stored
        return replace(row, result=stored.result)

    def _query_step(self, query: str, cached: CachedInstance, step: StepKey) -> StepRow | None:
        place = (cached.key, cached.row.generation, step.kind, columns.step_path(step), step.count)
        found = self._run_sql(self._sql[query], place).fetchone()
        return None if found is None else decrypt_result(self._keyring, cached.key, columns.step_row(found))

    def _load_open_steps(self, cached: CachedInstance) -> None:
        """Cache all open steps."""
        if not cached.has_open_steps:
            for found in self._run_sql(self._sql["open_steps"], (cached.key,)):
                row = columns.step_row(found)
                cached.steps.setdefault(row.key, row)
            cached.has_open_steps = True
