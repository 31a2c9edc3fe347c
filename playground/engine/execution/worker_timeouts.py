"""When a worker has nothing left but to wait, it is given up after a grace; when it says nothing for too long, it is
ended.
"""

from collections.abc import Callable
from typing import Protocol

from playground.engine import messages
from playground.engine.clock import Timer
from playground.engine.execution import open_steps
from playground.engine.execution.conversation import Conversation
from playground.engine.execution.cpu_watchdog import Processor
from playground.store.protocol import Committed
from playground.workflows import events as ev
from playground.workflows.events import NewEvent


class Watched(Conversation, Protocol):
    """An execution whose worker may fall idle; then `on_idle` is called."""

    processor: Processor
    on_idle: Callable[[], None]


class Idleness:
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
        self._execution.processor.stirred()
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
