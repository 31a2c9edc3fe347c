"""The events of a journal: their types, the fields of their `data`, and the values in these. `seq` is dense from 1.

Every view of an instance is a fold over its events (`state.py`), so a change here changes the stored format.

Events that start or end a step have `clock_us`: the time on the workflow's own clock in microseconds
(`playground/worker/replay.py`). Events that end an attempt have `took_us`: how long it took by the worker's clock.

Events and keys are named tuples, since a quick step makes a dozen of them and hashes its key as often.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

DO = "do"
SLEEP = "sleep"
WAIT = "wait"
CHILD = "child"
REPLY = "reply"  # in rows only: that a wait has replied to its event, so that no replay does again
PATCH = "patch"  # in rows only: which way a run takes at a change of its code, so that every replay takes it again
KINDS = (DO, SLEEP, WAIT, CHILD)
ROW_KINDS = (REPLY, PATCH)  # of rows that are no steps

# Each with what has happened and, after a colon, the fields of `data`. docs/events.md is generated from these lines.
WORKFLOW_QUEUED = "workflow_queued"  # the instance was created: params, trigger (a word, or {kind, of, …} where another
# instance is its origin), flow? (what was asked of its start: key?, priority?, debounce?, until? (it is held, and does
# not start before), concurrency_per_key?, rate?)
WORKFLOW_ADMITTED = "workflow_admitted"  # what had held it (a delay, the limits of its key) lets it start
WORKFLOW_DEBOUNCED = "workflow_debounced"  # it was created again before it started: params (the new ones), until
WORKFLOW_STARTED = "workflow_started"  # its code runs for the first time
WORKFLOW_WAITING = "workflow_waiting"  # only sleeps, waits and retry delays are left: until?, clock_us
WORKFLOW_WAITING_FOR_PAUSE = "workflow_waiting_for_pause"  # it will pause when its running attempts have ended
WORKFLOW_PAUSED = "workflow_paused"  # it is paused
WORKFLOW_RESUMED = "workflow_resumed"  # it goes on, or a pause that had not begun was cancelled
WORKFLOW_RESTARTED = "workflow_restarted"  # it runs again, from the start or from a step: from_step?,
# until? (it is held, and does not start before)
WORKFLOW_COMPLETED = "workflow_completed"  # `run` has returned: output
WORKFLOW_ERRORED = "workflow_errored"  # it ended with an error: error
WORKFLOW_TERMINATED = "workflow_terminated"  # a person or a program ended it
EXECUTION_STARTED = "execution_started"  # a worker starts to run the code: execution, worker, replayed (steps),
# code_version, warm? (the worker has run this code before)
EXECUTION_ENDED = "execution_ended"  # the worker has ended: reason; in a chaos run: injected (the number of the commit
# before which the worker was killed), step?
STEP_COPIED = "step_copied"  # a fork took over a finished step: status, line, attempts, took_ms, ended (its position in
# the order of ends), edited?, and those of its kind: config, rollback, event_type, output, error, began_us, clock_us
STEP_STARTED = "step_started"  # a `do` was called: config, line, rollback?
ATTEMPT_STARTED = "attempt_started"  # an attempt of it started: attempt; under a break: injected (how), break (its id)
ATTEMPT_COMPLETED = "attempt_completed"  # the attempt has a result: attempt, injected?
ATTEMPT_ERRORED = "attempt_errored"  # the attempt failed: attempt, error, retry_delay_ms?, injected?
BREAK_SET = "break_set"  # a fault was set for the next attempts of a step: step {kind, name, count?} (without count
# every step of the name), how (fail, timeout, slow or return), times (attempts), ms? (of slow), value? (of return)
BREAK_CLEARED = "break_cleared"  # the break was removed: step
BREAKPOINT_SET = "breakpoint_set"  # it will stop before a step: step {kind?, name?, count?} (what is left out matches
# every step), once? (it is gone after the next stop)
BREAKPOINT_CLEARED = "breakpoint_cleared"  # it will not stop there: step, once?
BREAKPOINT_HIT = "breakpoint_hit"  # the code has come to such a step, and the run stops before it: step {kind, name,
# count}, line, clock_us, and what the step would begin with: config, rollback?, event_type, timeout, duration, until
STEP_GIVEN = "step_given"  # a person gave the end of the step that it was stopped before, which does not run: status,
# line, edited, clock_us, error?, and those of its kind: config, rollback, event_type, output
KILL_ARMED = "kill_armed"  # the worker is to be killed at its next attempt, or with its next result uncommitted: when
KILL_DISARMED = "kill_disarmed"  # the kill was cancelled
WORKFLOW_TAGGED = "workflow_tagged"  # it got further tags, by which it is found: tags
SLEEPS_SKIPPED = "sleeps_skipped"  # from here on each sleep, and each wait before a retry, is over at once: virtual
SLEEPS_KEPT = "sleeps_kept"  # … and from here on they last as long as they say again
RETRY_WOKEN = "retry_woken"  # a person ended the wait between two attempts: virtual
STEP_COMPLETED = "step_completed"  # a `do` has its result: output
STEP_ERRORED = "step_errored"  # a `do` failed for good: error
SLEEP_STARTED = "sleep_started"  # a sleep started: until, line
SLEEP_COMPLETED = "sleep_completed"  # it ended: skipped?
SLEEP_CANCELLED = "sleep_cancelled"  # the code cancelled it
WAIT_STARTED = "wait_started"  # a wait for an event started: event_type (several with a comma between: the first of
# any of them ends it), until, line, config? (schema: what the payload has to fit)
WAIT_COMPLETED = "wait_completed"  # the event came: event {type, payload, timestamp}, received (seq of its
# event_received), by? (who sent it, where it came while the wait was open)
WAIT_TIMED_OUT = "wait_timed_out"  # it did not come in time: error
WAIT_CANCELLED = "wait_cancelled"  # the code cancelled it: returned? (seq of the event_received that had ended the wait
# unseen by the code, and can end another)
CHILD_STARTED = "child_started"  # the code runs another workflow and waits for its end: child (its id), line, clock_us,
# workflow? (another one than its own), cascade? (false: it goes on when nobody waits for it any more)
CHILD_COMPLETED = "child_completed"  # the child has completed: output
CHILD_ERRORED = "child_errored"  # it failed, was terminated or deleted, or could not be started: error
CHILD_CANCELLED = "child_cancelled"  # the code does not wait for it any more
STEP_RELEASED = "step_released"  # the code received the end of a step later than its event says: clock_us?, reordered?
# (its place is after all that stands before this)
REPLAY_DIVERGED = "replay_diverged"  # a replay started something new before it had called every step of the
# journal: steps (not called)
PATCH_DECIDED = "patch_decided"  # the code asked for a patch, which decides for the whole run: patched (whether it
# takes the new way; false: it had gone past the place without the patch), line, clock_us, deprecated? (the code has no
# other way any more), copied? (a fork took it over)
EVENT_RECEIVED = "event_received"  # an event was sent to it: type, payload, by? (who sent it {how, name?}: the owner of
# the run, a tenant's key of this name, or a signed link with this label)
EVENT_REPLIED = "event_replied"  # the code replied to the event of a wait, or refused it: status, line, received
# (seq of its event_received), output?, error?, clock_us
LOG = "log"  # the code printed or logged: stream, level, text, replay, line?, partial? (the line goes on in the
# next log of the same execution, stream and step)
LOG_TRUNCATED = "log_truncated"  # more was printed than is kept: dropped (bytes)
STREAM_APPENDED = "stream_appended"  # an attempt appended values to a stream: stream, attempt, first (the number of the
# first of them: an attempt's values in a stream are numbered from 1), count, values
STREAM_TRUNCATED = "stream_truncated"  # more was appended than is kept: stream, dropped (values since the last such
# event)
KV_PUT = "kv_put"  # a key of KV was set, in the transaction of its step: key, value
KV_DELETED = "kv_deleted"  # a key of KV was deleted, in the transaction of its step: key
MESSAGE_SENT = (
    "message_sent"  # a message went into a queue, in the transaction of its step: queue, id, content_type, body,
)
# delay_ms
FETCH_CALLED = "fetch_called"  # the code asked a host: method, host, took_ms, status? (of its answer), bytes? (of the
# answer's body), redirects?, attempt?, error? (why there is none: a sentence)
AI_CALLED = "ai_called"  # a model was called, whatever becomes of the attempt: model, attempt?, tokens_in, tokens_out,
# took_ms, error? (a word of it: why there is no answer)
MCP_CALLED = "mcp_called"  # a server of tools was asked, whatever becomes of the attempt: server, tool, attempt?,
# took_ms, bytes (of the answer), task? (the id of a task there), status? (of the task), error? (a word of it)
BATCH_MARKED = (
    "batch_marked"  # a handler has said of messages, at its end of all: acked (ids), retried ({id, delay_ms?})
)
WORKFLOW_MIGRATED = "workflow_migrated"  # it goes on with another version of its tenant's code: from, to
CODE_CHANGED = "code_changed"  # its next execution runs other code, for this instance only: from, snippet
ROLLBACK_STARTED = "rollback_started"  # rollback handlers start to undo its steps: error? (the reason)
ROLLBACK_STEP_STARTED = "rollback_step_started"  # a step's handler is next: config
ROLLBACK_ATTEMPT_STARTED = "rollback_attempt_started"  # an attempt of the handler started: attempt
ROLLBACK_ATTEMPT_COMPLETED = "rollback_attempt_completed"  # the attempt succeeded: attempt
ROLLBACK_ATTEMPT_ERRORED = "rollback_attempt_errored"  # the attempt failed: attempt, error, retry_delay_ms?
ROLLBACK_STEP_COMPLETED = "rollback_step_completed"  # the step is undone
ROLLBACK_STEP_ERRORED = "rollback_step_errored"  # its handler failed for good: error
ROLLBACK_COMPLETED = "rollback_completed"  # every handler has run
ROLLBACK_ERRORED = "rollback_errored"  # a handler failed for good, and the remaining ones do not run: error

# Every type: what is named above, but the kinds of steps.
_NAMED = frozenset(text for name, text in list(globals().items()) if name.isupper() and isinstance(text, str))
TYPES = _NAMED - {*KINDS, *ROW_KINDS}

# Why an execution ended.
HIBERNATED = "hibernated"  # was stopped, since only durable waits are left
COMPLETED = "completed"  # ended with `run`, which returned or raised
KILLED = "killed"  # was killed by a person, or by an operation that ends the execution
CRASHED = "crashed"  # died by itself; `crashes` counts how many died in a row without progress of the instance
EVICTED = "evicted"  # was stopped, since its slot was needed, its server stopped or an attempt could not be stopped in
# time
LIMIT = "limit"  # exceeded a limit; the instance ends
LOST = "lost"  # died with the server or the fork server
NOT_LOADED = "not_loaded"  # never started, since the code could not be loaded; `failures` counts how often in a row
END_REASONS = (HIBERNATED, COMPLETED, KILLED, CRASHED, EVICTED, LIMIT, LOST, NOT_LOADED)

# When a worker is to be killed: `when` of `kill_armed`, of the API and of `Engine.kill_worker`.
KillPoint = Literal["now", "during-step", "before-commit", "never"]
KILL_POINTS: tuple[str, ...] = get_args(KillPoint)
# At its next attempt; before the commit of its next result; `never` takes back one of these two.
KILL_NOW, KILL_DURING_STEP, KILL_BEFORE_COMMIT, KILL_NEVER = KILL_POINTS

DISARMING = frozenset({KILLED, COMPLETED, LIMIT})  # these ends of an execution disarm a kill

SUSPENSION_ENDS = frozenset({SLEEP_COMPLETED, WAIT_COMPLETED, WAIT_TIMED_OUT, CHILD_COMPLETED, CHILD_ERRORED})
SUSPENSION_CANCELS = frozenset({SLEEP_CANCELLED, WAIT_CANCELLED, CHILD_CANCELLED})

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
FINAL_STATUS_OF = {WORKFLOW_COMPLETED: COMPLETE, WORKFLOW_ERRORED: ERRORED, WORKFLOW_TERMINATED: TERMINATED}
FINAL_TYPES = frozenset(FINAL_STATUS_OF)

MAX_STEP_DEPTH = 8  # of steps within steps
REDACTED = "[REDACTED]"  # in an event instead of a sensitive output


class StepKey(NamedTuple):
    """The identity of a stored step. Its position is no part of it, so code may be reordered between executions."""

    kind: str
    name: str
    count: int  # type: ignore[assignment]  # number of the call of this name, from 1; hides tuple.count
    parent: "StepKey | None" = None  # the step whose callback called it, which is its namespace

    @classmethod
    def interned(cls, kind: str, name: str, count: int, parent: "StepKey | None" = None) -> "StepKey":
        """A key to keep in memory. It shares its texts with equal ones, since a loop may make thousands of one name.

        The first of a name has a text of its own, since a loop may make thousands of names too.
        """
        return cls(_intern(kind), name if count == 1 else _intern(name), count, parent)

    def __str__(self) -> str:
        return f"{self.name}-{self.count}" if self.parent is None else f"{self.parent}/{self.name}-{self.count}"

    @property
    def label(self) -> str:
        """The step's name for people, with its count from the second on, as on the page."""
        name = self.name if self.count == 1 else f"{self.name}-{self.count}"
        return name if self.parent is None else f"{self.parent.label} › {name}"

    def as_json(self) -> dict[str, Any]:
        """The step as in events, in the API and in the stream."""
        shown: dict[str, Any] = {"kind": self.kind, "name": self.name, "count": self.count}
        if self.parent is not None:
            shown["parent"] = self.parent.as_json()
        return shown

    @classmethod
    def from_json(cls, shown: Mapping[str, Any]) -> "StepKey":
        """The key of a step in an event."""
        parent = shown.get("parent")
        return cls(shown["kind"], shown["name"], shown["count"], None if parent is None else cls.from_json(parent))


