"""Connections to PostgreSQL: the one file that knows the driver, asyncpg.

Outages. A broken connection fails no call by itself: a statement that was not committed is run again on a new
connection, for `outage_seconds` at most, and then StoreError is raised. Of a COMMIT whose answer did not come the
database is asked whether it was carried out, so that a caller learns the truth: each transaction counts up its
connection's row of `writer`. `pg_xact_status` would not do: a server that crashed gives the number of a transaction
that it lost to another, which may be committed.

Fail-over. Only a server that takes writes is connected to; of several the right one is looked for (hosts.py). A machine
that has gone silent, with a session open, is given up after `SILENT_SECONDS`: without that TCP would wait for minutes.

A pooler in transaction mode gives every transaction another session. It is recognised by the session's process id,
which is not the one that the connection was told. Then each statement is a transaction of its own, nothing is prepared,
and nothing is listened to. Settings of a transaction are SET LOCAL everywhere.
"""

import asyncio
import re
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
from asyncpg.exceptions import _base as client_errors

from playground.store.errors import CLOSED, JournalError, StoreError
from playground.store.postgres.hosts import Host, Hosts

T = TypeVar("T")
Connection = Any  # asyncpg comes without types

OUTAGE_SECONDS = 30.0  # how long a call waits for a database that is away, by default
CONNECTIONS = 10  # besides the writer's and the two of notifications
SILENT_SECONDS = 6  # that a server may leave what was sent to it unacknowledged
# Seconds after which a silent connection is probed, between probes, and how many stay unanswered.
PROBES = (3, 1, 3)
RETRY_SECONDS = (0.01, 0.05, 0.2, 0.5, 1.0)  # between attempts to reach the database; the last repeats
CONFLICTS_MAX = 10  # deadlocks and serialisation failures in a row
# A node that was frozen within a transaction holds its locks no longer than this.
BEGIN = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 10000"
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 10000"
# The number that a transaction's connection has committed once it has, and the database's clock.
OF_TRANSACTION = (
    "UPDATE writer SET commits = commits + 1 WHERE id = $1 "
    "RETURNING commits, (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
)
INSERT_WRITER = "INSERT INTO writer (id, commits) VALUES ($1, 0)"
DELETE_WRITERS = "DELETE FROM writer WHERE id = ANY($1::text[])"
# What this says is the truth for good: the row's lock waits for a commit under way, and the new number refuses one
# that comes later.
FENCE_WRITER = "UPDATE writer SET commits = commits + 1000000 WHERE id = $1 RETURNING commits - 1000000"
PREPARED_STATEMENTS = 256
LEAST_VERSION = 140_000
# Every statement of ours finds its rows by an index: one plan is right for all values, and one that was made while a
# table was small must not be another. JIT takes longer than any of them.
OF_SESSION = (
    "SET jit = off; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; "
    "SET application_name = 'playground'"
)

# Administrator's or crash's shutdown, starting up, too many connections, a standby that was not promoted yet.
_AWAY = frozenset({"57P01", "57P02", "57P03", "57P05", "53300", "25006", "25P03"})
_CONFLICTS = frozenset({"40001", "40P01"})
_FULL = frozenset({"53100", "53200", "54000"})

# An internal error: the server has ended the session while nothing was under way, as it does with a node that was
# frozen within a transaction, and the driver finds its own state to be at odds with that.
_BROKEN = (
    OSError, asyncio.TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError,
    client_errors.InternalClientError,
)  # fmt: skip
DatabaseFault = (asyncpg.PostgresError, *_BROKEN)


class TakesNoWrites(ConnectionError):
    """The server is a standby, or read-only."""


class PartitionMissing(StoreError):
    """The journal has no partition for an instance yet."""


def is_outage(fault: BaseException) -> bool:
    """Whether the connection or the server is away, not the statement wrong."""
    if isinstance(fault, client_errors.DataError):
        return False
    if isinstance(fault, _BROKEN):
        return True
    return isinstance(fault, asyncpg.PostgresError) and (fault.sqlstate or "") in _AWAY


def is_lock_timeout(fault: BaseException) -> bool:
    """Whether a statement gave up since it did not get a lock within `lock_timeout`."""
    return isinstance(fault, asyncpg.LockNotAvailableError)


