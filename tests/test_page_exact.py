"""Numbers keep their digits on their way through the page: from a field to a request, and from the journal to a view or
a field.
"""

import json
import random
from typing import Any, Self

import pytest
from page_code_support import node

from playground.web.indented_json import untag_value
from playground.web.pages.pages import params_text
from playground.web.pages.templates import json_text
from playground.workflows import values

ROUND = 'import { parse, stringify } from "RUN/../exact.js";\nreturn given.map((text) => stringify(parse(text)));'
FIELDS = """
import { parse, stringify } from "RUN/../exact.js";
import { inputText, valueText } from "RUN/value.js";
return given.map((text) => ({ shown: valueText(parse(text), 0), typed: inputText(parse(text)).replace(/\\n */g, "") }));
"""
SENT = """
import { typed } from "RUN/typed.js";
import { call } from "RUN/api.js";
import { askForm } from "RUN/ask.js";
import { pendingBody, setPending } from "RUN/pending.js";
import { ours } from "RUN/../whose.js";
const bodies = [];
globalThis.document = { dispatchEvent() {} };
globalThis.fetch = async (url, { body }) => (bodies.push(body),
    new Response("{}", { headers: { "Content-Type": "application/json" } }));
const { json } = typed(given);
await call("POST", "/events/go", { body: json });
await call("POST", "/fork", { body: { output: json } });
setPending({ step: { kind: "do", name: "a" }, how: "return", times: 1, value: json });
await ours.create({ source: "x", params: given, breaks: pendingBody() }, {});
return bodies;
"""
SAME = (
    'import { parse } from "RUN/../exact.js";\nimport { same } from "RUN/value.js";\nreturn given.map(([a, b]) => '
    "same(parse(a), parse(b)));"
)
NUMBERS = [
    "0",
    "-0",
    "0.0",
    "-0.0",
    "12",
    "12.0",
    "1.50",
    "0.1",
    "1e5",
    "1E+5",
    "1.0e-7",
    "1e-7",
    "0.0000001",
    "9007199254740993",
    "3544790567247868102",
    "123456789012345678901234567890",
    "0.1000000000000000055",
]
ODD = [
    '{"__proto__":{"a":1.0}}',
    '{"a":1,"b":[1.0,"2.0 \\\\",{"c":"\\" 3.0"}]}',
    '["\\\\\\"",1.0]',
    "[]",
    "{}",
    '[{},[],""]',
    '"1.0"',
    " [ 1.0 , true,\n\tfalse , null ] ",
]


def compact(text: str) -> str:
    """The text without spaces between its tokens, by a reader that keeps numbers as they are written."""

    class Written(float):
        def __repr__(self) -> str:
            return self.text

        def __new__(cls, text: str) -> Self:
            made = super().__new__(cls, text)
            made.text = text
            return made

        text: str

    def written(tree: Any) -> str:
        match tree:
            case Written():
                return tree.text
            case dict():
                return (
                    "{"
                    + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{written(inner)}" for key, inner in tree.items())
                    + "}"
                )
            case list():
                return "[" + ",".join(map(written, tree)) + "]"
        return json.dumps(tree, ensure_ascii=False)

    return written(json.loads(text, parse_float=Written, parse_int=Written))


def invented(pick: random.Random, depth: int = 0) -> str:
    space = pick.choice(["", " ", "\n  "])
    match pick.randrange(6 if depth < 5 else 4):
        case 0 | 1:
            return pick.choice(NUMBERS) + space
        case 2:
            return json.dumps("".join(pick.choice('a1.0e"\\\n{[é😀') for _ in range(pick.randrange(6))))
        case 3:
            return pick.choice(["true", "false", "null"])
        case 4:
            return "[" + ",".join(invented(pick, depth + 1) for _ in range(pick.randrange(4))) + space + "]"
    members = (f'{space}"k{index}":{invented(pick, depth + 1)}' for index in range(pick.randrange(4)))
    return "{" + ",".join(members) + "}"


def test_what_is_read_and_written_again_has_every_digit_it_had() -> None:
    texts = NUMBERS + ODD + [invented(random.Random(seed)) for seed in range(400)]
    assert node(ROUND, texts) == [compact(text) for text in texts]


@pytest.mark.parametrize("typed", ['{"order": 3544790567247868102, "price": 20.0}', "12.0", "[1E5, -0.0]", '"a"'])
def test_what_is_typed_into_any_form_is_sent_as_it_stands(typed: str) -> None:
    event, fork, create = node(SENT, typed)
    assert event == typed
    assert fork == f'{{"output":{typed}}}'
    assert (
        create == f'{{"source":"x","params":{typed},"breaks":[{{"step":{{"kind":"do","name":"a"}},'
        f'"how":"return","times":1,"value":{typed}}}]}}'
    )


VALUES: list[Any] = [
    12.0,
    [3544790567247868102, 1, 2.50],
    {"a": 2**70, "b": {"$x": 1.0}},
    {"$int": "5"},
    {"$dict": {"$int": "5"}},
    {"n": -(2**60)},
]


def test_a_field_begins_with_the_digits_that_are_stored_and_gives_the_same_value_back() -> None:
    for value, field in zip(
        VALUES, node(FIELDS, [values.dumps(values.encode(value)) for value in VALUES]), strict=True
    ):
        assert values.decode(json.loads(field["shown"])) == value, "in the form that the API shows"
        assert json.loads(field["typed"]) == value, "as any JSON"
        assert "$int" not in field["shown"] or value in VALUES[3:5]


@pytest.mark.parametrize("value", VALUES)
def test_a_page_without_scripts_shows_the_same_digits(value: Any) -> None:
    stored = values.encode(value)
    assert json.loads(params_text(stored)) == value, "params are any JSON"
    assert values.decode(json.loads(json_text(stored))) == value


def test_an_int_too_long_to_be_one_stays_as_it_is_stored() -> None:
    assert untag_value({"$int": "9" * 4301}) == {"$int": "9" * 4301}
    assert untag_value({"$int": "x"}) == {"$int": "x"}


def test_numbers_are_the_same_when_they_count_the_same() -> None:
    pairs = [
        ("12", "12.0"),
        ("1e2", "100"),
        ("0", "-0.0"),
        ("[1.0]", "[1]"),
        ("9007199254740993", "9007199254740992"),
        ("1.0", "true"),
        ("1.5", "1.50"),
        ("1", "2.0"),
    ]
    assert node(SAME, pairs) == [True, True, True, True, False, False, True, False]
