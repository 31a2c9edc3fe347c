"""Queues of instances: how many there are of each status, how much of each runs, and whose turn it is.

A lane is a queue's instances of one (tenant, workflow). Turns are kept in memory beside the database's index of new
instances, and made from it when they are first asked for. Source of the rule: round robin, where a queue that becomes
busy joins at the end of the round.

Sums by status are kept in memory too, since they are asked for at every create(); what is written are differences. Both
are per process on purpose: the file's lock makes this process the only one that claims and that changes the table (see
nodes.py), and the order of turns is a matter of fairness, not of truth.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from playground.store.encoding import encode
from playground.store.named_sql import NamedSql
from playground.store.protocol import ClaimLimits
from playground.store.rows import InstanceRow
from playground.workflows.events import STATUSES

Group = tuple[str, str, str]  # (tenant, queue, status)


class StatusCounts:
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


class QueueRoom:
    """How many more of each queue may be claimed now: by what runs and has begun in this second, on all nodes, and by
    the queue's limit.

    `load` gives how much of both a queue has; it is asked once for each queue that is come to.
    """

    def __init__(self, limits: ClaimLimits, load: Callable[[str], tuple[int, int]]) -> None:
        self._limits, self._load = limits, load
        self._loads: dict[str, tuple[int, int]] = {}
        self.taken: Counter[str] = Counter()
        self.full: set[str] = set()  # had none left because of what runs
        self.paced: set[str] = set()  # had none left because of what has begun in this second

    def has(self, queue: str) -> bool:
        """Whether one more of it may be claimed."""
        limit = self._limits.of(queue)
        if limit is None and not self._limits.only_idle:
            return True
        load = self._loads.get(queue)
        if load is None:
            load = self._loads[queue] = self._load(queue)
        running, begun = (n + self.taken[queue] for n in load)
        if (limit is not None and running >= limit.running) or (self._limits.only_idle and running):
            self.full.add(queue)
            return False
        if limit is not None and limit.starts_per_second is not None and begun >= limit.starts_per_second:
            self.paced.add(queue)
            return False
        return True

    def take(self, queue: str) -> None:
        """One more of it is claimed."""
        self.taken[queue] += 1

    def begun(self) -> dict[str, int]:
        """How many were claimed of each queue whose starts are limited."""
        limits = ((queue, self._limits.of(queue), n) for queue, n in self.taken.items())
        return {queue: n for queue, limit, n in limits if limit is not None and limit.starts_per_second is not None}

    def without_any(self) -> list[str]:
        """The queues that were found to have none left."""
        return [*self.full, *self.paced]


Workflow = tuple[str, str]  # (tenant, workflow)
# (queue, workflow, limit) -> keys of the lane's oldest, oldest first.
Oldest = Callable[[str, Workflow, int], list[int]]


class RoundRobin:
    """The queues that may have new instances, in the order of their turns."""

    def __init__(self, lanes: Iterable[tuple[str, str, str]] = ()) -> None:
        self._queues: dict[str, dict[Workflow, None]] = {}
        for queue, tenant, workflow in lanes:
            self.add(queue, tenant, workflow)

    def add(self, queue: str, tenant: str, workflow: str) -> None:
        """There is a new instance in this lane."""
        lanes = self._queues.get(queue)
        if lanes is None:
            lanes = self._queues[queue] = {}
        lanes[tenant, workflow] = None

    def take(self, limit: int, room: QueueRoom, closed: Collection[Workflow], oldest: Oldest) -> list[int]:
        """Keys of up to `limit` instances, one queue after the other, oldest first within a queue.

        They are taken from `room`. Lanes of `closed` workflows are passed over. Lanes that turn out to be empty are
        forgotten.
        """
        taken: list[int] = []
        found: dict[tuple[str, Workflow], list[int]] = {}
        passed = 0
        while len(taken) < limit and passed < len(self._queues):
            queue = next(iter(self._queues))
            lanes = self._queues.pop(queue)
            key = None
            if room.has(queue):
                key = self._oldest(queue, lanes, limit - len(taken), closed, oldest, found)
            if lanes:
                self._queues[queue] = lanes
            if key is None:
                passed += 1 if lanes else 0
                continue
            passed = 0
            taken.append(key)
            room.take(queue)
        return taken

    def _oldest(
        self, queue: str, lanes: dict[Workflow, None], limit: int, closed: Collection[Workflow], oldest: Oldest,
        found: dict[tuple[str, Workflow], list[int]],
    ) -> int | None:  # fmt: skip
        first: list[int] | None = None
        for lane in list(lanes):
            if lane in closed:
                continue
            keys = found.get((queue, lane))
            if keys is None:
                keys = found[queue, lane] = oldest(queue, lane, limit)[::-1]
                if not keys:
                    del lanes[lane]
            if keys and (first is None or keys[-1] < first[-1]):
                first = keys
        return first.pop() if first else None


class Queues:
    """The queues of the commit under way: what changes of them is counted here and written by `write`.

    Args:
        db: the writer's connection, in autocommit mode.
        sql: the statements of queries.sql.
        execute: runs a named statement in the open transaction.
    """

    def __init__(self, db: sqlite3.Connection, sql: NamedSql, execute: Callable[[str, Sequence[Any]], None]) -> None:
        self._ask, self._sql, self._execute = db.cursor().execute, sql, execute
        self.counts = StatusCounts(db.execute(sql["tally"]))
        self._owned: Counter[str] = Counter()  # not written yet
        self._turns: RoundRobin | None = None  # made when first asked for, and again after a rollback
        # Queues whose instances the last claims passed over because they were full; a hint only.
        self.full: set[str] = set()
        self.has_room = False  # one that was full has room again since this was last taken back

    def woken(
        self, limit: int, at: int, full: Sequence[str], closed: Sequence[tuple[str, str]]
    ) -> list[tuple[int, str, str, str]]:
        """Up to `limit` due instances that ran before, as (key, queue, tenant, workflow), oldest due first."""
        return self._ask(self._sql["woken"], (at, encode(full), encode(closed), limit)).fetchall()

    def fresh(self, limit: int, room: QueueRoom, closed: Sequence[tuple[str, str]]) -> list[int]:
        """Keys of up to `limit` new instances, queues taking turns."""
        query = self._sql["fresh_of_lane"]

        def oldest(queue: str, lane: tuple[str, str], limit: int) -> list[int]:
            return [key for (key,) in self._ask(query, (queue, *lane, limit))]

        if self._turns is None:
            self._turns = RoundRobin(self._lanes())
        return self._turns.take(limit, room, frozenset(closed), oldest)

    def load(self, queue: str, second: int) -> tuple[int, int]:
        """How much of a queue runs, and was claimed in this second (epoch).

        What is claimed meanwhile may not be in it yet.
        """
        found = self._ask(self._sql["load_of_queue"], (queue, second)).fetchone()
        return (0, 0) if found is None else (found[0], found[1])

    def count_begun(self, second: int, begun: Mapping[str, int]) -> None:
        """So many of each queue were claimed in this second."""
        for queue, n in begun.items():
            self._execute("add_begun", (queue, second, n))
        self._execute("drop_idle_queues", (second,))

    def follow(self, row: InstanceRow, before: InstanceRow) -> None:
        """Keep counts and turns right for a row that was `before`."""
        self.counts.move(row.tenant, row.queue, before.status, row.status)
        self.take_turn(row)
        self._count_owned(row.queue, (row.owner is not None) - (before.owner is not None))

    def leave(self, row: InstanceRow) -> None:
        """An instance is deleted."""
        self.counts.move(row.tenant, row.queue, row.status, None)
        self._count_owned(row.queue, -(row.owner is not None))

    def take_turn(self, row: InstanceRow) -> None:
        """Let a new instance that is due wait for its turn."""
        if self._turns is not None and row.fresh and row.owner is None and row.due_at is not None:
            self._turns.add(row.queue, row.tenant, row.workflow)

    def write(self) -> None:
        """Write what has changed, in the open transaction."""
        for group, change in self.counts.take_unwritten():
            self._execute("add_tally", (*group, change))
            if change < 0:
                self._execute("drop_tally", group)
        for queue, change in self._owned.items():
            if change:
                self._execute("add_running", (queue, change))
                if change < 0:
                    self._execute("drop_idle_queue", (queue,))
        self._owned.clear()

    def forget(self) -> None:
        """What was counted since the last commit is rolled back."""
        self._owned.clear()
        self.counts.forget()
        self._turns = None
        self.has_room = False

    def _count_owned(self, queue: str, change: int) -> None:
        """Count the instances of a queue that have an owner; where its being full kept others from being claimed, they
        may be now.
        """
        if change:
            self._owned[queue] += change
            if change < 0 and queue in self.full:
                self.full.discard(queue)
                self.has_room = True

    def _lanes(self) -> list[tuple[str, str, str]]:
        lanes, lane = [], self._ask(self._sql["first_lane"]).fetchone()
        while lane is not None:
            lanes.append(lane)
            lane = self._ask(self._sql["next_lane"], lane).fetchone()
        return lanes
