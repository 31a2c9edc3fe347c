"""Schedules in PostgreSQL."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Connections, Transaction
from playground.store.postgres.tables import Tables
from playground.store.schedules import Schedule, fired_values, schedule_row, schedule_values

SQL = NamedSql(Path(__file__).with_name("schedules.sql"))


class PostgresSchedules:
    """Implements `schedules.ScheduleStore`."""

    def __init__(self, tables: Tables, connections: Connections) -> None:
        self._tables, self._connections = tables, connections

    async def put(self, schedule: Schedule, *, most: int) -> bool:
        async def write(tx: Transaction) -> bool:
            await tx.rows(SQL["lock_tenant"], schedule.tenant)
            return bool(await tx.rows(SQL["put"], *schedule_values(schedule), most))

        return await self._tables.change(write)

    async def get(self, tenant: str, name: str) -> Schedule | None:
        found = await self._rows("get", tenant, name)
        return schedule_row(found[0]) if found else None

    async def of_tenant(self, tenant: str) -> Sequence[Schedule]:
        return [schedule_row(row) for row in await self._rows("of_tenant", tenant)]

    async def delete(self, tenant: str, name: str) -> bool:
        async def delete(tx: Transaction) -> bool:
            return bool(await tx.rows(SQL["delete"], tenant, name))

        return await self._tables.change(delete)

    async def take_due(self, *, at: int, until: int, limit: int, startable: Sequence[str]) -> Sequence[Schedule]:
        return [schedule_row(row) for row in await self._write("take_due", at, until, limit, list(startable))]

    async def fired(self, schedules: Sequence[Schedule]) -> int:
        rows = sorted(map(fired_values, schedules), key=lambda row: row[:2])  # of two nodes, none waits for the other
        return len(await self._write("fired", *map(list, zip(*rows, strict=True)))) if rows else 0

    async def next_due(self, startable: Sequence[str]) -> int | None:
        found = await self._rows("next_due", list(startable))
        return found[0][0] if found else None

    async def _rows(self, query: str, *values: Any) -> Sequence[Any]:
        return await self._connections.reading(SQL[query], *values)

    async def _write(self, query: str, *values: Any) -> Sequence[Any]:
        return await self._tables.write(lambda tx: tx.rows(SQL[query], *values))
