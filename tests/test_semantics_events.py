"""Section 9 of semantics.md, behaviour 22: events and the waits that take them."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from semantics_support import failure, isolated, outcome, playing, started, story, times, turns, turns_until

from playground.testing import WorkflowTester
from playground.testing.server import ALONE
from playground.workflows import events as ev
from playground.workflows.errors import (
    EventNotAnswered,
    EventRejected,
    InstanceInFiniteState,
    InstanceNotFound,
    InvalidEventType,
    NotSerialisable,
    PayloadMismatch,
    TooLarge,
    WaitOver,
)

NAP_THEN_WAIT = """
await step.sleep("nap", "1 hour")
received = await step.wait_for_event("approval", "approved")
return [received.payload, received["type"], received.timestamp]
"""


@story
async def test_22_an_event_before_the_wait_is_kept_for_it():
    async with playing(NAP_THEN_WAIT, skip=False) as (tester, run):
        await run.wait_for_step("nap", status="sleeping")
        await tester.advance("10 minutes")
        await run.send_event("approved", {"by": "ada"})
        await tester.advance("1 hour")
        payload, type, timestamp = await run.result()
    assert (payload, type) == ({"by": "ada"}, "approved")
    assert timestamp.timestamp() * 1000 == tester.clock.start + 600_000


@story
async def test_22_an_event_sent_right_after_creation_is_kept_too():
    async with playing('return (await step.wait_for_event("w", "go")).payload') as (_, run):
        await run.send_event("go", 7)
        assert await run.result() == 7


@story
async def test_22_two_events_and_two_waits_are_first_in_first_out():
    body = """
    first = await step.wait_for_event("w", "go")
    second = await step.wait_for_event("w", "go")
    return [first.payload, second.payload]
    """
    async with playing(body) as (_, run):
        await run.send_event("go", "one")
        await run.send_event("go", "two")
        assert await run.result() == ["one", "two"]


PARALLEL = """
a, b, c = await asyncio.gather(*(step.wait_for_event(name, "go") for name in "abc"))
return [a.payload, b.payload, c.payload]
"""


@story
async def test_22_parallel_waits_fill_in_call_order():
    async with playing(PARALLEL, skip=False) as (_tester, run):
        await run.wait_for_step("c", status="waiting")
        for number in (1, 2, 3):
            await run.send_event("go", number)
        assert await run.result() == [1, 2, 3]


@story
async def test_22_parallel_waits_fill_in_call_order_from_kept_events_too():
    async with playing('await step.sleep("nap", "1 minute")\n' + PARALLEL) as (_, run):
        for number in (1, 2, 3):
            await run.send_event("go", number)
        assert await run.result() == [1, 2, 3]


@story
async def test_22_another_type_is_kept_for_its_own_wait():
    body = """
    first = await step.wait_for_event("first", "red")
    second = await step.wait_for_event("second", "blue")
    return [first.payload, second.payload]
    """
    async with playing(body, skip=False) as (_, run):
        await run.wait_for_step("first", status="waiting")
        await run.send_event("blue", "b")
        assert (await run.state()).steps.keys() == {(await run.step("first", kind="wait")).key}
        await run.send_event("red", "r")
        assert await run.result() == ["r", "b"]


TIMED_OUT = """
try:
    await step.wait_for_event("early", "go", timeout="1 minute")
except WorkflowTimeoutError as error:
    said = str(error)
