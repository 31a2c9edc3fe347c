"""SQLite connections: a pool of reading threads, the writer's busy timeout, and releasing their memory.

In WAL mode readers never wait for the writer.
"""

import asyncio
import contextlib
import ctypes
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from playground.store.errors import CLOSED, StoreError

BUSY_MS = 5_000  # how long to wait for another program that has the file open
CHECKPOINT_PAGES = 1_000  # of the write-ahead log, after which SQLite checkpoints it: few enough to be quick


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A writing transaction of a connection in autocommit mode: all of the block, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has rolled it back already
            db.execute("ROLLBACK")
        raise


class BusyTimeout:
    """Whether a connection may wait for locks and run checkpoints; on the event loop it may not."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._allowed: bool | None = None

    def allow_waiting(self, allowed: bool) -> None:
        """Allow or forbid waiting from the next commit on."""
        if allowed is not self._allowed:
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_MS if allowed else 0}")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if allowed else 0}")
            self._allowed = allowed


_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def shrink(db: sqlite3.Connection) -> None:
    """Release SQLite's caches, and what glibc keeps free. Takes some milliseconds without the interpreter lock."""
    db.execute("PRAGMA shrink_memory")
    if _malloc_trim is not None:
        _malloc_trim(ctypes.c_size_t(0))


READERS = 2  # threads
LOOP_SECONDS = 0.01  # after a longer read on the event loop ...
LOOP_REST_FACTOR = 100  # ... the threads read for so many times as long

T = TypeVar("T")


class Readers:
    """A pool of threads that read, each with a connection while it does.

    Args:
        connect: opens a connection; called when none is free.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._free: list[sqlite3.Connection] = []
        self._closed = False
        self._loop_not_before = 0.0  # when the event loop may read again
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Call `read` with a connection on a reading thread, and return its result.

        Raises:
            StoreError: the store is closed, or the database cannot be read.
        """
        if self._closed:
            raise StoreError(CLOSED)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, read)

    async def run_few(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """As `run`, for a few rows by their key: on the event loop while that is quick.

        That takes 9 us; through a thread 46 us, and several hundred after an idle time or while another thread has the
        interpreter. A disk that has to be waited for shows itself in one slow read, after which threads read.

        Raises:
            StoreError: as `run`.
        """
        began = perf_counter()
        if began < self._loop_not_before:
            return await self.run(read)
        try:
            if self._closed:
                raise StoreError(CLOSED)
            return self._run(read)
        finally:
            took = perf_counter() - began
            if took > LOOP_SECONDS:
                self._loop_not_before = began + took * LOOP_REST_FACTOR

    async def shrink(self) -> None:
        """Close unused connections: each caches pages and statements, and keeps hundreds of small Python objects."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._close_free)

    def close(self) -> None:
        """Wait for running reads, then close the connections."""
        self._closed = True
        self._pool.shutdown(wait=True)
        self._close_free()

    def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = self._pop_free() or self._connect()
            try:
                return read(db)
            finally:
                self._free.append(db)
        except sqlite3.Error as fault:
            raise StoreError(f"the database cannot be read: {fault}") from None

    def _pop_free(self) -> sqlite3.Connection | None:
        with contextlib.suppress(IndexError):  # another thread was faster
            return self._free.pop()
        return None

    def _close_free(self) -> None:
        while (db := self._pop_free()) is not None:
            db.close()
