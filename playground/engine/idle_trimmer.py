"""What is done when nothing has run for a moment: memory that a busy time took goes back to the machine.

The journals' cache grows to what the busiest time needed, and the allocator keeps what was freed: after ten minutes of
hostile tenants a server held three times as much as at its start, though nothing leaked. What is remembered for speed
goes first: a small thing that was made at the height keeps a megabyte round it.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

from playground.engine.execution.pipeline import spawn
from playground.engine.execution.services import Log
from playground.store.protocol import Store

CALM_SECONDS = 5.0


class Calm:
    """Knows whether anything runs. It goes by real time, whatever clock the engine goes by."""

    def __init__(self, store: Store, log: Log, seconds: float = CALM_SECONDS) -> None:
        self._store, self._log, self._seconds = store, log, seconds
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._forgets: list[Callable[[], None]] = []

    def forget(self, forget: Callable[[], None]) -> None:
        """Call this too each time: it lets go of what is remembered only for speed."""
        self._forgets.append(forget)

    def begun(self) -> None:
        """Something runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ended(self) -> None:
        """Nothing runs any more."""
        self.begun()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, lambda: spawn(self._tasks, self.give_back()))

    async def close(self) -> None:
        """Forget it, and wait for what is under way."""
        self.begun()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def give_back(self) -> None:
        """Do it now."""
        for forget in self._forgets:
            forget()
        gc.collect()  # 30 ms, at a time when they matter to nobody
        try:
            await self._store.shrink()
        except Exception as error:  # noqa: BLE001 - it only saves memory
            self._log("shrink_failed", error=f"{type(error).__name__}: {error}")