def outermost(step: StepKey) -> StepKey:
    """The top-level step that a step runs in; a top-level step itself."""
    return step if step.parent is None else outermost(step.parent)


@lru_cache(maxsize=1_000)
def _intern(text: str) -> str:
    return text


class NewEvent(NamedTuple):
    """An event not yet in the journal; the store gives it `seq`, `at` and `execution`.

    `secret` is the value (encoded, see `values.py`) that the workflow receives instead of `data["output"]` or
    `data["value"]` and that the journal does not show: the output of a step with `sensitive: "output"`, or a value that
    contains a secret.
    """

    type: str
    data: Mapping[str, Any] = {}
    step: StepKey | None = None
    secret: Any = None


class Event(NamedTuple):
    """A committed event. `at` is epoch milliseconds; `execution` is None before the first one."""

    seq: int
    at: int
    type: str
    execution: int | None
    step: StepKey | None
    data: Mapping[str, Any]

    @property
    def key(self) -> StepKey:
        """The step of an event that has one."""
        assert self.step is not None, f"{self.type} names no step"
        return self.step

    def as_json(self) -> dict[str, Any]:
        """The event as in the API and in the stream."""
        shown: dict[str, Any] = {"seq": self.seq, "at": self.at, "type": self.type, "execution": self.execution}
        if self.step is not None:
            shown["step"] = self.step.as_json()
        shown["data"] = self.data
        return shown
