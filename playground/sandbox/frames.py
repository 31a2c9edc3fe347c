"""The wire protocol of workers: the types of all frames that a worker may send.

A frame is a 4-byte big-endian length and that many bytes of strict JSON. The worker's side is
playground/worker/channel.py.

Architecture Invariant: every frame is decoded into one of these types, or the worker is ended.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from playground.workflows.events import MAX_STEP_DEPTH, StepKey
from playground.workflows.tags import TAG_LENGTH
from playground.workflows.values import RAW_JSON_BYTES, deeper_than

HEADER_BYTES = 4
FRAME_BYTES = 1536 * 1024
DEPTH_MAX = 200  # nested lists and objects in one frame
NAME_CHARACTERS = 256

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Clock = Annotated[int, Meta(ge=0, le=2**53)]  # the workflow's clock, microseconds
Line = Annotated[int, Meta(ge=0, le=10_000_000)] | None
Milliseconds = Annotated[int, Meta(ge=0, le=366 * 86_400_000)]
Timestamp = Annotated[int, Meta(ge=-(2**53), le=2**53)]  # epoch milliseconds, or a duration of any length
Label = Annotated[str, Meta(max_length=100)]
Label200 = Annotated[str, Meta(max_length=200)]
EventTypes = Annotated[  # several with a comma between (`names.check_event_types`)
    str, Meta(pattern=r"\A[a-zA-Z0-9_][a-zA-Z0-9-_]{0,99}(,[a-zA-Z0-9_][a-zA-Z0-9-_]{0,99}){0,9}\Z")
]
Tag = Annotated[str, Meta(min_length=1, max_length=TAG_LENGTH)]
ChildId = Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9_][a-zA-Z0-9-_]{0,99}\Z")] | None


class ProtocolError(Exception):
    """The worker broke the protocol; the message says how. It is ended as over a limit."""


class Step(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    kind: Literal["do", "sleep", "wait", "child", "reply", "patch"]
    name: Name
    count: Count
    parent: "Step | None" = None  # the step in whose callback it was called

    def __post_init__(self) -> None:
        step, depth = self, 0
        while step.parent is not None:
            step, depth = step.parent, depth + 1
        if depth > MAX_STEP_DEPTH:
            raise ValueError(f"a step lies more than {MAX_STEP_DEPTH} levels deep in others")


class Retries(Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=0, le=10_000)]
    delay: Milliseconds | Literal["computed"]
    backoff: Literal["constant", "linear", "exponential"]


class Config(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    retries: Retries
    timeout: Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
    sensitive: Literal["output"] | None = None


class Frame(Struct, frozen=True, forbid_unknown_fields=True):
    line: Line = None
    function: Annotated[str, Meta(max_length=1_000)] = ""
    code: Annotated[str, Meta(max_length=1_000)] = ""


class Error(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Annotated[str, Meta(max_length=200)]
    message: Annotated[str, Meta(max_length=10_000)]
    traceback: Annotated[list[Frame], Meta(max_length=50)] = []
    line: Line = None
    non_retryable: bool = False
    fatal: bool = False
    args: Any = None
    module: Label200 = ""
    qualname: Label200 = ""
    bases: Annotated[list[tuple[Label200, Label200]], Meta(max_length=20)] = []
    attributes: dict[str, Any] = {}
    notes: Annotated[list[Annotated[str, Meta(max_length=10_000)]], Meta(max_length=10)] = []
    cause: "Error | None" = None
    context: "Error | None" = None
    errors: Annotated[list["Error"], Meta(max_length=50)] = []


class Do(Struct, frozen=True, tag="do", tag_field="op"):
    step: Step
    attempt: Count
    config: Config
    line: Line = None
    rollback: Config | None = None
    broken: Count | None = None  # the id of the break that this attempt falls under
    clock: Clock | None = None  # when the code called the step


class Resume(Struct, frozen=True, tag="resume", tag_field="op"):
    step: Step


class Done(Struct, frozen=True, tag="done", tag_field="op"):
    step: Step
    attempt: Count
    value: Any = None
    rollback: bool = False
    clock: Clock | None = None  # when it ended
    took: Clock | None = None
    ahead: bool = False  # its code goes on without an acknowledgement


class Did(Struct, frozen=True, tag="did", tag_field="op"):
    """`Do` and `Done` of a first attempt that the code did not wait for and that was over before either was sent."""

    step: Step
    config: Config
    ended: Clock
    attempt: Literal[1] = 1
    line: Line = None
    rollback: Config | None = None
    clock: Clock | None = None
    value: Any = None
    took: Clock | None = None


class Fail(Struct, frozen=True, tag="fail", tag_field="op"):
    step: Step
    attempt: Count
    error: Error
    retryable: bool
    delay: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    rollback: bool = False
    clock: Clock | None = None
    took: Clock | None = None


class Sleep(Struct, frozen=True, tag="sleep", tag_field="op"):
    step: Step
    duration: Milliseconds | None = None
    until: Timestamp | None = None
    line: Line = None
    clock: Clock | None = None


class Wait(Struct, frozen=True, tag="wait", tag_field="op"):
    step: Step
    event_type: EventTypes
    timeout: Milliseconds
    line: Line = None
    clock: Clock | None = None
    schema: dict[str, Any] | None = None  # of the payload (`workflows/payload_schema.py`)


class ChildFlow(Struct, frozen=True, forbid_unknown_fields=True):
    """When a child may start, as of a create (workflows/flow.py, which checks it)."""

    key: str | None = None
    delay: int = 0
    priority: int = 0
    limits: Any = None


class Child(Struct, frozen=True, tag="child", tag_field="op"):
    """The code runs another workflow and waits for its end. `id` None: it does not care which; `workflow` None: the
    caller's own.
    """

    step: Step
    binding: Label
    id: ChildId = None
    params: Any = None
    cascade: bool = True
    workflow: Annotated[str, Meta(max_length=64)] | None = None
    line: Line = None
    clock: Clock | None = None
    asked: ChildFlow | None = None
    tags: Sequence[Tag] = ()


class Reply(Struct, frozen=True, tag="reply", tag_field="op"):
    """The code replies to the event of a wait, which has the name and count of this step; `refusal`: it refuses it."""

    step: Step
    value: Any = None
    refusal: Annotated[str, Meta(max_length=10_000)] | None = None
    line: Line = None
    clock: Clock | None = None


class Patch(Struct, frozen=True, tag="patch", tag_field="op"):
    """The code asked for a patch of the step's name: `patched` is which way it took."""

    step: Step
    patched: bool
    deprecated: bool = False
    line: Line = None
    clock: Clock | None = None


