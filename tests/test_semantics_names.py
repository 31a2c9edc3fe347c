"""Section 9 of semantics.md: how steps are named, counted and found again. Each test names the number of its
behaviour.
"""

import pytest
from semantics_support import LEDGER, failure, outcome, playing, started, story, times

from playground.testing import WorkflowFailed
from playground.workflows import events as ev


@story
async def test_11_the_same_name_twice_counts_1_and_2_and_another_name_between_has_its_own_count():
    body = """
    first = await step.do("a", lambda: 1)
    other = await step.do("b", lambda: 2)
    second = await step.do("a", lambda: 3)
    return [first, other, second]
    """
    async with playing(body) as (_, run):
        assert await run.result() == [1, 2, 3]
        assert await started(run) == ["a-1", "b-1", "a-2"]


@story
async def test_11_three_in_parallel_are_counted_in_call_order():
    body = """
    async def slow(ctx):
        await asyncio.sleep(10 - 3 * ctx.step.count)
        return ctx.step.count
    return await asyncio.gather(*(step.do("a", slow) for _ in range(3)))
    """
    async with playing(body) as (_, run):
        assert await run.result() == [1, 2, 3]
        assert await started(run) == ["a-1", "a-2", "a-3"]
        ended = [str(event.step) for event in await run.journal() if event.type == ev.STEP_COMPLETED]
    assert ended == ["a-3", "a-2", "a-1"]


@story
async def test_11_counts_begin_afresh_in_every_execution_of_a_decorated_and_a_direct_step():
    body = """
    def make(number):
        @step.do("same")
        async def same():
            LEDGER.note(number)
            return number
        return same
    results = [await make(1)(), await step.do("same", lambda: LEDGER.note(2) or 2)]
    await step.sleep("long", "1 day")
    return [*results, await make(3)()]
    """
    async with playing(body) as (_, run):
        assert await run.result() == [1, 2, 3]
        assert len((await run.state()).executions) == 2
    assert LEDGER.take() == [1, 2, 3]


@pytest.mark.parametrize("interruption", ["pause and resume", "kill", "server kill"])
@story
async def test_12_a_loop_of_random_same_named_steps_gives_the_same_values_after(interruption):
    """Given ten steps of one name that each give a random number, interrupted in the middle, expect the values of
    before.
    """
    body = """
    numbers = []
    for round in range(10):
        if round == 5:
            await step.wait_for_event("halfway", "go")
        numbers.append(await step.do("draw", lambda: random.random()))
    return numbers
    """
    async with playing(body) as (tester, run):
        await run.wait_for_step("halfway", status="waiting")
        before = [step.output for key, step in (await run.state()).steps.items() if key.name == "draw"]
        if interruption == "pause and resume":
            await run.pause()
            await run.wait_for_status("paused")
            await run.resume()
        elif interruption == "kill":
            await run.kill_worker()
        else:
            await tester.restart_server()
        await run.send_event("go")
        values = await run.result()
        assert values[:5] == before
        assert len(set(values)) == 10
        assert len((await run.state()).executions) == 2
        assert (await started(run)).count("draw-5") == 1


@story
async def test_15_a_mutated_payload_is_the_original_in_the_next_execution():
    body = """
    LEDGER.note((event.payload["n"], list(event["payload"]["list"])))
    event.payload["n"] = 99
    event["payload"]["list"].append("more")
    await step.sleep("long", "1 day")
    return event["payload"]["n"]
    """
    async with playing(body, {"n": 1, "list": ["a"]}) as (_, run):
        assert await run.result() == 99
    assert LEDGER.take() == [(1, ["a"]), (1, ["a"])]


@story
async def test_15_the_event_has_its_keys_as_attributes_too_and_an_empty_payload_is_a_dict():
    body = """
    same = event.timestamp == event["timestamp"] and event.instanceId == event["instance_id"] == event.instance_id
    return [event.payload, event.timestamp, event.timestamp.tzinfo is not None,
        event.instanceId, event.workflowName, same]
    """
    async with playing(body, created={"id": "my-id", "workflow": "letters"}) as (tester, run):
        result = await run.result()
    assert result[0] == {}
    assert result[1].timestamp() * 1000 == tester.clock.start
    assert result[2:] == [True, "my-id", "letters", True]


@story
async def test_16_a_race_inside_one_step_is_stable_on_replay():
    body = """
    async def runner(name, seconds):
        await asyncio.sleep(seconds)
        return name
    @step.do("race")
    async def race():
        racers = [asyncio.create_task(runner("hare", random.random())),
            asyncio.create_task(runner("tortoise", random.random()))]
        done, left = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        for racer in left:
            racer.cancel()
        winner = done.pop().result()
        LEDGER.note(winner)
        return winner
    winner = await race()
    await step.sleep("long", "1 day")
    return winner
    """
    async with playing(body) as (_, run):
        winner = await run.result()
        assert len((await run.state()).executions) == 2
    assert [winner] == LEDGER.take()


@story
async def test_16_a_race_between_steps_replays_with_the_stored_results():
    body = """
    async def slow():
        await asyncio.sleep(60)
        LEDGER.note("slow")
        return "slow"
    def quick():
        LEDGER.note("quick")
        return "quick"
    racers = [asyncio.ensure_future(step.do("quick", quick)), asyncio.ensure_future(step.do("slow", slow))]
    done, left = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    await step.sleep("long", "1 day")
    return sorted(await asyncio.gather(*racers))
    """
    assert await outcome(body) == ["quick", "slow"]
    assert LEDGER.take() == ["quick", "slow"]


