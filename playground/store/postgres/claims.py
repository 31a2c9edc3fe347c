"""Claiming due instances: woken ones first, then new ones, round robin over queues.

Nobody waits for anybody: rows that another node holds are passed over, and `again_at` is then soon. Limits are checked
in the claim's transaction: who counts what runs in a queue holds the queue's row, so two nodes cannot both take the
last place. What runs is counted from the instances themselves.

The cost does not grow with the number queued: of each lane (lanes.py) the oldest are read from its head on, and heads
follow what is claimed. A claim reads as many queues as it may take instances, and more only where queues are full.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter

from playground.store import columns
from playground.store.errors import NodeLost
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Connections, Transaction
from playground.store.postgres.lanes import Lane
from playground.store.postgres.writer import Writer
from playground.store.protocol import Claimed, ClaimLimits
from playground.store.rows import InstanceRow, StepRow
from playground.store.turns import QueueCapacity, RoundRobin, Workflow

SECOND_MS = 1_000
SOON_MS = 20  # when what others hold is free again
QUEUES_AT_ONCE = 32  # read at least
PAGES_MAX = 50  # of queues in one claim
HEAD_LAG = 500  # keys by which a lane's head may be behind, since moving it keeps others from creating
LEASE_IS_OVER = "the lease of node {name} (boot {boot}) is over"


class _Claim:
    """One claim under way."""

    def __init__(self, limits: ClaimLimits, second: int, closed: Sequence[Workflow]) -> None:
        self.limits, self.second, self.closed = limits, second, closed
        self.loads: dict[str, tuple[int, int]] = {}
        self.held: set[str] = set()  # queues whose row another node holds
        self.capacity = QueueCapacity(limits, self.loads.__getitem__)
        self.keys: list[int] = []
        self.passed_over = False  # whether somebody else held what might have been claimed

    def is_limited(self, queue: str) -> bool:
        """Whether the running instances of a queue must be counted."""
        return self.limits.only_idle or self.limits.for_queue(queue) is not None

    def excluded(self) -> list[str]:
        """The queues that nothing is taken from any more."""
        return [*self.capacity.exhausted_queues(), *self.held]

    def most(self, queue: str) -> int:
        """The most that are worth counting."""
        limit = self.limits.for_queue(queue)
        return 1 if limit is None or self.limits.only_idle else max(limit.running, 1)


class Claims:
    """Makes the claims of a node, one at a time.

    Args:
        full: queues at their limit of running instances, which claims add.
        uses_caller_clock: whether `at` counts, and not the database's clock.
    """

    def __init__(
        self, connections: Connections, sql: NamedSql, writer: Writer, full: Callable[[], set[str]],
        *, uses_caller_clock: bool, lease_now: Callable[[], int | None],
    ) -> None:  # fmt: skip
        self._connections, self._sql, self._writer, self._full = connections, sql, writer, full
        columns_sql = sql["columns_of_instance"]
        self._own = {name: text.replace("{columns_of_instance}", columns_sql) for name, text in _statements().items()}
        self._uses_caller_clock, self._lease_now = uses_caller_clock, lease_now
        self._one_at_a_time = asyncio.Lock()

    async def claim(
        self, owner: str, limit: int, at: int, limits: ClaimLimits, closed: Sequence[tuple[str, str]]
    ) -> Claimed:
        """See `Store.claim`."""
        async with self._one_at_a_time:
            since = perf_counter()
            rows, claim, steps = await self._connections.transaction(
                lambda tx: self._claim(tx, owner, limit, at if self._uses_caller_clock else tx.now, limits, closed)
            )
            self._full().update(claim.capacity.full)
            for row, weight in rows:
                self._writer.adopt(row, weight, steps.get(row.key, ()))
            if rows:
                self._writer.count_commit(since, 0, 1)
        again = []
        if claim.capacity.rate_limited:
            again.append((claim.second + 1) * SECOND_MS)
        if claim.passed_over and len(rows) < limit:
            again.append(at + SOON_MS)
        return Claimed([row for row, _ in rows], min(again, default=None))

    async def _claim(
        self, tx: Transaction, owner: str, limit: int, now: int, limits: ClaimLimits, closed: Sequence[Workflow]
    ) -> tuple[Sequence[tuple[InstanceRow, int]], _Claim, dict[int, list[StepRow]]]:
        await self._check_lease(tx, owner)
        claim = _Claim(limits, now // SECOND_MS, closed)
        tx.changed = False
        await self._choose_woken(tx, claim, limit, now)
        woken = set(claim.keys)
        if len(claim.keys) < limit:
            await self._choose_new(tx, claim, limit)
        assert len(claim.keys) <= limit, "a claim keeps to its limit"
        found: list[tuple[InstanceRow, int]] = []
        if claim.keys:
            taken = {row[0]: row for row in await tx.rows(self._own["take"], claim.keys, owner)}
            found = [
                (columns.instance_row(taken[key]), columns.instance_weight(taken[key]))
                for key in claim.keys
                if key in taken
            ]
            claim.passed_over |= len(found) < len(claim.keys)
        if starts := claim.capacity.starts():
            await tx.rows(self._own["count_begun"], list(starts), list(starts.values()), claim.second)
        tx.changed = tx.changed or bool(found)
        steps: dict[int, list[StepRow]] = {}
        if woken:
            for key, *step in await tx.rows(self._sql["open_steps"], list(woken)):
                steps.setdefault(key, []).append(columns.step_row(step))
        return found, claim, steps

    async def _check_lease(self, tx: Transaction, owner: str) -> None:
        """Raises NodeLost."""
        name, _, boot = owner.rpartition(".")
        found = await tx.row(self._sql["has_lease"], name, self._lease_now())
        if found is None or str(found[0]) != boot or not found[1]:
            newer = found is not None and str(found[0]) != boot
            raise NodeLost(LEASE_IS_OVER.format(name=name, boot=boot), superseded=newer)

    async def _choose_woken(self, tx: Transaction, claim: _Claim, limit: int, now: int) -> None:
        tenants, workflows = [tenant for tenant, _ in claim.closed], [workflow for _, workflow in claim.closed]
        while len(claim.keys) < limit:
            wanted = limit - len(claim.keys)
            due = await tx.rows(self._own["woken"], now, claim.excluded(), tenants, workflows, wanted, claim.keys)
            await self._count_loads(tx, claim, {queue for _, queue, *_ in due})
            for key, queue, *_ in due:
                if queue not in claim.held and claim.capacity.has_capacity(queue):
                    claim.capacity.count_claim(queue)
                    claim.keys.append(key)
            if all(queue not in claim.held and claim.capacity.has_capacity(queue) for _, queue, *_ in due):
                break  # no queue has become full, so another query would find nothing else

    async def _choose_new(self, tx: Transaction, claim: _Claim, limit: int) -> None:
        after, size = 0, max(limit, QUEUES_AT_ONCE)
        passed: list[str] = []
        emptied: list[Lane] = []
        lagging: list[Lane] = []
        for _ in range(PAGES_MAX):
            excluded = claim.excluded()
            queues = await tx.rows(self._own["queues_in_turn"], after, excluded, size)
            if len(queues) < size:
                [existing] = await tx.row(self._own["count_queues"], after, excluded, size)
                claim.passed_over |= existing > len(queues)
            if queues:
                await self._count_loads(tx, claim, {queue for queue, _ in queues})
                turns, behind = await self._take_turns(tx, claim, limit, [queue for queue, _ in queues])
                passed += turns.passed
                emptied += [(queue, *workflow) for queue, workflow in turns.emptied]
                lagging += behind
                after = queues[-1][1]
            if len(queues) < size or len(claim.keys) >= limit:
                break
        else:
            claim.passed_over = True
        if passed and (claim.keys or emptied):
            await tx.rows(self._own["pass_turns"], passed)
        if lagging:
            await self._move_heads(tx, lagging)
        if emptied:
            await self._drop_empty(tx, emptied)
            tx.changed = True

    async def _take_turns(
        self, tx: Transaction, claim: _Claim, limit: int, queues: Sequence[str]
    ) -> tuple[RoundRobin, list[Lane]]:
        """Choose new instances of these queues; returns the round, and lanes whose heads are far behind."""
        turns, oldest, lagging = RoundRobin(), dict[Lane, list[int]](), []
        by_queue: dict[str, list[tuple[Lane, int, int | None]]] = {queue: [] for queue in queues}
        for queue, tenant, workflow, head, key in await tx.rows(
            self._own["candidates"], list(queues), limit - len(claim.keys)
        ):
            by_queue[queue].append(((queue, tenant, workflow), head, key))
        for queue in queues:
            for lane, head, key in by_queue[queue]:
                if lane not in oldest:
                    oldest[lane] = []
                    if queue not in claim.held:
                        turns.add(*lane)
                    if key is not None and key - head > HEAD_LAG:
                        lagging.append(lane)
                if key is not None:
                    oldest[lane].append(key)
        closed = frozenset(claim.closed)
        claim.keys += turns.claim_instances(
            limit - len(claim.keys), claim.capacity, closed, lambda queue, lane, most: oldest[(queue, *lane)][:most]
        )
        claim.passed_over |= any(queue in claim.held for queue in queues)
        return turns, lagging

    async def _count_loads(self, tx: Transaction, claim: _Claim, queues: Iterable[str]) -> None:
        """Lock the queues that have a limit, and count what runs in them; those that another node holds are held."""
        wanted = sorted(queue for queue in set(queues) - claim.loads.keys() - claim.held if claim.is_limited(queue))
        if not wanted:
            return
        locked = {queue for (queue,) in await tx.rows(self._own["lock_loads"], wanted)}
        if len(locked) < len(wanted):
            await tx.rows(self._own["insert_loads"], [queue for queue in wanted if queue not in locked])
            locked |= {queue for (queue,) in await tx.rows(self._own["lock_loads"], wanted)}
        claim.held |= set(wanted) - locked
        claim.passed_over |= bool(claim.held)
        counted = sorted(locked)
        most = [claim.most(queue) + 1 for queue in counted]
        for queue, running, begun in await tx.rows(self._own["loads"], counted, most, claim.second):
            claim.loads[queue] = (running, begun or 0)

    async def _move_heads(self, tx: Transaction, lanes: Sequence[Lane]) -> None:
        owned = await tx.rows(self._own["own_lanes"], *_columns(lanes))
        if owned:
            await tx.rows(self._own["move_heads"], *_columns(owned))
            tx.changed = True

    async def _drop_empty(self, tx: Transaction, lanes: Sequence[Lane]) -> None:
        queues = sorted({queue for queue, _, _ in lanes})
        owned_queues = [queue for (queue,) in await tx.rows(self._own["own_queues"], queues)]
        owned = [lane for lane in await tx.rows(self._own["own_lanes"], *_columns(lanes)) if lane[0] in owned_queues]
        if owned:
            await tx.rows(self._own["drop_lanes"], *_columns(owned))
            await tx.rows(self._own["drop_queues"], owned_queues)


def _columns(lanes: Iterable[Sequence[str]]) -> list[list[str]]:
    return [list(column) for column in zip(*lanes, strict=True)]


def _statements() -> dict[str, str]:
    sql = NamedSql(Path(__file__).with_name("claims.sql"))
    return {name: sql[name] for name in sql.names()}
