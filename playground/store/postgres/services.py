"""Services of tenants in PostgreSQL."""

import json
from collections.abc import Sequence
from pathlib import Path

from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Connections, Transaction
from playground.store.postgres.tables import Tables
from playground.store.services import Service

SQL = NamedSql(Path(__file__).with_name("services.sql"))


class PostgresServices:
    """Implements `services.ServiceStore`."""

    def __init__(self, tables: Tables, connections: Connections) -> None:
        self._tables, self._connections = tables, connections

    async def put(self, tenant: str, service: Service, *, most: int) -> bool:
        async def write(tx: Transaction) -> bool:
            await tx.rows(SQL["lock_tenant"], tenant)
            row = (tenant, service.kind, service.name, json.dumps(service.settings), most)
            return bool(await tx.rows(SQL["put"], *row))

        return await self._tables.change(write)

    async def of_tenant(self, tenant: str) -> Sequence[Service]:
        rows = await self._connections.reading(SQL["of_tenant"], tenant)
        return [Service(kind, name, json.loads(settings)) for kind, name, settings in rows]

    async def delete(self, tenant: str, kind: str, name: str) -> bool:
        async def delete(tx: Transaction) -> bool:
            return bool(await tx.rows(SQL["delete"], tenant, kind, name))

        return await self._tables.change(delete)
