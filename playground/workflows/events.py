"""The journal's events: one row each, `seq` dense from 1 per instance. What stands in `data` is listed per type.

`clock_us` stands in the events that begin and end steps: the time on the workflow's own clock, in microseconds (see
`playground/worker/replay.py`); `took_us` in those that end an attempt: how long it took by the worker's clock.

The values are tuples, since a quick step makes a dozen of them and hashes its key as often. Every view of an instance
is a fold over these (see `state.py`), so a change here is a change of the stored format.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

DO = "do"
SLEEP = "sleep"
WAIT = "wait"
KINDS = (DO, SLEEP, WAIT)

# Each with what has happened, and behind a colon what stands in `data` (docs/events.md is made of this).
WORKFLOW_QUEUED = "workflow_queued"  # it was created: params, trigger (a word, or {kind, of, …} for an instance made
# from another)
WORKFLOW_STARTED = "workflow_started"  # its code runs for the first time
WORKFLOW_WAITING = "workflow_waiting"  # nothing is left to do but to wait: until?, clock_us
WORKFLOW_WAITING_FOR_PAUSE = "workflow_waiting_for_pause"  # it pauses when the attempts that run have ended
WORKFLOW_PAUSED = "workflow_paused"  # it is paused
WORKFLOW_RESUMED = "workflow_resumed"  # it goes on, or a pause to come was taken back
WORKFLOW_RESTARTED = "workflow_restarted"  # it runs again, from the start or from a step: from_step?
WORKFLOW_COMPLETED = "workflow_completed"  # `run` has returned: output
WORKFLOW_ERRORED = "workflow_errored"  # it ended with an error: error
WORKFLOW_TERMINATED = "workflow_terminated"  # it was ended on purpose
EXECUTION_STARTED = "execution_started"  # a worker begins to run the code: execution, worker, replayed, code_version
EXECUTION_ENDED = "execution_ended"  # the worker is gone: reason; in a chaos run: injected (the number of the commit
# before which the worker was killed), step?
STEP_COPIED = "step_copied"  # a fork has what ended before it: status, line, attempts, took_ms, ended (its place among
# those that ended), edited?, and what such a step has: config, rollback, event_type, output, error, began_us, clock_us
STEP_STARTED = "step_started"  # a `do` was called: config, line, rollback?
ATTEMPT_STARTED = "attempt_started"  # a try of it began: attempt; under a break: injected (how), break (its id)
ATTEMPT_COMPLETED = "attempt_completed"  # the try has a result: attempt, injected?
ATTEMPT_ERRORED = "attempt_errored"  # the try failed: attempt, error, retry_delay_ms?, injected?
BREAK_SET = "break_set"  # a step was broken on purpose: step {kind, name, count?}, how, times, ms?, value?: see
# breaks.py
BREAK_CLEARED = "break_cleared"  # that was taken back: step
KILL_ARMED = "kill_armed"  # the worker is to be killed at its next attempt, or at its next result: when
KILL_DISARMED = "kill_disarmed"  # that was taken back
RETRY_WOKEN = "retry_woken"  # a person ended the wait between two attempts: virtual
STEP_COMPLETED = "step_completed"  # a `do` has its result: output
STEP_ERRORED = "step_errored"  # a `do` was given up: error
SLEEP_STARTED = "sleep_started"  # a sleep began: until, line
SLEEP_COMPLETED = "sleep_completed"  # it is over: skipped?
SLEEP_CANCELLED = "sleep_cancelled"  # the code gave it up
WAIT_STARTED = "wait_started"  # a wait for an event began: event_type, until, line
WAIT_COMPLETED = "wait_completed"  # the event came: event {type, payload, timestamp}, received (seq of its
# event_received)
WAIT_TIMED_OUT = "wait_timed_out"  # it did not come in time: error
WAIT_CANCELLED = "wait_cancelled"  # the code gave it up: returned? (seq of the event_received that it had been given
# and did not see)
STEP_RELEASED = "step_released"  # the code really learned of an end later than its event says: clock_us
REPLAY_DIVERGED = "replay_diverged"  # the code did something new before it called again what the journal holds: steps
EVENT_RECEIVED = "event_received"  # an event was sent to it: type, payload
LOG = "log"  # the code printed or logged: stream, level, text, replay, line?, partial? (the line goes on in a later
# one: see printed.py)
LOG_TRUNCATED = "log_truncated"  # more was printed than is kept: dropped (bytes)
KV_PUT = "kv_put"  # a key was set, with the step that did it: key, value
KV_DELETED = "kv_deleted"  # a key was deleted, with the step that did it: key
WORKFLOW_MIGRATED = "workflow_migrated"  # it goes on with another version of its tenant's code: from, to
CODE_CHANGED = "code_changed"  # it goes on with code of its own from its next execution on: from, snippet
ROLLBACK_STARTED = "rollback_started"  # handlers begin to undo its steps: error? (what is rolled back for)
ROLLBACK_STEP_STARTED = "rollback_step_started"  # a step's handler is next: config
ROLLBACK_ATTEMPT_STARTED = "rollback_attempt_started"  # a try of the handler began: attempt
ROLLBACK_ATTEMPT_COMPLETED = "rollback_attempt_completed"  # the try succeeded: attempt
ROLLBACK_ATTEMPT_ERRORED = "rollback_attempt_errored"  # the try failed: attempt, error, retry_delay_ms?
ROLLBACK_STEP_COMPLETED = "rollback_step_completed"  # the step is undone
ROLLBACK_STEP_ERRORED = "rollback_step_errored"  # its handler was given up: error
ROLLBACK_COMPLETED = "rollback_completed"  # every handler has run
ROLLBACK_ERRORED = "rollback_errored"  # a handler was given up, and those before it do not run: error

# Why an execution ended.
HIBERNATED = "hibernated"  # gave its worker up; only durable waits are left
COMPLETED = "completed"  # `run` returned or raised
KILLED = "killed"  # by a person, or by an operation that drops it
CRASHED = "crashed"  # the worker died by itself; `crashes` counts how many did in a row without having brought the
# instance on
EVICTED = "evicted"  # its slot was needed, or an attempt could not be stopped in time
LIMIT = "limit"  # the worker broke a limit; the instance ends
LOST = "lost"  # the server or the fork server died under it
NOT_LOADED = "not_loaded"  # its code could not be had; `failures` counts how often in a row
END_REASONS = (HIBERNATED, COMPLETED, KILLED, CRASHED, EVICTED, LIMIT, LOST, NOT_LOADED)

# When a worker is to be killed: `when` of `kill_armed`, of the API and of `Engine.kill_worker`.
KillPoint = Literal["now", "during-step", "before-commit", "never"]
KILL_POINTS: tuple[str, ...] = get_args(KillPoint)
# At its next attempt; before the commit of its next result; `never` takes back one of these two.
KILL_NOW, KILL_DURING_STEP, KILL_BEFORE_COMMIT, KILL_NEVER = KILL_POINTS

DISARMING = frozenset({KILLED, COMPLETED, LIMIT})  # after these ends of an execution no kill is armed any more

SUSPENSION_ENDS = frozenset({SLEEP_COMPLETED, WAIT_COMPLETED, WAIT_TIMED_OUT})
SUSPENSIONS_GIVEN_UP = frozenset({SLEEP_CANCELLED, WAIT_CANCELLED})

FINAL_TYPES = frozenset({WORKFLOW_COMPLETED, WORKFLOW_ERRORED, WORKFLOW_TERMINATED})

# Statuses of an instance.
QUEUED = "queued"
RUNNING = "running"
WAITING = "waiting"
WAITING_FOR_PAUSE = "waitingForPause"
PAUSED = "paused"
COMPLETE = "complete"
ERRORED = "errored"
TERMINATED = "terminated"
STATUSES = (QUEUED, RUNNING, WAITING, WAITING_FOR_PAUSE, PAUSED, COMPLETE, ERRORED, TERMINATED)
FINAL_STATUSES = frozenset({COMPLETE, ERRORED, TERMINATED})

MAX_STEP_DEPTH = 8  # of steps within steps
REDACTED = "[REDACTED]"  # what stands in an event for a sensitive output


class StepKey(NamedTuple):
    """What a stored step is found by: never its position, so code may be reordered between executions."""

    kind: str
    name: str
    count: int  # type: ignore[assignment]  # of the calls with this name; a tuple's own `count` is of no use on a key
    parent: "StepKey | None" = None  # the step in whose callback it was called, which is its namespace

    @classmethod
    def shared(cls, kind: str, name: str, count: int, parent: "StepKey | None" = None) -> "StepKey":
        """A key for keeping: its texts are one with those of other keys, since a loop may make thousands under one
        name.
        """
        return cls(_shared(kind), _shared(name), count, parent)

    def __str__(self) -> str:
        return f"{self.name}-{self.count}" if self.parent is None else f"{self.parent}/{self.name}-{self.count}"

    @property
    def label(self) -> str:
        """What people call the step: its count is said from the second on, as on the page."""
        name = self.name if self.count == 1 else f"{self.name}-{self.count}"
        return name if self.parent is None else f"{self.parent.label} › {name}"

    def as_json(self) -> dict[str, Any]:
        """The step as it stands in events, in the API and on the stream."""
        shown: dict[str, Any] = {"kind": self.kind, "name": self.name, "count": self.count}
        if self.parent is not None:
            shown["parent"] = self.parent.as_json()
        return shown

    @classmethod
    def from_json(cls, shown: Mapping[str, Any]) -> "StepKey":
        """A key from how it stands in events."""
        parent = shown.get("parent")
        return cls(shown["kind"], shown["name"], shown["count"], None if parent is None else cls.from_json(parent))


def outermost(step: StepKey) -> StepKey:
    """The step of the workflow itself in which a step runs, or that step."""
    return step if step.parent is None else outermost(step.parent)


@lru_cache(maxsize=1_000)
def _shared(text: str) -> str:
    return text


class NewEvent(NamedTuple):
    """An event not yet in the journal; the store gives it `seq`, `at` and `execution`.

    `secret` is a value (encoded, see `values.py`) that serves the workflow in place of `data["output"]` or
    `data["value"]` but is kept out of the journal: the output of a step with `sensitive: "output"`, or a value that
    holds a secret.
    """

    type: str
    data: Mapping[str, Any] = {}
    step: StepKey | None = None
    secret: Any = None


class Event(NamedTuple):
    """One committed row of a journal. `at` is epoch milliseconds; `execution` is None before the first."""

    seq: int
    at: int
    type: str
    execution: int | None
    step: StepKey | None
    data: Mapping[str, Any]

    @property
    def key(self) -> StepKey:
        """The step of an event that is about one."""
        assert self.step is not None, f"{self.type} names no step"
        return self.step

    def as_json(self) -> dict[str, Any]:
        """The event as it stands in the API and on the stream."""
        shown: dict[str, Any] = {"seq": self.seq, "at": self.at, "type": self.type, "execution": self.execution}
        if self.step is not None:
            shown["step"] = self.step.as_json()
        shown["data"] = self.data
        return shown
