"""A run: nodes over one database, faults and operations drawn from one seed, and the referee.

Faults come in the first part of a run; then nothing more goes wrong, every node is up, and what is left must come to
its end. Any may fall into what follows another:

- a crash: nothing more of a node reaches the database, its workers are gone, and after a while it boots again;
- a pause: a node's callbacks do not run while time goes on, perhaps not its workers' either; then all late things run;
- a stop and a new start, as an operator does it;
- a cut: a node's connection, or everybody's, lets nothing through for a time;
- a clock that is set to something else. Every node's clock is off from the start, by up to an hour.

Operators create the instances, send their events, and pause, resume, terminate, restart, wake or kill some of them, or
pause, resume, wake or kill one of their children, each through any node that is up. Where the answer does not come they
try again, through any node. Somebody follows each journal, through one node after the other as they die.
"""

import asyncio
import gc
import random
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

from playground.engine.creation import CreateInstance
from playground.engine.engine import Engine
from playground.sandbox import channel
from playground.store.errors import StoreError
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import InstanceAlreadyExists, WorkflowError
from simulation.loop import SimulationLoop, Stuck
from simulation.network import Network
from simulation.nodes import LAST_TURNS, Boot, Ids, Surroundings
from simulation.plants import Plant
from simulation.programs import WAIT, Ledger, PlannedWorkflow, draw_plan, steps_of
from simulation.referee import TAKEN_OVER_MS, TENANT, Bounds, Broken, Follower, Planned, Referee, origin_of
from simulation.scenario import draw_scenario
from simulation.store import SimulatedStore

HOUR_MS = 3_600_000
STEPS_MOST = 6  # of one plan
OPERATION_SECONDS = 40.0  # after which an operator takes an operation's outcome for unknown
END_SECONDS = 240.0  # of virtual time after the last fault, in which every instance must have ended
EVENTS_AT_ONCE = 20  # that a stream reads
CALLS_MOST = 8  # in what takes several of them, one after the other
LOSSES_MS = 6_000  # that lost messages may cost, which are tried again

Operation = Callable[[Engine], Coroutine[Any, Any, Any]]


