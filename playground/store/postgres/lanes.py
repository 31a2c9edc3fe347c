"""Lanes of new instances: making sure that a claim finds what a transaction makes claimable.

A lane is a queue's instances of one (tenant, workflow). Its head is a key below which no new instance waits. A
transaction that makes an instance claimable shares the rows of its queue and lane until it ends, and only then takes
the instance's key. Who moves a head, or deletes a lane or a queue, must have the row for himself (claims.py), so there
is no key in use then that he cannot see.
"""

from collections.abc import Iterable

from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Transaction
from playground.store.rows import InstanceRow

Lane = tuple[str, str, str]  # queue, tenant, workflow


def lane_of(row: InstanceRow) -> Lane:
    """The lane of an instance."""
    return row.queue, row.tenant, row.workflow


def is_new(row: InstanceRow) -> bool:
    """Whether an instance waits in its lane."""
    return row.fresh and row.owner is None and row.due_at is not None


async def share_lanes(tx: Transaction, sql: NamedSql, lanes: Iterable[Lane]) -> None:
    """Make sure that the lanes and their queues exist, and keep them until the transaction ends."""
    wanted = sorted(set(lanes))
    queues = sorted({queue for queue, _, _ in wanted})
    columns = [list(column) for column in zip(*wanted, strict=True)]
    while tuple(await tx.row(sql["share_lanes"], queues, *columns)) != (len(queues), len(wanted)):
        # A row that exists for others only, since their transaction is under way, is waited for.
        await tx.rows(sql["insert_queues"], queues)
        await tx.rows(sql["insert_lanes"], *columns)


async def put_back(tx: Transaction, sql: NamedSql, row: InstanceRow) -> None:
    """Let an instance that is new again be found in its lane, whose head may have passed it."""
    await share_lanes(tx, sql, [lane_of(row)])
    await tx.rows(sql["lower_head"], *lane_of(row), row.key)
