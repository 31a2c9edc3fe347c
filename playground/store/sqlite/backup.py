"""Backup of a SQLite database that a server may be writing.

SQLite's online backup copies pages within one read transaction, so that the copy is the database at one point in
time, whatever is written meanwhile. That transaction keeps the write-ahead log from being shortened: it grows by what
is written during a backup, which is why the rate is limited but not very low.

The copy is written beside its place under a name that ends in `.partial`, verified there (verification.py) and
renamed. What a killed backup leaves has that name; until all pages are there it is one open transaction, which SQLite
rolls back to an empty file. The next backup to the same place replaces it.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from playground.store.copying import Digest, Progress
from playground.store.errors import StoreError
from playground.store.sqlite.connections import BUSY_MS
from playground.store.sqlite.copying import SqliteCopySide
from playground.store.sqlite.migrations import MIGRATIONS, schema_version
from playground.store.verification import verify

PARTIAL = ".partial"
STEPS_PER_SECOND = 20  # of a backup: pauses are short
Sleep = Callable[[float], None]


async def back_up(
    path: Path, target: Path, progress: Progress, *, bytes_per_second: int = 0, sleep: Sleep = time.sleep
) -> Mapping[str, Digest]:
    """Back a database up into a new file, and verify that; returns the digests of its tables.

    Args:
        bytes_per_second: at most so many are copied; 0 is as many as the disks allow.
        progress: called with what is done, and how much of how much: pages, then rows.

    Raises:
        StoreError: there is no such database, the file exists, or the copy is not as its source.
    """
    if target.exists():
        raise StoreError(f"{target} exists; name a file that does not")
    partial = target.with_name(target.name + PARTIAL)
    with _snapshot(path) as source:
        with suppress(FileNotFoundError):
            partial.unlink()
        for end in ("-journal", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                partial.with_name(partial.name + end).unlink()
        try:
            os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            _copy_pages(source, partial, progress, bytes_per_second, sleep)
            with _opened(partial) as copy:
                found = await verify(SqliteCopySide(partial, copy), SqliteCopySide(path, source), progress)
        except OSError as error:
            raise StoreError(f"cannot write {target}: {error.strerror}") from None
    partial.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return found


async def check_backup(path: Path, progress: Progress) -> Mapping[str, Digest]:
    """The digests of a backup that is whole and sound. Raises StoreError."""
    with _snapshot(path) as copy:
        _check_pages(copy, path)
        return await verify(SqliteCopySide(path, copy), None, progress)


@contextmanager
def _snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection whose reads are all of one point in time."""
    if not path.is_file():
        raise StoreError(f"there is no database {path}")
    with _opened(path) as db:
        db.execute("BEGIN")
        version = schema_version(db, f"the database {path}")  # the first read, at which the snapshot begins
        if version != len(MIGRATIONS):
            raise StoreError(
                f"the database {path} has schema version {version}, this program's is {len(MIGRATIONS)}; use the "
                "program of its server, or start the newer server first"
            )
        yield db


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            yield db
    except sqlite3.Error as fault:
        raise StoreError(f"the database {path} cannot be read: {fault}") from None


def _copy_pages(source: sqlite3.Connection, partial: Path, progress: Progress, rate: int, sleep: Sleep) -> None:
    page_bytes: int = source.execute("PRAGMA page_size").fetchone()[0]
    pages = max(1, rate // page_bytes // STEPS_PER_SECOND) if rate else 10_000

    def copied(status: int, remaining: int, total: int) -> None:
        progress("copying pages", total - remaining, total)
        if remaining and rate:
            sleep(pages * page_bytes / rate)

    with _opened(partial) as copy:
        source.backup(copy, pages=pages, progress=copied, sleep=0)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, which a server makes a log for
        _check_pages(copy, partial)
    handle = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_pages(db: sqlite3.Connection, path: Path) -> None:
    found = [text for (text,) in db.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise StoreError(f"{path} is damaged: {'; '.join(found)}")