class Stop(Struct, frozen=True, tag="stop", tag_field="op"):
    """A breakpoint stands before a new step; the rest is what the frame that begins it would hold."""

    step: Step
    line: Line = None
    clock: Clock | None = None
    config: Config | None = None
    rollback: Config | None = None
    event_type: EventTypes | None = None
    timeout: Milliseconds | None = None
    schema: dict[str, Any] | None = None
    duration: Milliseconds | None = None
    until: Timestamp | None = None


class Cancel(Struct, frozen=True, tag="cancel", tag_field="op"):
    step: Step
    clock: Clock | None = None


class Released(Struct, frozen=True, tag="released", tag_field="op"):
    step: Step
    clock: Clock


class Received(Struct, frozen=True, tag="received", tag_field="op"):
    frames: Annotated[int, Meta(ge=1, le=2**53)]  # that the worker had received when it sent what follows


class Diverged(Struct, frozen=True, tag="diverged", tag_field="op"):
    steps: Annotated[list[Step], Meta(min_length=1, max_length=100)]
    clock: Clock | None = None


class Log(Struct, frozen=True, tag="log", tag_field="op"):
    stream: Literal["stdout", "stderr", "logging"]
    text: Annotated[str, Meta(max_length=10_000)]
    level: Label | None = None
    replay: bool = False
    line: Line = None
    step: Step | None = None
    partial: bool = False  # the line continues in the next Log of the same stream and step


