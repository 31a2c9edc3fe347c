"""A wait or a sleep that was cancelled is over: it takes no event, wakes nobody, and says so in the journal."""

import pytest
from aio import story
from cases_support import Send, in_every_way, payloads, play, source_of

from playground.testing import WorkflowTester
from playground.workflows import events as ev

HOUR = 3_600_000


@in_every_way
@story
async def test_01_an_event_goes_to_the_wait_that_is_open_not_to_one_that_was_cancelled(way):
    ended = await play("01", way, sends=[Send("answer that counts", "answer", "yes")])
    assert ended.output == "yes"
    assert payloads(ended) == {"answer that counts": "yes"}
    assert [event.key.name for event in ended.events("wait_cancelled")] == ["early answer"]
    assert ended.step("early answer").status == "cancelled"


@in_every_way
@story
async def test_02_a_wait_whose_timeout_block_has_ended_takes_no_event(way):
    ended = await play("02", way, sends=[Send("slow answer", "answer", "at last")])
    assert ended.output == "at last"
    assert payloads(ended) == {"slow answer": "at last"}
    assert [event.key.name for event in ended.events("wait_cancelled")] == ["quick answer"]
    assert ended.printed() == ["nobody answered quickly"]


@in_every_way
@story
async def test_27_the_loser_of_a_race_is_called_off_in_every_round(way):
    ended = await play("27", way, sends=[Send("no 1", "yes"), Send("no 2", "no")])
    assert ended.output == ["yes", "no"]
    assert sorted(payloads(ended)) == ["no 2", "yes 1"]
    assert sorted(event.key.name for event in ended.events("wait_cancelled")) == ["no 1", "yes 2"]


@pytest.mark.parametrize("grace", [0, 10_000])
@story
async def test_27_the_loser_of_a_race_that_was_already_given_its_event_gives_it_back(grace):
    """Both come at once; the first round takes one of them, and the other is there for the second."""
    async with WorkflowTester(source_of("27"), idle_grace_ms=grace) as tester:
        run = await tester.create()
        await run.wait_for_step("no 1", status="waiting")
        await tester.settle()
        await run.send_event("yes")
        await run.send_event("no")
        assert await run.result() == ["yes", "no"]
        assert (await run.snapshot()).inbox == []


@in_every_way
@story
async def test_30_a_wait_that_lost_a_race_and_was_not_cancelled_still_takes_its_event(way):
    ended = await play("30", way, sends=[Send("answer", "answer", 42, after="remind")])
    assert ended.output == 42
    assert ended.printed() == ["reminded"]
    assert ended.events("wait_cancelled") == []


@in_every_way
@story
async def test_31_what_is_open_when_the_run_returns_is_cancelled_and_a_step_under_way_finishes(way):
    ended = await play("31", way)
    assert ended.output == "done"
    assert ended.step("late").status == "completed"
    assert [(ended.step(name).status, ended.step(name).ended_at) for name in ("never", "long")] == [
        ("cancelled", ended.state.ended_at)
    ] * 2


@in_every_way
@story
async def test_50_a_cancelled_sleep_wakes_nobody(way):
    ended = await play("50", way)
    assert ended.output == "end"
    assert [event.key.name for event in ended.events("sleep_cancelled")] == ["long"]
    assert [event.key.name for event in ended.events(ev.SLEEP_COMPLETED)] == ["second"]
    assert ended.state.ended_at - ended.state.created_at == 13_000
    over, begun = ended.events("sleep_cancelled")[0].at, ended.state.created_at
    assert begun + 8_000 not in {
        event.data.get("until") for event in ended.events(ev.WORKFLOW_WAITING) if event.at >= over
    }


@pytest.mark.parametrize("grace", [0, 10_000])
@story
async def test_49_a_pause_is_no_error_that_a_workflow_could_catch_and_the_rest_of_the_sleep_is_slept_after_it(grace):
    async with WorkflowTester(source_of("49"), skip=False, idle_grace_ms=grace) as tester:
        run = await tester.create()
        await run.wait_for_step("nap", status="sleeping")
        await tester.advance("2 seconds")
        await run.pause()
        await tester.advance(HOUR)
        assert await run.logs() == []
        await run.resume()
        tester.skip = True
        assert await run.result() == "end"
        assert await run.logs() == ["cleaning"]
        state = await run.state()
        assert state.ended_at - state.created_at == HOUR + 6_000
