"""The durable lint is silent on correct programs: a false alarm costs more trust than a miss."""

from pathlib import Path

import pytest

from playground.analysis import inspect
from playground.examples import load

FIXTURES = Path(__file__).parent / "fixtures"
PROGRAMS = {
    **{f"{path.parent.name}/{path.stem}": path.read_text("utf-8") for path in sorted(FIXTURES.glob("*/*.py"))},
    **{f"examples/{example.slug}": example.source for example in load()},
}


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_says_nothing(source):
    diagnostics, outline = inspect(source)
    assert [(found.span.line, found.code, found.message) for found in diagnostics] == []
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
