"""What the pytest fixture `workflow` gives: testers on a loop of their own, for coroutines and plain tests."""

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from playground.testing.run import Run
from playground.testing.tester import WorkflowTester

THREAD = "workflow-tests"


class Workflows:
    """Opens testers: `workflow(SOURCE_OR_CLASS, **options)` takes what `WorkflowTester` does; `close` ends them all."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._opened = contextlib.AsyncExitStack()

    def __call__(self, workflow: str | type, **options: Any) -> Any:
        """A tester that is open. A test that is a coroutine awaits the methods that are coroutines."""
        if self._loop is None:
            self._loop, self._thread = _loop_in_a_thread()
        tester = WorkflowTester(workflow, **options)
        self.wait_for(self._opened.enter_async_context(tester))
        return _Shared(tester, self)

    def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the testers' loop, and block until it ends."""
        assert self._loop is not None, "nothing is shared before there is a loop"
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the testers' loop: its result, or, where an event loop runs, something to await."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self.wait_for(coroutine)
        assert self._loop is not None, "nothing is shared before there is a loop"
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def close(self, failed: BaseException | None = None) -> None:
        """End every tester. `failed`: what the test has failed with, which leaves no need to tell of anything else.

        Raises:
            AssertionError: what a tester finds at the end of a test that has not failed.
        """
        loop, self._loop = self._loop, None
        if loop is None:
            return
        kind: type[BaseException] | None = None if failed is None else type(failed)
        try:
            asyncio.run_coroutine_threadsafe(self._end(kind, failed), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            if self._thread is not None:
                self._thread.join()

    async def _end(self, kind: type[BaseException] | None, failed: BaseException | None) -> None:
        await self._opened.__aexit__(kind, failed, None)


class _Shared:
    """A tester or a run that lives on the testers' loop, for a test on another thread."""

    def __init__(self, inner: Any, workflows: Workflows) -> None:
        self._inner, self._workflows = inner, workflows

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if inspect.iscoroutinefunction(found):
            return functools.wraps(found)(functools.partial(self._await, found))
        if inspect.ismethod(found):
            return functools.wraps(found)(functools.partial(self._call, found))
        return self._shared(found)

    def __repr__(self) -> str:
        return repr(self._inner)

    def _await(self, method: Callable[..., Coroutine[Any, Any, Any]], *given: Any, **named: Any) -> Any:
        async def there() -> Any:
            return self._shared(await method(*given, **named))

        return self._workflows.begin(there())

    def _call(self, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        async def there() -> Any:
            return self._shared(method(*given, **named))

        return self._workflows.wait_for(there())

    def _shared(self, value: Any) -> Any:
        if isinstance(value, Run):
            return _Shared(value, self._workflows)
        return [self._shared(each) for each in value] if isinstance(value, list) else value


def _loop_in_a_thread() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    """A loop that runs until it is stopped, and is closed then."""
    loop = asyncio.new_event_loop()

    def live() -> None:
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    thread = threading.Thread(target=live, name=THREAD, daemon=True)
    thread.start()
    return loop, thread
