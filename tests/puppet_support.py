"""Workers whose every word a test chooses, in the place of isolated ones: the far end of a real socket, and a real
engine on the near one.
"""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from database_support import url_in

from playground.engine import CreateInstance, Engine
from playground.engine.clock import SystemClock
from playground.engine.ids import SystemIds
from playground.sandbox.handle import EXIT, SIGNAL, Exit
from playground.sandbox.tiers import SandboxDown, Tier
from playground.settings import Settings
from playground.store import open_store
from playground.store.protocol import Committed, Store
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import Event
from playground.workflows.state import State, fold

CONFIG = {"retries": {"limit": 0, "delay": 0, "backoff": "constant"}, "timeout": 60_000}
TIER = Tier("D", "Puppets of a test.", "", ())
ISOLATED = Tier("A", "Puppets that say they are isolated.", "", ())


def framed(body: bytes) -> bytes:
    """A body with its header."""
    return len(body).to_bytes(4, "big") + body


def frame(**fields: Any) -> bytes:
    """A frame as an honest worker would say it."""
    return framed(json.dumps(fields).encode())


def do(name: str = "s", count: int = 1, **more: Any) -> bytes:
    return frame(op="do", step=["do", name, count], attempt=1, config=CONFIG, **more)


def done(name: str = "s", count: int = 1, value: Any = None, **more: Any) -> bytes:
    return frame(op="done", step=["do", name, count], attempt=1, value=value, **more)


def did(name: str = "s", count: int = 1, value: Any = None, **more: Any) -> bytes:
    """`do` and `done` of a worker that goes on at once, in one frame."""
    return frame(op="did", **{"step": ["do", name, count], "config": CONFIG, "ended": 0, "value": value, **more})


class Puppet:
    """One worker; see `playground.sandbox.handle.Worker`. The test holds the other end."""

    executions = 0

    def __init__(self, label: str) -> None:
        self.label = label
        self.sock, self.far = socket.socketpair()
        for end in (self.sock, self.far):
            end.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[Exit] = self._loop.create_future()
        self._heard = b""

    def processor_seconds(self) -> float | None:
        return None

    def alive(self) -> bool:
        return not self.exited.done()

    def kill(self) -> None:
        if not self.exited.done():
            self.exited.set_result(Exit(signal.SIGKILL, None, SIGNAL))
        with contextlib.suppress(OSError):
            self.far.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.kill()
        self.sock.close()
        self.far.close()

    def leave(self) -> None:
        """End by itself."""
        if not self.exited.done():
            self.exited.set_result(Exit(None, 0, EXIT))
        self.far.close()

    async def say(self, *data: bytes) -> None:
        """Send bytes; those that nobody takes any more are lost."""
        with contextlib.suppress(OSError):
            await self._loop.sock_sendall(self.far, b"".join(data))

    async def hear(self) -> Any:
        """The next frame from the engine, or None when the worker is killed."""
        while len(self._heard) < 4 or len(self._heard) < 4 + int.from_bytes(self._heard[:4], "big"):
            try:
                chunk = await self._loop.sock_recv(self.far, 65_536)
            except OSError:
                return None
            if not chunk:
                return None
            self._heard += chunk
        size = int.from_bytes(self._heard[:4], "big")
        body, self._heard = self._heard[4 : 4 + size], self._heard[4 + size :]
        return json.loads(body)


async def hears(puppet: Puppet, op: str) -> Any:
    """The next frame of this kind."""
    while (said := await puppet.hear()) is not None:
        if said["op"] == op:
            return said
    raise AssertionError(f"the worker was killed before it heard {op}")


def ended(journal: list[Event]) -> bool:
    """Whether a journal has come to its end."""
    return bool(journal) and journal[-1].type in ev.FINAL_TYPES


def has(type: str, count: int = 1) -> Callable[[list[Event]], bool]:
    """Whether a journal has so many events of a type."""
    return lambda journal: sum(event.type == type for event in journal) >= count


