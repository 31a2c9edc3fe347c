"""After every commit an execution's own fold of its steps says what their rows say, from which the next one begins.

An execution keeps `OpenStep`s frame by frame, ahead of the journal (`engine/execution/open_steps.py`), and the store
projects events on rows. So what is compared with a live step is its row with the events that wait for their commit.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from folds_support import Rows
from semantics_support import playing, story

from playground.engine.execution import open_steps
from playground.engine.execution.execution import Execution
from playground.engine.execution.open_steps import OpenStep
from playground.engine.execution.pipeline import Pipeline
from playground.store.encoding import as_objects
from playground.store.protocol import Committed, History
from playground.testing import Run, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.events import DO, Event, NewEvent

OF_ALL = ("status",)
OF_OPEN = ("attempt", "failures", "until", "line", "config")
OF_HANDLERS = ("completed", "output", "rollback", "rollback_config", "rollback_attempt", "rollback_until")


class Comparison:
    """Compares after each commit of a tester. `seen` counts the live steps compared, by kind and status."""

    def __init__(self) -> None:
        self.tester: WorkflowTester | None = None
        self.journals: dict[int, list[Event]] = {}
        self.seen: Counter[str] = Counter()
        self.failed: list[str] = []

    def on_commit(self, committed: Committed) -> None:
        self.journals.setdefault(committed.row.key, []).extend(committed.events)

    def after_commit(self, pipeline: Pipeline) -> None:
        assert self.tester is not None
        found = [execution for execution in self.tester.engine.executions() if execution.pipeline is pipeline]
        if not found or found[0].closing or any(entry.decider is not None for entry in pipeline._entries):
            return
        [execution] = found
        rows = self._rows(execution, [event for entry in pipeline._entries for event in entry.events])
        expected = open_steps.from_snapshot(History(rows.row, rows.steps, []))
        for key in expected.keys() | execution.steps.keys():
            live, row = execution.steps.get(key), expected.get(key)
            if live is None or row is None:
                self.failed.append(f"{key}: live {live}, row {row}")
                continue
            for name in _compared(live, row):
                mine, stored = _value(live, name), _value(row, name)
                if mine != stored:
                    self.failed.append(f"{key.kind} {key}, {name}: live {mine!r}, row {stored!r}")
            self.seen[f"{key.kind} {live.status}"] += 1
            if live.rollback is not None:
                self.seen[f"handler {live.rollback}"] += 1

    def _rows(self, execution: Execution, waiting: Sequence[NewEvent]) -> Rows:
        """The rows up to what the execution has applied, with the events that wait for their commit."""
        row = execution.row
        rows = Rows(Event(1, row.created_at, ev.WORKFLOW_QUEUED, None, None, {"params": row.params, "trigger": "api"}))
        for event in self.journals[row.key]:
            if event.seq <= execution.pipeline.seq:
                rows.take(event)
        if waiting:
            rows.commit(waiting, execution.services.clock.now(), row.execution)
        return rows


def _compared(live: OpenStep, row: OpenStep) -> Sequence[str]:
    """What of a step the execution still goes by."""
    if open_steps.OVER not in (live.status, row.status):
        return (*OF_ALL, *OF_OPEN, *OF_HANDLERS) if live.key.kind == DO else (*OF_ALL, "until", "line")
    return (*OF_ALL, *OF_HANDLERS) if live.rollback is not None else OF_ALL


def _value(step: OpenStep, name: str) -> Any:
    value = getattr(step, name)
    if name == "status" and value == open_steps.RUNNING:
        return open_steps.RETRYING  # what the next execution does with an attempt that was open
    if name == "rollback_attempt" and step.rollback == "pending":
        return 0
    return as_objects(value) if name == "output" else value


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparison]:
    found, on_durable = Comparison(), Pipeline._on_durable

    @functools.wraps(on_durable)
    async def and_compare(pipeline: Pipeline, *args: Any) -> None:
        await on_durable(pipeline, *args)
        try:
            found.after_commit(pipeline)
        except Exception as error:  # noqa: BLE001 - else it would cost the execution only
            found.failed.append(repr(error))

    monkeypatch.setattr(Pipeline, "_on_durable", and_compare)
    yield found
    assert not found.failed, "\n".join(found.failed[:10])


RETRIES = """
@step.do("flaky", config={"retries": {"limit": 3, "delay": "10 seconds", "backoff": "exponential"}})
async def flaky(ctx):
    if ctx.attempt < 3:
        raise ValueError(ctx.attempt)
    return ctx.attempt

