"""What the model of legal journals (journal_model.py) is made of: commits, steps, and what it holds of an instance."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from playground.workflows import events as ev
from playground.workflows.events import Event, NewEvent, StepKey

BEGINNING = 1_700_000_000_000
MOST_LOSSES = 3  # workers lost in a row on one attempt before the instance ends
ERROR = {"name": "ValueError", "message": "no", "traceback": [], "line": 3}
CANCELLED = {"name": "Cancelled", "message": "The run has ended.", "traceback": [], "line": None}
LOST = {"name": "WorkerLost", "message": "The worker was lost.", "traceback": [], "line": None}
TIMEOUT = {"name": "WorkflowTimeoutError", "message": "Execution timed out", "traceback": [], "line": None}
HANDLER = {"retries": {"limit": 2, "delay": 100, "backoff": "constant"}, "timeout": 1_000}
OUTPUTS = (None, 1, "text", [], {"a": [1, None]}, {"$set": []})
NAMES = ("a", "b", "c")
STREAMS = ("tokens", "progress")
VALUES = ("word ", 7, {"percent": 40, "text": "half"}, None)
EVENT_TYPES = ("go", "stop")
HELD = (ev.PAUSED, ev.WAITING_FOR_PAUSE)

# Statuses of a step and of a handler in the model.
PENDING, RUNNING, RETRYING, OPEN = "pending", "running", "retrying", "open"
COMPLETED, ERRORED, TIMED_OUT, GIVEN_UP = "completed", "errored", "timed_out", "given up"


@dataclass(frozen=True)
class Commit:
    """One transaction. After it the instance has this status, and nobody has consumed the events in `inbox`."""

    at: int
    execution: int | None
    events: list[NewEvent]
    status: str
    inbox: list[int]


@dataclass
class Step:
    key: StepKey
    started_seq: int
    status: str
    attempt: int = 0
    losses: int = 0
    injected: str | None = None  # what is done to its open attempt
    sensitive: bool = False
    event_type: str | None = None
    event: dict[str, Any] = field(default_factory=dict)
    received: int | None = None
    copied: bool = False
    handler: str | None = None
    handler_attempt: int = 0
    handler_open: bool = False  # whether an attempt of it runs
    appended: dict[str, int] = field(default_factory=dict)  # values by stream, of its latest attempt


class Instance:
    """What the model holds of an instance, and what every move asks or does."""

    def __init__(self, *, chaos: bool) -> None:
        self.commits: list[Commit] = []
        self.injected = {"chaos": {"kill_before_commit": 2, "timed_out": []}} if chaos else None
        self._spared = chaos
        self._at, self._seq, self._execution = BEGINNING, 0, 0
        self._adding: list[NewEvent] = []
        self._status = ev.QUEUED
        self._in_execution = self._started = False
        self._rollback: str | None = None
        self._error: Any = None  # what is rolled back for
        self._steps: dict[StepKey, Step] = {}
        self._inbox: dict[int, dict[str, Any]] = {}
        self._patches: dict[str, int] = {}  # patches of this generation that are decided, with their seq
        self._replied: dict[StepKey, int] = {}  # waits of this generation whose events have a reply, with its seq
        self._breaks: list[dict[str, Any]] = []
        self._armed: str | None = None
        self._breakpoints: list[dict[str, Any]] = []
        self._stop: StepKey | None = None  # the step that it is stopped before

    def _add(self, type: str, step: StepKey | None = None, secret: Any = None, /, **data: Any) -> None:
        self._adding.append(NewEvent(type, data, step, secret))
        self._seq += 1

    def _commit(self) -> None:
        self.commits.append(Commit(self._at, self._execution or None, self._adding, self._status, sorted(self._inbox)))
        self._adding = []

    def _clock(self) -> int:
        return (self._at - BEGINNING) * 1_000

    def _activate(self) -> None:
        if self._status == ev.WAITING and self._in_execution:
            self._status = ev.RUNNING

    def _with(self, *statuses: str, kinds: Iterable[str] = ev.KINDS) -> list[Step]:
        return [step for step in self._steps.values() if step.status in statuses and step.key.kind in kinds]

    def _new_key(self, pick: Random, kind: str) -> StepKey:
        running = [step.key for step in self._with(RUNNING) if step.key.parent is None]
        parent = pick.choice(running) if running and pick.random() < 0.2 else None
        name = pick.choice(NAMES)
        before = [key for key in self._steps if (key.kind, key.name, key.parent) == (kind, name, parent)]
        return StepKey(kind, name, len(before) + 1, parent)

    def _outer_key(self, pick: Random, kind: str) -> StepKey:
        name = pick.choice(NAMES)
        before = [key for key in self._steps if (key.kind, key.name, key.parent) == (kind, name, None)]
        return StepKey(kind, name, len(before) + 1)

    def _begin(self, key: StepKey, status: str, **more: Any) -> Step:
        step = self._steps[key] = Step(key, self._seq, status, **more)
        return step

    def _noted(self, step: Step) -> dict[str, Any]:
        return {"attempt": step.attempt, **({} if step.injected is None else {"injected": step.injected})}

    def _end_wait(self, step: Step, **data: Any) -> None:
        if step.key.kind == ev.SLEEP:
            self._add(ev.SLEEP_COMPLETED, step.key, **data)
            step.status = COMPLETED
        else:
            self._add(ev.WAIT_TIMED_OUT, step.key, error=TIMEOUT, **data)
            step.status = TIMED_OUT
        self._activate()

    def _take_kept(self, waits: list[Step]) -> None:
        if self._status in HELD:
            return
        for step in waits:
            received = next((seq for seq in sorted(self._inbox) if self._inbox[seq]["type"] == step.event_type), None)
            if received is not None:
                self._take(step, received)

    def _take(self, step: Step, received: int) -> None:
        step.event, step.received, step.status = self._inbox.pop(received), received, COMPLETED
        self._add(ev.WAIT_COMPLETED, step.key, event=step.event, received=received)
        self._activate()

    def _forget_stops(self) -> None:
        self._stop = None
        self._breakpoints = [each for each in self._breakpoints if "once" not in each]

    def _finish(self, type: str, **data: Any) -> None:
        self._add(type, **data)
        self._forget_stops()
        self._inbox = {}
        self._status = {ev.WORKFLOW_COMPLETED: ev.COMPLETE, ev.WORKFLOW_ERRORED: ev.ERRORED}.get(type, ev.TERMINATED)

    # Moves that change nothing of it.

    def _log(self, pick: Random) -> None:
        if pick.random() < 0.3:
            self._add(ev.LOG_TRUNCATED, dropped=pick.randrange(1, 1_000))
        else:
            text, replay = pick.choice(("hi", "an\u0303b")), pick.random() < 0.5
            self._add(ev.LOG, stream="stdout", level=None, text=text, replay=replay, line=2)

    def _append(self, pick: Random) -> None:
        running = self._with(RUNNING, kinds=(ev.DO,))
        if not running:
            return
        step, stream = pick.choice(running), pick.choice(STREAMS)
        if pick.random() < 0.1:
            self._add(ev.STREAM_TRUNCATED, stream=stream, dropped=pick.randrange(1, 9))
            return
        values = [pick.choice(VALUES) for _ in range(pick.randrange(1, 4))]
        first = step.appended.get(stream, 0) + 1
        data = {"stream": stream, "attempt": step.attempt, "first": first, "count": len(values), "values": values}
        self._add(ev.STREAM_APPENDED, step.key, **data)
        step.appended[stream] = first + len(values) - 1

    def _call(self, pick: Random) -> None:
        running = self._with(RUNNING, kinds=(ev.DO,))
        step = pick.choice([None, *running])
        key, failed = None if step is None else step.key, {"error": "ai.failed"} if pick.random() < 0.3 else {}
        took = {"took_ms": pick.randrange(9), **failed}
        if pick.random() < 0.5:
            self._add(
                ev.AI_CALLED, key, model=pick.choice(("a", "b")), tokens_in=3, tokens_out=pick.randrange(9), **took
            )
        else:
            self._add(ev.MCP_CALLED, key, server="default", tool=pick.choice(("add", "find")), bytes=7, **took)

    def _diverge(self, pick: Random) -> None:
        if self._steps and pick.random() < 0.3:
            self._add(ev.REPLAY_DIVERGED, steps=[next(iter(self._steps)).as_json()])

    def _release(self, pick: Random) -> None:
        ended = self._with(COMPLETED, TIMED_OUT, kinds=(ev.SLEEP, ev.WAIT))
        if ended:
            self._add(ev.STEP_RELEASED, pick.choice(ended).key, clock_us=self._clock())


def journal(commits: Iterable[Commit]) -> list[Event]:
    """The events of the commits as the journal has them."""
    events: list[Event] = []
    for commit in commits:
        for new in commit.events:
            events.append(Event(len(events) + 1, commit.at, new.type, commit.execution, new.step, new.data))
    return events
