"""Reads the steps of instances in the writer's transaction, for deciders and for the projection."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from playground.store import columns
from playground.store.cache import CachedInstance, has_result
from playground.store.encryption import Keyring
from playground.store.named_sql import NamedSql
from playground.store.projection import required_reads
from playground.store.projection_rules import replace
from playground.store.protocol import Needs, Snapshot
from playground.store.rows import StepRow
from playground.store.secret_values import decrypt_result
from playground.workflows.events import NewEvent, StepKey


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
        open_steps = None
        if needs.open:
            self._load_open_steps(cached)
            open_steps = cached.open_steps()
        steps = {step: self._read_step(cached, step) for step in needs.steps}
        keys = pending = None
        if needs.keys:
            keys = frozenset(
                columns.step_key(*step) for step in self._run_sql(self._sql["step_keys"], (key, generation))
            )
        if needs.pending_rollback:
            pending = self._run_sql(self._sql["pending_rollback"], (key, generation)).fetchone() is not None
        return Snapshot(cached.row, steps, inbox, open_steps, keys, pending)

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
