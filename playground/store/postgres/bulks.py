"""Operations on many instances in PostgreSQL."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.store.bulks import Bulk, Target, advanced_values, bulk_row, bulk_values, parts_of, targets_of
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Connections, Transaction
from playground.store.postgres.tables import Tables

SQL = NamedSql(Path(__file__).with_name("bulks.sql"))


class PostgresBulks:
    """Implements `bulks.BulkStore`."""

    def __init__(self, tables: Tables, connections: Connections) -> None:
        self._tables, self._connections = tables, connections

    async def create(self, bulk: Bulk, targets: Sequence[Target], *, most: int, kept: int) -> bool:
        async def write(tx: Transaction) -> bool:
            await tx.rows(SQL["lock_tenant"], bulk.tenant)
            if not await tx.rows(SQL["put"], *bulk_values(bulk), most):
                return False
            for number, part in enumerate(parts_of(targets)):
                await tx.rows(SQL["put_part"], bulk.tenant, bulk.id, number, part)
            for (old,) in await tx.rows(SQL["old"], bulk.tenant, kept):
                await tx.rows(SQL["delete"], bulk.tenant, old)
                await tx.rows(SQL["delete_parts"], bulk.tenant, old)
            return True

        return await self._tables.change(write)

    async def get(self, tenant: str, id: str) -> Bulk | None:
        found = await self._rows("get", tenant, id)
        return bulk_row(found[0]) if found else None

    async def of_tenant(self, tenant: str) -> Sequence[Bulk]:
        return [bulk_row(row) for row in await self._rows("of_tenant", tenant)]

    async def take_due(self, *, at: int, until: int) -> Bulk | None:
        taken = await self._write("take_due", at, until)
        return bulk_row(taken[0]) if taken else None

    async def part(self, bulk: Bulk) -> Sequence[Target]:
        found = await self._rows("part", bulk.tenant, bulk.id, bulk.part)
        return targets_of(found[0][0]) if found else ()

    async def advance(self, bulk: Bulk, done: Bulk) -> bool:
        return bool(await self._write("advance", *advanced_values(bulk, done)))

    async def stop(self, tenant: str, id: str, *, at: int) -> bool:
        async def write(tx: Transaction) -> bool:
            return bool(await tx.rows(SQL["stop"], tenant, id, at))

        return await self._tables.change(write)

    async def next_due(self) -> int | None:
        found = await self._rows("next_due")
        return found[0][0] if found else None

    async def _rows(self, query: str, *values: Any) -> Sequence[Any]:
        return await self._connections.reading(SQL[query], *values)

    async def _write(self, query: str, *values: Any) -> Sequence[Any]:
        return await self._tables.write(lambda tx: tx.rows(SQL[query], *values))
