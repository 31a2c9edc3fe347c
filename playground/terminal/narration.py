"""What is said of a run on a terminal: lines for what has happened, rows for what goes on now.

Both are pure: `Narrator` folds the journal and gives the lines of each event, `open_rows` reads the fold at a moment.
A step is one line once it is over; until then it is a row that is drawn anew (screen.py). What a tenant's code printed
or returned is shown as text only: control characters, with which it could write elsewhere on the terminal or hide what
it did, are made visible.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from playground.workflows import events as ev
from playground.workflows.event_rules import OPEN_STATUSES, RETRYING, RUNNING, SLEEPING, WAITING
from playground.workflows.events import Event, StepKey
from playground.workflows.state import State, Step

# Kinds of a line; the screen knows how each looks.
DONE, FAILED, NOTE, LOG, WARNING, BUSY = "done", "failed", "note", "log", "warning", "busy"
WAY = "way"  # a command that may be copied, so that it is never cut
PREVIEW_CHARACTERS = 400  # of a value in a line, which the screen cuts to its width
LOG_CHARACTERS = 2_000  # of a printed line
DAY_MS = 86_400_000

_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: what it is about (`label`), how it went (`text`), a value (`value`), and how long it took."""

    kind: str
    label: str
    text: str = ""
    value: str = ""
    took_ms: int | None = None


def plain(text: str) -> str:
    """A text on one line, with what a terminal would obey made visible."""
    return _HIDDEN.sub(lambda it: " " if it[0] in "\t\n" else it[0].encode("unicode_escape").decode(), text)


def preview(value: Any) -> str:
    """A value as JSON on one line, cut."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return plain(text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 1] + "…")


def duration(ms: float) -> str:
    """A duration for people: 340 ms, 6.0 s, 2 min 5 s, 3 h 10 min, 2 days 4 h."""
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1_000:.1f} s"
    seconds = round(ms / 1_000)
    parts = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    at = next(index for index, (size, _) in enumerate(parts) if seconds >= size)
    found = []
    for size, unit in parts[at : at + 2]:
        count, seconds = divmod(seconds, size)
        if count:
            found.append(f"{count} {unit}")
    return " ".join(found)


def moment(at: int, now: int) -> str:
    """A time of the local clock, with its date where it is not within a day."""
    shown = datetime.fromtimestamp(at / 1_000).astimezone()
    return shown.strftime("%H:%M:%S" if abs(at - now) < DAY_MS else "%Y-%m-%d %H:%M")


def error_text(error: Mapping[str, Any] | None) -> str:
    """An error on one line."""
    if not error:
        return ""
    line = f" (line {error['line']})" if error.get("line") else ""
    return plain(f"{error.get('name')}: {error.get('message')}")[:LOG_CHARACTERS] + line


class Narrator:
    """The lines of a journal, event by event. `state` is the fold so far."""

    def __init__(self) -> None:
        self.state = State()
        self._printed: dict[Any, str] = {}  # unfinished lines of what the code prints

    def lines(self, event: Event) -> Iterator[Line]:
        """Apply the next event, and say what is to be said of it."""
        self.state.apply(event)
        if event.type == ev.LOG:
            yield from self._log(event)
        elif event.step is not None and event.type in _OF_STEPS:
            step = self.state.steps.get(event.step)
            if step is not None:
                yield from _OF_STEPS[event.type](step, event)
        elif event.type in _OF_RUNS:
            yield from _OF_RUNS[event.type](self.state, event)

    def _log(self, event: Event) -> Iterator[Line]:
        data = event.data
        if data.get("replay"):  # was printed before
            return
        source = event.execution, data.get("stream"), event.step
        text = self._printed.pop(source, "") + str(data.get("text", ""))
        if data.get("partial") and len(text) < LOG_CHARACTERS:
            self._printed[source] = text
            return
        kind = WARNING if data.get("level") in ("WARNING", "ERROR", "CRITICAL") else LOG
        for line in text.splitlines() or [""]:
            yield Line(kind, "", plain(line)[:LOG_CHARACTERS])


def open_rows(state: State, now: int) -> list[Line]:
    """What goes on at a moment, in epoch milliseconds: one row per open step."""
    return [_row(step, now) for step in state.steps.values() if step.status in OPEN_STATUSES]


def _row(step: Step, now: int) -> Line:
    text = ""
    if step.status == RUNNING:
        text = f"attempt {step.attempt}" if step.attempt > 1 else "runs"
        began = step.attempts[-1].started_at if step.attempts else step.started_at
        return Line(BUSY, label(step.key), text, took_ms=max(0, now - began))
    if step.status == RETRYING:
        text = f"attempt {step.attempt} failed" + (f", again in {_left(step.until, now)}" if step.until else "")
    elif step.status == SLEEPING:
        text = f"sleeps, {_left(step.until, now)} left" if step.until else "sleeps"
    elif step.status == WAITING and step.child is not None:
        text = f"waits for run {plain(step.child)}"
    elif step.status == WAITING:
        text = f"waits for event {plain(step.event_type or '')}" + (
            f", {_left(step.until, now)} left" if step.until else ""
        )
    return Line(BUSY, label(step.key), text)


def label(key: StepKey) -> str:
    """A step's name on one line."""
    return plain(key.label)


def _left(until: int | None, now: int) -> str:
    return duration(max(0, (until or now) - now))


# Lines of steps.


def _completed(step: Step, event: Event) -> Iterator[Line]:
    attempts = f"attempt {step.attempt}" if step.attempt > 1 else ""
    value = preview(step.output) if step.has_output and step.output is not None else ""
    yield Line(DONE, label(step.key), attempts, value, max(0, event.at - step.started_at))


