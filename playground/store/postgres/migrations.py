"""Schema migrations: one script per version, each applied once, in a transaction of its own.

Two nodes may start at once on an empty database: an advisory lock, held for a migration only, lets one go first, and
the other finds that nothing is left to do.

Migrations are additive, so that nodes of the version before keep running, and may even start, during a rolling upgrade.
A migration that older programs cannot live with says so: `OLDEST` is the oldest version of the schema whose programs
may use the newest one.

A migration that waits for a lock makes everyone else wait behind it, so it gives up after LOCK_MS, lets them go, and
tries again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.store.copying import PROGRESS_TABLE, UNFINISHED
from playground.store.errors import StoreError
from playground.store.postgres.connections import DatabaseFault, is_lock_timeout

# The n-th migrates version n - 1 to version n.
MIGRATIONS: Sequence[str] = tuple(f"{number}.sql" for number in range(1, 14))
OLDEST = 1
LOCK = 0x50_47_57_46  # "PGWF"
LOCK_MS = 2_000  # that a migration waits for the lock of a table
LOCK_TRIES = 15

TABLE = """CREATE TABLE IF NOT EXISTS playground_schema (
    version integer PRIMARY KEY, oldest integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""
EXISTS = "EXISTS (SELECT FROM pg_class WHERE relname = '{}' AND pg_table_is_visible(oid))"
# Not `to_regclass`: that answers from a cache of the connection, which may be as old as the wait for the lock.
STATE = "SELECT " + ", ".join(EXISTS.format(name) for name in ("playground_schema", "instance", PROGRESS_TABLE))
VERSION = "SELECT coalesce(max(version), 0), coalesce(max(oldest), 0) FROM playground_schema"


async def schema_version(connection: Any, name: str, known: int = len(MIGRATIONS)) -> int:
    """The schema's version, 0 for an empty database. Only reads.

    Args:
        name: how errors name the database.
        known: the newest version that this program knows.

    Raises:
        StoreError: the database has tables of another program, is too new for this one, or an unfinished copy.
    """
    ours, taken, half_copied = await connection.fetchrow(STATE)
    if half_copied:
        raise StoreError(UNFINISHED.format(name=name))
    if not ours:
        if taken:
            raise StoreError(f"{name} has tables of another program; make a database of its own")
        return 0
    version, oldest = await connection.fetchrow(VERSION)
    if version > known and oldest > known:
        raise StoreError(
            f"{name} has schema version {version}, this program knows up to {known}; start a newer playground"
        )
    return int(version)


async def migrate(
    connection: Any, name: str, scripts: Sequence[str] | None = None, oldest: int = OLDEST, *, lock_ms: int = LOCK_MS
) -> int:
    """Migrate a database to the newest version, each step in its own transaction; returns the version before.

    Args:
        scripts: the SQL of each version.
        lock_ms: how long it waits for the lock of a table, in milliseconds; LOCK_TRIES times.

    Raises:
        StoreError: as `schema_version`, or a long transaction holds a lock that the migration needs.
    """
    folder = Path(__file__).with_name("schema")
    if scripts is None:
        scripts = [(folder / script).read_text(encoding="utf-8") for script in MIGRATIONS]
    async with connection.transaction():
        before = await schema_version(connection, name, len(scripts))
    version, left = before, LOCK_TRIES
    while version < len(scripts):
        try:
            version = await _migrate_by_one(connection, name, scripts, oldest, lock_ms)
        except DatabaseFault as fault:
            left -= 1
            if not is_lock_timeout(fault):
                raise
            if left == 0:
                waited = LOCK_TRIES * lock_ms / 1000
                raise StoreError(
                    f"{name} could not be migrated to version {version + 1}: another session holds a lock on its "
                    f"tables for more than {waited:g} s; end long transactions (pg_stat_activity), and start again"
                ) from None
    return before


async def _migrate_by_one(connection: Any, name: str, scripts: Sequence[str], oldest: int, lock_ms: int) -> int:
    """Migrate by one version, unless another node has been faster; returns the version after."""
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        version = await schema_version(connection, name, len(scripts))
        if version < len(scripts):
            await connection.execute(f"SET LOCAL lock_timeout = {lock_ms}")
            await connection.execute(TABLE)
            await connection.execute(scripts[version])
            version += 1
            await connection.execute(
                f"INSERT INTO playground_schema (version, oldest) VALUES ({version}, {min(version, oldest)})"
            )
        return version
