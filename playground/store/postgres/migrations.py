"""Schema migrations: one script per version, each applied once, in a transaction of its own.

Two nodes may start at once on an empty database: an advisory lock, held for a migration only, lets one go first, and
the other finds that nothing is left to do.

Migrations are additive, so that nodes of the version before keep running, and may even start, during a rolling upgrade.
A migration that older programs cannot live with says so: `OLDEST` is the oldest version of the schema whose programs
may use the newest one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.store.copying import PROGRESS_TABLE, UNFINISHED
from playground.store.errors import StoreError

MIGRATIONS: Sequence[str] = ("1.sql",)  # the n-th migrates version n - 1 to version n
OLDEST = 1
LOCK = 0x50_47_57_46  # "PGWF"

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


async def migrate(connection: Any, name: str, scripts: Sequence[str] | None = None, oldest: int = OLDEST) -> int:
    """Migrate a database to the newest version, each step in its own transaction; returns the version before.

    Args:
        scripts: the SQL of each version.

    Raises:
        StoreError: as `schema_version`.
    """
    folder = Path(__file__).with_name("schema")
    if scripts is None:
        scripts = [(folder / script).read_text(encoding="utf-8") for script in MIGRATIONS]
    async with connection.transaction():
        before = await schema_version(connection, name, len(scripts))
    version = before
    while version < len(scripts):
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
            version = await schema_version(connection, name, len(scripts))  # another node may have been faster
            if version < len(scripts):
                await connection.execute(TABLE)
                await connection.execute(scripts[version])
                version += 1
                await connection.execute(
                    f"INSERT INTO playground_schema (version, oldest) VALUES ({version}, {min(version, oldest)})"
                )
    return before