class Append(Struct, frozen=True, tag="append", tag_field="op"):
    """An attempt of a step appends a value to a stream, and goes on at once."""

    step: Step
    attempt: Count
    stream: Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9_][a-zA-Z0-9-_]{0,99}\Z")]
    value: Any = None


class Tagged(Struct, frozen=True, tag="tagged", tag_field="op"):
    """The code gives the run a tag (workflows/tags.py), and goes on at once."""

    name: Tag


class Finish(Struct, frozen=True, tag="finish", tag_field="op"):
    output: Any = None
    ready: bool = False  # it can play another execution


class Crash(Struct, frozen=True, tag="crash", tag_field="op"):
    error: Error


class Begun(Struct, frozen=True, tag="begun", tag_field="op"):
    """A warm worker is about to call the code."""


class Idle(Struct, frozen=True, tag="idle", tag_field="op"):
    seen: Annotated[int, Meta(ge=0, le=2**53)]
    clock: Clock | None = None


class Collected(Struct, frozen=True, tag="collected", tag_field="op"):
    pass


class Replayed(Struct, frozen=True, tag="replayed", tag_field="op"):
    unread: Annotated[list[Step], Meta(max_length=100)]
    wanted: Annotated[list[Step], Meta(max_length=100)]


class Missing(Struct, frozen=True, tag="missing", tag_field="op"):
    step: Step
    attempt: Count
    rollback: bool = True


class Call(Struct, frozen=True, tag="call", tag_field="op"):
    call: Count
    binding: Label
    method: Label
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    step: Step | None = None


class Checked(Struct, frozen=True, tag="checked", tag_field="op"):
    diagnostics: Annotated[list[dict[str, Any]], Meta(max_length=1_000)]
    outline: Annotated[list[dict[str, Any]], Meta(max_length=10_000)]
    tool: dict[str, Any] = {}
    project: dict[str, Any] = {}


class Probed(Struct, frozen=True, tag="probed", tag_field="op"):
    results: dict[str, str]


class _LargeDone(Struct, frozen=True, tag="done", tag_field="op"):
    step: Step
    attempt: Count
    value: msgspec.Raw = msgspec.Raw(b"null")
    rollback: bool = False
    clock: Clock | None = None
    took: Clock | None = None
    ahead: bool = False


class _LargeDid(Struct, frozen=True, tag="did", tag_field="op"):
    step: Step
    config: Config
    ended: Clock
    attempt: Literal[1] = 1
    line: Line = None
    rollback: Config | None = None
    clock: Clock | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    took: Clock | None = None


class _LargeFinish(Struct, frozen=True, tag="finish", tag_field="op"):
    output: msgspec.Raw = msgspec.Raw(b"null")
    ready: bool = False


class _LargeChild(Struct, frozen=True, tag="child", tag_field="op"):
    step: Step
    binding: Label
    id: ChildId = None
    params: msgspec.Raw = msgspec.Raw(b"null")
    cascade: bool = True
    workflow: Annotated[str, Meta(max_length=64)] | None = None
    line: Line = None
    clock: Clock | None = None
    asked: ChildFlow | None = None
    tags: Sequence[Tag] = ()


_SmallFrame = (
    Do
    | Resume
    | Fail
    | Sleep
    | Wait
    | Reply
    | Patch
    | Stop
    | Cancel
    | Released
    | Received
    | Diverged
    | Log
    | Append
    | Tagged
    | Crash
    | Begun
    | Idle
    | Missing
    | Call
)
ExecutionFrame = _SmallFrame | Done | Did | Finish | Child
_OtherFrame = Collected | Replayed | Checked | Probed
WorkerFrame = ExecutionFrame | _OtherFrame
_decoder = msgspec.json.Decoder(WorkerFrame)
_LargeFrame = _SmallFrame | _LargeDone | _LargeDid | _LargeFinish | _LargeChild | _OtherFrame
_large_decoder = msgspec.json.Decoder(_LargeFrame)
_decode_value = msgspec.json.Decoder().decode
# What stands for a byte where numbers are looked for: 0 for each digit.
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_encoder = msgspec.json.Encoder()


