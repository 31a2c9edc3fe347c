"""Reading off the event loop: a few threads, each with a connection while it reads.

In WAL mode readers never wait for the writer.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from playground.store.errors import StoreError
from playground.store.sqlite.writer import CLOSED

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
