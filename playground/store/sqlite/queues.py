"""Queues of instances: counts by status, capacity for claims, and the round robin over queues.

The round robin (turns.py) is in memory, and built from the database's index of new instances at its first use.

Counts by status are in memory too, since every create() reads them; differences are written. Both are per process on
purpose: the file's lock makes this process the only one that claims and writes (nodes.py), and the order of turns is a
matter of fairness, not of truth.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from playground.store.encoding import encode
from playground.store.named_sql import NamedSql
from playground.store.rows import InstanceRow
from playground.store.turns import Place, QueueCapacity, RoundRobin, merged_places
from playground.workflows.events import STATUSES

CountGroup = tuple[str, str, str]  # (tenant, queue, status)


class StatusCounts:
    """Committed counts of instances by status, and the changes of the open transaction.

    One thread writes; readers need no lock.
    """

    def __init__(self, counts: Iterable[tuple[str, str, str, int]]) -> None:
        self._groups: dict[CountGroup, int] = {}
        self._all: dict[str, int] = {}
        self._tenants: dict[str, dict[str, int]] = {}
        self._queues: dict[str, dict[str, int]] = {}
        self._uncommitted: dict[CountGroup, int] = defaultdict(int)
        self._uncommitted_of_tenants: Counter[tuple[str, str]] = Counter()
        self._unwritten: dict[CountGroup, int] = defaultdict(int)
        for tenant, queue, status, n in counts:
            self._add_to_sums((tenant, queue, status), n)

    def move(self, tenant: str, queue: str, before: str | None, after: str | None, n: int = 1) -> None:
        """Count a change of status of `n` instances; None: they do not exist."""
        if before == after:
            return
        for status, change in ((before, -n), (after, n)):
            if status is not None:
                group = (tenant, queue, status)
                self._uncommitted[group] += change
                self._uncommitted_of_tenants[tenant, status] += change
                self._unwritten[group] += change

    def take_unwritten(self) -> list[tuple[CountGroup, int]]:
        """The groups that have changed since the last call, each with its difference."""
        unwritten = [(group, change) for group, change in self._unwritten.items() if change]
        self._unwritten.clear()
        return unwritten

    def commit(self) -> None:
        """The transaction was committed."""
        for group, change in self._uncommitted.items():
            if change:
                self._add_to_sums(group, change)
        self._uncommitted.clear()
        self._uncommitted_of_tenants.clear()

    def rollback(self) -> None:
        """The transaction was rolled back."""
        self._uncommitted.clear()
        self._uncommitted_of_tenants.clear()
        self._unwritten.clear()

    def read(self, tenant: str | None, queue: str | None) -> dict[str, int]:
        """Counts by status, without zeros."""
        if tenant is not None and queue is not None:
            counts = ((status, self._groups.get((tenant, queue, status), 0)) for status in STATUSES)
            return {status: n for status, n in counts if n}
        if tenant is not None:
            return dict(self._tenants.get(tenant, ()))
        return dict(self._all if queue is None else self._queues.get(queue, ()))

    def count_of_tenant(self, tenant: str, status: str) -> int:
        """The number of a tenant's instances in a status, with the changes of the open transaction."""
        return self._tenants.get(tenant, {}).get(status, 0) + self._uncommitted_of_tenants[tenant, status]

    def _add_to_sums(self, group: CountGroup, change: int) -> None:
        tenant, queue, status = group
        _add_count(self._groups, group, change)
        _add_count(self._all, status, change)
        for sums, name in ((self._tenants, tenant), (self._queues, queue)):
            counts = sums.setdefault(name, {})
            _add_count(counts, status, change)
            if not counts:
                del sums[name]


def _add_count(counts: dict[Any, int], name: Any, change: int) -> None:
    n = counts.get(name, 0) + change
    assert n >= 0, "a count is never negative"
    if n:
        counts[name] = n
    else:
        counts.pop(name, None)


