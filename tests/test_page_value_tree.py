"""A stored value as a tree of rows: what each is called, which are there, and where a search leads. Computed by the
page's own modules.
"""

import json
import random
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from page_code_support import node

from playground.workflows import values

ROWS = """
import { parse } from "RUN/../exact.js";
import { TreeModel } from "RUN/tree-model.js";
const model = new TreeModel(parse(given.text), "output");
const told = ({ type, depth, key, shape, text, words }) => type !== "value"
    ? [depth, type, type === "cut" ? words.join("") : text]
    : [depth, key, shape.text, shape.type, shape.note, shape.members];
const answers = [];
for (const [act, ...of] of given.acts ?? []) answers.push(model[act](...of));
return { rows: model.rows.map(told), answers, paths: model.rows.map((row) => model.path(row)) };
"""
WORDS = """
import { parse } from "RUN/../exact.js";
import { inline, shapeOf } from "RUN/value-shape.js";
return given.map((text) => {
  const shape = shapeOf(parse(text));
  return [shape.type, shape.text, shape.note, inline(shape)?.map(([, text]) => text).join("") ?? null];
});
"""
FOUND = """
import { parse } from "RUN/../exact.js";
import { TreeModel } from "RUN/tree-model.js";
const model = new TreeModel(parse(given.text), "output");
return model.find(given.wanted).map((place) => {
  const row = model.rows[model.reveal(place)];
  return [model.path(row), row.type === "line" ? row.text : row.shape.text];
});
"""
FOLDS = """
import { parse } from "RUN/../exact.js";
import { TreeModel } from "RUN/tree-model.js";
const [one, other] = [given.text, given.text].map((text) => new TreeModel(parse(text), "v"));
for (const at of given.acts) {
  const index = at % other.rows.length;
  if (other.rows[index].type === "cut") other.more(index);
  else other.set(index, !other.rows[index].open);
}
const open = (model) => model.rows.filter((row) => row.open).length;
const seen = (row) => [row, ...(row.open ? row.children.flatMap(seen) : [])];
const walked = other.root.children.flatMap(seen);
const same = walked.length === other.rows.length && walked.every((row, index) => row === other.rows[index]);
const at = other.rows.every((row, place) => row.parent === other.root || other.parentOf(place) >= 0);
return { same, opened: open(other), at };
"""


def tree(value: Any, *acts: list[Any]) -> Any:
    return node(ROWS, {"text": values.dumps(values.encode(value)), "acts": acts})


def words(*stored: Any) -> list[Any]:
    found: list[Any] = node(WORDS, [values.dumps(values.encode(one)) for one in stored])
    return found


def test_every_type_is_shown_as_what_it_is_with_all_its_digits() -> None:
    shown = words(
        None,
        True,
        7,
        12.0,
        1e300,
        9007199254740993,
        -(10**30),
        'a "quoted"\ttext',
        datetime(2026, 11, 29, 19, 48, 39, 120_000, tzinfo=UTC),
        datetime(2026, 3, 28, 9, tzinfo=ZoneInfo("Europe/Berlin")),
        b"\x89PNG",
        bytes(range(40)),
        {"gift", "fragile"},
        set(),
        {},
        [],
        {"$int": 1},
        [1, 2.0, "x"],
        [{"a": 1}, {"a": 2}],
        [[1], "x"],
        {"name": "x", "left": 3},
        {f"key-{number}": number for number in range(30)},
    )
    long_keys = ", ".join(f"key-{number}" for number in range(9)) + ", …"
    assert shown == [
        ["None", "None", "", None],
        ["bool", "True", "", None],
        ["int", "7", "", None],
        ["float", "12.0", "", None],
        ["float", "1e+300", "", None],
        ["int", "9007199254740993", "16 digits", None],
        ["int", "-1000000000000000000000000000000", "31 digits", None],
        ["str", '"a \\"quoted\\"\\ttext"', "", None],
        ["datetime", "2026-11-29 19:48:39.120000+00:00", "", None],
        ["datetime", "2026-03-28 09:00:00+01:00", "Europe/Berlin", None],
        ["bytes", "89 50 4e 47", "4 bytes", None],
        ["bytes", "00 01 02 03 04 05 06 07 …", "", None],
        ["set", "2 texts", "", '{"fragile", "gift"}'],
        ["set", "set()", "", None],
        ["dict", "{}", "", None],
        ["list", "[]", "", None],
        ["dict", "$int", "", '{"$int": 1}'],
        ["list", "3 items", "", '[1, 2.0, "x"]'],
        ["list", "2 dicts", "", None],
        ["list", "2 items", "", None],
        ["dict", "name, left", "", '{"name": "x", "left": 3}'],
        ["dict", long_keys, "", None],
    ]


