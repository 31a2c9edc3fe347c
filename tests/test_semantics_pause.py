"""Section 9 of semantics.md: pause and resume. Each test names the number of its behaviour."""

import pytest
from semantics_support import LEDGER, assert_dense, attempts, playing, story, times

from playground.workflows import events as ev


@story
async def test_21_a_pause_of_4_s_in_a_2_s_sleep_leaves_the_remainder_after_resume():
    async with playing('await step.sleep("nap", "2 seconds")', skip=False) as (tester, run):
        await run.wait_for_step("nap", status="sleeping")
        await tester.advance(500)
        await run.pause()
        assert (await run.state()).status == "paused"
        await tester.advance("4 seconds")
        assert (await run.state()).status == "paused"
        await run.resume()
        await tester.advance(1_499)
        assert (await run.state()).status in ("running", "waiting")
        await tester.advance(1)
        assert (await run.state()).status == "complete"
        assert await times(run, ev.WORKFLOW_COMPLETED) == [6_000]


@pytest.mark.parametrize("hibernated", [False, True])
@story
async def test_21_a_wait_between_attempts_and_a_wait_for_an_event_keep_their_remainder_too(hibernated):
    body = """
    retried = step.do("retried", lambda ctx: 1 / (ctx.attempt - 1), config={"retries": {"limit": 1, "delay": "1 hour"}})
    waited = step.wait_for_event("waited", "go", timeout="2 hours")
    return [type(result).__name__ for result in await asyncio.gather(retried, waited, return_exceptions=True)]
    """
    async with playing(body, skip=False, idle_grace_ms=0 if hibernated else 86_400_000) as (tester, run):
        await tester.advance("10 minutes")
        assert bool(tester.engine.executions()) != hibernated
        await run.pause()
        await tester.advance("5 hours")
        await tester.restart_server(down="1 hour")
        await run.resume()
        await tester.advance("3 hours")
        assert await times(run, ev.ATTEMPT_STARTED) == [0, 7 * 3_600_000]
        assert await times(run, ev.WAIT_TIMED_OUT) == [8 * 3_600_000]
        assert (await run.state()).output == ["float", "WorkflowTimeoutError"]


@story
async def test_21_events_that_come_during_a_pause_are_kept_for_the_waits():
    async with playing('return (await step.wait_for_event("w", "go")).payload', skip=False) as (tester, run):
        await tester.settle()
        await run.pause()
        await run.send_event("go", "kept")
        await tester.settle()
        assert await run.types(ev.WAIT_COMPLETED) == []
        await run.resume()
        assert await run.result() == "kept"


PARALLEL = """
@step.do("one")
async def one():
    LEDGER.note("one")
    await asyncio.sleep(10)
    return 1
@step.do("two")
async def two():
    LEDGER.note("two")
    await asyncio.sleep(20)
    return 2
@step.do("next")
async def then():
    LEDGER.note("next")
    return 3
async def chain():
    return [await one(), await then()]
return [*await asyncio.gather(chain(), two())]
"""


@story
async def test_24_a_pause_during_parallel_steps_lets_both_finish_and_the_next_never_starts():
    async with playing(PARALLEL, skip=False) as (tester, run):
        await run.wait_for_step("two", status="running")
        await run.pause()
        assert (await run.state()).status == "waitingForPause"
        await tester.advance("10 seconds")
        assert (await run.state()).status == "waitingForPause"
        await tester.advance("10 seconds")
        assert (await run.state()).status == "paused"
        assert [step.status for step in (await run.state()).steps.values()] == ["completed", "completed"]
        assert LEDGER.take() == ["one", "two"]
        await tester.advance("1 day")
        assert LEDGER.take() == []
        await run.resume()
        assert await run.result() == [[1, 3], 2]
        assert LEDGER.take() == ["next"]
        assert_dense(await run.journal())


NESTED = """
async def ship():
    LEDGER.note("ship")
    await step.sleep("dry", "10 seconds")
    config = {"retries": {"limit": 1, "delay": "5 seconds"}}
    await step.do("flaky", lambda ctx: 1 / (ctx.attempt - 1), config=config)
    signed = await step.wait_for_event("signed", "signed")
    await step.sleep("later", "1 minute")
    return signed.payload
shipped, _ = await asyncio.gather(step.do("ship", ship), step.sleep("outside", "5 seconds"))
await step.do("next", lambda: LEDGER.note("next"))
return shipped
"""


