"""How many instances there are, by tenant, queue and status.

The sums are kept in memory, per process on purpose: the file's lock makes this the only process that changes the table
(see file_lock.py), and they are asked for at every create(). What is written are differences.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from playground.workflows.events import STATUSES

Group = tuple[str, str, str]  # (tenant, queue, status)


class Tally:
    """Counts as committed, and what the transaction under way will change.

    Written by one thread; reading needs no lock.
    """

    def __init__(self, counts: Iterable[tuple[str, str, str, int]]) -> None:
        self._groups: dict[Group, int] = {}
        self._all: dict[str, int] = {}
        self._tenants: dict[str, dict[str, int]] = {}
        self._queues: dict[str, dict[str, int]] = {}
        self._pending: dict[Group, int] = defaultdict(int)
        self._pending_of_tenants: Counter[tuple[str, str]] = Counter()
        self._unwritten: dict[Group, int] = defaultdict(int)
        for tenant, queue, status, n in counts:
            self._count((tenant, queue, status), n)

    def move(self, tenant: str, queue: str, before: str | None, after: str | None) -> None:
        """An instance goes from one status to another; None is not being there."""
        if before == after:
            return
        for status, change in ((before, -1), (after, 1)):
            if status is not None:
                group = (tenant, queue, status)
                self._pending[group] += change
                self._pending_of_tenants[tenant, status] += change
                self._unwritten[group] += change

    def take_unwritten(self) -> list[tuple[Group, int]]:
        """The groups that have changed since this was last asked, each with by how much."""
        unwritten = [(group, change) for group, change in self._unwritten.items() if change]
        self._unwritten.clear()
        return unwritten

    def settle(self) -> None:
        """The transaction is committed."""
        for group, change in self._pending.items():
            if change:
                self._count(group, change)
        self._pending.clear()
        self._pending_of_tenants.clear()

    def forget(self) -> None:
        """The transaction is rolled back."""
        self._pending.clear()
        self._pending_of_tenants.clear()
        self._unwritten.clear()

    def read(self, tenant: str | None, queue: str | None) -> dict[str, int]:
        """Counts by status, without zeros."""
        if tenant is not None and queue is not None:
            counts = ((status, self._groups.get((tenant, queue, status), 0)) for status in STATUSES)
            return {status: n for status, n in counts if n}
        if tenant is not None:
            return dict(self._tenants.get(tenant, ()))
        return dict(self._all if queue is None else self._queues.get(queue, ()))

    def of_tenant(self, tenant: str, status: str) -> int:
        """How many of a tenant have a status, with what the transaction under way has changed."""
        return self._tenants.get(tenant, {}).get(status, 0) + self._pending_of_tenants[tenant, status]

    def _count(self, group: Group, change: int) -> None:
        tenant, queue, status = group
        _add(self._groups, group, change)
        _add(self._all, status, change)
        for sums, name in ((self._tenants, tenant), (self._queues, queue)):
            counts = sums.setdefault(name, {})
            _add(counts, status, change)
            if not counts:
                del sums[name]


def _add(counts: dict[Any, int], name: Any, change: int) -> None:
    n = counts.get(name, 0) + change
    if n:
        counts[name] = n
    else:
        counts.pop(name, None)
