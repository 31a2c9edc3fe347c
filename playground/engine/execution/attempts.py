"""The attempts of a `do`: announced, timed, committed with their outcome, tried again or given up.

What a worker is told of its steps' ends: sent once the commit is durable, and kept back while the instance is being
paused.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from playground.engine import messages
from playground.engine.execution import faults, open_steps
from playground.engine.execution.context import REPLY_GRACE_MS, ExecutionContext
from playground.engine.execution.environment import ExecutionEnvironment
from playground.engine.execution.faults import Breaks, Chaos
from playground.engine.execution.gate import SentEnd
from playground.engine.execution.open_steps import OpenStep
from playground.engine.execution.watchdog import CpuWatchdog
from playground.engine.metrics import owner_of_limit
from playground.sandbox import frames
from playground.store.protocol import Committed
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

UNREAD_MS = 50  # after which a deadline is looked at again that came while the worker was not read


class Acknowledgements:
    """The answers owed to one worker. A pause keeps them back, so that its code does not come to its next step."""

    def __init__(self, execution: ExecutionContext) -> None:
        self._execution = execution
        self._withheld: list[tuple[bytes, int, SentEnd | None]] = []
        self._loop = asyncio.get_running_loop()

    def give(self, message: dict[str, Any], ended: StepKey | None = None) -> None:
        """Send what ends a step, or keep it for later. `ended` is the step that a commit of the server's has ended."""
        execution = self._execution
        end = None if ended is None else execution.gate.add_end(ended)
        if execution.pausing:
            self._withheld.append((frames.encode(message), 1, end))
        else:
            sent = execution.send(message)
            if end is not None:
                end.index = sent

    def acknowledge(self, data: bytes, count: int) -> None:
        """Send what ends `count` steps, on the event loop or on the thread that committed them."""
        if self._execution.pausing or self._execution.channel is None:
            self._loop.call_soon_threadsafe(self._late, data, count)
        else:
            self._execution.channel.send_from_thread(data, count)

    def release(self) -> None:
        """Send what was kept back."""
        withheld, self._withheld = self._withheld, []
        if self._execution.channel is not None:
            for data, count, end in withheld:
                sent = self._execution.channel.send_encoded(data, count)
                if end is not None:
                    end.index = sent

    def _late(self, data: bytes, count: int) -> None:
        if self._execution.pausing:
            self._withheld.append((data, count, None))
        elif self._execution.channel is not None:
            self._execution.channel.send_encoded(data, count)


class Trying(ExecutionContext, Protocol):
    """An execution that runs attempts."""

    acknowledgements: Acknowledgements
    bindings: ExecutionEnvironment
    breaks: Breaks
    chaos: Chaos
    cpu_watchdog: CpuWatchdog


