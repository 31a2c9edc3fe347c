"""Database URLs: opening the store, or its keys, that a URL names, and the disk usage of its file."""

import os
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from playground.store.encryption import Keyring
from playground.store.errors import StoreError, shown_url
from playground.store.protocol import Log, Store
from playground.store.sqlite.key_admin import SqliteKeyAdmin
from playground.store.sqlite.nodes import LeaseClock
from playground.store.sqlite.store import SLOW_SECONDS, SqliteStore
from playground.store.tables import KeyAdmin

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgres://")
FORMS = "sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database"
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
