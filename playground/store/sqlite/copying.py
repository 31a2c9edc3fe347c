"""A SQLite file that is copied from or to: implements `copying.CopySide`. The file's lock keeps everybody else out."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

from playground.store.copying import (
    BATCH_BYTES,
    BATCH_ROWS,
    EVENT,
    NODE,
    PROGRESS_TABLE,
    REPLACED,
    TABLES,
    CopyTable,
    DatabaseFacts,
    Marker,
    Position,
    Row,
    after_clause,
    text_bytes,
)
from playground.store.errors import StoreError
from playground.store.sqlite.connections import transaction
from playground.store.sqlite.migrations import MIGRATIONS, has_unfinished_copy, schema_version
from playground.store.sqlite.nodes import FileLock
from playground.store.sqlite.store import SqliteStore

FETCH_ROWS = 64  # between looks at how large they are
SECRET = "tenant_secret"
VALUE, ENCRYPTED = 2, 3  # columns of a secret, which is plain text here where it is not encrypted

CREATE_PROGRESS = f"""CREATE TABLE {PROGRESS_TABLE} (
    name TEXT PRIMARY KEY NOT NULL, after TEXT NOT NULL, rows INTEGER NOT NULL, digest TEXT NOT NULL
) STRICT, WITHOUT ROWID"""
SET_PROGRESS = f"INSERT OR REPLACE INTO {PROGRESS_TABLE} (name, after, rows, digest) VALUES (?, ?, ?, ?)"
FACTS = """SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'instance'), 0),
    count(*), coalesce(sum(last_seq), 0), coalesce(sum(execution), 0) FROM instance"""
# What follows from instances.
DERIVED = (
    """INSERT INTO tally (tenant, queue, status, n)
        SELECT tenant, queue, status, count(*) FROM instance GROUP BY 1, 2, 3""",
    """INSERT INTO queue_load (queue, running, second, begun)
        SELECT queue, count(*), 0, 0 FROM instance WHERE owner IS NOT NULL GROUP BY queue""",
)
MAKE_KEYS_GO_ON = (
    "DELETE FROM sqlite_sequence WHERE name = 'instance'",
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('instance', ?)",
)
SET_BOOT = """INSERT INTO node (name, boot) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET boot = max(boot, excluded.boot)"""


class SqliteCopySide:
    """See above; created by `SqliteCopySide.open`."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.name = f"the database {path}"
        self._db = db

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, is_source: bool) -> AsyncIterator["SqliteCopySide"]:
        """Open and lock a database, and migrate its schema; a target is created.

        Raises:
            StoreError: there is no such source, a server has it open, or it is unusable.
        """
        if is_source and not path.exists():
            raise StoreError(f"there is no database {path} to copy from")
        if not _is_begun(path):
            SqliteStore.open(path).close_now()
        lock = FileLock(path)
        lock.acquire()
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as db, _errors(path):
                version = schema_version(db, f"the database {path}", copying=not is_source)
                if version != len(MIGRATIONS):
                    raise StoreError(
                        f"the copy into {path} was begun by an older version; remove the file and copy again"
                    )
                yield cls(path, db)
        finally:
            lock.release()

    async def facts(self) -> DatabaseFacts:
        last_key, instances, events, executions = self._db.execute(FACTS).fetchone()
        counts = {
            table.name: self._db.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]
            for table in TABLES
            if table.name != EVENT
        }
        nodes = dict(self._db.execute(f"SELECT name, boot FROM {NODE}"))
        return DatabaseFacts(last_key, nodes, instances + events + executions, counts | {EVENT: events})

    async def rows(self, table: CopyTable, after: Row) -> AsyncIterator[Sequence[Row]]:
        where = after_clause(table, ["?"] * len(after))
        order = ", ".join(table.key_columns)
        cursor = self._db.cursor()
        cursor.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}{where} ORDER BY {order}", after)
        batch: list[Row] = []
        size = 0
        while fetched := cursor.fetchmany(FETCH_ROWS):
            if table.name == SECRET:
                fetched = [_shared_secret(row) for row in fetched]
            batch += fetched
            size += text_bytes(fetched)
            if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def marker(self) -> Marker | None:
        if not has_unfinished_copy(self._db):
            return None
        found = self._db.execute(f"SELECT name, after, rows, digest FROM {PROGRESS_TABLE}").fetchall()
        positions = {name: Position.parse(*values) for name, *values in found if name}
        return Marker(next(digest for name, _, _, digest in found if not name), positions)

    async def begin(self, fingerprint: str) -> None:
        with transaction(self._db) as db:
            db.execute(CREATE_PROGRESS)
            db.execute(SET_PROGRESS, ("", "", 0, fingerprint))
            for name in REPLACED:
                db.execute(f"DELETE FROM {name}")

    async def write(self, table: CopyTable, rows: Sequence[Row], position: Position) -> None:
        if table.name == SECRET:
            rows = [_own_secret(row) for row in rows]
        marks = ", ".join("?" * len(table.columns))
        with transaction(self._db) as db:
            db.executemany(f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})", rows)
            db.execute(SET_PROGRESS, (table.name, *position.values()))

    async def finish(self, facts: DatabaseFacts) -> None:
        last_key = max(facts.last_key, self._db.execute(FACTS).fetchone()[0])
        with transaction(self._db) as db:
            for statement in DERIVED:
                db.execute(statement)
            db.execute(MAKE_KEYS_GO_ON[0])
            db.execute(MAKE_KEYS_GO_ON[1], (last_key,))
            db.executemany(SET_BOOT, facts.nodes.items())
            db.execute(f"DROP TABLE {PROGRESS_TABLE}")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _is_begun(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            return has_unfinished_copy(db)
    except sqlite3.Error:
        return False  # which opening it explains


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise StoreError(f"the database {path} cannot be copied: {fault}") from None


def _shared_secret(row: Row) -> Row:
    return row if row[ENCRYPTED] else (*row[:VALUE], json.dumps(row[VALUE]), row[ENCRYPTED])


def _own_secret(row: Row) -> Row:
    return row if row[ENCRYPTED] else (*row[:VALUE], json.loads(row[VALUE]), row[ENCRYPTED])
