"""Nodes of the simulation: the real engine over a connection, workers and a clock of its own, one life at a time."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from playground.engine.clock import Timer
from playground.engine.engine import Engine
from playground.engine.execution.execution import Execution
from playground.engine.nodes import Heartbeat
from playground.store.protocol import Lease
from simulation.loop import Process, SimulationLoop, context_in
from simulation.network import EPOCH_MS, Connection, Network
from simulation.plants import Plant
from simulation.scenario import Scenario
from simulation.workers import ISOLATED, NOT_ISOLATED, Sandbox, Worker

LAST_TURNS = 200  # of the loop, for the callbacks of a boot that is dead
NEVER_IDLE_SECONDS = 1e9  # the trimmer frees memory of this process, which is not simulated


class NodeClock:
    """A machine's own clock, which is off."""

    def __init__(self, loop: SimulationLoop, ahead_ms: int) -> None:
        self._loop, self.ahead_ms = loop, ahead_ms

    def now(self) -> int:
        """Epoch milliseconds."""
        return EPOCH_MS + self.ahead_ms + self._loop.now_ms()

    def elapsed(self) -> int:
        """See `playground.engine.clock.Clock`."""
        return self._loop.now_ms()

    def call_at(self, when: int, callback: Callable[..., Any], *args: Any) -> Timer:
        """See there."""
        return self._loop.call_later(max(0, when - self.now()) / 1000, callback, *args)


class Ids:
    """Ids that are the same in every run of a seed."""

    def __init__(self) -> None:
        self._count = 0

    def instance_ids(self, count: int) -> list[str]:
        """See `playground.engine.ids.Ids`."""
        return [self.token() for _ in range(count)]

    def nonces(self, count: int) -> list[str]:
        """See there."""
        return self.instance_ids(count)

    def token(self) -> str:
        """See there."""
        self._count += 1
        return f"id-{self._count}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every boot of a run is given. `before_call(boot, name, options)`: a call of it has reached the database."""

    loop: SimulationLoop
    network: Network
    scenario: Scenario
    plant: Plant
    workflow: type
    ids: Ids
    before_call: Callable[["Boot", str, Mapping[str, Any]], None]
    trace: Callable[[str], None]


class Boot:
    """One life of a node.

    `owners` are all that it is in the rows. `well_since`: it has had its lease and its connection since then;
    `free_since`: it could have claimed since then; `back_at` is when it last thawed or was connected again.
    """

    engine: Engine | None = None

    def __init__(self, surroundings: Surroundings, name: str, number: int, ahead_ms: int) -> None:
        self._surroundings, self._loop = surroundings, surroundings.loop
        self.name, self.process = name, Process(f"{name}.{number}")
        self._context = context_in(self.process)
        self.connection = Connection(
            surroundings.network, self.process, partial(surroundings.before_call, self), surroundings.plant
        )
        self.clock = NodeClock(self._loop, ahead_ms)
        self.workers: list[Worker] = []
        self.owners: set[str] = set()
        self.back_at = self.well_since = self.free_since = 0
        self._opened: AbstractAsyncContextManager[Engine] | None = None
        self._ending = False

    def __repr__(self) -> str:
        return self.process.name

    @property
    def runs(self) -> bool:
        """Whether it is up: neither dead, nor frozen, nor opening or closing."""
        return self.engine is not None and not (self.process.frozen or self.process.dead or self._ending)

    @property
    def is_connected(self) -> bool:
        """Whether it is up and reaches the database."""
        return self.runs and not self.connection.is_cut

    @property
    def has_lease(self) -> bool:
        """Whether it has a lease, as far as it knows."""
        return self.engine is not None and self.engine._scheduler.membership.lease is not None

    @property
    def is_free(self) -> bool:
        """Whether it could claim an instance now."""
        return self.is_connected and self.has_lease and len(self.executions()) < self._surroundings.scenario.slots

    def note_freedom(self, now: int) -> None:
        """Note whether it is free; called whenever time is about to move."""
        if not self.is_free:
            self.free_since = max(self.back_at, now)

    def has_recovered(self, now: int) -> None:
        """It has thawed, or has its connection again."""
        self.back_at = self.well_since = self.free_since = max(self.back_at, now)

    def executions(self) -> Sequence[Execution]:
        """Its executions."""
        return () if self.engine is None else self.engine.executions()

    def plays(self, key: int, execution: int) -> bool:
        """Whether it plays this execution of an instance."""
        return any(each.row.key == key and each.row.execution == execution for each in self.executions())

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something in its process."""
        return self._loop.create_task(coroutine, context=self._context)

    async def open(self) -> None:
        """Open the engine. Raises StoreError."""
        around, scenario = self._surroundings, self._surroundings.scenario
        tier = ISOLATED if scenario.isolated else NOT_ISOLATED
        join = self.connection.nodes.join

        async def joining(name: str, lasts_ms: int) -> Lease:
            lease: Lease = await join(name, lasts_ms)
            self.owners.add(lease.owner)
            self.well_since = max(self.back_at, self._loop.now_ms())
            return lease

        self.connection.nodes.join = joining
        self._opened = Engine.open(
            settings=scenario.settings,
            store=self.connection,  # type: ignore[arg-type]  # all that an engine uses of a store
            sandbox=Sandbox(self._loop, tier, around.workflow, self.workers.append),  # type: ignore[arg-type]  # likewise
            clock=self.clock,
            ids=around.ids,
            log=lambda event, **fields: around.trace(f"{self}: log {event} {fields}"),
            node=self.name,
            heartbeat=Heartbeat(scenario.lease_ms, self._loop.now_ms),
            env={},
        )
        engine = await self._opened.__aenter__()
        engine._scheduler.idle_trimmer._seconds = NEVER_IDLE_SECONDS
        engine._services.turns._now = self._loop.time
        plant(around.plant, engine)
        self.engine = engine
        self.free_since = self._loop.now_ms()

    def processes(self, *, with_workers: bool) -> list[Process]:
        """Its process, and those of its workers."""
        workers = (worker.process for worker in self.workers if with_workers and worker.alive)
        return [self.process, *workers]

    async def crash(self) -> None:
        """Die at this point: nothing more of it reaches the database, and its workers are gone."""
        self._ending = True
        self.connection.close()
        for worker in self.workers:
            worker.kill()
        self._loop.thaw(self.process)
        engine, self.engine = self.engine, None
        if engine is not None:
            await self.spawn(engine.abandon())
            await self._end()
        for _ in range(LAST_TURNS):  # what has begun ends with an error, which nobody hears
            if self.process.queue:
                await asyncio.sleep(0)
        self._loop.kill(self.process)

    async def stop(self) -> None:
        """End as SIGTERM ends it."""
        self._ending = True
        await self._end()
        self.connection.close()
        self.engine = None
        self._loop.kill(self.process)

    async def _end(self) -> None:
        opened = self._opened
        assert opened is not None, "what ends has been opened"

        async def leave() -> None:
            await opened.__aexit__(None, None, None)

        await self.spawn(leave())


def plant(what: Plant, engine: Engine) -> None:
    """Plant a fault in a node."""
    membership, families = engine._scheduler.membership, engine._services.families

    async def nothing(*_: int) -> None:
        pass

    async def walks_only(*_: int) -> None:
        families.walk_on()

    if what is Plant.LEASE_LATE:
        membership.check = nothing  # type: ignore[method-assign]
    elif what is Plant.UNPLAYED:
        membership._on_renewed = walks_only
    elif what is Plant.NO_WALK:
        families.walk_on = families.walk_all = lambda: None  # type: ignore[method-assign]
