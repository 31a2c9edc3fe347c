"""Taking instances that are due and giving them back: woken ones first, then new ones, queues taking turns."""

from collections.abc import Mapping, Sequence

from playground.store.protocol import InstanceRow
from playground.store.sqlite_transaction import SqliteTransaction
from playground.workflows.errors import Fenced


def claim(
    transaction: SqliteTransaction, node: str, limit: int, at: int, full: Mapping[str, int], closed: Sequence[tuple[str, str]]
) -> list[InstanceRow]:
    """See `Store.claim`; `closed` are the full workflows."""
    room = dict(full)
    taken: list[InstanceRow] = []

    def take(key: int) -> None:
        row = transaction.row(key)
        taken.append(transaction.change_row(row, owner=node, execution=row.execution + 1))
        if row.queue in room:
            room[row.queue] -= 1

    while len(taken) < limit:
        shut = [queue for queue, left in room.items() if left <= 0]
        found = transaction.woken(limit - len(taken), at, shut, closed)
        for key, queue, _tenant, _workflow in found:
            if room.get(queue, 1) > 0:
                take(key)
        if all(room.get(queue, 1) > 0 for queue in {queue for _key, queue, *_ in found}):
            break  # none has become full, so asking again would find nothing else
    if len(taken) < limit:
        for key in transaction.fresh(limit - len(taken), room, closed):
            take(key)
    return taken


def unclaim(transaction: SqliteTransaction, key: int, execution: int) -> None:
    """See `Store.unclaim`.

    Raises:
        Fenced: the execution is no longer current, or has had its worker.
    """
    row = transaction.row(key)
    if row.execution != execution or row.in_execution:
        raise Fenced(f"instance {row.id} is at execution {row.execution}, so execution {execution} cannot be given back")
    if row.owner is not None:
        transaction.change_row(row, owner=None)
