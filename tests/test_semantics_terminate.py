"""Section 9 of semantics.md: terminate, delete and retention. Each test names the number of its behaviour."""

import pytest
from semantics_support import assert_dense, playing, story

from playground.workflows import events as ev
from playground.workflows.errors import CannotTerminate, InstanceNotFound


@pytest.mark.parametrize("hibernated", [False, True])
@story
async def test_26_terminate_while_waiting(hibernated):
    async with playing('await step.sleep("nap", "1 day")', skip=False) as (tester, run):
        await run.wait_for_step("nap")
        if hibernated:
            await tester.advance("1 hour")
        await run.terminate()
        assert (await run.state()).status == "terminated"
        await tester.advance("2 days")
        journal = await run.journal()
        assert [event.type for event in journal][-2 + hibernated :] == [ev.EXECUTION_ENDED, ev.WORKFLOW_TERMINATED][
            hibernated:
        ]
        assert_dense(journal)
        assert not tester.engine.executions()


@story
async def test_26_terminate_drops_an_attempt_that_runs():
    async with playing('await step.do("long", lambda: asyncio.sleep(60))', skip=False) as (tester, run):
        await run.wait_for_step("long", status="running")
        await run.terminate()
        await tester.advance("2 minutes")
        assert (await run.state()).status == "terminated"
        assert await run.types(ev.STEP_COMPLETED) == []
        assert (await run.step("long")).attempts[0].ended_at is not None


@pytest.mark.parametrize("end", ["return 1", "raise ValueError('no')", "terminate"])
@story
async def test_26_terminating_a_finished_instance_is_an_error(end):
    async with playing(end if end != "terminate" else 'await step.sleep("nap", "1 day")', skip=False) as (_, run):
        if end == "terminate":
            await run.terminate()
        await run.wait_for_status(*ev.FINAL_STATUSES)
        before = await run.journal()
        with pytest.raises(CannotTerminate, match="has ended"):
            await run.terminate()
        assert await run.journal() == before


@story
async def test_26_delete_removes_a_running_instance_and_its_journal():
    async with playing('await step.do("long", lambda: asyncio.sleep(60))', skip=False) as (tester, run):
        await run.wait_for_step("long", status="running")
        await run.delete()
        with pytest.raises(InstanceNotFound):
            await run.row()
        await tester.settle()
        assert not tester.engine.executions()


@story
async def test_26_finished_instances_are_deleted_after_their_retention():
    async with playing("return 1", skip=False, retention_days=7) as (tester, run):
        await run.result()
        await tester.advance("6 days")
        await run.row()
        await tester.advance("2 days")
        with pytest.raises(InstanceNotFound):
            await run.row()
