"""`playground test FILE`: run a workflow with a crash at each of its commits, and compare how it ends.

It is run twice as it is: what differs between those two is by chance, and no crash is blamed for it. Then once for each
commit, where the server (or the worker) is killed right there and a new one goes on from the journal. A rerun is the
same if it ends alike (status, output, error) and by the same steps. The runs use the engine, the store and the journal
of the test kit (playground.testing), on a clock that skips sleeps, and workers in the sandbox, as on a server: a file
may be anybody's. A callback's own waiting takes its time.
"""

import argparse
import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from playground.opening import open_configured_sandbox
from playground.sandbox.pool import Sandbox
from playground.sandbox.tiers import SandboxRefused
from playground.settings import Settings
from playground.store.protocol import Committed
from playground.terminal.inputs import json_input, read_text
from playground.terminal.narration import error_text, plain, preview
from playground.terminal.outcomes import DIFFERS, OK, BadCommand
from playground.terminal.places import Place
from playground.terminal.screen import Screen
from playground.testing import NothingHappens, Run, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.errors import WorkflowError
from playground.workflows.state import State

COMMITS_MAX = 200  # that are crashed, without --most
TOGETHER = 4  # runs at once
RUN_SECONDS = 60.0  # of real time that one run may take, without --seconds
TIMED_OUT = "WorkflowTimeoutError"
SERVER, WORKER = "server", "worker"
# A server that dies before a commit never makes it; a worker that dies then has its commit made all the same.
MOMENTS = {SERVER: "before", WORKER: "after"}
SAME, DIFFERENT, VARIES, NOT_REACHED = "same", "differs", "varies", "not reached"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, and what came of it on the way."""

    status: str
    output: Any
    error: Mapping[str, Any] | None
    steps: str  # a digest of which steps it came by
    ran_twice: tuple[str, ...]
    left_out: tuple[str, ...]  # steps that a replay left out
    stuck: str = ""

    @property
    def compared(self) -> tuple[Any, ...]:
        """What must be the same."""
        error = self.error and (self.error.get("name"), self.error.get("message"))
        return self.status, json.dumps(self.output, sort_keys=True, default=str), error, self.steps, self.left_out


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every run of a test is made from."""

    source: str
    class_name: str
    params: Any
    events: tuple[tuple[str, Any], ...]
    settings: Mapping[str, Any]
    seconds: float


