"""Breakpoints: where a run stops, what its journal says then, and how it goes on, also over crashes."""

import re
from pathlib import Path
from typing import Any

import pytest
from puppet_support import CONFIG, do, frame, staged
from semantics_support import LEDGER, assert_dense, isolated, playing, story, workflow

from playground.engine import forks
from playground.engine.execution.breakpoints import ANY_STEP, GivenError, StepPattern
from playground.engine.execution.faults import NewBreak
from playground.engine.messages import GIVEN_BY_HAND, MAX_ERROR_MESSAGE
from playground.testing import WorkflowTester
from playground.testing.run import ServerCrashed
from playground.testing.server import ALONE
from playground.workflows import breakpoints, breaks
from playground.workflows import events as ev
from playground.workflows.errors import CannotBreak, CannotContinue, InstanceInFiniteState
from playground.workflows.events import StepKey

ORDER = """
@step.do("charge")
async def charge():
    LEDGER.note("charge")
    return 7
@step.do("ship", config={"retries": {"limit": 1, "delay": "1 second"}})
async def ship():
    LEDGER.note("ship")
    return "shipped"
paid = await charge()
await step.sleep("nap", "1 hour")
shipped = await ship()
answer = await step.wait_for_event("answer", "go")
return [paid, shipped, answer["payload"]]
"""
LOOP = """
made = []
for n in range(3):
    @step.do("part")
    async def part():
        LEDGER.note(n)
        return n
    made.append(await part())
return made
"""


class CardDeclined(Exception):
    """An error of a person's own: the code knows none of this name."""


def before(*names: str) -> dict[str, tuple[StepPattern, ...]]:
    """Fields of a new instance with these breakpoints."""
    return {"breakpoints": tuple(StepPattern(name) for name in names)}


@story
async def test_a_run_stops_before_the_step_and_announces_nothing_of_it():
    async with playing(ORDER, created=before("ship")) as (tester, run):
        stop = await run.wait_for_stop("ship")
        assert (stop["kind"], stop["name"], stop["count"]) == ("do", "ship", 1)
        assert workflow(ORDER).splitlines()[stop["line"] - 1].strip().startswith('@step.do("ship"')
        assert stop["config"]["retries"]["limit"] == 1
        state = await run.state()
        assert (state.status, [key.name for key in state.steps]) == (ev.PAUSED, ["charge", "nap"])
        assert state.as_json()["stopped_before"] == stop
        assert (await run.types())[-3:] == [ev.BREAKPOINT_HIT, ev.EXECUTION_ENDED, ev.WORKFLOW_PAUSED]
        assert tester.engine.executions() == []  # it holds no worker
        await run.resume()
        await run.wait_for_step("answer", status="waiting")
        await run.send_event("go", "yes")
        assert await run.result() == [7, "shipped", "yes"]
        assert (await run.state()).stopped_before is None
    assert LEDGER.take() == ["charge", "ship"]


@story
async def test_a_breakpoint_before_a_sleep_and_before_a_wait_stops_too_and_the_time_of_a_stop_is_not_slept():
    async with playing(ORDER, created=before("nap", "answer"), skip=False) as (tester, run):
        stop = await run.wait_for_stop("nap")
        assert (stop["kind"], stop["duration"]) == ("sleep", 3_600_000)
        await tester.advance("5 hours")
        assert await run.types(ev.SLEEP_STARTED) == []
        await run.resume()
        await tester.advance("1 hour")
        stop = await run.wait_for_stop("answer")
        assert (stop["kind"], stop["event_type"], stop["timeout"]) == ("wait", "go", 86_400_000)
        await run.send_event("go", 1)
        await run.resume()
        assert await run.result() == [7, "shipped", 1]


@story
async def test_a_breakpoint_with_a_count_stops_before_that_call_only_and_one_without_before_each():
    async with playing(LOOP, created={"breakpoints": (StepPattern("part", None, 2),)}) as (_, run):
        assert (await run.wait_for_stop())["count"] == 2
        await run.resume()
        assert await run.result() == [0, 1, 2]
    async with playing(LOOP, created=before("part")) as (_, run):
        for count in (1, 2, 3):
            stop = await run.wait_until(lambda state, count=count: (state.stopped_before or {}).get("count") == count)
            assert stop
            await run.wait_for_stop()
            await run.resume()
        assert await run.result() == [0, 1, 2]
    assert LEDGER.take() == [0, 1, 2] * 2


