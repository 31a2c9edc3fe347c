"""The parts of large bytes in PostgreSQL: each is stored in a transaction of its own that holds its instance's row."""

from pathlib import Path

from playground.store.columns import step_path
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Transaction
from playground.store.postgres.tables import Tables
from playground.workflows.errors import Fenced
from playground.workflows.events import StepKey

SQL = NamedSql(Path(__file__).with_name("step_bytes.sql"))


class PostgresStepBytes:
    """Implements `step_bytes.StepBytesStore`. `clear_statement` is `clear_parts` of queries.sql."""

    def __init__(self, tables: Tables, clear_statement: str) -> None:
        self._tables, self._clear_statement = tables, clear_statement

    async def put(self, instance: int, step: StepKey, number: int, data: bytes, *, execution: int) -> None:
        place = (instance, step_path(step), step.count)

        async def write(tx: Transaction) -> None:
            await _check_played(tx, instance, execution)
            if number == 0:
                await tx.rows(SQL["drop"], *place)
            await tx.rows(SQL["put"], *place, number, data)

        await self._tables.write(write)

    async def clear(self, instance: int, *, execution: int) -> None:
        async def write(tx: Transaction) -> None:
            await _check_played(tx, instance, execution)
            await tx.rows(self._clear_statement, instance)

        await self._tables.write(write)

    async def part(self, instance: int, step: StepKey, number: int) -> bytes | None:
        rows = await self._tables.rows_of(SQL["part"], instance, step_path(step), step.count, number)
        return bytes(rows[0][0]) if rows else None


async def _check_played(tx: Transaction, instance: int, execution: int) -> None:
    if await tx.row(SQL["is_played"], instance, execution) is None:
        raise Fenced(f"execution {execution} of instance number {instance} is over")
