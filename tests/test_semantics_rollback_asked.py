"""Section 9 of semantics.md, behaviour 27: who asks for a rollback, when there is none,
and what may not come between.
"""

import pytest
from rollback_support import ONE, SAGA, THREE, TWO, handlers, undoing_two
from semantics_support import LEDGER, assert_dense, playing, started, story


@pytest.mark.parametrize("hibernated", [False, True])
@story
async def test_27_terminate_with_rollback_runs_the_handlers_and_ends_terminated(hibernated):
    async with playing(SAGA, {"wait": True}, skip=False) as (tester, run):
        await run.wait_for_step("w", status="waiting")
        if hibernated:
            await tester.advance("1 minute")
            assert not tester.engine.executions()
        await run.terminate(rollback=True)
        await run.wait_for_status("terminated")
        state = await run.state()
        assert (state.rollback, state.error) == ("complete", None)
        assert_dense(await run.journal())
    assert LEDGER.take() == [
        ("two", "output of two", "NoneType", "two", 1),
        ("one", "output of one", "NoneType", "one", 1),
    ]


@story
async def test_27_terminate_with_rollback_of_a_paused_instance():
    async with playing(SAGA, {"wait": True}, skip=False) as (_tester, run):
        await run.wait_for_step("w", status="waiting")
        await run.pause()
        await run.terminate(rollback=True)
        await run.wait_for_status("terminated")
        assert (await run.state()).rollback == "complete"
    assert [name for name, *_ in LEDGER.take()] == ["two", "one"]


@story
async def test_27_terminate_with_rollback_while_an_attempt_runs_undoes_that_step_too():
    body = """
    def undo(info):
        LEDGER.note((info.ctx.step.name, info.output))
    await step.do("one", lambda: 1, rollback=undo)
    await step.do("two", lambda: asyncio.sleep(60), rollback=undo)
    """
    async with playing(body, skip=False) as (_, run):
        await run.wait_for_step("two", status="running")
        await run.terminate(rollback=True)
        await run.wait_for_status("terminated")
        assert (await run.state()).rollback == "complete"
    assert LEDGER.take() == [("two", None), ("one", 1)]


@story
async def test_27_terminate_with_rollback_and_no_handlers_is_a_plain_terminate():
    async with playing('await step.sleep("nap", "1 day")', skip=False) as (_, run):
        await run.wait_for_step("nap")
        await run.terminate(rollback=True)
        assert (await run.state()).status == "terminated"
        assert (await run.state()).rollback is None


@pytest.mark.parametrize("end", ["success", "terminate", "restart", "delete", "fatal", "caught"])
@story
async def test_27_never_on_success_plain_terminate_restart_delete_or_fatal_errors(end):
    body = """
    await step.do("one", lambda: 1, rollback=lambda info: LEDGER.note("undone"))
    if event.payload == "fatal":
        return object()
    if event.payload in ("terminate", "restart", "delete"):
        await step.sleep("nap", "1 hour")
    try:
        once = {"retries": {"limit": 0, "delay": 1}}
        await step.do("two", lambda: 1 / 0, config=once, rollback=lambda info: LEDGER.note("undone"))
    except ZeroDivisionError:
        pass
    """
    async with playing(body, end, skip=False) as (tester, run):
        if end in ("terminate", "restart", "delete"):
            await run.wait_for_step("nap")
            await getattr(run, end)()
            await tester.advance("1 minute")
        else:
            await run.wait_for_status("complete", "errored")
            assert (await run.state()).rollback is None
    assert LEDGER.take() == []


@story
async def test_27_no_step_starts_during_a_rollback():
    body = """
    async def undo(info):
        LEDGER.note("undoing")
        try:
            await step.do("forbidden", lambda: LEDGER.note("ran"))
        except Exception as error:
            LEDGER.note(type(error).__name__)
            raise
    await step.do("one", lambda: 1, rollback=undo, rollback_config={"retries": {"limit": 0, "delay": 1}})
    raise ValueError("the failure")
    """
    async with playing(body) as (_, run):
        await run.wait_for_status("errored")
        assert await started(run) == ["one-1"]
        assert (await run.state()).rollback == "errored"
        assert (await run.state()).error["message"] == "the failure"
    notes = LEDGER.take()
    assert notes[0] == "undoing"
    assert "ran" not in notes


@pytest.mark.parametrize("rollback", [False, True])
@story
async def test_27_terminate_during_a_rollback_ends_it_but_asking_for_a_rollback_again_does_not(rollback):
    async with playing(SAGA, {"slow": ["two"]}, skip=False) as (tester, run):
        await run.wait_until(undoing_two)
        await run.terminate(rollback=rollback)
        await tester.advance("2 minutes")
        state = await run.state()
        if rollback:
            assert (state.status, state.rollback) == ("errored", "complete")
        else:
            assert (state.status, state.rollback) == ("terminated", "errored")
            assert handlers(state) == ["pending", None, "errored", "completed"]
    assert LEDGER.take() == ([THREE, TWO, ONE] if rollback else [THREE, TWO])
