"""Schema migrations: one script per version, each applied once, in a transaction of its own.

The file holds its program (application_id) and schema version (user_version), so that another program's file, or one of
a newer version, is refused before anything is written.
"""

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from playground.store.copying import PROGRESS_TABLE, UNFINISHED
from playground.store.errors import StoreError
from playground.store.sqlite.connections import transaction

APPLICATION_ID = 0x50_47_57_46  # "PGWF"

Migration = Callable[[sqlite3.Connection], None]


def _script_migration(script: str) -> Migration:
    return lambda db: run_script(db, (Path(__file__).with_name("schema") / script).read_text(encoding="utf-8"))


# The n-th migrates version n - 1 to version n.
MIGRATIONS: Sequence[Migration] = (
    _script_migration("1.sql"),
    _script_migration("2.sql"),
    _script_migration("3.sql"),
    _script_migration("4.sql"),
    _script_migration("5.sql"),
    _script_migration("6.sql"),
    _script_migration("7.sql"),
    _script_migration("8.sql"),
    _script_migration("9.sql"),
    _script_migration("10.sql"),
    _script_migration("11.sql"),
    _script_migration("12.sql"),
    _script_migration("13.sql"),
    _script_migration("14.sql"),
    _script_migration("15.sql"),
    _script_migration("16.sql"),
    _script_migration("17.sql"),
    _script_migration("18.sql"),
    _script_migration("19.sql"),
    _script_migration("20.sql"),
    _script_migration("21.sql"),
    _script_migration("22.sql"),
    _script_migration("23.sql"),
)


def has_unfinished_copy(db: sqlite3.Connection) -> bool:
    """Whether `playground copy` has begun to fill this database, and not finished."""
    found: int = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = ?", (PROGRESS_TABLE,)).fetchone()[0]
    return found > 0


def schema_version(
    db: sqlite3.Connection, name: str, migrations: Sequence[Migration] = MIGRATIONS, *, copying: bool = False
) -> int:
    """The schema's version, 0 for an empty database. Only reads.

    Args:
        db: a connection in autocommit mode.
        name: how errors name the database.
        copying: whether it may hold an unfinished copy.

    Raises:
        StoreError: the database is newer than this program, another program's, or an unfinished copy.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    owner = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreError(f"{name} is the database of another program; choose another file")
    if version > len(migrations):
        newest = len(migrations)
        raise StoreError(
            f"{name} has schema version {version}, this program knows up to {newest}; start a newer playground"
        )
    if not copying and has_unfinished_copy(db):
        raise StoreError(UNFINISHED.format(name=name))
    return version


def migrate(db: sqlite3.Connection, name: str, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Migrate a database to the newest version, each step in its own transaction; returns the number of steps.

    Raises:
        StoreError: as `version_of`.
    """
    version = schema_version(db, name, migrations)
    for number, migration in enumerate(migrations[version:], version + 1):
        with transaction(db):
            migration(db)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {number}")
    assert schema_version(db, name, migrations) == len(migrations), "each migration writes its version"
    return len(migrations) - version


@functools.cache
def empty_database() -> bytes:
    """The bytes of a database of the newest schema version that holds nothing.

    For tests, which make thousands: a file of these is there in 1 ms, migrations of a new one take 14.
    """
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, "an empty database")
        return db.serialize()


def run_script(db: sqlite3.Connection, script: str) -> None:
    """Run the statements of a script inside the open transaction, which `executescript` would commit."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
