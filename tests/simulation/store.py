"""The simulated database: the real SQLite transaction code, projection and SQL, in memory, without a thread or a wait.

Every call is one commit, made at the time at which its request arrives (network.py). `row` mirrors the rows as of the
last commit, for the checks.
"""

import functools
import sqlite3
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from playground.store.cache import CachedInstance
from playground.store.encryption import Keyring
from playground.store.named_sql import NamedSql
from playground.store.notifications import CommitChanges, Notifications
from playground.store.protocol import Lease, Renewal
from playground.store.rows import InstanceRow
from playground.store.snippets import SnippetCache
from playground.store.sqlite import store as sqlite_store
from playground.store.sqlite.migrations import migrate
from playground.store.sqlite.nodes import SqliteNodes
from playground.store.sqlite.step_bytes import SqliteStepBytes
from playground.store.sqlite.store import SqliteStore
from playground.store.sqlite.tables import (
    SqliteEffects,
    SqliteFamilies,
    SqliteKv,
    SqliteTenants,
    SqliteUsage,
    Tables,
)
from playground.store.sqlite.transaction import SqliteTransaction
from simulation.plants import Plant

T = TypeVar("T")


class _Done(Generic[T]):
    """A result that is there."""

    def __init__(self, result: T) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, T]:
        return self._result
        yield


class _Writer:
    """Commits each call by itself, at once. `on_commit` is called with the rows that it changed and what changed."""

    def __init__(
        self, transaction: SqliteTransaction, on_commit: Callable[[Sequence[InstanceRow], CommitChanges], None]
    ) -> None:
        self._transaction, self._on_commit = transaction, on_commit

    def submit(self, work: Callable[[], T], on_commit: Callable[[T], None] | None = None) -> _Done[T]:
        """See `playground.store.sqlite.writer.Writer`."""
        transaction, is_done = self._transaction, False
        try:
            result = work()
            is_done = True
            changed = [cached.row for cached in transaction._touched.values()] + list(transaction._new.rows)
            changes = transaction.commit()
        except sqlite3.Error as fault:
            transaction.rollback()
            raise transaction.explain(fault) from None
        finally:
            if not is_done:
                transaction.commit()  # what is refused has staged nothing, and may have begun a transaction
        if on_commit is not None:
            on_commit(result)
        self._on_commit(changed, changes)
        return _Done(result)


class _Readers:
    """Reads on the one connection, between commits."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """See `playground.store.sqlite.connections.Readers`."""
        return read(self._db)

    async def run_few(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """See there."""
        return read(self._db)


class SimulatedStore(SqliteStore):
    """One database. `now` is its own clock, in milliseconds, by which leases expire.

    `rows` are the instances' rows by key; a deleted one is absent. `on_change(before, after, changes)` is called for
    every row that a commit changed, and `on_commit(changes)` after it.
    """

    def __init__(self, now: Callable[[], int], plant: Plant = Plant.NONE) -> None:
        db = sqlite3.connect(":memory:", isolation_level=None, cached_statements=sqlite_store.PREPARED_STATEMENTS)
        db.deserialize(_empty_database())
        self.db = db
        self.rows: dict[int, InstanceRow] = {}
        self.on_change: Callable[[InstanceRow | None, InstanceRow], None] = lambda before, after: None
        self.on_commit: Callable[[CommitChanges], None] = lambda changes: None
        self._keyring = Keyring()
        self._sql = _sql()
        transaction = _Unfenced if plant is Plant.FENCE_OFF else SqliteTransaction
        self._transaction = transaction(db, self._sql, self._keyring)
        self._notifications = Notifications(self._last_seq)
        self._snippets = SnippetCache()
        readers: Any = _Readers(db)
        writer: Any = _Writer(self._transaction, self._committed)
        self._readers, self._writer = readers, writer
        nodes = _RenewsLate if plant is Plant.LEASE_LATE else SqliteNodes
        self._nodes = nodes(self._sql, readers, writer, self._transaction, now)
        self.nodes = self._nodes
        tables = Tables(readers, writer, self._transaction, self._keyring)
        self.kv, self.effects = SqliteKv(tables), SqliteEffects(tables)
        self.step_bytes = SqliteStepBytes(tables, self._sql["clear_parts"])
        self.families = SqliteFamilies(tables)
        self.tenants, self.usage = SqliteTenants(tables), SqliteUsage(tables)

    def lease_end(self, owner: str) -> int | None:
        """When the lease of a boot ends, by the database's clock; None: it has none."""
        for lease, end in self._nodes._leases.values():
            if lease.owner == owner:
                return end
        return None

    async def shrink(self) -> None:
        """Keeps what it has cached: a run is short."""

    async def last_seqs(self, keys: Sequence[int]) -> dict[int, int]:
        """The last seq of each of these instances that is there."""
        return {key: self.rows[key].last_seq for key in keys if key in self.rows}

    def close_now(self) -> None:
        """Free the memory."""
        self.db.close()

    def _committed(self, changed: Sequence[InstanceRow], changes: CommitChanges) -> None:
        for row in changed:
            before = self.rows.get(row.key)
            if before is not row:
                self.rows[row.key] = row
                self.on_change(before, row)
        for key, last in changes.last_seqs:
            if last is None:
                self.rows.pop(key, None)
        self.on_commit(changes)


class _Unfenced(SqliteTransaction):
    def _fenced_instance(self, key: int, execution: int | None) -> CachedInstance:
        return super()._fenced_instance(key, None)


class _RenewsLate(SqliteNodes):
    async def renew(self, lease: Lease) -> Renewal:
        if self._leases[lease.name][0] == lease:
            self._leases[lease.name] = (lease, self._lease_end(lease))
        return await super().renew(lease)


def call_now(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        return stopped.value
    raise AssertionError("a call of the simulated store waits for nothing")


@functools.cache
def _sql() -> NamedSql:
    return NamedSql(Path(sqlite_store.__file__).with_name("queries.sql"))


@functools.cache
def _empty_database() -> bytes:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, "the simulated database")
    return db.serialize()
