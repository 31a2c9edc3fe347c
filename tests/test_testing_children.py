"""Children in the test kit, where a server or a worker dies at any commit: each runs once, and each end comes once."""

import pytest
from aio import story

from playground.testing import UnusedMock, WorkflowFailed, WorkflowTester
from playground.testing.crashes import SERVER, WORKER
from playground.workflows import events as ev

FAMILY = """
import asyncio
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        n = event["payload"].get("n")
        if n is not None:
            await step.sleep("rest", f"{n} hours")
            if n == 3:
                raise ValueError("three is too many")
            return await step.do("double", lambda: 2 * n)
        one = await self.env.WORKFLOWS.run({"n": 1})
        rest = await asyncio.gather(
            *(self.env.WORKFLOWS.run({"n": n}, name="rest") for n in (2, 3)), return_exceptions=True)
        return [one, rest[0], str(rest[1])]
"""
OUTPUT = [2, 4, "three is too many"]


async def played(tester: WorkflowTester) -> None:
    run = await tester.create()
    assert await run.result() == OUTPUT
    journal = await run.journal()
    for type, times in ((ev.CHILD_STARTED, 3), (ev.CHILD_COMPLETED, 2), (ev.CHILD_ERRORED, 1)):
        assert sum(event.type == type for event in journal) == times, type
    rows = await tester.store.list("")
    assert len(rows) == 4, "a parent and three children"
    assert await tester.store.families.after(0, 9) == [], "nothing is left to be done"


@story
async def test_children_run_in_the_test_and_their_steps_may_be_mocked() -> None:
    async with WorkflowTester(FAMILY) as tester:
        await played(tester)
    async with WorkflowTester(FAMILY) as tester:
        tester.mock_step("double", error=ValueError("mocked"), times=None)
        run = await tester.create()
        with pytest.raises(WorkflowFailed, match="mocked"):
            await run.result()


@story
async def test_a_child_is_mocked_by_an_output_or_an_error_and_none_of_its_code_runs() -> None:
    async with WorkflowTester(FAMILY) as tester:
        tester.mock_child(result={"of": "a mock"})
        tester.mock_child("rest", result="no rest", count=1)
        tester.mock_child("rest", error=RuntimeError("7"))
        tester.mock_step("double", error=ValueError, optional=True)
        run = await tester.create()
        assert await run.result() == [{"of": "a mock"}, "no rest", "7"]
        rows = await tester.store.list("")
        assert [row.class_name for row in reversed(rows)][1:] == ["MockedChild1", "MockedChild2", "MockedChild3"]
        assert not any([(await tester.store.load(row.key)).steps for row in rows[:3]])
    for crash in (None, 2, 3, 4):
        async with WorkflowTester(FAMILY) as tester:
            if crash is not None:
                tester.crash(SERVER, commit=crash)
            tester.mock_child(result=1, times=1)
            tester.mock_child("rest", result=2, count=1)
            assert await (await tester.create()).result() == [1, 2, "three is too many"], "the other one runs"


@story
async def test_a_mock_of_a_child_that_is_never_started_is_told() -> None:
    with pytest.raises(UnusedMock, match=r'mock_child\("rests"\) was never used: no child of .* "rest" meant'):
        async with WorkflowTester(FAMILY) as tester:
            tester.mock_child("rests", result=2)
            await (await tester.create()).result()
    async with WorkflowTester(FAMILY) as tester:
        with pytest.raises(ValueError, match="mock_child takes a result or an error, not both"):
            tester.mock_child(result=1, error=ValueError)


@pytest.mark.parametrize("victim", [SERVER, WORKER])
@pytest.mark.parametrize("moment", ["before", "after"])
@story
async def test_a_crash_at_any_commit_changes_nothing(victim: str, moment: str) -> None:
    async with WorkflowTester(FAMILY) as tester:
        await played(tester)
        commits = tester.commits
    for commit in range(1, commits + 1, 3):
        async with WorkflowTester(FAMILY) as tester:
            tester.crash(victim, commit=commit, moment=moment)
            await played(tester)
