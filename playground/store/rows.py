"""What a store keeps of an instance, as values: its row, its steps, the events that wait for it, and its code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from playground.workflows.events import NewEvent, StepKey
from playground.workflows.names import CLASS_NAME


@dataclass(frozen=True, slots=True)
class Snippet:
    """Immutable code: `id` is the hash of source and params text; the same content has the same id."""

    id: str
    source: str
    params: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What a create() stores. `params` is encoded (see `workflows/values.py`); `queue` is whose turn it takes.

    `snippet` is the code, which is stored with the instance unless it is there already, or the id of code that stands
    elsewhere: of a snippet that is stored, or of a tenant's version.

    `limits` overrides settings for this instance (for example `{"attempt_wall_seconds": 60}`). `events` follow its
    first in the journal; they may copy steps and set keys. `parent` is the key of the instance it is made from, which
    finds it by `trigger["kind"]`. `injected`, `nonce`, `id_chosen`: as in the row.
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
    injected: Mapping[str, Any] | None = None
    nonce: str | None = None
    id_chosen: bool = True

    @property
    def snippet_id(self) -> str:
        """The id of its code."""
        return self.snippet if isinstance(self.snippet, str) else self.snippet.id


class InstanceRow(msgspec.Struct, frozen=True, gc=False):
    """One instance as it stands. Times are epoch milliseconds; `key` is the store's own number for it.

    `due_at` is when it next wants a worker (None: only an operation can wake it); `owner` is the node that runs it now.
    `error`/`output` are set when it is final. `rollback` is None, then `running`, then `complete` or `errored`.
    `wait_until` is the deadline of a waiting instance. `fresh` is true until its first execution of the generation has
    ended. `in_execution` is true from `execution_started` to `execution_ended`: an owned row without it never got its
    worker. `injected` is what is done to it on purpose, None for nothing: `breaks` (see workflows/breaks.py), `chaos`
    (see engine/execution/faults.py). `clock` is what the workflow's clock showed when a worker last told, in
    microseconds, and `clock_at` when that was committed. `crashes` counts the workers in a row that died by themselves,
    since the last event that brought the instance on. `nonce` is the random part of its idempotency keys (None: it was
    made before there was one). `id_chosen`: the id was given to create(), so that somebody may give it again; then it
    stays used once the instance is removed for its age.

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


class Child(NamedTuple):
    """An instance made from another, without its values, which may be large. See `InstanceRow`."""

    key: int
    id: str
    status: str
    execution: int
    started_at: int | None
    ended_at: int | None
    injected: Mapping[str, Any] | None


# Statuses of a step row.
STEP_RUNNING = "running"  # an attempt is open
STEP_RETRYING = "retrying"  # a do, or a rollback handler, between attempts; `until` is when the next begins
STEP_OPEN = "open"  # a sleep or wait not yet over; `until` is its deadline
STEP_COMPLETED = "completed"
STEP_ERRORED = "errored"  # `error` holds what is raised again on replay (a timed-out wait too)
STEP_CANCELLED = "cancelled"  # a sleep or wait that the code gave up, as it does again in every replay
OPEN_STEPS = frozenset({STEP_RUNNING, STEP_RETRYING, STEP_OPEN})
OVER_STEPS = frozenset({STEP_COMPLETED, STEP_ERRORED})
OPEN_HANDLERS = frozenset({"running", "retrying"})  # of a step's `rollback`


class StepRow(msgspec.Struct, frozen=True, gc=False):
    """A step of the instance's current generation. `started_seq` orders steps by start.

    `result` is the encoded value the workflow receives on replay (the true one when the journal shows it redacted);
    `result_bytes` is its length as JSON. As of params, outputs and payloads, a large one stays JSON text
    (`encoding.plain` reads it). `result_seq` is the seq of the event that holds the result, None where the row keeps it
    because the event shows something else: it is stored in one of the two places, never in both. `failures` counts
    attempts that failed by themselves, `losses` workers lost in a row on the open attempt. `rollback` is None when the
    step carries no handler, else `pending`, `running`, `retrying`, `completed` or `errored`, with its own config,
    attempt and until. `ended_seq` orders steps by end. `started_clock` and `clock` are when it began and ended on the
    workflow's clock, in microseconds, None where no worker told. `received` is the seq of the event that a wait was
    given.
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
        """Whether an attempt, a retry, a sleep, a wait or a rollback handler of it is under way."""
        return self.status in OPEN_STEPS or self.rollback in OPEN_HANDLERS

    @property
    def is_over(self) -> bool:
        """Whether replay answers it from the journal."""
        return self.status in OVER_STEPS


@dataclass(frozen=True, slots=True)
class InboxRow:
    """An event that nobody has consumed yet. `seq` is that of its `event_received`; `payload` is encoded."""

    seq: int
    at: int
    type: str
    payload: Any
