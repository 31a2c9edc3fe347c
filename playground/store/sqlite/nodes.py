"""Nodes and their leases in a SQLite store, and the file lock that lets one process at a time have the database.

One process, because the writer's caches are valid only if nobody else writes. All nodes are engines of that process, so
leases are kept in memory and end with it at the latest; the file holds only how often each node has joined. Without a
clock a lease lasts as long as the process, and a server that was frozen for an hour continues where it was.

The lock is on a separate file, since closing any other handle of the database itself would drop SQLite's own locks. The
kernel releases it when the process ends, however it ends.
"""

import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from playground.store import columns
from playground.store.encoding import encode
from playground.store.errors import NodeLost, StoreError, StoreInUse
from playground.store.named_sql import NamedSql
from playground.store.protocol import Lease, Renewal
from playground.store.rows import InstanceRow
from playground.store.sqlite.connections import Readers
from playground.store.sqlite.transaction import SqliteTransaction
from playground.store.sqlite.writer import Writer

LOCK_SUFFIX = "-lock"


class FileLock:
    """An exclusive lock, held from `acquire` to `release` or to the end of the process.

    Args:
        database: the database file; the lock file is in the same folder.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._handle: int | None = None

    def acquire(self) -> None:
        """Lock the database for this process.

        Raises:
            StoreError: another process holds it, or the lock file cannot be written.
        """
        path = self._database.with_name(self._database.name + LOCK_SUFFIX)
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
        with contextlib.suppress(OSError):  # the holder is only for people; on a full disk it cannot be written
            os.ftruncate(handle, 0)
            os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        self._handle = handle

    def release(self) -> None:
        """Release the lock; calling it again does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


LeaseClock = Callable[[], int]  # monotonic milliseconds

LEASE_IS_OVER = "the lease of node {name} (boot {boot}) is over"


class SqliteNodes:
    """Implements `protocol.NodeStore`. With a clock, leases expire by it."""

    clock: Callable[[], Awaitable[int]] | None = None  # all nodes are in this process

    def __init__(
        self, sql: NamedSql, readers: Readers, writer: Writer, transaction: SqliteTransaction, clock: LeaseClock | None
    ) -> None:
        self._sql, self._readers, self._writer, self._transaction = sql, readers, writer, transaction
        self._clock = clock
        self._leases: dict[str, tuple[Lease, int | None]] = {}  # by name, with their end; None: the end of the process

    async def join(self, name: str, lasts_ms: int) -> Lease:
        boot: int = await self._writer.submit(partial(self._transaction.join_node, name))
        lease = Lease(name, boot, None if self._clock is None else lasts_ms)
        self._leases[name] = (lease, self._lease_end(lease))
        return lease

    async def renew(self, lease: Lease) -> Renewal:
        self.check_lease(lease.owner)
        self._leases[lease.name] = (lease, self._lease_end(lease))
        now = 0 if self._clock is None else self._clock()
        others = [end for other, end in self._leases.values() if end is not None and other != lease and end > now]
        next_end = min(others) - now if others else None
        return Renewal(next_end, bool(await self.abandoned(1)), len(await self.owned(lease.owner)))

    async def leave(self, lease: Lease) -> None:
        if lease.owner in self._owners_with_lease():
            del self._leases[lease.name]

    async def abandoned(self, limit: int) -> Sequence[InstanceRow]:
        values = (encode(self._owners_with_lease()), limit)
        return await self._readers.run(
            lambda db: [columns.instance_row(row) for row in db.execute(self._sql["abandoned"], values)]
        )

    async def owned(self, owner: str) -> Sequence[InstanceRow]:
        return await self._readers.run(
            lambda db: [columns.instance_row(row) for row in db.execute(self._sql["owned"], (owner,))]
        )

    def living(self) -> Sequence[str]:
        """The names of the nodes with a lease."""
        return sorted(owner.rpartition(".")[0] for owner in self._owners_with_lease())

    def check_lease(self, owner: str) -> None:
        """Raise NodeLost unless the owner's lease is current."""
        if owner not in self._owners_with_lease():
            name, _, boot = owner.rpartition(".")
            newer = name in self._leases and self._leases[name][0].owner != owner
            raise NodeLost(LEASE_IS_OVER.format(name=name, boot=boot), superseded=newer)

    def _lease_end(self, lease: Lease) -> int | None:
        return None if self._clock is None or lease.lasts_ms is None else self._clock() + lease.lasts_ms

    def _owners_with_lease(self) -> list[str]:
        now = 0 if self._clock is None else self._clock()
        return [lease.owner for lease, end in self._leases.values() if end is None or end > now]