def test_what_there_is_room_for_opens_by_itself_and_a_flat_value_stays_on_its_line() -> None:
    found = tree(
        {"order": "B-1", "items": [{"sku": "lamp", "of": {"a": {"b": 1}}}], "sizes": [1, 2], "many": list(range(99))}
    )
    assert [(row[0], row[1]) for row in found["rows"]] == [
        (0, "order"),
        (0, "items"),
        (1, 0),
        (2, "sku"),
        (2, "of"),
        (3, "a"),
        (0, "sizes"),
        (0, "many"),
    ]
    assert found["paths"][3:6] == [
        'output["items"][0]["sku"]',
        'output["items"][0]["of"]',
        'output["items"][0]["of"]["a"]',
    ]
    assert tree([{1, 2}], ["set", 0, True])["paths"] == ["output[0]", "output[0]", "output[0]"]  # a set has no index
    assert tree(42)["rows"] == [[0, None, "42", "int", "", 0]]


def test_a_long_list_and_a_long_text_come_in_pieces_that_say_how_much_there_is() -> None:
    long = tree({"list": list(range(1_200)), "last": 1}, ["set", 0, True])
    assert len(long["rows"]) == 1 + 500 + 1 + 1
    assert long["rows"][501] == [1, "cut", "500 of 1,200"]
    more = tree({"list": list(range(1_200)), "last": 1}, ["set", 0, True], ["more", 501])
    assert more["answers"] == [True, 501] and more["rows"][1001] == [1, "cut", "1,000 of 1,200"]
    assert [row[1] for row in more["rows"][499:503]] == [498, 499, 500, 501]
    whole = tree({"list": list(range(1_200)), "last": 1}, ["set", 0, True], ["more", 501, True])
    assert len(whole["rows"]) == 1 + 1_200 + 1 and whole["rows"][-1][1] == "last"

    lines = tree("".join(f"line {number}\n" for number in range(9_000)))
    assert lines["rows"][:2] == [[0, "line", "line 0"], [0, "line", "line 1"]]
    assert lines["rows"][-1][1:] == ["cut", "64\u00a0KB of 87\u00a0KB"]
    goes_on = tree("x" * 65_000 + "\N{GRINNING FACE}" * 1_000)
    assert goes_on["rows"][-1][1:] == ["cut", "64\u00a0KB of 65\u00a0KB"]
    halves = "".join(row[2] for row in goes_on["rows"][:-1])
    assert set(halves) == {"x", "\N{GRINNING FACE}"}  # no character is cut in two
    all_of_it = tree("x" * 65_000 + "\N{GRINNING FACE}" * 1_000, ["more", len(goes_on["rows"]) - 1])
    assert "".join(row[2] for row in all_of_it["rows"]) == "x" * 65_000 + "\N{GRINNING FACE}" * 1_000


def test_bytes_open_as_the_bytes_they_are() -> None:
    dump = tree({"label": b"\x89PNG\r\n\x1a\n and more"}, ["set", 0, True])["rows"]
    assert dump[1:] == [
        [1, "line", "89 50 4e 47 0d 0a 1a 0a  ·PNG····"],
        [1, "line", "20 61 6e 64 20 6d 6f 72   and mor"],
        [1, "line", "65                       e"],
    ]


def test_a_search_leads_to_keys_and_values_however_deep_and_far_they_are() -> None:
    value = {
        "a": [{"sku": f"lamp-{number}"} for number in range(2_000)],
        "Lamp-1999": "none",
        "text": "one\ntwo lamp-1999\n" * 5_000,
    }
    found = node(FOUND, {"text": values.dumps(values.encode(value)), "wanted": "lamp-1999"})
    assert found[:3] == [
        ['output["a"][1999]["sku"]', '"lamp-1999"'],
        ['output["Lamp-1999"]', '"none"'],
        ['output["text"]', "two lamp-1999"],
    ]
    far = "begin\n" + "x" * 100_000 + "\nthe needle is here"
    assert node(FOUND, {"text": json.dumps({"t": far}), "wanted": "NEEDLE"}) == [['output["t"]', "the needle is here"]]
    key_and_value = {"text": json.dumps({"lamp": "lamp", "other": ["lamp"]}), "wanted": "lamp"}
    assert node(FOUND, key_and_value) == [['output["lamp"]', '"lamp"'], ['output["other"][0]', '"lamp"']]


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_those_of_what_is_open_however_it_was_opened(seed: int) -> None:
    chance = random.Random(seed)

    def made(depth: int) -> Any:
        if depth == 0:
            return chance.choice([1, "text", "a\nb", None, [1, 2]])
        kind = chance.choice(["list", "dict", "long"])
        if kind == "long":
            return [chance.randrange(9) for _ in range(chance.randrange(400, 1_300))]
        members = [made(depth - 1) for _ in range(chance.randrange(1, 6))]
        return members if kind == "list" else {f"k{place}": member for place, member in enumerate(members)}

    value = {"one": made(4), "two": made(4), "three": made(3)}
    acts = [chance.randrange(10_000) for _ in range(400)]
    found = node(FOLDS, {"text": json.dumps(value), "acts": acts})
    assert found["same"] and found["at"] and found["opened"]
