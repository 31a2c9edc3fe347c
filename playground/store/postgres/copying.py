"""A PostgreSQL database that is copied from or to: implements `copying.CopySide`.

One transaction stays open as long as the copy and holds a lock on the table of nodes that lets nobody join; whoever
starts a server meanwhile is told why not (`opening.py`). The rows of a source are read in that transaction, from one
snapshot. A target is written through a second connection, by COPY, a transaction for each batch.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from playground.store.copying import (
    BATCH_BYTES,
    BATCH_ROWS,
    EVENT,
    NODE,
    PROGRESS_TABLE,
    REPLACED,
    STEP,
    TABLES,
    CopyTable,
    DatabaseFacts,
    Marker,
    Position,
    Row,
    after_clause,
    text_bytes,
)
from playground.store.errors import StoreError, shown_url
from playground.store.postgres.connections import DatabaseFault, connect, explain
from playground.store.postgres.hosts import Hosts
from playground.store.postgres.migrations import MIGRATIONS, migrate
from playground.store.postgres.opening import migrated_to, without_secret
from playground.store.postgres.upkeep import PARTITION_KEYS, make_partitions
from playground.store.rows import OPEN_STEPS

FETCH_ROWS = 64  # at first; more where they are small
LOCK_SECONDS = 10  # until the connection of a copy that was killed is gone
BOOLEANS: Mapping[str, frozenset[str]] = {
    "instance": frozenset({"fresh", "in_execution"}),
    "awaited": frozenset({"cascades"}),
    "origin": frozenset({"id_chosen"}),
    "tenant_version": frozenset({"warm"}),
    "schedule": frozenset({"paused"}),
    "tenant_secret": frozenset({"encrypted"}),
    "secrets_key": frozenset({"newest"}),
}
BYTES: Mapping[str, frozenset[str]] = {
    "snippet": frozenset({"source", "params"}),
    "tenant_version": frozenset({"source"}),
}
STATUS = next(table for table in TABLES if table.name == STEP).columns.index("status")
STEPS_OPEN = "step_open"

# The reader of a long table must not sort it first.
FOR_READING = (
    "SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL statement_timeout = 0"
)
BEGIN = (
    f"BEGIN ISOLATION LEVEL {{level}}; {FOR_READING}; SET LOCAL idle_in_transaction_session_timeout = 0; "
    f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; LOCK TABLE {NODE} IN SHARE MODE"
)
LIVING = (
    f"SELECT name FROM {NODE} WHERE expires_at > (extract(epoch FROM clock_timestamp()) * 1000)::bigint ORDER BY name"
)
CREATE_PROGRESS = f"""CREATE TABLE {PROGRESS_TABLE} (
    name text PRIMARY KEY, after text NOT NULL, rows bigint NOT NULL, digest text NOT NULL
)"""
SET_PROGRESS = f"""INSERT INTO {PROGRESS_TABLE} (name, after, rows, digest) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET after = excluded.after, rows = excluded.rows, digest = excluded.digest"""
FACTS = """SELECT (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM instance_key),
    count(*)::bigint, coalesce(sum(last_seq), 0)::bigint, coalesce(sum(execution), 0)::bigint FROM instance"""
IS_BEGUN = f"SELECT to_regclass('{PROGRESS_TABLE}') IS NOT NULL"
# What follows from instances. All lanes begin at their start.
DERIVED = (
    "DELETE FROM tally", "DELETE FROM tally_change", "DELETE FROM queue_load", "DELETE FROM lane", "DELETE FROM queue",
    """INSERT INTO tally (tenant, queue, status, n)
        SELECT tenant, queue, status, count(*) FROM instance GROUP BY 1, 2, 3""",
    """INSERT INTO lane (queue, tenant, workflow, head)
        SELECT queue, tenant, workflow, min(key) - 1 FROM instance
        WHERE owner IS NULL AND fresh AND due_at IS NOT NULL GROUP BY queue, tenant, workflow""",
    """INSERT INTO queue (queue, turn)
        SELECT queue, nextval('queue_turn') FROM (SELECT queue, min(head) AS first FROM lane GROUP BY queue) q
        ORDER BY first""",
)  # fmt: skip
MAKE_KEYS_GO_ON = "SELECT setval('instance_key', $1::bigint, true)"
MAKE_NUMBERS_GO_ON = tuple(
    f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), max(number), true) FROM {table}"
    for table in ("message", "audit")
)
SET_BOOT = f"""INSERT INTO {NODE} AS n (name, boot, expires_at) VALUES ($1, $2, 0)
    ON CONFLICT (name) DO UPDATE SET boot = greatest(n.boot, excluded.boot)"""


class PostgresCopySide:
    """See above; created by `PostgresCopySide.open`.

    Args:
        guard: the connection with the lock and, of a source, the snapshot.
        work: the connection that writes and reads what is written.
    """

    def __init__(self, url: str, guard: Any, work: Any, *, is_source: bool) -> None:
        self.name = f"the database {shown_url(url)}"
        self._url, self._guard, self._work, self._is_source = url, guard, work, is_source
        self._partitions: set[int] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, is_source: bool) -> AsyncIterator["PostgresCopySide"]:
        """Open a database, migrate its schema, and keep nodes from joining.

        Raises:
            StoreError: a node has it open, or it is unusable.
        """
        name, connections = f"the database {shown_url(url)}", list[Any]()
        try:
            for _ in range(2):
                connections.append(await connect(Hosts(url), seconds=None, prepares=False))
            guard, work = connections
            begun = await work.fetchval(IS_BEGUN)
            if is_source or not begun:
                await migrate(work, name)
                await make_partitions(work)
            elif await migrated_to(work) != len(MIGRATIONS):
                raise StoreError(f"the copy into {name} was begun by an older version; copy into an empty database")
            level = "REPEATABLE READ" if is_source else "READ COMMITTED"
            await guard.execute(BEGIN.format(level=level))
            living = [node for (node,) in await guard.fetch(LIVING)]
            if living:
                raise StoreError(f"{name} is in use by {' and '.join(living)}; stop every server on it first")
            yield cls(url, guard, work, is_source=is_source)
        except DatabaseFault as fault:
            raise StoreError(f"{name} cannot be copied: {without_secret(url, str(explain(fault)))}") from None
        finally:
            for connection in connections:
                with suppress(*DatabaseFault):
                    await connection.close(timeout=1)

    async def facts(self) -> DatabaseFacts:
        async with self._work.transaction():
            last_key, instances, events, executions = await self._work.fetchrow(FACTS)
            counts = {
                table.name: await self._work.fetchval(f"SELECT count(*) FROM {_source_of(table)}")
                for table in TABLES
                if table.name != EVENT
            }
            nodes = dict(await self._work.fetch(f"SELECT name, boot FROM {NODE}"))
        return DatabaseFacts(last_key, nodes, instances + events + executions, counts | {EVENT: events})

    async def rows(self, table: CopyTable, after: Row) -> AsyncIterator[Sequence[Row]]:
        if self._is_source:
            async for batch in self._rows(self._guard, table, after):
                yield batch
        else:
            async with self._work.transaction(isolation="repeatable_read"):
                await self._work.execute(FOR_READING)
                async for batch in self._rows(self._work, table, after):
                    yield batch

    async def _rows(self, connection: Any, table: CopyTable, after: Row) -> AsyncIterator[Sequence[Row]]:
        booleans, encoded = BOOLEANS.get(table.name, frozenset()), BYTES.get(table.name, frozenset())
        columns = [f"{name}::int" if name in booleans else name for name in table.columns]
        where = after_clause(table, [f"${number}" for number in range(1, len(after) + 1)])
        sql = f"SELECT {', '.join(columns)} FROM {_source_of(table)}{where} ORDER BY {', '.join(table.key_columns)}"
        cursor, most = await connection.cursor(sql, *after), FETCH_ROWS
        places = [place for place, name in enumerate(table.columns) if name in encoded]
        batch: list[Row] = []
        size = 0
        while fetched := await cursor.fetch(most):
            rows = [_decoded(row, places) for row in fetched] if places else [tuple(row) for row in fetched]
            took = text_bytes(rows)
            most = max(FETCH_ROWS, min(BATCH_ROWS, BATCH_BYTES * most // (8 * took + 1)))
            batch += rows
            size += took
            if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def marker(self) -> Marker | None:
        if not await self._work.fetchval(IS_BEGUN):
            return None
        found = await self._work.fetch(f"SELECT name, after, rows, digest FROM {PROGRESS_TABLE}")
        positions = {name: Position.parse(*values) for name, *values in found if name}
        return Marker(next(digest for name, _, _, digest in found if not name), positions)

    async def begin(self, fingerprint: str) -> None:
        async with self._work.transaction():
            await self._work.execute(CREATE_PROGRESS)
            await self._work.execute(SET_PROGRESS, "", "", 0, fingerprint)
            for name in REPLACED:
                await self._work.execute(f"DELETE FROM {name}")

    async def write(self, table: CopyTable, rows: Sequence[Row], position: Position) -> None:
        if table.name == EVENT:
            await self._make_partitions(rows)
        async with self._work.transaction():
            if table.name == STEP:
                open_steps = [row for row in rows if row[STATUS] in OPEN_STEPS]
                await self._insert(STEPS_OPEN, table, open_steps)
                rows = [row for row in rows if row[STATUS] not in OPEN_STEPS]
            await self._insert(table.name, table, rows)
            await self._work.execute(SET_PROGRESS, table.name, *position.values())

    async def finish(self, facts: DatabaseFacts) -> None:
        last_key = max(facts.last_key, (await self.facts()).last_key)
        for statement in DERIVED:
            await self._guard.execute(statement)
        if last_key:
            await self._guard.execute(MAKE_KEYS_GO_ON, last_key)
        for statement in MAKE_NUMBERS_GO_ON:
            await self._guard.execute(statement)
        for name, boot in facts.nodes.items():
            await self._guard.execute(SET_BOOT, name, boot)
        await self._guard.execute(f"DROP TABLE {PROGRESS_TABLE}")
        await self._guard.execute("COMMIT")
        await make_partitions(self._work)
        await self._work.execute("ANALYZE")

    async def _insert(self, name: str, table: CopyTable, rows: Sequence[Row]) -> None:
        booleans, encoded = BOOLEANS.get(table.name, frozenset()), BYTES.get(table.name, frozenset())
        truths = [place for place, column in enumerate(table.columns) if column in booleans]
        texts = [place for place, column in enumerate(table.columns) if column in encoded]
        if truths or texts:
            rows = [_own(row, truths, texts) for row in rows]
        if rows:
            await self._work.copy_records_to_table(name, records=rows, columns=table.columns)

    async def _make_partitions(self, rows: Sequence[Row]) -> None:
        for number in sorted({row[0] // PARTITION_KEYS for row in rows} - self._partitions):
            await make_partitions(self._work, number * PARTITION_KEYS)
            self._partitions.add(number)


def _source_of(table: CopyTable) -> str:
    if table.name != STEP:
        return table.name
    columns = ", ".join(table.columns)
    return f"(SELECT {columns} FROM {STEP} UNION ALL SELECT {columns} FROM {STEPS_OPEN}) AS {STEP}"


def _decoded(row: Any, places: Sequence[int]) -> Row:
    values = list(row)
    for place in places:
        values[place] = None if values[place] is None else values[place].decode()
    return tuple(values)


def _own(row: Row, truths: Sequence[int], texts: Sequence[int]) -> Row:
    values = list(row)
    for place in truths:
        values[place] = None if values[place] is None else bool(values[place])
    for place in texts:
        values[place] = None if values[place] is None else values[place].encode()
    return tuple(values)
