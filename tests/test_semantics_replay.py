"""Section 9 of semantics.md, behaviours 35 to 43: replay goes the way that the first execution went. Each test names
the number of its behaviour.

The inputs of the field (tests/cases) and the property test of replay try the same in many more shapes.
"""

import pytest
from semantics_support import LEDGER, outcome, playing, started, story

from playground.workflows import events as ev

ONCE = '{"retries": {"limit": 0, "delay": 0}}'
WAYS = pytest.mark.parametrize("grace", [10_000_000, 0], ids=["one execution", "replayed after every wait"])


@story
async def test_35_the_event_that_a_cancelled_wait_was_given_and_never_saw_goes_to_the_next_wait():
    body = """
    seen = []
    for number in (1, 2):
        waits = [asyncio.create_task(step.wait_for_event(f"{kind} {number}", kind)) for kind in ("yes", "no")]
        done, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        seen.append([task.result()["type"] for task in done])
    return seen
    """
    async with playing(body, skip=False, idle_grace_ms=0) as (tester, run):
        await tester.settle()
        await run.send_event("yes")
        await run.send_event("no")
        assert await run.result() == [["yes"], ["no"]]
        returned = [
            event.data["returned"]
            for event in await run.journal()
            if event.type == ev.WAIT_CANCELLED and "returned" in event.data
        ]
        received = [event.seq for event in await run.journal() if event.type == ev.EVENT_RECEIVED]
        assert returned in (
            [received[1]],
            [],
        )  # whether the first round's wait had been given it is a matter of moments


@story
async def test_35_an_event_that_goes_back_keeps_its_place_before_later_ones():
    body = """
    async def race(number):
        wait = asyncio.create_task(step.wait_for_event(f"wait {number}", "go", timeout="1 hour"))
        nap = asyncio.create_task(step.sleep(f"nap {number}", "1 minute"))
        await asyncio.wait([wait, nap], return_when=asyncio.FIRST_COMPLETED)
        for task in (wait, nap):
            task.cancel()
        return None if wait.cancelled() or not wait.done() else wait.result()["payload"]
    seen = [await race(1)]
    await step.sleep("until both are there", "10 minutes")
    return seen + [(await step.wait_for_event("later", "go"))["payload"] for _ in range(2)]
    """
    async with playing(body, skip=False) as (tester, run):
        await tester.advance("2 minutes")
        for payload in ("one", "two"):
            await run.send_event("go", payload)
        await tester.advance("20 minutes")
        assert await run.result() == [None, "one", "two"]
        journal = [event.type for event in await run.journal()]
        assert journal.count(ev.WAIT_CANCELLED) == 1 and journal.count(ev.SLEEP_CANCELLED) == 0


@story
async def test_35_what_is_still_open_when_the_run_ends_is_shown_as_cancelled_and_opens_again_with_a_restart():
    body = """
    asyncio.create_task(step.wait_for_event("never", "never", timeout="1 day"))
    asyncio.create_task(step.sleep("long", "1 day"))
    await step.do("one", lambda: 1)
    await step.do("two", lambda: 2)
    return "done"
    """
    async with playing(body) as (_, run):
        await run.result()
        state = await run.state()
        assert {str(key): step.status for key, step in state.steps.items() if key.kind != "do"} == {
            "never-1": "cancelled",
            "long-1": "cancelled",
        }
        await run.restart("two")
        assert {step.status for step in (await run.state()).steps.values() if step.key.kind != "do"} == {
            "waiting",
            "sleeping",
        }
        assert await run.result() == "done"


