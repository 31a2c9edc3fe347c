"""Two nodes play; at every commit of a run, the one that makes it is killed, or frozen past its lease and thawed.

Expect the same output and the same committed steps as undisturbed, no callback of a committed step run again, journals
without gaps, and rows that agree with them. `CRASH_EXAMPLES=100 pytest tests/test_property_nodes.py` tries more.
"""

from typing import Any

import pytest
from aio import run
from crash_support import DEADLINE, EXAMPLES, GRACES, NODES, RICH, SAGAS, play, saga, written, written_saga
from hypothesis import HealthCheck, example, given, settings
from test_property_crashes import crash_at_every_commit

from playground.testing import WorkflowTester
from playground.testing.server import REPLACED, THAWED, Nodes

EVERY_DAY = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
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
        run(crash_at_every_commit(source, "server", moment, grace, lambda tester: play(tester, source)), DEADLINE)

    every_commit()


@pytest.mark.parametrize("crashed", [REPLACED, THAWED])
def test_a_node_lost_at_any_commit_of_a_saga_changes_nothing(crashed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkflowTester, "nodes", Nodes(BOTH, BOTH, crashed))

    @EVERY_DAY
    @given(SAGAS, GRACES)
    def every_commit(groups: Any, grace: int) -> None:
        run(crash_at_every_commit(written_saga(groups), "server", "before", grace, saga), DEADLINE)

    every_commit()
