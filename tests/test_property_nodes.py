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
    EVERY,
    GRACES,
    NODES,
    RICH,
    SAGAS,
    WORLD,
    crash_at_every_commit,
    every_day,
    play,
    saga,
    written,
    written_saga,
)
from database_support import Chosen
from hypothesis import example, given
from store_support import POSTGRES

from playground.testing import WorkflowTester
from playground.testing.server import REPLACED, THAWED, Nodes

pytestmark = pytest.mark.long

BOTH = ("a", "b")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("crashed", [REPLACED, THAWED])
def test_a_node_lost_at_any_commit_changes_nothing(crashed: str, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkflowTester, "nodes", Nodes(BOTH, BOTH, crashed))

    @every_day
    @example(RICH, 0)
    @given(NODES, GRACES)
    def every_commit(node: Any, grace: int) -> None:
        source = written(node)
        every = EVERY**2 if Chosen.kind == POSTGRES else EVERY
        losing = crash_at_every_commit(
            source, "server", moment, grace, lambda tester: play(tester, source), each_was_lost, every
        )
        run(losing, DEADLINE)

    every_commit()


@pytest.mark.parametrize("crashed", [REPLACED, THAWED])
def test_a_node_lost_at_any_commit_of_a_saga_changes_nothing(crashed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkflowTester, "nodes", Nodes(BOTH, BOTH, crashed))

    @every_day
    @given(SAGAS, GRACES)
    def every_commit(groups: Any, grace: int) -> None:
        run(
            crash_at_every_commit(written_saga(groups), "server", "before", grace, saga, each_was_lost, every=1),
            DEADLINE,
        )

    every_commit()


async def each_was_lost(tester: WorkflowTester, when: str) -> None:
    """What ran again had an attempt that was lost with its worker, or ran on a node that was thawed too late to
    announce it: that one made no call.
    """
    for id, name, count in WORLD.ran_again:
        assert tester.nodes.crashed == THAWED, when
        [run] = [run for run in tester.runs if run.id == id]
        step = await run.step(name.removeprefix("undo "), count=count)
        tried = step.rollback.attempts if name.startswith("undo ") and step.rollback else step.attempts
        lost = [attempt for attempt in tried if attempt.error and attempt.error["name"] == "WorkerLost"]
        assert lost or len(tried) == 1, when
