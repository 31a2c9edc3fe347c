"""Reading off the event loop: a few threads, each with a connection while it reads.

In WAL mode readers never wait for the writer.

How long a connection to the SQLite file takes over a commit: whether it waits for other programs, and tidies up
behind itself.

Memory that is held only for speed goes back to the machine: what SQLite caches, and what the C library (where it is
glibc) keeps free.
"""

import asyncio
import contextlib
import ctypes
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from playground.store.errors import StoreError
from playground.store.sqlite.writer import CLOSED

BUSY_MS = 5_000  # how long to wait for somebody who looks into the file with another program
CHECKPOINT_PAGES = 1_000  # of the write-ahead log, which then goes into the database: few enough that none takes long


class BusyTimeout:
    """A connection that may take its time, or may not because others wait for whoever uses it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._allowed: bool | None = None

    def allow(self, allowed: bool) -> None:
        """Say which from the next commit on."""
        if allowed is not self._allowed:
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_MS if allowed else 0}")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if allowed else 0}")
            self._allowed = allowed


_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def shrink(db: sqlite3.Connection) -> None:
    """Takes some milliseconds, while the rest of the interpreter runs on."""
    db.execute("PRAGMA shrink_memory")
    if _trim is not None:
        _trim(ctypes.c_size_t(0))


READERS = 2  # threads

T = TypeVar("T")


class Readers:
    """A pool of reading connections.

    Args:
        connect: opens a connection; it is called when one is needed and none is free.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._free: list[sqlite3.Connection] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `read`, which is called with a connection on a reading thread.

        Raises:
            StoreError: the store is closed, or the database can't be read.
        """
        if self._closed:
            raise StoreError(CLOSED)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, read)

    def run_here(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """As `run`, on the event loop, which stands still meanwhile: for a few rows by their key.

        That takes 9 us. Through a thread it takes 46, and several hundred after a rest.

        Raises:
            StoreError: as `run`.
        """
        if self._closed:
            raise StoreError(CLOSED)
        return self._run(read)

    async def shrink(self) -> None:
        """Close the connections that nobody uses: each holds pages, statements,
        and in Python hundreds of small things.
        """
        await asyncio.get_running_loop().run_in_executor(self._pool, self._close_free)

    def close(self) -> None:
        """Let what is being read finish, then close the connections."""
        self._closed = True
        self._pool.shutdown(wait=True)
        self._close_free()

    def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = self._taken() or self._connect()
            try:
                return read(db)
            finally:
                self._free.append(db)
        except sqlite3.Error as fault:
            raise StoreError(f"the database cannot be read: {fault}") from None

    def _taken(self) -> sqlite3.Connection | None:
        with contextlib.suppress(IndexError):  # another thread was faster
            return self._free.pop()
        return None

    def _close_free(self) -> None:
        while (db := self._taken()) is not None:
            db.close()
