"""Cluster membership: this engine as one of the nodes that share a store, its lease, and take-over from lost nodes.

A node holds a lease and renews it `BEATS_PER_LEASE` times while it lasts. A node that could not renew for two thirds of
it stops its workers by itself: others take over when the lease ends, and a worker must not run while its successor
does. Then it joins again with a new lease. Where a lease lasts as long as the process (one node on SQLite), none of
this ever falls due.

What follows a renewal never delays the next one: the node takes over from lost nodes, closes what it owns without
knowing, since the answer of a claim was lost, and reads the store's clock at every `BEATS_PER_CLOCK`th. The renewal
itself says what is to be done, so that it is mostly all that the store is asked.

The lease is measured by the machine's clock, whatever clock the engine uses: it is about this process, and no run waits
for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from playground.engine.clock import machine_ms
from playground.engine.execution.context import Log
from playground.engine.execution.pipeline import spawn
from playground.store.errors import NodeLost
from playground.store.protocol import Lease, NodeStore, Renewal
from playground.store.rows import InstanceRow

LEASE_MS = 15_000
BEATS_PER_LEASE = 5  # renewals while a lease lasts
BEATS_PER_CLOCK = 5  # renewals for each reading of the store's clock
RETRIES_PER_LEASE = 20  # of a renewal that failed
STOP_AFTER = 2 / 3  # of a lease without a renewal
TAKEN_OVER_AT_ONCE = 100  # instances taken over at once
REJOIN_AFTER_MS = 1_000


class Alarm(Protocol):
    def cancel(self) -> None:
        """Do not call any more."""


def call_after(seconds: float, act: Callable[[], None]) -> Alarm:
    """Call something after so many seconds by the machine's clock."""
    return asyncio.get_running_loop().call_later(seconds, act)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How a node keeps its lease.

    Args:
        lasts_ms: the lease, in milliseconds.
        now: milliseconds by which the node judges its own lease.
        later: calls something after so many seconds.
    """

    lasts_ms: int = LEASE_MS
    now: Callable[[], int] = machine_ms
    later: Callable[[float, Callable[[], None]], Alarm] = call_after


MACHINE = Heartbeat()


class Membership:
    """One node's lease, from `join` to `leave`.

    Args:
        take_over: closes what a lost node left open of an instance; idempotent.
        on_lost: stops every worker at once and commits nothing; awaited before the node joins again.
        on_joined: called when the node has joined again.
        on_renewed: called after each renewal with the number of instances that this node owns.
        correct_clock: corrects this node's clock to the store's.
    """

    def __init__(
        self,
        nodes: NodeStore,
        name: str,
        *,
        take_over: Callable[[InstanceRow], Awaitable[None]],
        on_lost: Callable[[], Awaitable[None]],
        on_joined: Callable[[], None],
        on_renewed: Callable[[int], Awaitable[None]],
        correct_clock: Callable[[], Awaitable[None]],
        log: Log,
        heartbeat: Heartbeat,
    ) -> None:
        self._nodes, self._name, self._lasts_ms, self._log = nodes, name, heartbeat.lasts_ms, log
        self._take_over, self._on_lost, self._on_joined = take_over, on_lost, on_joined
        self._on_renewed, self._correct_clock = on_renewed, correct_clock
        self._now, self._later = heartbeat.now, heartbeat.later
        self._renewed = self._beats = 0
        self._timers: dict[Callable[[], None], Alarm] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._keeping_up = asyncio.Lock()  # one at a time does what follows a renewal
        self.lease: Lease | None = None  # None while the node has none

    @property
    def owner(self) -> str | None:
        """The owner in the rows of this node's instances; None while it may own none."""
        return None if self.lease is None else self.lease.owner

    @property
    def renewed_ago_ms(self) -> int:
        """Milliseconds since the lease was renewed, that of a lost one too; 0 where leases do not end."""
        lasts_for_ever = self.lease is not None and self.lease.lasts_ms is None
        return 0 if lasts_for_ever else max(0, self._now() - self._renewed)

    async def join(self) -> None:
        """Take a new lease, and take over what lost nodes, this one's earlier leases among them, have left.

        Raises StoreError: it has not joined, or it has a lease that is never renewed and could not take over.
        """
        await self._correct_clock()
        began = self._now()
        lease = self.lease = await self._nodes.join(self._name, self._lasts_ms)
        self._renewed = began
        self._schedule(None)  # taking over may take longer than a lease
        try:
            await self._take_over_abandoned()
        except Exception as error:
            if lease.lasts_ms is None:
                raise
            # The node may have claimed already, so it keeps its lease; the next renewal takes over.
            self._log("renewal_failed", node=lease.owner, error=f"{type(error).__name__}: {error}")

    async def beat(self) -> None:
        """Renew the lease and take over what lost nodes have left. The next renewal does not wait for the rest."""
        lease, began = self.lease, self._now()
        if lease is None or self._closed:
            return
        try:
            renewal = await self._nodes.renew(lease)
            if lease is not self.lease:
                return
            self._renewed = began
        except NodeLost as lost:
            await self._on_lease_lost(lease, rejoin=not lost.superseded)
            return
        except Exception as error:  # noqa: BLE001 - it is tried again until two thirds of the lease are over
            self._log("renewal_failed", node=lease.owner, error=f"{type(error).__name__}: {error}")
            self._schedule(self._lasts_ms // RETRIES_PER_LEASE)
            return
        self._schedule(renewal.next_end_ms)
        if not self._keeping_up.locked():
            async with self._keeping_up:
                await self._keep_up(lease, renewal)

    async def _keep_up(self, lease: Lease, renewal: Renewal) -> None:
        try:
            self._beats += 1
            if self._beats % BEATS_PER_CLOCK == 0:
                await self._correct_clock()
            if renewal.has_abandoned:
                await self._take_over_abandoned()
            await self._on_renewed(renewal.owned)
        except Exception as error:  # noqa: BLE001 - the next renewal tries it again
            self._log("renewal_failed", node=lease.owner, error=f"{type(error).__name__}: {error}")

    async def check(self) -> None:
        """Stop the workers if two thirds of the lease have gone by without a renewal."""
        if self.lease is None or self.lease.lasts_ms is None:
            return
        if self._now() - self._renewed >= self.lease.lasts_ms * STOP_AFTER:
            await self._on_lease_lost(self.lease)
        else:
            self._schedule_check()

    async def leave(self) -> None:
        """End the lease. Nothing of this node may run any more."""
        lease, self.lease = self.lease, None
        await self.abandon()
        if lease is not None:
            try:
                await self._nodes.leave(lease)
            except Exception as error:  # noqa: BLE001 - then it ends by itself
                self._log("renewal_failed", node=lease.owner, error=f"{type(error).__name__}: {error}")

    async def abandon(self) -> None:
        """Cancel everything and write nothing, as if the process had been killed."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _take_over_abandoned(self) -> None:
        seen: set[int] = set()
        while rows := [row for row in await self._nodes.abandoned(TAKEN_OVER_AT_ONCE) if row.key not in seen]:
            for row in rows:  # one whose end can't be committed is left for the next beat
                seen.add(row.key)
                await self._take_over(row)

    async def _on_lease_lost(self, lease: Lease, *, rejoin: bool = True) -> None:
        """The lease is lost: stop the workers, then join again, unless another process has taken the node's name."""
        if self.lease is not lease:
            return
        self.lease = None
        self._log("node_lost" if rejoin else "node_superseded", node=lease.owner)
        await self._on_lost()
        if rejoin:
            await self._rejoin()

    async def _rejoin(self) -> None:
        if self._closed:
            return
        try:
            await self.join()
        except Exception as error:  # noqa: BLE001 - it is tried again until the node is closed
            self._log("renewal_failed", node=self._name, error=f"{type(error).__name__}: {error}")
            self._set_timer(self._spawn_join, REJOIN_AFTER_MS)
        else:
            self._on_joined()

    def _schedule(self, next_end: int | None) -> None:
        """Beat again in a part of the lease, or sooner: when the first lease of another node ends."""
        if self._closed or self.lease is None or self.lease.lasts_ms is None:
            return
        wait = self.lease.lasts_ms // BEATS_PER_LEASE
        self._set_timer(self._spawn_beat, wait if next_end is None else min(wait, next_end + 1))
        self._schedule_check()

    def _schedule_check(self) -> None:
        assert self.lease is not None and self.lease.lasts_ms is not None
        self._set_timer(self._spawn_check, max(0, self._renewed + self.lease.lasts_ms * STOP_AFTER - self._now()))

    def _spawn_beat(self) -> None:
        spawn(self._tasks, self.beat())

    def _spawn_check(self) -> None:
        spawn(self._tasks, self.check())

    def _spawn_join(self) -> None:
        spawn(self._tasks, self._rejoin())

    def _set_timer(self, act: Callable[[], None], wait_ms: float) -> None:
        if act in self._timers:
            self._timers[act].cancel()
        if not self._closed:
            self._timers[act] = self._later(wait_ms / 1000, act)
