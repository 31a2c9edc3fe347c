"""Whatever a workflow is made of and wherever it crashes, it ends as if nothing had happened.

Hypothesis writes workflows; each runs once undisturbed, then once for every commit it makes, with a crash at that
commit. Expect the same output and the same committed steps, no callback of a committed step ever run again, a journal
without gaps, and rows that agree with it. `CRASH_EXAMPLES=100 pytest tests/test_property_crashes.py` tries more than
the few of every day.
"""

from typing import Any

import pytest
from aio import run
from crash_support import (
    DEADLINE,
    EVERY,
    EVERY_DAY,
    EXAMPLES,
    GRACES,
    NODES,
    RICH,
    SAGAS,
    WORLD,
    crash_at_every_commit,
    every_day,
    open_tester,
    play,
    saga,
    written,
    written_saga,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.long

OFTEN = settings(EVERY_DAY, max_examples=EXAMPLES * 6)
CRASHES = st.tuples(st.integers(1, 6), st.sampled_from(["worker", "server"]), st.sampled_from(["before", "after"]))
MOST_CRASHES = 4  # a step that loses five workers in a row ends its instance, as it should


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("victim", ["worker", "server"])
def test_a_crash_at_any_commit_changes_nothing(victim: str, moment: str, runs_ahead: bool) -> None:
    every = EVERY if runs_ahead else EVERY**2  # code that waits for each commit has fewer ways to go

    @every_day
    @example(RICH, 0)
    @given(NODES, GRACES)
    def every_commit(node: Any, grace: int) -> None:
        source = written(node)
        crashing = crash_at_every_commit(
            source, victim, moment, grace, lambda tester: play(tester, source), every=every
        )
        run(crashing, DEADLINE)

    every_commit()


@OFTEN
@given(NODES, GRACES, st.lists(CRASHES, min_size=2, max_size=MOST_CRASHES))
def test_several_crashes_of_one_run_change_nothing(node: Any, grace: int, crashes: list[tuple[int, str, str]]) -> None:
    async def story() -> None:
        source = written(node)
        async with open_tester(source, grace) as tester:
            expected = await play(tester, source)
            await tester.settle()
            commit = tester.commits
            for gap, victim, moment in crashes:
                commit += gap
                tester.crash(victim, commit=commit, moment=moment)
            assert await play(tester, source) == expected
        assert WORLD.ran_again == []

    WORLD.begin()
    run(story(), DEADLINE)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("victim", ["worker", "server"])
def test_a_crash_at_any_commit_of_a_saga_changes_nothing(victim: str, moment: str) -> None:
    @every_day
    @given(SAGAS, GRACES)
    def every_commit(groups: Any, grace: int) -> None:
        run(crash_at_every_commit(written_saga(groups), victim, moment, grace, saga), DEADLINE)

    every_commit()