def is_conflict(fault: BaseException) -> bool:
    """Whether the same transaction may succeed when it is run again: after a deadlock, or another node's migration."""
    if isinstance(fault, (asyncpg.InvalidCachedStatementError, client_errors.OutdatedSchemaCacheError)):
        return True
    return isinstance(fault, asyncpg.PostgresError) and fault.sqlstate in _CONFLICTS


def explain(fault: BaseException) -> BaseException:
    """The error to raise for one of the driver's."""
    if isinstance(fault, asyncpg.CheckViolationError):  # the schema has no other
        return PartitionMissing(f"the journal has no partition for an instance: {fault}")
    if isinstance(fault, asyncpg.IntegrityConstraintViolationError):
        return JournalError(f"the journal holds this already: {fault}")
    if isinstance(fault, (client_errors.DataError, asyncpg.DataError)):
        return JournalError(f"a row cannot be written: {fault}")
    if isinstance(fault, asyncpg.PostgresError) and fault.sqlstate in _FULL:
        return StoreError(f"the database cannot be written: {fault.args[0]}; make room on its disk")
    if isinstance(fault, DatabaseFault):
        return StoreError(f"the database cannot be used: {_in_a_line(fault)}")
    return fault


def _in_a_line(fault: BaseException) -> str:
    return " ".join(str(fault).split()) or type(fault).__name__


async def connect(hosts: Hosts, *, seconds: float | None, prepares: bool = True) -> Connection:
    """One connection, to the first server that takes writes; `seconds` is the longest that a statement may take.

    Raises one of `DatabaseFault`: of several servers' the one that says most of whether it is worth trying again.
    """
    faults: list[BaseException] = []
    for host in hosts.in_order():
        try:
            connection = await _connect_to(hosts, host, seconds, prepares=prepares)
        except DatabaseFault as fault:
            faults.append(fault)  # a standby that is behind may not even have the database yet
            continue
        hosts.prefer(host)
        _notice_silence(connection)
        return connection
    assert faults, "a URL names a host at least"
    raise min(faults, key=_says_little)


def _says_little(fault: BaseException) -> int:
    """A server that is away may be the one that will do; that one is a standby says nothing of the others."""
    return 2 if isinstance(fault, TakesNoWrites) else int(not is_outage(fault))


async def _connect_to(hosts: Hosts, host: Host | None, seconds: float | None, *, prepares: bool) -> Connection:
    url = re.sub(r"^postgres(ql)?://", "postgresql://", hosts.url)
    place: dict[str, Any] = {} if host is None else {"host": host[0], "port": host[1]}
    if "target_session_attrs=" not in url:
        place["target_session_attrs"] = "read-write"
    try:
        return await asyncpg.connect(
            url,
            timeout=hosts.connect_seconds,
            command_timeout=seconds,
            statement_cache_size=PREPARED_STATEMENTS if prepares else 0,
            max_cached_statement_lifetime=300,
            **place,
        )
    except asyncpg.TargetServerAttributeNotMatched:
        raise TakesNoWrites("the server takes no writes: it is a standby, or read-only") from None


def _notice_silence(connection: Connection) -> None:
    """Have the kernel break a connection whose other end is silent. Sockets of files have no such end."""
    sock = connection._transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    idle, interval, count_ = PROBES
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", idle),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", interval),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", count_),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", SILENT_SECONDS * 1000),
    ):
        if (option := getattr(socket, name, None)) is not None:  # macOS has not all of them
            sock.setsockopt(level, option, value)


