"""The durable lint on what workers lack: packages, network, files, a terminal, other processes and threads.

tests/analysis_support.py says how a case is marked.
"""

import pytest
from aio import run
from analysis_support import check_alone, check_case, message, program
from run_support import Program, run_all

from playground.analysis import inspect
from playground.analysis.rules import unavailable
from playground.worker import api
from playground.workflows import unavailable as lacking

CASES = [
    ("a package", "no-package", "import «requests»\nreturn requests"),
    ("a part of a package", "no-package", "import «google.cloud.storage as storage»\nreturn storage"),
    ("from a package", "no-package", "«from bs4 import BeautifulSoup»\nreturn BeautifulSoup"),
    ("beside the module", "no-package", "«from .helpers import slug»\nreturn slug"),
    ("in a helper", "no-package", "def load():\n    import «yaml»\n    return yaml.safe_load('')\nreturn load()"),
    ("in a try that is ready for something else", "no-package",
     "try:\n    import «numpy»\nexcept ValueError:\n    numpy = None\nreturn numpy"),
    ("fetch outside of a step", "fetch-outside-step",
     "from workers import fetch\nreturn (await «fetch»('https://a.b')).status"),
    ("the binding outside of a step", "fetch-outside-step", "return (await «self.env.FETCH.fetch»('https://a.b')).ok"),
    ("an option of Cloudflare's fetch", "fetch-option",
     "from workers import fetch\nawait step.do('a', lambda: fetch('https://a.b', «cf={}»))"),
    ("a type that can only be named", "not-in-workers",
     "from workers import Request\nreturn await step.do('a', lambda: str(«Request»('https://a.b')))"),
    ("JavaScript's functions", "not-of-workers", "from workers import «python_to_rpc»\nreturn python_to_rpc"),
    ("a binding of the module's env, misspelt", "no-binding",
     ("from workers import env\nawait step.do('m', lambda: «env.EFFECT».email('a@b.c')) => "
      "await step.do('m', lambda: self.env.EFFECTS.email('a@b.c'))")),
    ("a type", "not-of-workers", "from workers import WorkflowEntrypoint, «WorkflowRunner»\nreturn WorkflowRunner"),
    ("misspelt", "not-of-workers",
     "from workers import «NonRetriableError»\nraise NonRetriableError => from workers import NonRetryableError"),
    ("an attribute of the module", "not-of-workers", "import workers\nreturn await «workers.patch_env»()"),
    ("open", "not-in-workers", "with «open»('x') as f:\n    return f.read()"),
    ("open in a step", "not-in-workers",
     "@step.do()\nasync def a():\n    with «open»('x') as f:\n        return f.read()\n\nawait a()"),
    ("read_text", "not-in-workers", "return «Path('x').read_text»()"),
    ("a path kept in a name", "not-in-workers", "place = Path('x')\nreturn «place.read_text»()"),
    ("a temporary file", "not-in-workers", "import tempfile\nreturn «tempfile.mkdtemp»()"),
    ("a database in a file", "not-in-workers", "import sqlite3\nreturn «sqlite3.connect»('x.db')"),
    ("input", "not-in-workers", "return await step.do('ask', lambda: «input»('name? '))"),
    ("a program", "not-in-workers",
     "import subprocess\nreturn await step.do('ls', lambda: «subprocess.run»(['ls']).returncode)"),
    ("a socket", "not-in-workers",
     "import socket\nreturn await step.do('s', lambda: str(«socket.create_connection»(('a', 80))))"),
    ("a request", "not-in-workers",
     ("import urllib.request\n@step.do()\ndef get():\n    return «urllib.request.urlopen»('https://a.b').read()\n"
      "await get()")),
    ("a thread", "not-in-workers", "await step.do('s', lambda: «asyncio.to_thread»(len, 'x'))"),
    ("a callback that can't be followed", "not-in-workers",
     "for name, make in {'ask': lambda: «input»()}.items():\n    await step.do(name, make)"),
    ("another platform's database", "no-binding",
     "rows = await step.do('q', lambda: «self.env.DB».prepare('select 1').all())"),
    ("a child of another workflow", "named-workflow",
     "await self.env.WORKFLOWS.run({'to': 'lin'}, «workflow='mail'»)"),
    ("a misspelt binding", "no-binding",
     ("await step.do('m', lambda: «self.env.EFFECT».email('a@b.c')) => "
      "await step.do('m', lambda: self.env.EFFECTS.email('a@b.c'))")),
]  # fmt: skip
IDS = [f"{case[1]}: {case[0]}" for case in CASES]


