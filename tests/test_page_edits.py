"""The edits that the format button makes, applied by the rules of the editor: they lead to the formatted text and touch
nothing else.
"""

import random

import pytest
from page_code_support import node

CASES = {
    "nothing": ("a\nb\n", "a\nb\n"),
    "spaces in a line": ("x = { 'a':1 }\ny = 2\n", 'x = {"a": 1}\ny = 2\n'),
    "lines put in": ("import os\nclass A:\n  pass\n", "import os\n\n\nclass A:\n    pass\n"),
    "lines taken out": ("a\n\n\n\nb\n", "a\n\nb\n"),
    "a call split": ("def f():\n    g(1, 2)\n", "def f():\n    g(\n        1,\n        2,\n    )\n"),
    "no end of line": ("a", "a\n"),
    "from nothing": ("", "a\n"),
    "to nothing": ("a\nb", ""),
    "beyond the basic plane": ("x='\N{GRINNING FACE}'\n", 'x = "\N{GRINNING FACE}"\n'),
}


def applied(pairs: list[tuple[str, str]]) -> list[dict]:
    return node(
        """
        import { edits } from "RUN/../edits.js";
        return given.map(([before, after]) => {
          const found = edits(before, after);
          let made = "";
          let at = 0;
          for (const { from, to, insert } of found) {
            if (from < at || to < from) return { made: "out of order", count: found.length };
            made += before.slice(at, from) + insert;
            at = to;
          }
          return { made: made + before.slice(at), count: found.length,
              touched: found.reduce((sum, { from, to }) => sum + to - from, 0) };
        });
        """,
        pairs,
    )


@pytest.mark.parametrize("name", CASES)
def test_edits_lead_to_the_text(name: str) -> None:
    before, after = CASES[name]
    assert applied([(before, after)])[0]["made"] == after


def test_lines_that_stay_are_not_touched() -> None:
    before = "a = 1\nkept\nb = {'x':1}\nkept too\n"
    found = applied([(before, before.replace("{'x':1}", '{"x": 1}'))])[0]
    assert found["count"] == 1
    assert found["touched"] <= len("'x':")


def test_any_two_texts() -> None:
    chance = random.Random(7)
    pairs = [
        ("".join(chance.choices("ab\n ", k=chance.randrange(40))), "".join(chance.choices("ab\n ", k=40)))
        for _ in range(200)
    ]
    assert [found["made"] for found in applied(pairs)] == [after for _, after in pairs]
