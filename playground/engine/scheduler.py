"""Who gets a worker: claims due instances while slots are free, wakes sleepers on time, and takes up what a dead server left.

Nothing polls: the scheduler sleeps until something is created, ends or falls due.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from playground.engine import deciders, queues
from playground.engine.calm import Calm
from playground.engine.clock import Timer
from playground.engine.counts import FAILED
from playground.engine.execution import Execution
from playground.engine.pace import Pace
from playground.engine.pipeline import spawn
from playground.engine.services import Services
from playground.engine.start import NoDispatcher, NotStarted
from playground.store.errors import StoreError
from playground.store.protocol import InstanceRow
from playground.workflows import durations
from playground.workflows import events as ev
from playground.workflows.errors import Fenced, InstanceNotFound

RETRY_CLAIM_MS = 1_000  # wait after no worker could be had, or the store failed
RECOVER_AFTER_MS = 1_000  # wait before an instance is taken up whose execution could not be written, and between tries
EXPIRE_EVERY_MS = 10 * durations.MINUTE
ANONYMOUS = ""  # the tenant of instances that belong to nobody
FEW_SLOTS = 4  # with fewer than these none is kept spare


class Scheduler:
    """Holds the executions of this node. `live` maps an instance's key to its execution."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.live: dict[int, Execution] = {}
        self._running: Counter[str] = Counter()
        self._barren: dict[int, int] = {}
        self._tenant_limits = services.tenant_limits
        self._pace = Pace(self._tenant_limits.starts_per_second, lambda: self._tenant_limits.limited)
        self._chaos = True  # whether reruns of chaos runs may be due, of which one claim must not take more than may run
        self._passed_over: set[tuple[str, str]] = set()  # (tenant, workflow) whose dispatcher is not there
        self.calm = Calm(services.store, services.log)
        self._wake = asyncio.Event()
        self._armed_for: int | None = None
        self._leave: Callable[[], None] = lambda: None
        self._timer: Timer | None = None
        self._expiry: Timer | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Close what the last server left open, then begin to claim."""
        services = self._services
        for row in await services.store.owned(None):
            await recover(services, row)
        self._leave = services.store.listen_due(self._due)
        self._loop_task = asyncio.get_running_loop().create_task(self._run())
        self.expire()
        self.wake()

    async def stop(self) -> None:
        """End every execution as lost, so that the next server takes it up at once."""
        self._stopping = True
        self._leave()
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait([self._loop_task])
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        for execution in list(self.live.values()):
            execution.shut_down()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        await self.calm.close()

    async def abandon(self) -> None:
        """Let go of everything at once and write nothing, as if the server had been killed: what `playground.testing` crashes with."""
        self._stopping = True
        self._leave()
        tasks = [task for execution in self.live.values() for task in execution.abandon()]
        for task in (self._loop_task, *self._tasks):
            if task is not None:
                task.cancel()
                tasks.append(task)
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.live.clear()
        self.calm.begun()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way on this side of the workers and outside the store."""
        return not self._wake.is_set() and all(execution.at_rest for execution in self.live.values())

    def wake(self) -> None:
        """Something may be due now."""
        self._armed_for = None
        self._wake.set()

    def expect_chaos(self) -> None:
        """Reruns of a chaos run have been created."""
        self._chaos = True

    def registered(self, workflow: str) -> None:
        """The dispatcher of a workflow is there now."""
        self._passed_over = {lane for lane in self._passed_over if lane[1] != workflow}
        self.wake()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._arm(await self._claim())
            except Exception as error:  # noqa: BLE001 - it is told, and tried again
                self._services.log("scheduler_failed", error=f"{type(error).__name__}: {error}")
                self._arm_at(self._services.clock.now() + RETRY_CLAIM_MS)

    async def _claim(self) -> int | None:
        """Fill the free slots. Gives the time up to which everything that may run does, None when slots were too few."""
        services = self._services
        while True:
            free = services.settings.slots - len(self.live)
            if free <= 0:
                self._evict_idle()
                return None
            at = services.clock.now()
            spare = free <= self._spare()
            limit = free if spare else free - self._spare()
            # A queue of which nothing runs has no room of its own to keep to, so one claim takes no more than any queue may have.
            settings = services.settings
            limit = min(limit, settings.running_per_address, settings.running_per_tenant, settings.starts_per_second_per_tenant)
            if self._chaos:
                limit = min(limit, settings.chaos_running)
            room, closed = self._room(limit, at, spare=spare), sorted(self._passed_over)
            rows = await services.store.claim(services.node, limit, at=at, full=room, full_workflows=closed)
            for row in rows:
                self._begin(row)
            if len(rows) < limit:
                self._chaos = self._chaos and (spare or any(map(queues.is_chaos, self._running)))
                if spare:
                    self._evict_idle()
                return at

    def _spare(self) -> int:
        """Slots that are kept for queues of which nothing runs, so that one with long steps does not hold up another's first."""
        settings = self._services.settings
        return settings.spare_slots if settings.slots >= FEW_SLOTS else 0

    def _room(self, limit: int, at: int, *, spare: bool) -> dict[str, int]:
        room = {queue: left for queue, left in self._pace.room(at).items() if left < limit}
        for queue in {*self._running, *self._tenant_limits.limited}:
            running = self._running[queue]
            left = 0 if spare and running else self._tenant_limits.running(queue) - running
            if left < limit:
                room[queue] = max(0, min(left, room.get(queue, left)))
        return room

    def _begin(self, row: InstanceRow) -> None:
        self._services.counts.begun += 1
        # The one before may have made its last commit, which lets the instance be claimed, and not be over yet.
        before = self.live.get(row.key)
        barren = self._barren.pop(row.key, 0) if before is None else before.ending.barren
        execution = Execution(self._services, row, self._idle_one, barren)
        self.live[row.key] = execution
        self.calm.begun()
        self._running[row.queue] += 1
        if row.tenant:
            self._pace.begun(row.queue, self._services.clock.now())
        execution.task = spawn(self._tasks, self._play(execution))

    async def _play(self, execution: Execution) -> None:
        row = execution.row
        try:
            await execution.play()
        except NotStarted as why:
            if isinstance(why, NoDispatcher):
                self._passed_over.add((row.tenant, row.workflow))
                self.wake()
            elif not self._stopping:
                self._arm_at(self._services.clock.now() + RETRY_CLAIM_MS)
            self._ended(execution)
            return
        except Exception as error:  # noqa: BLE001 - it costs this instance only
            execution.ending.reason = FAILED
            said = f"{type(error).__name__}: {error}"
            if isinstance(error, StoreError):
                self._services.log("commit_failed", instance=row.key, error=said)
            else:
                self._services.log("execution_failed", instance=row.key, error=said)
            self._recover_later(row)
        self._services.counts.ended[execution.ending.reason] += 1
        self._ended(execution)
        self.wake()

    def _recover_later(self, row: InstanceRow) -> None:
        at = self._services.clock.now() + RECOVER_AFTER_MS
        self._services.clock.call_at(at, lambda: spawn(self._tasks, self._recover(row)))

    async def _recover(self, row: InstanceRow) -> None:
        """Close what an execution left open that could not be written to its end; a fault tries it again, until the server stops."""
        if self._stopping:
            return
        try:
            await recover(self._services, row)
        except Exception as error:  # noqa: BLE001 - it costs this instance only
            self._services.log("recovery_failed", instance=row.key, error=f"{type(error).__name__}: {error}")
            self._recover_later(row)
        else:
            self.wake()

    def _ended(self, execution: Execution) -> None:
        row = execution.row
        if self.live.get(row.key) is execution:
            del self.live[row.key]
            if execution.ending.barren:
                self._barren[row.key] = execution.ending.barren
        self._running[row.queue] -= 1
        if self._running[row.queue] <= 0:
            del self._running[row.queue]
        if not self.live:
            self.calm.ended()

    def _idle_one(self) -> None:
        """A worker fell idle; if others wait for its slot, they get it."""
        if len(self.live) >= self._services.settings.slots - self._spare():
            self.wake()

    def _evict_idle(self) -> None:
        spawn(self._tasks, self._evict_one_if_needed())

    async def _evict_one_if_needed(self) -> None:
        due = await self._services.store.next_due()
        if due is None or due > self._services.clock.now():
            return
        idle = [execution for execution in self.live.values() if execution.idle]
        if idle:
            min(idle, key=lambda execution: execution.idleness.since or 0).evict(ev.EVICTED)

    async def _arm(self, done: int | None) -> None:
        """Be woken when the next falls due. What was due by `done` and is left has a queue that is full, or no dispatcher yet."""
        if done is None:
            return
        times = [await self._services.store.next_due(after=done), self._pace.resumes(done)]
        due = min((time for time in times if time is not None), default=None)
        if due is not None and len(self.live) < self._services.settings.slots:
            self._arm_at(max(due, self._services.clock.now() + 1))

    def _due(self, when: int) -> None:
        """A commit, by whichever node, has left something that falls due then."""
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
        """Remove the instances whose time is over, now and then again and again."""
        spawn(self._tasks, self._expire_now())

    async def _expire_now(self) -> None:
        services = self._services
        now = services.clock.now()
        settings, store = services.settings, services.store
        before = now - settings.retention_days * durations.DAY
        before_chaos = now - settings.chaos_retention_hours * durations.HOUR
        ids_before = now - settings.used_id_days * durations.DAY
        try:
            while (
                (settings.retention_days and await store.expire(before))
                or await store.expire(before_chaos, chaos=True)
                or (settings.used_id_days and await store.forget_used_ids(ids_before))
            ):
                if self._stopping:
                    return
        except Exception as error:  # noqa: BLE001 - it is told, and tried again
            services.log("expiry_failed", error=f"{type(error).__name__}: {error}")
        if not self._stopping:
            self._expiry = services.clock.call_at(services.clock.now() + EXPIRE_EVERY_MS, self.expire)


async def recover(services: Services, row: InstanceRow) -> None:
    """Close what an execution that is no more left open; running it twice changes nothing."""
    try:
        committed = await services.store.decide(
            row.key,
            deciders.lose_worker(ev.LOST, services.settings.worker_losses),
            execution=row.execution,
            at=services.clock.now(),
        )
        if not committed.events:
            await services.store.unclaim(row.key, execution=row.execution)
        services.log("recovered", instance=row.key, status=committed.row.status)
    except (Fenced, InstanceNotFound):
        return
