"""Plays a program undisturbed and with crashes, and says where a disturbed run first differs from one that was not.

What must be equal: the output, in which the program tells its way; the steps with their key, status, result or error;
what began and what ended at each time, in order; which wait took which event; and no callback of a step that has ended
runs again.
"""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import aio
from replay_model import NothingLeft, expected
from replay_programs import Program
from replay_world import WORKER_LOST, WORLD
from semantics_support import assert_dense

from playground.testing import Run, ServerCrashed, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.errors import WorkflowError
from playground.workflows.events import Event

NEVER_IDLE_MS = 365 * 86_400_000
LOSSES = 1_000_000
DEADLINE = 600.0  # seconds for all runs of one program
CRASHES = (("server", "before"), ("server", "after"), ("worker", "after"))
STARTS = (ev.STEP_STARTED, ev.SLEEP_STARTED, ev.WAIT_STARTED)
ANSWERS = (ev.STEP_COMPLETED, ev.STEP_ERRORED, ev.SLEEP_COMPLETED, ev.WAIT_COMPLETED, ev.WAIT_TIMED_OUT)
ENDS = (*ANSWERS, "sleep_cancelled", "wait_cancelled")
FINE_ENDS = (ev.HIBERNATED, ev.COMPLETED)  # of an execution: nothing was lost with it
BODY = "run_id, seen, late ="  # where the part of a source begins that differs from program to program


class WentAnotherWay(AssertionError):
    """A run came to something else than it must: the program, what was done to the run, and the first difference."""

    def __init__(self, program: Program, disturbed: str, difference: str) -> None:
        body = program.source[program.source.index(BODY) :]
        super().__init__(f"{body}\n\nevents sent: {program.sends}\n{disturbed}:\n{difference}")
        self.difference = difference


@dataclass(frozen=True)
class Way:
    """What two runs of one program are compared by. `lag` is what a worker's own clock lost with a worker, in ms."""

    output: Any
    steps: dict[str, Any]
    began: list[Any]
    ended: list[Any]
    taken: dict[str, Any]
    ran_again: list[Any]
    lag: int


@asynccontextmanager
async def playing(program: Program, **settings: Any) -> AsyncIterator[WorkflowTester]:
    """A tester for a program, which begins in an empty world."""
    given = {"idle_grace_ms": NEVER_IDLE_MS, "worker_losses": LOSSES, **settings}
    async with WorkflowTester(program.source, on_commit=WORLD.committed, **given) as tester:
        WORLD.begin(tester.now)
        yield tester


def check(program: Program, crashes: Iterable[int]) -> int:
    """Play a program in every way; gives how many runs that took.

    At each commit the crashes of these places in CRASHES are tried, another first each time. Raises WentAnotherWay.
    """
    try:
        wanted = _as_json(expected(program.source, [(at / 1000, type, payload) for at, type, payload in program.sends]))
    except NothingLeft:
        raise AssertionError(f"the program can't end:\n{program.source}") from None
    runs: int = aio.run(_check(program, wanted, list(crashes)), DEADLINE)
    return runs


async def _check(program: Program, wanted: Any, crashes: list[int]) -> int:
    async with playing(program) as tester:
        undisturbed = await play(tester, program, "undisturbed")
        compare(program, "undisturbed", undisturbed, undisturbed)
        if undisturbed.output != wanted:
            different = first_difference(wanted, undisturbed.output)
            raise WentAnotherWay(program, "undisturbed, compared with plain asyncio", different)
        runs = 3 + await _crash_everywhere(tester, program, undisturbed, crashes)
    for said, settings in (
        ("hibernated at every wait", {"idle_grace_ms": 0}),
        ("worker killed after every commit that brings it on", {"replay_each_commit": True}),
    ):
        async with playing(program, **settings) as tester:
            compare(program, said, undisturbed, await play(tester, program, said))
    return runs


async def _crash_everywhere(tester: WorkflowTester, program: Program, undisturbed: Way, crashes: list[int]) -> int:
    number = runs = 0
    while True:
        number += 1
        for place in crashes:
            victim, moment = CRASHES[(place + number) % len(CRASHES)]
            await tester.settle()
            tester.crash(victim, commit=tester.commits + number, moment=moment)
            said = f"{victim} killed {moment} commit {number}"
            way = await play(tester, program, said)
            runs += 1
            compare(program, said, undisturbed, way)
            if tester.crashes_left:
                tester.no_more_crashes()
                return runs


async def play(tester: WorkflowTester, program: Program, said: str) -> Way:
    """Run a program once, from its creation to its end."""
    WORLD.begin(tester.now)
    run = await tester.create()
    WORLD.created(run)
    begun = (await run.row()).created_at
    for place, (at, type, payload) in enumerate(program.sends):
        await tester.advance(max(0, begun + at - tester.now()))
        if not await _sent(run, place, type, payload):
            break
    try:
        await run.wait_for_status(*ev.FINAL_STATUSES)
    except AssertionError as error:
        raise WentAnotherWay(program, said, f"it does not end: {error}") from None
    return await _way(program, said, run)


