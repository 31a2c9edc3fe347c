"""The saga (compensation): after a failure, the rollback handlers of the steps run one by one, the last started first.

The first handler that fails for good stops the chain. After a crash the handlers are collected again by replaying
`run`. A handler has a retry policy and a timeout as a `do` has.
"""

from typing import Any, Protocol

from playground.engine import messages
from playground.engine.clock import Timer
from playground.engine.execution import open_steps
from playground.engine.execution.context import REPLY_GRACE_MS, ExecutionContext
from playground.engine.execution.environment import ExecutionEnvironment
from playground.engine.execution.faults import Chaos
from playground.engine.execution.open_steps import OpenStep
from playground.engine.execution.watchdog import IdleTimeout
from playground.engine.metrics import owner_of_limit
from playground.sandbox import frames
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

PENDING = "pending"
UNFINISHED = (PENDING, "running", "retrying")


class RollingBack(ExecutionContext, Protocol):
    """An execution that may come to roll back."""

    bindings: ExecutionEnvironment
    chaos: Chaos
    idle_timeout: IdleTimeout


class Rollback:
    """The chain of one execution. `attempt_open` is true while a handler runs."""

    def __init__(self, execution: RollingBack) -> None:
        self._execution = execution
        self._error: dict[str, Any] | None = None
        self._timer: Timer | None = None
        self._current: OpenStep | None = None
        self.running = False
        self.collecting = self._replaying = False
        self.attempt_open = False

    def has_handlers(self) -> bool:
        """Whether any step that started has a handler that has not finished."""
        return any(step.rollback in UNFINISHED for step in self._execution.steps.values())

    def start(self, error: dict[str, Any], before: list[NewEvent]) -> None:
        """`run` has failed: start with the handler of the step that started last."""
        self.running, self._error = True, error
        self._execution.pipeline.add(*before, NewEvent(ev.ROLLBACK_STARTED, {"error": error}))
        self._next()

    def resume(self, error: Any) -> None:
        """This execution only rolls back; the chain starts once the worker has collected the handlers."""
        self.running, self._error = True, error
        self.collecting = self._replaying = self.attempt_open = True

    def on_collected_frame(self) -> None:
        """The worker reports that `run` has ended, which it can once in an execution that only rolls back."""
        if self._replaying:
            self._replaying = False
            self.on_handlers_collected()
        else:
            self._execution.break_limit("protocol: handlers collected out of turn")

    def on_handlers_collected(self) -> None:
        """The worker has replayed `run` as far as the journal goes: it has ended, or waits for what will not come."""
        if self.collecting:
            self.collecting = self.attempt_open = False
            self._next()

    def done(self, frame: frames.Done) -> None:
        """A handler has done its work."""
        step = self._open_attempt_of(frame)
        if step is None:
            return
        self._close_attempt(step, "completed")
        self._execution.pipeline.add(
            NewEvent(ev.ROLLBACK_ATTEMPT_COMPLETED, {"attempt": frame.attempt}, step.key),
            *self._execution.bindings.take_writes(step.key),
            NewEvent(ev.ROLLBACK_STEP_COMPLETED, {}, step.key),
            then=lambda committed: self._next(),
        )

    def failed(self, frame: frames.Fail) -> None:
        """A handler has failed: retry it, or stop the chain."""
        step = self._open_attempt_of(frame)
        if step is not None:
            self._fail(step, frames.to_builtins(frame.error), frame.retryable, frame.delay)

    def missing(self, frame: frames.Missing) -> None:
        """The code did not reach the step again, so its handler is not known."""
        step = self._open_attempt_of(frame)
        if step is None:
            return
        error = messages.rollback_missing(step.key)
        data = {"attempt": step.rollback_attempt, "error": error}
        self._stop_chain(step, error, NewEvent(ev.ROLLBACK_ATTEMPT_ERRORED, data, step.key))

    def _next(self) -> None:
        execution = self._execution
        left = [step for step in execution.steps.values() if step.rollback in UNFINISHED]
        if not left:
            self._end(NewEvent(ev.ROLLBACK_COMPLETED))
            return
        step = self._current = left[-1]
        if step.rollback == PENDING:
            config = {"config": step.rollback_config}
            execution.pipeline.add(NewEvent(ev.ROLLBACK_STEP_STARTED, config, step.key))
        step.rollback = "running"
        clock = execution.services.clock
        if step.rollback_until is not None and step.rollback_until > clock.now():
            self._timer = clock.call_at(self._due_at(step), self._attempt, step)
        else:
            self._attempt(step)

    def _attempt(self, step: OpenStep) -> None:
        execution = self._execution
        if execution.closing:
            return
        assert not self.attempt_open, "one handler runs at a time"
        step.rollback, step.rollback_until = "running", None
        step.rollback_attempt += 1
        self.attempt_open = True
        execution.pipeline.add(NewEvent(ev.ROLLBACK_ATTEMPT_STARTED, {"attempt": step.rollback_attempt}, step.key))
        execution.send(
            {
                "op": "rollback",
                "step": step.key,
                "attempt": step.rollback_attempt,
                "last": step.rollback_failures >= step.rollback_config["retries"]["limit"],
                "error": self._error,
                "output": step.output if step.completed else None,
                "config": step.rollback_config,
            }
        )
        clock = execution.services.clock
        wall = execution.services.limit(execution.row, "attempt_wall_seconds") * 1000
        timeout = step.rollback_config["timeout"]
        if timeout <= wall:
            self._timer = clock.call_at(
                clock.now() + timeout, self._on_timeout, step, dict(messages.timed_out(timeout))
            )
        else:
            self._timer = clock.call_at(clock.now() + wall, self._on_wall_limit, step, wall)

    def _open_attempt_of(self, frame: Any) -> OpenStep | None:
        step = self._current
        if step is None or frames.step_key(frame.step) != step.key or frame.attempt > step.rollback_attempt:
            self._execution.break_limit("protocol: an outcome for a rollback that never began")
            return None
        return step if self.attempt_open and frame.attempt == step.rollback_attempt else None

    def _on_timeout(self, step: OpenStep, error: dict[str, Any]) -> None:
        """A handler is over its time: ask the worker to cancel it, which reports a failure."""
        self._execution.send({"op": "rollback_timeout", "step": step.key, "message": error["message"]})
        clock = self._execution.services.clock
        self._timer = clock.call_at(clock.now() + REPLY_GRACE_MS, self._on_timeout_ignored, step, error)

    def _on_timeout_ignored(self, step: OpenStep, error: dict[str, Any]) -> None:
        """The handler blocks the worker: the attempt has failed, and the worker is stopped."""
        self._fail(step, error, True, None)
        if not self._execution.closing:
            self._execution.end_as_lost(ev.EVICTED)

    def _on_wall_limit(self, step: OpenStep, wall: int) -> None:
        execution = self._execution
        row = execution.row
        error = dict(messages.attempt_time(wall // 1000, step.key, row.workflow, "was rolled back"))
        execution.services.counts.limit(
            messages.attempt_time_setting(row.workflow), owner_of_limit(row), instance=row.key, what=error["message"]
        )
        self._on_timeout(step, error)

    def _fail(self, step: OpenStep, error: dict[str, Any], retryable: bool, computed: int | None) -> None:
        execution = self._execution
        self._stop_timer()
        self.attempt_open = False
        execution.bindings.discard_writes(step.key)
        step.rollback_failures += 1
        data: dict[str, Any] = {"attempt": step.rollback_attempt, "error": error}
        errored = NewEvent(ev.ROLLBACK_ATTEMPT_ERRORED, data, step.key)
        if not retryable or step.rollback_failures > step.rollback_config["retries"]["limit"]:
            self._stop_chain(step, error, errored)
            return
        delay = open_steps.retry_delay(step.rollback_config, step.rollback_failures, computed)
        data["retry_delay_ms"] = delay
        clock = execution.services.clock
        step.rollback, step.rollback_until = "retrying", clock.now() + delay
        execution.pipeline.add(errored, then=lambda committed: execution.idle_timeout.check_idle())
        self._timer = clock.call_at(self._due_at(step), self._attempt, step)

    def _stop_chain(self, step: OpenStep, error: Any, *events: NewEvent) -> None:
        self._close_attempt(step, "errored")
        failed = NewEvent(ev.ROLLBACK_STEP_ERRORED, {"error": error}, step.key)
        self._end(*events, failed, NewEvent(ev.ROLLBACK_ERRORED, {"error": error}))

    def _close_attempt(self, step: OpenStep, status: str) -> None:
        self._stop_timer()
        self.attempt_open = False
        step.rollback = status

    def _end(self, *events: NewEvent) -> None:
        self._stop_timer()
        error = self._error
        last = (
            NewEvent(ev.WORKFLOW_ERRORED, {"error": error}) if error is not None else NewEvent(ev.WORKFLOW_TERMINATED)
        )
        self._execution.finish(*events, NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED}), last)

    def _due_at(self, step: OpenStep) -> int:
        now = self._execution.services.clock.now()
        return now if step.rollback_until is None or self._execution.skips_sleeps else step.rollback_until

    def rearm(self) -> None:
        """Sleeps are skipped from now on: a handler that waits before its next attempt is due."""
        step = self._current
        if self._timer is not None and step is not None and not self.attempt_open:
            self._stop_timer()
            self._timer = self._execution.services.clock.call_at(self._due_at(step), self._attempt, step)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Cancel the timer."""
        self._stop_timer()
