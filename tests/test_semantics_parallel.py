"""Section 9 of semantics.md: steps side by side, and steps that nobody awaits.

Each test names the number of its behaviour.
"""

import pytest
from semantics_support import LEDGER, outcome, playing, story, times

from playground.testing import WorkflowFailed
from playground.workflows import events as ev

FAILS = """
    no_retry = {"retries": {"limit": 0, "delay": 1}}
    def fail():
        raise LookupError("not there")
"""


@story
async def test_17_gather_with_one_failure_and_return_exceptions_continues():
    body = (
        FAILS
        + """
    results = await asyncio.gather(
        step.do("a", lambda: 1), step.do("b", fail, config=no_retry), step.do("c", lambda: 3), return_exceptions=True
    )
    after = await step.do("after", lambda: "went on")
    return [results[0], f"{type(results[1]).__name__}: {results[1]}", results[2], after]
    """
    )
    assert await outcome(body) == [1, "LookupError: not there", 3, "went on"]


@story
async def test_17_gather_without_return_exceptions_ends_the_run_and_closes_what_ran():
    body = (
        FAILS
        + """
    await asyncio.gather(step.do("slow", lambda: asyncio.sleep(100)), step.do("b", fail, config=no_retry))
    """
    )
    async with playing(body) as (_, run):
        with pytest.raises(WorkflowFailed, match="LookupError: not there"):
            await run.result()
        step = await run.step("slow")
        assert (step.status, step.error["name"]) == ("errored", "Cancelled")


@story
async def test_17_a_task_group_over_steps_fans_out_and_in():
    body = """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(step.do("square", lambda n=n: n * n)) for n in range(5)]
    done, _ = await asyncio.wait([asyncio.ensure_future(step.do("one", lambda: 1))])
    first = [await future for future in asyncio.as_completed([step.do("two", lambda: 2)])]
    return [[task.result() for task in tasks], [task.result() for task in done], first]
    """
    assert await outcome(body) == [[0, 1, 4, 9, 16], [1], [2]]


@story
async def test_31_an_unawaited_step_finishes_before_the_instance_completes():
    body = """
    @step.do("background")
    async def background():
        await asyncio.sleep(30)
        LEDGER.note("finished")
        return 1
    task = asyncio.create_task(background())
    await asyncio.sleep(0)
    return "done"
    """
    async with playing(body) as (_, run):
        assert await run.result() == "done"
        assert (await run.step("background")).status == "completed"
        assert await times(run, ev.WORKFLOW_COMPLETED) == [30_000]
    assert LEDGER.take() == ["finished"]


@story
async def test_31_the_error_of_an_unawaited_step_is_logged_and_does_not_fail_the_instance():
    body = """
    def fail():
        raise ValueError("nobody sees this")
    asyncio.create_task(step.do("background", fail, config={"retries": {"limit": 1, "delay": "1 minute"}}))
    await asyncio.sleep(0)
    return "done"
    """
    async with playing(body) as (_, run):
        assert await run.result() == "done"
        assert (await run.step("background")).status == "errored"
        assert len((await run.step("background")).attempts) == 2
        assert any("ValueError: nobody sees this" in line for line in await run.logs())
