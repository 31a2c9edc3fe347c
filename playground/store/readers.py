"""Reading off the event loop: a few threads, each with its own connection. In WAL mode readers never wait for the writer."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from playground.store.errors import StoreError
from playground.store.writer import CLOSED

READERS = 2  # threads

T = TypeVar("T")


class Readers:
    """A pool of reading connections.

    Args:
        connect: opens a connection; it is called once on each thread, when the thread is first needed.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
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

    def close(self) -> None:
        """Let what is being read finish, then close the connections."""
        self._closed = True
        self._pool.shutdown(wait=True)
        while self._open:
            self._open.pop().close()

    def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            db = getattr(self._local, "db", None)
            if db is None:
                db = self._local.db = self._connect()
                self._open.append(db)
            return read(db)
        except sqlite3.Error as fault:
            raise StoreError(f"the database cannot be read: {fault}") from None