@story
async def test_a_breakpoint_for_one_kind_lets_the_others_of_its_name_pass():
    body = """
    await step.sleep("same", "1 second")
    return await step.do("same", lambda: 1)
    """
    async with playing(body, created={"breakpoints": (StepPattern("same", "do"),)}) as (_, run):
        assert (await run.wait_for_stop())["kind"] == "do"
        await run.resume()
        assert await run.result() == 1


@story
async def test_next_commit_goes_step_by_step_and_stops_before_each():
    async with playing(ORDER, created=before("charge")) as (_, run):
        seen = []
        while True:
            stop = await run.wait_for_stop()
            seen.append((stop["kind"], stop["name"], sorted(key.name for key in (await run.state()).steps)))
            if stop["name"] == "answer":
                break
            await run.next_commit()
            assert (await run.state()).stopped_before is None
        assert seen == [
            ("do", "charge", []),
            ("sleep", "nap", ["charge"]),
            ("do", "ship", ["charge", "nap"]),
            ("wait", "answer", ["charge", "nap", "ship"]),
        ]
        await run.send_event("go", None)
        await run.resume()
        assert await run.result() == [7, "shipped", None]
        assert (await run.state()).breakpoints == [{"step": {"name": "charge"}}]


@story
async def test_run_to_here_stops_once_and_a_breakpoint_on_the_way_comes_first():
    async with playing(LOOP, created=before("part")) as (_, run):
        await run.wait_for_stop()
        await run.break_before("part", on=False)
        await run.run_to("part", count=3)
        assert (await run.wait_for_stop())["count"] == 3
        assert (await run.state()).breakpoints == []
        await run.resume()
        assert await run.result() == [0, 1, 2]
    async with playing(LOOP, created={"breakpoints": (StepPattern("part", None, 1), StepPattern("part", None, 2))}) as (
        _,
        run,
    ):
        await run.wait_for_stop()
        await run.run_to("part", count=3)
        assert (await run.wait_for_stop())["count"] == 2
        assert {"step": {"name": "part", "count": 3}, "once": True} not in (await run.state()).breakpoints
        await run.resume()
        assert await run.result() == [0, 1, 2]


@story
async def test_a_given_result_stands_in_the_journal_as_edited_and_the_step_never_runs():
    async with playing(ORDER, created=before("charge", "answer")) as (tester, run):
        await run.wait_for_stop("charge")
        await run.give({"amount": [1, None]})
        await run.wait_for_stop("answer")
        await run.give("given")
        assert await run.result() == [{"amount": [1, None]}, "shipped", "given"]
        step = (await run.state()).as_json()["steps"][0]
        assert (step["status"], step["edited"], step["output"], step["attempts"]) == (
            "completed",
            True,
            {"amount": [1, None]},
            [],
        )
        assert await run.types(ev.STEP_GIVEN) == [ev.STEP_GIVEN] * 2
        await run.restart("ship")
        assert (await run.wait_for_stop())["name"] == "answer"
        await run.give("again")
        assert (await run.result())[0] == {"amount": [1, None]}
        row = await run.row()
        fork = await tester.call(lambda engine: forks.plan(engine, row, StepKey("do", "ship", 1)))
        assert [(event.step.name, event.data.get("output")) for event in fork.template.events] == [
            ("charge", {"amount": [1, None]}),
            ("nap", None),
        ]
    assert LEDGER.take() == ["ship", "ship"]


@story
async def test_giving_nothing_skips_a_sleep_and_a_value_for_one_is_refused():
    async with playing(ORDER, created=before("nap", "ship"), skip=False) as (tester, run):
        await run.wait_for_stop("nap")
        with pytest.raises(CannotContinue, match='"nap" is a sleep, which has no result: null skips it'):
            await run.give(1)
        began = tester.now
        await run.give(None)
        await run.wait_for_stop("ship")
        assert tester.now == began
        with pytest.raises(CannotContinue, match="is not stopped before a step"):
            await (await tester.create()).give(1)
        await run.terminate()


