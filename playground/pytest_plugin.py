"""For pytest, which finds it where the package is installed: the fixture `workflow`, and the import of `workers`.

Nothing of the engine is imported before a test asks for the fixture, or something imports `workers`.
"""

import asyncio
import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playground.testing.fixture import Workflows

FIXTURE = "workflow"
WORKERS = "workers"


@pytest.fixture(name=FIXTURE)
def workflow_fixture() -> "Iterator[Workflows]":
    """Runs workflows on a virtual clock: `workflow(SOURCE_OR_CLASS)` gives a tester, open until the test ends."""
    from playground.testing.fixture import Workflows

    workflows = Workflows()
    yield workflows
    workflows.close()


def pytest_configure() -> None:
    """Modules with workflows can be imported, whichever test comes first."""
    if not any(isinstance(finder, _Workers) for finder in sys.meta_path):
        sys.meta_path.append(_Workers())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """What testers find at the end, such as an unused mock, is a failure of the test, not of its fixture."""
    given: Any = getattr(item, "funcargs", {}).get(FIXTURE)
    if not _is_ours(given):
        return (yield)
    try:
        result = yield
    except BaseException as failed:
        given.close(failed)
        raise
    given.close()
    return result


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that is a coroutine and has the fixture, where no other plugin does; then true."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test) or not _is_ours(pyfuncitem.funcargs.get(FIXTURE)):
        return None
    wanted = inspect.signature(test).parameters
    asyncio.run(test(**{name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}))
    return True


def _is_ours(given: Any) -> bool:
    """Whether a fixture of this name is ours: a test suite may have one of its own."""
    return type(given).__module__ == "playground.testing.fixture"


class _Workers(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Asked for `workers` when nobody else has it: makes the module that workflows import."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        return importlib.machinery.ModuleSpec(WORKERS, self, is_package=True) if fullname == WORKERS else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        """The module, of which there is one."""
        from playground.worker import api

        api.install()
        return sys.modules[WORKERS]

    def exec_module(self, module: Any) -> None:
        """It is whole already."""