class Attempts:
    """Runs the attempts of one execution's steps. `running` is how many are open now."""

    def __init__(self, execution: Trying) -> None:
        self._execution = execution
        self._without_deadline: list[OpenStep] = []
        self.running = 0

    def start(self, frame: frames.Do) -> None:
        """A new step, whose first attempt already runs."""
        execution = self._execution
        try:
            broken = execution.breaks.claimed(frame)
        except frames.ProtocolError as error:
            execution.break_limit(f"protocol: {error}")
            return
        config = frames.config_to_builtins(frame.config)
        rollback = frames.config_to_builtins(frame.rollback) if frame.rollback is not None else None
        step = OpenStep(
            frames.step_key(frame.step),
            open_steps.RUNNING,
            frame.line,
            config,
            attempt=1,
            rollback="pending" if rollback is not None else None,
            rollback_config=rollback or {},
            broken=broken,
        )
        execution.steps[step.key] = step
        data: dict[str, Any] = {"config": config, "line": frame.line, **clock_field(frame.clock)}
        if rollback is not None:
            data["rollback"] = rollback
        self._announce(step, NewEvent(ev.STEP_STARTED, data, step.key), received=execution.gate.received)

    def resume(self, step: OpenStep) -> None:
        """A step from an earlier execution, or one held by a pause: its next attempt begins when it is due."""
        execution = self._execution
        step.stop_timer()
        now = execution.services.clock.now()
        if step.until is None or step.until <= now or execution.chaos.virtual:
            self.run(step, virtual=execution.chaos.virtual and step.until is not None and step.until > now)
        else:
            step.timer = execution.services.clock.call_at(step.until, self._due, step)

    def run(self, step: OpenStep, *, virtual: bool = False) -> None:
        """Begin the next attempt now, unless the execution is ending."""
        step.stop_timer()
        if self._execution.closing:
            return
        step.status, step.until, step.late = open_steps.RUNNING, None, False
        step.attempt += 1
        last = step.failures >= step.config["retries"]["limit"]
        step.broken = self._execution.breaks.of_next(step.key)
        broken = {} if step.broken is None else {"broken": step.broken}
        self._execution.send({"op": "run", "step": step.key, "attempt": step.attempt, "last": last, **broken})
        self._announce(step, virtual=virtual)
        self.arm_deadlines()

    def done(self, frame: frames.Done) -> None:
        """An attempt has its result: commit both, then let the code go on."""
        execution = self._execution
        step = self._open(frame)
        if step is None:
            return
        if frame.ahead and not execution.gate.allowed:
            execution.break_limit("protocol: the worker went on before its result was acknowledged")
            return
        if execution.kill_at == ev.KILL_BEFORE_COMMIT:
            execution.drop()
            return
        if execution.chaos.strikes(step.key):
            return
        try:
            value = faults.broken_result(step.broken, frame.value)
        except frames.ProtocolError as error:
            execution.break_limit(f"protocol: {error}")
            return
        self._over(step)
        step.completed, step.output = True, value if step.rollback is not None else None
        sensitive = bool(step.config.get("sensitive"))
        shown = ev.REDACTED if sensitive else value
        completed = NewEvent(
            ev.STEP_COMPLETED, {"output": shown, **clock_field(frame.clock)}, step.key, value if sensitive else None
        )
        execution.hear_clock(frame.clock)
        execution.pipeline.add(
            NewEvent(
                ev.ATTEMPT_COMPLETED,
                {"attempt": step.attempt, **_took(frame.took), **faults.break_noted(step.broken)},
                step.key,
            ),
            *execution.bindings.take(step.key),
            completed,
            then=lambda committed: execution.attempt_over(),
            ack=None
            if frame.ahead
            else frames.encode({"op": "ok", "step": frame.step, "attempt": frame.attempt, "clock": frame.clock}),
            received=execution.gate.received if frame.ahead else None,
        )

    def failed(self, frame: frames.Fail) -> None:
        """An attempt has failed: try again after a delay, or give the step up."""
        step = self._open(frame)
        if step is not None:
            last = not frame.retryable or step.failures >= step.config["retries"]["limit"]
            if last and self._execution.chaos.strikes(step.key):
                return
            error = faults.broken_failure(
                step.broken, step.config["timeout"], frames.to_builtins(frame.error), frame.retryable
            )
            execution = self._execution
            execution.hear_clock(frame.clock)
            self._fail(step, error, frame.retryable, frame.delay, frame.clock, frame.took)

    def closed(self) -> list[NewEvent]:
        """What closes the steps that are open when `run` ends."""
        events = []
        for step in self._execution.steps.values():
            if step.key.kind != ev.DO or step.status not in (open_steps.RUNNING, open_steps.RETRYING):
                continue
            if step.status == open_steps.RUNNING:
                data = {"attempt": step.attempt, "error": messages.cancelled()}
                events.append(NewEvent(ev.ATTEMPT_ERRORED, data, step.key))
            self._over(step)
            events.append(NewEvent(ev.STEP_ERRORED, {"error": messages.cancelled()}, step.key))
        return events

    def _announce(self, step: OpenStep, *before: NewEvent, virtual: bool = False, received: int | None = None) -> None:
        execution = self._execution
        self.running += 1
        data = {
            "attempt": step.attempt,
            **({"virtual": True} if virtual else {}),
            **faults.break_noted(step.broken, begins=True),
        }
        started = NewEvent(ev.ATTEMPT_STARTED, data, step.key)
        if execution.kill_at == ev.KILL_DURING_STEP:
            execution.pipeline.add(*before, started)
            execution.drop()
            return
        execution.pipeline.add_soon(*before, started, received=received)
        self._without_deadline.append(step)

    def arm_deadlines(self) -> None:
        """Watch the time of the attempts that have begun and not ended with the frames that came with them."""
        if not self._without_deadline:
            return
        execution = self._execution
        clock, now = execution.services.clock, execution.services.clock.now()
        wall = execution.services.limit(execution.row, "attempt_wall_seconds") * 1000
        for step in self._without_deadline:
            if step.status != open_steps.RUNNING or step.timer is not None:
                continue
            timeout = step.config["timeout"]
            if timeout <= wall:
                step.timer = clock.call_at(now + timeout, self._stop, step, dict(messages.timed_out(timeout)))
            else:
                step.timer = clock.call_at(now + wall, self._over_wall, step, wall)
        self._without_deadline.clear()

    def _open(self, frame: Any) -> OpenStep | None:
        step = self._execution.steps.get(frames.step_key(frame.step))
        if step is None or step.key.kind != ev.DO or frame.attempt > step.attempt:
            self._execution.break_limit("protocol: an outcome for an attempt that never began")
            return None
        if frame.attempt < step.attempt or step.status != open_steps.RUNNING:
            return None
        if step.late and isinstance(frame, frames.Done) and not frame.ahead:  # else its code has gone on with it
            return None
        return step

    def _due(self, step: OpenStep) -> None:
        if not self._execution.pausing and not self._execution.closing:
            self.run(step, virtual=self._execution.chaos.virtual)

    def _stop(self, step: OpenStep, error: dict[str, Any]) -> None:
        """An attempt is over its time: the worker is to cancel it, and says that it failed."""
        execution = self._execution
        if self._is_unread(step, self._stop, error):
            return
        step.late = True
        execution.send({"op": "timeout", "step": step.key, "attempt": step.attempt, "message": error["message"]})
        clock = execution.services.clock
        step.timer = clock.call_at(clock.now() + REPLY_GRACE_MS, self._not_stopped, step, error)

    def _not_stopped(self, step: OpenStep, error: dict[str, Any]) -> None:
        """The callback blocks the worker, so it can't be cancelled: the attempt failed, and the worker has to go."""
        execution = self._execution
        if self._is_unread(step, self._not_stopped, error):
            return
        self._fail(step, error, True, None, None, None)
        execution.lose(ev.EVICTED)

    def _is_unread(self, step: OpenStep, look_again: Callable[..., None], *args: Any) -> bool:
        """Whether the worker is not read now, since commits are behind: its result may be here already, in time."""
        channel, clock = self._execution.channel, self._execution.services.clock
        if channel is None or not channel.is_paused:
            return False
        step.timer = clock.call_at(clock.now() + UNREAD_MS, look_again, step, *args)
        return True

    def _over_wall(self, step: OpenStep, wall: int) -> None:
        execution = self._execution
        row = execution.row
        error = {**messages.attempt_time(wall // 1000, step.key, row.workflow), "line": step.line}
        execution.services.counts.limit(
            messages.wall_of(row.workflow), owner_of_limit(row), instance=row.key, what=error["message"]
        )
        self._stop(step, error)

    def _fail(
        self,
        step: OpenStep,
        error: dict[str, Any],
        retryable: bool,
        computed: int | None,
        clock: int | None,
        took: int | None,
    ) -> None:
        execution = self._execution
        self._over(step)
        execution.bindings.drop(step.key)
        step.failures += 1
        data: dict[str, Any] = {
            "attempt": step.attempt,
            "error": error,
            **_took(took),
            **faults.break_noted(step.broken),
        }
        errored = NewEvent(ev.ATTEMPT_ERRORED, data, step.key)
        if retryable and step.failures <= step.config["retries"]["limit"]:
            delay = open_steps.retry_delay(step.config, step.failures, computed)
            data["retry_delay_ms"] = delay
            step.status, step.until = open_steps.RETRYING, execution.services.clock.now() + delay
            due = execution.services.clock.now() if execution.chaos.virtual else step.until
            step.timer = execution.services.clock.call_at(due, self._due, step)
            execution.pipeline.add(errored, then=lambda committed: execution.attempt_over())
            return
        failed = NewEvent(ev.STEP_ERRORED, {"error": error, **clock_field(clock)}, step.key)
        reply = {"op": "error", "step": step.key, "error": error, "clock": clock}

        def over(committed: Committed) -> None:
            if execution.gate.allowed:
                execution.acknowledgements.give(reply, step.key)
            execution.attempt_over()

        ack = None if execution.gate.allowed else frames.encode(reply)
        execution.pipeline.add(errored, failed, then=over, ack=ack)

    def _over(self, step: OpenStep) -> None:
        step.stop_timer()
        if step.status == open_steps.RUNNING:
            self.running -= 1
            self._execution.cpu_watchdog.progress()
        step.status = open_steps.OVER


def clock_field(clock: int | None) -> dict[str, int]:
    """What stands in an event of the workflow's clock, in microseconds."""
    return {} if clock is None else {"clock_us": clock}


def _took(took: int | None) -> dict[str, int]:
    return {} if took is None else {"took_us": took}
