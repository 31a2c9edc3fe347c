"""What the test kit finds that a test did not look for: a replay that took another way, an unused mock,
odd arguments.
"""

import re

import pytest
from aio import story

from playground.testing import ReplayDiverged, UnusedMock, WorkflowFailed, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

CALLED: list[str] = []
from workers import WorkflowEntrypoint

SHOP = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("charge card")
        async def charge():
            return 12
        paid = [await charge(), await step.do("send", lambda: "sent"), await step.do("send", lambda: "sent again")]
        await step.wait_for_event("approval", "approved", timeout="1 day")
        return paid
"""
NOT_REACHED = {"kind": "do", "name": "charge card", "count": 1}


class Wavering(WorkflowEntrypoint):
    """Goes left or right by what a list of this module holds, which no replay brings back."""

    async def run(self, event, step):
        CALLED.append("run")
        way = "left" if len(CALLED) == 1 else "right"
        await step.do(way, lambda: 1)
        await step.sleep("a while", "1 day")
        await step.do("last", lambda: 2)
        return "the end"


@pytest.fixture(autouse=True)
def nothing_called():
    """Each test begins with an empty list."""
    CALLED.clear()


async def diverged(tester: WorkflowTester) -> None:
    """Run the shop to its end, with a replay in its journal that did not come to one of its steps."""
    run = await tester.create()
    await run.wait_for_step("approval", status="waiting")
    await tester.settle()
    row = await run.row()
    told = NewEvent(ev.REPLAY_DIVERGED, {"steps": [NOT_REACHED]})
    await tester.store.append(run.key, [told], execution=row.execution, at=tester.now())
    await run.send_event("approved")


@story
async def test_a_replay_that_took_another_way_is_an_error_of_its_own_that_names_the_steps():
    async with WorkflowTester(SHOP) as tester:
        await diverged(tester)
        with pytest.raises(
            ReplayDiverged, match=r'A replay of "run-1" took another way: it did not come to "charge card-1"'
        ) as found:
            await tester.runs[0].result()
        assert found.value.steps == [NOT_REACHED]


@story
async def test_a_test_that_never_asks_for_the_result_is_told_of_another_way_at_its_end():
    with pytest.raises(ReplayDiverged, match="charge card-1"):
        async with WorkflowTester(SHOP) as tester:
            await diverged(tester)
            await tester.runs[0].wait_for_status(ev.COMPLETE)


@story
async def test_another_way_may_be_allowed_for_one_result_or_for_the_whole_test():
    async with WorkflowTester(SHOP) as tester:
        await diverged(tester)
        assert await tester.runs[0].result(allow_divergence=True) == [12, "sent", "sent again"]
    async with WorkflowTester(SHOP, allow_divergence=True) as tester:
        await diverged(tester)
        assert await tester.runs[0].result() == [12, "sent", "sent again"]
        assert await tester.runs[0].not_reached() == [NOT_REACHED]


@story
async def test_a_restart_begins_a_new_way():
    async with WorkflowTester(SHOP) as tester:
        await diverged(tester)
        [run] = tester.runs
        await run.wait_for_status(ev.COMPLETE)
        await run.restart()
        await run.send_event("approved")
        assert await run.result() == [12, "sent", "sent again"]


@story
async def test_a_workflow_that_decides_by_what_no_step_holds_takes_another_way_when_it_is_replayed():
    async with WorkflowTester(Wavering, idle_grace_ms=2 * 86_400_000) as tester:
        assert (
            await (await tester.create()).result() == "the end"
        )  # it kept its worker all the time, so nothing was replayed
    CALLED.clear()
    async with WorkflowTester(Wavering, replay_each_commit=True) as tester:
        run = await tester.create()
        with pytest.raises(ReplayDiverged, match='"left-1"'):
            await run.result()


@story
async def test_replay_each_commit_replays_all_that_the_code_does_and_a_sound_workflow_does_not_notice():
    async with WorkflowTester(SHOP, replay_each_commit=True) as tester:
        run = await tester.create()
        await run.wait_for_step("approval", status="waiting")
        await run.send_event("approved")
        assert await run.result() == [12, "sent", "sent again"]
        executions = (await run.state()).executions
        assert len(executions) >= 5  # one after each of three steps, the wait and its event
        assert {it.reason for it in executions[:-1]} == {"crashed"}
        tester.no_more_crashes()
        again = await tester.create()
        await again.send_event("approved")
        await again.result()
        assert len((await again.state()).executions) == 1


@pytest.mark.parametrize(
    ("mocked", "said"),
    [
        (
            lambda tester: tester.mock_step("chrage card", result=1),
            'mock_step("chrage card") was never used: no step of this name ran. Is "charge card" meant?',
        ),
        (
            lambda tester: tester.mock_step("zzz", result=1),
            'mock_step("zzz") was never used: no step of this name ran. There were "charge card", "send".',
        ),
        (
            lambda tester: tester.mock_step("send", count=3, error=OSError),
            'mock_step("send", count=3) was never used: step "send" was called with the counts 1, 2.',
        ),
        (
            lambda tester: (tester.mock_step("send", result=1), tester.mock_step("send", result=2)),
            'mock_step("send") was never used: what was mocked before it for the same step was never used up.',
        ),
        (
            lambda tester: tester.time_out_step("charge crad"),
            'time_out_step("charge crad") was never used: no step of this name ran. Is "charge card" meant?',
        ),
        (
            lambda tester: tester.time_out_wait("aproval"),
            'time_out_wait("aproval") was never used: no wait of this name ran. Is "approval" meant?',
        ),
        (
            lambda tester: tester.time_out_wait("approval"),
            'time_out_wait("approval") was never used: it had an event before it could be let time out.',
        ),
    ],
)
@story
async def test_a_mock_that_nothing_asked_for_fails_the_test_and_says_which_name_is_nearest(mocked, said):
    with pytest.raises(UnusedMock, match=re.escape(said)):
        async with WorkflowTester(SHOP) as tester:
            mocked(tester)
            run = await tester.create()
            await run.send_event("approved")
            await run.result()


@story
async def test_a_mock_of_a_test_in_which_no_step_ran_says_so():
    with pytest.raises(UnusedMock, match=r'mock_step\("send"\) was never used: no step ran at all.'):
        async with WorkflowTester(SHOP) as tester:
            tester.mock_step("send")


@story
async def test_an_optional_mock_may_stay_unused_and_what_the_test_itself_found_comes_first():
    async with WorkflowTester(SHOP) as tester:
        tester.mock_step("nobody", result=1, optional=True)
        tester.time_out_step("nobody", optional=True)
        tester.time_out_wait("nobody", optional=True)
    with pytest.raises(WorkflowFailed, match="WorkflowTimeoutError"):
        async with WorkflowTester(SHOP) as tester:
            tester.mock_step("nobody", result=1)
            await (await tester.create()).result()


@pytest.mark.parametrize(
    ("ask", "kind", "said"),
    [
        (lambda tester: tester.mock_step(3), TypeError, "mock_step takes the name of a step as text, not int: 3"),
        (
            lambda tester: tester.mock_step("a\n"),
            ValueError,
            "exceeds max length (256 chars) or invalid characters found",
        ),
        (
            lambda tester: tester.mock_step("a", times=0),
            ValueError,
            "mock_step takes a times from 1, or None for every one; 0 is none",
        ),
        (
            lambda tester: tester.mock_step("a", count="2"),
            TypeError,
            "mock_step takes a whole number as count, not str: '2'",
        ),
        (
            lambda tester: tester.mock_step("a", error="no"),
            TypeError,
            "takes an exception or its class as error, not str: 'no'",
        ),
        (
            lambda tester: tester.mock_step("a", error=OSError, result=1),
            ValueError,
            "takes a result or an error, not both",
        ),
        (
            lambda tester: tester.time_out_step("a", times=1.5),
            TypeError,
            "time_out_step takes a whole number as times, not float",
        ),
        (
            lambda tester: tester.time_out_wait("a", times=True),
            TypeError,
            "time_out_wait takes a whole number as times, not bool",
        ),
        (
            lambda tester: tester.crash(commit="3"),
            TypeError,
            "crash takes the number of a commit, from 1, not str: '3'",
        ),
        (
            lambda tester: WorkflowTester(SHOP, idle_grace=0),
            TypeError,
            "no argument idle_grace, and there is no setting of this name",
        ),
        (lambda tester: WorkflowTester(SHOP, idle_grace=0), TypeError, "is idle_grace_ms meant?"),
        (
            lambda tester: WorkflowTester(Wavering()),
            TypeError,
            "takes the source of a workflow or its class, not Wavering",
        ),
    ],
)
@story
async def test_an_odd_argument_is_refused_with_a_sentence(ask, kind, said):
    async with WorkflowTester(SHOP) as tester:
        with pytest.raises(kind, match=re.escape(said)):
            ask(tester)
