"""The durable lint is silent on correct programs: a false alarm costs more trust than a miss.

What runs right and is worth a word all the same stands in fixtures/informed, each line of it with what is said there.
"""

import re
from pathlib import Path

import pytest

from playground.analysis import inspect
from playground.analysis.diagnostics import INFO
from playground.examples import load

FIXTURES = Path(__file__).parent / "fixtures"


def read(*folders: str) -> dict[str, str]:
    return {
        f"{folder}/{path.stem}": path.read_text("utf-8")
        for folder in folders
        for path in sorted((FIXTURES / folder).glob("*.py"))
    }


PROGRAMS = {
    **read("cloudflare", "correct", "near"),
    **{f"examples/{example.slug}": example.source for example in load()},
}
INFORMED = read("informed")


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_says_nothing(source):
    diagnostics, outline = inspect(source)
    assert [(found.span.line, found.code, found.message) for found in diagnostics] == []
    assert outline


@pytest.mark.parametrize("source", INFORMED.values(), ids=INFORMED.keys())
def test_says_what_is_worth_a_word_and_warns_of_nothing(source):
    expected = [
        (number, found[1])
        for number, line in enumerate(source.split("\n"), 1)
        if (found := re.search(r"# info: ([\w-]+)$", line))
    ]
    diagnostics, outline = inspect(source)
    assert [(found.span.line, found.code) for found in diagnostics] == expected
    assert {found.severity for found in diagnostics} == {INFO}
    assert outline


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_counts_columns_in_characters_whatever_stands_before(source):
    faulty = source.replace("    async def run(self", "    def other(self): 'ä数𝒳'; oops\n\n    async def run(self")
    lines = faulty.split("\n")
    found = [diagnostic for diagnostic in inspect(faulty)[0] if diagnostic.code == "undefined-name"]
    assert found
    for diagnostic in found:
        span = diagnostic.span
        assert lines[span.line - 1][span.column - 1 : span.end_column - 1] == "oops"
