"""Claiming due instances and returning them: woken ones first, then new ones, round robin over queues.

Running and claimed instances are counted in rows, for all nodes, and checked against the limits in the transaction
that claims.
"""

from collections.abc import Sequence

from playground.store.protocol import Claimed, ClaimLimits
from playground.store.rows import InstanceRow
from playground.store.sqlite.transaction import SqliteTransaction
from playground.store.turns import QueueCapacity
from playground.workflows.errors import Fenced
from playground.workflows.events import WORKFLOW_ADMITTED, NewEvent

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
    if transaction.flow.is_due(at):
        _admit(transaction, at)
    capacity = QueueCapacity(limits, limit, lambda queue: queues.load(queue, second))
    claimed: list[InstanceRow] = []

    def claim_instance(key: int) -> None:
        row = transaction.row(key)
        assert row.owner is None and row.due_at is not None, "only a due instance without an owner is claimed"
        claimed.append(transaction.change_row(row, owner=owner, execution=row.execution + 1))

    while len(claimed) < limit:
        transaction.flush()
        due = queues.woken_instances(limit - len(claimed), at, capacity.exhausted_queues(), closed)
        for key, queue, _tenant, _workflow in due:
            if capacity.has_capacity(queue):
                capacity.count_claim(queue)
                claim_instance(key)
        if all(capacity.has_capacity(queue) for queue in {queue for _key, queue, *_ in due}):
            break  # no queue has become full, so another query would find nothing else
    if len(claimed) < limit:
        transaction.flush()
        for key in queues.fresh_instances(limit - len(claimed), capacity, closed):
            claim_instance(key)
    assert len(claimed) <= limit, "a claim keeps to its limit"
    queues.full |= capacity.full
    if starts := capacity.starts():
        queues.count_starts(second, starts)
    again = (second + 1) * SECOND_MS if capacity.rate_limited else None
    return Claimed(claimed, at + 1 if transaction.flow.is_due(at) else again)


def _admit(transaction: SqliteTransaction, at: int) -> None:
    """Admit the held instances whose turn has come."""
    transaction.flush()
    for key in transaction.flow.admissible(at, transaction.row):
        transaction.append(key, [NewEvent(WORKFLOW_ADMITTED)], None, at)
    transaction.flush()


def unclaim(transaction: SqliteTransaction, key: int, execution: int) -> None:
    """See `Store.unclaim`.

    Raises:
        Fenced: the execution is no longer current, or has had a worker.
    """
    row = transaction.row(key)
    if row.execution != execution or row.in_execution:
        raise Fenced(
            f"instance {row.id} is at execution {row.execution}, so execution {execution} cannot be given back"
        )
    if row.owner is not None:
        transaction.change_row(row, owner=None)
