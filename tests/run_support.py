"""Runs programs to their end through the real store, sandbox and engine: no sleep is slept,
expected events are sent.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from database_support import url_in

from playground.engine import CreateInstance, Engine
from playground.engine.clock import SystemClock
from playground.engine.code.tenants import Tenants
from playground.engine.ids import SystemIds
from playground.engine.schedules import next_firing
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store import open_store
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import WorkflowError
from playground.workflows.events import Event
from playground.workflows.logs import join_log
from playground.workflows.names import split_event_types
from playground.workflows.state import State, fold

AT_ONCE = 14  # programs
PAGE = 1000  # journal events read at a time


@dataclass(frozen=True)
class Program:
    """What to run, the payloads of the events it will wait for, by type, and the task of a lesson that is done
    meanwhile. With a `schedule` it is run as the next firing.
    """

    source: str
    params: Any = None
    events: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    schedule: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a program ended, with its whole journal."""

    state: State
    journal: list[Event]

    def logged(self) -> str:
        """What it printed, replays left out."""
        return "\n".join(text.text for text in join_log(self.journal) if not text.replay)


async def run_all(programs: Mapping[str, Program], folder: Path, **changed: Any) -> dict[str, Outcome]:
    """Run all, `AT_ONCE` at a time: who does a task in the midst of a step must see it before it ends. `folder` takes
    the database, `changed` are settings.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(program: Program) -> Outcome:
        async with turns:
            return await _run(engine, program)

    settings = Settings(**{"workers": 8, "synchronous": "normal", "drain_seconds": 0, **changed})
    async with contextlib.AsyncExitStack() as opened:
        store = await asyncio.to_thread(open_store, url_in(folder, "runs.db"), synchronous=settings.synchronous)
        opened.push_async_callback(store.close)
        sandbox = await Sandbox.open(
            memory_bytes=settings.worker_memory_bytes, cpu_seconds=settings.worker_cpu_seconds, parked=4, log=_no_log
        )
        opened.push_async_callback(sandbox.close)
        engine = await opened.enter_async_context(
            Engine.open(
                settings=settings, store=store, sandbox=sandbox, clock=SystemClock(), ids=SystemIds(), log=_no_log
            )
        )
        Tenants(engine)
        outcomes = await asyncio.gather(*(in_turn(program) for program in programs.values()))
    return dict(zip(programs, outcomes, strict=True))


async def _run(engine: Engine, program: Program) -> Outcome:
    limits = None if program.schedule is None else dict(next_firing(program.schedule, engine.clock.now()))
    row = await engine.create(CreateInstance(program.source, program.params, limits=limits))
    journal: list[Event] = []
    visitor = _Visitor(engine, row.id, program)
    async with engine.store.subscribe(row.key) as grown:
        while not journal or journal[-1].type not in ev.FINAL_TYPES:
            after = journal[-1].seq if journal else 0
            await grown(after)
            new = await engine.store.events(row.key, after=after, limit=PAGE)
            journal.extend(new)
            for event in new:
                await visitor.sees(event)
    return Outcome(fold(journal), journal)


class _Visitor:
    """Somebody who watches a run, ends sleeps and waits between attempts at once, sends what is waited for, and does
    its task.
    """

    def __init__(self, engine: Engine, id: str, program: Program) -> None:
        self.engine, self.id, self.program = engine, id, program
        self.completed = 0
        self.killed = False
        self.running: set[str] = set()

    async def sees(self, event: Event) -> None:
        """Act on an event. Too late is as good."""
        self.completed += event.type == ev.STEP_COMPLETED
        if event.type == ev.ATTEMPT_STARTED:
            self.running.add(event.step.name)
        elif event.type == ev.STEP_COMPLETED:
            self.running.discard(event.step.name)
        with contextlib.suppress(WorkflowError):
            if not self.killed and self.is_time(event):
                self.killed = True
                await self.engine.kill_worker(await self.row())
            elif self.program.task.get("hibernated"):
                if event.type == ev.EXECUTION_ENDED and event.data["reason"] == "hibernated":
                    await self.engine.wake(await self.row())
            elif event.type == ev.SLEEP_STARTED or "retry_delay_ms" in event.data:
                await self.engine.wake(await self.row(), event.step)
            elif event.type == ev.EXECUTION_STARTED and self.killed:
                await self.engine.wake(await self.row())
            elif event.type == ev.WAIT_STARTED and (type := self.chosen(event.data["event_type"])) is not None:
                await self.engine.send_event(await self.row(), type, self.program.events[type])

    def chosen(self, event_types: str) -> str | None:
        """The type that is sent where several are waited for: that of the task, else the first that there is."""
        types = [type for type in split_event_types(event_types) if type in self.program.events]
        wanted = self.program.task.get("type")
        return wanted if wanted in types else next(iter(types), None)

    async def row(self) -> InstanceRow:
        return await self.engine.store.find("", self.id)

    def is_time(self, event: Event) -> bool:
        """Whether the worker is to be killed now."""
        task, name = self.program.task, event.step.name if event.step else None
        if task.get("do") == "answer" and "has" in task:  # what the step did to the world, and has not committed
            return event.type == ev.LOG and name == task["step"]
        if task.get("do") != "kill-worker":
            return False
        if "read" in task:
            return (
                event.type in (ev.STEP_COMPLETED, ev.ATTEMPT_STARTED)
                and self.completed >= task["read"]
                and task["during"] in self.running
            )
        if "between" in task:
            return "retry_delay_ms" in event.data and name == task["between"]
        if "undoing" in task:
            return event.type == ev.ROLLBACK_ATTEMPT_STARTED and name == task["undoing"]
        return event.type in (ev.ATTEMPT_STARTED, ev.SLEEP_STARTED) and name == task["during"]


def _no_log(event: str, **fields: Any) -> None:
    """These runs are not an operator's."""
