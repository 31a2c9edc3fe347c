"""What a worker may say, and nothing else: every frame is decoded into one of these or the worker is ended.

A frame is a 4-byte big-endian length and that many bytes of strict JSON. The worker's side is
playground/worker/channel.py.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from playground.workflows.events import MAX_STEP_DEPTH, StepKey
from playground.workflows.values import RAW_JSON_BYTES, deeper_than

HEADER = 4
FRAME_BYTES = 1536 * 1024
DEEPEST = 200  # levels of lists and objects in one frame
NAME = 256

Name = Annotated[str, Meta(min_length=1, max_length=NAME, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Clock = Annotated[int, Meta(ge=0, le=2**53)]  # microseconds of the workflow's clock
Line = Annotated[int, Meta(ge=0, le=10_000_000)] | None
Milliseconds = Annotated[int, Meta(ge=0, le=366 * 86_400_000)]
Moment = Annotated[int, Meta(ge=-(2**53), le=2**53)]  # epoch milliseconds, or a duration of any length
Label = Annotated[str, Meta(max_length=100)]
Label200 = Annotated[str, Meta(max_length=200)]


class ProtocolError(Exception):
    """The worker broke the protocol; the message says how. It is ended as over a limit."""


class Step(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    kind: Literal["do", "sleep", "wait"]
    name: Name
    count: Count
    parent: "Step | None" = None  # in whose callback it was called

    def __post_init__(self) -> None:
        step, deep = self, 0
        while step.parent is not None:
            step, deep = step.parent, deep + 1
        if deep > MAX_STEP_DEPTH:
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
    clock: Clock | None = None  # when the code called it


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
    until: Moment | None = None
    line: Line = None
    clock: Clock | None = None


class Wait(Struct, frozen=True, tag="wait", tag_field="op"):
    step: Step
    event_type: Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9_][a-zA-Z0-9-_]{0,99}\Z")]
    timeout: Milliseconds
    line: Line = None
    clock: Clock | None = None


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
    partial: bool = False  # its line goes on in the next one of the same stream and step


class Finish(Struct, frozen=True, tag="finish", tag_field="op"):
    output: Any = None


class Crash(Struct, frozen=True, tag="crash", tag_field="op"):
    error: Error


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


class _LargeFinish(Struct, frozen=True, tag="finish", tag_field="op"):
    output: msgspec.Raw = msgspec.Raw(b"null")


_Others = (
    Do | Resume | Fail | Sleep | Wait | Cancel | Released | Received | Diverged | Log | Crash | Idle | Missing | Call
)
Spoken = _Others | Done | Finish
_Beside = Collected | Replayed | Checked | Probed
Said = Spoken | _Beside
_decoder = msgspec.json.Decoder(Said)
_Large = _Others | _LargeDone | _LargeFinish | _Beside
_large_decoder = msgspec.json.Decoder(_Large)
# A number beyond 1e308, or text that looks like one.
_MAYBE_OUT_OF_RANGE = re.compile(rb"[0-9]{200}|[0-9][eE]\+?[0-9]{3}")
_encoder = msgspec.json.Encoder()


def key(step: Step) -> StepKey:
    """The step a frame speaks of."""
    return StepKey.interned(step.kind, step.name, step.count, None if step.parent is None else key(step.parent))


def decode(data: bytes) -> Said:
    """One frame's body as a typed value.

    Of a result that is `RAW_JSON_BYTES`, the value is its JSON text (`msgspec.Raw`), on one line.

    Such a result is not made into objects to be checked: a megabyte of empty lists is 22 MB of them, and what lives in
    their midst keeps the room round it long after.

    Raises:
        ProtocolError: not strict JSON, nested too deep, or not one of the known shapes.
    """
    if deeper_than(data, DEEPEST):
        raise ProtocolError(f"a frame is nested more than {DEEPEST} levels deep")
    try:
        return _decoder.decode(data) if len(data) < RAW_JSON_BYTES else _decode_large(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as refused:
        raise ProtocolError(f"a frame is not what the protocol allows: {str(refused)[:200]}") from None


def _decode_large(data: bytes) -> Said:
    """What is not made into objects has its grammar checked, but neither its UTF-8 nor the size of its numbers: those
    are looked at here.
    """
    said: _Large = _large_decoder.decode(data)
    if not isinstance(said, (_LargeDone, _LargeFinish)):
        return said
    if not data.isascii():
        data.decode()
    if _MAYBE_OUT_OF_RANGE.search(data):
        _decoder.decode(data)
    if isinstance(said, _LargeFinish):
        return Finish(_text(said.output))
    return Done(said.step, said.attempt, _text(said.value), said.rollback, said.clock, said.took, said.ahead)


def encode(frame: dict[str, Any]) -> bytes:
    """A frame for a worker, with its header."""
    data = json_text(frame)
    return len(data).to_bytes(HEADER, "big") + data


def json_text(part: dict[str, Any]) -> bytes:
    """A frame without its header, or a part of one."""
    return _encoder.encode(part)


def plain(value: Any) -> Any:
    """A typed part of a frame as the plain JSON that goes into the journal."""
    return msgspec.to_builtins(value)


@lru_cache(maxsize=256)
def plain_config(config: Config) -> Mapping[str, Any]:
    """A step's config as the plain JSON that goes into the journal: shared between steps that have the same, so never
    changed.
    """
    plain: Mapping[str, Any] = msgspec.to_builtins(config)
    return plain


def size_of(value: Any) -> int:
    """Bytes of a value when stored."""
    return len(_encoder.encode(value))


def _text(raw: msgspec.Raw) -> msgspec.Raw:
    """On one line, and no view into all that was read with it."""
    text = bytes(raw)
    return msgspec.Raw(msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text)