@step.do("slow", config={"retries": {"limit": 1, "delay": "1 second"}, "timeout": "1 minute"})
async def slow(ctx):
    await asyncio.sleep(300 if ctx.attempt == 1 else 1)

@step.do("hopeless", config={"retries": {"limit": 1, "delay": 5}})
async def hopeless():
    raise KeyError("no")

await asyncio.gather(flaky(), slow(), step.sleep("nap", "3 seconds"), hopeless(), return_exceptions=True)
"""
WAITS = """
got = await step.wait_for_event("first", type="go", timeout="1 day")
try:
    await step.wait_for_event("never", type="no", timeout="1 hour")
except WorkflowTimeoutError:
    pass
lazy = asyncio.ensure_future(step.wait_for_event("given up", type="go", timeout="1 day"))
nap = asyncio.ensure_future(step.sleep("also given up", "2 days"))
await step.do("between", lambda: 1)
lazy.cancel()
nap.cancel()
await step.sleep("long", "40 days")
await step.wait_for_event("second", type="go", timeout="1 day")
return got["payload"] if isinstance(got, dict) else got.payload
"""
SAGA = """
async def undo(ctx):
    if ctx.attempt == 1:
        raise ConnectionError("once more")
    print("the second attempt is open at a commit")
    await asyncio.sleep(3)

for name in "ab":
    await step.do(name, lambda: name, rollback=undo, rollback_config={"retries": {"limit": 2, "delay": "10 seconds"}})
await step.sleep("rest", "1 hour")
await step.do("last", lambda: 1 / 0, config={"retries": {"limit": 0, "delay": 0}}, rollback=undo)
"""
NESTED = """
@step.do("outer")
async def outer():
    await step.do("inner", lambda: 1)
    await step.sleep("inside", "1 minute")
    return await step.do("inner", lambda: 2)
await outer()
"""


async def _finish(tester: WorkflowTester, run: Run) -> None:
    await run.wait_for_status("complete", "errored", "terminated")


async def _send_both(tester: WorkflowTester, run: Run) -> None:
    await run.send_event("go", 1)
    await run.wait_for_step("second", status="waiting")
    await run.send_event("go", 2)
    await _finish(tester, run)


async def _pause_and_resume(tester: WorkflowTester, run: Run) -> None:
    await run.wait_for_step("flaky", status="retrying")
    await run.pause()
    await run.wait_for_status("paused")
    await run.resume()
    await _finish(tester, run)


async def _kill_and_wake(tester: WorkflowTester, run: Run) -> None:
    await run.wait_for_step("slow", status="running")
    await run.kill_worker()
    await run.wait_for_step("flaky", status="retrying")
    await tester.settle()
    await run.wake("flaky", kind=DO)
    await _finish(tester, run)


RUNS = {
    "retries": (RETRIES, _finish, "do retrying"),
    "paused": (RETRIES, _pause_and_resume, "do retrying"),
    "killed": (RETRIES, _kill_and_wake, "do running"),
    "waits": (WAITS, _send_both, "wait open"),
    "saga": (SAGA, _finish, "handler retrying"),
    "nested": (NESTED, _finish, "sleep open"),
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id=""),
        pytest.param({"idle_grace_ms": 0}, id="hibernating"),
        pytest.param({"idle_grace_ms": 3_600_000}, id="awake"),  # over every retry wait
    ],
)
@pytest.mark.parametrize("name", RUNS)
def test_live_steps_agree_with_their_rows_after_every_commit(
    name: str, settings: dict[str, Any], comparison: Comparison
) -> None:
    body, steer, met = RUNS[name]

    @story
    async def compared() -> None:
        async with playing(body, on_commit=comparison.on_commit, **settings) as (tester, run):
            comparison.tester = tester
            await steer(tester, run)

    compared()
    assert comparison.seen[met], comparison.seen
