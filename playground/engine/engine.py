"""The engine: create instances and operate on them. The result of each operation is a commit in the store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec.structs import replace

from playground.engine import delivery, operations, queues, replies
from playground.engine.alerts import Alerts
from playground.engine.bindings.binding import Binding, NewChild
from playground.engine.bindings.fetch import FETCH, Fetch, open_outbound, operators_rules
from playground.engine.bindings.own_workflow import OwnWorkflow
from playground.engine.clock import Clock, SharedClock
from playground.engine.code import compatibility
from playground.engine.code.checker import Check, Checker
from playground.engine.code.metadata import check_metadata, tenancy
from playground.engine.code.sources import DEFAULT_BINDINGS, WORKFLOWS, Code, CodeSource, Sources
from playground.engine.creation import CreateInstance, Creation, break_events, breakpoint_events, child_of
from playground.engine.execution import breakpoints, faults
from playground.engine.execution.breakpoints import StepPattern
from playground.engine.execution.context import Log, Services
from playground.engine.execution.execution import Execution
from playground.engine.execution.faults import NewBreak
from playground.engine.execution.gate import may_run_ahead
from playground.engine.execution.pipeline import spawn
from playground.engine.families import Families
from playground.engine.ids import Ids
from playground.engine.limits import SharedCounts, StoredPerDay
from playground.engine.mcp.cancelling import cancel_tasks
from playground.engine.metrics import EngineMetrics
from playground.engine.nodes import MACHINE, Heartbeat
from playground.engine.queues import LimitsOfTenants, TenantLimits
from playground.engine.scheduler import Scheduler
from playground.engine.schedules import Schedules
from playground.engine.span_export import open_tracing
from playground.engine.workers import Workers
from playground.outbound.client import Outbound
from playground.sandbox.frames import size_of
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store.encoding import encode_input
from playground.store.protocol import Committed, Decider, History, Refusal, Store
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows import names
from playground.workflows.errors import (
    Busy,
    CannotTerminate,
    WorkflowError,
)
from playground.workflows.events import StepKey
from playground.workflows.names import CLASS_NAME, workflow_class

DRY_RUNS = 2  # dry runs at once
MINUTE_SECONDS = 60
FORKS = 2  # prepared at once: each holds all results of an instance


class Engine:
    """Owns the scheduler of one node. Open it with `Engine.open`.

    `store` has the journals, for reading; `sandbox` is where tenant code runs; `clock` and `settings` are those of all
    parts, `ids` makes what has to be unique; `schedules` start instances by the clock. `stored` is what each address
    has stored today, `shared` the counts of limits that hold for all nodes, `counts` the executions and the limits met
    since it was opened.
    """

    def __init__(
        self,
        services: Services,
        ids: Ids,
        node: str,
        heartbeat: Heartbeat,
        correct_clock: Callable[[], Awaitable[None]],
    ) -> None:
        self._services, self.ids = services, ids
        self.store, self.sandbox = services.store, services.sandbox
        self.clock, self.settings, self.log = services.clock, services.settings, services.log
        self.stored, self.counts, self.shared = services.stored, services.counts, services.shared
        self.node = node
        self._scheduler = Scheduler(services, node, heartbeat, correct_clock)
        self.schedules = Schedules(services.store, services.clock, services.settings, ids, services.log)
        self._checker = Checker(
            services.sandbox,
            services.settings.source_bytes,
            services.settings.check_seconds_per_minute,
            services.clock.now,
            services.turns,
            keep=services.workers.keep_checked,
        )
        self._creation = Creation(
            services.store, services.settings, services.clock, ids, services.tenant_limits, services.log, self.check
        )
        self._children_started = services.shared.count_of("children_per_minute", MINUTE_SECONDS, 1_000)
        self.fork_slots = asyncio.Semaphore(FORKS)  # per node on purpose: it bounds this process's memory
        self._background: set[asyncio.Task[Any]] = set()
        # Per node on purpose: a dry run takes this node's workers and processor, and changes nothing.
        self._dry_run_slots = asyncio.Semaphore(DRY_RUNS)
        self._dry_running: set[str] = set()  # queues with a dry run under way

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        settings: Settings,
        store: Store,
        sandbox: Sandbox,
        clock: Clock,
        ids: Ids,
        log: Log,
        node: str = "local",
        heartbeat: Heartbeat = MACHINE,
        env: Mapping[str, Any] | None = None,
        outbound: Outbound | None = None,
    ) -> AsyncIterator["Engine"]:
        """Recover what the last server left, run instances while open, and leave them resumable at the end.

        `node` is its name among the engines that share the store; of one name only the last to open continues.
        `heartbeat`: see there. Where the store has a clock, that is used in place of `clock`. `env` is what code that
        came as a snippet finds in `self.env` instead of the bindings for everybody. `outbound`: the connections to the
        world, by default those that the settings allow.
        """
        shared_clock, read_clock = SharedClock(clock.elapsed), store.nodes.clock
        if read_clock is not None:
            clock = shared_clock

        async def correct_clock() -> None:
            if read_clock is not None:
                await shared_clock.correct(read_clock)

        tracing = open_tracing(settings, node)
        sources = Sources(store, DEFAULT_BINDINGS if env is None else env)
        shared = SharedCounts(store.usage, clock.now)
        stored = StoredPerDay(settings.stored_per_day, shared)
        counts, limits = EngineMetrics(log), LimitsOfTenants(settings)
        workers = Workers(sandbox, settings)
        families = Families(store, clock, log, settings.instance_bytes)
        services = Services(
            store, sandbox, clock, settings, log, sources, stored, counts, limits, shared, workers, families,
            outbound or open_outbound(settings, clock.now), tracing=tracing,
        )  # fmt: skip
        engine = cls(services, ids, node, heartbeat, correct_clock)
        sources.add_own(WORKFLOWS, lambda row: OwnWorkflow(row, engine.start_own_child))
        if env is None:
            everybodys = Fetch(operators_rules(settings))
            sources.add_own(FETCH, lambda row: everybodys)
        alerts = Alerts(store, clock, settings, services.trusted, node, ids.token, log)
        await engine._scheduler.start()
        engine.schedules.begin()
        alerts.start()
        try:
            yield engine
        finally:
            await alerts.stop()
            await engine.schedules.stop()
            for task in engine._background:
                task.cancel()
            await engine._scheduler.stop()
            workers.close()
            await services.outbound.aclose()
            await services.trusted.aclose()
            if tracing is not None:
                await tracing.close()
            await shared.close()

    async def start_own_child(self, row: InstanceRow, child: NewChild) -> int:
        """Create a child that runs the code of its parent, or the class of it that is named, and charge it to the
        parent's address; returns its key.

        Raises as `create`; Busy too where the address has started as many as it may in a minute.
        """
        template = await self._own_template(row, size_of(child.params.value))
        if child.workflow is not None:
            template = replace(template, class_name=child.workflow)
        return (await self.create(child_of(template, child))).key

    async def own_delivery(self, key: int, trigger: Mapping[str, Any], size: int) -> CreateInstance:
        """What a delivery of a run's own queue is made of, without id, params and the class that handles it: it runs
        the code of that run as its child, and is charged to its address. `size`: bytes of its params.

        Raises:
            InstanceNotFound: the run is gone.
            Busy: its address has started as many children as it may in a minute.
        """
        row = await self.store.row(key)
        template = await self._own_template(row, size)
        depth_left = self._services.limit(row, "child_depth") - 1
        return replace(
            template,
            queue=row.queue,
            trigger={**trigger, "of": row.id},
            parent=row.key,
            limits={**(template.limits or {}), "child_depth": depth_left},
            skip_sleeps=operations.skips_sleeps(row.injected),
        )

    async def _own_template(self, row: InstanceRow, size: int) -> CreateInstance:
        """What runs the code of an instance again, charged to its address. Raises Busy."""
        most, address = self.settings.children_per_minute, queues.billed(row.queue)
        if not row.tenant and address.startswith(queues.ADDRESS):
            await self._children_started.read(address)
            if self._children_started.total(address) >= most:
                raise Busy(
                    f"One address may start {most:,} children in a minute. Start fewer, or later.",
                    retry_after=60,
                    setting="children_per_minute",
                )
            self._children_started.add(address, 1)
        self.stored.add(address, size)
        return CreateInstance(
            None,
            tenant=row.tenant,
            workflow=row.workflow,
            class_name=workflow_class(row.class_name),
            control_hash=row.control_hash,
            limits=dict(row.limits) if row.limits else None,
            version=row.snippet,
        )

    def run_in_background(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in the background, until it is done or the engine closes."""
        return spawn(self._background, coroutine)

    def on_idle(self, clear: Callable[[], None]) -> None:
        """Call `clear` whenever the engine has been idle for some seconds; it empties a cache."""
        self._scheduler.idle_trimmer.add_cache(clear)

    async def dry_run(self, code: Code, snapshot: History) -> compatibility.Compatibility:
        """Whether other code is compatible with an instance's history, by a dry run. Raises Busy."""
        queue = snapshot.row.queue
        if queue in self._dry_running:
            raise Busy("Other code is being tried already for the same owner. Try again in 1 s.", retry_after=1)
        self._dry_running.add(queue)
        try:
            async with self._dry_run_slots:
                return await compatibility.dry_run(self._services, code, snapshot)
        finally:
            self._dry_running.discard(queue)

    async def code(self, row: InstanceRow) -> Code:
        """The code that the next execution of an instance would run. Raises whatever its source raises."""
        return await self._services.sources.load(row)

    def register(self, workflow: str, source: CodeSource) -> None:
        """Load the code of instances of this workflow from `source`; those that waited for it run now.

        Raises:
            InvalidName: there is a source for this name.
        """
        self._services.sources.register(workflow, source)
        self._scheduler.on_dispatcher_registered(workflow)

    def add_own(self, name: str, make: Callable[[InstanceRow], Binding]) -> None:
        """What code that came as a snippet finds in `self.env` as a binding of its own instance."""
        self._services.sources.add_own(name, make)

    def limit_tenant(self, metadata: Mapping[str, Any], limits: TenantLimits) -> None:
        """Give a tenant limits of its own in place of the settings' for as long as the engine is open; `metadata` names
        it, as for `wrap_binding`.

        Call it before the dispatcher is made whose instances it is about: then nothing of the tenant has begun.

        Raises:
            MissingDispatcherMetadataError, InvalidMetadata: see `Dispatcher.wrap_binding`.
        """
        self._services.tenant_limits.set(tenancy(check_metadata(metadata)), limits)
        self._scheduler.wake()

    @property
    def runs_ahead(self) -> bool:
        """Whether workers go on before their results are durable (execution/gate.py)."""
        return may_run_ahead(self.sandbox.tier, self.settings)

    def running(self) -> int:
        """How many instances have a worker now."""
        return len(self._scheduler.executions)

    def executions(self) -> list[Execution]:
        """The executions under way on this node."""
        return list(self._scheduler.executions.values())

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way on this side of the workers and outside the store; only a worker, time or a call
        changes that.
        """
        return self._scheduler.at_rest and self.schedules.at_rest

    @property
    def has_lease(self) -> bool:
        """Whether this node may run instances. It has lost its lease where it could not renew it in time."""
        return self._scheduler.membership.owner is not None

    @property
    def lease_age_ms(self) -> int:
        """Milliseconds since this node renewed its lease; 0 where leases do not end."""
        return self._scheduler.membership.renewed_ago_ms

    async def renew_lease(self) -> None:
        """Renew the lease of this node now, and take over what lost nodes have left, as it does by itself a few times
        while a lease lasts.
        """
        await self._scheduler.membership.beat()

    async def abandon(self) -> None:
        """Stop everything at once and write nothing, as if the server had been killed.

        `playground.testing` simulates crashes with it.
        """
        self.shared.abandon()
        await self.schedules.stop()
        await self._scheduler.abandon()
        self._services.workers.close()

    async def check(
        self,
        source: str,
        owner: str = "",
        class_name: str = CLASS_NAME,
        *,
        to_run: bool = False,
        cloudflare: bool = False,
    ) -> Check:
        """Problems and outline of a source, found in the sandbox without running it; owners take turns.

        `to_run`: the owner is about to create an instance of it. `cloudflare`: see `Checker.check`.

        Raises TooLarge, CheckedTooMuch, Busy.
        """
        return await self._checker.check(source, owner, class_name, to_run=to_run, cloudflare=cloudflare)

    async def create(self, new: CreateInstance) -> InstanceRow:
        """See `Creation.create`."""
        return await self._creation.create(new)

    async def create_or_find(self, new: CreateInstance) -> tuple[InstanceRow, bool]:
        """See `Creation.create_or_find`."""
        return await self._creation.create_or_find(new)

    async def create_batch(
        self, batch: list[CreateInstance], *, instead_of: tuple[int, str] | None = None, needs: int | None = None
    ) -> tuple[list[InstanceRow], list[Refusal]]:
        """See `Creation.create_batch`."""
        return await self._creation.create_batch(batch, instead_of=instead_of, needs=needs)

    # Operations. Each takes the row that its caller has found, and gives what it committed, which is nothing where it
    # had no effect. All raise InstanceNotFound where the instance has been deleted meanwhile.

    async def send_event(
        self, row: InstanceRow, type: str, payload: Any = None, *, by: Mapping[str, Any] | None = None
    ) -> Committed:
        """Send an event; the journal has who sends it (`by`).

        Raises InvalidEventType, InstanceInFiniteState, PayloadMismatch, TooLarge, NotSerialisable.
        """
        names.check_event_type(type)
        tree = await encode_input(payload, "event payload", self.settings.value_bytes)
        return await self.operate(row, delivery.send_event(type, tree, self.clock.now(), by))

    async def answer_wait(
        self,
        row: InstanceRow,
        step: StepKey,
        started_seq: int,
        type: str,
        payload: Any,
        *,
        by: Mapping[str, Any] | None = None,
    ) -> Committed:
        """Send an event to one wait: the one of this step that began at `started_seq` of the journal.

        Raises WaitOver, PayloadMismatch, TooLarge, NotSerialisable.
        """
        tree = await encode_input(payload, "event payload", self.settings.value_bytes)
        decider = delivery.answer_wait(step, started_seq, type, tree, self.clock.now(), by)
        return await self.operate(row, decider)

    async def ask(self, row: InstanceRow, type: str, payload: Any = None) -> Any:
        """Send an event and wait for the workflow's reply, in its stored form, which is in the journal by then.

        Raises:
            EventRejected: the workflow refuses the event.
            EventNotAnswered: it has not replied within `reply_seconds`, or has ended; the event stays with it.
            InvalidEventType, InstanceInFiniteState, PayloadMismatch, TooLarge, NotSerialisable, InstanceNotFound
        """
        committed = await self.send_event(row, type, payload)
        return await self.reply_to(row, committed)

    async def reply_to(self, row: InstanceRow, sent: Committed) -> Any:
        """The reply to the event that a commit has sent. Raises as `ask`."""
        received = next(event.seq for event in sent.events if event.type == ev.EVENT_RECEIVED)
        return await replies.reply_to(self.store, row.key, received, self.settings.reply_seconds)

    async def pause(self, row: InstanceRow) -> Committed:
        """Pause now, or when the attempts that run have ended. No effect on what is paused or has ended."""
        return await self.operate(row, operations.pause)

    async def resume(self, row: InstanceRow) -> Committed:
        """Go on after a pause, or cancel one that has not taken effect. No effect otherwise."""
        return await self.operate(row, operations.resume(self.clock.now()))

    async def terminate(self, row: InstanceRow, rollback: bool = False) -> Committed:
        """End an instance; with `rollback`, after its handlers have run. Raises CannotTerminate once it has ended.

        Tasks that it has begun at servers of tools are cancelled there.
        """
        committed = await self.operate(row, operations.terminate(rollback))
        if not rollback:
            self.run_in_background(cancel_tasks(self._services, committed.row))
        return committed

    async def restart(
        self,
        row: InstanceRow,
        from_step: StepKey | None = None,
        new_breaks: Sequence[NewBreak] = (),
        new_breakpoints: Sequence[StepPattern] = (),
        *,
        generation: int | None = None,
    ) -> Committed:
        """Run again from the start, or from a step, with the breaks and breakpoints that are set and these new ones.

        Args:
            generation: in which it is to be restarted, so that who tries twice restarts once.

        Raises:
            CannotRestart: there is no such step, or it is in another generation.
            CannotBreak: a break or a breakpoint makes no sense.
        """
        broken, stops = await break_events(new_breaks), breakpoint_events(new_breakpoints)
        committed = await self.operate(
            row, operations.restart(from_step, broken, stops, generation, at=self.clock.now())
        )
        self._services.families.look_at([row.key])  # it waits for some children no more
        return committed

    async def set_break(self, row: InstanceRow, new: NewBreak) -> Committed:
        """Break a step on purpose, or clear a break.

        Raises InstanceInFiniteState, CannotBreak, NotSerialisable, TooLarge.
        """
        event = await faults.break_event(new)
        return await self.operate(row, faults.change_breaks(event))

    async def set_breakpoint(self, row: InstanceRow, step: StepPattern, *, on: bool = True) -> Committed:
        """Set or clear a breakpoint: the instance stops before such a step that has not begun yet.

        Raises InstanceInFiniteState, CannotBreak.
        """
        return await self.operate(row, breakpoints.change_breakpoints(breakpoints.breakpoint_event(step, on=on)))

    async def go_on(
        self,
        row: InstanceRow,
        until: StepPattern | None = None,
        output: Any = breakpoints.NOTHING,
        *,
        error: breakpoints.GivenError | None = None,
    ) -> Committed:
        """Go on from a stop or a pause, until a step if one is named; with `output`, the step that it is stopped before
        has this result and does not run; with `error`, it fails with that.

        Raises:
            InstanceInFiniteState, CannotBreak
            CannotContinue: it is not stopped before a step that could have this result or this error.
            NotSerialisable, TooLarge: the result can't be stored.
        """
        assert output is breakpoints.NOTHING or error is None, "a step has either a result or an error"
        given: breakpoints.Given | breakpoints.GivenError | None = error
        if output is not breakpoints.NOTHING:
            given = breakpoints.Given(await encode_input(output, "output", self.settings.value_bytes))
        return await self.operate(row, breakpoints.go_on(self.clock.now(), until, given))

    async def delete(self, row: InstanceRow) -> None:
        """Remove an instance, whatever it does."""
        if row.status not in ev.FINAL_STATUSES:
            with suppress(CannotTerminate):  # it has just ended by itself
                await self.operate(row, operations.terminate(False))
        await self._services.families.settle([row.key])  # while how it ended can still be read
        await self.store.delete(row.key)

    async def kill_worker(self, row: InstanceRow, when: str = ev.KILL_NOW) -> Committed:
        """SIGKILL the instance's worker: `now`, `during-step` (the next attempt), `before-commit` (of the next result),
        or `never` after all.

        An armed kill stays armed until an execution reaches its point.

        Raises:
            NoWorker: it has none now.
            WorkflowError: `when` is none of these.
        """
        if when not in ev.KILL_POINTS:
            raise WorkflowError(f"when takes {', '.join(ev.KILL_POINTS)}")
        if when == ev.KILL_NEVER:
            return await self.operate(row, operations.disarm_kill)
        if when == ev.KILL_NOW:
            return await self.operate(row, operations.kill(self.settings.worker_losses))
        return await self.operate(row, operations.arm_kill(when))

    async def wake(self, row: InstanceRow, step: StepKey | None = None) -> Committed:
        """End a sleep, a retry wait or an event's timeout now: the named one, or the one due first.

        Recorded as virtual. Raises NothingToWake.
        """
        return await self.operate(row, operations.wake(step, self.clock.now()))

    async def skip_sleeps(self, row: InstanceRow, *, on: bool = True) -> Committed:
        """Have every sleep and every wait before a retry be over at once from now on, or no longer.

        Recorded as virtual. Raises InstanceInFiniteState.
        """
        return await self.operate(row, operations.skip_sleeps(on, self.clock.now()))

    async def operate(self, row: InstanceRow, decider: Decider) -> Committed:
        """Commit an operation. The execution of the instance, on whichever node, follows its journal and acts on it."""
        return await self.store.decide(row.key, decider, execution=None, at=self.clock.now())
