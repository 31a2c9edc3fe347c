"""The servers of a test: engines over one store, which are killed at planned commits and started again on the same
journal.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from playground.engine.engine import Engine
from playground.engine.execution.execution import Execution
from playground.engine.nodes import BEATS_PER_LEASE, LEASE_MS, Heartbeat
from playground.settings import Settings
from playground.store import open_store
from playground.store.protocol import Committed, Store
from playground.store.rows import NewInstance
from playground.testing.clock import VirtualClock
from playground.testing.crashes import CrashingStore, CrashPlan
from playground.testing.run import ServerCrashed
from playground.testing.sandbox import LocalSandbox

T = TypeVar("T")

LATE_TURNS = 20  # of the event loop

# What happens after a server crashed.
RESTARTED = "restarted"  # it starts again at once
REPLACED = "replaced"  # the others take over when its lease has expired; then it starts again
THAWED = "thawed"  # it was frozen, not killed: it goes on once the others have taken over


@dataclass(frozen=True, slots=True)
class Nodes:
    """The servers of a test. Those in `play` run instances; operations of the test go to the last of `names`."""

    names: tuple[str, ...] = ("local",)
    play: tuple[str, ...] = ("local",)
    crashed: str = RESTARTED


ALONE = Nodes()
ASKED_ELSEWHERE = Nodes(("a", "b"), ("a",))  # operations go to a node that runs no instance


class LeaseClock:
    """The clock of leases, in milliseconds; it moves only when a node is to be lost."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class _WithoutSlots(Settings):
    """Settings of a node that runs no instances."""

    @property
    def slots(self) -> int:
        return 0


class _Never:
    def cancel(self) -> None:
        """There is nothing to cancel."""


def by_hand(seconds: float, act: Callable[[], None]) -> _Never:
    """A heartbeat without a timer: the test renews leases itself."""
    return _Never()


class _Node:
    """One engine, over its `CrashingStore`."""

    engine: Engine

    def __init__(self, name: str, store: CrashingStore) -> None:
        self.name, self.store = name, store
        self.opened = AsyncExitStack()
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def unless_it_dies(self, operation: Awaitable[T]) -> T:
        """The result of an operation. Raises ServerCrashed."""
        task = asyncio.ensure_future(operation)
        both: set[asyncio.Future[Any]] = {task, self.died}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        raise ServerCrashed("the server was killed, as planned, while it carried this out")

    async def close(self, *, kill: bool) -> None:
        """Stop it: by kill -9, or as an operator does."""
        try:
            if not kill:
                await self.unless_it_dies(self.opened.aclose())
                return
        except ServerCrashed:
            pass
        self.store.dead = True
        await self.engine.abandon()
        await self.opened.aclose()


