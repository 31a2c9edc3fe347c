"""Sleeps and waits for events: started, armed with their deadline, ended by time, by an event or by an operation.

Their ends are decided in the store's transaction (engine/operations.py), since time, an event and an operation may race
for one. A sleep that an earlier execution started is armed for the remainder.
"""

from collections.abc import Callable
from typing import Any, Protocol

from playground.engine import delivery, messages, operations
from playground.engine.execution import open_steps
from playground.engine.execution.attempts import Acknowledgements, Attempts, clock_field
from playground.engine.execution.context import ExecutionContext
from playground.engine.execution.environment import ExecutionEnvironment
from playground.engine.execution.faults import Chaos
from playground.engine.execution.open_steps import OpenStep
from playground.sandbox import frames
from playground.store.protocol import Committed, Decider
from playground.workflows import durations, event_rules
from playground.workflows import events as ev
from playground.workflows.events import Event, NewEvent, StepKey

_ENDS = ev.SUSPENSION_ENDS | ev.SUSPENSION_CANCELS
CLOCK_SKEW_MS = 60_000  # that a worker's clock may be ahead of ours when it checks `sleep_until`


class Waiting(ExecutionContext, Protocol):
    """An execution that sleeps and waits."""

    acknowledgements: Acknowledgements
    bindings: ExecutionEnvironment
    attempts: Attempts
    chaos: Chaos


