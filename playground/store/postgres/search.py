"""Searches in PostgreSQL."""

from collections.abc import Sequence
from pathlib import Path

from playground.store.columns import instance_row
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Connections
from playground.store.rows import InstanceRow
from playground.store.search import Found, Head, RunFilter, Search

SQL = NamedSql(Path(__file__).with_name("search.sql"))


class PostgresSearch:
    """Implements `search.SearchStore`.

    Args:
        rows: the statement that reads instances by an array of keys.
    """

    def __init__(self, connections: Connections, rows: str) -> None:
        self._connections, self._rows = connections, rows

    async def keys(self, tenant: str, filter: RunFilter, *, before: int | None = None, limit: int = 50) -> Found:
        steps = Search(SQL, "$", tenant, filter, before, limit).steps()
        statement = next(steps)
        while True:
            rows = await self._connections.reading(statement.text, *statement.values)
            try:
                statement = steps.send(rows)
            except StopIteration as done:
                found: Found = done.value
                return found

    async def heads(self, keys: Sequence[int]) -> Sequence[Head]:
        return [Head(*row) for row in await self._connections.reading(SQL["heads"], list(keys))]

    async def rows(self, keys: Sequence[int]) -> Sequence[InstanceRow]:
        found = await self._connections.reading(self._rows, list(keys))
        return sorted(map(instance_row, found), key=lambda row: -row.key)
