"""Writes the tables of docs/operating.md: `./run python docs/operating.py`.

They are made from the settings, the metrics and the lines of the log.
"""

import dataclasses
from pathlib import Path

from docs import tables
from playground.cli import option_name
from playground.log_lines import FIELDS, LINES
from playground.settings import ENV_PREFIX, Settings
from playground.web.http.metrics import COUNTER, METRICS, PREFIX, STORE

FILE = Path(__file__).with_name("operating.md")


def metrics() -> str:
    """The table of metrics."""
    return tables.table(
        ("metric", "kind", "label", "of", "what it is"),
        [
            (
                f"`{PREFIX}{row.name}{'_total' if row.kind == COUNTER else ''}`",
                row.kind,
                row.label,
                "database" if row.scope == STORE else "process",
                row.description,
            )
            for row in METRICS
        ],
    )


def lines() -> str:
    """The table of the log's lines."""
    return tables.table(
        ("line", "level", "when", "what to do", "fields"),
        [
            (f"`{line.event}`", line.level, line.when, line.what_to_do, ", ".join(f"`{name}`" for name in line.fields))
            for line in LINES
        ],
    )


def fields() -> str:
    """The table of the fields in them."""
    return tables.table(("field", "is"), [(f"`{name}`", meaning) for name, meaning in FIELDS.items()])


def settings() -> str:
    """The table of settings."""
    return tables.table(
        (f"option (as a variable: `{ENV_PREFIX}…`)", "default", "unit", "what it is"),
        [
            (f"`{option_name(row.name)}`", _default(row.default), row.metadata["unit"], row.metadata["help"])
            for row in dataclasses.fields(Settings)
        ],
    )


def _default(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def written(text: str) -> str:
    """The document with its tables made anew."""
    makers = {"metrics": metrics, "lines": lines, "fields": fields, "settings": settings}
    return tables.written(text, {name: lambda _, make=make: make() for name, make in makers.items()})


if __name__ == "__main__":
    FILE.write_text(written(FILE.read_text()))