@story
async def test_an_error_that_is_given_is_raised_as_its_class_is_never_tried_again_and_survives_a_replay():
    body = """
    caught = []
    for name in ("own", "builtin", "none"):
        try:
            await step.do(name, lambda: LEDGER.note(name), rollback=lambda info: LEDGER.note(info["output"]))
        except Exception as error:
            caught.append([base.__name__ for base in type(error).__mro__[:2]] + [str(error)])
    try:
        await step.wait_for_event("answer", "go", timeout="2 hours")
    except Exception as error:
        caught.append([type(error).__name__, str(error)])
    await step.sleep("nap", "1 second")
    raise NonRetryableError(repr(caught))
    """
    async with playing(body, created={"breakpoints": (ANY_STEP,)}) as (tester, run):
        await run.wait_for_stop("own")
        await run.give_error(CardDeclined("no money"), until="builtin")
        await run.wait_for_stop("builtin")
        await run.give_error(ValueError("42"), until="none")
        await run.wait_for_stop("none")
        await run.give_error(until="answer")
        await run.wait_for_stop("answer")
        with pytest.raises(CannotContinue, match="whose only error is that of its timeout"):
            await run.give_error(ValueError("no"))
        before_it = tester.now
        await run.give_error(until="nap")
        await run.wait_for_stop("nap")
        assert tester.now == before_it
        with pytest.raises(CannotContinue, match='"nap" is a sleep, which cannot fail'):
            await run.give_error()
        steps = (await run.state()).as_json()["steps"]
        assert [(step["status"], step["edited"], "output" in step) for step in steps] == [
            ("errored", True, False)
        ] * 3 + [("timed_out", True, False)]
        row = await run.row()
        fork = await tester.call(lambda engine: forks.plan(engine, row, None))
        assert [event.data["error"]["message"] for event in fork.template.events][:2] == ["no money", "42"]
        await run.resume()
        await run.wait_for_status(ev.ERRORED)
        assert (await run.state()).error["message"] == repr(
            [
                ["CardDeclined", "StepError", "no money"],
                ["ValueError", "Exception", "42"],
                ["StepError", "Exception", GIVEN_BY_HAND],
                ["WorkflowTimeoutError", "Execution timed out after 7200000ms"],
            ]
        )
    assert LEDGER.take() == [None] * 3


@story
async def test_an_error_whose_words_are_none_of_an_error_is_refused():
    async with playing(ORDER, created=before("charge")) as (tester, run):
        await run.wait_for_stop("charge")
        for error, why in (
            (GivenError("not a class"), "name is that of a class"),
            (GivenError("x" * 201), "200 characters"),
            (GivenError("E", "x" * (MAX_ERROR_MESSAGE + 1)), "10,000 characters"),
        ):
            row = await run.row()
            with pytest.raises(CannotContinue, match=why):
                await tester.call(lambda engine, row=row, error=error: engine.go_on(row, error=error))
        assert (await run.state()).stopped_before["name"] == "charge"
        await run.terminate()


@story
async def test_a_stop_waits_for_the_attempts_that_run_and_gives_no_result_before():
    body = """
    @step.do("slow")
    async def slow():
        await asyncio.sleep(10)
        LEDGER.note("slow")
        return 1
    @step.do("next")
    async def then():
        LEDGER.note("next")
        return 2
    async def later():
        await step.sleep("first", "5 seconds")
        return await then()
    return [*await asyncio.gather(slow(), later())]
    """
    async with playing(body, created=before("next"), skip=False) as (tester, run):
        await tester.advance("6 seconds")
        state = await run.state()
        assert (state.status, state.stopped_before["name"]) == (ev.WAITING_FOR_PAUSE, "next")
        with pytest.raises(CannotContinue, match='about to stop before "next": slow still runs'):
            await run.give(5)
        await tester.advance("5 seconds")
        await run.wait_for_stop("next")
        assert (await run.step("slow")).output == 1
        await run.give(5)
        assert await run.result() == [1, 5]
    assert LEDGER.take() == ["slow"]


@story
async def test_an_attempt_that_calls_steps_comes_to_its_end_before_a_stop_and_before_a_pause():
    body = """
    @step.do("outer")
    async def outer():
        made = []
        for name in ("a", "b"):
            await asyncio.sleep(5)
            made.append(await step.do(name, lambda: name))
        try:
            await step.do("fails", lambda: 1 / 0, config={"retries": {"limit": 0, "delay": 1}})
        except ZeroDivisionError:
            made.append("caught")
        return made
    async def later():
        await step.sleep("first", "2 seconds")
        return await step.do("next", lambda: 2)
    return await asyncio.gather(outer(), later())
    """
    async with playing(body, created=before("next"), skip=False) as (tester, run):
        await tester.advance("3 seconds")
        assert (await run.state()).status == ev.WAITING_FOR_PAUSE
        await tester.advance("8 seconds")
        await run.wait_for_stop("next")
        assert (await run.step("outer")).output == ["a", "b", "caught"]
        await run.resume()
        assert await run.result() == [["a", "b", "caught"], 2]
    async with playing(body, skip=False) as (tester, run):
        await tester.advance("1 second")
        await run.pause()
        await tester.advance("30 seconds")
        await run.wait_for_status(ev.PAUSED)
        assert {key.name for key in (await run.state()).steps} == {"outer", "first", "a", "b", "fails"}
        await run.resume()
        await tester.advance("2 seconds")
        assert await run.result() == [["a", "b", "caught"], 2]


