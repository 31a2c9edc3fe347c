"""The value of the pytest fixture `workflow`: testers on an event loop of their own, for async and plain tests."""

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
    """Opens testers: `workflow(SOURCE_OR_CLASS, **options)` takes what `WorkflowTester` takes; `close` closes them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._opened = contextlib.AsyncExitStack()

    def __call__(self, workflow: str | type, **options: Any) -> Any:
        """An open tester. An async test awaits its async methods; in a plain test they block."""
        if self._loop is None:
            self._loop, self._thread = _loop_in_a_thread()
        tester = WorkflowTester(workflow, **options)
        self.wait_for(self._opened.enter_async_context(tester))
        return _Shared(tester, self)

    def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the testers' loop, and block until it ends."""
        assert self._loop is not None, "a tester has started the loop"
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the testers' loop: its result, or, where an event loop runs, something to await."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self.wait_for(coroutine)
        assert self._loop is not None, "a tester has started the loop"
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def close(self, failed: BaseException | None = None) -> None:
        """Close every tester. `failed`: the error of the test, with which nothing else is reported.

        Raises:
            AssertionError: a finding of a tester at the end of a test that passed.
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
    """A proxy of a tester or a run on the testers' loop, for a test on another thread."""

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

    def _await(self, method: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **named: Any) -> Any:
        async def there() -> Any:
            return self._shared(await method(*arguments, **named))

        return self._workflows.start(there())

    def _call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        async def there() -> Any:
            return self._shared(method(*arguments, **named))

        return self._workflows.wait_for(there())

    def _shared(self, value: Any) -> Any:
        if isinstance(value, Run):
            return _Shared(value, self._workflows)
        return [self._shared(each) for each in value] if isinstance(value, list) else value


def _loop_in_a_thread() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    """A loop that runs in a thread until it is stopped, and is then closed."""
    loop = asyncio.new_event_loop()

    def run_loop() -> None:
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    thread = threading.Thread(target=run_loop, name=THREAD, daemon=True)
    thread.start()
    return loop, thread
