"""Runs programs to their end through the real store, sandbox and engine: no sleep is slept, expected events are sent."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playground.engine import CreateInstance, Engine
from playground.engine.clock import SystemClock
from playground.engine.ids import SystemIds
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store import open_store
from playground.workflows import events as ev
from playground.workflows.errors import WorkflowError
from playground.workflows.events import Event
from playground.workflows.state import State, fold

PAGE = 1000  # journal events read at a time


@dataclass(frozen=True)
class Program:
    """What to run, the payloads of the events it will wait for, by type, and the step whose first attempt loses its worker."""

    source: str
    params: Any = None
    events: Mapping[str, Any] = field(default_factory=dict)
    kill_during: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a program ended, with its whole journal."""

    state: State
    journal: list[Event]

    def logged(self) -> str:
        """What it printed, replays left out."""
        return "\n".join(event.data["text"] for event in self.journal if event.type == ev.LOG and not event.data.get("replay"))


async def run_all(programs: Mapping[str, Program], folder: Path, **changed: Any) -> dict[str, Outcome]:
    """Run all at once; `folder` takes the database, `changed` are settings."""
    settings = Settings(**{"workers": 8, "synchronous": "normal", **changed})
    async with contextlib.AsyncExitStack() as opened:
        store = await asyncio.to_thread(open_store, f"sqlite:///{folder / 'runs.db'}", synchronous=settings.synchronous)
        opened.push_async_callback(store.close)
        sandbox = await Sandbox.open(
            memory_bytes=settings.worker_memory_bytes, cpu_seconds=settings.worker_cpu_seconds, parked=4, log=_no_log
        )
        opened.push_async_callback(sandbox.close)
        engine = await opened.enter_async_context(
            Engine.open(settings=settings, store=store, sandbox=sandbox, clock=SystemClock(), ids=SystemIds(), log=_no_log)
        )
        outcomes = await asyncio.gather(*(_run(engine, program) for program in programs.values()))
    return dict(zip(programs, outcomes, strict=True))


async def _run(engine: Engine, program: Program) -> Outcome:
    row = await engine.create(CreateInstance(program.source, program.params))
    journal: list[Event] = []
    async with engine.store.subscribe(row.key) as grown:
        while not journal or journal[-1].type not in ev.FINAL_TYPES:
            after = journal[-1].seq if journal else 0
            await grown(after)
            new = await engine.store.events(row.key, after=after, limit=PAGE)
            journal.extend(new)
            for event in new:
                await _help_on(engine, row.id, event, program)
    return Outcome(fold(journal), journal)


async def _help_on(engine: Engine, id: str, event: Event, program: Program) -> None:
    """End a sleep or a wait between attempts at once, send what is waited for, kill when it is time."""
    if event.type == ev.ATTEMPT_STARTED and event.step.name == program.kill_during and event.data["attempt"] == 1:
        await engine.kill_worker("", id)
    with contextlib.suppress(WorkflowError):  # too late is as good
        if event.type == ev.SLEEP_STARTED or "retry_delay_ms" in event.data:
            await engine.wake("", id, event.step)
        elif event.type == ev.WAIT_STARTED and event.data["event_type"] in program.events:
            await engine.send_event("", id, event.data["event_type"], program.events[event.data["event_type"]])


def _no_log(event: str, **fields: Any) -> None:
    """These runs are not an operator's."""
