"""Section 9 of semantics.md: timeouts of attempts, and errors that are not tried again.

Each test names the number of its behaviour.
"""

import pytest
from semantics_support import LEDGER, attempts, failure, outcome, playing, story, workflow

from playground.testing import WorkflowFailed, WorkflowTester
from playground.workflows import events as ev

SLOW = """
@step.do("slow", config={"retries": {"limit": 1, "delay": 10}, "timeout": 200})
async def slow(ctx):
    LEDGER.note(f"start {ctx.attempt}")
    await asyncio.sleep(1)
    LEDGER.note(f"end {ctx.attempt}")
    return ctx.attempt
return await slow()
"""


@story
async def test_09_a_200_ms_timeout_on_a_1_s_body_is_an_error_that_names_200ms_and_the_retry_gets_a_fresh_timeout():
    async with playing(SLOW) as (tester, run):
        with pytest.raises(WorkflowFailed, match="WorkflowTimeoutError: Execution timed out after 200ms"):
            await run.result()
        step = await run.step("slow")
        assert [attempt.ended_at - attempt.started_at for attempt in step.attempts] == [200, 200]
        await tester.advance("5 seconds")
        assert await run.types(ev.STEP_COMPLETED) == []
    assert LEDGER.take() == ["start 1", "start 2"]  # cancelled: the body does not go on after its timeout


@story
async def test_09_a_late_result_is_ignored():
    body = """
    @step.do("stubborn", config={"retries": {"limit": 0, "delay": 1}, "timeout": 200})
    async def stubborn():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return "late"
    return await stubborn()
    """
    async with playing(body) as (_, run):
        with pytest.raises(WorkflowFailed, match="Execution timed out after 200ms"):
            await run.result()
        assert (await run.step("stubborn")).status == "errored"


@story
async def test_09_a_timeout_can_be_caught_and_an_attempt_in_time_completes():
    body = """
    @step.do("slow", config={"retries": {"limit": 0, "delay": 1}, "timeout": "2 seconds"})
    async def slow():
        await asyncio.sleep(event.payload)
        return "in time"
    try:
        return await slow()
    except WorkflowTimeoutError as error:
        return str(error)
    """
    assert await outcome(body, 1) == "in time"
    assert await outcome(body, 3) == "Execution timed out after 2000ms"


@story
async def test_09_a_timed_out_step_raises_its_timeout_again_on_replay():
    body = """
    @step.do("slow", config={"retries": {"limit": 0, "delay": 1}, "timeout": 100})
    async def slow():
        LEDGER.note("ran")
        await asyncio.sleep(1)
    try:
        await slow()
    except WorkflowTimeoutError as error:
        said = str(error)
    await step.sleep("long", "1 day")
    return said
    """
    async with playing(body) as (_, run):
        assert await run.result() == "Execution timed out after 100ms"
        assert len((await run.state()).executions) == 2
    assert LEDGER.take() == ["ran"]


NON_RETRYABLE = """
class OutOfStock(NonRetryableError):
    pass
@step.do("order")
async def order():
    LEDGER.note("ran")
    raise OutOfStock("none left")
"""


OVER_THE_WALL = """
@step.do("slow", config={"retries": {"limit": LIMIT, "delay": 10}})
async def slow(ctx):
    LEDGER.note(f"start {ctx.attempt}")
    if ctx.attempt <= event.payload:
        await asyncio.sleep(60)
    return ctx.attempt
try:
    return await slow()
except WorkflowTimeoutError as error:
    return [type(error).__name__, str(error)]
"""
SAID = (
    'attempt time: more than 2 s while step "slow" ran. Do less in one attempt; to wait, use step.sleep, which '
    "needs no worker. The setting is attempt_wall_seconds (PLAYGROUND_ATTEMPT_WALL_SECONDS)."
)


@story
async def test_09_an_attempt_over_the_longest_that_any_may_take_fails_and_is_tried_again_like_any_other():
    async with playing(OVER_THE_WALL.replace("LIMIT", "2"), 2, attempt_wall_seconds=2) as (_, run):
        assert await run.result() == 3
        step = await run.step("slow")
        assert attempts(step) == [(1, SAID), (2, SAID), (3, None)]
        assert [attempt.ended_at - attempt.started_at for attempt in step.attempts] == [2_000, 2_000, 0]
        assert len((await run.state()).executions) == 1, "the worker goes on"
    async with playing(OVER_THE_WALL.replace("LIMIT", "1"), 9, attempt_wall_seconds=2) as (_, run):
        assert await run.result() == ["WorkflowTimeoutError", SAID], (
            "the step has failed, which the code may catch; the run goes on"
        )


@story
async def test_10_non_retryable_gives_one_attempt_and_becomes_the_instances_error():
    body = NON_RETRYABLE.replace("OutOfStock(NonRetryableError)", "Unused(NonRetryableError)").replace(
        "OutOfStock", "NonRetryableError"
    )
    error = await failure(body + "await order()")
    assert (error["name"], error["message"]) == ("NonRetryableError", "none left")
    assert LEDGER.take() == ["ran"]


@story
async def test_10_non_retryable_caught_lets_the_run_continue_and_replay_raises_the_same_error_without_running():
    body = (
        NON_RETRYABLE
        + """
try:
    await order()
except NonRetryableError as error:
    said = f"{type(error).__name__}: {error}"
await step.sleep("long", "1 day")
return said
"""
    )
    async with playing(body) as (_, run):
        assert await run.result() == "OutOfStock: none left"
        assert len((await run.state()).executions) == 2
        assert attempts(await run.step("order")) == [(1, "none left")]
    assert LEDGER.take() == ["ran"]


@story
async def test_10_a_tenants_own_error_class_at_module_level_is_the_same_class_on_replay():
    source = workflow(
        """
        try:
            await step.do("order", refuse)
        except OutOfStock as error:
            said = [type(error) is OutOfStock, error.item, str(error)]
        await step.sleep("long", "1 day")
        return said
        """
    ).replace(
        "class TenantWorkflow",
        "class OutOfStock(NonRetryableError):\n    item = 'tea'\n"
        "def refuse():\n    raise OutOfStock('none left')\nclass TenantWorkflow",
    )
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        assert await run.result() == [True, "tea", "none left"]
