"""Section 9 of semantics.md: what values may be, and what is kept secret. Each test names the number of its
behaviour.
"""

import re
from datetime import UTC, datetime, timedelta

import pytest
from semantics_support import LEDGER, attempts, failure, outcome, playing, story, workflow

from playground.testing import WorkflowFailed, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.errors import NotSerialisable, TooLarge

CYCLE = "loop = []\nloop.append(loop)\n"
DEEP = "deep = []\nfor _ in range(150):\n    deep = [deep]\n"


@pytest.mark.parametrize(
    ("before", "value", "said"),
    [
        ("import socket\n", "{'items': [1, 2, 3, socket.socket]}", "$.items[3]: type"),
        ("", "lambda: 1", "$: function"),
        ("", "[object()]", "$[0]: object"),
        ("", "{1: 2}", "$: dict with a key of type int (keys must be str)"),
        ("", "{'a b': {None: 1}}", '$["a b"]: dict with a key of type NoneType'),
        ("", "float('nan')", "$: float nan"),
        ("", "{'x': float('inf')}", "$.x: float inf"),
        ("", "'\\ud800'", "$: str with a lone surrogate"),
        ("", "{'\\ud800': 1}", "$: dict with a key that has a lone surrogate"),
        (CYCLE, "loop", "$[0]: list that contains itself"),
        (DEEP, "deep", "nested more than 100 levels deep"),
        ("", "10 ** 5000", "$: int of more than 4,300 digits (store it as a text, such as hex(number))"),
        ("", "{1, (2, object())}", "object"),
    ],
)
@pytest.mark.parametrize("place", ["result", "output"])
@story
async def test_28_an_unserialisable_value_is_a_fatal_error_that_names_path_and_type(before, value, said, place):
    body = f"{before}await step.do('make', lambda: {value})" if place == "result" else f"{before}return {value}"
    error = await failure(body)
    assert error["name"] == "NotSerialisableError"
    assert said in error["message"]
    assert ('result of step "make"' if place == "result" else "output of the workflow") in error["message"]


@story
async def test_28_it_is_not_tried_again_and_can_be_caught():
    body = """
    try:
        await step.do("make", lambda: LEDGER.note("ran") or object())
    except Exception as error:
        return type(error).__name__
    """
    async with playing(body) as (_, run):
        assert await run.result() == "NotSerialisableError"
        assert len(attempts(await run.step("make"))) == 1
    assert LEDGER.take() == ["ran"]


@pytest.mark.parametrize(("length", "fits"), [(1024 * 1024 - 2, True), (1024 * 1024 - 1, False)])
@pytest.mark.parametrize("place", ["result", "output", "params", "event"])
@story
async def test_28_1_mib_fits_and_1_mib_and_1_byte_does_not(place, length, fits):
    """A string has two quotes when it is stored."""
    body = {
        "result": f"return len(await step.do('make', lambda: 'x' * {length}))",
        "output": f"return 'x' * {length}",
        "params": "return len(event.payload)",
        "event": "return len((await step.wait_for_event('w', 'go')).payload)",
    }[place]
    async with WorkflowTester(workflow(body)) as tester:
        if place == "params" and not fits:
            with pytest.raises(TooLarge, match="params is 1,048,577 bytes"):
                await tester.create("x" * length)
            return
        run = await tester.create("x" * length if place == "params" else None)
        if place == "event":
            if not fits:
                with pytest.raises(TooLarge, match="1,048,577 bytes when stored; the limit is 1,048,576"):
                    await run.send_event("go", "x" * length)
                return
            await run.send_event("go", "x" * length)
        if fits:
            result = await run.result()
            assert result == length or len(result) == length
        else:
            with pytest.raises(WorkflowFailed, match="1,048,577 bytes when stored; the limit is 1,048,576"):
                await run.result()


@pytest.mark.parametrize("params", [object(), {1: 2}, float("nan"), "\ud800"])
@story
async def test_28_params_that_cannot_be_stored_are_refused_and_nothing_is_created(params):
    async with WorkflowTester(workflow("return 1")) as tester:
        with pytest.raises(NotSerialisable, match=r"not serialisable: \$"):
            await tester.create(params)
        assert await tester.store.count() == {}


@story
async def test_28_an_instance_holds_so_much_and_no_more():
    body = """
    for number in range(20):
        await step.do("make", lambda: "x" * 1000)
    """
    async with playing(body, instance_bytes=10_000) as (_, run):
        await run.wait_for_status("errored")
        assert "10,000 bytes" in (await run.state()).error["message"]


EVERYTHING = """
value = {
    "none": None, "true": True, "int": 3, "big": 2 ** 80, "float": 0.1, "text": "é語\\n", "tuple": (1, (2,)),
    "bytes": b"\\x00\\xff", "set": {3, 1, 2}, "frozen": frozenset({"a"}),
    "when": datetime(2026, 1, 31, 10, tzinfo=timezone.utc), "naive": datetime(2026, 1, 31),
    "$tagged": {"$datetime": "no date"}, "empty": {}, "list": [[]],
}
"""
BACK = {
    "none": None,
    "true": True,
    "int": 3,
    "big": 2**80,
    "float": 0.1,
    "text": "é語\n",
    "tuple": [1, [2]],
    "bytes": b"\x00\xff",
    "set": {1, 2, 3},
    "frozen": {"a"},
    "when": datetime(2026, 1, 31, 10, tzinfo=UTC),
    "naive": datetime(2026, 1, 31),
    "$tagged": {"$datetime": "no date"},
    "empty": {},
    "list": [[]],
}