@story
async def test_going_on_while_attempts_still_run_passes_the_step_in_the_same_execution():
    body = """
    @step.do("slow")
    async def slow():
        await asyncio.sleep(10)
        return 1
    async def later():
        await step.sleep("first", "5 seconds")
        return [await step.do("next", lambda: 2), await step.do("next", lambda: 3)]
    return [*await asyncio.gather(slow(), later())]
    """
    async with playing(body, created=before("next"), skip=False) as (tester, run):
        await tester.advance("6 seconds")
        assert (await run.state()).status == ev.WAITING_FOR_PAUSE
        await run.resume()
        await tester.advance("1 second")
        assert (await run.state()).stopped_before["count"] == 2
        await run.resume()
        await tester.advance("5 seconds")
        assert await run.result() == [1, [2, 3]]
        assert len((await run.state()).executions) == 1


@story
async def test_branches_that_run_side_by_side_are_stepped_one_by_one():
    body = """
    async def branch(name):
        return await step.do(name, lambda: name)
    return await asyncio.gather(branch("a"), branch("b"), branch("c"))
    """
    async with playing(body, created={"breakpoints": (ANY_STEP,)}) as (_, run):
        for stopped, begun in (("a", []), ("b", ["a"]), ("c", ["a", "b"])):
            assert (await run.wait_for_stop())["name"] == stopped
            assert [key.name for key in (await run.state()).steps] == begun
            await run.next_commit()
        assert await run.result() == ["a", "b", "c"]


@story
async def test_a_stop_outlives_the_server_and_a_passed_step_stops_no_second_time_when_its_worker_is_killed():
    async with playing(ORDER, created=before("ship")) as (tester, run):
        await run.wait_for_stop()
        await tester.restart_server(down="1 day")
        assert (await run.wait_for_stop())["name"] == "ship"
        await run.kill_worker("never")
        await run.resume()
        await tester.restart_server()  # perhaps before the step has begun
        await run.send_event("go", "yes")
        assert await run.result() == [7, "shipped", "yes"]
        assert (await run.types(ev.BREAKPOINT_HIT)) == [ev.BREAKPOINT_HIT]


@pytest.mark.parametrize("victim", ["worker", "server"])
@story
async def test_a_crash_at_any_commit_neither_skips_a_stop_nor_stops_twice(victim):
    async def played(crash_at: int | None) -> tuple[list[str], list[str], int]:
        async with playing(ORDER, created=before("ship")) as (tester, run):
            first = tester.commits
            if crash_at is not None:
                tester.crash(victim, commit=first + crash_at)
            await run.send_event("go", "yes")
            stop = await run.wait_for_stop()
            names = [stop["name"]]
            await run.next_commit()
            names.append((await run.wait_for_stop())["name"])
            await run.resume()
            assert await run.result() == [7, "shipped", "yes"]
            hits = [event.data["step"]["name"] for event in await run.journal() if event.type == ev.BREAKPOINT_HIT]
            made = tester.commits - first
            tester.no_more_crashes()
            return names, hits, made

    names, hits, commits = await played(None)
    assert (names, hits) == (["ship", "answer"], ["ship", "answer"])
    every = 2 if WorkflowTester.nodes == ALONE else 6  # the second round is for what nodes and their database change
    for crash_at in range(1 + (victim == "worker"), commits + 1, every):
        try:
            assert (await played(crash_at))[:2] == (names, hits), crash_at
        except ServerCrashed:
            continue  # what the test asked for at that commit; it would ask again


