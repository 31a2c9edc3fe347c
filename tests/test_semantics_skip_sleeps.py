"""Skipped sleeps: from a person's word on, sleeps and waits before a retry are over at once, virtual for ever."""

import pytest
from semantics_support import LEDGER, assert_dense, playing, story

from playground.workflows import events as ev
from playground.workflows.errors import InstanceInFiniteState

LONG = """
await step.sleep("day", "1 day")
@step.do("shaky", config={"retries": {"limit": 2, "delay": "2 hours", "backoff": "constant"}})
async def shaky(ctx):
    LEDGER.note(ctx["attempt"])
    if ctx["attempt"] < 3:
        raise ValueError("not yet")
    return ctx["attempt"]
tried = await shaky()
await step.sleep("month", "30 days")
answer = await step.wait_for_event("answer", "go", timeout="2 days")
await step.sleep("night", "8 hours")
return [tried, answer["payload"]]
"""


@story
async def test_what_sleeps_now_and_what_sleeps_later_is_over_at_once_and_events_are_waited_for():
    async with playing(LONG, skip=False) as (tester, run):
        await run.wait_for_step("day", status="sleeping")
        await run.skip_sleeps()
        await run.wait_for_step("answer", status="waiting")
        assert LEDGER.take() == [1, 2, 3]
        state = await run.state()
        assert state.skips_sleeps and state.as_json()["skips_sleeps"] is True
        shaky = await run.step("shaky")
        assert [attempt.virtual for attempt in shaky.attempts] == [False, True, True]
        assert [attempt.retry_delay_ms for attempt in shaky.attempts][:2] == [7_200_000] * 2  # what it would have been
        for name in ("day", "month"):
            assert (await run.step(name, kind=ev.SLEEP)).virtual
        types = await run.types()
        assert types.index(ev.SLEEP_COMPLETED) < types.index(ev.SLEEPS_SKIPPED)
        await run.skip_sleeps()  # again: nothing to do
        assert len(await run.types(ev.SLEEPS_SKIPPED)) == 1

        await run.skip_sleeps(on=False)
        await run.send_event("go", "yes")
        await run.wait_for_step("night", status="sleeping")
        await tester.advance("7 hours")
        assert not (await run.state()).skips_sleeps and (await run.step("night", kind=ev.SLEEP)).ended_at is None
        await tester.advance("2 hours")
        assert await run.result() == [3, "yes"]
        assert not (await run.step("night", kind=ev.SLEEP)).virtual
        assert_dense(await run.journal())
        with pytest.raises(InstanceInFiniteState):
            await run.skip_sleeps()


@story
async def test_an_instance_without_a_worker_goes_on_and_a_killed_worker_changes_nothing():
    body = LONG.replace("LEDGER.note", "await asyncio.sleep(1); LEDGER.note")
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("day", status="sleeping")
        await tester.advance("1 hour")
        assert tester.engine.executions() == []
        await run.skip_sleeps()
        await run.wait_for_step("shaky", status="running")
        await run.kill_worker()
        await tester.advance("10 seconds")
        await run.wait_for_step("answer", status="waiting")
        assert (await run.state()).skips_sleeps
        assert (await run.step("month", kind=ev.SLEEP)).virtual
        await run.terminate()
    LEDGER.take()


@story
async def test_a_paused_instance_keeps_its_sleep_until_it_goes_on():
    async with playing(LONG, skip=False) as (tester, run):
        await run.wait_for_step("day", status="sleeping")
        await run.pause()
        await run.skip_sleeps()
        await tester.settle()
        assert (await run.state()).status == ev.PAUSED
        assert (await run.step("day", kind=ev.SLEEP)).ended_at is None
        await run.resume()
        await run.wait_for_step("answer", status="waiting")
        assert (await run.step("day", kind=ev.SLEEP)).virtual
        await run.restart()  # a restarted run skips, too
        await run.wait_for_step("answer", status="waiting")
        await run.send_event("go", 1)
        assert await run.result() == [3, 1]
    LEDGER.take()


@story
async def test_a_rollback_handler_that_is_tried_again_does_not_wait_either():
    body = """
    async def undo(info):
        LEDGER.note(info.ctx.attempt)
        if info.ctx.attempt < 3:
            raise ValueError("not yet")
    retries = {"limit": 3, "delay": "1 day", "backoff": "constant"}
    await step.do("book", lambda: 1, rollback=undo, rollback_config={"retries": retries})
    raise ValueError("no")
    """
    async with playing(body, skip=False) as (tester, run):
        await tester.settle()
        assert LEDGER.take() == [1]
        await run.skip_sleeps()
        await run.wait_for_status(ev.ERRORED)
        assert LEDGER.take() == [2, 3]


@story
async def test_a_run_can_be_created_so_that_it_skips_them_from_the_beginning():
    body = 'await step.sleep("day", "1 day")\nreturn "awake"'
    async with playing(body, skip=False, created={"skip_sleeps": True}) as (_, run):
        assert await run.result() == "awake"
        assert (await run.types())[:2] == [ev.WORKFLOW_QUEUED, ev.SLEEPS_SKIPPED]
        assert (await run.step("day", kind=ev.SLEEP)).virtual
