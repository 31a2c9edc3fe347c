"""Upkeep by whichever node gets to it: partitions of the journal, statistics of a new database, adding up the counts.

A partition holds the events of 1,000,000 instances. Two are ready beyond the newest instance; one that comes to be used
while no node ran for long enough is made by the create that needs it. One whose instances have all been deleted is
dropped, which gives its room back at once.

Statistics are the database's own affair (autovacuum), but for those of a database that has just begun to be used: until
its first look, within a minute, plans are made for empty tables, and kept. So they are taken at the first thousand
instances, and when there are ten times as many.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from playground.store.errors import StoreError
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Connections, DatabaseFault, Transaction, is_outage

PARTITION_KEYS = 1_000_000
PARTITIONS_AHEAD = 2
ANALYZE_FIRST, ANALYZE_GROWTH = 1_000, 10  # instances, and times as many
TALLY_SECONDS = 1.0
TALLY_ROWS = 20_000  # added up at once
LOCK = 1346852679  # of making partitions

LAST_KEY = "SELECT last_value FROM instance_key"
EXISTING = """SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
    WHERE h.inhparent = 'event'::regclass"""

KNOWN_ROWS = "SELECT reltuples FROM pg_class WHERE oid = 'instance'::regclass"
ANALYZE = "ANALYZE instance, origin, step_open, step"
IN_USE = "SELECT EXISTS (SELECT 1 FROM instance WHERE key >= $1 AND key < $2)"
DETACH_MS = 200
TIDY_SECONDS = 600.0  # between looks for what is to be dropped

ADD_UP = """
WITH taken AS (
    SELECT 1 FROM guard WHERE name = 'tally' FOR UPDATE SKIP LOCKED
), changes AS (
    DELETE FROM tally_change WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM tally_change WHERE EXISTS (SELECT FROM taken) LIMIT $1 FOR UPDATE SKIP LOCKED
    )) RETURNING tenant, queue, status, n
), summed AS (
    SELECT tenant, queue, status, sum(n) AS n FROM changes GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
), added AS (
    INSERT INTO tally AS t (tenant, queue, status, n) SELECT tenant, queue, status, n FROM summed
    ON CONFLICT (tenant, queue, status) DO UPDATE SET n = t.n + excluded.n RETURNING t.tenant, t.queue, t.status, t.n
)
SELECT (SELECT count(*) FROM changes), (SELECT count(*) FROM added WHERE n = 0)
"""
DROP_ZEROS = "DELETE FROM tally WHERE n = 0"
INSERT_GUARD = "INSERT INTO guard (name) VALUES ('tally') ON CONFLICT DO NOTHING"


async def make_partitions(connection: Any, key: int = 0) -> int:
    """Make the partitions that are missing up to PARTITIONS_AHEAD beyond an instance, or beyond the newest one.

    Attaching takes a lock that no reader or writer waits for. Returns the first key that has no partition.
    """
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        last = max(key, await connection.fetchval(LAST_KEY))
        existing = {name for (name,) in await connection.fetch(EXISTING)}
        end = last // PARTITION_KEYS + 1 + PARTITIONS_AHEAD
        for number in range(max(0, last // PARTITION_KEYS), end):
            name, first = f"event_{number}", number * PARTITION_KEYS
            if name in existing:
                continue
            limits = f"FROM ({first}) TO ({first + PARTITION_KEYS})"
            check = f"CHECK (instance >= {first} AND instance < {first + PARTITION_KEYS})"
            await connection.execute(
                f"CREATE TABLE {name} (LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS, "
                f"PRIMARY KEY (instance, seq), CONSTRAINT of_partition {check})"
            )
            await connection.execute(f"ALTER TABLE event ATTACH PARTITION {name} FOR VALUES {limits}")
            await connection.execute(f"ALTER TABLE {name} DROP CONSTRAINT of_partition")
    return int(end * PARTITION_KEYS)


async def drop_partitions(connection: Any) -> int:
    """Drop the partitions of which every instance has been deleted; returns how many.

    Detaching waits for statements on the journal, and others wait behind it, so it gives up quickly.
    """
    async with connection.transaction():
        last = await connection.fetchval(LAST_KEY)
        names = [name for (name,) in await connection.fetch(EXISTING)]
    dropped = 0
    for number in sorted(int(name.removeprefix("event_")) for name in names):
        first, end = number * PARTITION_KEYS, (number + 1) * PARTITION_KEYS
        if end + PARTITION_KEYS > last:  # a create may be under way for one that is nearly full
            continue
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {DETACH_MS}")
                if not await connection.fetchval(IN_USE, first, end):
                    await connection.execute(f"ALTER TABLE event DETACH PARTITION event_{number}")
                    await connection.execute(f"DROP TABLE event_{number}")
                    dropped += 1
        except DatabaseFault as fault:
            if is_outage(fault):
                raise
    return dropped


class Upkeep:
    """The upkeep of one node. Used on one event loop.

    Args:
        partitions_end: the first key that has no partition.
        commits: how many commits this node has made, so that an idle one does nothing.
    """

    def __init__(
        self, connections: Connections, sql: NamedSql, partitions_end: int, commits: Callable[[], int]
    ) -> None:
        self._connections, self._sql, self._partitions_end, self._commits = connections, sql, partitions_end, commits
        self._tasks: set[asyncio.Task[None]] = set()
        self._making = self._started = False
        self._analyze_at = ANALYZE_FIRST
        self._closing = asyncio.Event()

    def start(self) -> None:
        """Add up counts from now on; calling it again does nothing."""
        if not self._started:
            self._started = True
            self._spawn(self._add_up_for_ever())

    def created(self, key: int) -> None:
        """An instance with this key was created."""
        if key > self._partitions_end - PARTITIONS_AHEAD * PARTITION_KEYS and not self._making:
            self._making = True
            self._spawn(self._make_partitions(key))
        if key >= self._analyze_at:
            self._analyze_at = key * ANALYZE_GROWTH
            self._spawn(self._analyze(key))

    async def close(self) -> None:
        """Stop; nothing is cancelled that may be connecting."""
        self._closing.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add_up(self) -> None:
        """Add the changes of counts up, unless another node is at it. Raises StoreError."""

        async def add(tx: Transaction) -> int:
            await tx.rows(INSERT_GUARD)
            changes, zeros = await tx.row(ADD_UP, TALLY_ROWS)
            if zeros:
                await tx.rows(DROP_ZEROS)
            tx.changed = changes > 0
            return int(changes)

        while await self._connections.transaction(add) == TALLY_ROWS and not self._closing.is_set():
            pass

    async def tidy(self) -> None:
        """Delete rows of nodes and queues that are gone. Raises StoreError."""
        for name in ("drop_idle_loads", "drop_old_writers"):
            await self._connections.transaction(lambda tx, name=name: tx.rows(self._sql[name]))  # type: ignore[misc]

    async def drop_partitions(self) -> int:
        """Drop the partitions of which every instance has been deleted. Raises StoreError."""
        connection = await self._connections.open_one()
        try:
            return await drop_partitions(connection)
        except DatabaseFault as fault:
            raise StoreError(f"partitions cannot be dropped: {fault}") from None
        finally:
            with suppress(*DatabaseFault):
                await connection.close(timeout=1)

    async def make_partitions(self, key: int) -> None:
        """Make the partitions for an instance with this key and the next. Raises StoreError."""
        connection = await self._connections.open_one()
        try:
            self._partitions_end = await make_partitions(connection, key)
        finally:
            with suppress(*DatabaseFault):
                await connection.close(timeout=1)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_partitions(self, key: int) -> None:
        try:
            await self.make_partitions(key)
        except (StoreError, *DatabaseFault):
            pass  # the next create tries again
        finally:
            self._making = False

    async def _analyze(self, key: int) -> None:
        with suppress(StoreError, *DatabaseFault):  # what has no statistics is slow, not wrong
            connection = await self._connections.open_one()
            try:
                if await connection.fetchval(KNOWN_ROWS) < key / ANALYZE_GROWTH:
                    await connection.execute(ANALYZE)
            finally:
                await connection.close(timeout=1)

    async def _add_up_for_ever(self) -> None:
        seen, loop = -1, asyncio.get_running_loop()
        drop_at = loop.time() + TIDY_SECONDS
        while not self._closing.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), TALLY_SECONDS)
            if (commits := self._commits()) != seen:
                with suppress(StoreError):
                    await self.add_up()
                seen = commits
            if loop.time() > drop_at:
                drop_at = loop.time() + TIDY_SECONDS
                with suppress(StoreError):
                    await self.tidy()
                    await self.drop_partitions()
