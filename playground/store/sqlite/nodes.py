"""The nodes of a SQLite store. They are engines of one process, which the file's lock lets be the only one.

So a lease is kept in memory: it ends with the process at the latest. Of a node only how often it has joined is in the
file. Without a clock a lease lasts as long as the process does, and a server that was frozen for an hour goes on where
it was.
"""

from collections.abc import Callable, Sequence
from functools import partial

from playground.store.encoding import encode
from playground.store.errors import NodeLost
from playground.store.named_sql import NamedSql
from playground.store.protocol import InstanceRow, Lease
from playground.store.sqlite import rows as columns
from playground.store.sqlite.readers import Readers
from playground.store.sqlite.transaction import SqliteTransaction
from playground.store.sqlite.writer import Writer

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
