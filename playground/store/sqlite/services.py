"""Services of tenants in SQLite."""

import json
from collections.abc import Sequence
from pathlib import Path

from playground.store.named_sql import NamedSql
from playground.store.services import Service
from playground.store.sqlite.tables import Tables

SQL = NamedSql(Path(__file__).with_name("services.sql"))


class SqliteServices:
    """Implements `services.ServiceStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def put(self, tenant: str, service: Service, *, most: int) -> bool:
        row = (tenant, service.kind, service.name, json.dumps(service.settings), most)
        return await self._tables.change(lambda db: db.execute(SQL["put"], row).rowcount > 0)

    async def of_tenant(self, tenant: str) -> Sequence[Service]:
        rows = await self._tables.few_rows(SQL["of_tenant"], (tenant,), named=False)
        return [Service(kind, name, json.loads(settings)) for kind, name, settings in rows]

    async def delete(self, tenant: str, kind: str, name: str) -> bool:
        return await self._tables.change(lambda db: db.execute(SQL["delete"], (tenant, kind, name)).rowcount > 0)