@pytest.mark.parametrize(("code", "text"), [case[1:] for case in CASES], ids=IDS)
def test_finds_it_where_it_stands_and_cures_it(code, text):
    check_case(code, text)


@pytest.mark.parametrize(("code", "text"), [case[1:] for case in CASES], ids=IDS)
def test_says_nothing_else_that_is_wrong_by_the_way(code, text):
    check_alone(code, text)


def test_a_missing_package_is_told_with_what_there_is_instead():
    said = message("import requests\nreturn requests")
    assert said.startswith(
        "Workers have the standard library only, and `requests` is not in it: this raises `No module named requests`."
    )
    assert "no network" in said
    assert "`from workers import fetch`" in said
    assert "`json`" in message("import orjson\nreturn orjson")


def test_each_thing_that_workers_lack_has_its_own_advice():
    said = lacking.ADVICE
    assert "no network" in said[lacking.NETWORK] and "`fetch`" in said[lacking.NETWORK]
    assert "wait_for_event" in said[lacking.TERMINAL]
    assert "self.env.KV" in said[lacking.FILES]
    assert "asyncio.gather" in said[lacking.THREADS]
    assert message("return input()").endswith(said[lacking.TERMINAL])


TRIED = {
    "import msgspec": "ModuleNotFoundError",  # which this program has, so that only the worker lacks it
    "from workers import patch_env": "ImportError",
    "from workers import FormData; FormData()": "TypeError",
    "open('x')": "FileNotFoundError",
    "open('x', 'w')": "PermissionError",
    "import pathlib; pathlib.Path('x').read_text()": "FileNotFoundError",
    "import tempfile; tempfile.mkdtemp()": "FileNotFoundError",
    "import sqlite3; sqlite3.connect('x.db')": "OperationalError",
    "import sqlite3; sqlite3.connect(':memory:').execute('select 1')": "",
    "import socket; socket.create_connection(('127.0.0.1', 9))": "PermissionError",
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')": "URLError",
    "input('name? ')": "EOFError",
    "import subprocess; subprocess.run(['true'])": "PermissionError",
    "import multiprocessing; multiprocessing.Process(target=print).start()": "PermissionError",
    "import threading; threading.Thread(target=print).start()": "RuntimeError",
    "import concurrent.futures as f; f.ThreadPoolExecutor().submit(print)": "RuntimeError",
}
TRIES = """
from workers import WorkflowEntrypoint

def tried(text):
    try:
        exec(text, {})
    except Exception as error:
        return type(error).__name__
    return ""

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return [await step.do(f"try {text}", lambda: tried(text)) for text in event["payload"]]
"""


def test_what_the_lint_says_that_workers_lack_they_do_lack(tmp_path):
    outcome = run(run_all({"tries": Program(TRIES, list(TRIED))}, tmp_path))["tries"]
    assert dict(zip(TRIED, outcome.journal[-1].data["output"], strict=True)) == TRIED
    for text, error in TRIED.items():
        found = {
            diagnostic.code
            for diagnostic in inspect(program(f"def do_it():\n    {text}\nawait step.do('a', do_it)"))[0]
        }
        assert bool(found & {"no-package", "not-of-workers", "not-in-workers"}) == bool(error), text


def test_what_workers_export_is_known():
    assert set(unavailable.WORKERS) == set(api.module_names()) | {"workflows"}
    assert not set(unavailable.NAME_ADVICE) & set(unavailable.WORKERS), "advice that nobody can be given"