@story
async def test_24_a_pause_waits_for_what_an_attempt_sleeps_waits_and_retries_inside():
    async with playing(NESTED, skip=False) as (tester, run):
        await run.wait_for_step("dry", status="sleeping")
        await run.pause()
        await tester.advance("16 seconds")
        (flaky,) = [step for key, step in (await run.state()).steps.items() if key.name == "flaky"]
        assert [number for number, _ in attempts(flaky)] == [1, 2]
        await run.send_event("signed", "mara")
        await tester.advance("30 seconds")
        assert (await run.state()).status == "waitingForPause"
        await tester.advance("30 seconds")
        assert (await run.state()).status == "paused"
        assert LEDGER.take() == ["ship"]
        ended = [event.step.name for event in await run.journal() if event.type == ev.SLEEP_COMPLETED]
        assert ended == ["dry", "later"]
        await run.resume()
        await tester.advance("5 seconds")
        assert await run.result() == "mara"
        assert LEDGER.take() == ["next"]
        assert len(attempts(await run.step("ship"))) == 1
        assert_dense(await run.journal())


@story
async def test_24_resume_cancels_a_pause_that_has_not_taken_effect():
    async with playing(PARALLEL, skip=False) as (tester, run):
        await run.wait_for_step("two", status="running")
        await run.pause()
        await tester.advance("15 seconds")
        assert LEDGER.take() == ["one", "two"]
        await run.resume()
        await tester.settle()
        assert LEDGER.take() == ["next"]
        await tester.advance("10 seconds")
        assert await run.result() == [[1, 3], 2]
        assert len((await run.state()).executions) == 1


@story
async def test_24_tenant_code_cannot_swallow_a_pause():
    body = """
    async def naps():
        while True:
            try:
                await step.sleep("nap", "1 minute")
            except BaseException:
                pass
            await step.do("work", lambda: LEDGER.note("work"))
    await asyncio.gather(naps(), step.do("long", lambda: asyncio.sleep(30)))
    """
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("long", status="running")
        await run.pause()
        await tester.advance("1 hour")
        assert (await run.state()).status == "paused"
        assert LEDGER.take() == []
        await run.resume()
        await tester.advance("1 minute")
        assert LEDGER.take() == ["work"]


@story
async def test_24_a_failing_attempt_in_waiting_for_pause_waits_for_its_retry_after_the_resume():
    body = """
    @step.do("flaky", config={"retries": {"limit": 1, "delay": "1 minute"}})
    async def flaky(ctx):
        await asyncio.sleep(10)
        return 1 / (ctx.attempt - 1)
    return await flaky()
    """
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("flaky", status="running")
        await run.pause()
        await tester.advance("30 seconds")
        assert (await run.state()).status == "paused"
        await tester.advance("1 hour")
        await run.resume()
        await tester.advance("50 seconds")
        assert await times(run, ev.WORKFLOW_COMPLETED) == []
        await tester.advance("10 seconds")
        assert len(await times(run, ev.ATTEMPT_STARTED)) == 2
        await tester.advance("10 seconds")
        assert await run.result() == 1.0


@story
async def test_24_a_server_restart_in_waiting_for_pause_becomes_paused():
    async with playing(PARALLEL, skip=False) as (tester, run):
        await run.wait_for_step("two", status="running")
        await run.pause()
        await tester.restart_server()
        await tester.settle()
        assert (await run.state()).status == "paused"
        await run.resume()
        tester.skip = True
        assert await run.result() == [[1, 3], 2]
        assert [number for number, _ in attempts(await run.step("one"))] == [1, 2]


@story
async def test_24_a_worker_killed_in_waiting_for_pause_becomes_paused():
    async with playing(PARALLEL, skip=False) as (_tester, run):
        await run.wait_for_step("two", status="running")
        await run.pause()
        await run.kill_worker()
        await run.wait_for_status("paused")


@story
async def test_24_pause_and_resume_have_no_effect_where_the_table_says_so():
    async with playing("return 1") as (_, run):
        await run.resume()  # queued or running
        await run.result()
        before = len(await run.journal())
        assert (await run.pause()).events == []
        assert (await run.resume()).events == []
        assert len(await run.journal()) == before


@story
async def test_24_a_queued_instance_is_paused_at_once_and_resumed_into_the_queue():
    async with playing("await step.do('hold', lambda: asyncio.sleep(60))", skip=False, workers=1) as (tester, first):
        await first.wait_for_step("hold")
        second = await tester.create()
        await second.pause()
        assert (await second.state()).status == "paused"
        await second.pause()
        await tester.advance("2 minutes")
        assert (await first.state()).status == "complete"
        assert (await second.state()).status == "paused"
        await second.resume()
        await tester.advance("2 minutes")
        assert (await second.state()).status == "complete"
        assert await second.types(ev.WORKFLOW_PAUSED, ev.WORKFLOW_RESUMED) == [ev.WORKFLOW_PAUSED, ev.WORKFLOW_RESUMED]
