"""The forms that a client of MCP is asked to fill in for a wait, and the events that its answers are."""

from types import SimpleNamespace
from typing import Any

import pytest

from playground.web.mcp.answers import event_of, input_requests
from playground.web.mcp.runs import OpenWait

PAY = {
    "type": "object",
    "title": "Pay?",
    "properties": {"approved": {"type": "boolean", "title": "Yes?"}, "amount": {"type": "number", "minimum": 1}},
    "required": ["approved"],
    "additionalProperties": False,
}
NESTED = {"type": "object", "properties": {"to": {"type": "object"}}}


def wait(schema: Any, *types: str) -> OpenWait:
    return OpenWait("wait-7", "pay", types or ("paid",), None, schema)


def form(asked: OpenWait) -> Any:
    return input_requests(SimpleNamespace(waits=(asked,)))["wait-7"]["params"]  # type: ignore[arg-type]


def answer(asked: OpenWait, **content: Any) -> Any:
    return event_of(asked, {"action": "accept", "content": content})


def test_a_schema_with_room_in_a_form_is_the_form() -> None:
    shown = form(wait(PAY))
    assert shown["message"] == 'The run waits for the event "paid" at the step pay. Pay?'
    assert shown["requestedSchema"] == {
        "type": "object",
        "properties": {"approved": {"type": "boolean", "title": "Yes?"}, "amount": {"type": "number", "minimum": 1}},
        "required": ["approved"],
    }
    assert answer(wait(PAY), approved=True, amount=2) == ("paid", {"approved": True, "amount": 2})
    several = wait(PAY, "paid", "refused")
    assert form(several)["requestedSchema"]["properties"]["type"]["enum"] == ["paid", "refused"]
    assert answer(several, approved=False, type="refused") == ("refused", {"approved": False})


@pytest.mark.parametrize("value", [True, 5, "text", "5"])
def test_a_schema_of_one_value_is_one_field_whose_value_is_the_payload(value: Any) -> None:
    asked = wait({"type": {bool: "boolean", int: "integer", str: "string"}[type(value)], "title": "Which?"})
    assert form(asked)["requestedSchema"]["properties"]["payload"]["title"] == "Which?"
    assert answer(asked, payload=value) == ("paid", value)


@pytest.mark.parametrize("schema", [None, NESTED, {"type": ["string", "null"]}, {"enum": ["a", 1]}])
def test_what_no_form_has_room_for_is_json_and_the_message_says_of_which_schema(schema: Any) -> None:
    shown = form(wait(schema))
    assert list(shown["requestedSchema"]["properties"]) == ["payload"]
    assert ("of this schema: {" in shown["message"]) == (schema is not None)
    assert answer(wait(schema), payload='{"to": {"x": 1}}') == ("paid", {"to": {"x": 1}})
    assert event_of(wait(schema), {"action": "decline"}) is None