class Cluster:
    """One run. `trace` gets a line for everything that happens.

    `seconds` of virtual time and `callbacks` are how long it took.
    """

    def __init__(self, seed: int, plant: Plant = Plant.NONE, trace: Callable[[str], None] | None = None) -> None:
        self._rng = rng = random.Random(seed)
        self.scenario = scenario = draw_scenario(rng)
        self._loop = loop = SimulationLoop(random.Random(rng.random()))
        self._store = SimulatedStore(loop.now_ms, plant)
        weather = scenario.weather
        self._network = Network(loop, self._store, random.Random(rng.random()), weather)
        self._trace_line = trace
        if trace is not None:
            self._network.trace = self._trace
        ledger = Ledger(loop.now_ms)
        slow = CALLS_MOST * weather.longest_ms + weather.hints_late_ms + (LOSSES_MS if weather.lost_rate else 0)
        bounds = Bounds(scenario.lease_ms, weather.poll_ms, slow, weather.lost_rate > 0)
        self.referee = Referee(loop, self._store, ledger, bounds, scenario.running_most)
        workflow = type("TenantWorkflow", (PlannedWorkflow,), {"ledger": ledger})
        self._surroundings = Surroundings(
            loop, self._network, scenario, plant, workflow, Ids(), self.referee.before_call, self._trace
        )
        self._nodes: dict[str, Boot | None] = {f"n{number}": None for number in range(1, scenario.nodes + 1)}
        self._boots = dict.fromkeys(self._nodes, 0)  # how often each has booted
        self._planned = [
            Planned(f"run-{number}", draw_plan(rng, STEPS_MOST)) for number in range(1, scenario.instances + 1)
        ]
        self._unsent: dict[str, set[str]] = {}  # types of events by instance
        self._operations: list[asyncio.Task[Any]] = []  # kept, since those through a node that dies never end
        self.seconds, self.callbacks = 0.0, 0

    def play(self) -> None:
        """Play it to its end. Raises Broken."""
        loop = self._loop
        loop.set_exception_handler(self._on_error)
        with _only_virtual_time(loop):
            try:
                loop.run_until_complete(self._play())
            except Stuck:
                raise Broken(f"at {loop.time():.3f} s: nothing is left to do, and not all have ended") from None
            finally:
                self.seconds, self.callbacks = loop.time(), loop.callbacks
                self._dispose()
        if self.referee.broken is not None:
            raise self.referee.broken

    async def _play(self) -> None:
        scenario, loop = self.scenario, self._loop
        await asyncio.gather(*(self._boot(name) for name in self._nodes))
        begins = [self._rng.random() * scenario.faulty_seconds for _ in range(scenario.faults)]
        faults = [loop.create_task(self._fault(after)) for after in begins]
        operators = [loop.create_task(self._operate(planned)) for planned in self._planned]
        await asyncio.gather(*faults)
        self._network.calm = True
        self._trace("nothing goes wrong any more")
        assert all(boot is not None and boot.runs for boot in self._nodes.values()), "all are up after the faults"
        done, pending = await asyncio.wait(operators, timeout=END_SECONDS)
        for task in done:
            task.result()
        if pending:
            left = [row.id for row in self._store.rows.values() if row.status not in ev.FINAL_STATUSES]
            self.referee.report(f"{', '.join(left) or 'an operator'} does not come to its end")
            return
        left = END_SECONDS
        while left > 0 and (running := [row.id for row in self._store.rows.values() if not self._has_ended(row)]):
            await asyncio.sleep(1)  # children that nobody waits for are ended
            left -= 1
        if left <= 0:
            self.referee.report(f"{', '.join(running)} goes on, and nobody waits for it")
        for planned in self._planned:
            self.referee.check_end(planned, isolated=scenario.isolated)
        self.referee.check_children(isolated=scenario.isolated)

    def _trace(self, line: str) -> None:
        if self._trace_line is not None:
            self._trace_line(f"{self._loop.time():9.4f} {line}")

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error, what = context.get("exception"), context.get("task") or context.get("future")
        self._trace(f"error: {context['message']}: {error!r}, {what}")
        if not isinstance(error, Broken):
            self.referee.report(f"{context['message']}: {error!r}")

    def _dispose(self) -> None:
        """End every coroutine, so that nothing of this run is left to the next."""
        loop = self._loop
        loop.at_rest, self._store.on_change = lambda: None, lambda before, after: None
        loop.set_exception_handler(lambda loop, context: None)
        self._trace_line = None
        boots = self.referee.boots
        loop.run_until_complete(self._crash_all([boot for boot in boots if not boot.process.dead]))
        tasks = asyncio.all_tasks(loop)
        for boot in boots:
            boot.process.dead = False  # so that its last tasks see that they are cancelled
        for task in tasks:
            task.cancel()
        loop.run_until_complete(_turns_until_done(tasks))
        for boot in boots:
            for worker in boot.workers:
                worker.dispose()
        loop.close()
        self._store.close_now()

    async def _crash_all(self, boots: Sequence[Boot]) -> None:
        for boot in boots:
            await boot.crash()

    # Nodes and their faults.

    async def _boot(self, name: str) -> None:
        while True:
            self._boots[name] += 1
            boot = Boot(self._surroundings, name, self._boots[name], self._draw_skew())
            self.referee.boots.append(boot)
            try:
                await boot.spawn(boot.open())
            except StoreError as error:
                self._trace(f"{boot}: does not open: {error}")
                await boot.crash()
                await asyncio.sleep(1)
                continue
            self._trace(f"{boot}: is up, its clock {boot.clock.ahead_ms} ms ahead")
            self._nodes[name] = boot
            return

    def _draw_skew(self) -> int:
        rng = self._rng
        return rng.choice((0, rng.randint(-50, 50), rng.randint(-HOUR_MS, HOUR_MS)))

    def _up(self) -> list[Boot]:
        return [boot for boot in self._nodes.values() if boot is not None and boot.runs]

    async def _fault(self, after: float) -> None:
        await asyncio.sleep(after)
        rng, up = self._rng, self._up()
        if not up:
            return
        boot = rng.choice(up)
        away = rng.choice((0.05, 0.5, 1.2, 2.0)) * rng.random() * self.scenario.lease_ms / 1000
        kind = rng.random()
        if kind < 0.35:
            await self._crash(boot, away)
        elif kind < 0.65:
            await self._freeze(boot, away, with_workers=rng.random() < 0.5)
        elif kind < 0.75:
            await self._stop(boot, away)
        elif kind < 0.95:
            await self._cut([boot] if kind < 0.9 else up, away)
        else:
            boot.clock.ahead_ms = self._draw_skew()
            self._trace(f"{boot}: its clock is set to {boot.clock.ahead_ms} ms ahead")

    async def _crash(self, boot: Boot, away: float) -> None:
        self._trace(f"{boot}: crashes for {away:.3f} s")
        self._nodes[boot.name] = None
        self._expect_take_over(boot)
        await boot.crash()
        await asyncio.sleep(away)
        await self._boot(boot.name)

    async def _freeze(self, boot: Boot, away: float, *, with_workers: bool) -> None:
        self._trace(f"{boot}: freezes for {away:.3f} s{' with its workers' if with_workers else ''}")
        self._expect_take_over(boot, away)
        processes = boot.processes(with_workers=with_workers)
        for process in processes:
            self._loop.freeze(process)
        await asyncio.sleep(away)
        self._trace(f"{boot}: thaws")
        boot.has_recovered(self._loop.now_ms())
        for process in processes:
            self._loop.thaw(process)

    async def _stop(self, boot: Boot, away: float) -> None:
        self._trace(f"{boot}: stops for {away:.3f} s")
        self._nodes[boot.name] = None
        await boot.stop()
        await asyncio.sleep(away)
        await self._boot(boot.name)

    async def _cut(self, boots: Sequence[Boot], away: float) -> None:
        self._trace(f"{boots}: cut off for {away:.3f} s")
        if len(boots) == 1:
            self._expect_take_over(boots[0], away)
        for boot in boots:
            boot.connection.is_cut = True
        await asyncio.sleep(away)
        self._trace(f"{boots}: connected again")
        for boot in boots:
            boot.connection.is_cut = False
            boot.has_recovered(self._loop.now_ms() + round(self.scenario.weather.timeout_ms))  # of calls that hang

    def _expect_take_over(self, boot: Boot, away: float | None = None) -> None:
        """What a boot has must be taken over in time, if it stays away for so many seconds (None: for good)."""
        bounds = self.referee.bounds
        late = (bounds.lease_ms + TAKEN_OVER_MS + bounds.slow_ms) / 1000
        if (away is None or away > late) and not bounds.lossy:
            self._loop.call_later(late, self.referee.expect_take_over, sorted(boot.owners), self._loop.now_ms())

    # Operators.

    async def _until_done(self, operation: Operation) -> Any:
        """The result of an operation through nodes that are up, whichever, tried until it is known."""
        while True:
            up = self._up()
            if up:
                boot = self._rng.choice(up)
                assert boot.engine is not None, "what is up has an engine"
                task = boot.spawn(operation(boot.engine))
                self._operations.append(task)
                await asyncio.wait({task}, timeout=OPERATION_SECONDS)
                if task.done() and not isinstance(task.exception(), StoreError):
                    return task.result()
            await asyncio.sleep(0.5)

    async def _operate(self, planned: Planned) -> None:
        """Create an instance, send it its events, disturb it, and wait for its end."""
        await asyncio.sleep(self._rng.random() * 5)
        new = CreateInstance("# its plan is its parameter", planned.plan, planned.id, TENANT)
        try:
            await self._until_done(lambda engine: engine.create(new))
        except InstanceAlreadyExists:
            pass  # the answer was lost
        row: InstanceRow = await self._until_done(lambda engine: engine.store.find(TENANT, planned.id))
        self._unsent[planned.id] = _event_types(planned)
        following = self._loop.create_task(self._follow(row))
        disturbing = self._loop.create_task(self._disturb(planned, row))
        while not (self._has_ended(row) and disturbing.done()):
            await asyncio.sleep(self._rng.random() * 3)
            unsent = self._unsent[planned.id]
            if unsent:
                unsent.discard(type := self._rng.choice(sorted(unsent)))
                try:
                    await self._until_done(lambda engine, type=type: engine.send_event(row, type, type))  # type: ignore[misc]
                except WorkflowError:
                    pass  # it has ended
        await disturbing
        await following

    async def _follow(self, row: InstanceRow) -> None:
        """Follow a journal to its end, as a stream does, through one node after the other as they die."""
        seen: list[int] = []
        while not (self._has_ended(row) and len(seen) == self._store.rows[row.key].last_seq):
            up = self._up()
            if not up:
                await asyncio.sleep(0.5)
                continue
            boot = self._rng.choice(up)
            follower = Follower(boot, row.key, len(seen), self._loop.now_ms())
            self.referee.followers.append(follower)
            reading = boot.spawn(self._read(boot, follower, seen))
            self._operations.append(reading)
            while not (reading.done() or boot.process.dead):
                await asyncio.wait({reading}, timeout=0.5)
            self.referee.followers.remove(follower)
        if seen != list(range(1, len(seen) + 1)):
            self.referee.report(f"the stream of {row.id} has a gap: {seen}")

    async def _read(self, boot: Boot, follower: Follower, seen: list[int]) -> None:
        key = follower.key
        with suppress(StoreError):  # then it is followed through another node
            async with boot.connection.subscribe(key) as grown:
                while not self._has_ended(self._store.rows[key]) or len(seen) < self._store.rows[key].last_seq:
                    await grown(len(seen))
                    events = await boot.connection.events(key, after=len(seen), limit=EVENTS_AT_ONCE)
                    seen += [event.seq for event in events]
                    follower.seq = len(seen)

    def _has_ended(self, row: InstanceRow) -> bool:
        found = self._store.rows.get(row.key)
        return found is not None and found.status in ev.FINAL_STATUSES

    async def _disturb(self, planned: Planned, row: InstanceRow) -> None:
        rng = self._rng
        kind = rng.random()
        await asyncio.sleep(rng.random() * 12)
        if kind < 0.2 or 0.37 <= kind < 0.6:
            row = rng.choice([row, *self._children(row)])
        try:
            if kind < 0.2:
                await self._until_done(lambda engine: engine.pause(row))
                await asyncio.sleep(rng.random() * 6)
                await self._until_done(lambda engine: engine.resume(row))
            elif kind < 0.27:
                planned.may_be_terminated = True
                await self._until_done(lambda engine: engine.terminate(row))
            elif kind < 0.37:
                await self._until_done(lambda engine: engine.restart(row))
                self._unsent[planned.id] = _event_types(planned)
            elif kind < 0.5:
                await self._until_done(lambda engine: engine.wake(row))
            elif kind < 0.6:
                await self._until_done(lambda engine: engine.kill_worker(row))
        except WorkflowError as refused:
            self._trace(f"{planned.id}: refused: {refused}")

    def _children(self, row: InstanceRow) -> list[InstanceRow]:
        """The children of an instance that have not ended."""
        return [
            child
            for child in self._store.rows.values()
            if not self._has_ended(child) and (origin_of(self._store, child.key) or ("",))[0] == row.id
        ]


async def _turns_until_done(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Let cancelled tasks end, while no time passes."""
    for _ in range(LAST_TURNS):
        if all(task.done() for task in tasks):
            return
        await asyncio.sleep(0)


def _event_types(planned: Planned) -> set[str]:
    return {part[1] for part in steps_of(planned.plan) if part[0] == WAIT}


@contextmanager
def _only_virtual_time(loop: SimulationLoop) -> Iterator[None]:
    """Keep from a run what differs between two of the same seed: how long this machine takes to read frames, which
    gives up its turn after 2 ms, and when garbage is found.
    """
    machine, collects = channel.time, gc.isenabled()
    channel.time = SimpleNamespace(perf_counter=loop.time)  # type: ignore[assignment]
    asyncio.set_event_loop(loop)
    gc.disable()
    try:
        yield
    finally:
        channel.time = machine
        asyncio.set_event_loop(None)
        if collects:
            gc.enable()
