"""What alerts are made of, in SQLite."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from playground.store.alerts import FailedRun
from playground.store.named_sql import NamedSql
from playground.store.sqlite.tables import Tables

SQL = NamedSql(Path(__file__).with_name("alerts.sql"))
FIRST_TENANT = "!"  # before every name of a tenant, and after "", which is none


class SqliteAlerts:
    """Implements `alerts.AlertStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def chore_until(self, name: str) -> int | None:
        rows = await self._tables.few_rows(SQL["chore_until"], (name,), named=False)
        return rows[0][0] if rows else None

    async def failed(self, after: int, upto: int, *, tenants_only: bool, limit: int) -> tuple[int, Sequence[FailedRun]]:
        values = (after, upto, FIRST_TENANT if tenants_only else "")

        def read(db: sqlite3.Connection) -> tuple[int, Sequence[FailedRun]]:
            count: int = db.execute(SQL["count_failed"], values).fetchone()[0]
            return count, [FailedRun(*row) for row in db.execute(SQL["failed"], (*values, limit))]

        return await self._tables.read(read)

    async def lost_nodes(self, after: int, upto: int) -> Sequence[tuple[str, int]]:
        return []
