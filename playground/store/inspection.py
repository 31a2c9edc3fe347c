"""Looks at a database without changing it, for `playground doctor`: is it there, whose is it, is it up to date.

To open a store migrates its schema, takes its lock and creates a file; none of that is wanted of who only asks.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.store.errors import StoreError
from playground.store.open import POSTGRESQL, SQLITE
from playground.store.sqlite.migrations import MIGRATIONS, schema_version
from playground.store.sqlite.nodes import LOCK_SUFFIX


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `version` is that of the schema, 0 for none yet, and `newest` what this program makes of it.

    `holder`: the process that has the file, None where nobody has; `clock_ahead_ms`: of the database before this
    machine's, where it has one of its own; `round_trip_ms`: of one question to it.
    """

    engine: str
    exists: bool
    version: int
    newest: int
    holder: int | None = None
    clock_ahead_ms: int | None = None
    round_trip_ms: float | None = None


def inspect_database(url: str, now_ms: Callable[[], int]) -> Inspection:
    """Look at the database at `url`. Blocks. Raises StoreError: it can't be used; the message is one line."""
    if url.startswith(POSTGRESQL):
        return _inspect_postgres(url, now_ms)
    if not url.startswith(SQLITE):
        raise StoreError(f"the database {url!r} cannot be opened; it takes a URL such as sqlite:///playground.db")
    path = Path(url.removeprefix(SQLITE))
    engine = f"SQLite {sqlite3.sqlite_version}"
    if not path.exists():
        folder = path.resolve().parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(f"cannot write in {folder}, where the database {path} is to be; name another database")
        return Inspection(engine, False, 0, len(MIGRATIONS))
    try:
        # The journal's index may not be there to be read, so that nothing must be made: `immutable` would not see what
        # a server has written last.
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as db:
            version = schema_version(db, f"the database {path}")
    except sqlite3.Error as fault:
        raise StoreError(f"the database {path} cannot be read: {fault}") from None
    if not os.access(path, os.W_OK):
        raise StoreError(f"the database {path} cannot be written by this user; start as its owner, or name another")
    return Inspection(engine, True, version, len(MIGRATIONS), _holder(path))


def _holder(path: Path) -> int | None:
    """The process that holds the file's lock; 0 where it is not known which."""
    try:
        handle = os.open(path.with_name(path.name + LOCK_SUFFIX), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except OSError:
        text = os.pread(handle, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(handle)


def _inspect_postgres(url: str, now_ms: Callable[[], int]) -> Inspection:
    from playground.store.postgres.migrations import MIGRATIONS as SCRIPTS
    from playground.store.postgres.migrations import schema_version as version_of
    from playground.store.postgres.opening import run_blocking, with_connection

    async def look(connection: Any) -> Inspection:
        async with connection.transaction(readonly=True):
            began = time.perf_counter()
            server, at = await connection.fetchrow(
                "SELECT current_setting('server_version'), (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
            )
            took = (time.perf_counter() - began) * 1_000
            ahead = at - (now_ms() - round(took / 2))
            version = await version_of(connection, "the database")
        engine = f"PostgreSQL {server.split(' ')[0]}"
        return Inspection(engine, True, version, len(SCRIPTS), None, ahead, took)

    return run_blocking(with_connection(url, look))
