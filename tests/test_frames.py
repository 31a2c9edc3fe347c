"""Frames by themselves: whatever bytes come, there is a typed value or a ProtocolError, and talkative channels take
turns.
"""

import asyncio
import json
import re
import socket
import tracemalloc
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from aio import run, story
from hypothesis import given, settings
from hypothesis import strategies as st
from puppet_support import did, do, done, frame

from playground.sandbox import channel as channels
from playground.sandbox import frames
from playground.sandbox.channel import TURN_SECONDS, FairReading, FrameChannel
from playground.sandbox.frames import DEPTH_MAX, ProtocolError
from playground.worker.channel import Channel
from playground.workflows.values import RAW_JSON_BYTES, json_depth

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
OPS = st.sampled_from(
    [
        "do",
        "resume",
        "done",
        "did",
        "fail",
        "sleep",
        "wait",
        "log",
        "finish",
        "crash",
        "idle",
        "collected",
        "missing",
        "call",
        "x",
    ]
)
FIELDS = st.sampled_from(
    [
        "step",
        "attempt",
        "config",
        "line",
        "value",
        "error",
        "retryable",
        "delay",
        "duration",
        "until",
        "text",
        "stream",
        "output",
        "seen",
    ]
)


def judged(data: bytes) -> Any:
    try:
        return frames.decode(data)
    except ProtocolError as refused:
        assert str(refused)
        return None


@given(st.binary(max_size=400))
def test_any_bytes_are_judged(data: bytes) -> None:
    judged(data)


