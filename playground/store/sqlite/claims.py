"""Taking instances that are due and giving them back: woken ones first, then new ones, queues taking turns.

What runs and has begun is counted in rows, for all nodes, and held against the limits in the transaction that claims.
"""

from collections.abc import Sequence

from playground.store.protocol import Claimed, ClaimLimits
from playground.store.rows import InstanceRow
from playground.store.sqlite.queues import QueueRoom
from playground.store.sqlite.transaction import SqliteTransaction
from playground.workflows.errors import Fenced

SECOND_MS = 1_000


def claim(
    transaction: SqliteTransaction,
    owner: str,
    limit: int,
    at: int,
    limits: ClaimLimits,
    closed: Sequence[tuple[str, str]],
) -> Claimed:
    """See `Store.claim`."""
    second, queues = at // SECOND_MS, transaction.queues
    room = QueueRoom(limits, lambda queue: queues.load(queue, second))
    taken: list[InstanceRow] = []

    def take(key: int) -> None:
        row = transaction.row(key)
        taken.append(transaction.change_row(row, owner=owner, execution=row.execution + 1))

    while len(taken) < limit:
        transaction.flush()
        found = queues.woken(limit - len(taken), at, room.without_any(), closed)
        for key, queue, _tenant, _workflow in found:
            if room.has(queue):
                room.take(queue)
                take(key)
        if all(room.has(queue) for queue in {queue for _key, queue, *_ in found}):
            break  # none has become full, so asking again would find nothing else
    if len(taken) < limit:
        transaction.flush()
        for key in queues.fresh(limit - len(taken), room, closed):
            take(key)
    queues.full |= room.full
    if begun := room.begun():
        queues.count_begun(second, begun)
    return Claimed(taken, (second + 1) * SECOND_MS if room.paced else None)


def unclaim(transaction: SqliteTransaction, key: int, execution: int) -> None:
    """See `Store.unclaim`.

    Raises:
        Fenced: the execution is no longer current, or has had its worker.
    """
    row = transaction.row(key)
    if row.execution != execution or row.in_execution:
        raise Fenced(
            f"instance {row.id} is at execution {row.execution}, so execution {execution} cannot be given back"
        )
    if row.owner is not None:
        transaction.change_row(row, owner=None)