late = await step.wait_for_event("late", "go", timeout="1 hour")
return [said, late.payload]
"""


@story
async def test_22_a_timed_out_wait_takes_no_event():
    async with playing(TIMED_OUT, skip=False) as (tester, run):
        await tester.advance("2 minutes")
        await run.send_event("go", "for the second")
        assert await run.result() == ["Execution timed out after 60000ms", "for the second"]
        assert await times(run, ev.WAIT_TIMED_OUT) == [60_000]


@pytest.mark.parametrize("when", ["59 seconds", "1 minute", "61 seconds"])
@story
async def test_22_an_event_around_the_timeout_is_taken_once_by_one_of_the_two(when):
    """Ours: Cloudflare loses the event that comes after a wait has timed out."""
    async with playing(
        TIMED_OUT.replace("said = str(error)", "said = 'out'").replace("try:", "said = None\ntry:"), skip=False
    ) as (tester, run):
        await tester.advance(when)
        await run.send_event("go", "one")
        await tester.settle()
        await run.send_event("go", "two") if when == "59 seconds" else None
        said, payload = await run.result()
    assert (said, payload) == ((None, "two") if when == "59 seconds" else ("out", "one"))


@story
async def test_22_a_wait_that_timed_out_while_it_hibernated_without_a_server_leaves_the_event_to_the_next():
    """Given an overdue wait that nobody has closed yet, expect an event to pass it by."""
    async with playing(TIMED_OUT, skip=False, idle_grace_ms=0) as (tester, run):
        await tester.settle()
        await tester.restart_server(down="2 minutes")
        await run.send_event("go", "kept")
        assert await run.result() == ["Execution timed out after 60000ms", "kept"]


@story
async def test_22_an_event_wakes_a_hibernated_instance():
    async with playing('return (await step.wait_for_event("w", "go")).payload', skip=False) as (tester, run):
        await tester.advance("1 minute")
        assert (await run.state()).executions[0].reason == "hibernated"
        assert not tester.engine.executions()
        await run.send_event("go", "awake")
        assert await run.result() == "awake"
        assert len((await run.state()).executions) == 2
        assert (await started(run)) == ["w-1"]


@story
async def test_22_an_event_wakes_a_hibernated_instance_of_a_real_process():
    async with isolated('return (await step.wait_for_event("w", "go")).payload', skip=False) as (tester, run):
        await tester.advance("1 minute")
        assert not tester.engine.executions()
        await run.send_event("go", "awake")
        assert await run.result() == "awake"


@story
async def test_22_a_timeout_is_raised_again_on_replay():
    body = """
    said = []
    try:
        await step.wait_for_event("w", "go", timeout="1 minute")
    except WorkflowTimeoutError as error:
        said.append(str(error))
    await step.sleep("long", "1 day")
    return said
    """
    async with playing(body) as (_, run):
        assert await run.result() == ["Execution timed out after 60000ms"]
        assert [execution.replayed for execution in (await run.state()).executions] == [0, 0, 1]


@story
async def test_22_a_wait_takes_24_hours_at_most_unless_said_otherwise():
    async with playing('await step.wait_for_event("w", "go")') as (_, run):
        await run.wait_for_status("errored")
        assert await times(run, ev.WAIT_TIMED_OUT) == [86_400_000]
        assert (await run.state()).error["name"] == "WorkflowTimeoutError"


@pytest.mark.parametrize("timeout", ["'999 days'", "10", "'0 seconds'", "'soon'", "None"])
@story
async def test_22_a_timeout_that_cannot_be_used_is_refused(timeout):
    body = f"""
    try:
        await step.wait_for_event("w", "go", timeout={timeout})
    except Exception as error:
        return type(error).__name__
    """
    assert await outcome(body) in ("WorkflowFatalError", "InvalidDuration")


@pytest.mark.parametrize("type", ["with.dot", "", "x" * 101, "-dash", "spa ce"])
@story
async def test_22_an_event_type_that_cannot_be_used_is_refused_on_both_sides(type):
    async with playing(f'await step.wait_for_event("w", {type!r})') as (_, run):
        with pytest.raises(InvalidEventType, match="can't be used"):
            await run.send_event(type)
        await run.wait_for_status("errored")
        assert "The event type" in (await run.state()).error["message"]


@story
async def test_22_sending_to_a_finished_instance_is_refused():
    async with playing("return 1") as (_, run):
        await run.result()
        with pytest.raises(InstanceInFiniteState, match=r"has ended \(complete\)"):
            await run.send_event("go")
        assert await run.types(ev.EVENT_RECEIVED) == []


@story
async def test_22_a_payload_that_cannot_be_stored_is_refused():
    async with playing('await step.wait_for_event("w", "go")', skip=False) as (tester, run):
        with pytest.raises(TooLarge, match="event payload is 1,048,578 bytes"):
            await run.send_event("go", "x" * 1024 * 1024)
        with pytest.raises(NotSerialisable):
            await run.send_event("go", float("nan"))
        with pytest.raises(InstanceNotFound):
            await tester.engine.store.find("", "nobody")
        await run.terminate()
        row = await run.row()
        await run.delete()
        with pytest.raises(InstanceNotFound):
            await tester.engine.send_event(row, "go", 1)


@story
async def test_22_each_event_is_consumed_once_through_crashes():
    """Given a wait, a worker kill, another wait and a server kill, expect every event once and in order."""
    body = """
    got = []
    for number in range(4):
        received = await step.wait_for_event("w", "go")
        got.append(received.payload)
    return got
    """
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("w", count=1, status="waiting")
        await run.send_event("go", 1)
        await run.wait_for_step("w", count=2)
        await run.kill_worker()
        await run.send_event("go", 2)
        await run.send_event("go", 3)
        await tester.restart_server()
        await run.wait_for_step("w", count=3)
        await run.send_event("go", 4)
        assert await run.result() == [1, 2, 3, 4]


TWO_WAITS = """
a, b = await asyncio.gather(step.wait_for_event("a", "a"), step.wait_for_event("b", "b"))
return [a.payload, b.payload]
"""


@story
async def test_22_an_event_that_comes_at_any_moment_of_waking_is_not_lost():
    """Given two waits of a hibernated instance, expect the second event to arrive however soon after the first it is
    sent.
    """
    async with playing(TWO_WAITS, skip=False, idle_grace_ms=0) as (tester, _):
        for after in range(0, 60, 1 if WorkflowTester.nodes == ALONE else 3):
            run = await tester.create()
            await tester.settle()
            assert not tester.engine.executions()
            await run.send_event("a", 1)
            await turns(after)
            await run.send_event("b", 2)
            assert await run.result() == [1, 2], after


@asynccontextmanager
async def woken_without_a_worker():
    """A tester, an instance that its first event has woken, and what gives it its worker once it is set."""
    async with playing(TWO_WAITS, skip=False, idle_grace_ms=0) as (tester, run):
        await tester.settle()
        sandbox, gate = tester.engine.sandbox, asyncio.Event()
        give = sandbox.take_worker

        async def take():
            await gate.wait()
            return await give()

        sandbox.take_worker = take
        await run.send_event("a", 1)
        await turns_until(lambda: tester.engine.executions())
        await turns()
        yield tester, run, gate


@story
async def test_22_an_event_that_comes_while_the_instance_waits_for_a_worker_is_not_lost():
    async with woken_without_a_worker() as (_, run, gate):
        await run.send_event("b", 2)
        gate.set()
        assert await run.result() == [1, 2]


@pytest.mark.parametrize("operation", ["pause", "terminate", "restart", "delete"])
@story
async def test_operations_that_come_while_the_instance_waits_for_a_worker_take_effect(operation):
    """Given a woken instance without its worker yet, expect the operation to win and the code to wait until it may
    run.
    """
    async with woken_without_a_worker() as (tester, run, gate):
        task = asyncio.ensure_future(getattr(run, operation)())
        await turns()
        gate.set()
        await task
        await tester.settle()
        assert not tester.engine.executions()
        if operation == "delete":
            with pytest.raises(InstanceNotFound):
                await run.row()
            return
        state = await run.state()
        assert state.status == {"pause": "paused", "terminate": "terminated", "restart": "waiting"}[operation]
        if operation == "pause":
            await run.resume()
            await run.send_event("b", 2)
            assert await run.result() == [1, 2]


EITHER = """
first = await step.wait_for_event("either", ["approved", "rejected"], timeout="1 hour")
second = await step.wait_for_event("either", ("rejected", "approved", "rejected"), timeout="1 hour")
await step.sleep("so that both are read again", "1 day")
return [[got.type, got.payload] for got in (first, second)]
"""


@story
async def test_a_wait_for_several_types_takes_the_first_of_any_of_them_in_their_order():
    for sent in (("rejected", "approved"), ("approved", "rejected")):
        async with playing(EITHER) as (_, run):
            await run.send_event("other", 0)
            for number, type in enumerate(sent, 1):
                await run.send_event(type, number)
            assert await run.result() == [[type, number] for number, type in enumerate(sent, 1)]
            waits = [event for event in await run.journal() if event.type == ev.WAIT_STARTED]
            assert [event.data["event_type"] for event in waits] == ["approved,rejected", "rejected,approved"]


@story
async def test_of_parallel_waits_the_oldest_that_takes_the_type_gets_the_event():
    body = """
    waits = (["a", "b"], "b", ["b", "c"])
    got = await asyncio.gather(*(step.wait_for_event(f"w{n}", types) for n, types in enumerate(waits)))
    return [each.type + str(each.payload) for each in got]
    """
    async with playing(body, skip=False) as (_, run):
        await run.wait_for_step("w2", status="waiting")
        await run.pause()
        await run.send_event("c", 1)
        await run.send_event("b", 2)
        await run.resume()
        await run.send_event("b", 3)
        assert await run.result() == ["b2", "b3", "c1"]


@pytest.mark.parametrize(
    ("types", "says"),
    [
        ("[]", "a list of 1 to 10, not 0"),
        ("[str(n) for n in range(11)]", "a list of 1 to 10, not 11"),
        ('["fine", "not.fine"]', 'The event type "not.fine" can'),
        ('["a,b"]', 'The event type "a,b" can'),
    ],
)
@story
async def test_types_that_can_not_be_waited_for_end_the_run(types: str, says: str):
    assert says in (await failure(f'await step.wait_for_event("w", {types})'))["message"]


REPLIES = """
while True:
    asked = await step.wait_for_event("question", "ask", timeout="1 day")
    if asked.payload == "end":
        await step.sleep("so that all is read again", "1 day")
        return "ended"
    if asked.payload == "nothing":
        continue
    if asked.payload == "quit":
        return
    if asked.payload < 0:
        asked.reject(f"{asked.payload} is too little")
        asked.reply("a second one does not count")
    else:
        await asked.reply({"doubled": 2 * asked.payload})
