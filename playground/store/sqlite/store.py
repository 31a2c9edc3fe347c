"""The journal store in one SQLite file: WAL, one writer with group commit, and concurrent readers."""

import asyncio
import heapq
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path

from playground.store import audit, columns
from playground.store.alerts import AlertStore
from playground.store.audit import AuditStore, entry_of_commit
from playground.store.bulks import BulkStore
from playground.store.encryption import Keyring
from playground.store.errors import StoreError
from playground.store.flow import Place
from playground.store.messages import MessageStore
from playground.store.metrics import StoreHealth, StoreMetrics
from playground.store.named_sql import NamedSql
from playground.store.notifications import CommitChanges, Notifications
from playground.store.protocol import (
    ANY_NUMBER,
    NO_LIMITS,
    Claimed,
    ClaimLimits,
    Committed,
    Decider,
    History,
    Log,
    NodeStore,
    Refusal,
)
from playground.store.rows import Child, InstanceRow, NewInstance, Snippet, StepRow
from playground.store.schedules import ScheduleStore
from playground.store.search import SearchStore
from playground.store.secret_values import decrypt_result
from playground.store.services import ServiceStore
from playground.store.snippets import SnippetCache, make_snippet
from playground.store.sqlite import claims, flow
from playground.store.sqlite.alerts import SqliteAlerts
from playground.store.sqlite.alike import parts_of, rows_of
from playground.store.sqlite.audit import insert_audit
from playground.store.sqlite.bulks import SqliteBulks, take_back
from playground.store.sqlite.connections import BUSY_MS, BusyTimeout, Readers
from playground.store.sqlite.messages import SqliteMessages
from playground.store.sqlite.migrations import migrate, schema_version
from playground.store.sqlite.nodes import FileLock, LeaseClock, SqliteNodes
from playground.store.sqlite.schedules import SqliteSchedules
from playground.store.sqlite.search import SqliteSearch
from playground.store.sqlite.secrets_at_rest import prepare_encryption
from playground.store.sqlite.services import SqliteServices
from playground.store.sqlite.step_bytes import SqliteStepBytes
from playground.store.sqlite.tables import (
    SqliteAudit,
    SqliteEffects,
    SqliteFamilies,
    SqliteKv,
    SqliteTenants,
    SqliteUsage,
    Tables,
)
from playground.store.sqlite.transaction import SqliteTransaction
from playground.store.sqlite.writer import Writer
from playground.store.step_bytes import StepBytesStore
from playground.store.tables import EffectStore, FamilyStore, KvStore, TenantStore, UsageStore
from playground.workflows.errors import InstanceExpired, InstanceNotFound
from playground.workflows.events import STATUSES, Event, NewEvent, StepKey

SYNCHRONOUS = ("full", "normal")
WRITER_CACHE_KIB = 16 * 1024
# Size of the preallocated write-ahead log, larger than at a checkpoint, so that no commit has to extend the file.
WAL_BYTES = 4_400_000
VACUUM_BYTES_MAX = 256 * 1024 * 1024  # a larger file takes seconds to vacuum
# events_json() stops after this, so that a reader of large values has few in memory.
STREAM_BATCH_BYTES = 4 * 1024 * 1024
# What a watched journal has grown by is read on the event loop where it is at most this.
FEW_EVENTS = 32
FEW_EVENTS_BYTES = 64 * 1024
FEW_PARSED = 4  # the same for events whose values are parsed
PREPARED_STATEMENTS = 256  # per connection
NEWEST = 2**63 - 1
SLOW_SECONDS = 1.0  # commits that take this long are logged
OTHERS_MODE = 0o077  # permission bits of all but the file's owner
LANES_MAX = 10_000  # searched for the oldest new instance

Rows = list[InstanceRow]  # the class has a method named `list`