ERRORS = """
class Declined(ValueError):
    def __init__(self, code, hint):
        super().__init__(f"declined with {code}")
        self.code, self.hint = code, hint
class Slotted(Exception):
    __slots__ = ("place",)
def fail():
    error = KIND
    error.add_note("order 17")
    raise error from LookupError("no such card")
try:
    await step.do("fail", fail, config=ONCE)
    caught = None
except BaseException as error:
    caught = error
def shown(error):
    return [type(error).__qualname__, type(error).__module__, str(error), repr(error.args),
    repr(sorted(vars(error).items())), error.__notes__,
            type(error.__cause__).__name__, str(error.__cause__), [frame.name for frame in
            traceback.extract_tb(error.__traceback__)],
            [getattr(error, name, "none") for name in ("errno", "filename", "code", "place", "name", "start")]]
LEDGER.note(shown(caught))
await step.sleep("a while", "1 day")
return None
"""


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("Declined(51, 'try another')", ["TenantWorkflow.run.<locals>.Declined", "workflow", "declined with 51"]),
        (
            "FileNotFoundError(2, 'No such file', '/x')",
            ["FileNotFoundError", "builtins", "[Errno 2] No such file: '/x'"],
        ),
        (
            "json.JSONDecodeError('odd', 'text', 2)",
            ["JSONDecodeError", "json.decoder", "odd: line 1 column 3 (char 2)"],
        ),
        ("SystemExit(3)", ["SystemExit", "builtins", "3"]),
        ("asyncio.CancelledError('stopped')", ["CancelledError", "asyncio.exceptions", "stopped"]),
        (
            "UnicodeDecodeError('utf-8', b'\\xff', 0, 1, 'bad')",
            ["UnicodeDecodeError", "builtins", "'utf-8' codec can't decode byte 0xff in position 0: bad"],
        ),
    ],
)
@story
async def test_36_the_error_that_code_catches_is_equal_before_and_after_replay(kind, told):
    source = ERRORS.replace("KIND", kind).replace("ONCE", ONCE)
    async with playing("import json, traceback\n" + source, idle_grace_ms=0) as (_, run):
        await run.result()
    first, again = LEDGER.take()
    assert first[:3] == told
    assert first == again
    assert first[5:8] == [["order 17"], "LookupError", "no such card"]
    assert "fail" in first[8], "the traceback leads into the step"


@story
async def test_36_an_error_whose_class_the_code_no_longer_has_is_still_what_it_derived_from():
    body = f"""
    if not LEDGER._notes:
        class Gone(KeyError):
            pass
        LEDGER.note("made")
    try:
        await step.do("fail", lambda: (_ for _ in ()).throw(Gone("x")), config={ONCE})
    except LookupError as error:
        caught = type(error).__name__
    await step.sleep("a while", "1 day")
    return caught
    """
    assert await outcome(body, idle_grace_ms=0) == "Gone"
    LEDGER.take()


@story
async def test_37_branches_that_decorate_the_same_names_get_their_own_results():
    body = """
    async def branch(number):
        @step.do
        async def load():
            return number
        @step.do()
        async def save(load):
            return load * 10
        return await save()
    return await asyncio.gather(*(branch(number) for number in (1, 2, 3)))
    """
    assert await outcome(body) == [10, 20, 30]


@WAYS
@story
async def test_39_timers_outside_of_steps_fire_in_the_order_in_which_they_did(grace):
    body = """
    seen = []
    async def ticks():
        for number in range(4):
            await asyncio.sleep(0.4)
            seen.append(f"tick {number}")
            if number == 2:
                await step.do("after tick", lambda: None)
    async def works():
        for number, seconds in enumerate((0.5, 0.1, 0.7)):
            await step.do("work", lambda: asyncio.sleep(seconds))
            seen.append(f"work {number}")
    await asyncio.gather(ticks(), works())
    LEDGER.note(list(seen))
    await step.sleep("a while", "1 day")
    LEDGER.note(list(seen))
    return seen
    """
    expected = ["tick 0", "work 0", "work 1", "tick 1", "tick 2", "work 2", "tick 3"]
    assert await outcome(body, idle_grace_ms=grace) == expected
    assert all(seen == expected for seen in LEDGER.take())


@WAYS
@story
async def test_39_code_that_never_rests_gets_its_results_all_the_same(grace):
    body = """
    task = asyncio.create_task(step.do("one", lambda: 1))
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    await step.sleep("a while", "1 day")
    return [task.result(), turns > 100]
    """
    assert await outcome(body, idle_grace_ms=grace) == [1, True]


@story
async def test_39_replay_takes_no_time_for_timers_outside_of_steps_and_then_goes_on_at_its_own_pace():
    body = """
    for _ in range(3):
        await asyncio.sleep(3600)
        await step.do("hourly", lambda: None)
    await step.sleep("a while", "1 day")
    await asyncio.sleep(60)
    return asyncio.get_running_loop().time()
    """
    async with playing(body, idle_grace_ms=0) as (tester, run):
        begun = tester.now()
        seconds = await run.result()
        assert tester.now() - begun == (3 * 3600 + 86_400 + 60) * 1000
        assert seconds == pytest.approx(3 * 3600 + 60, abs=0.01)  # it stands still while there is no worker


