"""Large bytes that steps return: beside the journal, there again in every replay, and gone when nothing needs them."""

import base64
from typing import Any

import pytest
from semantics_support import LEDGER, isolated, playing, story, workflow

from playground.testing import Run, WorkflowTester
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.events import StepKey
from playground.workflows.step_bytes import PART_BYTES, STORED_BYTES, stand_in, stored_size

SIZE = 3 * 300_000  # two parts
MAKES = f"""
async def make():
    LEDGER.note("made")
    return bytearray(b"abc" * {SIZE // 3})
def is_whole(data):
    return type(data) is bytes and data == b"abc" * {SIZE // 3}
"""
WAITS = 'await step.wait_for_event("go", "go", timeout="1 day")\n'


async def parts(tester: WorkflowTester, run: Run, name: str) -> list[int]:
    """The sizes of a step's parts."""
    key, sizes = (await run.row()).key, []
    while (part := await tester.store.step_bytes.part(key, StepKey(ev.DO, name, 1), len(sizes))) is not None:
        sizes.append(len(part))
    return sizes


@story
async def test_large_bytes_are_there_again_in_a_replay_and_the_journal_says_what_stands_for_them():
    body = f"""
    first, other = await asyncio.gather(step.do("large", make), step.do("other", lambda: b"z" * {SIZE}))
    LEDGER.note([is_whole(first), other == b"z" * {SIZE}])
    {WAITS}
    return [is_whole(first), len(other)]
    """
    async with playing(MAKES + body.replace("\n    ", "\n")) as (tester, run):
        await run.wait_for_step("go", kind=ev.WAIT)
        assert await parts(tester, run, "large") == [PART_BYTES, SIZE - PART_BYTES]
        shown = (await run.step("large")).output
        assert shown[STORED_BYTES]["size"] == SIZE and len(shown[STORED_BYTES]["sha256"]) == 64
        assert 2 * SIZE < (await run.row()).stored_bytes < 2 * SIZE + 2_000
        await tester.restart_server()
        await run.send_event("go")
        assert await run.result() == [True, SIZE]
    assert LEDGER.take() == ["made", [True, True], [True, True]]


@story
async def test_other_code_under_a_run_is_tried_with_the_bytes_of_its_steps():
    body = 'data = await step.do("large", make)\n' + WAITS + "return is_whole(data)"
    async with playing(MAKES + body) as (_, run):
        await run.wait_for_step("go", kind=ev.WAIT)
        await run.change_code(workflow(MAKES + body.replace("return ", "return 'now', ")))
        await run.send_event("go")
        assert await run.result() == ["now", True]


@story
async def test_a_replay_that_fetches_bytes_goes_the_way_of_the_first_execution():
    body = """
    order = []
    async def one():
        await step.do("large", make)
        order.append("large")
        await asyncio.sleep(0.01)
        order.append("after large")
    async def two():
        for number in range(5):
            await step.do("small", lambda: number)
            order.append(number)
            await asyncio.sleep(0.005)
    await asyncio.gather(one(), two())
    LEDGER.note(list(order))
    """
    async with playing(MAKES + body.replace("\n    ", "\n") + WAITS + "return order") as (tester, run):
        for _ in range(2):
            await run.wait_for_step("go", kind=ev.WAIT)
            await tester.restart_server()
        await run.send_event("go")
        order = await run.result()
    ledger = LEDGER.take()
    assert ledger[0] == "made" and len(ledger) >= 3 and all(it == order for it in ledger[1:])


@story
async def test_a_rollback_handler_gets_the_bytes_and_nested_steps_return_them():
    body = """
    async def outer():
        inner = await step.do("inner", make)
        return is_whole(inner)
    def undo(info):
        LEDGER.note(is_whole(info.output))
    assert await step.do("outer", outer)
    await step.do("large", make, rollback=undo)
    """
    fails = 'raise NonRetryableError("no")'
    async with playing(MAKES + body.replace("\n    ", "\n") + WAITS + fails) as (tester, run):
        await run.wait_for_step("go", kind=ev.WAIT)
        await tester.restart_server()
        await run.send_event("go")
        await run.wait_for_status(ev.ERRORED)
    assert LEDGER.take() == ["made", "made", True]


@story
async def test_a_restart_and_a_deletion_drop_what_nothing_needs_and_a_fork_has_its_own():
    body = 'await step.do("small", lambda: 1)\nawait step.do("large", make)\n' + WAITS + 'await step.do("late", make)'
    async with playing(MAKES + body) as (tester, run):
        await run.wait_for_step("go", kind=ev.WAIT)
        await run.send_event("go")
        await run.result()
        assert await parts(tester, run, "large") and await parts(tester, run, "late")
        await run.restart(from_step="go", kind=ev.WAIT)
        await run.wait_for_step("go", kind=ev.WAIT)
        assert await parts(tester, run, "large") and not await parts(tester, run, "late")
        assert SIZE < (await run.row()).stored_bytes < 2 * SIZE
        key = (await run.row()).key
        await run.terminate()
        await run.delete()
        assert await tester.store.step_bytes.part(key, StepKey(ev.DO, "large", 1), 0) is None