class Waits:
    """The sleeps and waits of one execution."""

    def __init__(self, execution: Waiting) -> None:
        self._execution = execution
        self._cancelled: set[StepKey] = set()

    def sleep(self, frame: frames.Sleep) -> None:
        """The code sleeps: for the first time, or again on replay, when only the remainder is left."""
        execution = self._execution
        key, now = frames.step_key(frame.step), execution.services.clock.now()
        step = execution.steps.get(key)
        if self.has_ended(key, step, ev.SLEEP):
            return
        if step is None:
            until = max(0, frame.until) if frame.until is not None else now + (frame.duration or 0)
            if until > now + durations.LONGEST + CLOCK_SKEW_MS:
                execution.break_limit("protocol: a sleep of more than 365 days")
                return
            step = execution.steps[key] = OpenStep(key, open_steps.OPEN, frame.line, until=until)
            execution.pipeline.add(
                NewEvent(ev.SLEEP_STARTED, {"until": until, "line": frame.line, **clock_field(frame.clock)}, key),
                received=execution.gate.received,
            )
        self._arm(step)

    def wait(self, frame: frames.Wait) -> None:
        """The code waits for an event; one in the inbox is delivered at once."""
        execution = self._execution
        key, now = frames.step_key(frame.step), execution.services.clock.now()
        step = execution.steps.get(key)
        if self.has_ended(key, step, ev.WAIT):
            return
        if step is None:
            until = now + frame.timeout
            step = execution.steps[key] = OpenStep(key, open_steps.OPEN, frame.line, until=until)
            started: dict[str, Any] = {
                "event_type": frame.event_type,
                "until": until,
                "line": frame.line,
                **clock_field(frame.clock),
            }
            if frame.schema is not None:
                started["config"] = {"schema": frame.schema}
            execution.pipeline.decide(
                delivery.start_wait(key, started, ignore_inbox=execution.chaos.times_out(key)),
                execution.apply_committed,
            )
        step.timeout = frame.timeout
        self._arm(step)

    def cancel(self, frame: frames.Cancel) -> None:
        """The code has cancelled a sleep or a wait, which ends it.

        An event that was delivered to it and that the code has not received goes to the next wait.
        """
        execution = self._execution
        key = frames.step_key(frame.step)
        step = execution.steps.get(key)
        if step is None or key.kind == ev.DO or key in self._cancelled:
            execution.break_limit("protocol: the worker gave up what it had not begun, or twice")
            return
        self._cancelled.add(key)
        execution.advance_workflow_clock(frame.clock)
        step.stop_timer()
        execution.steps[key] = open_steps.ENDED
        execution.pipeline.decide(
            operations.cancel_suspension(key, execution.services.clock.now(), clock_field(frame.clock)),
            self._forget_child if key.kind == ev.CHILD else execution.apply_committed,
        )

    def _forget_child(self, committed: Committed) -> None:
        """The code waits for a child no more."""
        self._execution.apply_committed(committed)
        self._execution.services.families.look_at([self._execution.row.key])

    def reply(self, frame: frames.Reply) -> None:
        """The code replies to the event of a wait; a second time, or to none, nothing happens."""
        execution = self._execution
        key = frames.step_key(frame.step)
        if key.kind != ev.REPLY or key._replace(kind=ev.WAIT) not in execution.steps:
            execution.break_limit("protocol: the worker replied to what it had not waited for")
            return
        if key in execution.steps:
            return
        execution.steps[key] = open_steps.ENDED
        refused = frame.refusal is not None
        outcome = (
            {"status": event_rules.ERRORED, "error": messages.error("EventRejected", frame.refusal or "", frame.line)}
            if refused
            else {"status": event_rules.COMPLETED, "output": frame.value}
        )
        data = {**outcome, "line": frame.line, **clock_field(frame.clock)}
        execution.pipeline.decide(operations.reply(key, data, execution.bindings.redact), execution.apply_committed)

    def on_released(self, frame: frames.Released) -> None:
        """The code received an end later than at its event; every replay releases it there too."""
        execution = self._execution
        key = frames.step_key(frame.step)
        if key not in execution.steps:
            execution.break_limit("protocol: the worker released what it had not begun")
            return
        execution.pipeline.add(NewEvent(ev.STEP_RELEASED, clock_field(frame.clock), key))

    def apply_event(self, event: Event) -> None:
        """Apply a committed event to the sleep, wait or retry that it is about, and send its end to the worker."""
        execution = self._execution
        step = execution.steps.get(event.key)
        if step is None or step.status == open_steps.OVER:
            return
        if event.type == ev.RETRY_WOKEN:
            step.until = event.at
            if step.timer is not None and step.status == open_steps.RETRYING:
                execution.attempts.run(step, virtual=True)
            return
        if event.type not in _ENDS:
            return
        awaited = step.timer is not None
        step.stop_timer()
        step.status = open_steps.OVER
        value = event.data.get("output" if event.key.kind == ev.CHILD else "event")
        reply = {"op": "over", "step": step.key, "value": value, "clock": event.data.get("clock_us")}
        if event.type in (ev.WAIT_TIMED_OUT, ev.CHILD_ERRORED):
            reply["error"] = event.data["error"]
        step.reply = reply
        if awaited:
            execution.steps[step.key] = open_steps.ENDED
        execution.acknowledgements.send_end(reply, step.key)

    def rearm(self) -> None:
        """A pause was cancelled, or sleeps are skipped: what is due now ends."""
        for step in self._execution.steps.values():
            if step.status == open_steps.OPEN and step.timer is not None and step.key.kind != ev.CHILD:
                self._arm(step)
            elif step.status == open_steps.RETRYING and step.timer is not None and self._may_go_on(step):
                self._execution.attempts.resume(step)

    def has_ended(self, key: StepKey, step: OpenStep | None, kind: str) -> bool:
        """Whether a sleep, a wait or a child is over: it ended before the code came to it again, or is out of place."""
        if step is not None and step.status == open_steps.OVER and step.reply is not None:
            self._execution.acknowledgements.send_end(dict(step.reply))
            return True
        if key.kind != kind or (step is not None and (step.timer is not None or step.status != open_steps.OPEN)):
            self._execution.break_limit(f"protocol: a {kind} that is out of place")
            return True
        return False

    def _arm(self, step: OpenStep) -> None:
        over: Callable[[OpenStep], None] = self._on_sleep_due if step.key.kind == ev.SLEEP else self._on_wait_due
        clock = self._execution.services.clock
        until = step.until or 0
        step.stop_timer()
        step.timer = clock.call_at(until, over, step)
        skips = self._execution.skips_sleeps if step.key.kind == ev.SLEEP else self._execution.chaos.virtual
        if until <= clock.now() or skips:
            step.timer.cancel()
            over(step)

    def _on_sleep_due(self, step: OpenStep) -> None:
        self._decide(step, operations.end_sleep(step.key, virtual=self._execution.skips_sleeps))

    def _on_wait_due(self, step: OpenStep) -> None:
        self._decide(step, operations.end_wait(step.key, step.timeout, virtual=self._execution.chaos.virtual))

    def _may_go_on(self, step: OpenStep) -> bool:
        return delivery.may_go_on(step.key, self._execution.pausing)

    def _decide(self, step: OpenStep, decider: Decider) -> None:
        execution = self._execution
        if not execution.closing and self._may_go_on(step):
            execution.pipeline.decide(decider, execution.apply_committed)
