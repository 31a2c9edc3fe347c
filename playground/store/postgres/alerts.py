"""What alerts are made of, in PostgreSQL."""

from collections.abc import Sequence
from pathlib import Path

from playground.store.alerts import FailedRun
from playground.store.named_sql import NamedSql
from playground.store.postgres.tables import Tables

SQL = NamedSql(Path(__file__).with_name("alerts.sql"))
FIRST_TENANT = "!"  # before every name of a tenant, and after "", which is none


class PostgresAlerts:
    """Implements `alerts.AlertStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def chore_until(self, name: str) -> int | None:
        rows = await self._tables.rows_of(SQL["chore_until"], name)
        return rows[0][0] if rows else None

    async def failed(self, after: int, upto: int, *, tenants_only: bool, limit: int) -> tuple[int, Sequence[FailedRun]]:
        values = (after, upto, FIRST_TENANT if tenants_only else "")
        [[count]] = await self._tables.rows_of(SQL["count_failed"], *values)
        rows = await self._tables.rows_of(SQL["failed"], *values, limit) if count else []
        return count, [FailedRun(*row) for row in rows]

    async def lost_nodes(self, after: int, upto: int) -> Sequence[tuple[str, int]]:
        return [(name, at) for name, at in await self._tables.rows_of(SQL["lost_nodes"], after, upto)]
