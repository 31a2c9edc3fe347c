"""Sources that do not parse: where and what, in characters, whichever part of Python refuses them."""

import pytest

from playground.analysis import check, inspect

CASES = [
    ("parser", "x = (1\n", (1, 5, 1, 6), "'(' was never closed."),
    ("after letters of several bytes", "größe = (数\n", (1, 9, 1, 10), "'(' was never closed."),
    ("indentation", "def f():\nreturn 1", (2, 1, 2, 7), "Expected an indented block"),
    ("tokenizer", "x = 'abc\n", (1, 5, 1, 6), "Unterminated string literal"),
    ("compiler", "def f():\n    'é'; break", (2, 10, 2, 15), "'break' outside loop."),
    ("await outside of async", "def f():\n    await g()", (2, 5, 2, 14), "'await' outside async function."),
    ("symbol table", "x = 1\nnonlocal x", (2, 1, 2, 11), "Name 'x' is assigned to before nonlocal declaration."),
    ("null character", "x = 1\ny = '\0'", (2, 6, 2, 7), "null character"),
    ("lone surrogate", "x = '\ud800'", (1, 6, 1, 7), "lone surrogate"),
    ("carriage returns", "x = 1\ry = (\r\n", (2, 5, 2, 6), "'(' was never closed."),
    ("line separators inside of a line", "x = '\u2028\x0b'; y = )", (1, 15, 1, 16), "Unmatched ')'"),
    ("the end of the file", "if x:", (1, 5, 1, 6), "Expected an indented block"),
    ("parentheses too deep", "(" * 300, (1, 201, 1, 202), "Too many nested parentheses."),
    ("number of too many digits", "x = " + "1" * 5000, (1, None, 1, None), "Exceeds the limit"),
]


@pytest.mark.parametrize(("source", "span", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_says_where_and_what(source, span, words):
    (found,), outline = inspect(source)
    assert (found.code, found.severity, outline) == ("syntax", "error", [])
    assert words in found.message
    where = found.span
    line, column, end_line, end_column = span
    assert (where.line, where.end_line) == (line, end_line)
    if column is not None:
        assert (where.column, where.end_column) == (column, end_column)


def test_a_source_deeper_than_the_parser_goes_is_refused_with_a_sentence():
    deep = "x = " + "-" * 200_000 + "1"
    assert [diagnostic["code"] for diagnostic in check(deep)["diagnostics"]] == ["syntax"]


def test_a_source_deeper_than_the_lint_goes_is_let_through():
    source = (
        "from workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, "
        "event, step):\n"
    )
    chain = "        return event" + ".payload" * 1500
    found = check(source + chain)["diagnostics"]
    assert "error" not in [diagnostic["severity"] for diagnostic in found], found
    assert "not-analysed" not in [diagnostic["code"] for diagnostic in found]


def test_repeats_what_python_warns_of():
    (found,) = [
        diagnostic
        for diagnostic in check("assert (1, 'always')\n")["diagnostics"]
        if diagnostic["code"] == "syntax-warning"
    ]
    assert (found["line"], found["column"], found["severity"]) == (1, 1, "warning")
    assert found["message"].startswith("Assertion is always true")


def test_has_the_shape_of_the_contract():
    found = check("class TenantWorkflow:\n    async def run(self, event, step):\n        step.sleep('s', '1 day')\n")
    assert set(found) == {"diagnostics", "outline", "tool"}
    by_code = {diagnostic["code"]: diagnostic for diagnostic in found["diagnostics"]}
    unawaited = by_code["not-awaited"]
    assert set(unawaited) == {"severity", "code", "message", "line", "column", "end_line", "end_column", "fix"}
    assert unawaited["fix"] == {
        "title": "Put await before it",
        "line": 3,
        "column": 9,
        "end_line": 3,
        "end_column": 9,
        "text": "await ",
    }
