"""What the page says of answers and begins them with: values that fit the schema, and who has sent an event."""

import json
from typing import Any

from page_code_support import node

from playground.workflows.payload_schema import PayloadCheck, check_schema

SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "boolean"},
    {"enum": ["b", "a"]},
    {"const": 3},
    {"type": "integer", "minimum": 5},
    {"type": "number", "exclusiveMinimum": 5},
    {"type": "number", "maximum": -2},
    {"type": ["string", "null"]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
    {"type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"default": 7}, "rest": {}}, "required": ["ok"]},
    {"type": "object", "properties": {"to": {"type": "object", "properties": {"name": {"type": "string"}},
                                             "required": ["name"]}}, "required": ["to"]},
]  # fmt: skip


def test_an_answer_begins_with_a_value_that_fits_its_schema() -> None:
    found = node(
        """
        import { sampleOf } from "RUN/payload-sample.js";
        import { senderText } from "RUN/words.js";
        const who = [{ how: "link", name: "Ada" }, { how: "link" }, { how: "key", name: "ops" }, { how: "owner" }];
        return { samples: given.map(sampleOf), none: sampleOf(undefined), who: who.map(senderText) };
        """,
        SCHEMAS,
    )
    for schema, text in zip(SCHEMAS, found["samples"], strict=True):
        assert PayloadCheck().mismatch(check_schema(schema), json.loads(text)) is None, (schema, text)
    assert found["none"] == "{}"
    assert found["who"] == [
        "“Ada”, by a signed link",
        "somebody with a signed link",
        "the key “ops”",
        "whoever started the run",
    ]
