"""Bodies of requests: what is JSON, what fits, and how far one is read."""

import asyncio
import re

import aio
import msgspec
import pytest
from request_support import request

from playground.store.encoding import encode_input
from playground.web.http import bodies
from playground.web.http.errors import BadBody, NotAnObject, NotJson
from playground.workflows.errors import TooLarge


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"hello", "line 1, column 1"),
        (b'{"a": 1,\n  b: 2}', "line 2, column 3"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b'"\\ud800"', "surrogate"),
        (b'"\xff"', "not UTF-8"),
        (b"1e999", "can be kept"),
        (b"9" * 5_000, "a number of 5,000 digits (line 1, column 1); the most is 4,300. Send it as a text, in quotes."),
        (b'{"a": "%b",\n "b": [-%b]}' % (b"1" * 5_000, b"2" * 4_301), "a number of 4,301 digits (line 2, column 8)"),
        (b"9" * 5_000 + b".5", "has a number of 5,000 digits"),
        (b'["' + b"x" * 70_000 + b'",\n 1e+0999]', "can be kept"),
        (b'["' + b"x" * 70_000 + b'",\n nope]', "line 2, column 3"),
        (b'["' + b"x" * 70_000 + b'\xff"]', "not UTF-8"),
        (b'["' + b"x" * 70_000, "can be kept"),
        (b"1" + b"0" * 250 + b"e99", "can be kept"),
        (b"[1, -" + b"12.5" + b"7" * 190 + b"E400]", "can be kept"),
        (b"[" + b"1," * 131_040 + b"1" * 150 + b"e0999]", "can be kept"),
        (b"[" * 101 + b"]" * 101, "nested more than 100"),
        (b"[" * 100_000, "nested more than 100"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested more than 100"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(raw: bytes, said: str) -> None:
    with pytest.raises(NotJson, match=re.escape(said)):
        bodies.check_json(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"null", None),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"12345678901234567890123", 12345678901234567890123),
        pytest.param(b"9" * 4_300, 10**4_300 - 1, id="a long int"),
        (b'"%b"' % (b"9" * 5_000), "9" * 5_000),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"[" * 100 + b"]" * 100, None),
        (b'["e9999", 1e-999, 0.' + b"1" * 300 + b"]", None),
    ],
)
def test_what_is_json_is_read(raw: bytes, value: object) -> None:
    read = msgspec.json.decode(bodies.check_json(raw))
    assert value is None or read == value


def test_a_long_number_is_looked_for_once_however_the_rest_is_broken() -> None:
    """Places at which a text might begin, each of which might be read to the end: a hostile body would take minutes."""
    for end in (b"", b"\\", b"\\\n"):
        with pytest.raises(NotJson, match="NaN is not a JSON number"):
            bodies.check_json(b'[NaN, "' + b'\\"' * 30_000 + end)


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    count: int = 1


@pytest.mark.parametrize(
    ("raw", "error", "said"),
    [
        (b"[]", NotAnObject, "an array"),
        (b'"x"', NotAnObject, "a string"),
        (b"null", NotAnObject, "null"),
        (b"{}", BadBody, "`source`"),
        (b'{"source": 1}', BadBody, "$.source"),
        (b'{"source": "x", "sauce": 1}', BadBody, "unknown field `sauce`"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_its_field(raw: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=re.escape(said)):
        aio.run(bodies.read_object(request(body=(raw,)), Sample, 1_000))


def test_a_body_is_read_no_further_than_its_limit() -> None:
    chunks = (b"x" * 600,) * 3
    with pytest.raises(TooLarge, match="1,000 bytes"):
        aio.run(bodies.read_bytes(request(body=chunks), 1_000))
    with pytest.raises(TooLarge, match="1,000 bytes"):
        aio.run(bodies.read_bytes(request(content_length="1001"), 1_000))
    assert aio.run(bodies.read_bytes(request(body=(b"x" * 500, b"y" * 500)), 1_000)) == b"x" * 500 + b"y" * 500


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    entries: list[msgspec.Raw]


LARGE = b'{"entries":[' + b",".join([b"[" + b"[[],{}]," * 100_000 + b"1]"] * 10) + b"]}"


@pytest.mark.parametrize("body", [LARGE, LARGE[:-2] + b",nope]}", LARGE.replace(b"entries", b"entry")])
def test_the_event_loop_goes_on_while_a_large_body_is_read(body: bytes) -> None:
    async def tale() -> None:
        reading = asyncio.create_task(bodies.read_object(request(body=(body,)), Batch, len(body)))
        turns = 0
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 5, "it was read on the event loop"
        if body is LARGE:
            assert [len(bytes(it)) for it in reading.result().entries] == [800_003] * 10
        else:
            assert isinstance(reading.exception(), (NotJson, BadBody))

    aio.run(tale())


def test_what_is_a_value_stays_text_until_it_is_stored() -> None:
    async def tale() -> None:
        read = await bodies.read_object(request(body=(b'{"entries":[{"$set": [1]}, 1.50]}',)), Batch, 1_000)
        assert [bytes(it) for it in read.entries] == [b'{"$set": [1]}', b"1.50"]
        large = msgspec.Raw(b"[" + b"[1, 2]," * 20_000 + b"1]")
        assert bytes(await encode_input(large, "params", 1_000_000)) == bytes(large).replace(b" ", b"")

    aio.run(tale())
