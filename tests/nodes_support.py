"""Two engines ("nodes") over one store object in one process, each with a lease that ends by a clock of the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from database_support import url_in
from puppet_support import Puppet, Puppets

from playground.engine import CreateInstance, Engine
from playground.engine.clock import SystemClock
from playground.engine.ids import SystemIds
from playground.engine.nodes import LEASE_MS, Heartbeat, Membership
from playground.settings import Settings
from playground.store import open_store
from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.testing.server import LeaseClock, by_hand
from playground.workflows.events import Event


@dataclass
class Node:
    """One engine with its workers. What it would do later by the machine's clock is done when a test says so."""

    name: str
    engine: Engine
    puppets: Puppets
    log: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def membership(self) -> Membership:
        return self.engine._scheduler.membership

    def said(self) -> list[str]:
        """The lines of its log."""
        return [event for event, _ in self.log]


class Freezable:
    """A node's way to the store. While it is frozen no call of it begins; what is under way then ends when it thaws."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thawed = asyncio.Event()
        self._thawed.set()

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name == "nodes":
            return Freezable(found)._like(self)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def through(*args: Any, **kwargs: Any) -> Any:
            await self._thawed.wait()
            result = await found(*args, **kwargs)
            await self._thawed.wait()
            return result

        return through

    def _like(self, other: "Freezable") -> "Freezable":
        self._thawed = other._thawed
        return self


class Cluster:
    """The nodes, their store and the clock of their leases."""

    def __init__(self, store: Store, clock: LeaseClock, opened: contextlib.AsyncExitStack, settings: Settings) -> None:
        self.store, self.clock, self._opened, self._settings = store, clock, opened, settings
        self.nodes: dict[str, Node] = {}

    async def open(self, name: str, store: Any = None) -> Node:
        """One more node; `store` is what it has in the place of the store itself."""
        log: list[tuple[str, dict[str, Any]]] = []
        puppets = Puppets()
        engine = await self._opened.enter_async_context(
            Engine.open(
                settings=self._settings,
                store=store or self.store,
                sandbox=puppets,  # type: ignore[arg-type]  # all of it that an engine uses
                clock=SystemClock(),
                ids=SystemIds(),
                log=lambda event, **fields: log.append((event, fields)),
                node=name,
                heartbeat=Heartbeat(LEASE_MS, self.clock, by_hand),
            )
        )
        self.nodes[name] = Node(name, engine, puppets, log)
        return self.nodes[name]

    async def pass_time(self, milliseconds: int, *alive: Node) -> None:
        """Let time pass for the leases; the nodes that live renew theirs as often as they would."""
        for _ in range(0, milliseconds, LEASE_MS // 5):
            self.clock.now += LEASE_MS // 5
            for node in alive:
                await node.membership.beat()

    async def start(self, node: Node, **given: Any) -> tuple[InstanceRow, Puppet]:
        """An instance that this node plays, and its worker."""
        row = await node.engine.create(CreateInstance("# a puppet", **given))
        return row, await node.puppets.next(row.id)

    async def journal(self, row: InstanceRow, until: Callable[[list[Event]], bool]) -> list[Event]:
        """The journal, once it says what is waited for."""
        journal: list[Event] = []
        async with self.store.subscribe(row.key) as grown:
            while not until(journal):
                await grown(journal[-1].seq if journal else 0)
                journal += await self.store.events(row.key, after=journal[-1].seq if journal else 0, limit=1000)
        return journal


@contextlib.asynccontextmanager
async def cluster(folder: Path, *names: str, **settings: Any) -> AsyncIterator[Cluster]:
    """Nodes of these names."""
    clock = LeaseClock()
    chosen = Settings(**({"workers": 4, "synchronous": "normal", "drain_seconds": 0, "spare_slots": 0} | settings))
    async with contextlib.AsyncExitStack() as opened:
        url = url_in(folder, "nodes.db")
        store = await asyncio.to_thread(open_store, url, synchronous="normal", lease_clock=clock)
        opened.push_async_callback(store.close)
        found = Cluster(store, clock, opened, chosen)
        for name in names:
            await found.open(name)
        yield found