@story
async def test_28_what_can_be_stored_comes_back_the_same_live_and_on_replay():
    body = (
        EVERYTHING
        + """
live = await step.do("make", lambda: value)
await step.sleep("long", "1 day")
LEDGER.note(live)
return live
"""
    )
    assert await outcome(body) == BACK
    assert LEDGER.take() == [BACK]


@story
async def test_28_a_live_result_is_a_copy_as_it_will_be_on_replay():
    body = """
    made = [1, (2, 3)]
    live = await step.do("make", lambda: made)
    made.append("changed")
    live[0] = "changed"
    return [live, made]
    """
    assert await outcome(body) == [["changed", [2, 3]], [1, [2, 3], "changed"]]


@story
async def test_28_payloads_and_params_come_as_they_were_given():
    async with playing("return [event.payload, (await step.wait_for_event('w', 'go')).payload]", BACK) as (_, run):
        await run.send_event("go", BACK)
        assert await run.result() == [BACK, BACK]


SENSITIVE = """
@step.do("secret", config={"sensitive": "output", "retries": {"limit": 1, "delay": 10}})
async def secret(ctx):
    if ctx.attempt == 1 and event.payload == "fails":
        raise ValueError("the password is hunter2")
    return {"password": "hunter2"}
value = await secret()
await step.sleep("long", "1 day")
return [type(value) is dict, len(value["password"])]
"""


@story
async def test_29_a_sensitive_output_serves_the_workflow_and_is_redacted_everywhere_else():
    async with playing(SENSITIVE) as (tester, run):
        assert await run.result() == [True, 7]
        journal, row = await run.journal(), await run.row()
        assert [event.data["output"] for event in journal if event.type == ev.STEP_COMPLETED] == ["[REDACTED]"]
        assert "hunter2" not in repr([event.data for event in journal]) + repr(row)
        assert (await run.step("secret")).output == "[REDACTED]"
        stored = await tester.store.events_json(run.key, after=0, limit=1000)
        assert b"hunter2" not in b"".join(text for _, _, text in stored)
        assert (await run.step("secret")).config["sensitive"] == "output"


@story
async def test_29_errors_are_not_redacted():
    async with playing(SENSITIVE, "fails") as (_, run):
        await run.result()
        assert attempts(await run.step("secret")) == [(1, "the password is hunter2"), (2, None)]


@story
async def test_29_a_sensitive_none_stays_none_for_the_workflow():
    body = """
    first = await step.do("a", lambda: None, config={"sensitive": "output"})
    await step.sleep("long", "1 day")
    return [first]
    """
    async with playing(body) as (_, run):
        assert await run.result() == [None]
        assert (await run.step("a")).output == "[REDACTED]"


@pytest.mark.parametrize("when", ["timedelta(hours=1)", "timedelta(hours=1, microseconds=700)"])
@story
async def test_sleep_until_on_replay_does_not_move_and_a_past_time_returns_at_once_then(when):
    """Ours: Cloudflare computes the time anew in every execution."""
    body = f"""
    await step.sleep_until("nap", event.timestamp + {when})
    await step.sleep("long", "1 day")
    return await step.do("after", lambda: "done")
    """
    async with playing(body) as (tester, run):
        assert await run.result() == "done"
        began = [event for event in await run.journal() if event.type == ev.SLEEP_STARTED]
        assert began[0].data["until"] - tester.clock.start == timedelta(hours=1) / timedelta(milliseconds=1) + (
            "micro" in when
        )


@pytest.mark.parametrize("when", ["event.timestamp - timedelta(seconds=1)", "0", "datetime(2020, 1, 1)"])
@story
async def test_sleep_until_a_past_time_is_an_error_the_first_time(when):
    error = await failure(f'await step.sleep_until("nap", {when})')
    assert error["message"] == "You can't sleep until a time in the past"


@pytest.mark.parametrize(
    "call",
    [
        'step.sleep("nap", "366 days")',
        'step.sleep_until("nap", event.timestamp + timedelta(days=366))',
        'step.sleep("nap", 10**30)',
    ],
)
@story
async def test_a_sleep_of_more_than_365_days_is_refused(call):
    assert "365 days" in (await failure(f"await {call}"))["message"]


LONG_INTS = {
    "a result": "return await step.do('x', lambda: [10**5000])",
    "an output": "return 10**5000",
    "a sleep": "await step.sleep('x', 10**5000)",
    "a time": "await step.sleep_until('x', 10**5000)",
    "a timeout": "await step.wait_for_event('x', 'y', timeout=10**5000)",
    "a config": "await step.do('x', lambda: 1, config={'timeout': 10**5000})",
    "a key of a config": "await step.do('x', lambda: 1, config={10**5000: 1})",
    "a name": "await step.do(10**5000, lambda: 1)",
    "a type of event": "await step.wait_for_event('x', 10**5000)",
}


@pytest.mark.parametrize("place", LONG_INTS)
@story
async def test_an_int_that_python_does_not_write_is_refused_in_our_own_words(place):
    error = await failure(LONG_INTS[place])
    assert "set_int_max_str_digits" not in error["message"]
    ours = ("NotSerialisableError", "InvalidDuration", "TypeError", "StepConfigError", "WorkflowFatalError")
    assert error["name"] in ours


@story
async def test_params_with_such_an_int_are_refused_with_its_place():
    async with WorkflowTester(workflow("return 1")) as tester:
        said = re.escape("$.orders[1]: int of more than 4,300 digits (store it as a text")
        with pytest.raises(NotSerialisable, match=said):
            await tester.create({"orders": [1, 10**5000]})
        run = await tester.create(10**4300 - 1)
        assert await run.result() == 1
