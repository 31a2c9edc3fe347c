"""What the death of a worker means for its instance: go on in another execution, or end with an error that says why."""

import asyncio

from playground.engine import operations
from playground.engine.execution.conversation import Conversation
from playground.engine.metrics import OPERATION, whose
from playground.sandbox import frames
from playground.sandbox.handle import Exit
from playground.store.protocol import InstanceRow
from playground.workflows import events as ev

EXIT_SECONDS = 10.0  # time a dead worker's exit may take to be told


class Ending:
    """Watches for the end of one worker.

    `progress` is set once it has brought its instance on. `reason` is how the execution ended, for those who count.
    """

    def __init__(self, execution: Conversation) -> None:
        self._execution = execution
        self._gone = self.progress = False
        self.reason = OPERATION

    @property
    def near(self) -> bool:
        """Whether the end is on its way, and will say what becomes of the instance."""
        return self._gone

    def channel_closed(self, error: frames.ProtocolError | None) -> None:
        """The worker's socket has ended, or brought what the protocol does not allow."""
        execution = self._execution
        if execution.closing:
            return
        self._gone = True
        if error is not None:
            execution.break_limit(f"protocol: {error}")
        else:
            execution.spawn(self._worker_gone())

    async def _worker_gone(self) -> None:
        execution = self._execution
        worker, settings = execution.worker, execution.services.settings
        assert worker is not None, "only an execution with a worker has a channel"
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                gone = await asyncio.shield(worker.exited)
        except TimeoutError:
            execution.break_limit("protocol: the worker closed its channel and lived on")
            return
        if execution.closing:
            return
        if gone.cause == "cpu":
            execution.break_limit(
                f"processor time: the worker used more than {settings.worker_cpu_seconds:,} s in all",
                "worker_cpu_seconds",
            )
        elif gone.cause == "memory":
            execution.break_limit(f"memory: the worker used more than {settings.worker_memory_bytes:,} bytes")
        else:
            self._lost(gone)

    def _lost(self, gone: Exit) -> None:
        execution = self._execution
        row = execution.row
        execution.services.log(
            "worker_lost",
            instance=row.key,
            whose=whose(row),
            execution=row.execution,
            cause=gone.cause,
            signal=gone.signal,
            code=gone.code,
        )
        if gone.cause == "zygote":
            execution.lose(ev.LOST)
        else:
            self._crashed()

    def _crashed(self) -> None:
        """The worker died by itself. One that dies again and again before a new step would be started for ever."""
        self.reason = ev.CRASHED
        most = self._execution.services.settings.worker_losses
        self._execution.settle(operations.crash(most, most, progress=self.progress))

    def over(self, row: InstanceRow) -> None:
        """The end is in the journal."""
        services = self._execution.services
        if (
            self.reason == ev.CRASHED
            and row.status in ev.FINAL_STATUSES
            and row.crashes >= services.settings.worker_losses
        ):
            services.counts.limit("worker_losses", whose(row), instance=row.key)