@given(OPS, st.dictionaries(FIELDS, JSON, max_size=8))
def test_any_fields_are_judged(op: str, fields: dict[str, Any]) -> None:
    try:
        data = json.dumps({"op": op, **fields}, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        data = json.dumps({"op": op, **fields}).encode()
    judged(data)


@pytest.mark.parametrize(
    ("event_type", "fits"),
    [("approved", True), ("a.b", False), ("approved\n", False), ("-a", False), ("a" * 101, False)],
)
def test_a_worker_waits_for_no_type_that_nobody_can_send(event_type: str, fits: bool) -> None:
    assert (
        judged(frame(op="wait", step=["wait", "w", 1], event_type=event_type, timeout=1000)[4:]) is not None
    ) == fits


@given(st.sampled_from([do(), done(value={"a": [1, "b"]}), frame(op="finish", output=[1.5, None])]), st.data())
@settings(max_examples=300)
def test_damaged_frames_are_judged(whole: bytes, data: st.DataObject) -> None:
    body = bytearray(whole[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not body:
            return
    judged(bytes(body))


def nested(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(nested, inner), default=0)


@given(JSON, st.integers(1, 40))
def test_depth_is_counted_past_brackets_in_strings_and_over_any_pieces(value: Any, piece: int) -> None:
    for ascii in (True, False):
        try:
            text = json.dumps([value, '"]]]]\\', {'}}\\\\"': 1}], ensure_ascii=ascii).encode()
        except UnicodeEncodeError:
            continue
        assert json_depth(text) == json_depth(text, piece) == max(2, 1 + nested(value))


@pytest.mark.parametrize("opening", [b"[", b'{"k":'])
def test_frames_are_as_deep_as_the_limit_and_no_deeper(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"

    def deep(levels: int) -> bytes:
        return b'{"op":"finish","output":' + opening * levels + b"1" + closing * levels + b"}"

    assert judged(deep(DEPTH_MAX - 1)) is not None
    with pytest.raises(ProtocolError, match="nested more than 200 levels"):
        frames.decode(deep(DEPTH_MAX))


@given(JSON)
def test_a_large_value_stays_text_and_means_the_same(value: Any) -> None:
    try:
        body = json.dumps({"op": "finish", "output": [value, "x" * RAW_JSON_BYTES]}, indent=2).encode()
    except UnicodeEncodeError:
        return
    said = judged(body)
    if said is None:  # a lone surrogate or an integer past all use
        return
    assert isinstance(said.output, msgspec.Raw)
    assert b"\n" not in bytes(said.output)
    assert json.loads(bytes(said.output)) == json.loads(body)["output"]


WHOLE = msgspec.json.Decoder(frames.WorkerFrame)  # which makes objects of everything


@given(
    st.sampled_from(
        [
            done(value=["x" * RAW_JSON_BYTES, 1.5, {"é": -1}]),
            did(value=["x" * RAW_JSON_BYTES, 1.5, {"é": -1}]),
            did(value={"é": -1}),
            frame(op="finish", output={"a": [1e300, "\u2028" * RAW_JSON_BYTES]}),
        ]
    ),
    st.data(),
)
@settings(max_examples=300)
def test_a_large_result_is_read_as_strictly_as_if_it_were_made_into_objects(whole: bytes, data: st.DataObject) -> None:
    body = bytearray(whole[4:])
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, len(body) - 1))
        piece = data.draw(
            st.sampled_from([b"[]", b"1e9", b"9" * 320, b'"', b",", b"\xff", b"\xc3", b"\\ud800", b"\\n", b"NaN"])
            | st.binary(max_size=2)
        )
        body[place : place + data.draw(st.integers(0, 3))] = piece
    strict = None
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        strict = WHOLE.decode(body)
    assert (judged(bytes(body)) is None) == (strict is None)


@pytest.mark.parametrize(
    "value",
    [
        b"9" * 4_301,
        b"1e309",
        b"1" + b"0" * 199 + b"e110",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b"NaN",
        b"01",
        b"[1,]",
    ],
)
def test_what_is_no_strict_json_is_refused_in_a_large_result_too(value: bytes) -> None:
    for padding in (b"", b"x" * RAW_JSON_BYTES):
        for body in (
            b'{"op":"finish","output":[%b,"%b"]}',
            b'{"op":"done","step":["do","a",1],"attempt":1,"value":[%b,"%b"]}',
            did()[4:-5].replace(b"%", b"%%") + b'[%b,"%b"]}',
        ):
            with pytest.raises(ProtocolError):
                frames.decode(body % (value, padding))


@given(st.lists(st.sampled_from(["0", "1", "9" * 199, "7" * 200, "e", "E", "+", "-", ".", "12", ","])))
def test_a_number_that_may_be_out_of_range_is_found(parts: list[str]) -> None:
    text = "".join(parts).encode()
    found = re.search(rb"[0-9]{200}|[0-9][eE]\+?[0-9]{3}", text)
    assert frames._may_be_out_of_range(text) == (found is not None)


def test_a_large_result_is_not_made_into_objects() -> None:
    body = b'{"op":"finish","output":[%b1]}' % (b"[]," * 340_000)
    tracemalloc.start()
    try:
        assert bytes(frames.decode(body).output) == body[24:-1]
        assert tracemalloc.get_traced_memory()[1] < 4 * len(body)
    finally:
        tracemalloc.stop()


def test_a_small_value_is_an_object() -> None:
    assert frames.decode(b'{"op":"finish","output":{"a":1}}').output == {"a": 1}
    assert frames.decode(did(value={"a": 1}, line=7)[4:]).value == {"a": 1}, "however large its frame is"


def test_a_frame_is_taken_back_until_something_follows_it() -> None:
    near, far = socket.socketpair()
    with far:
        channel = Channel(near.detach())
        channel.acknowledged = channel.received
        first: dict[str, Any] = {"op": "first"}
        for follows in (lambda: channel.post({"op": "next"}), channel.flush, lambda: channel.flush_old(0.0)):
            channel.hold(first)
            assert channel.take_back(first) and not channel.take_back(first)
            channel.hold(first)
            follows()
            assert not channel.take_back(first), "it is before what follows"
        channel.hold(first)
        channel.received += 1
        assert not channel.take_back(first), "it was written before that was received"
        channel.hold({"op": "last"})
        channel.flush()
        sent = far.recv(1_000)
        channel.socket.close()
    ops = [json.loads(text)["op"] for text in re.findall(rb"{[^}]*}", sent)]
    assert ops == ["first", "next", "first", "first", "first", "received", "last"]


async def conversation(data: bytes, pieces: int, turns: FairReading) -> list[Any]:
    """What a channel gives on of bytes that come in so many pieces."""
    near, far = socket.socketpair()
    near.setblocking(False)
    said: list[Any] = []
    over: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    channel = FrameChannel(near, lambda batch: said.extend(one for one, _ in batch), over.set_result, turns)
    size = max(1, len(data) // pieces)
    loop = asyncio.get_running_loop()
    far.setblocking(False)
    for start in range(0, len(data), size):
        await loop.sock_sendall(far, data[start : start + size])
    far.close()
    said.append(await over)
    channel.close()
    near.close()
    return said


@pytest.mark.parametrize("pieces", [1, 2, 7, 100_000])
def test_the_same_frames_come_in_whatever_pieces(pieces: int) -> None:
    data = (
        do() + done(value=["ñ" * 300]) + frame(op="log", stream="stdout", text="") * 200 + frame(op="finish", output=1)
    )
    said = run(conversation(data, pieces, FairReading()))
    assert len(said) == 204
    assert said[-1] is None
    assert [type(one).__name__ for one in said[:2]] == ["Do", "Done"]
    assert json.loads(bytes(said[1].value)) == ["ñ" * 300]


@story
async def test_a_channel_whose_worker_is_closed_before_its_turn_is_closed_in_peace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context["exception"]))
    near, far = socket.socketpair()
    near.setblocking(False)
    turns, heard = FairReading(lambda: 0.0), []

    def fail() -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(channels, "TURN_SECONDS", -1.0)  # whatever it took was too long
        channel = FrameChannel(near, heard.extend, failures.append, turns)
    assert len(turns) == 1
    near.close()
    turns.wait(fail, 0)
    turns.wait(lambda: heard.append("the next"), 0)
    while not heard:
        await asyncio.sleep(0)
    channel.close()
    far.close()
    assert [type(failure) for failure in failures] == [ZeroDivisionError] and not len(turns)


def test_one_turn_is_taken_in_each_round_of_the_loop() -> None:
    async def story() -> list[str]:
        turns, heard, rounds = FairReading(lambda: 0.0), [], 0

        def hear(name: str) -> None:
            heard.append(name)
            if len(heard) < 9:
                turns.wait(lambda: hear(name), TURN_SECONDS)

        for name in ("a", "b", "c"):
            turns.wait(lambda name=name: hear(name), TURN_SECONDS)
        while len(heard) < 9:
            before = len(heard)
            await asyncio.sleep(0)
            rounds += 1
            assert len(heard) - before <= 1
        return heard

    assert run(story())[:9] == ["a", "b", "c"] * 3


@story
async def test_whoever_took_long_rests_while_others_are_busy() -> None:
    clock = [0.0]
    turns, heard = FairReading(lambda: clock[0]), []
    turns.wait(lambda: heard.append("first"), 0.01)
    clock[0] = 0.05  # the round took long: others had something to do
    await asyncio.sleep(0)
    assert heard == ["first"]
    turns.wait(lambda: heard.append("second"), 0.01)
    await asyncio.sleep(0)
    assert heard == ["first"], "it rests for four times as long as it took"
    clock[0] = 0.09 + 1e-6
    over = asyncio.get_running_loop().create_future()
    turns.wait(lambda: over.set_result(None), 0.0)
    await over
    assert heard == ["first", "second"]
