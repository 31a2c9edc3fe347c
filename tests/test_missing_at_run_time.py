"""What code meets that tries what a worker does not have: the page's own words beside the error, and no second attempt
that can't pass.
"""

from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from aio import run
from run_support import Program, run_all

from playground.workflows import unavailable

# By a name: what a step does, the beginning of what is said of it.
TRIED = {
    "package": (
        "import requests",
        "Workers have the standard library only, and `requests` is not in it. There is no network either.",
    ),
    "unknown package": (
        "from bs4 import BeautifulSoup",
        "Workers have the standard library only, and `bs4` is not in it.",
    ),
    "name of workers": ("from workers import patch_env", unavailable.NAME_ADVICE["patch_env"]),
    "socket": ("import socket; socket.socket()", unavailable.ADVICE_AFTER_ERROR["network"]),
    "name look-up": ("import socket; socket.getaddrinfo('a.example', 80)", unavailable.ADVICE_AFTER_ERROR["network"]),
    "urlopen": (
        "import urllib.request; urllib.request.urlopen('http://a.example')",
        unavailable.ADVICE_AFTER_ERROR["network"],
    ),
    "urlopen of an address": (
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1')",
        unavailable.ADVICE_AFTER_ERROR["network"],
    ),
    "open_connection": (
        "import asyncio; await asyncio.open_connection('a.example', 80)",
        unavailable.ADVICE_AFTER_ERROR["network"],
    ),
    "open": ("open('orders.csv')", unavailable.ADVICE_AFTER_ERROR["files"]),
    "open for writing": ("open('orders.csv', 'w')", unavailable.ADVICE_AFTER_ERROR["files"]),
    "a path": ("import pathlib; pathlib.Path('x').write_text('')", unavailable.ADVICE_AFTER_ERROR["files"]),
    "listdir": ("import os; os.listdir('.')", unavailable.ADVICE_AFTER_ERROR["files"]),
    "a temporary file": ("import tempfile; tempfile.mkdtemp()", unavailable.ADVICE_AFTER_ERROR["files"]),
    "a database": ("import sqlite3; sqlite3.connect('x.db')", unavailable.ADVICE_AFTER_ERROR["files"]),
    "input": ("input('name? ')", unavailable.ADVICE_AFTER_ERROR["terminal"]),
    "getpass": ("import getpass; getpass.getpass()", unavailable.ADVICE_AFTER_ERROR["terminal"]),
    "a program": ("import subprocess; subprocess.run(['ls'])", unavailable.ADVICE_AFTER_ERROR["processes"]),
    "popen": ("import os; os.popen('ls')", unavailable.ADVICE_AFTER_ERROR["processes"]),
    "fork": ("import os; os.fork()", unavailable.ADVICE_AFTER_ERROR["processes"]),
    "a process": (
        "import multiprocessing; multiprocessing.Process(target=print).start()",
        unavailable.ADVICE_AFTER_ERROR["processes"],
    ),
    "a thread": ("import threading; threading.Thread(target=print).start()", unavailable.ADVICE_AFTER_ERROR["threads"]),
    "to_thread": ("import asyncio; await asyncio.to_thread(print)", unavailable.ADVICE_AFTER_ERROR["threads"]),
}
# The same classes, raised by an author who means something else: tried again, nothing said.
METHOD_SPELLINGS = {
    "permission": "raise PermissionError(1, 'not your order', 'order-7')",
    "file": "raise FileNotFoundError(2, 'not uploaded yet', 'order-7')",
    "end": "raise EOFError('EOF when reading a line')",
    "thread": 'raise RuntimeError("can\'t start new thread")',
    "module": "raise ModuleNotFoundError('plugin is not ready', name='plugin')",
    "connection": "raise ConnectionResetError('the shop went away')",
}
RETRIED_ONCE = '{"retries": {"limit": 1, "delay": 1}}'


def _program(body: str) -> Program:
    source = (
        "from workers import WorkflowEntrypoint\n\n\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def "
        "run(self, event, step):\n"
    )
    source += (
        f"        @step.do('try it', config={RETRIED_ONCE})\n        async def try_it():\n{indent(body, ' ' * 12)}\n\n"
    )
    return Program(source + "        return await try_it()\n")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    programs = {
        **{name: _program(body) for name, (body, _) in TRIED.items()},
        **{f"meant: {name}": _program(body) for name, body in METHOD_SPELLINGS.items()},
    }
    folder: Path = tmp_path_factory.mktemp("missing")
    return run(run_all({**programs, "binding": _program("self.env.DB")}, folder))


def _attempts(outcome: Any) -> int:
    return len([event for event in outcome.journal if event.type == "attempt_started"])


@pytest.mark.parametrize("name", TRIED)
def test_what_a_worker_does_not_have_is_said_beside_the_error_and_not_tried_again(outcomes, name):
    outcome, (_, said) = outcomes[name], TRIED[name]
    (note,) = outcome.state.error["notes"]
    assert note.startswith(said)
    assert _attempts(outcome) == 1
    (failed,) = [event for event in outcome.journal if event.type == "step_errored"]
    assert failed.data["error"]["notes"] == [note], "it stands at the step, too, once"


@pytest.mark.parametrize("name", METHOD_SPELLINGS)
def test_an_error_that_the_code_raises_itself_keeps_its_meaning_and_its_retries(outcomes, name):
    outcome = outcomes[f"meant: {name}"]
    assert "notes" not in outcome.state.error
    assert _attempts(outcome) == 2


def test_a_binding_that_is_not_there_is_told_with_those_that_are_and_not_asked_for_again(outcomes):
    outcome = outcomes["binding"]
    said = (
        "`self.env` has no `DB`; it has: AI, APPROVALS, EFFECTS, FETCH, KV, MCP, QUEUE, STREAMS, WORKFLOWS. In its "
        "place there may be `self.env.KV`. The operator of the server adds others."
    )
    assert outcome.state.error["message"] == said
    assert _attempts(outcome) == 1
