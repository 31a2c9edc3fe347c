"""Writes the tables of docs/operating.md anew: `./run python docs/operating.py`.

They are made from the settings, the metrics and the lines of the log.
"""

import dataclasses
import re
from pathlib import Path

from playground.cli import option
from playground.log_lines import FIELDS, LINES
from playground.settings import ENV_PREFIX, Settings
from playground.web.http.metrics import COUNTER, METRICS, PREFIX, STORE, Row

FILE = Path(__file__).with_name("operating.md")


def metrics() -> str:
    """The table of metrics."""
    rows = [
        f"| `{PREFIX}{row.name}{'_total' if row.kind == COUNTER else ''}` | {row.kind} "
        f"| {row.label} | {_of(row)} | {row.says} |"
        for row in METRICS
    ]
    return "\n".join(["| metric | kind | label | of | what it is |", "|---|---|---|---|---|", *rows])


def _of(row: Row) -> str:
    return "database" if row.whose == STORE else "process"


def lines() -> str:
    """The table of the log's lines."""
    rows = [
        (
            f"| `{line.event}` | {line.level} | {line.when} | {line.do} | "
            f"{', '.join(f'`{name}`' for name in line.fields)} |"
        )
        for line in LINES
    ]
    return "\n".join(["| line | level | when | what to do | fields |", "|---|---|---|---|---|", *rows])


def fields() -> str:
    """The table of the fields in them."""
    return "\n".join(
        ["| field | is |", "|---|---|", *(f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items())]
    )


def settings() -> str:
    """The table of settings."""
    rows = []
    for row in dataclasses.fields(Settings):
        default = (
            f"{row.default:,}" if type(row.default) is int else {True: "yes", False: "no"}.get(row.default, row.default)
        )
        help = row.metadata["help"].replace("|", "\\|")
        rows.append(f"| `{option(row.name)}` | {default} | {row.metadata['unit']} | {help} |")
    return "\n".join([f"| option (as a variable: `{ENV_PREFIX}…`) | default | unit | |", "|---|---|---|---|", *rows])


TABLES = {"metrics": metrics, "lines": lines, "fields": fields, "settings": settings}


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


if __name__ == "__main__":
    FILE.write_text(written(FILE.read_text()))
