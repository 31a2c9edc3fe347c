"""What the tests of the durable lint share: programs that break a rule, with the place that breaks it marked.

In a case's code, «» marks where the finding must stand, and what follows `=>` is that line after its fix. What stands
before a line `---` is the module's, the rest is the body of `run`.
"""

import textwrap

from playground.analysis import inspect

IMPORTS = """\
import asyncio
import datetime as dt
import random
import secrets
import time
import uuid
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from workers import NonRetryableError, WorkflowEntrypoint

"""
CLASS = "class TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, event, step):\n"
DONE = "\n        await step.do('last', lambda: None)\n"


def program(code: str) -> str:
    module, _, body = code.rpartition("---\n")
    return IMPORTS + module + CLASS + textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8) + DONE


def message(code: str) -> str:
    """What the one finding in a program says."""
    (found,) = inspect(program(code))[0]
    return found.message


def marked(code: str) -> tuple[str, tuple[int, int, int, int], str | None]:
    """The source without marks, the place between them, and the line after its fix."""
    fixed = None
    if "=>" in code:
        code, _, fixed = code.partition("=>")
        code, fixed = code.rstrip() + "\n", fixed.strip()
    source = program(code)
    start = source.index("«")
    source = source.replace("«", "")
    end = source.index("»")
    source = source.replace("»", "")
    return source, (*place(source, start), *place(source, end)), fixed


def place(source: str, index: int) -> tuple[int, int]:
    before = source[:index].split("\n")
    return len(before), len(before[-1]) + 1


def apply(source: str, fix) -> str:
    """The source with a fix made."""
    lines = source.split("\n")
    span = fix.span
    head = "\n".join([*lines[: span.line - 1], lines[span.line - 1][: span.column - 1]])
    tail = "\n".join([lines[span.end_line - 1][span.end_column - 1 :], *lines[span.end_line :]])
    return head + fix.text + tail


def check_case(code: str, text: str) -> None:
    """The rule finds what is marked, and nothing more; its fix makes the line what it should be, and then the rule is
    silent.
    """
    source, span, fixed = marked(text)
    diagnostics, _ = inspect(source)
    found = [diagnostic for diagnostic in diagnostics if diagnostic.code == code]
    assert [(it.span.line, it.span.column, it.span.end_line, it.span.end_column) for it in found] == [span], diagnostics
    if fixed is not None:
        after = apply(source, found[0].fix)
        assert after.split("\n")[found[0].fix.span.line - 1].strip() == fixed
        assert code not in [diagnostic.code for diagnostic in inspect(after)[0]]


def check_alone(code: str, text: str) -> None:
    """No other rule says anything of a case."""
    source, _, _ = marked(text)
    assert {diagnostic.code for diagnostic in inspect(source)[0]} == {code}
