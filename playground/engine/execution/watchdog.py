"""When a worker has nothing left but to wait, it is given up after a grace; when it says nothing for too long, it is
ended.

The processor time of an attempt: looked at while a worker is busy, and counted from the last outcome it sent.

The kernel's own limit is of a worker's whole life and only a backstop: a long run of short steps may use more in all
than one attempt may. A worker whose time cannot be read is left to that backstop. It is looked at in real time,
whatever clock the engine goes by.

What the death of a worker means for its instance: go on in another execution, or end with an error that says why.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from playground.engine import messages, operations
from playground.engine.clock import Timer
from playground.engine.execution import open_steps
from playground.engine.execution.context import ExecutionContext
from playground.engine.metrics import OPERATION, owner_of_limit
from playground.sandbox import frames
from playground.sandbox.handle import Exit
from playground.store.protocol import Committed
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

LOOK_SECONDS = 0.5


class CpuWatchdog:
    """Watches one worker's processor time. `progress()` says that an attempt has ended."""

    def __init__(self, execution: ExecutionContext) -> None:
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


class Watched(ExecutionContext, Protocol):
    """An execution whose worker may fall idle; then `on_idle` is called."""

    cpu_watchdog: CpuWatchdog
    on_idle: Callable[[], None]


class IdleTimeout:
    """Watches one worker. `since` is when it fell idle (epoch milliseconds), None while it has something to do."""

    def __init__(self, execution: Watched) -> None:
        self._execution = execution
        self._seen = -1
        self._grace: Timer | None = None
        self._silence: Timer | None = None
        self._heard = 0
        self.since: int | None = None

    def said(self, seen: int) -> bool:
        """The worker waits, having read `seen` frames, which it says once for each time that it has read something.

        False: it has broken that rule.
        """
        execution = self._execution
        if seen <= self._seen or execution.channel is None or seen > execution.channel.sent:
            execution.break_limit("protocol: the worker said twice that it waits, or read what it was not sent")
            return False
        self._seen = seen
        return True

    def stirred(self) -> None:
        """The worker has something to do again."""
        self.since = None
        self._execution.cpu_watchdog.stirred()
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def heard(self) -> None:
        """The worker got somewhere."""
        self._heard = self._execution.services.clock.now()

    def consider(self) -> None:
        """Say that the instance waits, once the worker has nothing to do and nothing is owed to it."""
        execution = self._execution
        if (
            self.since is not None
            or execution.is_busy
            or execution.channel is None
            or self._seen != execution.channel.sent
        ):
            return
        until = self._earliest()
        if until is None:
            ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED})
            execution.finish(ended, NewEvent(ev.WORKFLOW_ERRORED, {"error": messages.stuck()}))
            return
        clock = execution.services.clock
        self.since = clock.now()
        waiting = NewEvent(ev.WORKFLOW_WAITING, {"until": until, "clock_us": execution.clock()})
        execution.pipeline.add(*execution.budget.logs.truncated())
        execution.pipeline.add_if_unmoved(waiting, then=self._waits)
        grace = self.since + execution.services.settings.idle_grace_ms
        self._grace = clock.call_at(grace, execution.evict, ev.HIBERNATED)
        execution.on_idle()

    def _waits(self, committed: Committed) -> None:
        """It is in the journal that the instance waits, unless others have written something that the worker is to hear
        of first.
        """
        if not committed.events and self.since is not None:
            self.stirred()
            self.consider()

    def watch_silence(self) -> None:
        """End a worker that is neither idle nor in an attempt and has said nothing for the time an attempt may take."""
        execution = self._execution
        if execution.closing:
            return
        wall = execution.services.limit(execution.row, "attempt_wall_seconds") * 1000
        clock = execution.services.clock
        now = clock.now()
        if self.since is not None or execution.is_busy:
            self._heard = now
        if now - self._heard >= wall:
            said = f"not answering: nothing was heard of the worker for {wall // 1000} s"
            execution.break_limit(said, messages.wall_of(execution.row.workflow))
        else:
            self._silence = clock.call_at(self._heard + wall, self.watch_silence)

    def close(self) -> None:
        """Forget the deadlines."""
        for timer in (self._grace, self._silence):
            if timer is not None:
                timer.cancel()

    def _earliest(self) -> int | None:
        steps = self._execution.steps.values()
        times = [
            step.until
            for step in steps
            if step.timer is not None and step.until is not None and step.status != open_steps.OVER
        ]
        times += [step.rollback_until for step in steps if step.rollback_until is not None]
        return min(times, default=None)


EXIT_SECONDS = 10.0  # time a dead worker's exit may take to be told


class WorkerExit:
    """Watches for the end of one worker.

    `progress` is set once it has brought its instance on. `reason` is how the execution ended, for those who count.
    """

    def __init__(self, execution: ExecutionContext) -> None:
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
            whose=owner_of_limit(row),
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
            services.counts.limit("worker_losses", owner_of_limit(row), instance=row.key)
