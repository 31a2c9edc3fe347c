"""Searches in SQLite."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from playground.store.columns import instance_row
from playground.store.encoding import encode
from playground.store.named_sql import NamedSql
from playground.store.rows import InstanceRow
from playground.store.search import Found, Head, RunFilter, Search
from playground.store.sqlite.connections import Readers

SQL = NamedSql(Path(__file__).with_name("search.sql"))


class SqliteSearch:
    """Implements `search.SearchStore`.

    Args:
        rows: the statement that reads instances by a JSON array of keys.
    """

    def __init__(self, readers: Readers, rows: str) -> None:
        self._readers, self._rows = readers, rows

    async def keys(self, tenant: str, filter: RunFilter, *, before: int | None = None, limit: int = 50) -> Found:
        def read(db: sqlite3.Connection) -> Found:
            steps = Search(SQL, "?", tenant, filter, before, limit).steps()
            statement = next(steps)
            while True:
                text, values = statement
                listed = [encode(value) if isinstance(value, list) else value for value in values]
                try:
                    statement = steps.send(db.execute(text, listed).fetchall())
                except StopIteration as done:
                    found: Found = done.value
                    return found

        return await self._readers.run(read)

    async def heads(self, keys: Sequence[int]) -> Sequence[Head]:
        text = encode(list(keys))
        return await self._readers.run(lambda db: [Head(*row) for row in db.execute(SQL["heads"], (text,))])

    async def rows(self, keys: Sequence[int]) -> Sequence[InstanceRow]:
        text = encode(list(keys))
        return await self._readers.run(lambda db: [instance_row(row) for row in db.execute(self._rows, (text,))])
