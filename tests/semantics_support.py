"""What the tests of semantics.md, section 9, share: short workflow sources, a ledger of what really ran,
real workers.
"""

import asyncio
import functools
import itertools
import textwrap
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aio
from folds_support import OF_ROWS

from playground.sandbox.pool import Sandbox
from playground.store.encoding import as_objects
from playground.testing import Run, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.events import Event
from playground.workflows.state import Step

HEAD = """
import asyncio
import random
from datetime import datetime, timedelta, timezone
from workers import NonRetryableError, WorkflowEntrypoint, WorkflowTimeoutError

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
"""
IN_PROCESS = "from semantics_support import LEDGER\n"
MEMORY_BYTES = 160 * 1024 * 1024


class Ledger:
    """What callbacks of workflows in this process note down, whatever becomes of their commits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: list[Any] = []

    def note(self, what: Any) -> None:
        with self._lock:
            self._notes.append(what)

    def take(self) -> list[Any]:
        """Everything noted since the last time."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes

    def count(self) -> Counter[Any]:
        return Counter(self.take())


LEDGER = Ledger()


def workflow(body: str, *, isolated: bool = False) -> str:
    """The source of a workflow whose `run` has this body. `isolated` ones run in real workers and have no LEDGER."""
    return ("" if isolated else IN_PROCESS) + HEAD + textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8) + "\n"


def story(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function, whose parameters pytest gives it; it begins with an empty LEDGER."""

    @aio.story
    @functools.wraps(test)
    async def from_the_first_note(**given: Any) -> None:
        LEDGER.take()
        await test(**given)

    return from_the_first_note


@asynccontextmanager
async def playing(
    body: str, params: Any = None, *, created: dict[str, Any] | None = None, **given: Any
) -> AsyncIterator[tuple[WorkflowTester, Run]]:
    """A tester with one instance of a workflow that has this body; `created` goes to create(),
    `given` to the tester.
    """
    async with WorkflowTester(workflow(body), **given) as tester:
        yield tester, await tester.create(params, **(created or {}))
        await assert_sound(tester)


@asynccontextmanager
async def isolated(
    body: str, params: Any = None, cpu_seconds: int = 10, **given: Any
) -> AsyncIterator[tuple[WorkflowTester, Run]]:
    """The same with workers that are real, locked processes."""
    sandbox = await Sandbox.open(
        memory_bytes=MEMORY_BYTES, cpu_seconds=cpu_seconds, parked=2, log=lambda event, **fields: None
    )
    try:
        async with WorkflowTester(workflow(body, isolated=True), sandbox=sandbox, **given) as tester:
            yield tester, await tester.create(params)
            await assert_sound(tester)
    finally:
        await sandbox.close()


async def outcome(body: str, params: Any = None, **given: Any) -> Any:
    """What a workflow with this body gives. Raises WorkflowFailed."""
    async with playing(body, params, **given) as (_, run):
        return await run.result()


async def failure(body: str, params: Any = None, **given: Any) -> dict[str, Any]:
    """The error that a workflow with this body ends with."""
    async with playing(body, params, **given) as (_, run):
        await run.wait_for_status(ev.COMPLETE, ev.ERRORED, ev.TERMINATED)
        state = await run.state()
        assert state.status == ev.ERRORED, state.output
        assert_dense(await run.journal())
        return dict(state.error or {})


def attempts(step: Step) -> list[tuple[int, str | None]]:
    """Number and error message of each attempt of a step."""
    return [(attempt.attempt, attempt.error["message"] if attempt.error else None) for attempt in step.attempts]


def delays(step: Step) -> list[int | None]:
    """How long it was to wait after each attempt."""
    return [attempt.retry_delay_ms for attempt in step.attempts]


async def started(run: Run, *kinds: str) -> list[str]:
    """The steps that started, `name-count` each, in order."""
    kinds = kinds or (ev.STEP_STARTED, ev.SLEEP_STARTED, ev.WAIT_STARTED)
    return [str(event.step) for event in await run.journal() if event.type in kinds]


async def times(run: Run, type: str) -> list[int]:
    """When events of a type came, in milliseconds since the instance was created."""
    journal = await run.journal()
    return [event.at - journal[0].at for event in journal if event.type == type]


def assert_dense(journal: list[Event]) -> None:
    """`seq` counts from 1 without a gap; the last of a finished generation is its final event, preceded by
    `execution_ended`.
    """
    assert [event.seq for event in journal] == list(range(1, len(journal) + 1))
    for previous, event in itertools.pairwise(journal):
        if previous.type in ev.FINAL_TYPES:
            assert event.type == ev.WORKFLOW_RESTARTED


async def turns(count: int = 50) -> None:
    """Let the event loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def turns_until(condition: Callable[[], Any]) -> None:
    """Let the event loop turn until something is true; the deadline is the test's."""
    while not condition():
        await asyncio.sleep(0)


async def assert_sound(tester: WorkflowTester) -> None:
    """Once everything rests, every journal is dense and agrees with its rows."""
    await tester.settle()
    for run in tester.runs:
        await assert_run_sound(run)


async def assert_run_sound(run: Run) -> None:
    """The journal of one that rests is dense and agrees with its rows, unless it has been deleted."""
    if await run.exists():
        assert_dense(await run.journal())
        await assert_rows_agree(run)


async def assert_rows_agree(run: Run) -> None:
    """The rows of an instance say the same as the fold of its journal."""
    state, row = await run.state(), await run.row()
    for name in (
        "status",
        "generation",
        "output",
        "error",
        "rollback",
        "created_at",
        "started_at",
        "ended_at",
        "last_seq",
    ):
        assert as_objects(getattr(row, name)) == getattr(state, name), name
    assert row.in_execution == any(execution.ended_at is None for execution in state.executions)
    rows = {key: row for key, row in (await run.snapshot()).steps.items() if key.kind not in ev.ROW_KINDS}
    assert rows.keys() == state.steps.keys()
    for key, step in state.steps.items():
        shown = rows[key]
        assert shown.status == ("open" if step.cut_short else OF_ROWS.get(step.status, step.status)), key
        assert (shown.attempt, shown.error, shown.started_seq) == (len(step.attempts), step.error, step.started_seq), (
            key
        )
        if shown.status in ("open", "retrying") and not step.cut_short:
            assert shown.until == step.until, key
        assert shown.rollback == (step.rollback and step.rollback.status), key
