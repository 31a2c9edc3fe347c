"""Params laid out for reading: the same JSON, every digit and every character of it kept."""

import json

import pytest
from page_code_support import node

TEXTS = {
    '{"a":1}': '{\n  "a": 1\n}',
    '{ "a" : [1,2 , {"b":null}] , "c":{} , "d":[ ] }': (
        '{\n  "a": [\n    1,\n    2,\n    {\n      "b": null\n    }\n  ],\n  "c": {},\n  "d": []\n}'
    ),
    " 12345678901234567890.10 ": "12345678901234567890.10",
    '"a \\" { [ , : b"': '"a \\" { [ , : b"',
    '{"a":1,"a":2}': '{\n  "a": 1,\n  "a": 2\n}',
    "[[],[{}]]": "[\n  [],\n  [\n    {}\n  ]\n]",
    "": "",
}


@pytest.mark.parametrize("text", TEXTS)
def test_lays_out_and_changes_nothing(text: str) -> None:
    script = 'import { prettyJson } from "RUN/../pretty.js";\nreturn given.map(prettyJson);'
    once, twice = node(script, [text, TEXTS[text]])
    assert once == twice == TEXTS[text]
    if text:
        assert json.loads(once) == json.loads(text)
