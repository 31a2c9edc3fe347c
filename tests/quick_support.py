"""Which tests are quick: those that start no process, as far as one can read from what they name.

No list has to be kept. A test is read together with its fixtures and with every helper in this folder that they name,
and those helpers' helpers. Where none of them names anything of STARTS, it is quick. Reading can err, so that a quick
test is watched as well while it runs, and fails when it starts a process all the same.

A test that starts a process of no account, and is worth having in the inner loop, says so itself:
`@pytest.mark.quick`. It is not watched.
"""

import functools
import inspect
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import page_code_support
import pytest
from store_support import POSTGRES

from playground.testing.server import ALONE

HERE = str(Path(__file__).parent)
# Whatever begins isolation, a server, a browser or any other process goes by one of these names.
STARTS = frozenset(
    {
        *("subprocess", "Popen", "Sandbox", "open_engine", "serve", "sync_playwright", "shared_server", "own_server"),
        "installer_command",
    }
)
# Node, which runs the page's pure code, starts in 50 ms and needs no isolation.
HARMLESS = page_code_support

WATCHED = pytest.StashKey[bool]()


def mark(item: pytest.Item) -> None:
    """Mark a test as quick if it is: not a long one, nor one that is run a second time with other servers."""
    if item.get_closest_marker("long") or item.get_closest_marker("quick") or _is_repeated(item):
        return
    if not any(starts_a_process(part) for part in parts(item)):
        item.add_marker(pytest.mark.quick)
        item.stash[WATCHED] = True


def _is_repeated(item: Any) -> bool:
    """Whether it is run a second time, with other servers or on a database that has a server."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return params.get("nodes", ALONE) != ALONE or POSTGRES in (params.get("store_url"), params.get("database"))


def parts(item: Any) -> Iterator[Any]:
    """The functions and classes that make up a test: itself, its fixtures and its parameters."""
    yield item.function
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        yield from (definition.func for definition in definitions)
    if hasattr(item, "callspec"):
        yield from item.callspec.params.values()


def starts_a_process(part: Any) -> bool:
    """Whether it, or a helper of ours that it names, names one of STARTS."""
    return _starts_a_process(_plain(part))


@functools.cache  # most tests have their function and their fixtures in common with others
def _starts_a_process(plain: Any) -> bool:
    seen: set[Any] = set()
    waiting = [plain]
    while waiting:
        one = _plain(waiting.pop())
        if one in seen or not _is_ours(one):
            continue
        seen.add(one)
        for function in _functions(one):
            named, helpers = _names(function)
            if named & STARTS:
                return True
            waiting += helpers
    return False


def _plain(one: Any) -> Any:
    """Without what makes a part of a function, or what cannot be read."""
    while isinstance(one, functools.partial):
        one = one.func
    return inspect.unwrap(one) if isinstance(one, FunctionType | type) else None


def _is_ours(one: Any) -> bool:
    module = sys.modules.get(getattr(one, "__module__", None) or "")
    return module is not None and module is not HARMLESS and _in_this_folder(module)


def _in_this_folder(module: ModuleType) -> bool:
    return (getattr(module, "__file__", None) or "").startswith(HERE)


def _functions(one: Any) -> Iterator[FunctionType]:
    if isinstance(one, type):
        for member in vars(one).values():
            function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
            if isinstance(function, FunctionType):
                yield inspect.unwrap(function)
    else:
        yield one


@functools.cache
def _names(function: FunctionType) -> tuple[set[str], list[Any]]:
    """The names in a function's code, and what of ours they stand for."""
    names = set(_names_in(function.__code__))
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    found += [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    found += [one for table in found if isinstance(table, dict) for one in table.values()]
    for module in [one for one in found if isinstance(one, ModuleType) and _in_this_folder(one)]:
        found += [vars(module)[name] for name in names if name in vars(module)]
    return names, [one for one in found if isinstance(one, FunctionType | type | functools.partial)]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


class Watch:
    """Refuses every process that is started while a quick test runs, and remembers it."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._others: set[int] | None = None  # the threads that were there before the test, while one is watched
        sys.addaudithook(self._hears)

    def begin(self) -> None:
        self.started = []
        self._others = {thread.ident or 0 for thread in threading.enumerate()} - {threading.get_ident()}

    def end(self) -> None:
        self._others = None

    def _hears(self, event: str, given: Iterable[Any]) -> None:
        if event != "subprocess.Popen" or self._others is None or threading.get_ident() in self._others:
            return
        executable, words, *_ = given
        if str(executable) == str(page_code_support.NODE):
            return
        self.started.append(" ".join(str(word) for word in words))
        raise RuntimeError(refusal(self.started[-1]))


def refusal(command: str) -> str:
    return (
        f"A quick test starts no process, neither isolation nor a server nor a browser; this one starts: {command}. "
        "tests/quick_support.py says how a test is taken for quick: add what starts it to STARTS."
    )
