"""The types of the API's JSON responses, from which openapi.json has their schemas.

Views don't encode these types: most of a response is stored JSON text, which is sent as it is. That a real response has
the fields of its type, and no other, is tested (tests/test_http_api.py).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from playground.web.http.errors import STATUS_OF
from playground.workflows import events as ev

Time = Annotated[int, msgspec.Meta(description="epoch milliseconds")]
Status = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*ev.STATUSES]})]
ErrorCode = Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(STATUS_OF)})]
Json = dict[str, Any]


class ErrorDetails(msgspec.Struct):
    """What happened, where and what to do. Some codes have more details."""

    code: ErrorCode
    message: str
    setting: Annotated[str, msgspec.Meta(description="the limit that was met, as in the settings")] | UnsetType = UNSET
    variable: Annotated[str, msgspec.Meta(description="its environment variable")] | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    retry_after: Annotated[int, msgspec.Meta(description="seconds, as in Retry-After")] | UnsetType = UNSET


class Error(msgspec.Struct):
    error: ErrorDetails


class Fix(msgspec.Struct):
    """Replaces a range of the source by `text`."""

    title: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str


class Diagnostic(msgspec.Struct):
    """Lines and columns count from 1, columns in characters; the end is just after the last one."""

    severity: Literal["error", "warning", "info", "hint"]
    code: str
    message: str
    line: int
    column: int
    end_line: int
    end_column: int
    fix: Fix | UnsetType = UNSET


class CheckResult(msgspec.Struct):
    ok: bool
    diagnostics: list[Diagnostic]
    outline: list[Json]


class StepKey(msgspec.Struct):
    """A step, or the reply of a wait to its event. `parent` is the step in whose callback it was called."""

    kind: Literal["do", "sleep", "wait", "child", "reply"]
    name: str
    count: int
    parent: "StepKey | UnsetType" = UNSET


class Event(msgspec.Struct):
    """`data` depends on `type`. A `log` with `partial: true` goes on in the next one of the same execution, stream and
    step.
    """

    seq: int
    at: Time
    type: str
    execution: int | None
    data: Json
    step: StepKey | UnsetType = UNSET


class Events(msgspec.Struct):
    events: list[Event]
    last_seq: int
    more: bool


class Attempt(msgspec.Struct):
    attempt: int
    execution: int
    started_at: Time
    ended_at: Time | None
    error: Json | UnsetType = UNSET
    retry_delay_ms: int | UnsetType = UNSET
    took_us: int | UnsetType = UNSET
    injected: Json | UnsetType = UNSET
    virtual: bool | UnsetType = UNSET


class Rollback(msgspec.Struct):
    status: str
    attempts: list[Attempt]
    error: Json | UnsetType = UNSET


class Step(msgspec.Struct):
    kind: Literal["do", "sleep", "wait", "child"]
    name: str
    count: int
    line: int | None
    status: str
    started_at: Time
    ended_at: Time | None
    parent: StepKey | UnsetType = UNSET
    until: Time | UnsetType = UNSET
    event_type: str | UnsetType = UNSET
    child: Annotated[str, msgspec.Meta(description="id of the instance that it runs")] | UnsetType = UNSET
    reply: Annotated[Json, msgspec.Meta(description="of a wait, to its event: at, output or error")] | UnsetType = UNSET
    ai: (
        Annotated[
            Json, msgspec.Meta(description="its calls of models: calls, failed, took_ms, model, tokens_in, tokens_out")
        ]
        | UnsetType
    ) = UNSET
    mcp: (
        Annotated[Json, msgspec.Meta(description="its calls of tools: calls, failed, took_ms, server, tool")]
        | UnsetType
    ) = UNSET
    config: Json | UnsetType = UNSET
    output: Any = UNSET
    error: Json | UnsetType = UNSET
    virtual: bool | UnsetType = UNSET
    copied: Json | UnsetType = UNSET
    edited: Annotated[bool, msgspec.Meta(description="a person gave its result")] | UnsetType = UNSET
    attempts: list[Attempt] | UnsetType = UNSET
    rollback: Rollback | UnsetType = UNSET


class Execution(msgspec.Struct):
    """One life of a worker process for the instance."""

    execution: int
    worker: str | None
    replayed: int
    code_version: str | None
    started_at: Time
    ended_at: Time | None
    reason: str | None


class StreamPart(msgspec.Struct):
    """What one step has appended to a stream, in its latest attempt that did."""

    step: StepKey
    attempt: int
    values: int


class Stream(msgspec.Struct):
    """A stream that steps append to: how many of its values stand, and how many were over the limit."""

    name: str
    values: int
    dropped: int
    steps: list[StreamPart]


class Queue(msgspec.Struct):
    """What a queued instance waits for. `ahead`: how many go before it; `until`: it does not start before."""

    reason: Literal["delay", "concurrency", "rate", "worker"]
    text: str
    key: str | None
    priority: int
    ahead: int | None
    until: Time | None


class Instance(msgspec.Struct):
    """`held_until`: it does not start before, and when it does depends on the limits of its key. `breaks` are those set
    by POST …/break and not used up, `armed` when the worker is to be killed. `stopped_before` is the step that a
    breakpoint has stopped it before, with its line and what it would begin with. `skips_sleeps`: each sleep and each
    wait before a retry is over at once.
    """

    id: str
    url: str
    workflow: str
    snippet: str
    code_version: str
    status: Status
    output: Any
    error: Json | None
    rollback: str | None
    params: Any
    generation: int
    created_at: Time | None
    started_at: Time | None
    ended_at: Time | None
    waiting_until: Time | None
    held_until: Time | None
    queue: Queue | None
    kept_until: Time | None
    executions: list[Execution]
    last_seq: int
    steps: list[Step]
    log_truncated: int
    streams: list[Stream]
    breaks: list[Json]
    breakpoints: list[Json]
    stopped_before: Json | None
    armed: str | None
    skips_sleeps: bool
    tags: list[str]
    trigger: Json | UnsetType = UNSET
    patches: (
        Annotated[
            list[Json],
            msgspec.Meta(description="ways taken at changes of the code (step.patched): name, patched, at, seq"),
        ]
        | UnsetType
    ) = UNSET
    code_changes: list[Json] | UnsetType = UNSET
    forks: Annotated[list[str], msgspec.Meta(description="for who may change it")] | UnsetType = UNSET


class Created(msgspec.Struct):
    id: str
    status: Status
    url: str
    snippet: str
    control_token: str


class Accepted(msgspec.Struct):
    """How an instance stands after an operation. `snippet`: its code, after a change of it."""

    id: str
    status: Status
    last_seq: int
    snippet: str | UnsetType = UNSET


class Reply(msgspec.Struct):
    """What the workflow has replied to an event."""

    id: str
    reply: Any


class SnippetCreated(msgspec.Struct):
    id: str
    url: str


class Snippet(msgspec.Struct):
    id: str
    url: str
    source: str
    params: Any
    created_at: Time


class StatusRow(msgspec.Struct):
    """How one of several instances stands. `execution`: the number of its latest one."""

    id: str
    status: Status
    created_at: Time | None
    started_at: Time | None
    ended_at: Time | None
    execution: int
    tags: list[str]
    error: Json | str | None


class Statuses(msgspec.Struct):
    statuses: list[StatusRow]


class ChaosReport(msgspec.Struct):
    """The reruns of a chaos run. `control`: the one without a kill; `steady`: whether it came to the same."""

    of: str
    status: Literal["none", "running", "complete"]
    most: int
    kept_hours: int
    steady: bool | None
    control: Json | None
    rows: list[Json]
    summary: dict[str, int]


class Version(msgspec.Struct):
    """A version of a tenant's workflow. `version` is its id, `number` counts them from 1."""

    workflow: str
    version: str
    number: int
    class_name: str
    warm: bool
    limits: Json
    retention: Json | None
    created_at: Time


