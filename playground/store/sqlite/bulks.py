"""Operations on many instances in SQLite."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.store.bulks import Bulk, Target, advanced_values, bulk_row, bulk_values, parts_of, targets_of
from playground.store.named_sql import NamedSql
from playground.store.sqlite.connections import Readers
from playground.store.sqlite.tables import Tables

SQL = NamedSql(Path(__file__).with_name("bulks.sql"))


def take_back(db: sqlite3.Connection) -> None:
    """Make due what a process before this one was at: who has the file's lock is alone."""
    db.execute(SQL["take_back"])


class SqliteBulks:
    """Implements `bulks.BulkStore`."""

    def __init__(self, tables: Tables, readers: Readers) -> None:
        self._tables, self._readers = tables, readers

    async def create(self, bulk: Bulk, targets: Sequence[Target], *, most: int, kept: int) -> bool:
        def write(db: sqlite3.Connection) -> bool:
            if not db.execute(SQL["put"], [*bulk_values(bulk), most]).rowcount:
                return False
            for number, part in enumerate(parts_of(targets)):
                db.execute(SQL["put_part"], (bulk.tenant, bulk.id, number, part))
            for (old,) in db.execute(SQL["old"], (bulk.tenant, kept)).fetchall():
                db.execute(SQL["delete"], (bulk.tenant, old))
                db.execute(SQL["delete_parts"], (bulk.tenant, old))
            return True

        return await self._tables.change(write)

    async def get(self, tenant: str, id: str) -> Bulk | None:
        found = await self._rows("get", tenant, id)
        return bulk_row(found[0]) if found else None

    async def of_tenant(self, tenant: str) -> Sequence[Bulk]:
        return [bulk_row(row) for row in await self._rows("of_tenant", tenant)]

    async def take_due(self, *, at: int, until: int) -> Bulk | None:
        taken = await self._tables.write(lambda db: db.execute(SQL["take_due"], (at, until)).fetchall())
        return bulk_row(taken[0]) if taken else None

    async def part(self, bulk: Bulk) -> Sequence[Target]:
        found = await self._rows("part", bulk.tenant, bulk.id, bulk.part)
        return targets_of(found[0][0]) if found else ()

    async def advance(self, bulk: Bulk, done: Bulk) -> bool:
        values = advanced_values(bulk, done)
        return await self._tables.write(lambda db: db.execute(SQL["advance"], values).rowcount > 0)

    async def stop(self, tenant: str, id: str, *, at: int) -> bool:
        return await self._tables.change(lambda db: db.execute(SQL["stop"], (tenant, id, at)).rowcount > 0)

    async def next_due(self) -> int | None:
        found = await self._rows("next_due")
        return found[0][0] if found else None

    async def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return await self._readers.run_few(lambda db: db.execute(SQL[query], values).fetchall())
