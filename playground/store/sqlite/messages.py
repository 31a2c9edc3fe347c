"""Queues of messages in SQLite: read on the readers' connections, written in the writer's commits."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from playground.store.sqlite.tables import Tables

SQL = NamedSql(Path(__file__).with_name("messages.sql"))


class SqliteMessages:
    """Implements `messages.MessageStore`. `on_sent`: tells pumps when messages that were sent fall due."""

    def __init__(self, tables: Tables, on_sent: Callable[[int], None]) -> None:
        self._tables, self._on_sent = tables, on_sent

    async def put_queue(self, tenant: str, name: str, settings: QueueSettings, *, most: int) -> bool:
        row = (tenant, name, settings_json(settings), most)
        return await self._tables.change(lambda db: db.execute(SQL["put_queue"], row).rowcount > 0)

    async def queue(self, tenant: str, name: str) -> QueueSettings | None:
        found = await self._tables.few_rows(SQL["queue"], (tenant, name), named=False)
        return read_settings(found[0][0]) if found else None

    async def queues(self, tenant: str) -> Sequence[QueueRow]:
        rows = await self._read("queues", (tenant,))
        return [QueueRow(tenant, name, read_settings(text), QueueCounts(*counts)) for name, text, *counts in rows]

    async def delete_queue(self, tenant: str, name: str) -> bool:
        return await self._tables.change(partial(_delete_queue, tenant, name))

    async def send(self, tenant: str, queue: str, messages: Sequence[NewMessage], *, at: int, most: int) -> bool:
        was_sent = await self._tables.write_with_rows(partial(_send, tenant, queue, messages, at, most))
        if was_sent and messages:
            self._on_sent(at + min(it.delay_ms or 0 for it in messages))
        return was_sent

    async def count(self, tenant: str) -> int:
        return int((await self._read("count", (tenant,)))[0][0])

    async def take(self, *, at: int, most_per_tenant: int, of_programs: bool = False) -> Taken:
        return await self._tables.write_with_rows(partial(_take, at, most_per_tenant, of_programs))

    async def next_due(self) -> int | None:
        due: int | None = (await self._read("next_due", ()))[0][0]
        return due

    async def open_deliveries(self, *, of_programs: bool = False, limit: int = 10_000) -> Sequence[Delivery]:
        return [Delivery(*row) for row in await self._read("open_deliveries", (of_programs, limit))]

    async def delivered(self, delivery: Delivery) -> Sequence[Message]:
        return [message_row(row) for row in await self._read("delivered", delivery)]

    async def settle(self, delivery: Delivery, outcomes: Mapping[str, Outcome], *, at: int) -> None:
        await self._tables.write(partial(_settle, delivery, outcomes, at))

    async def dead(self, tenant: str, queue: str, *, limit: int) -> Sequence[Message]:
        return [message_row(row) for row in await self._read("dead", (tenant, queue, limit))]

    async def revive(self, tenant: str, queue: str, id: str, *, at: int) -> bool:
        values = (at, tenant, queue, id)
        revived = await self._tables.write(lambda db: db.execute(SQL["revive"], values).rowcount > 0)
        if revived:
            self._on_sent(at)
        return revived

    async def delete_dead(self, tenant: str, queue: str, id: str) -> bool:
        return await self._tables.write(lambda db: db.execute(SQL["delete_dead"], (tenant, queue, id)).rowcount > 0)

    async def _read(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return await self._tables.few_rows(SQL[query], values, named=False)


# The functions below read and then write. That is safe in SQLite only: they run in a write transaction, of which the
# file has one at a time.


def _delete_queue(tenant: str, name: str, db: sqlite3.Connection) -> bool:
    db.execute(SQL["delete_messages"], (tenant, name))
    return db.execute(SQL["delete_queue"], (tenant, name)).rowcount > 0


def _send(tenant: str, queue: str, messages: Sequence[NewMessage], at: int, most: int, db: sqlite3.Connection) -> bool:
    if db.execute(SQL["count"], (tenant,)).fetchone()[0] + len(messages) > most:
        return False
    rows = [(tenant, queue, it.id, at, at + (it.delay_ms or 0), it.content_type, encode(it.body)) for it in messages]
    db.executemany(SQL["send"], rows)
    return True


def _take(at: int, most_per_tenant: int, of_programs: bool, db: sqlite3.Connection) -> Taken:
    begun: list[Delivery] = []
    ready_at: list[int] = []
    for tenant, queue, text in db.execute(SQL["ready_queues"], (at, of_programs)).fetchall():
        settings = read_settings(text)
        free = min(
            settings.max_concurrency - db.execute(SQL["open_of_queue"], (tenant, queue)).fetchone()[0],
            most_per_tenant - db.execute(SQL["open_of_tenant"], (tenant,)).fetchone()[0],
        )
        while free > 0 and len(begun) < DELIVERIES_AT_ONCE:
            found = db.execute(SQL["ready"], (tenant, queue, at, settings.max_batch_size)).fetchall()
            count, full_at = next_batch(found, settings, at)
            if not count:
                ready_at += [] if full_at is None else [full_at]
                break
            id = delivery_id(tenant, queue, found[0][0], found[0][2] + 1)
            db.executemany(SQL["take"], [(id, number) for number, *_ in found[:count]])
            begun.append(Delivery(tenant, queue, id))
            free -= 1
    return taken(begun, ready_at, db.execute(SQL["next_due_after"], (at,)).fetchone()[0], at)


def _settle(delivery: Delivery, outcomes: Mapping[str, Outcome], at: int, db: sqlite3.Connection) -> None:
    found = db.execute(SQL["queue"], delivery[:2]).fetchone()
    target = None if found is None else read_settings(found[0]).dead_letter_queue
    if target is not None and db.execute(SQL["queue"], (delivery.tenant, target)).fetchone() is None:
        target = None
    for id, outcome in outcomes.items():
        place = (*delivery, id)
        if outcome.acked:
            db.execute(SQL["ack"], place)
        elif not outcome.dead:
            db.execute(SQL["due_again"], (outcome.due_at, *place))
        elif target is not None:
            db.execute(SQL["move"], (target, at, *place))
        else:
            db.execute(SQL["die"], (at, *place))
