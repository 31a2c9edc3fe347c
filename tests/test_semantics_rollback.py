"""Section 9 of semantics.md, behaviour 27: what is undone after a failure, in which order,
and through which crashes.
"""

import pytest
from rollback_support import ONE, SAGA, THREE, TWO, handlers, undoing_two
from semantics_support import LEDGER, assert_dense, isolated, playing, started, story, times, workflow

from playground.testing import WorkflowFailed, WorkflowTester
from playground.workflows import events as ev

ROLLBACK_EVENTS = (
    ev.ROLLBACK_STARTED,
    ev.ROLLBACK_STEP_STARTED,
    ev.ROLLBACK_STEP_COMPLETED,
    ev.ROLLBACK_STEP_ERRORED,
    ev.ROLLBACK_COMPLETED,
    ev.ROLLBACK_ERRORED,
)


@story
async def test_27_three_rollback_handlers_run_3_2_1_and_the_failed_steps_own_gets_none():
    async with playing(SAGA, {}) as (_, run):
        with pytest.raises(WorkflowFailed, match="ValueError: the failure"):
            await run.result()
        state, journal = await run.state(), await run.journal()
        assert state.rollback == "complete"
        assert (await run.row()).rollback == "complete"
        assert_dense(journal)
        order = [(event.type, str(event.step or "")) for event in journal if event.type in ROLLBACK_EVENTS]
        assert journal[-2].type == ev.EXECUTION_ENDED
    assert LEDGER.take() == [THREE, TWO, ONE]
    assert order == [
        (ev.ROLLBACK_STARTED, ""),
        (ev.ROLLBACK_STEP_STARTED, "three-1"),
        (ev.ROLLBACK_STEP_COMPLETED, "three-1"),
        (ev.ROLLBACK_STEP_STARTED, "two-1"),
        (ev.ROLLBACK_STEP_COMPLETED, "two-1"),
        (ev.ROLLBACK_STEP_STARTED, "one-1"),
        (ev.ROLLBACK_STEP_COMPLETED, "one-1"),
        (ev.ROLLBACK_COMPLETED, ""),
    ]


@story
async def test_27_the_middle_one_failing_stops_the_chain_and_the_final_error_stays_the_failures():
    async with playing(SAGA, {"failing": ["two"]}) as (_, run):
        with pytest.raises(WorkflowFailed, match="ValueError: the failure"):
            await run.result()
        state = await run.state()
        assert state.rollback == "errored"
        assert handlers(state) == ["pending", None, "errored", "completed"]
    assert LEDGER.take() == [THREE, TWO]


@story
async def test_27_a_handler_is_tried_again_by_its_rollback_config():
    body = """
    def undo(info):
        LEDGER.note(info.ctx.attempt)
        if info.ctx.attempt < 3:
            raise LookupError("not yet")
    config = {"retries": {"limit": 3, "delay": "1 minute", "backoff": "constant"}}
    await step.do("one", lambda: 1, rollback=undo, rollback_config=config)
    raise ValueError("the failure")
    """
    async with playing(body) as (_, run):
        with pytest.raises(WorkflowFailed, match="the failure"):
            await run.result()
        assert (await run.state()).rollback == "complete"
        assert await times(run, ev.ROLLBACK_ATTEMPT_STARTED) == [0, 60_000, 120_000]
        assert (await run.journal())[-1].type == ev.WORKFLOW_ERRORED
    assert LEDGER.take() == [1, 2, 3]


@story
async def test_27_a_handler_may_have_its_delay_computed():
    body = """
    async def undo(info):
        LEDGER.note(info.ctx.attempt)
        await asyncio.sleep(8 if info.ctx.attempt == 1 else 60)
        raise LookupError("not yet")
    async def delay(info):
        await asyncio.sleep(4)
        LEDGER.note(str(info.error))
        if info.ctx.attempt == 2:
            raise ConnectionError("no answer")
        return "1 minute"
    config = {"retries": {"limit": 3, "delay": delay, "backoff": "constant"}, "timeout": "10 seconds"}
    await step.do("one", lambda: 1, rollback=undo, rollback_config=config)
    raise ValueError("the failure")
    """
    async with playing(body) as (_, run):
        await run.wait_for_status("errored")
        rollback = (await run.step("one")).rollback
        assert rollback.error["message"] == 'The delay function for step "one" threw an error: no answer'
        assert await times(run, ev.ROLLBACK_ATTEMPT_STARTED) == [0, 72_000]
        assert await times(run, ev.ROLLBACK_ATTEMPT_ERRORED) == [12_000, 86_000]
    assert LEDGER.take() == [1, "not yet", 2, "Execution timed out after 10000ms"]


