"""Nodes that share a PostgreSQL database as those of several machines do: each has an engine, a store and puppets for
workers of its own, and a lease that ends by real time, short enough for a test to see it end.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from http_support import Log
from puppet_support import Puppet, Puppets, do, done, frame

from playground.engine import CreateInstance, Engine
from playground.engine.clock import SystemClock
from playground.engine.ids import SystemIds
from playground.engine.nodes import Heartbeat, Membership
from playground.settings import Settings
from playground.store import open_store
from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import Event

LEASE_MS = 2_000
LOADED_SECONDS = 1.0  # what a loaded machine may add to any time


@dataclass
class Member:
    """One node."""

    name: str
    store: Store
    engine: Engine
    puppets: Puppets
    log: Log

    @property
    def membership(self) -> Membership:
        return self.engine._scheduler.membership

    async def start(self, **given: Any) -> tuple[InstanceRow, Puppet]:
        """An instance that this node plays, and its worker."""
        row = await self.engine.create(CreateInstance("# a puppet", **given))
        return row, await self.puppets.next(row.id)

    async def journal(self, row: InstanceRow, until: Callable[[list[Event]], bool]) -> list[Event]:
        """The journal as this node reads it, once it says what is waited for."""
        journal: list[Event] = []
        async with self.store.subscribe(row.key) as grown:
            while True:
                journal += await self.store.events(row.key, after=journal[-1].seq if journal else 0, limit=1000)
                if until(journal):
                    return journal
                await grown(journal[-1].seq if journal else 0)


@contextlib.asynccontextmanager
async def member(name: str, url: str, *, lease_ms: int = LEASE_MS, **settings: Any) -> AsyncIterator[Member]:
    """A node of this name."""
    log, puppets = Log(), Puppets()
    chosen = Settings(**({"workers": 20, "spare_slots": 0, "drain_seconds": 0} | settings))
    async with contextlib.AsyncExitStack() as opened:
        store = await asyncio.to_thread(open_store, url, log=log)
        opened.push_async_callback(store.close)
        engine = await opened.enter_async_context(
            Engine.open(
                settings=chosen,
                store=store,
                sandbox=puppets,  # type: ignore[arg-type]  # all of it that an engine uses
                clock=SystemClock(),
                ids=SystemIds(),
                log=log,
                node=name,
                heartbeat=Heartbeat(lease_ms),
            )
        )
        yield Member(name, store, engine, puppets, log)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop wait for the network until the condition holds; the deadline is the test's."""
    while not condition():
        await asyncio.sleep(0.005)


async def play(puppet: Puppet, acknowledged: list[int], is_over: Callable[[], bool]) -> None:
    """A worker that does one step after another, each once the one before is acknowledged, until it is to end."""
    while not is_over():
        number = len(acknowledged) + 1
        await puppet.say(do(count=number), done(count=number, value=number))
        answer = await puppet.hear()
        assert answer is not None and answer["op"] == "ok", f"the worker got {answer} for step {number}"
        acknowledged.append(number)
    await puppet.say(frame(op="finish", output=len(acknowledged)))


def results(journal: list[Event]) -> list[tuple[int, Any]]:
    """The steps whose results were committed, each as often as it was, by their count."""
    return [
        (event.step.count, event.data["output"])
        for event in journal
        if event.type == ev.STEP_COMPLETED and event.step is not None
    ]
