"""What comes in the moment in which a worker is given up, and what becomes of a run whose end could not be written."""

import asyncio
from pathlib import Path
from typing import Any

from puppet_support import staged
from semantics_support import attempts, playing, story

from playground.workflows import events as ev
from playground.workflows.events import DO, NewEvent, StepKey

FAILS_ONCE = """
@step.do("charge", config={"retries": {"limit": 3, "delay": "1 hour"}})
async def charge(ctx):
    if ctx.attempt == 1:
        raise ConnectionError("no answer")
    return ctx.attempt
return await charge()
"""


@story
async def test_a_retry_that_is_woken_while_its_worker_is_evicted_loses_no_attempt():
    """Given a wake-up on its way to the journal when the eviction begins,
    expect the next execution to run attempt 2.
    """
    async with playing(FAILS_ONCE, skip=False) as (tester, run):
        await run.wait_for_step("charge", status="retrying")
        await tester.settle()
        (execution,) = tester.engine.executions()
        woken = NewEvent(ev.RETRY_WOKEN, {"virtual": True}, StepKey(DO, "charge", 1))
        waking = asyncio.ensure_future(
            tester.store.decide(run.key, lambda snapshot: [woken], execution=None, at=tester.now())
        )
        await asyncio.sleep(0)
        execution.evict(ev.EVICTED)
        await waking
        assert await run.result() == 2
        types = [event.type for event in await run.journal()]
        assert types.count(ev.ATTEMPT_STARTED) == 2
        assert types.index(ev.EXECUTION_ENDED) < len(types) - 1 - types[::-1].index(ev.ATTEMPT_STARTED)


@story
async def test_a_run_whose_commit_failed_goes_on_once_the_database_can_be_written_again():
    body = """
    @step.do("work")
    async def work(ctx):
        await asyncio.sleep(5)
        return ctx.attempt
    return await work()
    """
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("work", status="running")
        await tester.settle()
        writer = tester.store._transaction._db
        writer.execute("PRAGMA query_only = ON")
        await tester.advance("6 seconds")
        said = [line for line, _ in tester.log]
        assert said == ["commit_failed", "recovery_failed"] and tester.engine.running() == 0
        writer.execute("PRAGMA query_only = OFF")
        await tester.advance("7 seconds")
        assert await run.result() == 2
        assert [execution.reason for execution in (await run.state()).executions] == ["lost", "completed"]
        assert [name for name, _ in attempts(await run.step("work"))] == [1, 2]


@story
async def test_an_execution_that_is_claimed_before_the_last_is_over_is_the_one_that_counts(tmp_path: Path):
    """Given a commit that is made and not yet told, with which the instance falls due, expect its loss to count and its
    successor to be known.
    """
    async with staged(tmp_path, worker_losses=2) as stage:
        decide, told = stage.engine.store.decide, asyncio.Event()

        async def decide_and_tell_late(*given: Any, **named: Any) -> Any:
            committed = await decide(*given, **named)
            await told.wait()
            return committed

        row, puppet = await stage.begin()
        (first,) = stage.engine.executions()
        stage.engine.store.decide = decide_and_tell_late
        puppet.leave()
        try:
            puppet = await stage.puppets.next(row.id)  # the scheduler hears from the store that it is due
        finally:
            told.set()
        await asyncio.wait([first.task])
        assert [execution.row.execution for execution in stage.engine.executions()] == [2]
        puppet.leave()
        assert "The worker died 2 times in a row" in (await stage.end(row)).error["message"]
