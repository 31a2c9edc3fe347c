"""The pytest plugin as a project has it: its own folder, its own pytest, warnings as errors."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from playground.testing.fixture import THREAD, Workflows

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "testing.md"
SECONDS = 120
FIVE = """
from workers import WorkflowEntrypoint

class Five(WorkflowEntrypoint):
    async def run(self, event, step):
        return 5
"""
ORDERS = """
from workers import WorkflowEntrypoint


class Order(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("charge", config={"retries": {"limit": 2, "delay": "1 hour"}})
        async def charge():
            raise ConnectionError("a test never comes here")

        paid = await charge()
        await step.sleep("cooling off", "14 days")
        answer = await step.wait_for_event("review", "reviewed", timeout="7 days")
        return {**paid, "stars": answer["payload"]}
"""
PLAIN = """
from orders import Order


def test_an_order(workflow):
    orders = workflow(Order)
    orders.mock_step("charge", result={"charged": 12})
    run = orders.create({"amount": 12})
    assert run.wait_for_step("review", status="waiting").status == "waiting"
    run.send_event("reviewed", 5)
    assert run.result() == {"charged": 12, "stars": 5}
    assert [each.id for each in orders.runs] == [run.id]
    assert orders.now() >= orders.clock.start + 14 * 86_400_000
"""
AWAITED = r"(orders\.create|run\.(?:send_event|result|wait_for_step))(\(.*?\))"
ASYNC = re.sub(AWAITED, r"(await \1\2)", PLAIN.replace("def test", "async def test"))


def pytest_of(folder: Path, *words: str, **files: str) -> "subprocess.CompletedProcess[str]":
    """pytest in a folder with these files, warnings being errors."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_a_plain_test_and_a_coroutine_use_the_fixture_alike(tmp_path: Path) -> None:
    done = pytest_of(tmp_path, orders=ORDERS, test_plain=PLAIN, test_async=ASYNC)
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout + done.stderr


def test_a_failing_test_shows_its_own_error(tmp_path: Path) -> None:
    done = pytest_of(tmp_path, orders=ORDERS, test_it=PLAIN.replace('"stars": 5}', '"stars": 4}'))
    assert (done.returncode, done.stdout.splitlines()[-1].startswith("1 failed in")) == (1, True), done.stdout
    assert re.search(r"assert \{'charged': 12, 'stars': 5\} == \{'charged': 12, 'stars': 4\}", done.stdout)


def test_a_fixture_of_the_same_name_of_the_project_wins(tmp_path: Path) -> None:
    own = "import pytest\n\n@pytest.fixture\ndef workflow():\n    return 5\n"
    own += "\ndef test_it(workflow):\n    assert workflow == 5\n"
    done = pytest_of(tmp_path, test_it=own)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


def test_nothing_of_the_engine_is_loaded_for_tests_that_do_not_ask_for_it(tmp_path: Path) -> None:
    lazy = "import sys\n\ndef test_it():\n    ours = {name for name in sys.modules if name.startswith('playground')}\n"
    lazy += "    assert ours == {'playground', 'playground.pytest_plugin'}\n"
    done = pytest_of(tmp_path, test_it=lazy)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


def test_a_mock_that_was_never_used_fails_the_test_that_passed_otherwise(tmp_path: Path) -> None:
    misspelt = 'run = orders.create({"amount": 12})\n    orders.mock_step("chrge", result=1)'
    test = PLAIN.replace('run = orders.create({"amount": 12})', misspelt)
    failing = test.replace("an_order", "another").replace('"stars": 5}', '"stars": 4}')
    done = pytest_of(tmp_path, orders=ORDERS, test_it=f"{test}\n\n{failing}")
    assert (done.returncode, done.stdout.splitlines()[-1].startswith("2 failed in")) == (1, True), done.stdout
    first, second = re.findall(r"^FAILED test_it.py::test_\w+ - (.*)$", done.stdout, re.MULTILINE)
    assert ("UnusedMock" in first, second.startswith("AssertionError: assert {'charged'")) == (True, True)
    assert 'Is "charge" meant?' in done.stdout


def test_the_loop_of_the_testers_ends_with_them() -> None:
    workflows = Workflows()
    tester = workflows(FIVE)
    assert tester.create().result() == 5
    assert THREAD in [thread.name for thread in threading.enumerate()]
    workflows.close()
    workflows.close()
    assert THREAD not in [thread.name for thread in threading.enumerate()]


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    files = dict(re.findall(r"`(\w+)\.py`:\n\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL))
    assert {"orders", "test_orders"} <= files.keys()
    done = pytest_of(tmp_path, **files)
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout + done.stderr