@story
async def test_18_do_a_1_and_wait_a_do_not_interfere():
    body = """
    first = await step.do("a-1", lambda: "done")
    waited = await step.wait_for_event("a", "go")
    await step.sleep("a", "1 hour")
    return [first, waited.payload, await step.do("a", lambda: "second")]
    """
    async with playing(body) as (_, run):
        await run.wait_for_step("a", kind=ev.WAIT, status="waiting")
        await run.send_event("go", "event")
        assert await run.result() == ["done", "event", "second"]
        kinds = [
            (event.step.kind, str(event.step))
            for event in await run.journal()
            if event.type.endswith("_started") and event.step
        ]
    assert kinds == [("do", "a-1-1"), ("do", "a-1-1"), ("wait", "a-1"), ("sleep", "a-1"), ("do", "a-1"), ("do", "a-1")]


@pytest.mark.parametrize("dos", [3, 4])
@story
async def test_19_the_step_limit_counts_dos_only(dos):
    body = f"""
    for number in range(5):
        await step.sleep("nap", "1 second")
    for number in range({dos}):
        await step.do("work", lambda: LEDGER.note("work"))
    """
    async with playing(body, created={"limits": {"step_limit": 3}}) as (_, run):
        if dos == 3:
            await run.result()
        else:
            with pytest.raises(WorkflowFailed, match="The limit of 3 steps has been reached"):
                await run.result()
    assert LEDGER.take() == ["work"] * 3


@story
async def test_19_replayed_steps_count_again_in_every_execution_but_only_once_each():
    body = """
    for number in range(3):
        await step.do("work", lambda: LEDGER.note("work"))
        await step.sleep("long", "1 day")
    """
    await outcome(body, created={"limits": {"step_limit": 3}})
    assert LEDGER.take() == ["work"] * 3


@pytest.mark.parametrize(
    "name",
    ["'x' * 257", "'line\\nbreak'", "'\\x00'", "''", "None", "12", "'\\ud800'"],
    ids=lambda name: name.replace("\\", "/"),
)
@pytest.mark.parametrize(
    "call", ["step.do(NAME, lambda: 1)", 'step.sleep(NAME, "1 second")', 'step.wait_for_event(NAME, "go")']
)
@story
async def test_a_step_name_that_cannot_be_used_is_fatal(name, call):
    error = await failure(f"await {call}".replace("NAME", name))
    assert error["message"].startswith("Step name ")
    assert error["message"].endswith("exceeds max length (256 chars) or invalid characters found")
    assert error["fatal"] is True


@story
async def test_a_name_of_256_characters_of_any_script_is_fine():
    assert await outcome('return await step.do("é" * 255 + "語", lambda ctx: len(ctx.step.name))') == 256


DIAMOND = """
def later(name, *needs):
    LEDGER.note(name)
    return name + "(" + ",".join(needs) + ")"
@step.do("source")
async def source():
    await asyncio.sleep(1)
    return later("source")
@step.do("left", concurrent=True)
async def left(source):
    await asyncio.sleep(2)
    return later("left", source)
@step.do("right", concurrent=True)
async def right(source):
    await asyncio.sleep(2)
    return later("right", source)
@step.do("joined", concurrent=True)
async def joined(left, right, ctx):
    return later("joined", left, right, ctx.step.name)
"""


@story
async def test_30_a_dependency_diamond_with_concurrent_runs_the_shared_dependency_once():
    async with playing(DIAMOND + "return await joined()") as (_tester, run):
        assert await run.result() == "joined(left(source()),right(source()),joined)"
        assert await times(run, ev.WORKFLOW_COMPLETED) == [3_000]  # left and right at the same time
    assert sorted(LEDGER.take()) == ["joined", "left", "right", "source"]


@story
async def test_30_without_concurrent_dependencies_run_in_parameter_order():
    async with playing(DIAMOND.replace(", concurrent=True", "") + "return await joined()") as (_tester, run):
        assert await run.result() == "joined(left(source()),right(source()),joined)"
        assert await started(run) == ["source-1", "left-1", "right-1", "joined-1"]
        assert await times(run, ev.WORKFLOW_COMPLETED) == [5_000]


@story
async def test_30_legacy_depends_are_passed_by_position():
    body = """
    @step.do("one")
    async def one():
        return 1
    @step.do("two")
    async def two():
        return 2
    @step.do("sum", depends=[one, two])
    async def total(first, second):
        return first * 10 + second
    return await total()
    """
    assert await outcome(body) == 12


@story
async def test_30_a_parameter_that_is_no_step_is_an_error_that_names_it():
    body = """
    @step.do("a")
    async def a(nobody):
        LEDGER.note("ran")
    await a()
    """
    error = await failure(body)
    assert (error["name"], error["message"]) == ("TypeError", "Received unexpected parameter nobody")
    assert LEDGER.take() == []


@story
async def test_30_a_failed_dependency_fails_its_dependents_and_runs_again_when_it_is_called():
    body = """
    @step.do("a", config={"retries": {"limit": 0, "delay": 1}})
    async def a():
        LEDGER.note("a")
        raise LookupError("gone")
    @step.do("b")
    async def b(a):
        LEDGER.note("b")
    try:
        await b()
    except LookupError as error:
        said = str(error)
    try:
        await a()
    except LookupError as error:
        return [said, str(error)]
    """
    assert await outcome(body) == ["gone", "gone"]
    assert LEDGER.take() == ["a", "a"]
