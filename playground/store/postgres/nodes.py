"""Nodes and their leases: a row for each node, which its one heartbeat renews, by the database's clock.

A heartbeat waits for nothing else. It has connections of its own, since a queue for the others, or calls that hang on
a network that is cut, must not cost the lease. It gives a connection up that does not answer within a part of the
lease, so that the next beat, on a new one, is still in time. Once that one is answered, the connections from before
are taken for dead, all of them: a middlebox that forgets one without a word forgets the others too, and a commit would
hang on its own for as long as the database may be away.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from playground.store import columns
from playground.store.errors import NodeLost, StoreError
from playground.store.named_sql import NamedSql
from playground.store.postgres.claims import LEASE_IS_OVER
from playground.store.postgres.connections import Connections
from playground.store.protocol import Lease, Renewal
from playground.store.rows import InstanceRow

CONNECTIONS = 2  # a renewal, and what follows the one before
ANSWER_WITHIN = 0.3  # of a lease: with the beat before it and the one after, less than two thirds

NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class PostgresNodes:
    """Implements `protocol.NodeStore`.

    Args:
        lease_now: the clock of leases in milliseconds, where it is not the database's.
        has_clock: whether nodes go by the database's clock, and not by one that a test injects.
        break_others: breaks the connections of all the rest of the store.
    """

    def __init__(
        self, connections: Connections, sql: NamedSql, lease_now: Callable[[], int | None],
        break_others: Callable[[], None], *, has_clock: bool,
    ) -> None:  # fmt: skip
        self._connections, self._sql, self._lease_now = connections, sql, lease_now
        self._break_others, self._is_silent = break_others, False
        self.clock = self._read_clock if has_clock else None

    async def _read_clock(self) -> int:
        [[now]] = await self._connections.reading(NOW)
        return int(now)

    async def join(self, name: str, lasts_ms: int) -> Lease:
        now = self._lease_now()
        async with self._in_time(lasts_ms):
            boot = await self._connections.transaction(lambda tx: tx.value(self._sql["join_node"], name, now, lasts_ms))
        return Lease(name, boot, lasts_ms)

    async def renew(self, lease: Lease) -> Renewal:
        assert lease.lasts_ms is not None, "leases of this store end"
        async with self._in_time(lease.lasts_ms):
            return await self._renew(lease)

    async def _renew(self, lease: Lease) -> Renewal:
        now, lasts_ms = self._lease_now(), lease.lasts_ms
        renewed = await self._connections.transaction(
            lambda tx: tx.row(self._sql["renew_node"], now, lease.name, lease.boot, lasts_ms, lease.owner)
        )
        if renewed is None:
            found = await self._connections.reading(self._sql["boot_of_node"], lease.name)
            newer = bool(found) and found[0][0] != lease.boot
            raise NodeLost(LEASE_IS_OVER.format(name=lease.name, boot=lease.boot), superseded=newer)
        return Renewal(*renewed)

    async def leave(self, lease: Lease) -> None:
        await self._connections.transaction(lambda tx: tx.rows(self._sql["leave_node"], lease.name, lease.boot))

    async def abandoned(self, limit: int) -> Sequence[InstanceRow]:
        found = await self._connections.reading(self._sql["abandoned"], self._lease_now(), limit)
        return [columns.instance_row(row) for row in found]

    async def owned(self, owner: str) -> Sequence[InstanceRow]:
        found = await self._connections.reading(self._sql["owned"], owner)
        return [columns.instance_row(row) for row in found]

    @asynccontextmanager
    async def _in_time(self, lasts_ms: int) -> AsyncIterator[None]:
        """Raise StoreError when the database has not answered within a part of a lease."""
        seconds = lasts_ms / 1000 * ANSWER_WITHIN
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            self._is_silent = True
            self._connections.break_all()
            raise StoreError(f"the database did not answer within {seconds:.1f} s") from None
        if self._is_silent:
            self._is_silent = False
            self._break_others()