def _attempt_failed(step: Step, event: Event) -> Iterator[Line]:
    delay = event.data.get("retry_delay_ms")
    again = "" if delay is None else f"; again in {duration(delay)}" if delay else "; again at once"
    injected = " (set by a break)" if event.data.get("injected") else ""
    text = f"attempt {event.data['attempt']}: {error_text(event.data['error'])}{injected}{again}"
    yield Line(FAILED, label(step.key), text)


def _step_failed(step: Step, event: Event) -> Iterator[Line]:
    yield Line(FAILED, label(step.key), f"failed for good: {error_text(step.error)}")


def _slept(step: Step, event: Event) -> Iterator[Line]:
    cut = "slept, cut short" if event.data.get("skipped") or step.virtual else "slept"
    yield Line(DONE, label(step.key), cut, took_ms=max(0, event.at - step.started_at))


def _arrived(step: Step, event: Event) -> Iterator[Line]:
    came = event.data["event"]
    yield Line(DONE, label(step.key), f"event {plain(str(came.get('type')))}", preview(came.get("payload")))


def _timed_out(step: Step, event: Event) -> Iterator[Line]:
    yield Line(FAILED, label(step.key), "no event came in time")


def _cancelled(step: Step, event: Event) -> Iterator[Line]:
    yield Line(NOTE, label(step.key), "cancelled by the code")


def _copied(step: Step, event: Event) -> Iterator[Line]:
    yield Line(NOTE, label(step.key), "taken over", preview(step.output) if step.has_output else "")


def _given(step: Step, event: Event) -> Iterator[Line]:
    yield Line(NOTE, label(step.key), "given by a person", preview(step.output) if step.has_output else "")


def _child(step: Step, event: Event) -> Iterator[Line]:
    yield Line(NOTE, label(step.key), f"runs {plain(str(step.child))}")


def _undone(step: Step, event: Event) -> Iterator[Line]:
    yield Line(DONE, label(step.key), "undone")


def _not_undone(step: Step, event: Event) -> Iterator[Line]:
    yield Line(FAILED, label(step.key), f"could not be undone: {error_text(event.data.get('error'))}")


_OF_STEPS: Mapping[str, Any] = {
    ev.STEP_COMPLETED: _completed,
    ev.ATTEMPT_ERRORED: _attempt_failed,
    ev.STEP_ERRORED: _step_failed,
    ev.SLEEP_COMPLETED: _slept,
    ev.SLEEP_CANCELLED: _cancelled,
    ev.WAIT_COMPLETED: _arrived,
    ev.WAIT_TIMED_OUT: _timed_out,
    ev.WAIT_CANCELLED: _cancelled,
    ev.CHILD_STARTED: _child,
    ev.CHILD_COMPLETED: _completed,
    ev.CHILD_ERRORED: _step_failed,
    ev.CHILD_CANCELLED: _cancelled,
    ev.STEP_COPIED: _copied,
    ev.STEP_GIVEN: _given,
    ev.ROLLBACK_ATTEMPT_ERRORED: _attempt_failed,
    ev.ROLLBACK_STEP_COMPLETED: _undone,
    ev.ROLLBACK_STEP_ERRORED: _not_undone,
}


# Lines of the run.

_ENDS: Mapping[str, str] = {
    ev.KILLED: "the worker was killed",
    ev.CRASHED: "the worker died",
    ev.EVICTED: "the worker was stopped",
    ev.LIMIT: "the worker was over a limit",
    ev.LOST: "the worker was lost with its server",
    ev.NOT_LOADED: "the code could not be loaded",
}


def _begins(state: State, event: Event) -> Iterator[Line]:
    number, replayed = event.data["execution"], event.data.get("replayed", 0)
    if number > 1:
        steps = f"{replayed} step{'' if replayed == 1 else 's'} from the journal"
        yield Line(NOTE, "", f"worker {number} goes on, with {steps}")


def _ends(state: State, event: Event) -> Iterator[Line]:
    reason = event.data["reason"]
    if reason in _ENDS:
        yield Line(WARNING, "", f"{_ENDS[reason]}; what was committed stays")


def _said(kind: str, text: str) -> Any:
    def say(state: State, event: Event) -> Iterator[Line]:
        yield Line(kind, "", text)

    return say


def _received(state: State, event: Event) -> Iterator[Line]:
    yield Line(NOTE, "", f"event {plain(str(event.data.get('type')))} arrived", preview(event.data.get("payload")))


def _diverged(state: State, event: Event) -> Iterator[Line]:
    names = ", ".join(plain(str(step.get("name"))) for step in event.data.get("steps", ())[:3])
    yield Line(
        WARNING, "", f"the replay went another way: it left out {names or 'steps'}; `playground check` says what to do"
    )


def _truncated(state: State, event: Event) -> Iterator[Line]:
    yield Line(WARNING, "", f"{event.data.get('dropped', 0):,} bytes of what it printed are not kept")


_OF_RUNS: Mapping[str, Any] = {
    ev.EXECUTION_STARTED: _begins,
    ev.EXECUTION_ENDED: _ends,
    ev.EVENT_RECEIVED: _received,
    ev.REPLAY_DIVERGED: _diverged,
    ev.LOG_TRUNCATED: _truncated,
    ev.WORKFLOW_PAUSED: _said(NOTE, "paused"),
    ev.WORKFLOW_RESUMED: _said(NOTE, "goes on"),
    ev.WORKFLOW_RESTARTED: _said(NOTE, "begins again"),
    ev.CODE_CHANGED: _said(NOTE, "goes on with other code"),
    ev.SLEEPS_SKIPPED: _said(NOTE, "from here on sleeps are over at once"),
    ev.KILL_ARMED: _said(NOTE, "the worker is going to be killed"),
    ev.ROLLBACK_STARTED: _said(NOTE, "undoes its steps"),
}