class Deployed(Version):
    """`created` is false where this code was the newest version already."""

    created: bool
    diagnostics: list[Diagnostic]
    outline: list[Json]


class Workflows(msgspec.Struct):
    workflows: list[Version]


class TenantCreated(msgspec.Struct):
    """`created` is false where the instance of this key was there already. `version`: the id of its code."""

    id: str
    status: Status
    workflow: str
    version: str
    url: str
    created: bool


class Listed(msgspec.Struct):
    """An instance in a tenant's list."""

    id: str
    status: Status
    workflow: str
    version: str
    url: str
    created_at: Time | None
    started_at: Time | None
    ended_at: Time | None
    waiting_until: Time | None
    held_until: Time | None
    tags: list[str]
    error: Json | None
    queue: Queue | None


class Listing(msgspec.Struct):
    """Instances, newest first. `before` goes on after the last of them; `counts` are by status, of all."""

    instances: list[Listed]
    before: str | None
    counts: dict[str, int]


class Bulk(msgspec.Struct):
    """An operation on many instances. `unchanged` counts those that were so already, `failures` has some of the
    `failed`, each with id, code and message; `rate` is in instances a second.
    """

    id: str
    operation: str
    filter: Json
    state: Literal["running", "done", "stopped"]
    matched: int
    done: int
    unchanged: int
    failed: int
    failures: list[Json]
    rate: float
    created_at: Time
    ended_at: Time | None


