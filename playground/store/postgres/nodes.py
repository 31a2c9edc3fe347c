"""Nodes and their leases: a row for each node, which its one heartbeat renews, by the database's clock."""

from collections.abc import Callable, Sequence

from playground.store import columns
from playground.store.errors import NodeLost
from playground.store.named_sql import NamedSql
from playground.store.postgres.claims import LEASE_IS_OVER
from playground.store.postgres.connections import Connections
from playground.store.protocol import Lease
from playground.store.rows import InstanceRow

NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class PostgresNodes:
    """Implements `protocol.NodeStore`.

    Args:
        lease_now: the clock of leases in milliseconds, where it is not the database's.
        has_clock: whether nodes go by the database's clock, and not by one that a test injects.
    """

    def __init__(
        self, connections: Connections, sql: NamedSql, lease_now: Callable[[], int | None], *, has_clock: bool
    ) -> None:
        self._connections, self._sql, self._lease_now = connections, sql, lease_now
        self.clock = self._read_clock if has_clock else None

    async def _read_clock(self) -> int:
        [[now]] = await self._connections.reading(NOW)
        return int(now)

    async def join(self, name: str, lasts_ms: int) -> Lease:
        now = self._lease_now()
        boot = await self._connections.transaction(lambda tx: tx.value(self._sql["join_node"], name, now, lasts_ms))
        return Lease(name, boot, lasts_ms)

    async def renew(self, lease: Lease) -> int | None:
        assert lease.lasts_ms is not None, "leases of this store end"
        now, lasts_ms = self._lease_now(), lease.lasts_ms
        renewed = await self._connections.transaction(
            lambda tx: tx.value(self._sql["renew_node"], lease.name, lease.boot, now, lasts_ms)
        )
        if renewed is None:
            found = await self._connections.reading(self._sql["boot_of_node"], lease.name)
            newer = bool(found) and found[0][0] != lease.boot
            raise NodeLost(LEASE_IS_OVER.format(name=lease.name, boot=lease.boot), superseded=newer)
        [[ends_in]] = await self._connections.reading(self._sql["next_lease_end"], lease.name, now)
        return None if ends_in is None else int(ends_in)

    async def leave(self, lease: Lease) -> None:
        await self._connections.transaction(lambda tx: tx.rows(self._sql["leave_node"], lease.name, lease.boot))

    async def abandoned(self, limit: int) -> Sequence[InstanceRow]:
        found = await self._connections.reading(self._sql["abandoned"], self._lease_now(), limit)
        return [columns.instance_row(row) for row in found]

    async def owned(self, owner: str) -> Sequence[InstanceRow]:
        found = await self._connections.reading(self._sql["owned"], owner)
        return [columns.instance_row(row) for row in found]