@story
async def test_a_run_is_replayed_from_every_stop_as_it_went_without_any():
    body = """
    async def chain(name, pause):
        made = []
        for n in range(3):
            made.append(await step.do(name, lambda: [name, n]))
            await step.sleep(name, pause)
        return made
    order = []
    async def noting(name, pause):
        order.append([name, await chain(name, pause)])
    await asyncio.gather(noting("a", "3 seconds"), noting("b", "2 seconds"))
    done, _ = await asyncio.wait([asyncio.ensure_future(step.do(f"race {n}", lambda: n)) for n in range(2)],
                                 return_when=asyncio.FIRST_COMPLETED)
    return [order, len(done) > 0]
    """
    async with playing(body) as (_, run):
        undisturbed = await run.result()
    async with playing(body, created={"breakpoints": (ANY_STEP,)}) as (_, run):
        while True:
            status = await run.wait_for_status(ev.PAUSED, *ev.FINAL_STATUSES)
            if status != ev.PAUSED:
                break
            await run.next_commit()
        assert await run.result() == undisturbed
        assert len(await run.types(ev.BREAKPOINT_HIT)) == 14
        assert_dense(await run.journal())


@story
async def test_breakpoints_outlast_a_restart_and_the_stop_and_what_stops_once_do_not():
    async with playing(ORDER, created=before("ship")) as (tester, run):
        await run.wait_for_stop()
        await run.run_to("answer")
        await run.wait_for_stop("answer")
        await run.restart()
        state = await run.state()
        assert (state.stopped_before, state.breakpoints) == (None, [{"step": {"name": "ship"}}])
        await run.wait_for_stop("ship")
        await run.terminate()
        state = await run.state()
        assert (state.status, state.stopped_before, len(state.breakpoints)) == (ev.TERMINATED, None, 1)
        for refused in (run.break_before("nap"), run.next_commit(), run.give(1)):
            with pytest.raises(InstanceInFiniteState):
                await refused
        row = await run.row()
        await tester.call(lambda engine: engine.restart(row, new_breakpoints=[StepPattern("nap")]))
        await run.wait_for_stop("nap")


@story
async def test_a_restart_counts_its_breaks_and_its_breakpoints_with_those_that_are_set_each_for_itself():
    async with playing(ORDER, created={"breakpoints": (ANY_STEP,)}) as (tester, run):
        await run.wait_for_stop("charge")
        await run.break_step("charge", "return", value=8)
        row = await run.row()

        async def again(breakpoints_more: int, breaks_more: int) -> None:
            stops = [ANY_STEP, *(StepPattern(f"s{n}") for n in range(breakpoints_more))]
            faults = [NewBreak(f"s{n}", None, "fail") for n in range(breaks_more)]
            await tester.call(lambda engine: engine.restart(row, None, faults, stops))

        most_stops, most_breaks = breakpoints.MAX_BREAKPOINTS - 1, breaks.MAX_BREAKS - 1
        with pytest.raises(CannotBreak, match="20 breaks at once"):
            await again(0, most_breaks + 1)
        await again(2, most_breaks)
        await run.break_before("other")
        with pytest.raises(CannotBreak, match="100 breakpoints at once"):
            await again(most_stops, 0)
        state = await run.state()
        assert (len(state.breakpoints), len(state.breaks), state.generation) == (4, breaks.MAX_BREAKS, 2)
        await run.wait_for_stop("charge")
        await run.terminate()


@story
async def test_a_breakpoint_set_while_the_run_waits_stops_it_later_and_what_changes_nothing_is_no_event():
    async with playing(ORDER, skip=False) as (tester, run):
        await run.wait_for_step("nap", status="sleeping")
        await run.break_before("ship")
        await run.break_before("ship")
        await run.break_before("never", on=False)
        assert await run.types(ev.BREAKPOINT_SET, ev.BREAKPOINT_CLEARED) == [ev.BREAKPOINT_SET]
        await tester.advance("1 hour")
        await run.wait_for_stop("ship")
        await run.break_before("ship", on=False)
        assert (await run.state()).breakpoints == []
        assert (await run.state()).stopped_before["name"] == "ship"
        await run.resume()
        await run.wait_for_step("answer", status="waiting")


@story
async def test_breakpoints_that_make_no_sense_are_refused_with_what_to_do():
    async with playing(ORDER) as (_, run):
        with pytest.raises(CannotBreak, match="exceeds max length"):
            await run.break_before("x" * 300)
        with pytest.raises(CannotBreak, match="kind takes do, sleep, wait"):
            await run.break_before("ship", kind="step")
        with pytest.raises(CannotBreak, match="count is which call"):
            await run.break_before("ship", count=0)
        for n in range(breakpoints.MAX_BREAKPOINTS):
            await run.break_before(f"s{n}")
        with pytest.raises(CannotBreak, match="100 breakpoints at once"):
            await run.break_before("one more")
        await run.terminate()