async def test(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out `playground test FILE`; returns the exit status."""
    plan = _Plan(
        read_text(options.file),
        options.class_name,
        _value(options.params, "--params"),
        tuple(_event(given) for given in options.event),
        {"worker_losses": 1_000},
        options.seconds,
    )
    settings = place.settings
    try:
        sandbox = await open_configured_sandbox(settings, lambda event, **fields: None)
    except SandboxRefused as error:
        raise BadCommand(str(error)) from None
    try:
        await _check(plan, settings, sandbox, options.file)
        return await _crash_each(plan, options, sandbox, screen)
    finally:
        await sandbox.close()


async def _check(plan: _Plan, settings: Settings, sandbox: Sandbox, file: str) -> None:
    """Raises BadCommand for a source that can't run."""
    from playground.engine.code.checker import Checker
    from playground.sandbox.channel import FairReading
    from playground.terminal.following import now_ms

    checker = Checker(sandbox, settings.source_bytes, settings.check_seconds_per_minute, now_ms, FairReading())
    try:
        found = await checker.check(plan.source, class_name=plan.class_name)
    except WorkflowError as error:
        raise BadCommand(f"{file} can't be checked: {error.message}") from None
    errors = [it for it in found.diagnostics if it["severity"] == "error"]
    if errors:
        raise BadCommand(f"{file}:{errors[0]['line']}:{errors[0]['column']}: {plain(errors[0]['message'])}")


async def _crash_each(plan: _Plan, options: argparse.Namespace, sandbox: Sandbox, screen: Screen) -> int:
    commits: list[str] = []
    first = await _play(plan, sandbox, None, commits)
    second = await _play(plan, sandbox, None, [])
    if first.stuck:
        raise BadCommand(f"without a crash it comes to no end: {first.stuck}")
    steady = first.compared == second.compared
    screen.print(f"without a crash: {first.status}  {preview(first.output) if first.error is None else ''}".rstrip())
    if first.error is not None:
        screen.print(f"  {error_text(first.error)}")
        if first.error.get("name") == TIMED_OUT and not plan.events:
            screen.print("  it waited for an event that never came; --event TYPE=JSON sends one")
    if not steady:
        screen.print("  two runs without a crash end differently, so that what differs below may be chance")
    numbers = [it for it in options.at or range(1, len(commits) + 1) if it <= len(commits)][: options.most]
    if not numbers:
        raise BadCommand(f"--at takes the number of a commit, and this workflow makes {len(commits)}")
    slots, over = asyncio.Semaphore(TOGETHER), list[int]()

    async def rerun(number: int) -> Outcome:
        async with slots:
            outcome = await _play(plan, sandbox, (options.victim, number), [])
            over.append(number)
            return outcome

    async with screen.drawing(list, lambda: f"{len(over)} of {len(numbers)} crashes are over"):
        outcomes = await asyncio.gather(*(rerun(number) for number in numbers))
    good = {first.compared, second.compared}
    rows = [
        _row(number, commits[number - 1], outcome, good, steady=steady)
        for number, outcome in zip(numbers, outcomes, strict=True)
    ]
    columns = {"commit": "commit", "what": "killed at", "result": "result", "status": "status"}
    shown = (
        rows if options.all or screen.shows_json else [row for row in rows if row["result"] != SAME or row["ran_twice"]]
    )
    screen.table("crash", columns | {"ran_twice": "ran twice", "how": "what differs"}, shown, "Nothing differs.")
    return _summary(rows, options, len(commits), screen)


def _row(number: int, what: str, outcome: Outcome, good: set[tuple[Any, ...]], *, steady: bool) -> dict[str, Any]:
    result = SAME if outcome.compared in good else DIFFERENT if steady or outcome.left_out else VARIES
    how = ""
    if result != SAME:
        left = ", ".join(outcome.left_out)
        ended = error_text(outcome.error) if outcome.error else preview(outcome.output)
        how = outcome.stuck or (f"a replay left out {left}; " if left else "") + f"{outcome.status}: {ended}"
    return {
        "commit": number,
        "what": what,
        "result": result,
        "status": outcome.status,
        "ran_twice": ", ".join(outcome.ran_twice),
        "how": how,
    }


def _summary(rows: list[dict[str, Any]], options: argparse.Namespace, commits: int, screen: Screen) -> int:
    counts = {result: sum(row["result"] == result for row in rows) for result in (SAME, DIFFERENT, VARIES)}
    twice = sum(bool(row["ran_twice"]) for row in rows)
    screen.json("summary", commits=commits, crashed=len(rows), **counts, ran_twice=twice, victim=options.victim)
    screen.print(
        f"{len(rows)} of {commits} commits, the {options.victim} killed at each: {counts[SAME]} end the same"
        + (f", {counts[DIFFERENT]} differ" if counts[DIFFERENT] else "")
        + (f", {counts[VARIES]} may differ by chance" if counts[VARIES] else "")
        + "."
    )
    if twice:
        screen.print(
            f"In {twice} a step's callback ran twice: it was lost before its result was committed. What it does "
            "elsewhere must bear that (an idempotency key)."
        )
    if len(rows) < commits and not options.at:
        screen.print(f"The others were left out; --most {commits} takes all.")
    return DIFFERS if counts[DIFFERENT] else OK


async def _play(plan: _Plan, sandbox: Sandbox, crash: tuple[str, int] | None, commits: list[str]) -> Outcome:
    """One run to its end; `commits` gets what each of its commits was."""

    def note(committed: Committed) -> None:
        if not committed.events:  # what was decided changes nothing, and is no commit
            return
        while len(commits) < tester.commits - 1:
            commits.append("a worker is assigned")
        commits.append(_name_of(committed))

    tester = WorkflowTester(
        plan.source,
        class_name=plan.class_name,
        sandbox=sandbox,
        allow_divergence=True,
        on_commit=note,
        **plan.settings,
    )
    async with tester:
        if crash is not None:
            tester.crash(crash[0], commit=crash[1], moment=MOMENTS[crash[0]])
        run = await tester.create(plan.params)
        for type, payload in plan.events:
            await _send(run, type, payload)
        stuck = ""
        try:
            await run.wait_for_status(*ev.FINAL_STATUSES, deadline=plan.seconds)
        except NothingHappens:
            state = await run.state()
            waits = ", ".join(plain(str(it.event_type)) for it in state.steps.values() if it.status == "waiting")
            stuck = f"it waits for {waits or 'nothing that can come'}; send it with --event TYPE=JSON"
        except TimeoutError:
            stuck = f"it did not end within {plan.seconds:g} s; --seconds gives it more"
        return _outcome(await run.state(), await run.not_reached() or (), stuck)


async def _send(run: Run, type: str, payload: Any) -> None:
    """Send an event before it is waited for, also where the server is killed meanwhile."""
    from playground.testing import ServerCrashed

    try:
        await run.send_event(type, payload)
    except ServerCrashed:  # before its commit, so that it is not there
        await run.send_event(type, payload)


def _outcome(state: State, left_out: Any, stuck: str) -> Outcome:
    steps = sorted([str(step.key), step.status] for step in state.steps.values())
    twice = [
        plain(step.key.label)
        for step in state.steps.values()
        if any((attempt.error or {}).get("name") == "WorkerLost" for attempt in step.attempts)
    ]
    return Outcome(
        state.status,
        state.output,
        state.error,
        hashlib.sha256(json.dumps(steps).encode()).hexdigest(),
        tuple(twice),
        tuple(plain(str(step["name"])) for step in left_out),
        stuck,
    )


def _name_of(committed: Committed) -> str:
    """What a commit held, in a few words: its last event that people know."""
    event = committed.events[-1]
    name = event.type.replace("_", " ")
    return f"{name}: {plain(event.step.label)}" if event.step is not None else name


def _value(given: str | None, name: str) -> Any:
    found = json_input(given, name)
    return None if not isinstance(found, msgspec.Raw) else json.loads(bytes(found))


def _event(given: str) -> tuple[str, Any]:
    type, equals, payload = given.partition("=")
    if not type:
        raise BadCommand("--event takes TYPE or TYPE=JSON")
    return type, _value(payload if equals else None, f"the payload of {type}")
