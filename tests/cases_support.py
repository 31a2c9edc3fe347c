"""The inputs of tests/cases, each played to its end in every way that a workflow may be disturbed, on a virtual clock.

A case is a program from the field that once gave a wrong value. What it gives, and what stands in its journal, must
be the same in each way.
"""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from semantics_support import MEMORY_BYTES, assert_dense

from playground.sandbox.pool import Sandbox
from playground.testing import Run, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.errors import WorkflowError
from playground.workflows.events import Event
from playground.workflows.state import State, Step

FOLDER = Path(__file__).parent / "cases"

UNDISTURBED = "undisturbed"
HIBERNATED = "hibernated at every wait"
WORKER_KILLED = "worker killed at every wait"
SERVER_KILLED = "server killed at every wait"
REPLAYED = "worker killed after every commit"
WAYS = (UNDISTURBED, HIBERNATED, WORKER_KILLED, SERVER_KILLED, REPLAYED)
SETTINGS: dict[str, dict[str, Any]] = {
    UNDISTURBED: {"idle_grace_ms": 365 * 86_400_000},
    HIBERNATED: {"idle_grace_ms": 0},
    WORKER_KILLED: {"worker_losses": 1_000},
    SERVER_KILLED: {},
    REPLAYED: {"replay_each_commit": True},
}
in_every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.replace(" ", "-"))
when_replayed = pytest.mark.parametrize("way", WAYS[1:], ids=lambda way: way.replace(" ", "-"))


@dataclass(frozen=True)
class Send:
    """An event to send once the wait of this name is open, the step `after` is over (if any), and everything rests."""

    wait: str
    type: str
    payload: Any = None
    after: str | None = None

    def is_due(self, state: State) -> bool:
        """Whether it is its time."""
        status = {step.key.name: step.status for step in state.steps.values()}
        return status.get(self.wait) == "waiting" and (self.after is None or status.get(self.after) == "completed")


@dataclass(frozen=True)
class Ended:
    """A case that has come to its end."""

    state: State
    journal: list[Event]

    @property
    def output(self) -> Any:
        """What `run` returned."""
        assert self.state.status == ev.COMPLETE, self.state.error
        return self.state.output

    @property
    def error(self) -> dict[str, Any]:
        """What it failed with."""
        assert self.state.status == ev.ERRORED, self.state.output
        return dict(self.state.error or {})

    @property
    def diverged(self) -> bool:
        """Whether a replay left stored steps out."""
        return any(event.type == "replay_diverged" for event in self.journal)

    def printed(self, *, replay: bool = False) -> list[str]:
        """What it printed, in order; what a replay printed again only with `replay`."""
        return [
            event.data["text"]
            for event in self.journal
            if event.type == ev.LOG and (replay or not event.data["replay"])
        ]

    def step(self, name: str, count: int = 1, kind: str | None = None) -> Step:
        """The only step of this name and count, whatever its parent."""
        [found] = [
            step
            for key, step in self.state.steps.items()
            if (key.name, key.count) == (name, count) and kind in (None, key.kind)
        ]
        return found

    def events(self, type: str, name: str | None = None) -> list[Event]:
        """The events of a type, of the steps of this name only if one is given."""
        return [event for event in self.journal if event.type == type and (name is None or event.key.name == name)]


def source_of(number: str) -> str:
    """The source of the case that begins with this number."""
    [file] = FOLDER.glob(f"{number}-*.py")
    return file.read_text()


async def play(case: str, way: str, *, params: Any = None, sends: Sequence[Send] = (), **settings: Any) -> Ended:
    """Play a case to its end: the number of one, or a source.

    Raises AssertionError when it can't come there, its journal has a gap, or a replay left stored steps out.
    """
    source = source_of(case) if case.isdigit() else case
    async with WorkflowTester(source, **{**SETTINGS[way], **settings}) as tester:
        run = await tester.create(params)
        await _to_the_end(tester, run, way, list(sends))
        await tester.settle()
        journal = await run.journal()
        assert_dense(journal)
        ended = Ended(await run.state(), journal)
    assert not ended.diverged, ended.state.steps
    return ended


async def _to_the_end(tester: WorkflowTester, run: Run, way: str, sends: list[Send]) -> None:
    disturbed: set[Any] = set()

    def wanted(state: State) -> Any:
        if state.status in ev.FINAL_STATUSES:
            return "end"
        waits = [step for step in state.steps.values() if step.status in ("sleeping", "waiting")]
        if way in (WORKER_KILLED, SERVER_KILLED) and any(step.key not in disturbed for step in waits):
            return "disturb"
        if sends and sends[0].is_due(state):
            return "send"
        return None

    while (what := await run.wait_until(wanted, "the next wait, or the end")) != "end":
        await tester.settle()
        if what == "send":
            send = sends.pop(0)
            await run.send_event(send.type, send.payload)
            continue
        disturbed |= {key for key, step in (await run.state()).steps.items() if step.status in ("sleeping", "waiting")}
        if way == SERVER_KILLED:
            await tester.restart_server()
        else:
            with contextlib.suppress(WorkflowError):  # it may have given its worker up meanwhile
                await run.kill_worker()
        await tester.settle()
    assert not sends, f"nobody waited for {sends[0]}"


@contextlib.asynccontextmanager
async def in_real_workers(
    case: str, params: Any = None, *, servers: int = 1, **settings: Any
) -> AsyncIterator[tuple[WorkflowTester, Run]]:
    """A tester and one run of a case in real, locked processes, which so many fork servers bring forth in turn."""
    async with contextlib.AsyncExitStack() as opened:
        sandboxes = []
        for _ in range(servers):
            sandboxes.append(
                await Sandbox.open(
                    memory_bytes=MEMORY_BYTES, cpu_seconds=10, parked=1, log=lambda event, **fields: None
                )
            )
            opened.push_async_callback(sandboxes[-1].close)
        sandbox = sandboxes[0] if servers == 1 else TakingTurns(sandboxes)
        source = source_of(case) if case.isdigit() else case
        tester = await opened.enter_async_context(WorkflowTester(source, sandbox=sandbox, **settings))
        yield tester, await tester.create(params)
        await tester.settle()
        for run in tester.runs:
            assert_dense(await run.journal())


class TakingTurns:
    """Several sandboxes as one: each worker comes from the next of them, as after a fork server was replaced."""

    def __init__(self, sandboxes: Sequence[Sandbox]) -> None:
        self._sandboxes = itertools.cycle(sandboxes)
        self._first = sandboxes[0]

    async def take_worker(self) -> Any:
        """A fresh worker of the next fork server."""
        return await next(self._sandboxes).take_worker()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)


def payloads(ended: Ended) -> dict[str, Any]:
    """Which wait got the event of which payload, by the name of the wait."""
    return {event.key.name: event.data["event"]["payload"] for event in ended.events(ev.WAIT_COMPLETED)}


def times_run(ended: Ended, text: str) -> int:
    """How often a line was printed, replays included: what a callback prints says that it ran."""
    return ended.printed(replay=True).count(text)