class LocalServer:
    """One database with one or several engines. `sandbox` has threads of the test as workers, or real workers."""

    store: Store

    def __init__(
        self,
        url: str,
        settings: Settings,
        clock: VirtualClock,
        sandbox: Any,
        crash_plan: CrashPlan,
        *,
        env: Mapping[str, Any] | None,
        durable: Callable[[Committed], None],
        changed: Callable[[], None],
        log: Callable[..., None],
        nodes: Nodes = ALONE,
        on_create: Callable[[NewInstance], NewInstance] = lambda new: new,
        opened: Callable[[Engine], None] = lambda engine: None,
    ) -> None:
        self._url, self._settings, self._clock, self._sandbox, self._crash_plan = (
            url,
            settings,
            clock,
            sandbox,
            crash_plan,
        )
        self._env, self._durable, self._changed, self._log = env, durable, changed, log
        self._layout, self._leases, self._on_open, self._on_create = nodes, LeaseClock(), opened, on_create
        self._nodes: list[_Node] = []
        self._numbers = self._nonces = 0

    @property
    def engine(self) -> Engine:
        """The first node's."""
        return self._nodes[0].engine

    def executions(self) -> list[Execution]:
        """The open executions of all nodes."""
        return [execution for node in self._nodes for execution in node.engine.executions()]

    @property
    def dead(self) -> bool:
        """Whether a server was killed, or is frozen, and has not been started again."""
        return any(node.store.dead or node.store.frozen for node in self._nodes)

    @property
    def at_rest(self) -> bool:
        """Whether no server does anything; workers may."""
        return not self.dead and all(not node.store.busy and node.engine.at_rest for node in self._nodes)

    async def open(self) -> None:
        """Start the nodes, again for each planned crash during recovery."""
        while True:
            self.store = await asyncio.to_thread(
                open_store,
                self._url,
                synchronous=self._settings.synchronous,
                lease_clock=self._leases,
                uses_caller_clock=True,
            )
            try:
                for name in self._layout.names:
                    self._nodes.append(await self._opened(name))
                return
            except ServerCrashed:
                await self.close(kill=True)

    async def close(self, *, kill: bool) -> None:
        """Stop: by kill -9, or as an operator does."""
        nodes, self._nodes = self._nodes, []
        kill = kill or any(node.store.dead or node.store.frozen for node in nodes)
        if kill and isinstance(self._sandbox, LocalSandbox):
            self._sandbox.kill_all()
        for node in nodes:
            node.store.thaw()
            await node.close(kill=kill)
        if kill:
            self._clock.cancel_timers()
        await self.store.close()

    async def revive(self) -> None:
        """Start the crashed servers again, after other nodes have taken over where the test has several."""
        if self._layout == ALONE:
            await self.close(kill=True)
            await self.open()
            return
        for place, node in enumerate(self._nodes):
            if not (node.store.dead or node.store.frozen):
                continue
            if node.store.dead:
                await node.close(kill=True)
            if self._layout.crashed != RESTARTED:
                await self._outlive(node)
            if node.store.frozen:
                node.died = asyncio.get_running_loop().create_future()
                node.store.thaw()
                for _ in range(LATE_TURNS):  # for what it was about to do, before it renews its lease
                    await asyncio.sleep(0)
                while node.store.busy:
                    await asyncio.sleep(0)
                await node.engine.renew_lease()
            while node.store.dead:
                try:
                    node = self._nodes[place] = await self._opened(node.name)
                except ServerCrashed:
                    continue

    async def call(self, operation: Callable[[Engine], Awaitable[T]]) -> T:
        """Have the last node carry out an operation. Raises ServerCrashed when a planned crash falls into it."""
        node = self._nodes[-1]
        return await node.unless_it_dies(operation(node.engine))

    async def _outlive(self, lost: _Node) -> None:
        """Let the lease of a node expire, so that the others take over its instances."""
        for _ in range(BEATS_PER_LEASE + 1):
            self._leases.now += LEASE_MS // BEATS_PER_LEASE
            for node in self._nodes:
                if node is not lost and not node.store.dead:
                    await node.engine.renew_lease()

    async def _opened(self, name: str) -> _Node:
        node = _Node(
            name,
            CrashingStore(
                self.store,
                self._crash_plan,
                kill_worker=self._kill_worker_of,
                died=lambda: self._has_died(node),
                changed=self._changed,
                durable=self._durable,
                freezes=self._layout.crashed == THAWED,
                on_create=self._on_create,
            ),
        )
        settings = self._settings if name in self._layout.play else _WithoutSlots(**asdict(self._settings))
        opening = Engine.open(
            settings=settings,
            store=node.store,
            sandbox=self._sandbox,
            clock=self._clock,
            ids=self,
            log=self._log,
            node=name,
            heartbeat=Heartbeat(LEASE_MS, self._leases, by_hand),
            env=self._env,
        )
        node.engine = await node.unless_it_dies(node.opened.enter_async_context(opening))
        self._on_open(node.engine)
        return node

    def _has_died(self, node: _Node) -> None:
        if not node.died.done():
            node.died.set_result(None)
        self._changed()

    def _kill_worker_of(self, key: int) -> None:
        for execution in self.executions():
            if execution.row.key == key and execution.worker is not None:
                execution.worker.kill()

    def instance_ids(self, count: int) -> Sequence[str]:
        """The ids of instances without a chosen one: run-1, run-2 ..."""
        self._numbers += count
        return [f"run-{number}" for number in range(self._numbers - count + 1, self._numbers + 1)]

    def token(self) -> str:
        """See `playground.engine.ids.Ids`."""
        self._numbers += 1
        return f"token-{self._numbers}"

    def nonces(self, count: int) -> Sequence[str]:
        """See `playground.engine.ids.Ids`. Has its own count, so that the ids of runs are consecutive."""
        self._nonces += count
        return [f"test-{number}" for number in range(self._nonces - count + 1, self._nonces + 1)]
