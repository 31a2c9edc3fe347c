"""Schedules in SQLite."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.store.encoding import encode
from playground.store.named_sql import NamedSql
from playground.store.schedules import Schedule, fired_values, schedule_row, schedule_values
from playground.store.sqlite.connections import Readers
from playground.store.sqlite.tables import Tables

SQL = NamedSql(Path(__file__).with_name("schedules.sql"))


class SqliteSchedules:
    """Implements `schedules.ScheduleStore`."""

    def __init__(self, tables: Tables, readers: Readers) -> None:
        self._tables, self._readers = tables, readers

    async def put(self, schedule: Schedule, *, most: int) -> bool:
        values = [*schedule_values(schedule), most]
        return await self._tables.change(lambda db: _changes(db, "put", values))

    async def get(self, tenant: str, name: str) -> Schedule | None:
        found = await self._rows("get", tenant, name)
        return schedule_row(found[0]) if found else None

    async def of_tenant(self, tenant: str) -> Sequence[Schedule]:
        return [schedule_row(row) for row in await self._rows("of_tenant", tenant)]

    async def delete(self, tenant: str, name: str) -> bool:
        return await self._tables.change(lambda db: _changes(db, "delete", (tenant, name)))

    async def take_due(self, *, at: int, until: int, limit: int, startable: Sequence[str]) -> Sequence[Schedule]:
        values = (at, until, limit, encode(list(startable)))
        taken = await self._tables.write(lambda db: db.execute(SQL["take_due"], values).fetchall())
        return [schedule_row(row) for row in taken]

    async def fired(self, schedules: Sequence[Schedule]) -> int:
        rows = [fired_values(schedule) for schedule in schedules]
        return await self._tables.write(lambda db: sum(_changes(db, "fired", row) for row in rows)) if rows else 0

    async def next_due(self, startable: Sequence[str]) -> int | None:
        found = await self._rows("next_due", encode(list(startable)))
        return found[0][0] if found else None

    async def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return await self._readers.run_few(lambda db: db.execute(SQL[query], values).fetchall())


def _changes(db: sqlite3.Connection, query: str, values: Sequence[Any]) -> bool:
    return db.execute(SQL[query], values).rowcount > 0
