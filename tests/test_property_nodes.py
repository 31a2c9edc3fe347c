"""Two nodes play; at every commit of a run, the one that makes it is killed, or frozen past its lease and thawed.

Expect the same output and the same committed steps as undisturbed, journals without gaps, and rows that agree with
them. No callback of a committed step runs again, but for one: the worker of a frozen node lives on, and may come to
what it had begun after its successor has. Then the journal has that attempt, closed as lost, and another.
`CRASH_EXAMPLES=100 pytest tests/test_property_nodes.py` tries more.
"""

from typing import Any

import pytest
from aio import run
from crash_support import (
    DEADLINE,
    EXAMPLES,
    GRACES,
    NODES,
    RICH,
    SAGAS,
    WORLD,
    Source,
    open_tester,
    play,
    saga,
    written,
    written_saga,
)
from hypothesis import HealthCheck, example, given, settings

from playground.testing import WorkflowTester
from playground.testing.server import REPLACED, THAWED, Nodes

EVERY_DAY = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
BOTH = ("a", "b")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("crashed", [REPLACED, THAWED])
def test_a_node_lost_at_any_commit_changes_nothing(crashed: str, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkflowTester, "nodes", Nodes(BOTH, BOTH, crashed))

    @EVERY_DAY
    @example(RICH, 0)
    @given(NODES, GRACES)
    def every_commit(node: Any, grace: int) -> None:
        source = written(node)
        run(lost_at_every_commit(source, moment, grace, lambda tester: play(tester, source)), DEADLINE)

    every_commit()


@pytest.mark.parametrize("crashed", [REPLACED, THAWED])
def test_a_node_lost_at_any_commit_of_a_saga_changes_nothing(crashed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkflowTester, "nodes", Nodes(BOTH, BOTH, crashed))

    @EVERY_DAY
    @given(SAGAS, GRACES)
    def every_commit(groups: Any, grace: int) -> None:
        run(lost_at_every_commit(written_saga(groups), "before", grace, saga), DEADLINE)

    every_commit()


async def lost_at_every_commit(source: Source, moment: str, grace: int, play: Any) -> None:
    """Run it once for every commit it makes, and once more undisturbed."""
    WORLD.begin()
    async with open_tester(source, grace) as tester:
        expected = await play(tester)
        number = 0
        while not tester.crashes_left:
            number += 1
            await tester.settle()
            tester.crash("server", commit=tester.commits + number, moment=moment)
            assert await play(tester) == expected, f"a node was lost {moment} commit {number}"
            await each_was_lost(tester, f"a node was lost {moment} commit {number}")
        assert number > 3


async def each_was_lost(tester: WorkflowTester, when: str) -> None:
    """What ran again had an attempt that was lost with its worker."""
    for id, name, count in WORLD.ran_again:
        assert tester.nodes.crashed == THAWED, when
        [run] = [run for run in tester.runs if run.id == id]
        step = await run.step(name.removeprefix("undo "), count=count)
        tried = step.rollback.attempts if name.startswith("undo ") and step.rollback else step.attempts
        assert any(attempt.error and attempt.error["name"] == "WorkerLost" for attempt in tried), when
