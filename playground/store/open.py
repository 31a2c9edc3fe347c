"""Database URLs: opening the store that a URL names, its keys, or the database for a copy, and the disk usage of its
file.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from pathlib import Path

from playground.store.copying import CopySide, Digest, Progress
from playground.store.encryption import Keyring
from playground.store.errors import StoreError, shown_url
from playground.store.protocol import Log, Store
from playground.store.sqlite import backup
from playground.store.sqlite.copying import SqliteCopySide
from playground.store.sqlite.key_admin import SqliteKeyAdmin
from playground.store.sqlite.nodes import LeaseClock
from playground.store.sqlite.store import SLOW_SECONDS, SqliteStore
from playground.store.tables import KeyAdmin

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgres://")
FORMS = "sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database"
NO_BACKUP = (
    "the database is PostgreSQL's, which has tools for this: `pg_dump --format=custom` writes one file of one point in "
    "time, `pg_basebackup` copies the server; with all servers stopped, `playground copy` writes a SQLite file and "
    "checks it"
)
OUTAGE_SECONDS = 30.0  # how long a call waits for a PostgreSQL that is away


def open_store(
    url: str,
    *,
    synchronous: str = "full",
    log: Log = lambda *_, **__: None,
    slow_seconds: float = SLOW_SECONDS,
    keyring: Keyring | None = None,
    lease_clock: LeaseClock | None = None,
    uses_caller_clock: bool = False,
    outage_seconds: float = OUTAGE_SECONDS,
    poll_seconds: float | None = None,
) -> Store:
    """Open the store at `url`: sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database. Blocks
    until the schema is up to date.

    The store belongs to the event loop of its first call.

    Args:
        synchronous: whether SQLite waits for the disk at each commit: "full" or "normal".
        log: called as `log(event, **fields)` for each thing an operator must know, such as a commit that takes
            `slow_seconds` or longer.
        keyring, lease_clock: see `SqliteStore.open` and `PostgresStore.open`.
        uses_caller_clock, outage_seconds, poll_seconds: of PostgreSQL only; see `PostgresStore.open`.

    Raises:
        StoreError: the URL, the file or its content is unusable; the message is one line for the operator.
    """
    if url.startswith(POSTGRESQL):
        from playground.store.postgres.store import PostgresStore  # late: most servers need no driver

        return PostgresStore.open(
            url,
            log=log,
            slow_seconds=slow_seconds,
            keyring=keyring,
            lease_clock=lease_clock,
            uses_caller_clock=uses_caller_clock,
            outage_seconds=outage_seconds,
            poll_seconds=poll_seconds,
        )
    return SqliteStore.open(
        _path_of(url),
        synchronous=synchronous,
        log=log,
        slow_seconds=slow_seconds,
        keyring=keyring,
        lease_clock=lease_clock,
    )


def open_key_admin(url: str) -> AbstractContextManager[KeyAdmin]:
    """The tenants' keys in the database at `url`, which a server may have open. Entering the context blocks.

    Raises:
        StoreError: as `open_store`; on entering too, where there is no such database or an older server has it.
    """
    if url.startswith(POSTGRESQL):
        from playground.store.postgres.key_admin import PostgresKeyAdmin

        return PostgresKeyAdmin.open(url)
    return SqliteKeyAdmin.open(_path_of(url))


def open_for_copy(url: str, *, is_source: bool) -> AbstractAsyncContextManager[CopySide]:
    """The database at `url` to be copied from or to, which nobody else can use while it is open.

    Raises:
        StoreError: as `open_store`; on entering, a server has it open, or there is no such source.
    """
    if url.startswith(POSTGRESQL):
        from playground.store.postgres.copying import PostgresCopySide

        return PostgresCopySide.open(url, is_source=is_source)
    return SqliteCopySide.open(_path_of(url), is_source=is_source)


async def back_up(url: str, target: Path, progress: Progress, *, bytes_per_second: int) -> Mapping[str, Digest]:
    """Back the database at `url` up into a new file while a server uses it; returns the digests of its tables.

    Raises:
        StoreError: as `sqlite.backup.back_up`; it is not SQLite's.
    """
    if url.startswith(POSTGRESQL):
        raise StoreError(NO_BACKUP)
    return await backup.back_up(_path_of(url), target, progress, bytes_per_second=bytes_per_second)


async def check_backup(path: Path, progress: Progress) -> Mapping[str, Digest]:
    """The digests of the tables of a backup that is whole and sound. Raises StoreError."""
    return await backup.check_backup(path, progress)


def free_bytes(url: str) -> int | None:
    """Bytes free on the disk of a SQLite file; None for a database that is no local file."""
    if not url.startswith(SQLITE):
        return None
    try:
        found = os.statvfs(Path(url.removeprefix(SQLITE)).parent)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def used_bytes(url: str) -> int | None:
    """Size in bytes of a SQLite file with its write-ahead log; None for a database that is no local file."""
    if not url.startswith(SQLITE):
        return None
    sizes = []
    for end in ("", "-wal", "-shm"):
        with suppress(OSError):
            sizes.append(os.stat(url.removeprefix(SQLITE) + end).st_size)
    return sum(sizes)


def _path_of(url: str) -> Path:
    if not url.startswith(SQLITE) or not Path(url.removeprefix(SQLITE)).name:
        shown = url if "@" not in url else shown_url(url)
        raise StoreError(f"the database {shown!r} cannot be opened; it takes {FORMS}")
    return Path(url.removeprefix(SQLITE))
