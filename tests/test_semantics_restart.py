"""Section 9 of semantics.md: restart, whole and from a step. Each test names the number of its behaviour."""

import pytest
from semantics_support import LEDGER, assert_dense, playing, story

from playground.workflows import events as ev
from playground.workflows.errors import CannotRestart

THREE = """
for name in ("one", "two", "three"):
    await step.do(name, lambda: LEDGER.note(name))
await step.sleep("nap", "1 minute")
for number in range(3):
    await step.do("loop", lambda: LEDGER.note(f"loop {number + 1}"))
return event.payload["n"]
"""
ALL = ["one", "two", "three", "loop 1", "loop 2", "loop 3"]


@story
async def test_25_restart_runs_everything_again_in_a_new_generation_with_the_same_params():
    async with playing(THREE, {"n": 5}) as (_tester, run):
        assert await run.result() == 5
        assert LEDGER.take() == ALL
        created = (await run.row()).created_at
        await run.restart()
        assert await run.result() == 5
        assert LEDGER.take() == ALL
        row, state = await run.row(), await run.state()
        assert (row.generation, state.generation, row.created_at) == (2, 2, created)
        assert_dense(await run.journal())
        assert [event.type for event in await run.journal() if event.type in ev.FINAL_TYPES] == [
            ev.WORKFLOW_COMPLETED
        ] * 2


@pytest.mark.parametrize(
    ("origin", "again"),
    [
        ({"from_step": "two"}, ALL[1:]),
        ({"from_step": "one"}, ALL),
        ({"from_step": "loop", "count": 2}, ALL[4:]),
        ({"from_step": "nap", "kind": "sleep"}, ALL[3:]),
    ],
)
@story
async def test_25_restart_from_a_step_keeps_those_before_it(origin, again):
    async with playing(THREE, {"n": 5}) as (_, run):
        await run.result()
        LEDGER.take()
        await run.restart(**origin)
        assert await run.result() == 5
        assert LEDGER.take() == again
        assert_dense(await run.journal())


@pytest.mark.parametrize(
    "origin", [{"from_step": "four"}, {"from_step": "loop", "count": 4}, {"from_step": "one", "kind": "sleep"}]
)
@story
async def test_25_restart_from_an_unknown_step_is_refused_and_changes_nothing(origin):
    async with playing(THREE, {"n": 5}) as (_, run):
        await run.result()
        before = await run.journal()
        with pytest.raises(CannotRestart, match="has no step"):
            await run.restart(**origin)
        assert await run.journal() == before
        assert (await run.row()).status == "complete"


@story
async def test_25_restart_drops_timers_buffered_events_and_work_in_flight():
    body = """
    LEDGER.note("run")
    await step.do("long", lambda: asyncio.sleep(60))
    return (await step.wait_for_event("w", "go", timeout="1 hour")).payload
    """
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("long", status="running")
        await run.send_event("go", "of the first generation")
        await run.restart()
        await run.wait_for_step("long", status="running")
        await tester.advance("65 seconds")
        assert (await run.state()).status == "waiting"
        await run.send_event("go", "of the second")
        assert await run.result() == "of the second"
    assert LEDGER.take() == ["run", "run"]


@pytest.mark.parametrize("status", ["queued", "waiting", "hibernated", "paused", "errored", "terminated"])
@story
async def test_25_restart_from_every_status(status):
    body = """
    LEDGER.note("run")
    if event.payload == "errored":
        raise ValueError("no")
    await step.sleep("nap", "1 hour")
    return "end"
    """
    async with playing(body, status, skip=False, workers=1) as (tester, run):
        if status == "queued":
            await run.restart()
        elif status == "errored":
            await run.wait_for_status("errored")
            await run.restart()
            await run.wait_for_status("errored")
            assert LEDGER.take() == ["run", "run"]
            return
        else:
            await run.wait_for_step("nap")
            if status == "hibernated":
                await tester.advance("30 minutes")
            if status == "paused":
                await run.pause()
            if status == "terminated":
                await run.terminate()
            await run.restart()
        await tester.advance("1 hour")
        assert await run.result() == "end"
        assert (await run.state()).generation == 2
