"""The parts of large bytes in SQLite: read on the readers' connections, written in the writer's commits."""

import sqlite3
from functools import partial
from pathlib import Path

from playground.store.columns import step_path
from playground.store.named_sql import NamedSql
from playground.store.sqlite.tables import Tables
from playground.workflows.errors import Fenced
from playground.workflows.events import StepKey

SQL = NamedSql(Path(__file__).with_name("step_bytes.sql"))


class SqliteStepBytes:
    """Implements `step_bytes.StepBytesStore`. `clear_statement` is `clear_parts` of queries.sql."""

    def __init__(self, tables: Tables, clear_statement: str) -> None:
        self._tables, self._clear_statement = tables, clear_statement

    async def put(self, instance: int, step: StepKey, number: int, data: bytes, *, execution: int) -> None:
        place = (instance, step_path(step), step.count)
        await self._tables.write_with_rows(partial(_put, place, number, data, execution))

    async def clear(self, instance: int, *, execution: int) -> None:
        def clear(db: sqlite3.Connection) -> None:
            _check_played(db, instance, execution)
            db.execute(self._clear_statement, (instance,))

        await self._tables.write_with_rows(clear)

    async def part(self, instance: int, step: StepKey, number: int) -> bytes | None:
        rows = await self._tables.read(
            lambda db: db.execute(SQL["part"], (instance, step_path(step), step.count, number)).fetchall()
        )
        return rows[0][0] if rows else None


def _put(place: tuple[int, str, int], number: int, data: bytes, execution: int, db: sqlite3.Connection) -> None:
    _check_played(db, place[0], execution)
    if number == 0:
        db.execute(SQL["drop"], place)
    db.execute(SQL["put"], (*place, number, data))


def _check_played(db: sqlite3.Connection, instance: int, execution: int) -> None:
    if db.execute(SQL["is_played"], (instance, execution)).fetchone() is None:
        raise Fenced(f"execution {execution} of instance number {instance} is over")