class Queues:
    """Counts, load and turns of all queues; `write` writes what the open transaction has changed of them.

    Args:
        db: the writer's connection, in autocommit mode.
        sql: the statements of queries.sql.
        execute_named: runs a named statement in the open transaction.
    """

    def __init__(
        self, db: sqlite3.Connection, sql: NamedSql, execute_named: Callable[[str, Sequence[Any]], None]
    ) -> None:
        self._run_sql, self._sql, self._execute_named = db.cursor().execute, sql, execute_named
        self.counts = StatusCounts(db.execute(sql["tally"]))
        self._running: Counter[str] = Counter()  # changes of `queue_load.running`, not written yet
        self._has_priorities = db.execute(sql["any_prior"]).fetchone() is not None  # or has had since it was opened
        self._turns: RoundRobin | None = None  # built at its first use, and again after a rollback
        # Queues that recent claims skipped because they were at their limit of running instances; a hint.
        self.full: set[str] = set()
        self.has_freed_capacity = False  # whether one of them has capacity again; `commit` of the transaction resets it

    def woken_instances(
        self, limit: int, at: int, full: Sequence[str], closed: Sequence[tuple[str, str]]
    ) -> list[tuple[int, str, str, str]]:
        """Up to `limit` due instances that ran before, as (key, queue, tenant, workflow), oldest due first."""
        return self._run_sql(self._sql["woken"], (at, encode(full), encode(closed), limit)).fetchall()

    def fresh_instances(self, limit: int, capacity: QueueCapacity, closed: Sequence[tuple[str, str]]) -> list[int]:
        """Keys of up to `limit` new instances, round robin over queues."""
        query, prior_query = self._sql["fresh_of_lane"], self._sql["prior_of_lane"]

        def upcoming(queue: str, lane: tuple[str, str], limit: int) -> list[Place]:
            prior = self._run_sql(prior_query, (queue, *lane, limit)).fetchall() if self._has_priorities else ()
            oldest = (key for (key,) in self._run_sql(query, (queue, *lane, limit)))
            return merged_places(prior, oldest, limit)

        if self._turns is None:
            self._turns = RoundRobin(self._lanes())
        return self._turns.claim_instances(limit, capacity, frozenset(closed), upcoming)

    def load(self, queue: str, second: int) -> tuple[int, int]:
        """How many instances of a queue run, and were claimed in this second (epoch), without unwritten claims."""
        found = self._run_sql(self._sql["load_of_queue"], (queue, second)).fetchone()
        assert found is None or (found[0] >= 0 and found[1] >= 0), "the load of a queue is never negative"
        return (0, 0) if found is None else (found[0], found[1])

    def count_starts(self, second: int, starts: Mapping[str, int]) -> None:
        """Add claims by queue to the counts of this second."""
        for queue, n in starts.items():
            self._execute_named("add_begun", (queue, second, n))
        self._execute_named("drop_idle_queues", (second,))

    def row_changed(self, row: InstanceRow, before: InstanceRow) -> None:
        """Update counts and turns for a row that was `before`."""
        self.counts.move(row.tenant, row.queue, before.status, row.status)
        self.add_turn(row)
        self._count_running(row.queue, (row.owner is not None) - (before.owner is not None))

    def row_deleted(self, row: InstanceRow) -> None:
        """Update counts for a deleted instance."""
        self.counts.move(row.tenant, row.queue, row.status, None)
        self._count_running(row.queue, -(row.owner is not None))

    def add_turn(self, row: InstanceRow) -> None:
        """Add a new instance that is due to the round robin."""
        self._has_priorities |= row.priority > 0
        if self._turns is not None and row.fresh and row.owner is None and row.due_at is not None:
            self._turns.add(row.queue, row.tenant, row.workflow)

    def write(self) -> None:
        """Write the changes, in the open transaction."""
        for group, change in self.counts.take_unwritten():
            self._execute_named("add_tally", (*group, change))
            if change < 0:
                self._execute_named("drop_tally", group)
        for queue, change in self._running.items():
            if change:
                self._execute_named("add_running", (queue, change))
                if change < 0:
                    self._execute_named("drop_idle_queue", (queue,))
        self._running.clear()

    def rollback(self) -> None:
        """Drop the changes since the last commit."""
        self._running.clear()
        self.counts.rollback()
        self._turns = None
        self.has_freed_capacity = False

    def _count_running(self, queue: str, change: int) -> None:
        """Count owned instances of a queue; one that was at its limit may have capacity again."""
        if change:
            self._running[queue] += change
            if change < 0 and queue in self.full:
                self.full.discard(queue)
                self.has_freed_capacity = True

    def _lanes(self) -> list[tuple[str, str, str]]:
        lanes, lane = [], self._run_sql(self._sql["first_lane"]).fetchone()
        while lane is not None:
            lanes.append(lane)
            lane = self._run_sql(self._sql["next_lane"], lane).fetchone()
        return lanes
