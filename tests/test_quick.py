"""What is taken for quick starts neither isolation nor a server nor a browser, and is stopped when it tries."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import conftest
import page_code_support
import pytest
import quick_support
import semantics_support
from aio import story
from cases_support import in_real_workers, play
from dispatch_support import on_engine
from server_support import Server
from store_support import with_store

ROOT = Path(__file__).parent.parent
TABLE: dict[str, Callable[..., Any]] = {"real": semantics_support.isolated, "in process": semantics_support.playing}


def by_name_in_a_module() -> Any:
    return semantics_support.isolated("pass")


def by_a_table() -> Any:
    return TABLE["real"]("pass")


def inside_a_function() -> Any:
    def inner() -> Any:
        return [Server(folder) for folder in ()]

    return inner


def imported_late() -> Any:
    from playground.sandbox.pool import Sandbox

    return Sandbox


@story
async def decorated() -> None:
    async with in_real_workers("1"):
        pass


class Holder:
    @property
    def server(self) -> Any:
        return subprocess.run


@pytest.mark.parametrize(
    "part",
    [by_name_in_a_module, by_a_table, inside_a_function, imported_late, decorated, Holder, Server, in_real_workers],
)
def test_what_starts_a_process_is_seen_however_it_comes_to_it(part: Any) -> None:
    assert quick_support.starts_a_process(part)


@pytest.mark.parametrize("part", [play, semantics_support.playing, with_store, on_engine, page_code_support.node])
def test_what_starts_none_or_only_node_is_quick(part: Any) -> None:
    assert not quick_support.starts_a_process(part)


@pytest.mark.parametrize("name", ["sandbox", "browser", "server", "own_server"])
def test_the_fixtures_that_start_a_process_are_seen(name: str) -> None:
    assert quick_support.starts_a_process(getattr(conftest, name).__wrapped__)


@pytest.fixture
def watch() -> Iterator[quick_support.Watch]:
    watch = quick_support.Watch()
    watch.begin()
    yield watch
    watch.end()


def start() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_a_process_is_refused_by_name_and_remembered(watch: quick_support.Watch) -> None:
    with pytest.raises(RuntimeError, match="A quick test starts no process.* this one starts: .*python"):
        start()
    assert watch.started == [f"{sys.executable} -c "]
    watch.end()
    start()


def test_a_thread_of_the_test_is_refused_it_too_and_one_from_before_is_not() -> None:
    failed: list[bool] = []
    begun = threading.Event()

    def attempt() -> None:
        begun.wait()
        try:
            start()
        except RuntimeError:
            failed.append(True)

    before = threading.Thread(target=attempt)
    before.start()
    watch = quick_support.Watch()
    watch.begin()
    during = threading.Thread(target=attempt)
    during.start()
    begun.set()
    before.join()
    during.join()
    watch.end()
    assert failed == [True] and len(watch.started) == 1


def test_node_may_run_the_code_of_the_page(watch: quick_support.Watch) -> None:
    assert page_code_support.node("return given + 1;", 1) == 2


def test_semantics_are_quick_on_the_first_round_of_servers_only() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "quick", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/test_semantics_create.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rounds = re.findall(r"\[(one-node|asked-elsewhere)", done.stdout)
    assert len(rounds) > 10 and set(rounds) == {"one-node"}


SUITE = """
import importlib
import pytest

@pytest.fixture
def hidden():
    return importlib.import_module("sub" + "process").run

def test_swallows(hidden):
    try:
        hidden(["true"])
    except Exception:
        pass

def test_is_good():
    pass

@pytest.mark.quick
def test_says_so_itself(hidden):
    hidden(["true"])

@pytest.mark.long
def test_is_long():
    pass
"""


def test_a_quick_test_fails_even_where_its_code_gets_over_the_refusal(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SUITE)
    command = (
        f"{sys.executable} -m pytest -q -n0 -p no:cacheprovider -p conftest -m quick -c {ROOT}/pyproject.toml".split()
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [*command, tmp_path],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": quick_support.HERE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed, 2 passed, 1 deselected" in done.stdout, done.stdout + done.stderr
    assert re.search("A quick test starts no process.*this one starts: true\\.", done.stdout)