@story
async def test_27_a_handler_over_its_timeout_is_cancelled():
    body = """
    async def undo(info):
        LEDGER.note("began")
        await asyncio.sleep(60)
        LEDGER.note("ended")
    config = {"retries": {"limit": 1, "delay": 1}, "timeout": "10 seconds"}
    await step.do("one", lambda: 1, rollback=undo, rollback_config=config)
    raise ValueError("the failure")
    """
    async with playing(body) as (_, run):
        await run.wait_for_status("errored")
        rollback = (await run.step("one")).rollback
        assert (rollback.status, rollback.error["message"]) == ("errored", "Execution timed out after 10000ms")
        assert len(rollback.attempts) == 2
    assert LEDGER.take() == ["began", "began"]


@pytest.mark.parametrize("victim", ["worker", "server"])
@story
async def test_27_it_survives_a_kill_in_the_middle(victim):
    """Given handlers 3 and 2 done or under way, expect 3 not again, 2 as attempt 2, then 1."""
    async with playing(SAGA, {"slow": ["two"]}) as (tester, run):
        await run.wait_until(undoing_two)
        if victim == "worker":
            await run.kill_worker()
        else:
            await tester.restart_server()
        with pytest.raises(WorkflowFailed, match="ValueError: the failure"):
            await run.result()
        assert (await run.state()).rollback == "complete"
        assert_dense(await run.journal())
        attempts = (await run.step("two")).rollback.attempts
        assert [(attempt.attempt, attempt.error and attempt.error["name"]) for attempt in attempts] == [
            (1, "WorkerLost"),
            (2, None),
        ]
        assert await started(run, ev.ROLLBACK_STEP_STARTED) == ["three-1", "two-1", "one-1"]
        assert len((await run.state()).executions) == 2
    assert LEDGER.take() == [THREE, TWO, (*TWO[:4], 2), ONE]


@story
async def test_27_it_survives_the_kill_of_a_real_process_in_the_middle():
    body = """
    def undo(name):
        async def handler(info):
            print("undo", name, info.ctx.attempt)
            if name == "two" and info.ctx.attempt == 1:
                await asyncio.sleep(600)
        return handler
    await step.do("one", lambda: 1, rollback=undo("one"))
    await step.do("two", lambda: 2, rollback=undo("two"))
    await step.do("three", lambda: 3, rollback=undo("three"))
    raise ValueError("the failure")
    """
    async with isolated(body) as (_, run):
        await run.wait_until(undoing_two)
        await run.kill_worker()
        await run.wait_for_status("errored")
        assert (await run.state()).rollback == "complete"
        assert (await run.state()).error["message"] == "the failure"
        assert [line for line in await run.logs() if line.startswith("undo")][-2:] == ["undo two 2", "undo one 1"]


@story
async def test_27_a_server_kill_at_every_commit_of_a_saga_ends_with_every_handler_once_or_lost():
    """Given a crash at each commit in turn, expect the same end, and each handler completed exactly once, in order."""
    for moment in ("before", "after"):
        async with WorkflowTester(workflow(SAGA)) as tester:
            commit = 1
            while True:
                await tester.settle()
                tester.crash("server", commit=tester.commits + commit, moment=moment)
                run = await tester.create({})
                await run.wait_for_status("errored")
                state = await run.state()
                assert (state.error["message"], state.rollback) == ("the failure", "complete"), commit
                assert await started(run, ev.ROLLBACK_STEP_COMPLETED) == ["three-1", "two-1", "one-1"], commit
                assert_dense(await run.journal())
                assert list(dict.fromkeys(name for name, *_ in LEDGER.take())) == ["three", "two", "one"], commit
                if tester.crashes_left:
                    break
                commit += 1
            assert commit > 8
            tester.no_more_crashes()


