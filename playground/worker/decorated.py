"""Functions made steps by `@step.do(...)`: which other steps they depend on, and that each runs once however often it is called."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from playground.worker import parameters
from playground.worker.records import Record


class Starter(Protocol):
    """What starts steps. `decorated` are the functions made steps, by name."""

    decorated: dict[str, "Decorated"]

    def start(self, name: Any, call: Callable[[Record], Any], *, line: int | None, config: Any, rollback: Any, rollback_config: Any) -> Awaitable[Any]:
        """Start a step that runs `call`."""


class Decorated:
    """A function made a step by `@step.do(...)`: call it without arguments and await the result."""

    def __init__(self, steps: Starter, name: str, callback: Any, depends: list[Any] | None, concurrent: bool, given: dict[str, Any]):
        self._steps, self._name, self._callback = steps, name, callback
        self._depends, self._concurrent, self._given = depends, concurrent, given
        self._result: asyncio.Future[Any] | None = None
        self.__name__ = getattr(callback, "__name__", name)
        self.__wrapped__ = callback

    async def __call__(self) -> Any:
        if self._result is None:
            self._result = asyncio.ensure_future(self._run())
            self._result.add_done_callback(retrieved)
        return await asyncio.shield(self._result)

    async def _run(self) -> Any:
        steps = self._steps
        first = self._depends or []
        wanted, takes_ctx = parameters.wanted(self._callback, steps.decorated, len(first))
        dependencies = [*first, *(steps.decorated[name] for name in wanted)]
        if self._concurrent:
            results = list(await asyncio.gather(*(dependency() for dependency in dependencies)))
        else:
            results = [await dependency() for dependency in dependencies]
        by_name = dict(zip(wanted, results[len(first) :], strict=True))

        def call(ctx: Record) -> Any:
            return self._callback(*results[: len(first)], **by_name, **({parameters.CTX: ctx} if takes_ctx else {}))

        line = getattr(getattr(self._callback, "__code__", None), "co_firstlineno", None)
        return await steps.start(self._name, call, line=line, **self._given)


def retrieved(future: asyncio.Future[Any]) -> None:
    """Look at a result that nobody may ever look at, so that asyncio does not complain of its error."""
    if not future.cancelled():
        future.exception()