class Transaction:
    """An open transaction. `now` is the database's clock at its beginning, in epoch milliseconds.

    `changed` False: it has written nothing worth a wait for the disk, and is rolled back.
    """

    def __init__(self, connection: Connection, now: int) -> None:
        self._connection, self.now = connection, now
        self.changed = True

    async def rows(self, sql: str, *values: Any) -> Sequence[Any]:
        """The rows of a statement."""
        found: Sequence[Any] = await self._connection.fetch(sql, *values)
        return found

    async def row(self, sql: str, *values: Any) -> Any:
        """The first row of a statement, or None."""
        return await self._connection.fetchrow(sql, *values)

    async def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        return await self._connection.fetchval(sql, *values)

    async def many(self, sql: str, values: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each of these values."""
        await self._connection.executemany(sql, values)


class Connections:
    """The connections of one store, at most `most` at once, made when they are needed on the running event loop.

    Args:
        log: called for an outage and its end.
    """

    def __init__(
        self, url: str, *, pooled: bool, outage_seconds: float, log: Callable[..., None], most: int = CONNECTIONS,
    ) -> None:  # fmt: skip
        self._hosts, self.pooled, self.outage_seconds, self._log = Hosts(url), pooled, outage_seconds, log
        self._free: list[Connection] = []
        self._opened: weakref.WeakSet[Any] = weakref.WeakSet()
        self._writers: dict[Connection, str] = {}  # the ids of connections that have written
        self._slots = asyncio.Semaphore(most)
        self._closed = self._away = False

    async def reading(self, sql: str, *values: Any) -> Sequence[Any]:
        """The rows of one statement that only reads. Raises StoreError."""
        if not self.pooled:
            return await self._attempt(lambda connection: connection.fetch(sql, *values))
        return await self.snapshot(lambda tx: tx.rows(sql, *values))

    async def snapshot(self, read: Callable[[Transaction], Awaitable[T]]) -> T:
        """Reads that see one state of the database. Raises StoreError."""

        async def in_transaction(connection: Connection) -> T:
            await connection.execute(BEGIN_READING)
            try:
                result = await read(Transaction(connection, 0))
            except BaseException as fault:
                if not is_outage(fault) and not isinstance(fault, asyncio.CancelledError):
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")
            return result

        return await self._attempt(in_transaction)

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction: committed when this returns, without effect when it raises.

        `work` runs again after an outage, or a deadlock with another transaction.

        Raises:
            StoreError: the database is away, or refuses.
            JournalError: what is written contradicts what is stored.
        """
        deadline, conflicts = self._deadline(), 0
        for attempt in count():
            connection, number, committing = await self._acquire(deadline), 0, False
            writer = self._writers.get(connection, "")
            try:
                await connection.execute(BEGIN)
                found = await connection.fetchrow(OF_TRANSACTION, writer) if writer else None
                if found is None:  # its first, or nobody has used it for a month
                    writer = await self._add_writer(connection)
                    found = await connection.fetchrow(OF_TRANSACTION, writer)
                number, now = found
                transaction = Transaction(connection, now)
                result = await work(transaction)
                committing = transaction.changed
                await connection.execute("COMMIT" if transaction.changed else "ROLLBACK")
            except BaseException as fault:
                if is_outage(fault) or isinstance(fault, asyncio.CancelledError):
                    self.discard(connection)
                    if isinstance(fault, asyncio.CancelledError):
                        raise
                    self.note_outage(fault)
                    if committing and await self._was_committed(writer, number, deadline):
                        return result
                    await self.pause(attempt, deadline, fault)
                    continue
                await self._roll_back(connection)
                if is_conflict(fault) and conflicts < CONFLICTS_MAX:
                    conflicts += 1
                    continue
                raise explain(fault) from None
            self._release(connection)
            return result
        raise AssertionError("the attempts have no end")

    async def _add_writer(self, connection: Connection) -> str:
        """Give a connection, which has just begun a transaction, a row of its own, and begin another."""
        writer = uuid4().hex
        await connection.execute(INSERT_WRITER, writer)
        await connection.execute("COMMIT")
        await connection.execute(BEGIN)
        self._writers[connection] = writer
        return writer

    async def _was_committed(self, writer: str, number: int, deadline: float) -> bool:
        """Whether a transaction whose connection broke was committed. Raises StoreError when nobody can say."""
        try:
            return await self._last_commit(writer, deadline) == number
        except StoreError as error:
            raise StoreError(f"it is unknown whether a commit was carried out: {error}") from None

    async def _last_commit(self, writer: str, deadline: float) -> int:
        for attempt in count():
            connection = await self._acquire(deadline)
            try:
                async with connection.transaction():
                    last = await connection.fetchval(FENCE_WRITER, writer)
            except BaseException as fault:  # noqa: BLE001 - explained, or tried again
                self.discard(connection)
                if not is_outage(fault):
                    raise explain(fault) from None
                await self.pause(attempt, deadline, fault)
                continue
            self._release(connection)
            return int(last or 0)
        raise AssertionError("the attempts have no end")

    async def open_one(self, deadline: float | None = None) -> Connection:
        """A connection of the caller's own, which it closes. Raises StoreError when the database stays away."""
        deadline = self._deadline() if deadline is None else deadline
        for attempt in count():
            if self._closed:
                raise StoreError(CLOSED)
            try:
                connection = await connect(self._hosts, seconds=self.outage_seconds, prepares=not self.pooled)
                if not self.pooled:
                    await connection.execute(OF_SESSION)
            except BaseException as fault:  # noqa: BLE001 - explained, or tried again
                if not is_outage(fault):
                    raise explain(fault) from None
                self.note_outage(fault)
                await self.pause(attempt, deadline, fault)
                continue
            self._opened.add(connection)
            if self._away:
                self._away = False
                self._log("database_back")
            return connection
        raise AssertionError("the attempts have no end")

    def note_outage(self, fault: BaseException) -> None:
        """Log that the database is away, once until it is back; connections that were free are broken too."""
        if not self._away and not self._closed:
            self._away = True
            self._log("database_away", error=_in_a_line(fault), seconds=self.outage_seconds)
        free, self._free = self._free, []
        for connection in free:
            self._terminate(connection)

    async def pause(self, attempt: int, deadline: float, fault: BaseException) -> None:
        """Wait before the next attempt. Raises StoreError after the deadline."""
        wait = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
        if self._closed or asyncio.get_running_loop().time() + wait > deadline:
            raise StoreError(f"the database is away: {_in_a_line(fault)}")
        await asyncio.sleep(wait)

    def deadline(self) -> float:
        """When a call that begins now gives the database up, on the event loop's clock."""
        return self._deadline()

    def forget_free(self) -> None:
        """Close the unused connections."""
        free, self._free = self._free, []
        for connection in free:
            self._terminate(connection)

    def break_all(self) -> None:
        """Break all connections, also those in use: what was under way is looked up, or done again, on new ones."""
        for connection in list(self._opened):
            if not connection.is_closed():  # `terminate` would take from under the driver what it is using
                connection._transport.abort()

    def stop(self) -> None:
        """Make no more connections, and wait for no database that is away."""
        self._closed = True

    async def close(self) -> None:
        """Close all connections that are not in use."""
        free, self._free = self._free, []
        writers, self._writers = [*self._writers.values()], {}
        for connection in free:
            with suppress(*DatabaseFault):
                if writers:
                    async with connection.transaction():
                        await connection.execute(DELETE_WRITERS, writers)
                    writers = []
                await connection.close(timeout=1)
        await asyncio.sleep(0)  # for the transports of those that were terminated

    def discard(self, connection: Connection) -> None:
        """Give back a broken connection."""
        self._terminate(connection)
        self._slots.release()

    async def _attempt(self, read: Callable[[Connection], Awaitable[T]]) -> T:
        deadline = self._deadline()
        for attempt in count():
            connection = await self._acquire(deadline)
            try:
                result = await read(connection)
            except BaseException as fault:
                if is_outage(fault):
                    self.discard(connection)
                    self.note_outage(fault)
                    await self.pause(attempt, deadline, fault)
                    continue
                if isinstance(fault, asyncio.CancelledError):
                    self.discard(connection)
                    raise
                self._release(connection)
                raise explain(fault) from None
            self._release(connection)
            return result
        raise AssertionError("the attempts have no end")

    async def _acquire(self, deadline: float) -> Connection:
        if self._closed:
            raise StoreError(CLOSED)
        await self._slots.acquire()
        try:
            while self._free:
                connection = self._free.pop()
                if not connection.is_closed():
                    return connection
            return await self.open_one(deadline)
        except BaseException:
            self._slots.release()
            raise

    def _release(self, connection: Connection) -> None:
        if self._closed:
            self._terminate(connection)
        else:
            self._free.append(connection)
        self._slots.release()

    async def _roll_back(self, connection: Connection) -> None:
        try:
            await connection.execute("ROLLBACK")
        except BaseException as fault:
            self.discard(connection)
            if isinstance(fault, asyncio.CancelledError):
                raise
            return
        self._release(connection)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.outage_seconds

    def _terminate(self, connection: Connection) -> None:
        self._writers.pop(connection, None)
        with suppress(*DatabaseFault):
            connection.terminate()


@asynccontextmanager
async def one_connection(url: str) -> AsyncIterator[Connection]:
    """A connection for what is done at a start, by itself or behind a pooler. Raises one of `DatabaseFault`."""
    connection = await connect(Hosts(url), seconds=None, prepares=False)
    try:
        yield connection
    finally:
        with suppress(*DatabaseFault):
            await connection.close(timeout=1)
