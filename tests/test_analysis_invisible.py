"""The durable lint on characters that nobody sees, in step names and in the source.

tests/analysis_support.py says how a case is marked.
"""

import pytest
from analysis_support import check_alone, check_case, message

from playground.analysis.rules.step_names import escape_invisible, invisible_characters

CASES = [
    ("a space of no width", "invisible-name",
     "await step.do(«'pay\u200b'», lambda: 1) => await step.do(\"pay\", lambda: 1)"),
    ("written as an escape", "invisible-name",
     "await step.sleep(«'a\\u202eb'», '1 second') => await step.sleep(\"ab\", '1 second')"),
    ("in a computed name", "invisible-name", "await step.do(«f'pay\u2066 {event.payload}'», lambda: 1)"),
    ("kept in a name", "invisible-name", "name = «'a\ufeffb'»\nawait step.do(name, lambda: 1) => name = \"ab\""),
    ("in a text", "reordered-source", "return 'a«\u202e»b' => return 'a\\u202eb'"),
    ("in a raw text", "reordered-source", "return r'a«\u202e»b'"),
    ("in a comment", "reordered-source", "return 1  # admin «\u2067»} => return 1  # admin }"),
]  # fmt: skip
IDS = [f"{case[1]}: {case[0]}" for case in CASES]


@pytest.mark.parametrize(("code", "text"), [case[1:] for case in CASES], ids=IDS)
def test_finds_it_where_it_stands_and_cures_it(code, text):
    check_case(code, text)


@pytest.mark.parametrize(("code", "text"), [case[1:] for case in CASES], ids=IDS)
def test_says_nothing_else_that_is_wrong_by_the_way(code, text):
    check_alone(code, text)


def test_a_name_is_shown_with_its_invisible_characters_as_escapes():
    assert "`pay\\u202egnp`" in message("await step.do('pay\u202egnp', lambda: 1)")
    assert "U+202E (right-to-left override)" in message("await step.do('pay\u202egnp', lambda: 1)")
    assert escape_invisible("a\U000e0041") == "a\\U000e0041"


def test_joiners_that_shape_what_is_seen_are_no_invisible_characters():
    assert invisible_characters("👩‍🚀 lädt ❤️ می‌خواهم क्‍ष") == []
    assert invisible_characters("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f") == []
    assert invisible_characters("a\u200db") == ["\u200d"]
