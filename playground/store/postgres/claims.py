"""Claiming due instances: woken ones first, then new ones, round robin over queues.

Nobody waits for anybody: rows that another node holds are passed over. A claim that took none because of that is made
again at once, after each of `PAUSES_SECONDS`; one that could have taken more sets `again_at` soon, and later each time
that rows stay locked, `LOCKED_MS` at most. So two nodes whose claims skip what the other has locked need no poll to
find it. Limits are checked in the claim's transaction: who counts what runs in a queue holds the queue's row, so two
nodes cannot both take the last place. What runs is counted from the instances themselves.

Held instances whose turn has come are admitted first (flow.py), in the same transaction.

The cost does not grow with the number queued: of each lane (lanes.py) the oldest are read from its head on, and heads
follow what is claimed. A claim reads as many queues as it may take instances, and more only where queues are full.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from time import perf_counter
from typing import Any

from playground.store import columns
from playground.store.errors import NodeLost
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Connections, Transaction
from playground.store.postgres.flow import Admitted, admit_due
from playground.store.postgres.lanes import Lane
from playground.store.postgres.notify import Hints
from playground.store.postgres.writer import Writer
from playground.store.protocol import Claimed, ClaimLimits
from playground.store.rows import InstanceRow, StepRow
from playground.store.turns import Place, QueueCapacity, RoundRobin, Workflow, merged_places

SECOND_MS = 1_000
PAUSES_SECONDS = (0.001, 0.003, 0.009)  # a claim takes some milliseconds
SOON_MS = 20  # when what others hold is free again ...
LOCKED_MS = 500  # ... at the latest
QUEUES_AT_ONCE = 32  # read at least
PAGES_MAX = 50  # of queues in one claim
HEAD_LAG = 500  # keys by which a lane's head may be behind, since moving it keeps others from creating
LEASE_IS_OVER = "the lease of node {name} (boot {boot}) is over"


class _Claim:
    """One claim under way."""

    def __init__(self, limits: ClaimLimits, places: int, closed: Sequence[Workflow]) -> None:
        self.limits, self.closed, self.now, self.second = limits, closed, 0, 0
        self.loads: dict[str, tuple[int, int]] = {}
        self.held: set[str] = set()  # queues whose row another node holds
        self.capacity = QueueCapacity(limits, places, self.loads.__getitem__)
        self.keys: list[int] = []
        self.passed: list[str] = []  # the queues that had their turn, in its order
        self.emptied: list[Lane] = []
        self.lagging: dict[Lane, int] = {}  # whose heads are far behind, with the last key that was read
        self.locked = False  # whether somebody else held what might have been claimed
        self.has_more = False  # whether there are queues that it has not looked at
        self.look_at: int | None = None  # when something may be admitted
        self.next_at: int | None = None  # when the next that ran before falls due
        self.admitted: list[Admitted] = []

    def is_limited(self, queue: str) -> bool:
        """Whether the running instances of a queue must be counted."""
        return self.limits.spare > 0 or self.limits.for_queue(queue) is not None

    def excluded(self) -> list[str]:
        """The queues that nothing is taken from any more."""
        return [*self.capacity.exhausted_queues(), *self.held]

    def most(self, queue: str) -> int:
        """The most that are worth counting."""
        limit = self.limits.for_queue(queue)
        return 1 if limit is None else max(limit.running, 1)


class Claims:
    """Makes the claims of a node, one at a time.

    Args:
        full: queues at their limit of running instances, which claims add.
        uses_caller_clock: whether `at` counts, and not the database's clock.
        publish: called with what an admission changed.
    """

    def __init__(
        self, connections: Connections, sql: NamedSql, writer: Writer, full: Callable[[], set[str]],
        *, uses_caller_clock: bool, lease_now: Callable[[], int | None], publish: Callable[[Hints], None],
    ) -> None:  # fmt: skip
        self._connections, self._sql, self._writer, self._full = connections, sql, writer, full
        self._publish = publish
        columns_sql = sql["columns_of_instance"]
        self._own = {name: text.replace("{columns_of_instance}", columns_sql) for name, text in _statements().items()}
        self._uses_caller_clock, self._lease_now = uses_caller_clock, lease_now
        self._one_at_a_time = asyncio.Lock()
        self._soon_ms, self._pause = SOON_MS, asyncio.sleep

    async def claim(
        self, owner: str, limit: int, at: int, limits: ClaimLimits, closed: Sequence[tuple[str, str]]
    ) -> Claimed:
        """See `Store.claim`."""
        async with self._one_at_a_time:
            since = perf_counter()
            for pause in (*PAUSES_SECONDS, None):
                rows, claim, steps = await self._connections.transaction(
                    lambda tx: self._claim(tx, owner, limit, at if self._uses_caller_clock else None, limits, closed)
                )
                if pause is None or rows or not claim.locked or self._soon_ms > SOON_MS or limit <= limits.spare:
                    break
                await self._pause(pause)
            self._full().update(claim.capacity.full)
            for row, weight in rows:
                self._writer.adopt(row, weight, steps.get(row.key, ()))
            if rows:
                self._writer.count_commit(since, 0, 1)
        self._tell_admitted(claim, {row.key for row, _ in rows})
        again = [] if claim.look_at is None else [max(claim.look_at, at + 1)]
        again += [] if claim.next_at is None else [claim.next_at]
        if claim.capacity.rate_limited:
            again.append((claim.second + 1) * SECOND_MS)
        if (claim.locked or claim.has_more) and len(rows) < limit:
            again.append(at + self._soon_ms)
        self._soon_ms = min(2 * self._soon_ms, LOCKED_MS) if claim.locked and not rows else SOON_MS
        now = None if self._uses_caller_clock else claim.now
        return Claimed([row for row, _ in rows], min(again, default=None), now, knows_next=True)

    def _tell_admitted(self, claim: _Claim, claimed: AbstractSet[int]) -> None:
        if not claim.admitted:
            return
        hints = Hints()
        for row, before in claim.admitted:
            hints.add_row(row, before)
            if row.key not in claimed:
                self._writer.forget(row.key)
        self._publish(hints)

    async def _claim(
        self, tx: Transaction, owner: str, limit: int, now: int | None, limits: ClaimLimits, closed: Sequence[Workflow]
    ) -> tuple[Sequence[tuple[InstanceRow, int]], _Claim, dict[int, list[StepRow]]]:
        tx.changed = False
        claim = _Claim(limits, limit, closed)
        seen = await self._look(tx, claim, owner, limit, now, 0)
        if seen["look_at"] is not None and seen["look_at"] <= seen["now"]:
            claim.admitted = await admit_due(tx, self._sql, seen["now"])
            seen = await self._look(tx, claim, owner, limit, now, 0)
        claim.locked = seen["due"] > len(seen["woken"])
        claim.look_at, claim.next_at = seen["look_at"], seen["next_at"]
        claim.now, claim.second = seen["now"], seen["now"] // SECOND_MS
        await self._choose_woken(tx, claim, limit, now, list(zip(seen["woken"], seen["woken_queues"], strict=True)))
        woken = list(claim.keys)
        if len(claim.keys) < limit:
            await self._choose_new(tx, claim, owner, limit, now, seen)
        assert len(claim.keys) <= limit, "a claim keeps to its limit"
        found: list[tuple[InstanceRow, int]] = []
        if claim.keys or claim.emptied:
            starts = claim.capacity.starts()
            passed = claim.passed if seen["existing"] > 1 else []  # alone, a queue has no turn to pass
            places = (passed, list(starts), list(starts.values()), claim.second)
            taken = {row[0]: row for row in await tx.rows(self._own["take"], claim.keys, owner, *places)}
            rows = [taken[key] for key in claim.keys if key in taken]
            found = [(columns.instance_row(row), columns.instance_weight(row)) for row in rows]
            claim.locked |= len(found) < len(claim.keys)
            tx.changed = True
        if claim.lagging or claim.emptied:
            await self._tend_lanes(tx, claim)
        steps: dict[int, list[StepRow]] = {}
        if woken:
            for key, *step in await tx.rows(self._sql["open_steps"], woken):
                steps.setdefault(key, []).append(columns.step_row(step))
        return found, claim, steps

    async def _look(
        self, tx: Transaction, claim: _Claim, owner: str, limit: int, now: int | None, after: int
    ) -> Mapping[str, Any]:
        """What may be claimed, of queues whose turn is after `after`. Raises NodeLost."""
        name, _, boot = owner.rpartition(".")
        tenants, workflows = [tenant for tenant, _ in claim.closed], [workflow for _, workflow in claim.closed]
        wanted, size = limit - len(claim.keys), max(limit, QUEUES_AT_ONCE)
        if after:
            wanted = max(wanted, 1)
        values = (now, claim.excluded(), claim.keys, tenants, workflows, wanted, after, size, name, self._lease_now())
        seen: Mapping[str, Any] = await tx.row(self._own["look"], *values)
        if str(seen["boot"]) != boot or not seen["leased"]:
            newer = seen["boot"] is not None and str(seen["boot"]) != boot
            raise NodeLost(LEASE_IS_OVER.format(name=name, boot=boot), superseded=newer)
        return seen

    async def _choose_woken(
        self, tx: Transaction, claim: _Claim, limit: int, now: int | None, due: Sequence[tuple[int, str]]
    ) -> None:
        tenants, workflows = [tenant for tenant, _ in claim.closed], [workflow for _, workflow in claim.closed]
        while due:
            await self._count_loads(tx, claim, {queue for _, queue in due})
            for key, queue in due:
                if queue not in claim.held and claim.capacity.has_capacity(queue):
                    claim.capacity.count_claim(queue)
                    claim.keys.append(key)
            wanted = limit - len(claim.keys)
            if not wanted or all(queue not in claim.held and claim.capacity.has_capacity(queue) for _, queue in due):
                break  # no queue has become full, so another query would find nothing else
            values = (now, claim.excluded(), claim.keys, tenants, workflows, wanted)
            due = [(key, queue) for key, queue in await tx.rows(self._own["due_woken"], *values)]

    async def _choose_new(
        self, tx: Transaction, claim: _Claim, owner: str, limit: int, now: int | None, seen: Mapping[str, Any]
    ) -> None:
        size = max(limit, QUEUES_AT_ONCE)
        for _ in range(PAGES_MAX):
            queues = seen["queues"]
            claim.locked |= seen["existing"] > len(queues)
            if queues:
                await self._count_loads(tx, claim, set(queues))
                self._take_turns(claim, limit, seen)
            if seen["existing"] < size or len(claim.keys) >= limit:
                return
            if not queues:
                break
            seen = await self._look(tx, claim, owner, limit, now, seen["turns"][-1])
        claim.has_more = True

    def _take_turns(self, claim: _Claim, limit: int, seen: Mapping[str, Any]) -> None:
        """Choose new instances of these queues."""
        turns, oldest, prior = RoundRobin(), dict[Lane, list[int]](), dict[Lane, list[Place]]()
        names = ("lane_queues", "lane_tenants", "lane_workflows", "lane_heads", "lane_keys", "lane_priorities")
        by_queue: dict[str, list[tuple[Lane, int, int | None, int]]] = {queue: [] for queue in seen["queues"]}
        for queue, tenant, workflow, head, key, priority in zip(*(seen[name] for name in names), strict=True):
            by_queue[queue].append(((queue, tenant, workflow), head, key, priority))
        for queue, lanes in by_queue.items():
            for lane, head, key, priority in lanes:
                if lane not in prior:
                    oldest[lane], prior[lane] = [], []
                    if queue not in claim.held:
                        turns.add(*lane)
                if key is not None and priority:
                    prior[lane].append((-priority, key))
                elif key is not None:
                    oldest[lane].append(key)
                    if key - head > HEAD_LAG:
                        claim.lagging[lane] = key

        def upcoming(queue: str, workflow: Workflow, most: int) -> list[Place]:
            lane = (queue, *workflow)
            return merged_places(prior[lane], oldest[lane], most)

        closed = frozenset(claim.closed)
        claim.keys += turns.claim_instances(limit - len(claim.keys), claim.capacity, closed, upcoming)
        claim.passed += turns.passed
        claim.emptied += [(queue, *workflow) for queue, workflow in turns.emptied]
        claim.locked |= any(queue in claim.held for queue in by_queue)

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
        claim.locked |= bool(claim.held)
        counted = sorted(locked)
        most = [claim.most(queue) + 1 for queue in counted]
        for queue, running, begun in await tx.rows(self._own["loads"], counted, most, claim.second):
            claim.loads[queue] = (running, begun or 0)

    async def _tend_lanes(self, tx: Transaction, claim: _Claim) -> None:
        """Move heads that are far behind, and drop lanes that are empty, where nobody is creating."""
        queues = sorted({queue for queue, _, _ in claim.emptied})
        lanes = sorted({*claim.lagging, *claim.emptied})
        owned = {
            tuple(lane): has_queue
            for *lane, has_queue in await tx.rows(self._own["own_lanes"], *_columns(lanes), queues)
        }
        lagging = {lane: last for lane, last in claim.lagging.items() if lane in owned}
        emptied = [lane for lane in claim.emptied if owned.get(lane)]
        if lagging:
            await tx.rows(self._own["move_heads"], *_columns(lagging), list(lagging.values()))
        if emptied:
            await tx.rows(self._own["drop_lanes"], *_columns(emptied))
        tx.changed = tx.changed or bool(lagging or emptied)


def _columns(lanes: Iterable[Sequence[str]]) -> list[list[str]]:
    return [list(column) for column in zip(*lanes, strict=True)]


def _statements() -> dict[str, str]:
    sql = NamedSql(Path(__file__).with_name("claims.sql"))
    return {name: sql[name] for name in sql.names()}
