"""The attempts of a `do`: started, timed, committed with their outcome, retried or given up; and the acknowledgements.

An attempt ends with the worker's frame, at its timeout or at the wall-clock limit of the instance. At a deadline the
worker is asked to cancel it and has `REPLY_GRACE_MS` to say so: a callback that blocks the worker costs the worker.
A deadline is armed only for attempts that outlast the frames they came with. While the worker is not read, since
commits are behind, a deadline is looked at again every `UNREAD_MS`: its result may have come in time.

The end of a step is acknowledged to the worker once its commit is durable. While the instance is being paused,
acknowledgements are withheld, so that the code does not reach its next step. Not those of a step that a callback calls:
it is part of an attempt that runs, which the pause lets come to its end.

Architecture Invariant: at most one attempt of a step is open, and none is acknowledged before its commit.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from playground.engine import delivery, messages
from playground.engine.execution import faults, open_steps
from playground.engine.execution.context import REPLY_GRACE_MS, ExecutionContext
from playground.engine.execution.environment import ExecutionEnvironment
from playground.engine.execution.faults import Breaks, Chaos
from playground.engine.execution.gate import SentEnd
from playground.engine.execution.open_steps import OpenStep
from playground.engine.execution.pipeline import OnCommitted
from playground.engine.execution.watchdog import CpuWatchdog
from playground.engine.metrics import owner_of_limit
from playground.sandbox import frames
from playground.store.protocol import Committed
from playground.workflows import events as ev
from playground.workflows.breaks import Break
from playground.workflows.events import NewEvent, StepKey

_RAN_AHEAD = "protocol: the worker went on before its result was acknowledged"
UNREAD_MS = 50  # until a deadline that came while the worker was not read is looked at again


class Acknowledgements:
    """Sends one worker the ends of its steps, or withholds them during a pause."""

    def __init__(self, execution: ExecutionContext) -> None:
        self._execution = execution
        self._withheld: list[tuple[bytes, int, SentEnd | None]] = []
        self._loop = asyncio.get_running_loop()

    def send_end(self, message: dict[str, Any], ended_step: StepKey | None = None) -> None:
        """Send the end of a step, or withhold it. `ended_step`: a step that the server ended by a commit of its own."""
        execution = self._execution
        end = None if ended_step is None else execution.gate.add_end(ended_step)
        if not delivery.may_go_on(message["step"], execution.pausing):
            self._withheld.append((frames.encode(message), 1, end))
        else:
            sent = execution.send(message)
            if end is not None:
                assert sent > 0, "the start frame comes before the end of any step"
                end.index = sent

    def acknowledge(self, data: bytes, count: int) -> None:
        """Send the ends of `count` steps, on the event loop or on the thread that committed them."""
        if self._execution.pausing or self._execution.channel is None:
            self._loop.call_soon_threadsafe(self._acknowledge_on_loop, data, count)
        else:
            self._execution.channel.send_from_thread(data, count)

    def send_withheld(self) -> None:
        """Send what was withheld."""
        withheld, self._withheld = self._withheld, []
        if self._execution.channel is not None:
            for data, count, end in withheld:
                sent = self._execution.channel.send_encoded(data, count)
                if end is not None:
                    end.index = sent

    def _acknowledge_on_loop(self, data: bytes, count: int) -> None:
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
        """A new step, whose first attempt runs already."""
        try:
            broken = self._execution.breaks.claim(frame)
        except frames.ProtocolError as error:
            self._execution.break_limit(f"protocol: {error}")
            return
        step, started = self._new_step(frame, broken)
        self._commit_started(step, started, received=self._execution.gate.received)

    def start_and_end(self, frame: frames.Did) -> None:
        """A new step, whose first attempt is over: what `start` and `done` do, in one commit."""
        execution = self._execution
        if not execution.gate.allowed:
            execution.break_limit(_RAN_AHEAD)
            return
        step, started = self._new_step(frame, None)
        attempt = NewEvent(ev.ATTEMPT_STARTED, {"attempt": 1}, step.key)
        if execution.armed_kill is not None:
            execution.pipeline.add_soon(started, attempt, received=execution.gate.received)
            execution.kill_worker_and_end()
            return
        if (refused := execution.bindings.bytes_refusal(step.key, 1, frame.value)) is not None:
            execution.break_limit(refused)
            return
        self.running += 1
        self._complete(step, frame.value, frame.ended, frame.took, ahead=True, before=(started, attempt))

    def _new_step(self, frame: frames.Do | frames.Did, broken: Break | None) -> tuple[OpenStep, NewEvent]:
        """A step whose first attempt runs, and the event of its start."""
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
        self._execution.steps[step.key] = step
        data: dict[str, Any] = {"config": config, "line": frame.line, **clock_field(frame.clock)}
        if rollback is not None:
            data["rollback"] = rollback
        return step, NewEvent(ev.STEP_STARTED, data, step.key)

    def resume(self, step: OpenStep) -> None:
        """A step from an earlier execution, or one that a pause held back: start its next attempt when it is due."""
        execution = self._execution
        step.stop_timer()
        now = execution.services.clock.now()
        if step.until is None or step.until <= now or execution.skips_sleeps:
            self.run(step, virtual=execution.skips_sleeps and step.until is not None and step.until > now)
        else:
            step.timer = execution.services.clock.call_at(step.until, self._on_retry_due, step)

    def run(self, step: OpenStep, *, virtual: bool = False) -> None:
        """Start the next attempt now, unless the execution is closing."""
        step.stop_timer()
        if self._execution.closing:
            return
        assert step.status == open_steps.RETRYING, "at most one attempt of a step is open"
        step.status, step.until, step.late = open_steps.RUNNING, None, False
        step.attempt += 1
        last = step.failures >= step.config["retries"]["limit"]
        step.broken = self._execution.breaks.take_for_next_attempt(step.key)
        broken = {} if step.broken is None else {"broken": step.broken}
        self._execution.send({"op": "run", "step": step.key, "attempt": step.attempt, "last": last, **broken})
        self._commit_started(step, virtual=virtual)
        self.arm_deadlines()

    def done(self, frame: frames.Done) -> None:
        """An attempt has its result: commit its end and the step's, then acknowledge."""
        execution = self._execution
        step = self._open_attempt_of(frame)
        if step is None:
            return
        if frame.ahead and not execution.gate.allowed:
            execution.break_limit(_RAN_AHEAD)
            return
        if execution.armed_kill == ev.KILL_BEFORE_COMMIT:
            execution.kill_worker_and_end()
            return
        if execution.chaos.kill_if_due(step.key):
            return
        try:
            value = faults.broken_result(step.broken, frame.value)
        except frames.ProtocolError as error:
            execution.break_limit(f"protocol: {error}")
            return
        if (refused := execution.bindings.bytes_refusal(step.key, step.attempt, value)) is not None:
            execution.break_limit(refused)
            return
        ack = {"op": "ok", "step": frame.step, "attempt": frame.attempt, "clock": frame.clock}
        self._complete(step, value, frame.clock, frame.took, ahead=frame.ahead, ack=ack)

    def _complete(
        self,
        step: OpenStep,
        value: Any,
        clock: int | None,
        took: int | None,
        *,
        ahead: bool,
        ack: dict[str, Any] | None = None,
        before: Sequence[NewEvent] = (),
    ) -> None:
        execution = self._execution
        self._close_attempt(step)
        step.completed, step.output = True, value if step.rollback is not None else None
        sensitive = bool(step.config.get("sensitive"))
        shown = ev.REDACTED if sensitive else value
        completed = NewEvent(
            ev.STEP_COMPLETED, {"output": shown, **clock_field(clock)}, step.key, value if sensitive else None
        )
        execution.advance_workflow_clock(clock)
        then, frame = self._acknowledgement(step, None if ahead else ack)
        execution.pipeline.add(
            *before,
            NewEvent(
                ev.ATTEMPT_COMPLETED,
                {"attempt": step.attempt, **_duration_field(took), **faults.break_fields(step.broken)},
                step.key,
            ),
            *execution.bindings.take_writes(step.key),
            completed,
            then=then,
            ack=frame,
            received=execution.gate.received if ahead else None,
        )

    def failed(self, frame: frames.Fail) -> None:
        """An attempt has failed: try again after a delay, or give the step up."""
        step = self._open_attempt_of(frame)
        if step is not None:
            last = not frame.retryable or step.failures >= step.config["retries"]["limit"]
            if last and self._execution.chaos.kill_if_due(step.key):
                return
            error = faults.broken_failure(
                step.broken, step.config["timeout"], frames.to_builtins(frame.error), frame.retryable
            )
            execution = self._execution
            execution.advance_workflow_clock(frame.clock)
            self._fail(step, error, frame.retryable, frame.delay, frame.clock, frame.took)

    def close_open_steps(self) -> list[NewEvent]:
        """Close the steps that are open when `run` ends; returns the events that say so."""
        events = []
        for step in self._execution.steps.values():
            if step.key.kind != ev.DO or step.status not in (open_steps.RUNNING, open_steps.RETRYING):
                continue
            if step.status == open_steps.RUNNING:
                data = {"attempt": step.attempt, "error": messages.cancelled()}
                events.append(NewEvent(ev.ATTEMPT_ERRORED, data, step.key))
            self._close_attempt(step)
            events.append(NewEvent(ev.STEP_ERRORED, {"error": messages.cancelled()}, step.key))
        return events

    def _commit_started(
        self, step: OpenStep, *before: NewEvent, virtual: bool = False, received: int | None = None
    ) -> None:
        execution = self._execution
        self.running += 1
        data = {
            "attempt": step.attempt,
            **({"virtual": True} if virtual else {}),
            **faults.break_fields(step.broken, begins=True),
        }
        started = NewEvent(ev.ATTEMPT_STARTED, data, step.key)
        if execution.armed_kill == ev.KILL_DURING_STEP:
            execution.pipeline.add(*before, started)
            execution.kill_worker_and_end()
            return
        execution.pipeline.add_soon(*before, started, received=received)
        self._without_deadline.append(step)

    def arm_deadlines(self) -> None:
        """Arm the deadlines of attempts that started with the last frames and did not end with them."""
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
                step.timer = clock.call_at(now + timeout, self._on_timeout, step, dict(messages.timed_out(timeout)))
            else:
                step.timer = clock.call_at(now + wall, self._on_wall_limit, step, wall)
        self._without_deadline.clear()

    def _open_attempt_of(self, frame: Any) -> OpenStep | None:
        step = self._execution.steps.get(frames.step_key(frame.step))
        if step is None or step.key.kind != ev.DO or frame.attempt > step.attempt:
            self._execution.break_limit("protocol: an outcome for an attempt that never began")
            return None
        if frame.attempt < step.attempt or step.status != open_steps.RUNNING:
            return None
        if step.late and isinstance(frame, frames.Done) and not frame.ahead:  # else its code has gone on with it
            return None
        return step

    def _on_retry_due(self, step: OpenStep) -> None:
        if not self._execution.closing and delivery.may_go_on(step.key, self._execution.pausing):
            self.run(step, virtual=self._execution.skips_sleeps)

    def _on_timeout(self, step: OpenStep, error: dict[str, Any]) -> None:
        """An attempt is over its time: ask the worker to cancel it, which reports a failure."""
        execution = self._execution
        if self._is_unread(step, self._on_timeout, error):
            return
        step.late = True
        execution.send({"op": "timeout", "step": step.key, "attempt": step.attempt, "message": error["message"]})
        clock = execution.services.clock
        step.timer = clock.call_at(clock.now() + REPLY_GRACE_MS, self._on_timeout_ignored, step, error)

    def _on_timeout_ignored(self, step: OpenStep, error: dict[str, Any]) -> None:
        """The callback blocks the worker and can't be cancelled: the attempt has failed, and the worker is stopped."""
        execution = self._execution
        if self._is_unread(step, self._on_timeout_ignored, error):
            return
        self._fail(step, error, True, None, None, None)
        execution.end_as_lost(ev.EVICTED)

    def _is_unread(self, step: OpenStep, check_again: Callable[..., None], *args: Any) -> bool:
        """Whether the worker is not read now, since commits are behind: its result may have come in time."""
        channel, clock = self._execution.channel, self._execution.services.clock
        if channel is None or not channel.is_paused:
            return False
        step.timer = clock.call_at(clock.now() + UNREAD_MS, check_again, step, *args)
        return True

    def _on_wall_limit(self, step: OpenStep, wall: int) -> None:
        execution = self._execution
        row = execution.row
        error = {**messages.attempt_time(wall // 1000, step.key, row.workflow), "line": step.line}
        execution.services.counts.limit(
            messages.attempt_time_setting(row.workflow), owner_of_limit(row), instance=row.key, what=error["message"]
        )
        self._on_timeout(step, error)

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
        self._close_attempt(step)
        execution.bindings.discard_writes(step.key)
        step.failures += 1
        data: dict[str, Any] = {
            "attempt": step.attempt,
            "error": error,
            **_duration_field(took),
            **faults.break_fields(step.broken),
        }
        errored = NewEvent(ev.ATTEMPT_ERRORED, data, step.key)
        if retryable and step.failures <= step.config["retries"]["limit"]:
            delay = open_steps.retry_delay(step.config, step.failures, computed)
            data["retry_delay_ms"] = delay
            step.status, step.until = open_steps.RETRYING, execution.services.clock.now() + delay
            due = execution.services.clock.now() if execution.skips_sleeps else step.until
            step.timer = execution.services.clock.call_at(due, self._on_retry_due, step)
            execution.pipeline.add(errored, then=lambda committed: execution.on_attempt_committed())
            return
        failed = NewEvent(ev.STEP_ERRORED, {"error": error, **clock_field(clock)}, step.key)
        reply = {"op": "error", "step": step.key, "error": error, "clock": clock}
        if not execution.gate.allowed:
            then, frame = self._acknowledgement(step, reply)
            execution.pipeline.add(errored, failed, then=then, ack=frame)
            return

        def over(committed: Committed) -> None:
            execution.acknowledgements.send_end(reply, step.key)
            execution.on_attempt_committed()

        execution.pipeline.add(errored, failed, then=over)

    def _acknowledgement(self, step: OpenStep, reply: dict[str, Any] | None) -> tuple[OnCommitted, bytes | None]:
        """What is called after the commit of a step's end, and the frame that is sent with that commit.

        A pause withholds such frames. The reply to a step that a callback calls is sent by what is called.
        """
        execution = self._execution
        nested = step.key.parent is not None

        def over(committed: Committed) -> None:
            if nested and reply is not None:
                execution.send(reply)
            execution.on_attempt_committed()

        return over, None if nested or reply is None else frames.encode(reply)

    def _close_attempt(self, step: OpenStep) -> None:
        step.stop_timer()
        if step.status == open_steps.RUNNING:
            assert self.running > 0, "an attempt ends once"
            self.running -= 1
            self._execution.cpu_watchdog.on_attempt_ended()
        step.status = open_steps.OVER


def clock_field(clock: int | None) -> dict[str, int]:
    """The field of an event with the time on the workflow's clock, in microseconds."""
    return {} if clock is None else {"clock_us": clock}


def _duration_field(took: int | None) -> dict[str, int]:
    return {} if took is None else {"took_us": took}
