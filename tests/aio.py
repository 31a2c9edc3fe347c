"""Run one coroutine of a test, with a deadline so that a hang is a failure."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def run(coroutine: Coroutine[Any, Any, Any], deadline: float = 60.0) -> Any:
    """Run to the end on a fresh event loop; `deadline` is in seconds."""

    async def bounded() -> Any:
        async with asyncio.timeout(deadline):
            return await coroutine

    return asyncio.run(bounded())
