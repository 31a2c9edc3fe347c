"""Tests of what embeds the engine: a real engine on a fresh database for each story, over one sandbox for all of a
module.
"""

import asyncio
import functools
import inspect
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from database_support import url_in
from http_support import Background, Log

from playground.engine import Engine
from playground.engine.clock import Clock, SystemClock
from playground.engine.code.sources import Code
from playground.engine.ids import SystemIds
from playground.engine.instances import WorkflowInstance
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store import open_store
from playground.workflows import events as ev
from playground.workflows.events import Event

SECONDS = 20.0  # that a story may take

Story = Callable[[Engine], Awaitable[None]]
HEAD = "from workers import WorkflowEntrypoint, NonRetryableError\nimport asyncio\n\n\n"


def workflow(body: str, head: str = "") -> str:
    """A module whose `run(self, event, step)` has this body, with four spaces taken off it as often as it is
    indented.
    """
    lines = body.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    shifted = "\n".join(" " * 8 + line[indent:] if line.strip() else "" for line in lines)
    return (
        f"{HEAD}{head}\n\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, event, step):\n{shifted}\n"
    )


GREET = workflow("return f\"{event['payload']['name']}, by GREETER\"")


def greeter(name: str) -> Code:
    return Code(GREET.replace("GREETER", name))


class Place:
    """Where engines are opened: a loop in a thread and its sandbox. `log` is what the last engine said."""

    def __init__(self, background: Background, sandbox: Sandbox, folder: Path) -> None:
        self._background, self._sandbox, self._folder = background, sandbox, folder
        self._numbers = itertools.count(1)
        self.log = Log()

    def new_url(self) -> str:
        """A database of its own."""
        return url_in(self._folder, f"{next(self._numbers)}.db")

    @asynccontextmanager
    async def engine(self, url: str, clock: Clock | None = None, **settings: Any) -> Any:
        """An open engine."""
        self.log = Log()
        chosen = Settings(**{"database": url, "workers": 8, "synchronous": "normal", "drain_seconds": 0, **settings})
        store = await asyncio.to_thread(open_store, url, synchronous="normal", uses_caller_clock=clock is not None)
        try:
            async with Engine.open(
                settings=chosen,
                store=store,
                sandbox=self._sandbox,
                clock=clock or SystemClock(),
                ids=SystemIds(),
                log=self.log,
            ) as engine:
                yield engine
        finally:
            await store.close()

    @asynccontextmanager
    async def nodes(self, count: int = 2, clock: Clock | None = None, **settings: Any) -> Any:
        """Open engines over one store, as nodes share a database."""
        self.log = Log()
        chosen = Settings(
            **{"database": self.new_url(), "workers": 8, "synchronous": "normal", "drain_seconds": 0, **settings}
        )
        async with AsyncExitStack() as opened:
            store = await asyncio.to_thread(
                open_store, chosen.database, synchronous="normal", uses_caller_clock=clock is not None
            )
            opened.push_async_callback(store.close)
            shared: Any = {"settings": chosen, "store": store, "sandbox": self._sandbox, "log": self.log}
            shared |= {"clock": clock or SystemClock(), "ids": SystemIds()}
            yield [
                await opened.enter_async_context(Engine.open(**shared, node=f"node-{number}"))
                for number in range(count)
            ]

    def run(self, story: Story, *, url: str | None = None, clock: Clock | None = None, **settings: Any) -> None:
        """Play a story on an engine of its own."""

        async def played() -> None:
            async with self.engine(url or self.new_url(), clock, **settings) as engine, asyncio.timeout(SECONDS):
                await story(engine)

        self._background.call(played())

    def call(self, story: Callable[[], Awaitable[None]]) -> None:
        """Play a story that opens its engines itself."""

        async def played() -> None:
            async with asyncio.timeout(SECONDS):
                await story()

        self._background.call(played())


def on_engine(**settings: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make a test of a coroutine function of `engine`, which is its own and has these settings; pytest gives its other
    parameters.
    """

    def mark(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        wanted = inspect.signature(test)
        others = [each for name, each in wanted.parameters.items() if name not in ("engine", "place")]

        @functools.wraps(test)
        def played(place: Place, **given: Any) -> None:
            own = {"place": place} if "place" in wanted.parameters else {}
            place.run(lambda engine: test(engine, **own, **given), **settings)

        place = inspect.Parameter("place", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        played.__signature__ = wanted.replace(parameters=[place, *others])  # type: ignore[attr-defined]
        return played

    return mark


async def after_expiry(*nodes: Engine) -> None:
    """Wait until engines on which nothing runs have removed what is over, as they do at the start."""
    while tasks := [task for node in nodes for task in node._scheduler._tasks]:
        await asyncio.wait(tasks)


async def journal_until(instance: WorkflowInstance, type: str, after: int = 0) -> list[Event]:
    """The journal up to the first event of a type."""
    events = []
    async for event in instance.subscribe(after):
        events.append(event)
        if event.type == type:
            return events
    raise AssertionError(f"ended without {type}: {[event.type for event in events]}")


async def journal(instance: WorkflowInstance) -> list[Event]:
    """The whole journal of an instance, once it has ended."""
    return [event async for event in instance.subscribe()]


async def output(instance: WorkflowInstance) -> Any:
    """What an instance gives at its end, which must be a good one."""
    await journal(instance)
    status = await instance.status()
    assert (status.status, status.error) == ("complete", None), status
    return status.output


async def error(instance: WorkflowInstance) -> tuple[str, str]:
    """Name and message of the error that an instance ends with."""
    await journal(instance)
    status = await instance.status()
    assert status.status == "errored" and status.error is not None, status
    return status.error["name"], status.error["message"]


def logged(events: list[Event]) -> str:
    """What an instance printed."""
    return "\n".join(event.data["text"] for event in events if event.type == ev.LOG)
