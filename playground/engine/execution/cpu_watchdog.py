"""The processor time of an attempt: looked at while a worker is busy, and counted from the last outcome it sent.

The kernel's own limit is of a worker's whole life and only a backstop: a long run of short steps may use more in all
than one attempt may. A worker whose time cannot be read is left to that backstop. It is looked at in real time,
whatever clock the engine goes by.
"""

import asyncio

from playground.engine.execution.conversation import Conversation

LOOK_SECONDS = 0.5


class Processor:
    """Watches one worker's processor time. `progress()` says that an attempt has ended."""

    def __init__(self, execution: Conversation) -> None:
        self._execution = execution
        self._timer: asyncio.TimerHandle | None = None
        self._known = True
        self._outcomes = self._seen = 0
        self._from = 0.0

    def progress(self) -> None:
        """An attempt has ended, so the next has its time afresh."""
        self._outcomes += 1

    def watch(self) -> None:
        """Look now, and again as long as the worker is not idle."""
        execution = self._execution
        self.close()
        if execution.closing or execution.worker is None:
            return
        used = execution.worker.processor_seconds()
        if used is None:
            self._known = False
            return
        if self._outcomes != self._seen:
            self._seen, self._from = self._outcomes, used
        most = execution.services.settings.attempt_cpu_seconds
        if used - self._from > most:
            execution.break_limit(f"processor time: the worker used more than {most} s")
        elif not execution.idle:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self.watch)

    def stirred(self) -> None:
        """The worker is busy again."""
        if self._known and self._timer is None and self._execution.channel is not None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self.watch)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