class SqliteStore:
    """Implements `protocol.Store`; created by `SqliteStore.open`."""

    poll_ms: int | None = None  # this process makes all commits

    def __init__(
        self,
        path: Path,
        lock: FileLock,
        db: sqlite3.Connection,
        log: Log,
        slow_seconds: float,
        keyring: Keyring,
        lease_clock: LeaseClock | None,
    ) -> None:
        self._lock, self._keyring = lock, keyring
        self._sql = NamedSql(Path(__file__).with_name("queries.sql"))
        self._transaction = SqliteTransaction(db, self._sql, keyring)
        self._notifications = Notifications(self._last_seq)
        self._snippets = SnippetCache()
        self._readers = Readers(partial(_connect_reader, path))
        self._writer = Writer(
            self._transaction, BusyTimeout(db).allow_waiting, self._notifications.notify, log, slow_seconds
        )
        self._nodes = SqliteNodes(self._sql, self._readers, self._writer, self._transaction, lease_clock)
        self.nodes: NodeStore = self._nodes
        tables = Tables(self._readers, self._writer, self._transaction, keyring)
        self.kv: KvStore = SqliteKv(tables)
        self.effects: EffectStore = SqliteEffects(tables)
        self.families: FamilyStore = SqliteFamilies(tables)
        self.tenants: TenantStore = SqliteTenants(tables)
        self.usage: UsageStore = SqliteUsage(tables)
        self.messages: MessageStore = SqliteMessages(tables, self._on_sent)
        self.schedules: ScheduleStore = SqliteSchedules(tables, self._readers)
        self.services: ServiceStore = SqliteServices(tables)
        self.audit: AuditStore = SqliteAudit(tables)
        self.bulks: BulkStore = SqliteBulks(tables, self._readers)
        self.alerts: AlertStore = SqliteAlerts(tables)
        self.step_bytes: StepBytesStore = SqliteStepBytes(tables, self._sql["clear_parts"])
        self.search: SearchStore = SqliteSearch(self._readers, self._sql["instances_by_keys"])

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        synchronous: str = "full",
        log: Log = lambda *_, **__: None,
        slow_seconds: float = SLOW_SECONDS,
        keyring: Keyring | None = None,
        lease_clock: LeaseClock | None = None,
    ) -> "SqliteStore":
        """Open or create the database, and migrate its schema to the newest version.

        Args:
            synchronous: "full" waits for the disk at every commit; "normal" may lose the last commits when the machine
                (not the program) fails.
            log: called as `log(event, **fields)` for a migration, failed commits, and commits that take `slow_seconds`
                or longer.
            keyring: encrypts tenants' secrets. None: encrypted values cannot be read, and plaintext is left as it is.
            lease_clock: milliseconds by which the leases of nodes expire. None: they last as long as this process,
                which is the only one.

        Raises:
            StoreError: the database is unusable; one line says why.
        """
        if synchronous not in SYNCHRONOUS:
            raise StoreError(f"synchronous is {synchronous!r}; it takes {' or '.join(SYNCHRONOUS)}")
        if not os.path.isdir(path.parent):  # also false for a folder that may not be searched
            raise StoreError(f"cannot open the database {path}: there is no folder {path.parent}")
        lock = FileLock(path)
        lock.acquire()
        db = None
        try:
            _make_private(path)
            db = _connect(path)
            version = schema_version(db, f"the database {path}")  # before anything in the file is changed
            _prepare_writer(db, path, synchronous)
            # Fails now, not at the first commit, when the file is not writable.
            db.execute(f"PRAGMA user_version = {version}")
            if migrate(db, f"the database {path}") and version:
                _vacuum_if_small(db)
                log("database_migrated", path=path, before=version, after=schema_version(db, f"the database {path}"))
            if keyring is not None:
                prepare_encryption(db, keyring, f"the database {path}", log)
            take_back(db)
            if synchronous == "full":
                _preallocate_wal(db)
            return cls(path, lock, db, log, slow_seconds, keyring or Keyring(), lease_clock)
        except BaseException as error:
            if db is not None:
                db.close()
            lock.release()
            if isinstance(error, sqlite3.Error):
                cure = "; make room on its disk, or name another" if "full" in str(error) else ""
                raise StoreError(f"cannot open the database {path}: {error}{cure}") from None
            raise

    async def create(
        self,
        instances: Sequence[NewInstance],
        *,
        at: int,
        queued_most: Mapping[str, int] = ANY_NUMBER,
        instead_of: tuple[int, str] | None = None,
        needs: int | None = None,
    ) -> tuple[list[InstanceRow], list[Refusal]]:
        snippets = (new.snippet for new in instances if not isinstance(new.snippet, str))
        maybe_new = {snippet.id: snippet for snippet in snippets if self._snippets.get(snippet.id) is None}
        parts = parts_of(instances, at)
        create = partial(self._transaction.create, parts, maybe_new, at, queued_most, instead_of, needs)
        created, refused, stored = await self._writer.submit(create)
        for snippet in stored:
            self._snippets.put(snippet)
        return rows_of(created), refused

    async def append(
        self,
        key: int,
        events: Sequence[NewEvent],
        *,
        execution: int | None,
        at: int,
        on_commit: Callable[[Committed], None] | None = None,
        last_seq: int | None = None,
    ) -> Committed:
        return await self._writer.submit(
            partial(self._transaction.append, key, events, execution, at, last_seq), on_commit
        )

    async def decide(self, key: int, decider: Decider, *, execution: int | None, at: int) -> Committed:
        decide = partial(self._transaction.decide, key, decider, execution, at)
        entry = audit.pending_entry() if execution is None else None
        if entry is None:
            return await self._writer.submit(decide)

        def audited() -> Committed:
            committed = decide()
            if committed.events:
                of_commit = entry_of_commit(entry, committed.row.id, committed.events[0].type)
                self._transaction.write_tables(lambda db: insert_audit(db, of_commit))
            return committed

        committed = await self._writer.submit(audited)
        if committed.events:
            audit.mark_written()
        return committed

    async def claim(
        self,
        owner: str,
        limit: int,
        *,
        at: int,
        limits: ClaimLimits = NO_LIMITS,
        closed: Sequence[tuple[str, str]] = (),
    ) -> Claimed:
        def claim() -> Claimed:
            self._nodes.check_lease(owner)
            return claims.claim(self._transaction, owner, limit, at, limits, closed)

        return await self._writer.submit(claim)

    async def unclaim(self, key: int, *, execution: int) -> None:
        await self._writer.submit(partial(claims.unclaim, self._transaction, key, execution))

    async def next_due(self, after: int | None = None) -> int | None:
        if after is not None:
            return await self._readers.run_few(
                lambda db: db.execute(self._sql["next_due_after"], (after,)).fetchone()[0]
            )
        return await self._readers.run_few(lambda db: db.execute(self._sql["next_due"]).fetchone()[0])

    async def place(self, row: InstanceRow, *, at: int) -> Place:
        return await self._readers.run(lambda db: flow.place(db, self._sql, row, at))

    async def ahead(self, row: InstanceRow, *, at: int) -> int:
        return await self._readers.run(lambda db: flow.ahead(db, self._sql, row, at))

    async def oldest_due(self) -> int | None:
        return await self._readers.run(lambda db: db.execute(self._sql["oldest_due"], (LANES_MAX,)).fetchone()[0])

    @property
    def product(self) -> tuple[str, str]:
        return "SQLite", sqlite3.sqlite_version

    @property
    def metrics(self) -> StoreMetrics:
        return self._transaction.metrics

    async def health(self) -> StoreHealth:
        return StoreHealth(self._nodes.living())

    async def load(self, key: int) -> History:
        return await self._readers.run(partial(self._load, key))

    async def row(self, key: int) -> InstanceRow:
        found = await self._readers.run_few(lambda db: db.execute(self._sql["instance_by_key"], (key,)).fetchone())
        if found is None:
            raise InstanceNotFound(f"there is no instance number {key}")
        return columns.instance_row(found)

    async def find(self, tenant: str, id: str) -> InstanceRow:
        found = await self._readers.run_few(lambda db: db.execute(self._sql["instance_by_id"], (tenant, id)).fetchone())
        if found is None:
            raise await self._not_found_error(tenant, id)
        return columns.instance_row(found)

    async def _not_found_error(self, tenant: str, id: str) -> InstanceNotFound:
        used = await self._readers.run(lambda db: db.execute(self._sql["used_id"], (tenant, id)).fetchone())
        if used is None:
            return InstanceNotFound(f"there is no instance {id}")
        workflow, status, ended_at = used
        return InstanceExpired(id, workflow, status, ended_at)

    async def step(self, row: InstanceRow, step: StepKey) -> StepRow | None:
        values = (row.key, row.generation, step.kind, columns.step_path(step), step.count)
        found = await self._readers.run_few(lambda db: db.execute(self._sql["step_without_result"], values).fetchone())
        return None if found is None else columns.step_row(found)

    async def open_waits(self, keys: Sequence[int], *, limit: int) -> Mapping[int, Sequence[StepRow]]:
        query, given = self._sql["open_waits"], (json.dumps([*keys]), limit)
        return columns.steps_by_instance(await self._readers.run(lambda db: db.execute(query, given).fetchall()))

    async def events(self, key: int, *, after: int, limit: int) -> list[Event]:
        run = self._readers.run_few if limit <= FEW_PARSED else self._readers.run
        found = await run(
            lambda db: [columns.event(row) for row in db.execute(self._sql["events_after"], (key, after, limit))]
        )
        assert not found or found[-1].seq - found[0].seq == len(found) - 1, "seq has no gap"
        return found

    async def events_json(
        self, key: int, *, after: int, limit: int, types: Collection[str] | None = None
    ) -> list[tuple[int, str, bytes]]:
        ahead = self._notifications.last_seq(key) - after
        few = types is None and 0 < ahead <= FEW_EVENTS  # of a journal that nobody watches, nothing is known
        most_bytes = FEW_EVENTS_BYTES if few else STREAM_BATCH_BYTES
        query = self._sql["events_after"]
        arguments: tuple[int | str, ...] = (key, after, limit)
        if types is not None:
            query, arguments = self._sql["events_of_types_after"], (key, after, json.dumps([*types]), limit)

        def read(db: sqlite3.Connection) -> list[tuple[int, str, bytes]]:
            db.text_factory = bytes
            try:
                found, size = [], 0
                for row in db.execute(query, arguments):
                    event = columns.event_json(row)
                    found.append(event)
                    size += len(event[2])
                    if size >= most_bytes:
                        break
                dense = not found or found[-1][0] - found[0][0] == len(found) - 1
                assert dense or types is not None, "seq has no gap"
                return found
            finally:
                db.text_factory = str

        return await (self._readers.run_few(read) if few else self._readers.run(read))

    def subscribe(self, key: int) -> AbstractAsyncContextManager[Callable[[int], Awaitable[int]]]:
        return self._notifications.watch(key)

    def listen(self, key: int, listener: Callable[[int | None], None]) -> Callable[[], None]:
        return self._notifications.listen(key, listener)

    def listen_ended(self, listener: Callable[[Sequence[int]], None]) -> Callable[[], None]:
        return self._notifications.listen_ended(listener)

    def listen_due(self, listener: Callable[[int], None]) -> Callable[[], None]:
        return self._notifications.listen_due(listener)

    def listen_sent(self, listener: Callable[[int], None]) -> Callable[[], None]:
        return self._notifications.listen_sent(listener)

    def _on_sent(self, due_at: int) -> None:
        self._notifications.notify(CommitChanges(sent=due_at))

    async def list(
        self,
        tenant: str | None,
        *,
        status: str | None = None,
        workflow: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Rows:
        older = NEWEST if before is None else before
        if tenant is None:
            assert workflow is None, "a workflow's name says little without its tenant"
            if status is None:
                return await self._rows("list_all", (older, limit))
            return await self._rows("list_status", (status, older, limit))
        if status is not None:
            return await self._rows("list_tenant_status", (tenant, status, older, limit, workflow))
        query = self._sql["list_tenant_status"]

        def read(db: sqlite3.Connection) -> Rows:
            newest = [
                columns.instance_row(row)
                for status in STATUSES
                for row in db.execute(query, (tenant, status, older, limit, workflow))
            ]
            return heapq.nlargest(limit, newest, key=lambda row: row.key)

        return await self._readers.run(read)

    async def children(self, key: int, kind: str, *, limit: int = 50) -> Sequence[Child]:
        query = self._sql["children"]
        return await self._readers.run(lambda db: [columns.child(row) for row in db.execute(query, (key, kind, limit))])

    async def count(self, *, tenant: str | None = None, queue: str | None = None) -> dict[str, int]:
        return self._transaction.queues.counts.read(tenant, queue)

    async def delete(self, key: int) -> None:
        entry = audit.pending_entry()

        def delete() -> None:
            self._transaction.delete(key)
            if entry is not None:
                self._transaction.write_tables(lambda db: insert_audit(db, entry))

        await self._writer.submit(delete)
        if entry is not None:
            audit.mark_written()

    async def expire(self, before: int, limit: int = 100, *, chaos: bool = False, retained: bool = False) -> int:
        return await self._writer.submit(partial(self._transaction.expire, before, limit, chaos, retained))

    async def take_chore(self, name: str, *, at: int, until: int) -> bool:
        return await self._writer.submit(partial(self._transaction.take_chore, name, at, until))

    async def forget_used_ids(self, before: int, limit: int = 1_000) -> int:
        return await self._writer.submit(partial(self._transaction.forget_used_ids, before, limit))

    async def delete_ended(self, tenant: str, limit: int = 100) -> int:
        return await self._writer.submit(partial(self._transaction.delete_ended, tenant, limit))

    async def put_snippet(self, source: str, params: str | None, *, at: int) -> Snippet:
        new = make_snippet(source, params, at)
        stored = self._snippets.get(new.id)
        if stored is None:
            stored = await self._writer.submit(partial(self._transaction.put_snippet, new))
            self._snippets.put(stored)
        return stored

    async def snippet(self, id: str) -> Snippet | None:
        known = self._snippets.get(id)
        if known is None:
            found = await self._readers.run_few(lambda db: db.execute(self._sql["snippet"], (id,)).fetchone())
            if found is not None:
                known = Snippet(*found)
                self._snippets.put(known)
        return known

    async def shrink(self) -> None:
        self._snippets.clear()
        await self._readers.shrink()
        await self._writer.submit(self._transaction.shrink)

    async def close(self) -> None:
        self._writer.stop()
        await asyncio.get_running_loop().run_in_executor(None, self.close_now)

    def close_now(self) -> None:
        """As `close`, without an event loop; blocks until the last commit is durable."""
        self._readers.close()
        self._writer.close()
        self._lock.release()

    async def _rows(self, query: str, values: Sequence[object]) -> Rows:
        statement = self._sql[query]
        return await self._readers.run(lambda db: [columns.instance_row(row) for row in db.execute(statement, values)])

    async def _last_seq(self, key: int) -> int:
        found = await self._readers.run_few(lambda db: db.execute(self._sql["last_seq"], (key,)).fetchone())
        if found is None:
            raise InstanceNotFound(f"there is no instance number {key}")
        last: int = found[0]
        return last

    def _load(self, key: int, db: sqlite3.Connection) -> History:
        db.execute("BEGIN")
        try:
            found = db.execute(self._sql["instance_by_key"], (key,)).fetchone()
            if found is None:
                raise InstanceNotFound(f"there is no instance number {key}")
            row = columns.instance_row(found)
            steps = [
                decrypt_result(self._keyring, key, columns.packed_step_row(step))
                for step in db.execute(self._sql["steps"], (key, row.generation))
            ]
            inbox = [columns.inbox_row(received) for received in db.execute(self._sql["inbox"], (key,))]
        finally:
            db.execute("COMMIT")
        return History.of_rows(row, steps, inbox)


def _prepare_writer(db: sqlite3.Connection, path: Path, synchronous: str) -> None:
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"the database {path} stands where SQLite cannot keep a write-ahead log ({mode}); use a local disk"
        )
    db.execute(f"PRAGMA synchronous = {synchronous.upper()}")
    db.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")