def step_key(step: Step) -> StepKey:
    """The journal's key of a frame's step."""
    return StepKey.interned(step.kind, step.name, step.count, None if step.parent is None else step_key(step.parent))


def decode(data: bytes) -> WorkerFrame:
    """Decode one frame's body.

    A result of at least `RAW_JSON_BYTES` stays JSON text (`msgspec.Raw`), on one line. It is not decoded to be checked:
    a megabyte of empty lists takes 22 MB as objects, and survivors among them keep the memory around them from being
    freed.

    Raises:
        ProtocolError: not strict JSON, nested too deep, or no known frame.
    """
    if deeper_than(data, DEPTH_MAX):
        raise ProtocolError(f"a frame is nested more than {DEPTH_MAX} levels deep")
    try:
        return _decoder.decode(data) if len(data) < RAW_JSON_BYTES else _decode_large(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as refused:
        raise ProtocolError(f"a frame is not what the protocol allows: {str(refused)[:200]}") from None


def _decode_large(data: bytes) -> WorkerFrame:
    """Decode a frame without its result, or a child's params, which are decoded where they are small.

    msgspec checks the grammar of raw JSON, but neither its UTF-8 nor the range of its numbers: this checks them.
    """
    frame: _LargeFrame = _large_decoder.decode(data)
    if not data.isascii():
        data.decode()
    if isinstance(frame, _LargeFinish):
        return Finish(_result(frame.output), frame.ready)
    if isinstance(frame, _LargeChild):
        params = _result(frame.params)
        fields = (frame.cascade, frame.workflow, frame.line, frame.clock, frame.asked, frame.tags)
        return Child(frame.step, frame.binding, frame.id, params, *fields)
    if isinstance(frame, _LargeDone):
        return Done(
            frame.step, frame.attempt, _result(frame.value), frame.rollback, frame.clock, frame.took, frame.ahead
        )
    if isinstance(frame, _LargeDid):
        value = _result(frame.value)
        return Did(frame.step, frame.config, frame.ended, 1, frame.line, frame.rollback, frame.clock, value, frame.took)
    return frame


def _result(raw: msgspec.Raw) -> Any:
    """A result that is only passed on: decoded where it is small, else its text on one line, copied so that it does not
    keep the whole frame in memory.
    """
    text = bytes(raw)
    if len(text) < RAW_JSON_BYTES:
        return _decode_value(text)
    if _may_be_out_of_range(text):
        _decode_value(text)
    return msgspec.Raw(msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text)


def _may_be_out_of_range(text: bytes) -> bool:
    """Whether JSON text holds a number beyond 1e308, or text that looks like one. A regular expression would take
    fourteen times as long: 29 ms of the event loop for a megabyte.
    """
    digits = text.translate(_DIGITS)
    return b"0" * 200 in digits or b"0e000" in digits or b"0e+000" in digits


def encode(frame: dict[str, Any]) -> bytes:
    """Encode a frame for a worker, with its header."""
    data = json_text(frame)
    assert data[:1] == b"{", "a frame is an object"
    return len(data).to_bytes(HEADER_BYTES, "big") + data


def json_text(part: Any) -> bytes:
    """Encode a frame without its header, or a part of one."""
    return _encoder.encode(part)


def to_builtins(value: Any) -> Any:
    """A typed part of a frame as builtins, for the journal."""
    return msgspec.to_builtins(value)


@lru_cache(maxsize=256)
def config_to_builtins(config: Config) -> Mapping[str, Any]:
    """A step's config as builtins, for the journal: shared between equal steps, so never mutated."""
    config_json: Mapping[str, Any] = msgspec.to_builtins(config)
    return config_json


def size_of(value: Any) -> int:
    """Bytes of a value as JSON."""
    return len(_encoder.encode(value))
