"""Operators' changes to a database that a server may have open: to tables only that no server holds in memory."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from playground.store.errors import StoreError, StoreInUse
from playground.store.lock import FileLock
from playground.store.migrations import MIGRATIONS, version_of
from playground.store.open import SQLITE, open_store
from playground.store.patience import BUSY_MS
from playground.store.sqlite import SqliteStore


def is_served(url: str) -> bool:
    """Whether a server has the database of a URL open."""
    lock = FileLock(Path(url.removeprefix(SQLITE)))
    try:
        lock.take()
    except StoreInUse:
        return True
    lock.release()
    return False


@contextmanager
def beside(url: str) -> Iterator[sqlite3.Connection]:
    """A connection to the database of a URL, in autocommit mode, whether a server has it open or not.

    Raises:
        StoreError: the URL or the database can't be used, or the server that has it is of another version.
    """
    try:
        store = open_store(url)  # makes the file, or brings its schema up to date
    except StoreInUse:
        pass
    else:
        assert isinstance(store, SqliteStore)
        store.close_now()
    path = Path(url.removeprefix(SQLITE))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if version_of(db, f"the database {path}") != len(MIGRATIONS):
            raise StoreError(f"the database {path} is in use by an older server; stop it and start the newer one first")
        try:
            yield db
        except sqlite3.Error as fault:
            raise StoreError(f"the database {path} cannot be written: {fault}") from None
