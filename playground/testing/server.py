"""The server that a test owns: an engine and its store, killed at planned commits and started again on the same journal."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from playground.engine.engine import Engine
from playground.settings import Settings
from playground.store import open_store
from playground.store.protocol import Committed, Store
from playground.testing.clock import VirtualClock
from playground.testing.crashes import CrashingStore, Plans
from playground.testing.run import ServerCrashed
from playground.testing.sandbox import LocalSandbox

T = TypeVar("T")


class LocalServer:
    """One database, and one engine after another on it. `sandbox` is the test's own, or that of real workers."""

    engine: Engine
    store: Store

    def __init__(
        self,
        url: str,
        settings: Settings,
        clock: VirtualClock,
        sandbox: Any,
        plans: Plans,
        *,
        env: Mapping[str, Any] | None,
        durable: Callable[[Committed], None],
        changed: Callable[[], None],
        log: Callable[..., None],
    ) -> None:
        self._url, self._settings, self._clock, self._sandbox, self._plans = url, settings, clock, sandbox, plans
        self._env, self._durable, self._changed, self._log = env, durable, changed, log
        self._numbers = self._nonces = 0

    @property
    def dead(self) -> bool:
        """Whether it was killed and has not been started again."""
        return self._crashing.dead

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way but in workers."""
        return not self._crashing.dead and not self._crashing.busy and self.engine.at_rest

    async def open(self) -> None:
        """Start on what is in the database, however often it is killed while it recovers."""
        while True:
            try:
                await self._open()
                return
            except ServerCrashed:
                self._clock.forget()
                await self.store.close()

    async def close(self, *, kill: bool) -> None:
        """End: by kill -9, or as an operator does."""
        try:
            if not kill:
                await self._unless_it_dies(self._opened.aclose())
        except ServerCrashed:
            kill = True
        if kill:
            self._crashing.dead = True
            if isinstance(self._sandbox, LocalSandbox):
                self._sandbox.kill_all()
            await self.engine.abandon()
            self._clock.forget()
            await self._opened.aclose()
        await self.store.close()

    async def call(self, operation: Callable[[Engine], Awaitable[T]]) -> T:
        """Have it carry out an operation. Raises ServerCrashed when a planned crash falls into it."""
        return await self._unless_it_dies(operation(self.engine))

    async def _open(self) -> None:
        self.store = await asyncio.to_thread(open_store, self._url, synchronous=self._settings.synchronous)
        self._died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._crashing = CrashingStore(
            self.store,
            self._plans,
            kill_worker=self._kill_worker_of,
            died=self._has_died,
            changed=self._changed,
            durable=self._durable,
        )
        self._opened = AsyncExitStack()
        opening = Engine.open(
            settings=self._settings,
            store=self._crashing,
            sandbox=self._sandbox,
            clock=self._clock,
            ids=self,
            log=self._log,
            env=self._env,
        )
        self.engine = await self._unless_it_dies(self._opened.enter_async_context(opening))

    async def _unless_it_dies(self, operation: Awaitable[T]) -> T:
        task = asyncio.ensure_future(operation)
        both: set[asyncio.Future[Any]] = {task, self._died}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        raise ServerCrashed("the server was killed, as planned, while it carried this out")

    def _has_died(self) -> None:
        if not self._died.done():
            self._died.set_result(None)
        self._changed()

    def _kill_worker_of(self, key: int) -> None:
        for execution in self.engine.executions():
            if execution.row.key == key and execution.worker is not None:
                execution.worker.kill()

    def instance_id(self) -> str:
        """Ids of instances that are given none: run-1, run-2 ..."""
        self._numbers += 1
        return f"run-{self._numbers}"

    def token(self) -> str:
        """See `playground.engine.ids.Ids`."""
        self._numbers += 1
        return f"token-{self._numbers}"

    def nonce(self) -> str:
        """See `playground.engine.ids.Ids`. Counted apart, so that the ids of runs stay in a row."""
        self._nonces += 1
        return f"test-{self._nonces}"