@WAYS
@story
async def test_39_a_set_of_tasks_and_as_completed_have_the_same_order_in_every_execution(grace):
    body = """
    async def one(number):
        return await step.do("one", lambda: number)
    order = [await each for each in asyncio.as_completed([one(number) for number in range(20)])]
    done, _ = await asyncio.wait([asyncio.create_task(one(number)) for number in range(20)])
    tasks = [task.result() for task in done]
    LEDGER.note([order, tasks])
    await step.sleep("a while", "1 day")
    return [order, tasks]
    """
    result = await outcome(body, idle_grace_ms=grace)
    assert all(seen == result for seen in LEDGER.take())
    assert result[0] == list(range(20))


@story
async def test_40_a_step_inside_a_step_is_counted_in_it_and_shifts_nobody():
    body = """
    async def fetch(what):
        return await step.do("fetch", lambda: LEDGER.note(what) or what)
    async def outer(ctx):
        got = [await fetch("inside"), await fetch("inside again")]
        if ctx["attempt"] == 1:
            raise ValueError("after both")
        return got
    outer_result = await step.do("outer", outer, config={"retries": {"limit": 1, "delay": "1 minute"}})
    after = await fetch("outside")
    await step.sleep("a while", "1 day")
    return [outer_result, after]
    """
    for grace in (10_000_000, 0):
        async with playing(body, idle_grace_ms=grace) as (_, run):
            assert await run.result() == [["inside", "inside again"], "outside"]
            assert await started(run) == ["outer-1", "outer-1/fetch-1", "outer-1/fetch-2", "fetch-1", "a while-1"]
            inner = next(
                event for event in await run.journal() if event.type == ev.STEP_STARTED and event.key.parent is not None
            )
            assert inner.as_json()["step"] == {
                "kind": "do",
                "name": "fetch",
                "count": 1,
                "parent": {"kind": "do", "name": "outer", "count": 1},
            }
        assert LEDGER.take() == ["inside", "inside again", "outside"]


@story
async def test_40_steps_may_lie_eight_deep_and_a_deeper_one_says_so():
    body = """
    async def deeper(level):
        return level if level == LEVELS else await step.do("level", lambda: deeper(level + 1))
    return await deeper(0)
    """
    assert await outcome(body.replace("LEVELS", "8")) == 8
    async with playing(body.replace("LEVELS", "9")) as (_, run):
        await run.wait_for_status(ev.ERRORED)
        assert 'Step "level" would run 9 steps deep' in (await run.state()).error["message"]


@story
async def test_40_nobody_restarts_or_forks_from_a_step_inside_another_one():
    body = """
    await step.do("outer", lambda: step.do("inner", lambda: 1))
    """
    async with playing(body) as (tester, run):
        await run.result()
        inner = next(key for key in (await run.state()).steps if key.parent is not None)
        with pytest.raises(Exception, match='runs inside another one. Restart from "outer-1"'):
            row = await run.row()
            await tester.call(lambda engine: engine.restart(row, inner))


@story
async def test_40_a_sleep_inside_a_step_can_be_woken_by_its_key():
    body = """
    async def outer():
        await step.sleep("nap", "1 day")
        return "slept"
    return await step.do("outer", outer, config={"timeout": "2 days"})
    """
    async with playing(body, skip=False) as (tester, run):
        await tester.settle()
        nap = next(key for key in (await run.state()).steps if key.parent is not None)
        row = await run.row()
        await tester.call(lambda engine: engine.wake(row, nap))
        await tester.settle()
        assert await run.result() == "slept"


@story
async def test_41_a_decorated_step_runs_at_each_call_and_what_depends_on_it_gets_the_last_result():
    body = """
    @step.do("ask")
    async def ask(ctx):
        return ctx["step"]["count"]
    @step.do("report")
    async def report(ask):
        return f"report of {ask}"
    first = await report()
    return [first, await ask(), await ask(), await report()]
    """
    assert await outcome(body) == ["report of 1", 2, 3, "report of 3"]


@story
async def test_a_replay_that_takes_another_way_is_told_in_the_journal():
    body = """
    if not LEDGER._notes:
        LEDGER.note("first")
        await step.do("only the first time", lambda: 1)
    await step.sleep("a while", "1 day")
    return await step.do("new", lambda: 2)
    """
    async with playing(body, idle_grace_ms=0, allow_divergence=True) as (_, run):
        assert await run.result() == 2
        told = [event.data["steps"] for event in await run.journal() if event.type == ev.REPLAY_DIVERGED]
        assert told == [[{"kind": "do", "name": "only the first time", "count": 1}]]
    LEDGER.take()
