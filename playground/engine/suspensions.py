"""Sleeps and waits for events: begun, armed with their deadline, ended by time, by an event or by a person."""

from collections.abc import Callable
from typing import Protocol

from playground.engine import deciders, live, words
from playground.engine.answers import Answers
from playground.engine.attempts import Attempts
from playground.engine.chaos import Chaos
from playground.engine.conversation import Conversation
from playground.engine.live import LiveStep
from playground.sandbox import frames
from playground.store.protocol import Decider
from playground.workflows import durations
from playground.workflows import events as ev
from playground.workflows.events import Event, NewEvent, StepKey

_ENDS = frozenset({ev.SLEEP_COMPLETED, ev.WAIT_COMPLETED, ev.WAIT_TIMED_OUT})


class Suspending(Conversation, Protocol):
    """An execution that sleeps and waits."""

    answers: Answers
    attempts: Attempts
    chaos: Chaos


class Suspensions:
    """The sleeps and waits of one execution."""

    def __init__(self, execution: Suspending) -> None:
        self._execution = execution

    def sleep(self, frame: frames.Sleep) -> None:
        """The code sleeps: for the first time, or again on replay, when only the remainder is slept."""
        execution = self._execution
        key, now = frames.key(frame.step), execution.services.clock.now()
        step = execution.steps.get(key)
        if self._is_settled(key, step, ev.SLEEP):
            return
        if step is None:
            until = frame.until if frame.until is not None else now + (frame.duration or 0)
            refused = words.past_sleep() if frame.until is not None and until < now else None
            if until > now + durations.LONGEST:
                refused = words.too_long_sleep()
            if refused is not None:
                execution.send({"op": "refused", "step": frame.step, "error": refused})
                return
            step = execution.steps[key] = LiveStep(key, live.OPEN, frame.line, until=until)
            execution.pipeline.add(NewEvent(ev.SLEEP_STARTED, {"until": until, "line": frame.line}, key))
        self._arm(step)

    def wait(self, frame: frames.Wait) -> None:
        """The code waits for an event; one that was kept is taken at once."""
        execution = self._execution
        key, now = frames.key(frame.step), execution.services.clock.now()
        step = execution.steps.get(key)
        if self._is_settled(key, step, ev.WAIT):
            return
        if step is None:
            until = now + frame.timeout
            step = execution.steps[key] = LiveStep(key, live.OPEN, frame.line, until=until)
            execution.pipeline.decide(deciders.start_wait(key, frame.event_type, until, frame.line, in_vain=execution.chaos.waits_in_vain(key)), execution.apply)
        step.timeout = frame.timeout
        self._arm(step)

    def apply(self, event: Event) -> None:
        """Tell the worker what a committed event means for its sleep, wait or retry."""
        execution = self._execution
        step = execution.steps.get(event.key)
        if step is None or step.status == live.OVER:
            return
        if event.type == ev.RETRY_WOKEN:
            step.until = event.at
            if step.timer is not None and step.status == live.RETRYING:
                execution.attempts.run(step, virtual=True)
            return
        if event.type not in _ENDS:
            return
        awaited = step.timer is not None
        step.stop_timer()
        step.status = live.OVER
        reply = {"op": "over", "step": step.key, "value": event.data.get("event")}
        if event.type == ev.WAIT_TIMED_OUT:
            reply["error"] = event.data["error"]
        step.reply = reply
        if awaited:
            execution.steps[step.key] = live.ENDED
        execution.answers.give(reply)

    def rearm(self) -> None:
        """A pause was called off: what fell due meanwhile is due now."""
        for step in self._execution.steps.values():
            if step.status == live.OPEN and step.timer is not None:
                self._arm(step)
            elif step.status == live.RETRYING and step.timer is not None:
                self._execution.attempts.resume(step)

    def _is_settled(self, key: StepKey, step: LiveStep | None, kind: str) -> bool:
        """Whether a sleep or wait needs no arming: it ended before the code came to it again, or has no place here."""
        if step is not None and step.status == live.OVER and step.reply is not None:
            self._execution.answers.give(dict(step.reply))
            return True
        if key.kind != kind or (step is not None and (step.timer is not None or step.status != live.OPEN)):
            self._execution.break_limit(f"protocol: a {kind} that is out of place")
            return True
        return False

    def _arm(self, step: LiveStep) -> None:
        over: Callable[[LiveStep], None] = self._sleep_over if step.key.kind == ev.SLEEP else self._wait_over
        clock = self._execution.services.clock
        until = step.until or 0
        step.stop_timer()
        step.timer = clock.call_at(until, over, step)
        if until <= clock.now() or self._execution.chaos.virtual:
            step.timer.cancel()
            over(step)

    def _sleep_over(self, step: LiveStep) -> None:
        self._decide(deciders.end_sleep(step.key, virtual=self._execution.chaos.virtual))

    def _wait_over(self, step: LiveStep) -> None:
        self._decide(deciders.end_wait(step.key, step.timeout, virtual=self._execution.chaos.virtual))

    def _decide(self, decider: Decider) -> None:
        execution = self._execution
        if not execution.closing and not execution.pausing:
            execution.pipeline.decide(decider, execution.apply)