class Bulks(msgspec.Struct):
    bulks: list[Bulk]


class Matches(msgspec.Struct):
    """What an operation would be about: how many fit, how many of these are so already, and the newest ids."""

    matched: int
    unchanged: int
    ids: list[str]


class Schedule(msgspec.Struct):
    """`next`: the next five times; `last_id` is the instance that it has started last."""

    name: str
    workflow: str
    cron: str
    timezone: str
    params: Any
    missed: str
    paused: bool
    next: list[Time]
    created_at: Time
    last_at: Time | None
    last_id: str | None
    last_error: str | None


class Schedules(msgspec.Struct):
    schedules: list[Schedule]


class MessageQueue(msgspec.Struct):
    """A queue of messages with its settings, times in seconds, and how many messages are where."""

    name: str
    consumer: str
    max_batch_size: int
    max_batch_timeout: float
    max_retries: int
    retry_delay: float
    delivery_delay: float
    max_concurrency: int
    dead_letter_queue: str | None
    waiting: int | UnsetType = UNSET
    delivering: int | UnsetType = UNSET
    dead: int | UnsetType = UNSET


class MessageQueues(msgspec.Struct):
    queues: list[MessageQueue]


class Message(msgspec.Struct):
    """A dead message."""

    id: str
    sent_at: Time
    dead_at: Time | None
    attempts: int
    content_type: str | None
    body: Any


class Messages(msgspec.Struct):
    messages: list[Message]


class InboxRun(msgspec.Struct):
    """The run that asks. `page`: where people look at it."""

    id: str
    title: str
    url: str
    page: str
    status: Status


class InboxItem(msgspec.Struct):
    """A wait for an event. `answer`: the address that takes an answer to it and to no other; `form` is made of `schema`
    (docs/approvals.md).
    """

    run: InboxRun
    step: Json
    asked: str
    seq: int
    types: list[str]
    since: Time | None
    until: Time | None
    paused: bool
    schema: Json | None
    form: Json
    answer: str


class Inbox(msgspec.Struct):
    items: list[InboxItem]
    before: str | None
    tenant: str | None
    now: Time


class AnswerLinkCreated(msgspec.Struct):
    """A signed link to one wait. `id`: what the journal calls it."""

    url: str
    id: str
    label: str
    expires_at: Time
    step: Json


class TenantRow(msgspec.Struct):
    """A tenant as its operator sees it. `version`: the newest of all its workflows."""

    name: str
    created_at: Time
    workflows: int
    version: Json | None
    instances: dict[str, int]


class Tenants(msgspec.Struct):
    tenants: list[TenantRow]
    after: str | None


class TenantKey(msgspec.Struct):
    """A key of a tenant, told this once. `created`: whether the tenant is new."""

    tenant: str
    created: bool
    number: int
    name: str
    key: str
