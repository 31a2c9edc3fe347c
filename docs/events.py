"""Writes the tables of docs/events.md anew: `./run python docs/events.py`.

They are made from the table in playground/workflows/events.py.
"""

import inspect
import re
from pathlib import Path
from typing import NamedTuple

from playground.workflows import events

FILE = Path(__file__).with_name("events.md")

_ROW = re.compile(r'^[A-Z_]+ = "(\w+)"  # (.*(?:\n# .*)*)$', re.MULTILINE)


class Row(NamedTuple):
    """A word of the journal: what it says has happened, and what stands in `data`."""

    word: str
    happened: str
    data: str


def rows(after: str, before: str) -> list[Row]:
    """The rows of events.py between two lines of it."""
    part = inspect.getsource(events).partition(after)[2].partition(before)[0]
    found = []
    for word, said in _ROW.findall(part):
        happened, _, data = said.replace("\n# ", " ").partition(": ")
        found.append(Row(word, happened, data))
    return found


def types() -> str:
    """The table of event types."""
    lines = [
        f"| `{row.word}` | {_cell(row.happened)} | {_cell(row.data)} |"
        for row in rows("# Each with what has happened", "# Why an execution ended.")
    ]
    return "\n".join(["| `type` | what has happened | `data` |", "|---|---|---|", *lines])


def reasons() -> str:
    """The table of the reasons of `execution_ended`."""
    lines = [
        f"| `{row.word}` | {_cell(': '.join(filter(None, row[1:])))} |"
        for row in rows("# Why an execution ended.", "END_REASONS")
    ]
    return "\n".join(["| `reason` | the worker |", "|---|---|", *lines])


TABLES = {"types": types, "reasons": reasons}


def written(text: str) -> str:
    """The text with its tables as they are now; each stands behind a comment with its name,
    up to the next empty line.
    """
    for name, table in TABLES.items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(?=\n\n|\Z)",
            lambda found, table=table: found[1] + table(),
            text,
            count=1,
            flags=re.DOTALL,
        )
    return text.rstrip("\n") + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    FILE.write_text(written(FILE.read_text()))
