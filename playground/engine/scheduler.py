"""The scheduler: claims due instances for free workers, wakes up when the next one falls due, and recovers lost ones.

It does not poll: it sleeps until something is created, ends or falls due.

Memory is trimmed when nothing has run for `TRIM_AFTER_SECONDS` (`IdleTrimmer`). The journals' cache grows to what the
busiest time needed, and the allocator keeps what was freed: after ten minutes of hostile tenants a server held three
times as much as at its start, though nothing leaked. Caches are cleared first: a small object that was made at the
height keeps a megabyte round it.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

from playground.engine import operations
from playground.engine.clock import Timer
from playground.engine.execution.context import Log, Services
from playground.engine.execution.execution import Execution
from playground.engine.execution.pipeline import spawn
from playground.engine.execution.start import NoDispatcher, NotStarted
from playground.engine.metrics import FAILED
from playground.engine.nodes import Heartbeat, Membership
from playground.store.errors import NodeLost, StoreError
from playground.store.protocol import Claimed, Store
from playground.store.rows import InstanceRow
from playground.workflows import durations
from playground.workflows import events as ev
from playground.workflows.errors import Fenced, InstanceNotFound

TRIM_AFTER_SECONDS = 5.0
PARENT_KEPT_MS = 100  # after the end of a child that came last ...
PARENTS_KEPT_SHARE = 0.5  # ... in so many of the slots at most, so that children have the others


class IdleTrimmer:
    """Returns memory to the machine when nothing runs. It uses real time, whatever clock the engine uses."""

    def __init__(self, store: Store, log: Log, seconds: float = TRIM_AFTER_SECONDS) -> None:
        self._store, self._log, self._seconds = store, log, seconds
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clear_caches: list[Callable[[], None]] = []

    def add_cache(self, clear: Callable[[], None]) -> None:
        """Call `clear` each time before memory is trimmed; it empties a cache."""
        self._clear_caches.append(clear)

    def on_busy(self) -> None:
        """An execution has started: do not trim."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_idle(self) -> None:
        """The last execution has ended: trim in `seconds`."""
        self.on_busy()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, lambda: spawn(self._tasks, self.trim()))

    async def close(self) -> None:
        """Cancel the timer, and wait for a trim that is under way."""
        self.on_busy()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def trim(self) -> None:
        """Clear the caches and return memory now."""
        for clear in self._clear_caches:
            clear()
        gc.collect()  # 30 ms, at a time when they matter to nobody
        try:
            await self._store.shrink()
        except Exception as error:  # noqa: BLE001 - it only saves memory
            self._log("shrink_failed", error=f"{type(error).__name__}: {error}")


RETRY_CLAIM_MS = 1_000  # until the next claim, when there was no worker or the store failed
RECOVER_AFTER_MS = 1_000  # until an instance is recovered whose execution could not be committed, and between retries
ANY_LOSSES = 2**63  # more than there can be
EXPIRE_EVERY_MS = 10 * durations.MINUTE
ANONYMOUS = ""  # the tenant of instances without one
FEW_SLOTS = 4  # with fewer than these no slot is kept spare


