"""The pytest plugin, an entry point of the package: the fixture `workflow`, and the import of `workers` in tests.

The engine is not imported before a test uses the fixture or a module imports `workers`.
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
    """Runs workflows on a virtual clock: `workflow(SOURCE_OR_CLASS)` returns a tester, open until the test ends."""
    from playground.testing.fixture import Workflows

    workflows = Workflows()
    yield workflows
    workflows.close()


def pytest_configure() -> None:
    """Make `import workers` work, whichever test is first."""
    if not any(isinstance(finder, _WorkersFinder) for finder in sys.meta_path):
        sys.meta_path.append(_WorkersFinder())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Close the testers in the test's call, so that what they find, such as an unused mock, fails the test and not the
    fixture.
    """
    workflows: Any = getattr(item, "funcargs", {}).get(FIXTURE)
    if not _is_ours(workflows):
        return (yield)
    try:
        result = yield
    except BaseException as failed:
        workflows.close(failed)
        raise
    workflows.close()
    return result


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine and has the fixture, unless another plugin does; true if it ran."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test) or not _is_ours(pyfuncitem.funcargs.get(FIXTURE)):
        return None
    wanted = inspect.signature(test).parameters
    asyncio.run(test(**{name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}))
    return True


def _is_ours(fixture: Any) -> bool:
    """Whether this is the fixture of this plugin: a test suite may have one of the same name."""
    return type(fixture).__module__ == "playground.testing.fixture"


class _WorkersFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last finder for `workers`: makes the module that workflows import."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        return importlib.machinery.ModuleSpec(WORKERS, self, is_package=True) if fullname == WORKERS else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        """The one module `workers`."""
        from playground.worker import api

        api.install()
        return sys.modules[WORKERS]

    def exec_module(self, module: Any) -> None:
        """Nothing is left to do: `create_module` has filled the module."""