"""


@story
async def test_an_event_is_answered_or_refused_once_and_no_replay_does_it_again():
    async with playing(REPLIES) as (tester, run):
        assert await run.send_event("ask", 2, reply=True) == {"doubled": 4}
        with pytest.raises(EventRejected, match=r"^-1 is too little$"):
            await run.send_event("ask", -1, reply=True)
        await tester.restart_server()
        assert await run.send_event("ask", 3, reply=True) == {"doubled": 6}
        await run.send_event("ask", 4)
        await run.send_event("ask", "end")
        assert await run.result() == "ended"
        replied = [event for event in await run.journal() if event.type == ev.EVENT_REPLIED]
        received = {
            event.seq: event.data["payload"] for event in await run.journal() if event.type == ev.EVENT_RECEIVED
        }
        shown = [(received[it.data["received"]], it.data.get("output", it.data.get("error"))) for it in replied]
        assert [payload for payload, _ in shown] == [2, -1, 3, 4]
        assert [value for _, value in shown if "doubled" in value] == [{"doubled": n} for n in (4, 6, 8)]
        steps = (await run.state()).steps
        assert [step.reply["output"] for step in steps.values() if step.reply and "output" in step.reply] == [
            {"doubled": n} for n in (4, 6, 8)
        ]


@story
async def test_who_asks_is_told_that_no_reply_comes():
    async with playing(REPLIES, reply_seconds=1) as (_, run):
        with pytest.raises(
            EventNotAnswered, match=r"not replied within 1 s.* reply_seconds \(PLAYGROUND_REPLY_SECONDS\)"
        ):
            await run.send_event("ask", "nothing", reply=True)
        with pytest.raises(EventNotAnswered, match="has ended, or was restarted"):
            await run.send_event("ask", "quit", reply=True)


ASKED = """
await step.sleep("nap", "1 hour")
answer = await step.wait_for_event("sign", "signed", schema={"type": "boolean"})
after = await step.wait_for_event("sign", "signed", timeout="1 hour")
return [answer.payload, after.payload]
"""


@story
async def test_a_payload_that_does_not_fit_is_refused_where_it_is_sent_and_the_wait_goes_on():
    """One that was kept from before there was a wait stays kept for one that it fits; the schema outlives a crash."""
    async with playing(ASKED, skip=False) as (tester, run):
        await run.wait_for_step("nap", status="sleeping")
        await run.send_event("signed", {"early": 1})
        await tester.advance("1 hour")
        await run.wait_for_step("sign", status="waiting")
        await tester.restart_server()
        for pause in (False, True):
            if pause:
                await run.pause()
            with pytest.raises(PayloadMismatch) as refused:
                await run.send_event("signed", "yes")
            assert refused.value.message == (
                'The payload does not fit what "sign" asks for: $ takes a boolean, not "yes". Nothing was sent; the '
                "wait goes on."
            )
            assert refused.value.details["path"] == "$"
        await run.resume()
        await run.send_event("signed", True)
        assert await run.result() == [True, {"early": 1}]
        started = next(event for event in await run.journal() if event.type == ev.WAIT_STARTED)
        assert started.data["config"] == {"schema": {"type": "boolean"}}


@story
async def test_of_parallel_waits_the_oldest_that_the_payload_fits_gets_the_event():
    body = """
    yes, any = await asyncio.gather(
        step.wait_for_event("yes", "go", schema={"const": True}), step.wait_for_event("any", "go")
    )
    return [yes.payload, any.payload]
    """
    async with playing(body, skip=False) as (_, run):
        await run.wait_for_step("any", status="waiting")
        await run.send_event("go", 1)
        with pytest.raises(PayloadMismatch, match="takes true, not 2"):
            await run.send_event("go", 2)
        await run.send_event("go", True)
        assert await run.result() == [True, 1]


@story
async def test_of_several_answers_to_one_wait_at_once_one_stands():
    async with playing(PARALLEL, skip=False) as (tester, run):
        step = await run.wait_for_step("b", status="waiting")
        row, key = await run.row(), step.key

        async def answer(number: int) -> str:
            try:
                await tester.engine.answer_wait(row, key, step.started_seq, "go", number, by={"how": "link"})
            except WaitOver:
                return "over"
            return "taken"

        answers = await tester.call(lambda engine: asyncio.gather(*map(answer, range(5))))
        assert sorted(answers) == ["over"] * 4 + ["taken"]
        for number in (5, 6):
            await run.send_event("go", number)
        first, taken, last = await run.result()
        assert (first, last) == (5, 6) and taken in range(5), "it went to its wait, not to the oldest one"


@story
async def test_a_schema_that_cannot_be_used_ends_the_run_with_what_to_do():
    shown = await failure('await step.wait_for_event("w", "go", schema={"pattern": "(a+)+$"})')
    assert shown["message"].startswith("The schema of wait \"w\" can't be used: `pattern` can't be used: a regular")
