"""The worker's event loop: flushes the channel before it waits, and reports when only waiting is left.

The `idle` frame allows the trusted side to suspend the instance: no callback is ready and none of the tenant's timers
runs. The workflow's own code has a clock of its own (replay.py); callbacks of steps use the machine's.
"""

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from playground.worker.channel import AHEAD_SECONDS, FLUSH_SECONDS, Channel
from playground.worker.context import MACHINERY, Key, current_step


class WorkflowClock(Protocol):
    """The clock and the timers of the workflow's own code."""

    now: float

    def call_at(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Any
    ) -> asyncio.TimerHandle:
        """As `asyncio.loop.call_at`, on the workflow's clock."""

    def clock(self) -> int:
        """The time now, in microseconds."""

    def before_wait(self, *, spinning: bool) -> bool:
        """Called before the loop waits, or (`spinning`) turns once more. True when there is something new to run."""


class StepTask(asyncio.Task[Any]):
    """A task made by a step's callback. It keeps its step: tasks expose their context only from Python 3.12 on."""

    step: Key | None

    def __init__(self, coroutine: Any, step: Key, **options: Any) -> None:
        self.step = step
        super().__init__(coroutine, **options)


class WorkflowTask(asyncio.Task[Any]):
    """A task of the workflow's own code.

    Its hash is its number, so that a set of tasks has the same order in every execution.
    """

    def __init__(self, coroutine: Any, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


for _kind in (StepTask, WorkflowTask):
    _kind.__name__ = _kind.__qualname__ = "Task"  # as asyncio's messages and a tenant's prints name it


def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Iterator[Any]:
    """`asyncio.as_completed`, which makes a set of its coroutines, but starting them in the order given.

    The order of a set differs between executions, so that steps would be called in another order in each.
    """
    if isinstance(asyncio.get_event_loop(), Loop) and not asyncio.isfuture(fs) and not asyncio.iscoroutine(fs):
        fs = [asyncio.ensure_future(each) for each in dict.fromkeys(fs)]
    return _as_completed(fs, timeout=timeout)


_as_completed = asyncio.as_completed
asyncio.as_completed = asyncio.tasks.as_completed = as_completed


class IdleSelector(selectors.PollSelector):
    """Waits for the channel, and reports idleness before it does. A loop with another clock overrides `wait`."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._idle_reported = -1
        self.workflow: WorkflowClock | None = None

    def select(self, timeout: float | None = None) -> Any:
        waits = timeout is None or timeout > 0
        if self.workflow is not None and self.workflow.before_wait(spinning=not waits):
            return []
        if timeout is None and not self._channel.unacknowledged and self._idle_reported != self._channel.received:
            self._idle_reported = self._channel.received
            clock = None if self.workflow is None else self.workflow.clock()
            self._channel.post({"op": "idle", "seen": self._channel.received, "clock": clock})
        if waits:
            self._channel.flush()
        else:
            self._channel.flush_old(FLUSH_SECONDS if self._channel.acknowledged is None else AHEAD_SECONDS)
        return self.wait(timeout)

    def forget_reports(self) -> None:
        """Another run begins, which counts frames from 1 and reports idleness anew."""
        self._idle_reported = -1

    def wait(self, timeout: float | None) -> Any:
        """Wait for input, for at most `timeout` seconds."""
        return super().select(timeout)


class Loop(asyncio.SelectorEventLoop):
    """The event loop of one worker and its channel."""

    _ready: Any  # asyncio's own: callbacks, and timers below
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int
    _clock_resolution: float

    def __init__(self, channel: Channel, selector: IdleSelector | None = None) -> None:
        self._idle_selector = selector or IdleSelector(channel)
        self._workflow: WorkflowClock | None = None
        self._tasks_made = 0  # by the workflow's own code
        super().__init__(self._idle_selector)
        self.channel = channel

    def use_clock(self, workflow: WorkflowClock) -> None:
        """From now on the workflow's own code uses this clock."""
        self._workflow = self._idle_selector.workflow = workflow
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Seconds of the workflow's clock for its own code, of the machine's clock for all other code."""
        if self._workflow is not None and current_step.get() is None:
            return self._workflow.now
        return self.machine_time()

    def machine_time(self) -> float:
        """Seconds of the machine's clock."""
        return super().time()

    def reset(self) -> None:
        """Drop the timers and callbacks of a run that is over. The loop itself stays, which locks and queues of the
        tenant's module may belong to.
        """
        for timer in self._scheduled:
            timer.cancel()
        self._scheduled.clear()
        self._timer_cancelled_count = 0
        self._ready.clear()
        self._tasks_made = 0
        self._idle_selector.forget_reports()

    @property
    def resolution(self) -> float:
        """Seconds by which a timer may be early."""
        return self._clock_resolution

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As in asyncio, but that a timer of the workflow's own code runs on the workflow's clock."""
        if self._workflow is not None:
            context = context if context is not None else contextvars.copy_context()
            if context.get(current_step) is None:
                return self._workflow.call_at(when, callback, args, context)
        return super().call_at(when, callback, *args, context=context)

    def _make_task(self, loop: Any, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
        context = options.get("context")
        step = current_step.get() if context is None else context.get(current_step)
        if step is MACHINERY:
            return asyncio.Task(coroutine, loop=loop, **options)
        if step is not None:
            return StepTask(coroutine, step, loop=loop, **options)
        self._tasks_made += 1
        return WorkflowTask(coroutine, self._tasks_made, loop=loop, **options)

    def workflow_is_ready(self) -> bool:
        """Whether a callback of the workflow's own code is ready to run."""
        return any(handle._context.get(current_step) is None and not handle._cancelled for handle in self._ready)

    @property
    def has_ready_callbacks(self) -> bool:
        """Whether any callback is ready to run."""
        return bool(self._ready)

    def read_frames(
        self, handle: Callable[[Any], None], closed: Callable[[], None], out_of_memory: Callable[[], None]
    ) -> None:
        """Pass each frame to `handle`; call `closed` at the end of the stream, `out_of_memory` when reading runs out of
        it.
        """

        def readable() -> None:
            try:
                for frame in self.channel.receive():
                    handle(frame)
            except ConnectionError:
                closed()
            except MemoryError:
                out_of_memory()

        self.add_reader(self.channel.fd, readable)


class LockedLoop(Loop):
    """The event loop of a process without threads and signals, so that it needs no self-pipe to be woken by them."""

    def _make_self_pipe(self) -> None:
        self._ssock = self._csock = None

    def _close_self_pipe(self) -> None:
        """Nothing to close."""