def _vacuum_if_small(db: sqlite3.Connection) -> None:
    """Vacuum a file that a migration has emptied in large part, where that is quick.

    The free pages of a larger file are reused by what is stored next.
    """
    names = ("page_size", "page_count", "freelist_count")
    size, pages, free = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    if free > pages // 4 and size * pages <= VACUUM_BYTES_MAX:
        with suppress(sqlite3.Error):  # no disk space for a second file: nothing has changed then
            db.execute("VACUUM")


def _preallocate_wal(db: sqlite3.Connection) -> None:
    """Extend the write-ahead log to its working size once: a commit that extends the file takes 472 us, not 194.

    Only where commits wait for the disk. Elsewhere that is twice the time of opening the file, and gains nothing.
    """
    db.execute("CREATE TABLE log_growth (filler BLOB)")
    db.execute("INSERT INTO log_growth VALUES (zeroblob(?))", (WAL_BYTES,))
    db.execute("DROP TABLE log_growth")
    db.execute("PRAGMA wal_checkpoint(RESTART)")


def _connect_reader(path: Path) -> sqlite3.Connection:
    db = _connect(path)
    db.execute("PRAGMA query_only = ON")
    return db


def _make_private(path: Path) -> None:
    """Let only this user read a database, since it holds tenants' secrets. Creates a missing file.

    A restored copy has its permissions corrected.

    Raises:
        StoreError: others may read it, and its permissions cannot be changed.
    """
    with suppress(OSError):  # it exists; or SQLite will say what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    # SQLite creates the other two with the mode of the first.
    for file in (
        path,
        *(path.with_name(path.name + end) for end in ("-wal", "-shm")),
    ):
        with suppress(FileNotFoundError):
            mode = file.stat().st_mode
            if mode & OTHERS_MODE:
                try:
                    file.chmod(mode & 0o700)
                except OSError:
                    raise StoreError(
                        f"others than its owner can read the database file {file} (mode {mode & 0o777:04o}), and its "
                        "mode can't be changed; copy it to a file of your own, or do `chmod 600` as its owner"
                    ) from None


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=PREPARED_STATEMENTS)
    db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    return db
