"""What a wait may say of the payload that it asks for, and which payloads fit it.

All that a schema or a payload can make the server do is counted, so that none can hold it up.
"""

from typing import Any

import pytest

from playground.workflows.payload_schema import (
    DEPTH_MOST,
    ENUM_MOST,
    SCHEMA_BYTES,
    STEPS_MOST,
    InvalidSchema,
    PayloadCheck,
    check_schema,
)

ORDER = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer", "minimum": 1, "exclusiveMaximum": 100},
        "to": {"type": "string", "minLength": 2, "maxLength": 5},
        "tags": {"type": "array", "items": {"enum": ["a", "b", 1]}, "maxItems": 2},
    },
    "required": ["amount"],
    "additionalProperties": False,
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels - 1):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("string", "a schema is a dict, not str"),
        ({"type": "text"}, "`type` takes string, number, "),
        ({"type": []}, "`type` takes string, number, "),
        ({"pattern": "(a+)+$"}, "`pattern` can't be used: a regular expression would be run by the server"),
        ({"properties": {"x": {"format": "email"}}}, "`format` at .x can't be used: a regular"),
        ({"$ref": "https://example.com/schema"}, "`$ref` can't be used: each value is held against one schema"),
        ({"allOf": [{}, {}]}, "`allOf` can't be used: each value"),
        ({"types": "string"}, "there is no keyword `types`; it takes type, title"),
        ({"items": {"properties": {"x": True}}}, "what stands at [].x is no schema"),
        ({"additionalProperties": 1}, "what stands at .* is no schema"),
        ({"required": "amount"}, "`required` takes a list of names"),
        ({"properties": []}, "`properties` takes a dict of schemas"),
        ({"enum": []}, "`enum` takes a list of text"),
        ({"enum": [*range(ENUM_MOST + 1)]}, "`enum` has more than 100 values"),
        ({"const": [1]}, "`const` takes text"),
        ({"minLength": -1}, "`minLength` takes a whole number from 0"),
        ({"minimum": "1"}, "`minimum` takes a number"),
        ({"maximum": 10**400}, "`maximum` takes a number"),
        ({"title": 1}, "`title` and `description` take text"),
        ({"default": {1, 2}}, "a schema is JSON: Object of type set"),
        ({"default": float("nan")}, "a schema is JSON: Out of range"),
        ({"title": "\ud800"}, "a schema is JSON: "),
        ({"title": "x" * SCHEMA_BYTES}, "it has 8,205 bytes as JSON, and may have 8,192"),
        (nested(DEPTH_MOST + 1), "it is nested more than 8 levels deep at [][][][][][][][]"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_where_and_why(schema: Any, words: str) -> None:
    with pytest.raises(InvalidSchema) as refused:
        check_schema(schema)
    assert str(refused.value).startswith(words)


def test_a_schema_that_holds_itself_is_refused() -> None:
    schema: dict[str, Any] = {}
    schema["items"] = schema
    with pytest.raises(InvalidSchema, match="a schema is JSON"):
        check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "payload", "wrong"),
    [
        ({}, [object], None),
        ({"type": "boolean"}, True, None),
        ({"type": "boolean"}, 1, "$ takes a boolean, not 1"),
        ({"type": "integer"}, True, "$ takes an integer, not true"),
        ({"type": "integer"}, 2.0, None),
        ({"type": "integer"}, 2.5, "$ takes an integer, not 2.5"),
        ({"type": "number"}, 2.5, None),
        ({"type": ["string", "null"]}, None, None),
        ({"type": ["string", "null"]}, 5, "$ takes a string or null, not 5"),
        ({"const": 1}, True, "$ takes 1, not true"),
        ({"enum": ["yes", "no"]}, "maybe", '$ takes one of "yes", "no", not "maybe"'),
        (ORDER, {"amount": 99, "to": "ada", "tags": ["a", 1.0]}, None),
        (ORDER, {}, "$ lacks `amount`"),
        (ORDER, {"amount": 100}, "$.amount takes less than 100, not 100"),
        (ORDER, {"amount": 0}, "$.amount takes 1 or more, not 0"),
        (ORDER, {"amount": 1, "to": "a"}, "$.to takes 2 characters or more, not 1"),
        (ORDER, {"amount": 1, "tags": ["a", "c"]}, '$.tags[1] takes one of "a", "b", 1, not "c"'),
        (ORDER, {"amount": 1, "tags": ["a"] * 3}, "$.tags takes 2 items or less, not 3"),
        (ORDER, {"amount": 1, "of": 2}, "$ takes no `of`; it takes amount, to, tags"),
        (ORDER, [1], "$ takes an object, not an array"),
        ({"additionalProperties": {"type": "number"}}, {"a": 1, "b": "x"}, '$.b takes a number, not "x"'),
        ({"type": "string"}, "x" * 99, None),
        ({"const": "y"}, "x" * 99, f'$ takes "y", not "{"x" * 58}…'),
    ],
)
def test_a_payload_fits_or_is_told_where_it_does_not(schema: dict[str, Any], payload: Any, wrong: str | None) -> None:
    assert PayloadCheck().mismatch(check_schema(schema), payload) == wrong


def test_a_check_takes_so_many_steps_for_one_event_and_no_more() -> None:
    """Whatever the payload, and however many waits it is held against."""
    numbers, check = check_schema({"items": {"type": "number"}}), PayloadCheck()
    assert PayloadCheck().mismatch(numbers, [1] * (STEPS_MOST - 1)) is None
    assert PayloadCheck().mismatch(numbers, [1] * STEPS_MOST) == "it has more values than are checked (20,000 steps)"
    choice = check_schema({"enum": [*range(ENUM_MOST)]})
    answers = [check.mismatch(choice, -1) for _ in range(STEPS_MOST // (ENUM_MOST + 1) + 1)]
    assert "takes one of" in str(answers[-2]) and "more values than are checked" in str(answers[-1])
