"""The nodes of a SQLite store. They are engines of one process, which the file's lock lets be the only one.

So a lease is kept in memory: it ends with the process at the latest. Of a node only how often it has joined is in the
file. Without a clock a lease lasts as long as the process does, and a server that was frozen for an hour goes on where
it was.

One server at a time on one database file: what the writer holds in memory is right only if nobody else writes.

The lock is on a file beside the database, since closing any other handle of the database itself would drop SQLite's own
locks. The kernel lifts it when the process ends, however it ends.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from playground.store.encoding import encode
from playground.store.errors import NodeLost, StoreError, StoreInUse
from playground.store.named_sql import NamedSql
from playground.store.protocol import Lease
from playground.store.rows import InstanceRow
from playground.store.sqlite import rows as columns
from playground.store.sqlite.connections import Readers
from playground.store.sqlite.transaction import SqliteTransaction
from playground.store.sqlite.writer import Writer

SUFFIX = "-lock"


class FileLock:
    """Held from `take` to `release`, or to the end of the process.

    Args:
        database: the database file; the lock stands beside it.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._handle: int | None = None

    def take(self) -> None:
        """Lock the database for this process.

        Raises:
            StoreError: another process holds it, or the lock file can't be written.
        """
        path = self._database.with_name(self._database.name + SUFFIX)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            folder = Path(self._database).resolve().parent
            raise StoreError(
                f"cannot write in {folder}, where the database {self._database} is to be: {error.strerror}; name "
                "another database"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            process = f" by process {holder}" if holder.isdigit() else ""
            raise StoreInUse(
                f"the database {self._database} is in use{process}; stop that server or use another file"
            ) from None
        with contextlib.suppress(OSError):  # who holds it is only for people; on a full disk it can't be said
            os.ftruncate(handle, 0)
            os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        self._handle = handle

    def release(self) -> None:
        """Let others have the database; calling it again does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


LeaseClock = Callable[[], int]  # milliseconds, which never go back

LOST = "the lease of node {name} (boot {boot}) is over"


class SqliteNodes:
    """See `protocol.NodeStore`. With a clock, leases end by it."""

    def __init__(
        self, sql: NamedSql, readers: Readers, writer: Writer, transaction: SqliteTransaction, clock: LeaseClock | None
    ) -> None:
        self._sql, self._readers, self._writer, self._transaction = sql, readers, writer, transaction
        self._clock = clock
        self._ends: dict[str, tuple[Lease, int | None]] = {}  # by name; None: with the process

    async def join(self, name: str, lasts_ms: int) -> Lease:
        boot: int = await self._writer.submit(partial(self._transaction.join_node, name))
        lease = Lease(name, boot, None if self._clock is None else lasts_ms)
        self._ends[name] = (lease, self._end_of(lease))
        return lease

    async def renew(self, lease: Lease) -> int | None:
        self.check(lease.owner)
        self._ends[lease.name] = (lease, self._end_of(lease))
        if self._clock is None:
            return None
        now = self._clock()
        return min(
            (end - now for other, end in self._ends.values() if end is not None and other != lease and end > now),
            default=None,
        )

    async def leave(self, lease: Lease) -> None:
        if lease.owner in self._lasting():
            del self._ends[lease.name]

    async def abandoned(self, limit: int) -> Sequence[InstanceRow]:
        values = (encode(self._lasting()), limit)
        return await self._readers.run(
            lambda db: [columns.instance_row(row) for row in db.execute(self._sql["abandoned"], values)]
        )

    def check(self, owner: str) -> None:
        """Raises NodeLost unless the lease of an owner lasts."""
        if owner not in self._lasting():
            name, _, boot = owner.rpartition(".")
            newer = name in self._ends and self._ends[name][0].owner != owner
            raise NodeLost(LOST.format(name=name, boot=boot), superseded=newer)

    def _end_of(self, lease: Lease) -> int | None:
        return None if self._clock is None or lease.lasts_ms is None else self._clock() + lease.lasts_ms

    def _lasting(self) -> list[str]:
        now = 0 if self._clock is None else self._clock()
        return [lease.owner for lease, end in self._ends.values() if end is None or end > now]