async def _sent(run: Run, place: int, type: str, payload: str) -> bool:
    """Send the event of this place among all; whether it still could be."""
    while sum(event.type == ev.EVENT_RECEIVED for event in await run.journal()) <= place:
        if (await run.state()).status in ev.FINAL_STATUSES:
            return False
        try:
            await run.send_event(type, payload)
        except ServerCrashed:
            continue  # whether it was taken, the journal says
        except WorkflowError:
            return False
    return True


async def _way(program: Program, said: str, run: Run) -> Way:
    state, journal = await run.state(), await run.journal()
    assert_dense(journal)
    if state.status != ev.COMPLETE:
        error = state.error or {}
        raise WentAnotherWay(program, said, f"it ended {state.status}: {error.get('name')}: {error.get('message')}")
    diverged = [event.data for event in journal if event.type == "replay_diverged"]
    if diverged:
        raise WentAnotherWay(program, said, f"it never came to {diverged}")
    steps = {
        _key(event): [step.status, _timeless(step.output), _error(step.error), _attempts(step)]
        for event in journal
        if event.type in STARTS and (step := state.steps[event.key])
    }
    taken = {_key(event): event.data["event"]["payload"] for event in journal if event.type == ev.WAIT_COMPLETED}
    return Way(
        output=_as_json(state.output),
        steps=steps,
        began=_by_time(journal, STARTS),
        ended=_by_time(journal, ENDS),
        taken=taken,
        ran_again=list(WORLD.ran_again),
        lag=_lag(program, journal),
    )


def compare(program: Program, said: str, undisturbed: Way, way: Way) -> None:
    """Raises WentAnotherWay where a disturbed run is not as one that was not disturbed."""
    if way.ran_again:
        raise WentAnotherWay(program, said, f"callbacks ran again though their steps had ended: {way.ran_again}")
    if way.lag:
        return  # a timer outside of steps stood still while there was no worker: another order is right
    for what in ("output", "steps", "began", "ended", "taken"):
        if (one := getattr(undisturbed, what)) != (other := getattr(way, what)):
            raise WentAnotherWay(program, said, f"{what} differ: {first_difference(one, other)}")


def first_difference(one: Any, other: Any, path: str = "$") -> str:
    """Where two trees differ first, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if key not in one or key not in other:
                where = "first" if key in one else "second"
                return f"{path}.{key} is only in the {where}: {one.get(key, other.get(key))}"
            if one[key] != other[key]:
                return first_difference(one[key], other[key], f"{path}.{key}")
    if isinstance(one, list) and isinstance(other, list):
        for place, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return first_difference(left, right, f"{path}[{place}]")
        if len(one) != len(other):
            alone = max(one, other, key=len)[min(len(one), len(other))]
            return f"{path} has {len(one)} and {len(other)} members; the first that only one of them has: {alone}"
    return f"{path}: {one!r} should be, {other!r} is"


def _key(event: Event) -> str:
    """A step's key with that of its parents, for people."""
    said, step = [], event.as_json()["step"]
    while step is not None:
        said.append(f"{step['kind']} {step['name']}-{step['count']}")
        step = step.get("parent")
    return " in ".join(said)


def _by_time(journal: list[Event], types: tuple[str, ...]) -> list[Any]:
    """What happened at one time, in no order, after what happened before."""
    found = [(event.at, f"{event.type} {_key(event)}") for event in journal if event.type in types]
    return [sorted(said for _, said in together) for _, together in groupby(found, key=lambda it: it[0])]


def _attempts(step: Any) -> list[str | None]:
    """The errors of its attempts, without those that were lost with a worker."""
    names = [attempt.error and f"{attempt.error['name']}: {attempt.error['message']}" for attempt in step.attempts]
    return [name for name in names if name is None or not name.startswith(WORKER_LOST)]


def _error(error: dict[str, Any] | None) -> Any:
    return error and [error["name"], error["message"]]


def _timeless(output: Any) -> Any:
    """A step's output without the time at which an event came."""
    return {**output, "timestamp": None} if isinstance(output, dict) and "timestamp" in output else output


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _lag(program: Program, journal: list[Event]) -> int:
    """How long the clock of a program with timers of its own stood still, in milliseconds.

    That is from the last event that tells a worker's time until that worker was lost.
    """
    lag = told = 0
    for event in journal:
        if event.type in STARTS + ENDS or event.type == ev.EXECUTION_STARTED:
            told = event.at
        elif event.type == ev.EXECUTION_ENDED and event.data["reason"] not in FINE_ENDS and program.own_timers:
            lag += event.at - told
    return lag