@story
async def test_27_a_handler_that_is_not_reached_again_is_rollback_missing():
    body = """
    import builtins
    if not hasattr(builtins, "reached_before"):
        builtins.reached_before = True
        await step.do("one", lambda: 1, rollback=lambda info: LEDGER.note("undone"))
    await step.do("two", lambda: 2, rollback=lambda info: LEDGER.note("two"))
    await step.wait_for_event("w", "go")
    """
    import builtins

    async with playing(body, skip=False, idle_grace_ms=0) as (tester, run):
        await tester.settle()
        try:
            await run.terminate(rollback=True)
            await run.wait_for_status("terminated")
        finally:
            del builtins.reached_before
        assert (await run.state()).rollback == "errored"
        assert (await run.step("one")).rollback.error["name"] == "RollbackMissing"
        assert_dense(await run.journal())
    assert LEDGER.take() == ["two"]


@story
async def test_27_a_handlers_dependencies_and_closures_are_collected_again_after_a_crash():
    body = """
    ids = []
    for number in range(3):
        def undo(info):
            LEDGER.note((info.output, list(ids)))
        ids.append(await step.do("create", lambda number=number: f"id-{number}", rollback=undo))
    await step.wait_for_event("w", "go")
    """
    async with playing(body, skip=False, idle_grace_ms=0) as (tester, run):
        await tester.settle()
        await tester.restart_server()
        await run.terminate(rollback=True)
        await run.wait_for_status("terminated")
    ids = ["id-0", "id-1", "id-2"]
    assert LEDGER.take() == [("id-2", ids), ("id-1", ids), ("id-0", ids)]


@pytest.mark.parametrize("operation", ["pause", "resume"])
@story
async def test_27_a_rollback_is_not_paused(operation):
    async with playing(SAGA, {"slow": ["two"]}, skip=False) as (tester, run):
        await run.wait_until(undoing_two)
        assert (await getattr(run, operation)()).events == []
        await tester.advance("2 minutes")
        assert (await run.state()).status == "errored"
    assert LEDGER.take() == [THREE, TWO, ONE]


@story
async def test_27_a_sensitive_output_reaches_its_handler_and_not_the_journal():
    body = """
    await step.do("one", lambda: "secret", config={"sensitive": "output"},
        rollback=lambda info: LEDGER.note(info.output))
    raise ValueError("the failure")
    """
    async with playing(body) as (_, run):
        await run.wait_for_status("errored")
        assert "secret" not in repr([event.data for event in await run.journal()])
    assert LEDGER.take() == ["secret"]


@pytest.mark.parametrize("for_a_failure", [False, True])
@story
async def test_27_a_handler_that_loses_five_workers_stops_the_chain_and_the_end_stays_what_it_was(for_a_failure):
    async with playing(SAGA, {"slow": ["two"], "wait": not for_a_failure}) as (_, run):
        if not for_a_failure:
            await run.wait_for_step("w", status="waiting")
            await run.terminate(rollback=True)
        for number in range(1, 6):
            await run.wait_until(lambda state, number=number: undoing_two(state) == number)
            await run.kill_worker()
        await run.wait_for_status("errored", "terminated")
        state = await run.state()
        assert (state.status, state.rollback) == ("errored" if for_a_failure else "terminated", "errored")
        assert (state.error and state.error["message"]) == ("the failure" if for_a_failure else None)
        assert "5 times in a row" in (await run.step("two")).rollback.error["message"]


@story
async def test_27_a_handler_over_the_longest_an_attempt_may_take_fails_and_stops_the_chain_without_a_retry_left():
    async with playing(SAGA, {"slow": ["two"]}, attempt_wall_seconds=2) as (_, run):
        await run.wait_for_status(ev.ERRORED)
        state = await run.state()
        assert (state.rollback, state.error["message"]) == ("errored", "the failure")
        assert handlers(state) == ["pending", None, "errored", "completed"]
        assert (
            (await run.step("two"))
            .rollback.error["message"]
            .startswith('attempt time: more than 2 s while step "two" was rolled back.')
        )
