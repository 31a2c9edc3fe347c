"""Writes the tables of docs/events.md: `./run python docs/events.py`.

They are made from the comments in playground/workflows/events.py.
"""

import inspect
import re
from pathlib import Path
from typing import NamedTuple

from docs import tables
from playground.workflows import events

FILE = Path(__file__).with_name("events.md")

_ROW = re.compile(r'^[A-Z_]+ = "(\w+)"  # (.*(?:\n# .*)*)$', re.MULTILINE)


class Row(NamedTuple):
    """A type of event, or a reason: what it says has happened, and what `data` holds."""

    word: str
    happened: str
    data: str


def rows(after: str, before: str) -> list[Row]:
    """The rows of events.py between two lines of it."""
    part = inspect.getsource(events).partition(after)[2].partition(before)[0]
    found = []
    for word, comment in _ROW.findall(part):
        happened, _, data = comment.replace("\n# ", " ").partition(": ")
        found.append(Row(word, happened, data))
    return found


def type_rows() -> list[Row]:
    """The types of events."""
    return rows("# Each with what has happened", "# Why an execution ended.")


def types() -> str:
    """The table of event types."""
    return tables.table(("`type`", "what has happened", "`data`"), [(f"`{row.word}`", *row[1:]) for row in type_rows()])


def reasons() -> str:
    """The table of the reasons of `execution_ended`."""
    found = rows("# Why an execution ended.", "END_REASONS")
    return tables.table(
        ("`reason`", "the worker"), [(f"`{row.word}`", ": ".join(filter(None, row[1:]))) for row in found]
    )


def written(text: str) -> str:
    """The document with its tables made anew."""
    return tables.written(text, {"types": lambda _: types(), "reasons": lambda _: reasons()})


if __name__ == "__main__":
    FILE.write_text(written(FILE.read_text()))
