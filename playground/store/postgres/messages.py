"""Queues of messages in PostgreSQL: each call that writes is a transaction of its own.

Whoever takes from a queue, or counts before it sends, holds the queue's row, so that no limit is passed by two nodes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from playground.store.encoding import encode
from playground.store.messages import (
    DELIVERIES_AT_ONCE,
    Delivery,
    Message,
    NewMessage,
    Outcome,
    QueueCounts,
    QueueRow,
    QueueSettings,
    Taken,
    delivery_id,
    message_row,
    next_batch,
    read_settings,
    settings_json,
    taken,
)
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Transaction
from playground.store.postgres.tables import SQL as TABLES_SQL
from playground.store.postgres.tables import Tables

SQL = NamedSql(Path(__file__).with_name("messages.sql"))


class PostgresMessages:
    """Implements `messages.MessageStore`. `on_sent`: tells all nodes when messages that were sent fall due."""

    def __init__(self, tables: Tables, on_sent: Callable[[int], None]) -> None:
        self._tables, self._on_sent = tables, on_sent

    async def put_queue(self, tenant: str, name: str, settings: QueueSettings, *, most: int) -> bool:
        async def write(tx: Transaction) -> bool:
            await tx.rows(TABLES_SQL["lock_guard"], f"queues {tenant}")
            return bool(await tx.rows(SQL["put_queue"], tenant, name, settings_json(settings), most))

        return await self._tables.change(write)

    async def queue(self, tenant: str, name: str) -> QueueSettings | None:
        found = await self._read("queue", tenant, name)
        return read_settings(found[0][0]) if found else None

    async def queues(self, tenant: str) -> Sequence[QueueRow]:
        rows = await self._read("queues", tenant)
        return [QueueRow(tenant, name, read_settings(text), QueueCounts(*counts)) for name, text, *counts in rows]

    async def delete_queue(self, tenant: str, name: str) -> bool:
        async def write(tx: Transaction) -> bool:
            await tx.rows(SQL["lock_queue"], tenant, name)
            await tx.rows(SQL["delete_messages"], tenant, name)
            return bool(await tx.rows(SQL["delete_queue"], tenant, name))

        return await self._tables.change(write)

    async def send(self, tenant: str, queue: str, messages: Sequence[NewMessage], *, at: int, most: int) -> bool:
        rows = [(it.id, at, at + (it.delay_ms or 0), it.content_type, encode(it.body)) for it in messages]

        async def write(tx: Transaction) -> bool:
            await tx.rows(TABLES_SQL["lock_guard"], f"messages {tenant}")
            if await tx.value(SQL["count"], tenant) + len(rows) > most:
                tx.changed = False
                return False
            await tx.rows(SQL["send"], tenant, queue, *map(list, zip(*rows, strict=True)))
            return True

        was_sent = await self._tables.write(write)
        if was_sent and rows:
            self._on_sent(min(due_at for _, _, due_at, *_ in rows))
        return was_sent

    async def count(self, tenant: str) -> int:
        return int((await self._read("count", tenant))[0][0])

    async def take(self, *, at: int, most_per_tenant: int, of_programs: bool = False) -> Taken:
        return await self._tables.write(lambda tx: _take(tx, at, most_per_tenant, of_programs))

    async def next_due(self) -> int | None:
        due: int | None = (await self._read("next_due"))[0][0]
        return due

    async def open_deliveries(self, *, of_programs: bool = False, limit: int = 10_000) -> Sequence[Delivery]:
        return [Delivery(*row) for row in await self._read("open_deliveries", limit, of_programs)]

    async def delivered(self, delivery: Delivery) -> Sequence[Message]:
        return [message_row(row) for row in await self._read("delivered", *delivery)]

    async def settle(self, delivery: Delivery, outcomes: Mapping[str, Outcome], *, at: int) -> None:
        await self._tables.write(lambda tx: _settle(tx, delivery, outcomes, at))

    async def dead(self, tenant: str, queue: str, *, limit: int) -> Sequence[Message]:
        return [message_row(row) for row in await self._read("dead", tenant, queue, limit)]

    async def revive(self, tenant: str, queue: str, id: str, *, at: int) -> bool:
        revived = bool(await self._write("revive", tenant, queue, id, at))
        if revived:
            self._on_sent(at)
        return revived

    async def delete_dead(self, tenant: str, queue: str, id: str) -> bool:
        return bool(await self._write("delete_dead", tenant, queue, id))

    async def _read(self, query: str, *values: Any) -> Sequence[Any]:
        return await self._tables.rows_of(SQL[query], *values)

    async def _write(self, query: str, *values: Any) -> Sequence[Any]:
        return await self._tables.write(lambda tx: tx.rows(SQL[query], *values))


async def _take(tx: Transaction, at: int, most_per_tenant: int, of_programs: bool) -> Taken:
    begun: list[Delivery] = []
    ready_at: list[int] = []
    for tenant, queue, text in await tx.rows(SQL["ready_queues"], at, of_programs):
        settings = read_settings(text)
        free = min(
            settings.max_concurrency - await tx.value(SQL["open_of_queue"], tenant, queue),
            most_per_tenant - await tx.value(SQL["open_of_tenant"], tenant),
        )
        while free > 0 and len(begun) < DELIVERIES_AT_ONCE:
            found = await tx.rows(SQL["ready"], tenant, queue, at, settings.max_batch_size)
            count, full_at = next_batch(found, settings, at)
            if not count:
                ready_at += [] if full_at is None else [full_at]
                break
            id = delivery_id(tenant, queue, found[0][0], found[0][2] + 1)
            await tx.rows(SQL["take"], id, [number for number, *_ in found[:count]])
            begun.append(Delivery(tenant, queue, id))
            free -= 1
    tx.changed = bool(begun)
    return taken(begun, ready_at, await tx.value(SQL["next_due_after"], at), at)


async def _settle(tx: Transaction, delivery: Delivery, outcomes: Mapping[str, Outcome], at: int) -> None:
    settings = await tx.row(SQL["queue"], *delivery[:2])
    target = None if settings is None else read_settings(settings[0]).dead_letter_queue
    if target is not None and await tx.row(SQL["queue"], delivery.tenant, target) is None:
        target = None
    acked = [id for id, outcome in outcomes.items() if outcome.acked]
    again = {id: it.due_at for id, it in outcomes.items() if not it.acked and not it.dead}
    dead = [id for id, it in outcomes.items() if not it.acked and it.dead]
    if acked:
        await tx.rows(SQL["ack"], *delivery, acked)
    if again:
        await tx.rows(SQL["due_again"], *delivery, list(again), list(again.values()))
    if dead and target is None:
        await tx.rows(SQL["die"], *delivery, dead, at)
    elif dead:
        await tx.rows(SQL["move"], *delivery, dead, at, target)
