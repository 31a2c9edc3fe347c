"""Dispatcher: routes every instance to its tenant's code, which is loaded for each execution, seconds or months after
create().

The counterpart of Cloudflare's dynamic-workflows library; docs/dispatcher.md compares them name by name.
"""

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from playground.engine.bindings.workflows import Workflow
from playground.engine.code.metadata import check_metadata, tenancy
from playground.engine.code.sources import HANDLER_BINDINGS, Code
from playground.engine.engine import Engine
from playground.engine.workflow_schedules import starts_of
from playground.store.rows import InstanceRow
from playground.workflows import names, values
from playground.workflows.errors import MissingDispatcherMetadataError
from playground.workflows.flow import checked_limits

NAME = "dynamic-workflow"
WORKFLOWS = "WORKFLOWS"  # what the wrapped binding is called in `self.env`
THREADS = 32  # loaders that are plain functions and run at once; one that never returns keeps its thread

Load = Callable[[dict[str, Any]], Awaitable[Code] | Code]


class Dispatcher:
    """One for each kind of tenant code on an engine.

    Args:
        engine: the open engine; instances of this dispatcher that are due begin to run now. load: called with a copy of
        an instance's metadata for every execution; returns its `Code`. A coroutine function is awaited, a
            plain one is called in a thread. It has `load_seconds` (a setting). A `NonRetryableError` of it ends the
            instance; after any other exception it is tried again, after a second, then two, and so on up to ten
            minutes, `load_attempts` times.
        name: the workflow's name, which instances keep: one dispatcher of the same name must be there whenever they
        run.

        limits: `{"concurrency_per_key": 1, "rate": {"count": 10, "seconds": 60}}`, both optional, of the instances of a
            tenant that are created with the same `key` (workflows/flow.py).

    Raises:
        InvalidName: the name can't be used, or is taken.
        InvalidFlow: a limit makes no sense.
    """

    def __init__(
        self, engine: Engine, load: Load, *, name: str = NAME, limits: Mapping[str, Any] | None = None
    ) -> None:
        self.name = names.check_name(name, "workflow")
        self._flow_limits = checked_limits(limits or {})
        self._engine, self._load = engine, load
        called = load if inspect.isroutine(load) else type(load).__call__
        self._is_async = inspect.iscoroutinefunction(called)
        self._threads = asyncio.Semaphore(THREADS)
        engine.register(self.name, self)
        engine.schedules.register(self.name, starts_of(engine))

    def wrap_binding(self, metadata: Mapping[str, Any]) -> Workflow:
        """A `Workflow` whose every instance carries this metadata, and which sees no others.

        Raises:
            MissingDispatcherMetadataError: there is none.
            InvalidMetadata: it is not JSON, or too large.
        """
        checked = check_metadata(metadata)
        return Workflow(self._engine, tenancy(checked), self.name, checked, self._flow_limits)

    async def load(self, row: InstanceRow) -> Code:
        """See `CodeSource`."""
        if row.metadata is None:
            raise MissingDispatcherMetadataError
        metadata = check_metadata(values.decode(row.metadata))
        loading = self._load(metadata) if self._is_async else await self._in_thread(metadata)
        code = await loading if inspect.isawaitable(loading) else loading
        if isinstance(code, Code) and WORKFLOWS not in code.env:
            wrapped = Workflow(
                self._engine, row.tenant, self.name, check_metadata(values.decode(row.metadata)), self._flow_limits
            )
            code = replace(code, env={WORKFLOWS: wrapped, **code.env})
        if isinstance(code, Code) and names.is_handler(row.class_name):
            class_name = names.handler_class(code.class_name)
            code = replace(code, class_name=class_name, env={**code.env, **HANDLER_BINDINGS})
        return code

    async def _in_thread(self, metadata: dict[str, Any]) -> Any:
        """Call the loader in a thread of its own, which may be left behind without holding up the end of the
        process.
        """
        await self._threads.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            self._threads.release()
            if done.done():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def call() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = self._load(metadata)
            except StopIteration as stopped:  # a future can't carry it
                error = RuntimeError(f"StopIteration: {stopped}")
            except BaseException as raised:  # noqa: BLE001 - it belongs to the instance, not to this thread
                error = raised if isinstance(raised, Exception) else RuntimeError(f"{type(raised).__name__}: {raised}")
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:  # the loop has ended: nobody waits any more
                pass

        threading.Thread(target=call, name=f"load-{self.name}", daemon=True).start()
        return await done
