"""Coroutines as tests: each on an event loop of its own, with a deadline so that a hang is a failure."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any


def run(coroutine: Coroutine[Any, Any, Any], deadline: float = 60.0) -> Any:
    """Run to the end on a fresh event loop; `deadline` is in seconds."""

    async def bounded() -> Any:
        async with asyncio.timeout(deadline):
            return await coroutine

    return asyncio.run(bounded())


def story(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function, whose parameters pytest gives it."""

    @functools.wraps(test)
    def in_a_loop(**given: Any) -> None:
        run(test(**given))

    return in_a_loop
