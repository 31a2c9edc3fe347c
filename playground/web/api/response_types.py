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
    """A step. `parent` is the step in whose callback it was called."""

    kind: Literal["do", "sleep", "wait", "child"]
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
    trigger: Json | UnsetType = UNSET
    code_changes: list[Json] | UnsetType = UNSET
    forks: Annotated[list[str], msgspec.Meta(description="for who may change it")] | UnsetType = UNSET


class Created(msgspec.Struct):
    id: str
    status: Status
    url: str
    snippet: str
    control_token: str