def test_what_stands_for_bytes_is_always_small_enough_to_be_seen():
    longest = values.dumps(stand_in(2**40, "f" * 64))
    assert len(longest) < values.RAW_JSON_BYTES, "else it would pass as text that nobody reads"
    assert stored_size(stand_in(2**40, "f" * 64)) == 2**40
    forged = [{"size": size} for size in (0, -1, 2**40 + 1, True, 1.5, "9", None)]
    for inner in (*forged, {}, [], 5, None):
        assert stored_size({STORED_BYTES: inner}) is None
    assert stored_size({STORED_BYTES: {"size": 5}, "more": 1}) is None


# What a hostile worker sends by its socket, in the callback of a step named "large".
SENDS = """
import json, os
async def callback():
    for frame in %r:
        data = json.dumps({"step": ["do", "large", 1], **frame}).encode()
        os.write(3, len(data).to_bytes(4, "big") + data)
    await asyncio.sleep(60)
await step.do("large", callback)
"""
# The same with the worker's own calls, which are answered.
PUTS = """
async def callback():
    said = []
    for number, size in event.payload:
        try:
            await step._step_bytes._call("$step_bytes", "put", (number, b"A" * size), {})
        except Exception as refused:
            said.append(str(refused))
        else:
            said.append("")
    LEDGER.note(said)
    await asyncio.sleep(60)
await step.do("large", callback)
"""
OUT_OF_TURN, ONE_SIZE = "A part is out of turn.", f"Each part but the last has {PART_BYTES:,} bytes."
TOO_MANY = 'The result of step "large" is more than 600,000 bytes, which is the limit.'


def part(number: int, size: int) -> dict[str, Any]:
    data = {"$bytes": base64.b64encode(b"A" * size).decode()}
    return {"op": "call", "call": 1_000 + number, "binding": "$step_bytes", "method": "put", "args": [number, data]}


def done(size: int) -> dict[str, Any]:
    return {"op": "done", "attempt": 1, "value": {STORED_BYTES: {"size": size, "sha256": "0" * 64}}}


@story
async def test_a_result_that_stands_for_bytes_which_were_not_sent_ends_the_run():
    for sent in ([done(5)], [part(0, 5), done(5)]):
        async with isolated(SENDS % sent) as (_, run):
            await run.wait_for_status(ev.ERRORED)
            assert "a result stands for bytes that were not sent" in (await run.state()).error["message"]


@pytest.mark.parametrize(
    ("puts", "answers"),
    [
        ([(1, 5)], [OUT_OF_TURN]),
        ([(0, 5), (1, 5)], ["", ONE_SIZE]),
        ([(0, PART_BYTES), (2, 5)], ["", OUT_OF_TURN]),
        ([(0, PART_BYTES + 1), (0, 0), (-1, 5), ("0", 5)], [ONE_SIZE, ONE_SIZE, OUT_OF_TURN, OUT_OF_TURN]),
        ([(0, PART_BYTES), (1, 600_001 - PART_BYTES), (1, 600_000 - PART_BYTES)], ["", TOO_MANY, ""]),
        ([(0, PART_BYTES), (0, 7)], ["", ""]),
    ],
)
@story
async def test_only_parts_in_turn_are_kept(puts, answers):
    async with playing(PUTS, puts, step_bytes_limit=600_000) as (tester, run):
        await tester.settle()
        assert LEDGER.take() == [answers]
        kept = [size for (_, size), said in zip(puts, answers, strict=True) if not said]
        assert await parts(tester, run, "large") == (kept[-1:] if puts[-1] == (0, 7) else kept)
        await run.terminate()


@story
async def test_what_an_attempt_had_sent_is_dropped_by_the_next_and_counts_no_more():
    body = """
    async def callback(ctx):
        for number in range(2):
            await step._step_bytes._call("$step_bytes", "put", (number, b"A" * 524_288), {})
        if ctx.attempt < 4:
            raise ValueError("once more")
        return b"B" * 900_000
    await step.do("small in the end", lambda ctx: callback(ctx) if ctx.attempt == 1 else 1)
    await step.do("large", callback)
    await step.sleep("nap", "1 day")
    await step.do("another", make)
    """
    async with playing(MAKES + body.replace("\n    ", "\n"), instance_bytes=4_000_000) as (tester, run):
        await run.result()
        assert await parts(tester, run, "large") == [PART_BYTES, 900_000 - PART_BYTES]
        assert await parts(tester, run, "small in the end") == [], "cleared by the first part of the next execution"
        assert 2 * SIZE < (await run.row()).stored_bytes < 2 * SIZE + 2_000
