"""A run as a file: JSON Lines, of which the first says what the file is, the last that it is whole.

    {"format": "playground-run", "version": 1, "product": "0.9.0", "written_at": ms, "holds": ["code", "params",
     "journal"], "id", "title", "workflow", "class_name", "status", "last_seq", "params", "code": {"name", "version",
     "source"}}
    {"seq": 1, …}                            each event of the journal, as docs/events.md has it, seq dense from 1
    {"end": true, "events": n, "sha256": of all bytes before this line}

It holds what whoever may read the run sees: a redacted value is redacted here too, and no token, key or secret is in
it. `code` has a null as source where a program on the server has the code. A reader ignores fields that it does not
know; a change that an older reader would misread counts `version` up. The page reads the same in
`static/js/run-file.js`.

Limits of reading: `FILE_BYTES` in all, `LINE_BYTES` a line, `EVENTS` events. A file is somebody else's: whatever is
wrong with it is refused with the line where.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

import msgspec

from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey
from playground.workflows.values import deeper_than

FORMAT = "playground-run"
VERSION = 1
HOLDS = ("code", "params", "journal")
MEDIA_TYPE = "application/x-ndjson"
FILE_BYTES = 128 * 1024 * 1024
LINE_BYTES = 16 * 1024 * 1024
EVENTS = 1_000_000
DEPTH = 200  # levels of lists and objects in a line

Time = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]  # epoch milliseconds that a calendar has

_NOT_ONE = "is no run's file: `playground runs export RUN`, or Save the run, in Share on its page, writes one"


_KINDS = (*ev.KINDS, ev.REPLY, ev.PATCH)


class BadRunFile(Exception):
    """It is no run's file that this version reads. `line` counts from 1; 0: the whole file."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}" if line else why)
        self.line = line


class Code(msgspec.Struct, frozen=True):
    """The code that the run had at its end. `source` is None where a program on the server has it."""

    name: str
    version: str
    source: str | None


class Head(msgspec.Struct, frozen=True):
    """The first line, besides format and version."""

    product: str
    written_at: Time
    id: str
    title: str
    workflow: str
    class_name: str
    status: str
    last_seq: int
    params: Any
    code: Code


class _Mark(msgspec.Struct):
    format: str
    version: int


class _Step(msgspec.Struct):
    kind: str
    name: str
    count: int
    parent: "_Step | None" = None


class _Line(msgspec.Struct):
    """An event, or the end."""

    seq: int = 0
    at: Time = 0
    type: str = ""
    execution: int | None = None
    step: _Step | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    end: bool = False
    events: int = 0
    sha256: str = ""


_read_mark = msgspec.json.Decoder(_Mark).decode
_read_head = msgspec.json.Decoder(Head).decode
_read_line = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True)
class RunFile:
    """A run that was read from a file."""

    head: Head
    events: tuple[Event, ...]


class Writer:
    """Writes one file: `head`, then each event, then `end`; every method returns the bytes that come next."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._events = 0

    def head(self, head: Head) -> bytes:
        """The first line."""
        first = {"format": FORMAT, "version": VERSION, "holds": HOLDS}
        return self._written(msgspec.json.encode(first | msgspec.structs.asdict(head)) + b"\n")

    def events(self, texts: Iterable[bytes]) -> bytes:
        """Lines of events, which are JSON on one line already."""
        listed = list(texts)
        self._events += len(listed)
        return self._written(b"".join(text + b"\n" for text in listed))

    def end(self) -> bytes:
        """The last line."""
        return msgspec.json.encode({"end": True, "events": self._events, "sha256": self._hash.hexdigest()}) + b"\n"

    def _written(self, text: bytes) -> bytes:
        self._hash.update(text)
        return text


def read_event(text: bytes) -> Event:
    """An event as the store and the API have it, on one line. Raises as msgspec."""
    found = _read_line(text)
    step = None if found.step is None else _step_key(found.step, 0)
    return Event(found.seq, found.at, found.type, found.execution, step, found.data)


def file_name(id: str) -> str:
    """What a run's file is called."""
    return f"run-{id}.jsonl"


def read_run_file(file: BinaryIO) -> RunFile:
    """The run of a file.

    Raises:
        BadRunFile: it is none, of another version, cut off, changed, or larger than what is read.
    """
    reader = _Reader()
    events: list[Event] = []
    while line := file.readline(LINE_BYTES + 1):
        events.extend(reader.read(line))
    return RunFile(reader.finished(), tuple(events))