class Puppets:
    """The sandbox that the engine takes them from; `next()` gives the test the one just taken for an instance, its
    start frame heard.
    """

    keeps_workers = False

    def __init__(self, tier: Tier = TIER) -> None:
        self.tier = tier
        self._taken: asyncio.Queue[Puppet] = asyncio.Queue()
        self._count = 0
        self.down = 0  # how often there is none to be had

    async def take_worker(self) -> Puppet:
        if self.down:
            self.down -= 1
            raise SandboxDown("No puppet can be had.")
        self._count += 1
        puppet = Puppet(f"p{self._count}")
        self._taken.put_nowait(puppet)
        return puppet

    async def next(self, instance: str) -> Puppet:
        """That of one instance; those of others leave."""
        while True:
            puppet = await self._taken.get()
            start = await puppet.hear()
            if start is not None and start["event"]["instance"] == instance:
                return puppet
            puppet.leave()


class HeldStore:
    """A store whose commits wait while it is held, as on a disk that stalls."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._free = asyncio.Event()
        self._free.set()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self.reads_held = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def hold(self) -> None:
        self._free.clear()

    def hold_reads(self) -> None:
        """From now on reading a journal waits."""
        self._may_read.clear()

    def release_reads(self) -> None:
        self._may_read.set()

    async def events(self, *args: Any, **options: Any) -> list[Event]:
        self.reads_held += not self._may_read.is_set()
        await self._may_read.wait()
        return await self._store.events(*args, **options)

    def release(self) -> None:
        self._free.set()

    async def append(self, *args: Any, **options: Any) -> Committed:
        await self._free.wait()
        return await self._store.append(*args, **options)

    async def decide(self, *args: Any, **options: Any) -> Committed:
        await self._free.wait()
        return await self._store.decide(*args, **options)


class Stage:
    """An engine with puppets for workers."""

    def __init__(
        self, engine: Engine, puppets: Puppets, log: list[tuple[str, dict[str, Any]]], disk: HeldStore
    ) -> None:
        self.engine, self.puppets, self.log, self.disk = engine, puppets, log, disk

    async def begin(self, **given: Any) -> tuple[InstanceRow, Puppet]:
        """A new instance and its worker; `given` are further fields of CreateInstance."""
        row = await self.engine.create(CreateInstance("# a puppet", **given))
        return row, await self.puppets.next(row.id)

    async def end(self, row: InstanceRow) -> State:
        """Follow an instance to its end."""
        journal: list[Any] = []
        async with self.engine.store.subscribe(row.key) as grown:
            while not journal or journal[-1].type not in ev.FINAL_TYPES:
                await grown(journal[-1].seq if journal else 0)
                journal += await self.engine.store.events(row.key, after=journal[-1].seq if journal else 0, limit=1000)
        return fold(journal)

    async def status(self, row: InstanceRow) -> str:
        """How an instance has ended, without a look at its journal."""
        async with self.engine.store.subscribe(row.key) as grown:
            while row.status not in ev.FINAL_STATUSES:
                await grown(row.last_seq)
                row = await self.engine.store.find("", row.id)
        return row.status

    async def innocent(self) -> State:
        """An instance whose worker keeps to the protocol."""
        row, puppet = await self.begin()
        await puppet.say(do(), done(value="ok"))
        assert (await puppet.hear())["op"] == "ok"
        await puppet.say(frame(op="finish", output="fine"))
        return await self.end(row)


@contextlib.asynccontextmanager
async def staged(folder: Path, *, tier: Tier = TIER, **settings: Any) -> AsyncIterator[Stage]:
    """A stage on a new database. Workers of an isolated `tier` run ahead of their commits."""
    log: list[tuple[str, dict[str, Any]]] = []
    chosen = Settings(
        **({"workers": 8, "synchronous": "normal", "drain_seconds": 0, "running_per_tenant": 1000} | settings)
    )
    async with contextlib.AsyncExitStack() as opened:
        store = await asyncio.to_thread(open_store, url_in(folder, "puppets.db"), synchronous="normal")
        opened.push_async_callback(store.close)
        held = HeldStore(store)
        puppets = Puppets(tier)
        engine = await opened.enter_async_context(
            Engine.open(
                settings=chosen,
                store=held,  # type: ignore[arg-type]  # a store, and how fast it is
                sandbox=puppets,  # type: ignore[arg-type]  # all of it that an engine uses
                clock=SystemClock(),
                ids=SystemIds(),
                log=lambda event, **fields: log.append((event, fields)),
            )
        )
        yield Stage(engine, puppets, log, held)
