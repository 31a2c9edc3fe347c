"""Which form a schema is, and which payload a form is that was filled in."""

from typing import Any

import pytest

from playground.web.answer_forms import Form, event_of, form_of
from playground.web.http.errors import BadBody, NotJson

ORDER = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean", "title": "Pay it?"},
        "reason": {"type": "string", "maxLength": 500},
        "count": {"type": "integer", "minimum": 1, "default": 2},
        "size": {"enum": ["S", "M", 3]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "to": {"type": "object", "properties": {"name": {"type": "string"}, "zip": {"type": ["string", "null"]}},
               "required": ["name", "zip"]},
        "any": {},
    },
    "required": ["approved", "count", "to"],
}  # fmt: skip


def shown(form: Form) -> dict[str, Any]:
    return {field.name: field.kind for field in form.fields}


@pytest.mark.parametrize(
    ("schema", "types", "fields", "decides", "buttons"),
    [
        (None, ["go"], {"payload": "json"}, "", []),
        ({"type": "boolean"}, ["go"], {}, "payload", ["Approve", "Reject"]),
        ({"enum": ["ship", "hold"]}, ["go"], {}, "payload", ["ship", "hold"]),
        ({"const": "ok"}, ["go"], {}, "payload", ["ok"]),
        ({"enum": ["a", "b", "c"]}, ["go"], {"payload": "choice"}, "", []),
        ({"type": "boolean"}, ["go", "stop"], {"payload": "choice"}, "", []),
        ({"type": "string"}, ["go"], {"payload": "text"}, "", []),
        ({"type": ["number", "null"]}, ["go"], {"payload": "number"}, "", []),
        ({"type": ["number", "string"]}, ["go"], {"payload": "json"}, "", []),
        ({"type": "array", "items": {"type": "integer"}}, ["go"], {"payload": "json"}, "", []),
        (
            ORDER,
            ["go"],
            {"payload.reason": "lines", "payload.count": "integer", "payload.size": "choice", "payload.tags": "list",
             "payload.to.name": "text", "payload.to.zip": "text", "payload.any": "json"},
            "payload.approved",
            ["Approve", "Reject"],
        ),
    ],
)  # fmt: skip
def test_a_form_has_a_field_for_each_part_and_buttons_for_what_is_decided(
    schema: Any, types: list[str], fields: dict[str, str], decides: str, buttons: list[str]
) -> None:
    form = form_of(schema, types)
    assert (shown(form), form.decides, [it.label for it in form.buttons]) == (fields, decides, buttons)


def test_a_form_that_is_filled_in_is_a_payload() -> None:
    form = form_of(ORDER, ["go"])
    assert form.title == "Pay it?" and form.fields[1].value == "2" and form.fields[4].group == "To"
    sent = {"payload.approved": "false", "payload.reason": "too\r\ndear", "payload.count": "9007199254740993",
            "payload.size": "3", "payload.tags": "a\r\n\nb", "payload.to.name": "", "payload.to.zip": "",
            "payload.any": '{"x": [1]}'}  # fmt: skip
    assert event_of(form, sent) == ("go", {
        "approved": False, "reason": "too\ndear", "count": 9007199254740993, "size": 3, "tags": ["a", "b"],
        "to": {"name": "", "zip": None}, "any": {"x": [1]},
    })  # fmt: skip
    least = {"payload.approved": "true", "payload.count": "1", "payload.to.name": "Ada"}
    assert event_of(form, least)[1] == {"approved": True, "count": 1, "to": {"name": "Ada", "zip": None}}


@pytest.mark.parametrize(
    ("schema", "types", "sent", "event"),
    [
        ({"type": "boolean"}, ["go"], {"payload": "true"}, ("go", True)),
        (None, ["go", "stop"], {"type": "stop", "payload": "[1, 2.5]"}, ("stop", [1, 2.5])),
        (None, ["go"], {"payload": " "}, ("go", None)),
        ({"type": "number"}, ["go"], {"payload": "2.5"}, ("go", 2.5)),
        ({"enum": [1, 2, 3]}, ["go"], {"payload": "2"}, ("go", 2)),
    ],
)
def test_what_is_sent_is_an_event(schema: Any, types: list[str], sent: dict[str, str], event: Any) -> None:
    assert event_of(form_of(schema, types), sent) == event


@pytest.mark.parametrize(
    ("schema", "sent", "words"),
    [
        ({"type": "boolean"}, {}, "Choose an answer: Approve, Reject."),
        ({"type": "number"}, {"payload": "inf"}, "“Answer” takes a number."),
        ({"type": "number"}, {"payload": "two"}, "“Answer” takes a number."),
        ({"enum": [1, 2, 3]}, {"payload": "4"}, "Choose “Answer”: 1, 2, 3."),
        ({}, {"type": "other", "payload": "1"}, "`type` takes go, stop."),
    ],
)
def test_what_is_no_answer_is_refused_with_the_field(schema: Any, sent: dict[str, str], words: str) -> None:
    types = ["go", "stop"] if "type" in sent else ["go"]
    with pytest.raises(BadBody, match=words.replace(".", r"\.")):
        event_of(form_of(schema, types), sent)
    with pytest.raises(NotJson, match="“Answer”"):
        event_of(form_of(None, ["go"]), {"payload": "{"})