class _Reader:
    def __init__(self) -> None:
        self._line = self._bytes = self._last_seq = 0
        self._head: Head | None = None
        self._hash = hashlib.sha256()
        self._ended = False

    def read(self, line: bytes) -> Iterator[Event]:
        """The event of a line, if it is one."""
        self._line += 1
        self._bytes += len(line)
        if self._bytes > FILE_BYTES or len(line) > LINE_BYTES:
            what, most = ("file", FILE_BYTES) if self._bytes > FILE_BYTES else ("line", LINE_BYTES)
            raise BadRunFile(self._line, f"the {what} has more than the {most:,} bytes that are read of one")
        if not line.strip():
            return
        if self._head is None:
            self._head = self._read_head(line)
        elif self._ended:
            raise BadRunFile(self._line, "more follows the line that ends the file")
        else:
            found = self._decoded(_read_line, line, "an event")
            if found.end:
                self._check_end(found)
                return
            yield self._event(found)
        self._hash.update(line)

    def _read_head(self, line: bytes) -> Head:
        try:
            mark = _read_mark(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRunFile(0, f"it {_NOT_ONE}") from None
        if mark.format != FORMAT:
            raise BadRunFile(0, f"it {_NOT_ONE}")
        if mark.version != VERSION:
            newer = "; a newer playground reads it" if mark.version > VERSION else ""
            raise BadRunFile(0, f"it is of version {mark.version} of the format, and this reads {VERSION}{newer}")
        head: Head = self._decoded(_read_head, line, "the head of a run's file")
        if head.status not in ev.STATUSES:
            raise BadRunFile(self._line, f"there is no status {head.status[:40]!r}")
        return head

    def _decoded(self, decode: Any, line: bytes, what: str) -> Any:
        if deeper_than(line, DEPTH):
            raise BadRunFile(self._line, f"it is nested more than {DEPTH} levels deep")
        try:
            return decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not line.endswith(b"\n"):
                raise BadRunFile(0, f"it is cut off in line {self._line}; export the run again") from None
            raise BadRunFile(self._line, f"it is not {what}: {str(error)[:200]}") from None

    def _event(self, found: _Line) -> Event:
        if found.seq != self._last_seq + 1:
            raise BadRunFile(self._line, f"it is event {found.seq}, and event {self._last_seq + 1} comes next")
        if found.seq > EVENTS:
            raise BadRunFile(self._line, f"the file has more than {EVENTS:,} events")
        if found.type not in ev.TYPES:
            raise BadRunFile(self._line, f"there is no event {found.type[:60]!r}; a newer playground may know it")
        if found.seq == 1 and found.type != ev.WORKFLOW_QUEUED:
            raise BadRunFile(self._line, f"a journal begins with {ev.WORKFLOW_QUEUED}")
        self._last_seq = found.seq
        step = None if found.step is None else _step_key(found.step, self._line)
        return Event(found.seq, found.at, found.type, found.execution, step, found.data)

    def _check_end(self, found: _Line) -> None:
        if found.events != self._last_seq:
            raise BadRunFile(self._line, f"the file has {self._last_seq} events, and had {found.events} at its end")
        if found.sha256 != self._hash.hexdigest():
            raise BadRunFile(self._line, "the file was changed after it was written: its hash is another one")
        self._ended = True

    def finished(self) -> Head:
        """The head, once everything is read."""
        if self._head is None:
            raise BadRunFile(0, f"it is empty, and so {_NOT_ONE}")
        if not self._ended:
            raise BadRunFile(0, f"it is cut off after line {self._line}; export the run again")
        return self._head


def _step_key(step: _Step, line: int) -> StepKey:
    levels, inner = [step], step.parent
    while inner is not None:
        levels.append(inner)
        inner = inner.parent
    if len(levels) > ev.MAX_STEP_DEPTH + 1 or any(it.kind not in _KINDS for it in levels):
        raise BadRunFile(line, "there is no such step")
    key: StepKey | None = None
    for it in reversed(levels):
        key = StepKey(it.kind, it.name, it.count, key)
    assert key is not None, "there is a step"
    return key
