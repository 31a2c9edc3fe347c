"""Rows of the store as immutable values: instances, steps, the inbox of unconsumed events, and snippets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from playground.workflows.events import NewEvent, StepKey
from playground.workflows.flow import Flow
from playground.workflows.names import CLASS_NAME


class Awaited(NamedTuple):
    """Who waits for the end of a new instance: the step of `parent`, which started at `started_seq` of its journal.

    `cascades`: the child is terminated when nobody waits for it any more.
    """

    parent: int
    step: StepKey
    started_seq: int
    cascades: bool


@dataclass(frozen=True, slots=True)
class Snippet:
    """Immutable, content-addressed code: `id` is the hash of source and params text."""

    id: str
    source: str
    params: str | None
    created_at: int


class NewInstance(msgspec.Struct, frozen=True, gc=False):
    """An instance to create. `params` is encoded (`workflows/values.py`); `queue` is the queue it is scheduled in.

    `snippet` is the code, which is stored with the instance unless it is stored already, or the id of code stored
    before: a snippet, or a tenant's version.

    `limits` overrides settings for this instance (for example `{"attempt_wall_seconds": 60}`). `events` follow the
    first event of its journal; they may copy steps and set keys. `parent` is the key of the instance it derives from,
    which lists it by `trigger["kind"]`; `awaited` says who waits for its end. `injected`, `nonce`, `id_chosen`: as in
    `InstanceRow`. `flow`: what was asked
    of its start; a singleton, or one that is debounced, is refused where there is one of its key. `held_until`: as in
    `InstanceRow`, set where `flow.is_held`.
    """

    tenant: str
    id: str
    workflow: str
    snippet: str | Snippet
    params: Any
    queue: str
    control_hash: str | None = None
    class_name: str = CLASS_NAME
    metadata: Any = None
    limits: Mapping[str, Any] | None = None
    trigger: str | Mapping[str, Any] = "api"
    events: Sequence[NewEvent] = ()
    parent: int | None = None
    awaited: Awaited | None = None
    injected: Mapping[str, Any] | None = None
    nonce: str | None = None
    id_chosen: bool = True
    flow: Flow | None = None
    held_until: int | None = None

    @property
    def snippet_id(self) -> str:
        """The id of the code."""
        return self.snippet if isinstance(self.snippet, str) else self.snippet.id


class InstanceRow(msgspec.Struct, frozen=True, gc=False):
    """The current state of one instance. Times are epoch milliseconds; `key` is the store's own number for it.

    `due_at` is when it next needs a worker (None: only an operation can wake it). `owner` is the node that runs it now.
    `output` and `error` are set when it is final. `rollback` is None, then `running`, then `complete` or `errored`.
    `wait_until` is the deadline of a waiting instance, and of one that has ended and has a retention of its own, when
    it is to be removed. `fresh` is true until the first execution of the generation has
    ended. `in_execution` is true from `execution_started` to `execution_ended`; an owned row without it has not got its
    worker yet. `injected` holds what was set on purpose (None: nothing): `breaks` (workflows/breaks.py),
    `breakpoints`, `stopped_before` and `passed` (workflows/breakpoints.py), `armed`, `skips_sleeps`, `chaos`
    (engine/execution/faults.py), and its `tags` (workflows/tags.py). `clock` is the last time of the workflow's
    clock that a worker sent, in microseconds, and `clock_at` when it was committed. `crashes` counts the workers that
    died in a row without progress in between.
    `nonce` is the random part of idempotency keys (None: the instance is older than they are). `id_chosen`: the
    creator chose the id and may send it again, so it stays used after the instance expires. `flow_key`, `priority` and
    `held_until`: see workflows/flow.py; the limits that it is held by are among its `limits`.

    A Struct, because every commit makes a new one: a dataclass of this many fields takes thirty times as long to copy.
    """

    key: int
    tenant: str
    id: str
    workflow: str
    snippet: str
    class_name: str
    params: Any
    queue: str
    control_hash: str | None
    metadata: Any
    limits: Mapping[str, Any] | None
    status: str
    generation: int
    execution: int
    last_seq: int
    owner: str | None
    due_at: int | None
    log_bytes: int
    stored_bytes: int
    output: Any
    error: Mapping[str, Any] | None
    rollback: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    paused_at: int | None
    wait_until: int | None = None
    fresh: bool = True
    in_execution: bool = False
    injected: Mapping[str, Any] | None = None
    clock: int | None = None
    nonce: str | None = None
    id_chosen: bool = True
    crashes: int = 0
    clock_at: int | None = None
    flow_key: str | None = None
    priority: int = 0
    held_until: int | None = None


class AwaitedChild(NamedTuple):
    """A child whose end its parent has still to learn of, or whose parent's end it may have.

    `tenant` and `id` are None where it has been deleted. `ended`: it has ended, or is gone. `wanted`: its parent still
    waits for it; `parent_runs`: on some node, so that it need not be woken; `has_siblings`: its parent waits for
    others, too.
    """

    key: int
    awaited: Awaited
    tenant: str | None
    id: str | None
    ended: bool
    wanted: bool
    parent_runs: bool
    has_siblings: bool


class Child(NamedTuple):
    """An instance derived from another, as `InstanceRow` but without its values, which may be large."""

    key: int
    id: str
    status: str
    execution: int
    started_at: int | None
    ended_at: int | None
    injected: Mapping[str, Any] | None


class MessageRow(NamedTuple):
    """A message that an instance sends with its commit; `body` is JSON text."""

    queue: str
    id: str
    sent_at: int
    due_at: int
    content_type: str
    body: str


# Statuses of a step row.
STEP_RUNNING = "running"  # an attempt is open
STEP_RETRYING = "retrying"  # a do, or a rollback handler, between attempts; `until` is when the next begins
STEP_OPEN = "open"  # a sleep or wait that has not ended; `until` is its deadline
STEP_COMPLETED = "completed"
STEP_ERRORED = "errored"  # `error` is raised again on replay (of a timed-out wait too)
STEP_CANCELLED = "cancelled"  # a sleep or wait that the code cancelled, as it does again in every replay
OPEN_STEPS = frozenset({STEP_RUNNING, STEP_RETRYING, STEP_OPEN})
OVER_STEPS = frozenset({STEP_COMPLETED, STEP_ERRORED})
OPEN_HANDLERS = frozenset({"running", "retrying"})  # of a step's `rollback`


class StepRow(msgspec.Struct, frozen=True, gc=False):
    """A step of the instance's current generation. `started_seq` orders steps by start, `ended_seq` by end.

    `event_type` is what a wait waits for, and of a child the id of the instance. `result` is the encoded value that
    replay returns (the true one where the journal shows it redacted), and `result_bytes` its length as JSON. Like
    params, outputs and payloads, a large one stays JSON text (`encoding.as_objects` decodes it). `result_seq` is the
    seq of the event that holds the result, None where the row holds it because the event shows something else.
    `failures` counts attempts that failed by themselves, `losses` the workers lost in a row on the open attempt.
    `rollback` is None without a handler, else `pending`, `running`, `retrying`, `completed` or `errored`, with a
    config, attempt and until of its own. `started_clock` and `clock` are start and end on the workflow's clock, in
    microseconds, None where no worker sent them. `received` is the seq of the event that a wait received.

    Architecture Invariant: a result is stored in the event or in the row, never in both.
    """

    key: StepKey
    status: str
    started_seq: int
    line: int | None
    config: Mapping[str, Any] | None
    attempt: int
    failures: int
    losses: int
    until: int | None
    result: Any
    error: Mapping[str, Any] | None
    event_type: str | None = None
    rollback: str | None = None
    rollback_config: Mapping[str, Any] | None = None
    rollback_attempt: int = 0
    rollback_failures: int = 0
    rollback_until: int | None = None
    result_bytes: int = 0
    started_clock: int | None = None
    ended_seq: int | None = None
    clock: int | None = None
    received: int | None = None
    result_seq: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether an attempt, a retry, a sleep, a wait or a rollback handler of the step is open."""
        return self.status in OPEN_STEPS or self.rollback in OPEN_HANDLERS

    @property
    def is_over(self) -> bool:
        """Whether replay returns its outcome from the journal."""
        return self.status in OVER_STEPS


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A received event that no wait has consumed. `seq` is that of its `event_received`; `payload` is encoded."""

    seq: int
    at: int
    type: str
    payload: Any
