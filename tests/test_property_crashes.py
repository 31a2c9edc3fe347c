"""Whatever a workflow is made of and wherever it crashes, it ends as if nothing had happened.

Hypothesis writes workflows; each runs once undisturbed, then once for every commit it makes, with a crash at that commit. Expect the same
output and the same committed steps, no callback of a committed step ever run again, a journal without gaps, and rows that agree with it.
`CRASH_EXAMPLES=100 pytest tests/test_property_crashes.py` tries more than the few of every day.
"""

import os
from typing import Any

import pytest
from crash_support import NODES, WORLD, Source, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from semantics_support import assert_dense, assert_rows_agree, run_loop

from playground.testing import Run, ServerCrashed, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.state import State

EXAMPLES = int(os.environ.get("CRASH_EXAMPLES", "4"))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
EVERY_DAY = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=SLOW)
OFTEN = settings(EVERY_DAY, max_examples=EXAMPLES * 5)
DEADLINE = 1200.0
CRASHES = st.tuples(st.integers(1, 6), st.sampled_from(["worker", "server"]), st.sampled_from(["before", "after"]))
MOST_CRASHES = 4  # a step that loses five workers in a row ends its instance, as it should


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("victim", ["worker", "server"])
def test_a_crash_at_any_commit_changes_nothing(victim: str, moment: str) -> None:
    @EVERY_DAY
    @given(NODES)
    def every_commit(node: Any) -> None:
        run_loop(crash_at_every_commit(written(node), victim, moment), DEADLINE)

    every_commit()


@OFTEN
@given(NODES, st.lists(CRASHES, min_size=2, max_size=MOST_CRASHES))
def test_several_crashes_of_one_run_change_nothing(node: Any, crashes: list[tuple[int, str, str]]) -> None:
    async def story() -> None:
        source = written(node)
        async with open_tester(source) as tester:
            expected = await play(tester, source)
            await tester.settle()
            commit = tester.commits
            for gap, victim, moment in crashes:
                commit += gap
                tester.crash(victim, commit=commit, moment=moment)
            assert await play(tester, source) == expected
        assert WORLD.ran_again == []

    WORLD.begin()
    run_loop(story(), DEADLINE)


async def crash_at_every_commit(source: Source, victim: str, moment: str) -> None:
    """Run it once for every commit it makes, and once more undisturbed."""
    WORLD.begin()
    async with open_tester(source) as tester:
        expected = await play(tester, source)
        number = 0
        while not tester.crashes_left:
            number += 1
            await tester.settle()
            tester.crash(victim, commit=tester.commits + number, moment=moment)
            assert await play(tester, source) == expected, f"{victim} crashed {moment} commit {number}"
            assert WORLD.ran_again == [], f"{victim} crashed {moment} commit {number}"
        assert number > 3


def open_tester(source: Source) -> WorkflowTester:
    return WorkflowTester(source.text, on_commit=WORLD.committed)


async def play(tester: WorkflowTester, source: Source) -> tuple[Any, Any]:
    """Run one instance to its end and send it its events; gives its output and its steps."""
    run = await tester.create()
    WORLD.created(run)
    while (wanted := await run.wait_until(lambda state: wants(run, state, source))) is not True:
        try:
            await run.send_event(*wanted)
        except ServerCrashed:
            pass  # whether it was taken, the journal says
    state = await run.state()
    assert state.status == ev.COMPLETE, state.error
    assert_dense(await run.journal())
    await assert_rows_agree(run)
    steps = {key: (step.status, _timeless(step.output), step.error and step.error["message"]) for key, step in state.steps.items()}
    return state.output, steps


def _timeless(output: Any) -> Any:
    """A step's output without the time at which an event came."""
    return {**output, "timestamp": None} if isinstance(output, dict) and "timestamp" in output else output


def wants(run: Run, state: State, source: Source) -> Any:
    """The next event to send (type, payload), True at the end, None when there is nothing to do."""
    if state.status in ev.FINAL_STATUSES:
        return True
    sent = [event.data["type"] for event in run.seen if event.type == ev.EVENT_RECEIVED]
    for type, number in source.early.items():
        if sent.count(type) < number:
            return type, f"{type} {sent.count(type)}"
    for key, step in state.steps.items():
        if key.kind == ev.WAIT and key.name in source.late and step.status == "waiting" and sent.count(key.name) < key.count:
            return key.name, f"{key.name} {sent.count(key.name)}"
    return None
