"""The trusted side against a worker that says anything: each ends its own instance with a reason, and nobody else
notices.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aio import run, story
from puppet_support import CONFIG, Stage, do, done, frame, framed, staged
from sandbox_support import resident

from playground.engine.execution import frame_handlers

MEGABYTE = 1024 * 1024

# What is said after the start, and what stands in the error that ends the instance.
ENDED: dict[str, tuple[list[bytes], str]] = {
    "no JSON": ([framed(b"\xff\x00 not json")], "protocol: a frame is not what the protocol allows"),
    "an empty frame": ([framed(b"")], "protocol: a frame is not what"),
    "JSON that is no object": ([framed(b"[1]")], "protocol: a frame is not what"),
    "an object without op": ([framed(b"{}")], "protocol: a frame is not what"),
    "an unknown op": ([frame(op="shutdown")], "protocol: a frame is not what"),
    "op that is no string": ([frame(op=["finish"])], "protocol: a frame is not what"),
    "cut JSON": ([framed(b'{"op":"finish","output":[1,2')], "protocol: a frame is not what"),
    "two values in one frame": ([framed(b'{"op":"collected"}{"op":"collected"}')], "protocol: a frame is not what"),
    "a header past the limit": (
        [(1536 * 1024 + 1).to_bytes(4, "big")],
        "protocol: a frame has 1,572,865 bytes; the limit is 1,572,864",
    ),
    "the largest header": ([b"\xff\xff\xff\xff"], "protocol: a frame has 4,294,967,295 bytes"),
    "half a million arrays": (
        [framed(b'{"op":"finish","output":' + b"[" * 500_000)],
        "protocol: a frame is nested more than 200 levels deep",
    ),
    "brackets beside strings full of brackets": (
        [framed(b'{"op":"finish","output":' + b'{"]}\\"]":[' * 400 + b"1" + b"]}" * 400 + b"}")],
        "protocol: a frame is nested more than",
    ),
    "a huge integer": ([framed(b'{"op":"finish","output":' + b"9" * 5_000 + b"}")], "protocol: a frame is not what"),
    "a huge integer in a field": (
        [framed(b'{"op":"idle","seen":' + b"9" * 30 + b"}")],
        "protocol: a frame is not what",
    ),
    "a negative attempt": (
        [frame(op="do", step=["do", "s", 1], attempt=-1, config=CONFIG)],
        "protocol: a frame is not what",
    ),
    "a count past any": (
        [frame(op="do", step=["do", "s", 10**9], attempt=1, config=CONFIG)],
        "protocol: a frame is not what",
    ),
    "NaN": ([framed(b'{"op":"finish","output":NaN}')], "protocol: a frame is not what"),
    "infinity": ([framed(b'{"op":"finish","output":[1e999]}')], "protocol: a frame is not what"),
    "a lone surrogate": ([framed(b'{"op":"finish","output":"\\ud800"}')], "protocol: a frame is not what"),
    "bytes that are not UTF-8": ([framed(b'{"op":"finish","output":"\xed\xa0\x80"}')], "protocol: a frame is not what"),
    "a name with control characters": ([do("a\x00b")], "protocol: a frame is not what"),
    "a name that ends in a newline": ([do("name\n")], "protocol: a frame is not what"),
    "an empty name": ([do("")], "protocol: a frame is not what"),
    "a name past its length": ([do("n" * 257)], "protocol: a frame is not what"),
    "a kind of step that is none": (
        [frame(op="do", step=["undo", "s", 1], attempt=1, config=CONFIG)],
        "protocol: a frame is not what",
    ),
    "a config with more in it": (
        [frame(op="do", step=["do", "s", 1], attempt=1, config={**CONFIG, "x": 1})],
        "protocol: a frame is not",
    ),
    "a sleep until past all calendars": (
        [frame(op="sleep", step=["sleep", "s", 1], until=10**20)],
        "protocol: a frame is not what",
    ),
    "a delay past all calendars": (
        [
            do(),
            frame(
                op="fail",
                step=["do", "s", 1],
                attempt=1,
                error={"name": "E", "message": ""},
                retryable=True,
                delay=10**20,
            ),
        ],
        "protocol: a frame is not what",
    ),
    "an error with a million frames": (
        [
            do(),
            frame(
                op="fail",
                step=["do", "s", 1],
                attempt=1,
                retryable=False,
                error={"name": "E", "message": "", "traceback": [{}] * 51},
            ),
        ],
        "protocol: a frame is not what",
    ),
    "an event type with a dot": (
        [frame(op="wait", step=["wait", "w", 1], event_type="a.b", timeout=1000)],
        "protocol: a frame is not what",
    ),
    "the answer of a check": ([frame(op="checked", diagnostics=[], outline=[])], "out of place (Checked)"),
    "the answer of a probe": ([frame(op="probed", results={})], "out of place (Probed)"),
    "an outcome of what never began": ([done("never")], "an outcome for an attempt that never began"),
    "an outcome of a later attempt": (
        [do(), frame(op="done", step=["do", "s", 1], attempt=2)],
        "an outcome for an attempt that never began",
    ),
    "an outcome of a sleep": (
        [
            frame(op="sleep", step=["sleep", "s", 1], duration=60_000),
            frame(op="done", step=["sleep", "s", 1], attempt=1),
        ],
        "an outcome for an attempt that never began",
    ),
    "the same step twice": ([do(), do()], "started a step twice or out of place"),
    "a step that begins with its second attempt": (
        [frame(op="do", step=["do", "s", 1], attempt=2, config=CONFIG)],
        "started a step twice or out of place",
    ),
    "a do that is a wait": (
        [frame(op="do", step=["wait", "s", 1], attempt=1, config=CONFIG)],
        "started a step twice or out of place",
    ),
    "a sleep that is a do": (
        [do(), frame(op="sleep", step=["do", "s", 1], duration=1)],
        "a sleep that is out of place",
    ),
    "a sleep twice": ([frame(op="sleep", step=["sleep", "s", 1], duration=60_000)] * 2, "a sleep that is out of place"),
    "a resumption of what runs": ([do(), frame(op="resume", step=["do", "s", 1])], "resumed a step that does not wait"),
    "handlers collected unasked": ([frame(op="collected")], "handlers collected out of turn"),
    "a missing handler unasked": (
        [frame(op="missing", step=["do", "s", 1], attempt=1)],
        "an outcome for a rollback that never began",
    ),
    "a rollback's outcome unasked": ([do(), done(rollback=True)], "an outcome for a rollback that never began"),
    "waiting said twice": ([do(), frame(op="idle", seen=1), frame(op="idle", seen=1)], "said twice that it waits"),
    "having read the future": ([frame(op="idle", seen=99)], "read what it was not sent"),
    "an output past the limit": (
        [frame(op="finish", output="x" * (MEGABYTE + 10))],
        "output: more than 1,048,576 bytes",
    ),
    "a result past the limit": ([do(), done(value="x" * (MEGABYTE + 10))], "result: more than 1,048,576 bytes"),
}


@pytest.mark.parametrize("case", ENDED)
@story
async def test_a_worker_that_breaks_the_protocol_ends_its_instance_alone(case: str, tmp_path: Path) -> None:
    said, reason = ENDED[case]
    async with staged(tmp_path) as stage:
        row, puppet = await stage.begin()
        await puppet.say(*said)
        state = await stage.end(row)
        assert (state.status, state.error["name"]) == ("errored", "LimitExceeded")
        assert reason in state.error["message"]
        assert puppet.exited.done(), "it is killed"
        assert (await stage.innocent()).output == "fine"
        assert_quiet(stage)


@story
async def test_frames_before_a_broken_one_are_heard(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        row, puppet = await stage.begin()
        await puppet.say(do(), done(value=7), framed(b"broken"))
        state = await stage.end(row)
        (step,) = state.steps.values()
        assert (step.status, step.output) == ("completed", 7)
        assert "protocol" in state.error["message"]


@story
async def test_what_comes_after_the_end_is_not_heard(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        row, puppet = await stage.begin()
        await puppet.say(
            frame(op="finish", output="first"), frame(op="finish", output="second"), framed(b"broken"), do()
        )
        state = await stage.end(row)
        assert (state.status, state.output, len(state.steps)) == ("complete", "first", 0)
        assert_quiet(stage)


@story
async def test_fields_that_name_another_instance_are_not_looked_at(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        victim, its = await stage.begin()
        row, puppet = await stage.begin()
        await puppet.say(frame(op="finish", output="mine", instance=victim.id, key=victim.key, execution=1, tenant=""))
        assert (await stage.end(row)).output == "mine"
        assert (await stage.engine.store.find("", victim.id)).status == "running"
        await its.say(frame(op="finish", output="its own"))
        assert (await stage.end(victim)).output == "its own"


@story
async def test_a_frame_may_come_in_pieces_of_any_size(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        for size in (1, 2, 3, 5, 7):
            row, puppet = await stage.begin()
            data = do() + done(value={"k": ["ñ", size]}) + frame(op="finish", output=size)
            for start in range(0, len(data), size):
                await puppet.say(data[start : start + size])
                await asyncio.sleep(0)
            assert (await stage.end(row)).output == size


@pytest.mark.parametrize(
    ("first", "again"),
    [((1000).to_bytes(4, "big"), b"["), (b"", frame(op="log", stream="stdout", text="still here"))],
    ids=["a frame without end", "talk"],
)
@story
async def test_a_trickle_does_not_keep_a_worker_alive(first: bytes, again: bytes, tmp_path: Path) -> None:
    async with staged(tmp_path, attempt_wall_seconds=1) as stage:
        row, puppet = await stage.begin()
        await puppet.say(first)

        async def trickle() -> None:
            while puppet.alive():
                await puppet.say(again)
                await asyncio.wait((puppet.exited,), timeout=0.01)

        trickling = asyncio.create_task(trickle())
        state = await stage.end(row)
        await trickling
        assert "not answering: nothing was heard of the worker for 1 s" in state.error["message"]


@story
async def test_a_worker_that_reads_nothing_is_ended_before_much_is_kept_for_it(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        before = resident()
        row, puppet = await stage.begin()
        error = {"name": "E", "message": "m", "args": ["x" * 1_000_000]}
        for count in range(1, 60):
            if not puppet.alive():
                break
            failed = frame(op="fail", step=["do", "s", count], attempt=1, error=error, retryable=False)
            await puppet.say(do(count=count), failed)
        state = await stage.end(row)
        assert "the worker does not read what it is sent" in state.error["message"]
        assert resident() - before < 120 * MEGABYTE
        assert (await stage.innocent()).output == "fine"


@pytest.mark.long
@pytest.mark.parametrize(("text", "flood"), [("", 8 << 20), ("x" * 8_000, frame_handlers.LOG_FLOOD_BYTES)])
def test_a_flood_of_lines_is_counted_and_then_ended(
    text: str, flood: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_handlers, "LOG_FLOOD_BYTES", flood)  # of empty lines a million would be a flood

    async def story() -> None:
        async with staged(tmp_path, log_bytes=100_000) as stage:
            before = resident()
            row, puppet = await stage.begin()
            many = frame(op="log", stream="stdout", text=text) * 500
            while puppet.alive():
                await puppet.say(many)
            state = await stage.end(row)
            assert f"output: the worker printed more than {flood:,} bytes past its 100,000" in state.error["message"]
            kept = [
                event for event in await stage.engine.store.events(row.key, after=0, limit=5_000) if event.type == "log"
            ]
            assert len(kept) <= 100_000 // 64
            assert resident() - before < min(60 * MEGABYTE, 4 * flood)
            assert (await stage.innocent()).output == "fine"

    run(story(), deadline=120.0)


def append(value: Any = None, stream: str = "s", attempt: int = 1, name: str = "s") -> bytes:
    return frame(op="append", step=["do", name, 1], attempt=attempt, stream=stream, value=value)


@pytest.mark.long
def test_a_stream_that_never_stops_is_counted_and_then_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with staged(tmp_path, stream_bytes=100_000) as stage:
            before = resident()
            row, puppet = await stage.begin()
            await puppet.say(do())
            many = append("x" * 8_000) * 500
            while puppet.alive():
                await puppet.say(many)
            state = await stage.end(row)
            assert "streams: the worker appended more than 67,108,864 bytes past its 100,000" in state.error["message"]
            assert state.streams["s"].parts.popitem()[1].values == 12
            assert state.last_seq < 100
            assert resident() - before < 60 * MEGABYTE
            assert (await stage.innocent()).output == "fine"

    run(story(), deadline=120.0)


@story
async def test_values_leave_room_in_the_journal_and_in_what_the_instance_may_hold(tmp_path: Path) -> None:
    async with staged(tmp_path, journal_events=1_000, instance_bytes=100_000) as stage:
        row, puppet = await stage.begin()
        await puppet.say(do(), b"".join(append(number, f"s{number % 2}") for number in range(5_000)))
        await puppet.say(done(value="done all the same"), frame(op="finish", output="fine"))
        state = await stage.end(row)
        assert (state.status, state.output) == ("complete", "fine")
        assert state.last_seq < 600
    async with staged(tmp_path, instance_bytes=100_000, stream_bytes=1_000_000) as stage:
        row, puppet = await stage.begin()
        await puppet.say(do(), append("x" * 998) * 200, done(value="y" * 40_000), frame(op="finish", output="fine"))
        state = await stage.end(row)
        assert (state.status, state.output) == ("complete", "fine")
        assert state.streams["s"].parts.popitem()[1].values == 49  # and the params


@story
async def test_values_for_no_open_attempt_are_not_kept(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        row, puppet = await stage.begin()
        await puppet.say(append("early"), do(), append("wrong", attempt=2), append("another", name="t"))
        await puppet.say(append("right"), done(), append("late"), frame(op="finish", output="fine"))
        state = await stage.end(row)
        assert state.output == "fine"
        journal = await stage.engine.store.events(row.key, after=0, limit=100)
        assert [event.data["values"] for event in journal if event.type == "stream_appended"] == [["right"]]


@pytest.mark.parametrize(
    ("limits", "said", "ends"),
    [
        ({"stream_names": 2}, [append(stream=f"s{number}") for number in range(3)], "streams: more than 2 of them"),
        ({"call_bytes": 1_000}, [append("x" * 1_000)], "streams: a value of more than 1,000 bytes"),
        ({}, [append(stream="a/b")], "protocol: a frame is not what the protocol allows"),
        ({}, [append(stream="n" * 101)], "protocol: a frame is not what the protocol allows"),
    ],
)
@story
async def test_a_worker_that_appends_past_its_limits_is_ended(
    tmp_path: Path, limits: dict[str, int], said: list[bytes], ends: str
) -> None:
    async with staged(tmp_path, **limits) as stage:
        row, puppet = await stage.begin()
        await puppet.say(do(), *said)
        assert ends in (await stage.end(row)).error["message"]
        assert (await stage.innocent()).output == "fine"


@story
async def test_values_that_are_large_as_objects_do_not_become_objects(tmp_path: Path) -> None:
    value = b"[" + b"[]," * 340_000 + b"1]"
    async with staged(tmp_path) as stage:
        row, puppet = await stage.begin()
        before = resident()
        for count in range(1, 9):
            body = b'{"op":"done","step":["do","s",%d],"attempt":1,"value":%b}' % (count, value)
            await puppet.say(do(count=count), framed(body))
            assert (await puppet.hear())["op"] == "ok"
        assert resident() - before < 100 * MEGABYTE  # as objects they would take 200
        await puppet.say(frame(op="finish", output=None))
        assert await stage.status(row) == "complete"


@story
async def test_errors_count_towards_what_an_instance_may_hold(tmp_path: Path) -> None:
    config = {**CONFIG, "retries": {"limit": 10_000, "delay": 0, "backoff": "constant"}}
    error = {"name": "E", "message": "m", "args": ["x" * 100_000]}
    async with staged(tmp_path, instance_bytes=1_000_000) as stage:
        row, puppet = await stage.begin()
        await puppet.say(frame(op="do", step=["do", "s", 1], attempt=1, config=config))
        attempt = 1
        while puppet.alive():
            await puppet.say(frame(op="fail", step=["do", "s", 1], attempt=attempt, error=error, retryable=True))
            if await puppet.hear() is None:
                break
            attempt += 1
        assert attempt <= 11
        assert "storage: the instance holds more than 1,000,000 bytes" in (await stage.end(row)).error["message"]


@story
async def test_a_journal_has_an_end(tmp_path: Path) -> None:
    async with staged(tmp_path, journal_events=1_000) as stage:
        row, puppet = await stage.begin()
        count = 0
        while puppet.alive():
            count += 1
            await puppet.say(frame(op="sleep", step=["sleep", "s", count], duration=0))
            if await puppet.hear() is None:
                break
        state = await stage.end(row)
        assert state.last_seq < 1_500
        assert "journal: the limit of 1,000 events has been reached" in state.error["message"]


@story
async def test_lines_leave_room_in_the_journal_for_the_work(tmp_path: Path) -> None:
    async with staged(tmp_path, journal_events=1_000) as stage:
        row, puppet = await stage.begin()
        await puppet.say(frame(op="log", stream="stdout", text="line") * 5_000)
        await puppet.say(do(), done(value="done all the same"), frame(op="finish", output="fine"))
        state = await stage.end(row)
        assert (state.status, state.output) == ("complete", "fine")
        assert state.last_seq < 600
        assert state.log_truncated == 4 * (5_000 - 500 + 1)


@pytest.mark.parametrize("down", [0, 1], ids=["with a worker at once", "after none could be had"])
@story
async def test_a_worker_that_leaves_in_the_middle_of_a_frame_has_crashed(down: int, tmp_path: Path) -> None:
    async with staged(tmp_path, worker_losses=2) as stage:
        row, puppet = await stage.begin()
        stage.puppets.down = down
        for loss in range(2):
            await puppet.say(framed(b'{"op":"finish","output":"whole"}')[:-1])
            puppet.leave()
            if loss == 0:
                puppet = await stage.puppets.next(row.id)
        state = await stage.end(row)
        assert (state.status, state.error["name"]) == ("errored", "WorkerLostRepeatedly")


@story
async def test_a_loud_worker_does_not_keep_a_quiet_one_waiting(tmp_path: Path) -> None:
    """Four say a million things at once; a fifth is heard within a few turns of the loop all the same."""
    async with staged(tmp_path, log_bytes=0) as stage:
        loud = [await stage.begin() for _ in range(4)]
        flood = frame(op="log", stream="stdout", text="") * 20_000

        async def shout(puppet: Any) -> None:
            while puppet.alive():
                await puppet.say(flood)

        shouting = [asyncio.create_task(shout(puppet)) for _, puppet in loud]
        await asyncio.sleep(0)
        times = []
        for _ in range(10):
            began = asyncio.get_running_loop().time()
            assert (await stage.innocent()).output == "fine"
            times.append(asyncio.get_running_loop().time() - began)
        for _, puppet in loud:
            puppet.kill()
        await asyncio.gather(*shouting)
        assert sorted(times)[5] < 1.0


def assert_quiet(stage: Stage) -> None:
    """Nothing went wrong on this side: the log tells of limits and of nothing else."""
    assert {event for event, _ in stage.log} <= {"limit"}