@story
async def test_a_given_result_of_a_sensitive_step_is_redacted_and_its_rollback_gets_it():
    body = """
    async def undo(info):
        LEDGER.note(info["output"])
    await step.do("secret", lambda: 1, config={"sensitive": "output"}, rollback=undo)
    raise ValueError("no")
    """
    async with playing(body, created=before("secret")) as (_, run):
        await run.wait_for_stop()
        await run.give("hidden")
        await run.wait_for_status(ev.ERRORED)
        state = await run.state()
        assert (state.rollback, state.as_json()["steps"][0]["output"]) == ("complete", ev.REDACTED)
    assert LEDGER.take() == ["hidden"]


@story
async def test_a_step_inside_another_is_no_place_to_stop_and_whoever_tries_is_told():
    body = """
    @step.do("outer")
    async def outer():
        await step.sleep("doze", "1 second")
        return sum([await step.do("inner", lambda: 1) for _ in range(2)])
    await step.do("twin", lambda: 1)
    @step.do("other")
    async def other():
        return await step.do("twin", lambda: 1)
    await other()
    total = await outer()
    await step.wait_for_event("answer", "go")
    return total
    """
    told = (
        '"inner" runs inside "outer", where no run stops: its attempt would be lost. Set the breakpoint before "outer".'
    )
    async with playing(body, created=before("inner", "doze")) as (_, run):
        await run.wait_for_step("answer", status="waiting")
        assert [event.data["text"] for event in await run.journal() if event.type == ev.LOG] == [
            told.replace("inner", "doze"),
            told,
        ]
        for refused in (run.break_before("inner", count=2), run.run_to("inner")):
            with pytest.raises(CannotBreak, match=re.escape(told)):
                await refused
        await run.break_before("inner", on=False)  # clearing is no mistake
        await run.break_before("twin")  # one of them is a step of its own
        await run.break_before("not yet")
        assert [each["step"]["name"] for each in (await run.state()).breakpoints] == ["doze", "twin", "not yet"]
        await run.send_event("go")
        assert await run.result() == 2


@story
async def test_the_whole_tester_breaks_before_a_step():
    async with WorkflowTester(workflow(ORDER)) as tester:
        tester.break_before("ship")
        run = await tester.create()
        await run.wait_for_stop("ship")
        await run.give("by hand", until="answer")
        await run.wait_for_stop("answer")
        await run.give(None)
        assert await run.result() == [7, "by hand", None]
    assert LEDGER.take() == ["charge"]


def stop(name: str = "s", count: int = 1, **more: Any) -> bytes:
    return frame(**{"op": "stop", "step": ["do", name, count], "config": CONFIG, **more})


CLAIMS: dict[str, list[bytes]] = {
    "a stop where no breakpoint is": [stop("other")],
    "two stops": [do("other"), stop(), stop()],
    "a stop before a step that has begun": [do(), stop()],
    "a stop inside another step": [do("outer"), stop(step=["do", "s", 1, ["do", "outer", 1]])],
    "a do without its config": [stop(config=None)],
    "a wait without its type": [frame(op="stop", step=["wait", "s", 1], timeout=5)],
    "a sleep without its time": [frame(op="stop", step=["sleep", "s", 1])],
}


@pytest.mark.parametrize("said", CLAIMS)
@story
async def test_a_worker_that_claims_a_stop_that_is_none_is_ended(said: str, tmp_path: Path):
    async with staged(tmp_path) as stage:
        row, puppet = await stage.begin(breakpoints=[StepPattern("s")])
        await puppet.say(*CLAIMS[said])
        state = await stage.end(row)
        assert state.error["name"] == "LimitExceeded"
        assert "protocol: the worker" in state.error["message"] or "protocol: a frame" in state.error["message"]


@story
async def test_isolated_workers_that_run_ahead_stop_where_they_should():
    body = """
    total = 0
    for n in range(50):
        total += await step.do("part", lambda: 1)
    return total
    """
    async with isolated(body) as (_, run):
        assert await run.result() == 50
        row = await run.row()
        await run._tester.call(lambda engine: engine.restart(row, new_breakpoints=[StepPattern("part", None, 30)]))
        assert (await run.wait_for_stop())["count"] == 30
        assert len((await run.state()).steps) == 29
        await run.next_commit()
        assert (await run.wait_for_stop())["count"] == 31
        await run.give(100)
        assert await run.result() == 149
