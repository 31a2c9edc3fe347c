"""Section 9 of semantics.md: workers and servers killed in the middle of a step or of a wait.

Each test names the number of its behaviour.
"""

import pytest
from semantics_support import LEDGER, attempts, isolated, playing, started, story, times

from playground.testing import WorkflowFailed
from playground.workflows import events as ev

TWO_STEPS = """
@step.do("first")
async def first():
    LEDGER.note("first")
    return 1
@step.do("second")
async def second(ctx):
    LEDGER.note(f"second {ctx.attempt}")
    if ctx.attempt == 1:
        await asyncio.sleep(5)
    return ctx.attempt
return [await first(), await second()]
"""


@pytest.mark.parametrize("victim", ["worker", "server"])
@story
async def test_13_kill_mid_step_gives_attempt_2_one_step_started_and_earlier_steps_are_not_rerun(victim):
    async with playing(TWO_STEPS) as (tester, run):
        await run.wait_until(lambda state: any(str(key) == "second-1" for key in state.steps))
        if victim == "worker":
            await run.kill_worker()
        else:
            await tester.restart_server()
        assert await run.result() == [1, 2]
        step = await run.step("second")
        assert [number for number, _ in attempts(step)] == [1, 2]
        assert step.attempts[0].error["name"] == "WorkerLost"
        assert step.attempts[0].retry_delay_ms is None
        assert (await started(run)).count("second-1") == 1
        assert await times(run, ev.ATTEMPT_STARTED) == [0, 0, 0]  # no backoff: the next attempt starts at once
    assert LEDGER.take() == ["first", "second 1", "second 2"]


@story
async def test_13_losses_do_not_use_up_the_retries():
    body = """
    @step.do("fragile", config={"retries": {"limit": 1, "delay": 10}})
    async def fragile(ctx):
        if ctx.attempt <= 3:
            await asyncio.sleep(60)
        if ctx.attempt == 4:
            raise ValueError("a failure of its own")
        return ctx.attempt
    return await fragile()
    """
    async with playing(body) as (_, run):
        for number in (1, 2, 3):
            await run.wait_until(
                lambda state, number=number: [len(step.attempts) for step in state.steps.values()] == [number]
            )
            await run.kill_worker()
        assert await run.result() == 5
        names = [attempt.error and attempt.error["name"] for attempt in (await run.step("fragile")).attempts]
    assert names == ["WorkerLost", "WorkerLost", "WorkerLost", "ValueError", None]


@story
async def test_13_a_worker_lost_five_times_in_a_row_on_one_attempt_ends_the_instance_saying_so():
    async with playing('await step.do("doomed", lambda: asyncio.sleep(60))') as (_, run):
        for number in range(1, 6):
            await run.wait_until(
                lambda state, number=number: [len(step.attempts) for step in state.steps.values()] == [number]
            )
            await run.kill_worker()
        with pytest.raises(WorkflowFailed, match='5 times in a row while step "doomed" ran'):
            await run.result()
        assert (await run.step("doomed")).status == "errored"
        assert (await run.journal())[-1].type == ev.WORKFLOW_ERRORED


MID_WAITS = {
    "sleep": ('await step.sleep("it", "1 hour")', ev.SLEEP_STARTED, "sleeping"),
    "retry wait": (
        'await step.do("it", lambda ctx: 1 / (ctx.attempt - 1), config={"retries": {"limit": 1, "delay": "1 hour"}})',
        ev.STEP_STARTED,
        "retrying",
    ),
    "event wait": (
        'try:\n    await step.wait_for_event("it", "never", timeout="1 hour")\nexcept WorkflowTimeoutError:\n    pass',
        ev.WAIT_STARTED,
        "waiting",
    ),
}


@pytest.mark.parametrize("victim", ["worker", "server"])
@pytest.mark.parametrize("mid", MID_WAITS)
@story
async def test_14_kill_mid_wait_keeps_the_original_deadline_and_starts_nothing_twice(mid, victim):
    body, start, status = MID_WAITS[mid]
    async with playing(body, skip=False, idle_grace_ms=3_600_000 * 2) as (tester, run):
        await run.wait_for_step("it", status=status)
        await tester.advance("20 minutes")
        if victim == "worker":
            await run.kill_worker()
        else:
            await tester.restart_server(down="10 minutes")
        await tester.advance("39 minutes" if victim == "worker" else "29 minutes")
        assert (await run.state()).status == "waiting"
        assert [execution.ended_at is None for execution in (await run.state()).executions] == [False]  # it hibernates
        await tester.advance("61 seconds")
        assert (await run.state()).status == "complete"
        assert len(await times(run, start)) == 1
        [ended] = await times(run, ev.WORKFLOW_COMPLETED)
        assert ended == 3_600_000


@pytest.mark.parametrize("mid", MID_WAITS)
@story
async def test_14_kill_mid_wait_a_real_process(mid):
    body, start, status = MID_WAITS[mid]
    async with isolated(body, skip=False, idle_grace_ms=3_600_000 * 2) as (tester, run):
        await run.wait_for_step("it", status=status)
        await tester.settle()
        await run.kill_worker()
        await run.wait_until(lambda state: state.executions[0].ended_at is not None)
        await tester.advance("59 minutes")
        assert (await run.state()).status == "waiting"
        await tester.advance("2 minutes")
        assert (await run.state()).status == "complete"
        assert len(await times(run, start)) == 1
        assert await times(run, ev.WORKFLOW_COMPLETED) == [3_600_000]


@story
async def test_14_waits_that_were_replayed_and_lost_again_and_again_keep_their_deadlines():
    body = """
    async def naps():
        for _ in range(5):
            await step.sleep("nap", "10 minutes")
    retried = step.do("retried", lambda ctx: 1 / (ctx.attempt - 1),
        config={"retries": {"limit": 1, "delay": "55 minutes"}})
    waited = step.wait_for_event("never", "never", timeout="1 hour")
    return [type(result).__name__ for result in await asyncio.gather(naps(), retried, waited, return_exceptions=True)]
    """
    async with playing(body, skip=False, idle_grace_ms=0) as (tester, run):
        for number in range(1, 6):
            await tester.advance("5 minutes")
            await tester.restart_server()
            await tester.advance("5 minutes")
            assert len((await run.state()).executions) == number + 1
        await tester.advance("10 minutes")
        assert (await run.state()).output == ["NoneType", "float", "WorkflowTimeoutError"]
        assert await times(run, ev.SLEEP_COMPLETED) == [600_000 * number for number in range(1, 6)]
        assert await times(run, ev.WAIT_TIMED_OUT) == [3_600_000]
        assert await times(run, ev.ATTEMPT_STARTED) == [0, 3_300_000]
        assert sorted(await started(run)) == ["nap-1", "nap-2", "nap-3", "nap-4", "nap-5", "never-1", "retried-1"]


@story
async def test_14_a_deadline_that_passed_while_no_server_ran_is_overdue_at_boot_and_happens_at_once():
    async with playing('await step.sleep("it", "1 hour")\nreturn "woken"', skip=False) as (tester, run):
        await run.wait_for_step("it", status="sleeping")
        await tester.settle()
        await tester.restart_server(down="3 hours")
        await tester.settle()
        assert (await run.state()).output == "woken"
        assert await times(run, ev.SLEEP_COMPLETED) == [3 * 3_600_000]
