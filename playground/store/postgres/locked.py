"""Calls on one instance under the lock of its row: the way of deciders, of what the group commit refused, and of all
that needs more than the cache holds.

Calls of one transaction see each other in order. Each writes by the same statement as a group does (write.py).
"""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from playground.store import columns
from playground.store.cache import CachedInstance, check_fence
from playground.store.encryption import Keyring
from playground.store.errors import JournalError
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import DatabaseFault, Transaction
from playground.store.postgres.lanes import is_new, put_back
from playground.store.postgres.write import Staged, write_statement
from playground.store.projection import project, required_reads
from playground.store.protocol import Committed, Decider, Needs, Snapshot, needs_of
from playground.store.rows import StepRow
from playground.store.secret_values import decrypt_result, encrypt_secrets
from playground.workflows.errors import InstanceNotFound
from playground.workflows.events import NewEvent, StepKey


class Change:
    """What a transaction did to an instance: its state after it, its row before, how many events were added, and when
    the first of the messages that it sent falls due.
    """

    def __init__(self, cached: CachedInstance) -> None:
        self.cached, self.before = cached, cached.row
        self.events = 0
        self.sent: int | None = None


def not_found(key: int) -> InstanceNotFound:
    """The error of a call on an instance that does not exist."""
    return InstanceNotFound(f"there is no instance number {key}")


class LockedInstances:
    """Reads and changes instances in transactions of their own."""

    def __init__(self, sql: NamedSql, keyring: Keyring) -> None:
        self._sql, self._keyring = sql, keyring

    async def lock(self, tx: Transaction, key: int, known: CachedInstance | None) -> Change:
        """Lock an instance's row, and read it, with its open steps where it is not as the cache has it. Of a parent
        with a thousand children they are a thousand rows. Raises InstanceNotFound.
        """
        found = await tx.row(self._sql["instance_locked"], key)
        if found is None:
            raise not_found(key)
        cached = CachedInstance(columns.instance_row(found), columns.instance_weight(found))
        if known is not None and known.has_open_steps and known.is_at(cached.row):
            cached.steps, cached.has_open_steps = dict(known.steps), True
        if not cached.has_open_steps:
            for _, *step in await tx.rows(self._sql["open_steps"], [key]):
                row = columns.step_row(step)
                cached.steps[row.key] = row
            cached.has_open_steps = True
        return Change(cached)

    async def append(
        self, tx: Transaction, change: Change, events: Sequence[NewEvent] | Decider, execution: int | None, at: int,
        last_seq: int | None,
    ) -> Committed:  # fmt: skip
        """`Store.append`, or `Store.decide` where `events` is a decider."""
        cached = change.cached
        check_fence(cached.row, execution)
        if callable(events):
            events = events(await self._snapshot(tx, cached, needs_of(events)))
        if not events or (last_seq is not None and cached.row.last_seq != last_seq):
            return Committed([], cached.row)
        return await self._write(tx, change, events, execution, at)

    async def _write(
        self, tx: Transaction, change: Change, events: Sequence[NewEvent], execution: int | None, at: int
    ) -> Committed:
        cached, before = change.cached, change.cached.row
        stamp = execution if execution is not None else before.execution or None
        if self._keyring:
            events = encrypt_secrets(self._keyring, before, events)
        values, written = columns.event_values(before, events, stamp, at)
        read = await self._steps_to_fold(tx, cached, events)
        projected = project(before, events, at, {**cached.steps, **read})
        assert written[-1].seq == projected.row.last_seq, "the projection's last_seq is the journal's"
        cached.steps.update({key: row for key, row in read.items() if key not in cached.steps})
        staged = Staged(cached)
        if projected.keep_before_seq is not None:
            for name in ("drop_open_steps", "drop_steps"):
                await tx.rows(self._sql[name], cached.key, projected.keep_before_seq)
            for name in ("keep_open_steps", "keep_steps"):
                await tx.rows(self._sql[name], cached.key, projected.row.generation)
            await tx.rows(self._sql["clear_parts"], cached.key)
        staged.apply(projected, values)
        statement = write_statement([staged])
        moved, _ = await tx.row(statement.text(), *statement.values)
        assert moved == [cached.key], "the row is locked, so it is as it was read"
        cached.mark_written([*read, *projected.steps])
        if is_new(projected.row) and not is_new(before):
            await put_back(tx, self._sql, projected.row)
        change.events += len(written)
        if staged.sent is not None:
            change.sent = staged.sent if change.sent is None else min(staged.sent, change.sent)
        return Committed(written, projected.row)

    async def _steps_to_fold(
        self, tx: Transaction, cached: CachedInstance, events: Sequence[NewEvent]
    ) -> Mapping[StepKey, StepRow]:
        """The rows that these events change and the cache lacks."""
        reads = required_reads(events)
        if reads.all:
            found = await tx.rows(self._sql["steps_without_results"], cached.key, cached.row.generation)
            return {row.key: row for row in map(columns.step_row, found)}
        _refuse_started(cached, reads.started)
        wanted = (reads.steps | reads.results) - cached.steps.keys() | reads.results
        return await self._read_steps(tx, cached, wanted)

    async def _read_steps(self, tx: Transaction, cached: CachedInstance, keys: Any) -> dict[StepKey, StepRow]:
        if not keys:
            return {}
        places = [[key.kind for key in keys], [columns.step_path(key) for key in keys], [key.count for key in keys]]
        found = await tx.rows(self._sql["some_steps"], cached.key, cached.row.generation, *places)
        rows = [decrypt_result(self._keyring, cached.key, columns.step_row(row)) for row in found]
        return {row.key: row for row in rows}

    async def _snapshot(self, tx: Transaction, cached: CachedInstance, needs: Needs) -> Snapshot:
        place = (cached.key, cached.row.generation)
        inbox = [columns.inbox_row(row) for row in await tx.rows(self._sql["inbox"], cached.key)]
        steps = await self._read_steps(tx, cached, list(dict.fromkeys(needs.steps)))
        keys = pending = None
        if needs.keys:
            keys = frozenset(columns.step_key(*step) for step in await tx.rows(self._sql["step_keys"], *place))
        if needs.pending_rollback:
            pending = await tx.row(self._sql["pending_rollback"], *place) is not None
        named = {key: steps.get(key) for key in needs.steps}
        return Snapshot(cached.row, named, inbox, cached.open_steps() if needs.open else None, keys, pending)


def is_callers(error: BaseException) -> bool:
    """Whether an error concerns the one call that raised it, and not the transaction."""
    return not isinstance(error, (*DatabaseFault, asyncio.CancelledError))


def _refuse_started(cached: CachedInstance, started: AbstractSet[StepKey]) -> None:
    """Raise JournalError if one of these has started and is open; the database refuses those that are over."""
    for key in started:
        if key in cached.steps and cached.steps[key].is_open:
            raise JournalError(f"step {key} starts a second time in instance {cached.row.id}")