class Scheduler:
    """Claims instances for this node and runs them. `executions` maps an instance's key to its execution."""

    def __init__(
        self, services: Services, node: str, heartbeat: Heartbeat, correct_clock: Callable[[], Awaitable[None]]
    ) -> None:
        self._services = services
        self.executions: dict[int, Execution] = {}
        # (tenant, workflow) whose dispatcher is not registered: per node on purpose, since another program may have it.
        self._without_dispatcher: set[tuple[str, str]] = set()
        self.membership = Membership(
            services.store.nodes,
            node,
            take_over=self._take_over,
            on_lost=self._stop_executions,
            on_joined=self.wake,
            on_renewed=self._release_unplayed,
            correct_clock=correct_clock,
            log=services.log,
            heartbeat=heartbeat,
        )
        self.idle_trimmer = IdleTrimmer(services.store, services.log)
        self._wake = asyncio.Event()
        self._claiming = asyncio.Lock()  # from a claim until all that it claimed has its execution
        self._armed_for: int | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._timer: Timer | None = None
        self._expiry: Timer | None = None
        self._expiring = False  # what is too old is being removed
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Close what lost nodes left open, then begin to claim."""
        services = self._services
        await self.membership.join()
        services.families.start()
        self._unsubscribe = services.store.listen_due(self._on_due)
        self._loop_task = asyncio.get_running_loop().create_task(self._run())
        self.expire()
        self.wake()

    async def stop(self) -> None:
        """Hand every execution over, so that another server takes it up at once.

        Running attempts have `drain_seconds` to end; what is not over by then is lost with its worker.
        """
        self._stopping = True
        self._unsubscribe()
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait([self._loop_task])
        await self._services.families.stop()
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        if self.executions and (seconds := self._services.settings.drain_seconds):
            for execution in list(self.executions.values()):
                execution.hand_over()
            await asyncio.wait([execution.task for execution in self.executions.values()], timeout=seconds)
        for execution in list(self.executions.values()):
            execution.shut_down()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        await self.membership.leave()
        await self.idle_trimmer.close()

    async def abandon(self) -> None:
        """Stop everything at once and write nothing, as if the server had been killed.

        `playground.testing` simulates crashes with it.
        """
        self._stopping = True
        self._unsubscribe()
        await self.membership.abandon()
        await self._services.families.stop()
        tasks = [task for execution in self.executions.values() for task in execution.abandon()]
        for task in (self._loop_task, *self._tasks):
            if task is not None:
                task.cancel()
                tasks.append(task)
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.executions.clear()
        self.idle_trimmer.on_busy()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way on this side of the workers and outside the store."""
        families = self._services.families
        return (
            families.at_rest
            and not self._wake.is_set()
            and not self._expiring
            and all(execution.at_rest for execution in self.executions.values())
        )

    def wake(self) -> None:
        """Something may be due now."""
        self._armed_for = None
        self._wake.set()

    def on_dispatcher_registered(self, workflow: str) -> None:
        """The dispatcher of a workflow is registered now."""
        self._without_dispatcher = {lane for lane in self._without_dispatcher if lane[1] != workflow}
        self.wake()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._claim()
            except Exception as error:  # noqa: BLE001 - it is logged, and retried
                self._services.log("scheduler_failed", error=f"{type(error).__name__}: {error}")
                self._arm_at(self._services.clock.now() + RETRY_CLAIM_MS)

    async def _claim(self) -> None:
        """Claim instances for the free slots; once none is left that may run, set the timer for the next."""
        services = self._services
        while True:
            free = services.settings.slots - len(self.executions)
            owner = self.membership.owner
            if owner is None:
                return
            if free <= 0:
                self._evict_idle()
                return
            at = services.clock.now()
            spare = self._spare()
            limits, closed = services.tenant_limits.claim_limits(spare=spare), sorted(self._without_dispatcher)
            try:
                async with self._claiming:
                    began = perf_counter()
                    claimed = await services.store.claim(owner, free, at=at, limits=limits, closed=closed)
                    services.counts.claim_seconds.add(perf_counter() - began)
                    if self.membership.owner != owner:  # the lease was lost meanwhile
                        for row in claimed.rows:
                            await recover(services, row)
                        continue
                    for row in claimed.rows:
                        self._start_execution(row)
            except NodeLost:
                await self.membership.beat()
                return
            if len(claimed.rows) < free:
                if spare and len(claimed.rows) >= free - spare:
                    self._evict_idle()
                await self._arm(at, claimed)
                return

    def _spare(self) -> int:
        """Slots kept for queues of which nothing runs, so that long steps of one do not hold up another's first."""
        settings = self._services.settings
        return settings.spare_slots if settings.slots >= FEW_SLOTS else 0

    def _start_execution(self, row: InstanceRow) -> None:
        self._services.counts.begun += 1
        execution = Execution(self._services, row, self._on_worker_idle)
        before = self.executions.get(row.key)
        assert before is None or before.row.execution < row.execution, "each claim begins a later execution"
        # The one before may have made its last commit, which lets the instance be claimed, and not be over yet.
        self.executions[row.key] = execution
        self.idle_trimmer.on_busy()
        execution.task = spawn(self._tasks, self._play(execution))

    async def _play(self, execution: Execution) -> None:
        row = execution.row
        try:
            await execution.play()
        except NotStarted as why:
            if isinstance(why, NoDispatcher):
                self._without_dispatcher.add((row.tenant, row.workflow))
                self.wake()
            elif not self._stopping:
                self._arm_at(self._services.clock.now() + RETRY_CLAIM_MS)
            self._remove(execution)
            return
        except Exception as error:  # noqa: BLE001 - it costs this instance only
            execution.worker_exit.reason = FAILED
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, StoreError):
                self._services.log("commit_failed", instance=row.key, error=reason)
            else:
                self._services.log("execution_failed", instance=row.key, error=reason)
            self._recover_later(row)
        self._services.counts.ended[execution.worker_exit.reason] += 1
        self._remove(execution)
        self.wake()

    async def _take_over(self, row: InstanceRow) -> None:
        """Close what a lost node left open of an instance."""
        await recover(self._services, row)
        self._services.families.walk_all()

    async def _release_unplayed(self, owned_count: int) -> None:
        """Close what this node has and does not play: the answer of the claim never came, or a commit failed.

        Nobody else would take it over while the node lives. `owned_count` was read while executions began and ended, so
        one of these may be missed; the next renewal finds it.
        """
        self._services.families.walk_on()
        owner = self.membership.owner
        if owner is None or owned_count <= len(self.executions):
            return
        async with self._claiming:
            playing = self._playing()
            owned = await self._services.store.nodes.owned(owner)
        playing |= self._playing()  # as of before and after: what has ended or begun meanwhile is not lost
        for row in owned:
            if (row.key, row.execution) not in playing:
                await recover(self._services, row, most_losses=ANY_LOSSES)

    def _playing(self) -> set[tuple[int, int]]:
        return {(key, execution.row.execution) for key, execution in self.executions.items()}

    async def _stop_executions(self) -> None:
        """The node has lost its lease: stop every worker, and commit nothing more."""
        executions = list(self.executions.values())
        tasks = [task for execution in executions for task in execution.abandon()]
        if tasks:
            await asyncio.wait(tasks)
        for execution in executions:
            self._remove(execution)

    def _recover_later(self, row: InstanceRow) -> None:
        at = self._services.clock.now() + RECOVER_AFTER_MS
        self._services.clock.call_at(at, lambda: spawn(self._tasks, self._recover(row)))

    async def _recover(self, row: InstanceRow) -> None:
        """Close what an execution left open whose end could not be committed.

        A fault is retried until the server stops. The store was at fault, not the code: an instance does not end by it,
        however often its attempt is lost while the database's disk is full.
        """
        if self._stopping:
            return
        try:
            await recover(self._services, row, most_losses=ANY_LOSSES)
        except Exception as error:  # noqa: BLE001 - it costs this instance only
            self._services.log("recovery_failed", instance=row.key, error=f"{type(error).__name__}: {error}")
            self._recover_later(row)
        else:
            self.wake()

    def _remove(self, execution: Execution) -> None:
        row = execution.row
        if self.executions.get(row.key) is execution:
            del self.executions[row.key]
        if not self.executions:
            self.idle_trimmer.on_idle()

    def _on_worker_idle(self) -> None:
        """A worker became idle; its slot goes to an instance that waits for one, which had a claim when it fell due."""
        if len(self.executions) >= self._services.settings.slots - self._spare():
            self._evict_idle()

    def _evict_idle(self) -> None:
        if any(execution.idle for execution in self.executions.values()):
            spawn(self._tasks, self._evict_one_if_needed())

    async def _evict_one_if_needed(self) -> None:
        try:
            due = await self._services.store.next_due()
        except StoreError as error:
            self._services.log("scheduler_failed", error=f"{type(error).__name__}: {error}")
            self._arm_at(self._services.clock.now() + RETRY_CLAIM_MS)
            return
        if due is None or due > self._services.clock.now():
            return
        idle = [execution for execution in self.executions.values() if execution.idle]
        kept = self._kept_parents(idle)
        others = [execution for execution in idle if execution not in kept]
        if others:
            min(others, key=_idle_since).evict(ev.EVICTED)
        elif kept:
            self._arm_at(_idle_since(kept[0]) + PARENT_KEPT_MS)

    def _kept_parents(self, idle: Sequence[Execution]) -> Sequence[Execution]:
        """Those that are not evicted yet, longest idle first: the end of a next child would have them replayed."""
        since = self._services.clock.now() - PARENT_KEPT_MS
        found = [execution for execution in idle if _idle_since(execution) > since and execution.waits_for_child]
        most = int(self._services.settings.slots * PARENTS_KEPT_SHARE)
        return sorted(found, key=_idle_since)[len(found) - min(most, len(found)) :]

    async def _arm(self, at: int, claimed: Claimed) -> None:
        """Set the timer for when the next instance falls due, after a claim that began here `at` a time.

        What was due then and was not claimed has a full queue, or no dispatcher yet. Where the store's own time counts,
        which is a little behind or ahead, what is due here may not be due there.
        """
        done = at if claimed.at is None else claimed.at
        times = [claimed.again_at, self._armed_for]  # a commit may have armed it since the claim looked
        if not claimed.knows_next:
            times.append(await self._services.store.next_due(after=done))
        due = min((time for time in times if time is not None), default=None)
        if due is not None and len(self.executions) < self._services.settings.slots:
            self._arm_at(max(due, due + at - done, self._services.clock.now() + 1))

    def _on_due(self, when: int) -> None:
        """A commit, by whichever node, has made an instance fall due at this time."""
        if when <= self._services.clock.now():
            self.wake()
        elif self._armed_for is None or when < self._armed_for:
            self._arm_at(when)

    def _arm_at(self, when: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = when
        self._timer = self._services.clock.call_at(when, self.wake)

    def expire(self) -> None:
        """Remove the instances whose retention is over, now and every `EXPIRE_EVERY_MS`."""
        self._expiring = True
        spawn(self._tasks, self._expire_now())

    async def _expire_now(self) -> None:
        services = self._services
        now = services.clock.now()
        settings, store = services.settings, services.store
        before = now - settings.retention_days * durations.DAY
        before_chaos = now - settings.chaos_retention_hours * durations.HOUR
        ids_before = now - settings.used_id_days * durations.DAY
        audit_before = now - settings.audit_days * durations.DAY if settings.audit_days else 0
        try:
            mine = await store.take_chore("expire", at=now, until=now + EXPIRE_EVERY_MS)  # else another node does it
            while mine and (
                (settings.retention_days and await store.expire(before))
                or await store.expire(before_chaos, chaos=True)
                or await store.expire(now, retained=True)
                or (settings.used_id_days and await store.forget_used_ids(ids_before))
                or await store.audit.forget(audit_before, most=settings.audit_entries)
            ):
                if self._stopping:
                    return
        except Exception as error:  # noqa: BLE001 - it is logged, and retried
            services.log("expiry_failed", error=f"{type(error).__name__}: {error}")
        finally:
            self._expiring = False
        if not self._stopping:
            self._expiry = services.clock.call_at(services.clock.now() + EXPIRE_EVERY_MS, self.expire)


def _idle_since(execution: Execution) -> int:
    return execution.idle_timeout.since or 0


async def recover(services: Services, row: InstanceRow, *, most_losses: int | None = None) -> None:
    """Close what a lost execution left open; idempotent.

    `most_losses`: workers that one attempt may lose in a row, where it is not the setting's.
    """
    most = services.settings.worker_losses if most_losses is None else most_losses
    try:
        committed = await services.store.decide(
            row.key,
            operations.lose_worker(ev.LOST, most),
            execution=row.execution,
            at=services.clock.now(),
        )
        if not committed.events:
            await services.store.unclaim(row.key, execution=row.execution)
        services.log("recovered", instance=row.key, status=committed.row.status)
    except (Fenced, InstanceNotFound):
        return
