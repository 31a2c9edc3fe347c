"""When a worker is given up: it is idle, it is stalled, it does not begin, an attempt used too much processor time, or
its process ended.

Idle: it has nothing but durable waits left. After `idle_grace_ms` it is released, and the instance hibernates as a row.

Stalled: it is neither idle nor in an attempt, and has made no progress for the time that an attempt may take. Then the
instance ends.

Begins: a warm worker says so before it calls the code, since what its last run has left behind (a finaliser, a timer)
may hold it or end it first. The next run is not to blame: without that word within `BEGIN_SECONDS`, the worker and all
others that wait for runs of the same code are closed, and the run goes on with a new one.

Processor time: it is polled while a worker is active and counted from the last outcome that the worker sent. The
kernel's own limit covers a worker's whole life and is only a backstop: a long run of short steps may use more in all
than one attempt may. A worker whose time cannot be read is left to that backstop. The poll goes by real time, whatever
clock the engine goes by.

Exit: when the channel closes, the exit of the process decides whether the instance continues in another execution or
ends with an error. A crash streak is the number of workers in a row that died by themselves without progress; at
`worker_losses` the instance ends, since it would be started for ever.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from playground.engine import messages, operations
from playground.engine.clock import Timer
from playground.engine.code.sources import Code
from playground.engine.execution import open_steps
from playground.engine.execution.context import ExecutionContext
from playground.engine.metrics import OPERATION, owner_of_limit
from playground.sandbox import frames
from playground.sandbox.handle import Exit
from playground.store.protocol import Committed
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

POLL_SECONDS = 0.5


class CpuWatchdog:
    """Polls one worker's processor time."""

    def __init__(self, execution: ExecutionContext) -> None:
        self._execution = execution
        self._timer: asyncio.TimerHandle | None = None
        self._known = True
        self._attempts_ended = self._seen = 0
        self._from: float | None = 0.0  # seconds; None: what is read first

    def on_attempt_ended(self) -> None:
        """An attempt has ended, so the next one has its own time."""
        self._attempts_ended += 1

    def check(self) -> None:
        """Check the time now, and again until the worker is idle."""
        execution = self._execution
        self.close()
        if execution.closing or execution.worker is None:
            return
        used = execution.worker.processor_seconds()
        if used is None:
            self._known = False
            return
        if self._from is None or self._attempts_ended != self._seen:
            self._seen, self._from = self._attempts_ended, used
        most = execution.services.settings.attempt_cpu_seconds
        if used - self._from > most:
            execution.break_limit(f"processor time: the worker used more than {most} s")
        elif not execution.idle:
            self._timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self.check)

    def begin(self) -> None:
        """The execution begins. What a worker has used before, in a check or for another execution, does not count."""
        worker = self._execution.worker
        if worker is not None and worker.executions:
            self._from = None
        self.on_activity()

    def on_activity(self) -> None:
        """The worker is active again."""
        if self._known and self._timer is None and self._execution.channel is not None:
            self._timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self.check)

    def close(self) -> None:
        """Stop polling."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Watched(ExecutionContext, Protocol):
    """An execution whose worker may become idle; `on_idle` is called then."""

    cpu_watchdog: CpuWatchdog
    on_idle: Callable[[], None]


class IdleTimeout:
    """Finds out when one worker is idle or stalled. `since` is when it became idle (epoch milliseconds), else None."""

    def __init__(self, execution: Watched) -> None:
        self._execution = execution
        self._frames_read = -1
        self._grace_timer: Timer | None = None
        self._stall_timer: Timer | None = None
        self._progress_at = 0
        self.since: int | None = None

    def on_idle_frame(self, frames_read: int) -> bool:
        """The worker waits and has read so many frames, which it reports once each time that it has read something.

        False: it has broken that rule.
        """
        execution = self._execution
        if frames_read <= self._frames_read or execution.channel is None or frames_read > execution.channel.sent:
            execution.break_limit("protocol: the worker said twice that it waits, or read what it was not sent")
            return False
        self._frames_read = frames_read
        return True

    def on_activity(self) -> None:
        """The worker is active again."""
        self.since = None
        self._execution.cpu_watchdog.on_activity()
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None

    def on_progress(self) -> None:
        """The worker has made progress."""
        self._progress_at = self._execution.services.clock.now()

    def check_idle(self) -> None:
        """Commit that the instance waits, once the worker has nothing to do and nothing is still to be sent to it."""
        execution = self._execution
        if (
            self.since is not None
            or execution.is_busy
            or execution.channel is None
            or self._frames_read != execution.channel.sent
        ):
            return
        until = self._next_due()
        if until is None and not execution.waits_for_child:
            ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED})
            execution.finish(ended, NewEvent(ev.WORKFLOW_ERRORED, {"error": messages.stuck()}))
            return
        assert self._grace_timer is None, "the grace begins once each time that the worker becomes idle"
        clock = execution.services.clock
        self.since = clock.now()
        waiting = NewEvent(ev.WORKFLOW_WAITING, {"until": until, "clock_us": execution.workflow_clock_us()})
        execution.pipeline.add(*execution.budget.truncation_events())
        execution.pipeline.add_if_unchanged(waiting, then=self._on_waiting_committed)
        grace = self.since + execution.services.settings.idle_grace_ms
        self._grace_timer = clock.call_at(grace, execution.evict, ev.HIBERNATED)
        execution.on_idle()

    def _on_waiting_committed(self, committed: Committed) -> None:
        """It is durable that the instance waits; without events, others had appended what the worker receives first."""
        if not committed.events and self.since is not None:
            self.on_activity()
            self.check_idle()

    def check_stalled(self) -> None:
        """End a worker that is neither idle nor in an attempt and has made no progress for the time of an attempt."""
        execution = self._execution
        if execution.closing:
            return
        wall = execution.services.limit(execution.row, "attempt_wall_seconds") * 1000
        clock = execution.services.clock
        now = clock.now()
        if self.since is not None or execution.is_busy:
            self._progress_at = now
        if now - self._progress_at >= wall:
            stalled = f"not answering: nothing was heard of the worker for {wall // 1000} s"
            execution.break_limit(stalled, messages.attempt_time_setting(execution.row.workflow))
        else:
            self._stall_timer = clock.call_at(self._progress_at + wall, self.check_stalled)

    def close(self) -> None:
        """Cancel the timers."""
        for timer in (self._grace_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()

    def _next_due(self) -> int | None:
        steps = self._execution.steps.values()
        times = [
            step.until
            for step in steps
            if step.timer is not None and step.until is not None and step.status != open_steps.OVER
        ]
        times += [step.rollback_until for step in steps if step.rollback_until is not None]
        return min(times, default=None)


BEGIN_SECONDS = 3.0  # a healthy one takes a millisecond; a mistake costs a new worker and nothing else


class Reused(ExecutionContext, Protocol):
    """An execution whose worker may have run before."""

    warm_code: Code | None


class WarmBeginning:
    """Waits for the word of one warm worker that it begins. It goes by real time, whatever clock the engine uses."""

    def __init__(self, execution: Reused) -> None:
        self._execution = execution
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether the worker has not begun yet."""
        return self._timer is not None

    def expect(self) -> None:
        """The start frame is sent to a worker that has run this code before."""
        self._timer = asyncio.get_running_loop().call_later(BEGIN_SECONDS, self.replace_worker, "silent")

    def on_begun(self) -> bool:
        """The worker begins. False: it was not asked to say so, or has said it already."""
        awaited = self.is_awaited
        self.close()
        return awaited

    def replace_worker(self, cause: str) -> None:
        """The worker does not begin: the run goes on with another, and none that ran this code is used again."""
        self.close()
        execution = self._execution
        if execution.closing:
            return
        row, services = execution.row, execution.services
        whose = owner_of_limit(row)
        services.log("warm_worker_lost", instance=row.key, whose=whose, execution=row.execution, cause=cause)
        if execution.warm_code is not None:
            services.workers.close_warm(row, execution.warm_code)
        if execution.worker is not None:
            execution.worker.kill()
        execution.end_as_lost(ev.LOST)

    def close(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Exiting(ExecutionContext, Protocol):
    """An execution whose worker's process may end."""

    warm_beginning: WarmBeginning


EXIT_SECONDS = 10.0  # time until the exit of a worker whose channel has ended must be reported


class WorkerExit:
    """Decides what the end of one worker's process means for its instance.

    `made_progress` is set with the first frame that adds to the journal. `reason` is how the execution ended, for
    metrics.
    """

    def __init__(self, execution: Exiting) -> None:
        self._execution = execution
        self._channel_closed = self.made_progress = False
        self.reason = OPERATION

    @property
    def is_pending(self) -> bool:
        """Whether the channel has ended, so that the exit is about to decide what becomes of the instance."""
        return self._channel_closed

    def on_channel_closed(self, error: frames.ProtocolError | None) -> None:
        """The worker's socket has ended, or a frame broke the protocol."""
        execution = self._execution
        if execution.closing:
            return
        self._channel_closed = True
        if error is not None:
            execution.break_limit(f"protocol: {error}")
        else:
            execution.spawn(self._await_exit())

    async def _await_exit(self) -> None:
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
        if execution.warm_beginning.is_awaited:
            execution.warm_beginning.replace_worker(gone.cause)
        elif gone.cause == "cpu":
            execution.break_limit(
                f"processor time: the worker used more than {settings.worker_cpu_seconds:,} s in all",
                "worker_cpu_seconds",
            )
        elif gone.cause == "memory":
            execution.break_limit(f"memory: the worker used more than {settings.worker_memory_bytes:,} bytes")
        else:
            self._on_exit(gone)

    def _on_exit(self, gone: Exit) -> None:
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
            execution.end_as_lost(ev.LOST)
        else:
            self._crashed()

    def _crashed(self) -> None:
        """The worker died by itself, with or without progress."""
        self.reason = ev.CRASHED
        most = self._execution.services.settings.worker_losses
        self._execution.end(operations.crash(most, most, made_progress=self.made_progress))

    def on_end_committed(self, row: InstanceRow) -> None:
        """The end is durable: count the limit if the crash streak ended the instance."""
        services = self._execution.services
        if (
            self.reason == ev.CRASHED
            and row.status in ev.FINAL_STATUSES
            and row.crashes >= services.settings.worker_losses
        ):
            services.counts.limit("worker_losses", owner_of_limit(row), instance=row.key)
