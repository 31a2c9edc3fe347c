"""What tenant code prints or logs, sent as frames, with the step that printed it, its line, and whether a replay did.

Whole lines are sent as they end. What has begun and not ended is sent when it is flushed, before the loop waits, ahead
of whatever else the worker sends, and with the next write once it is old; such a frame is `partial`: the next one of
the same stream and step goes on with its line.

The `logging` module as tenants find it: records have their level, and `basicConfig` works as in a script.
"""

import io
import logging
import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NamedTuple

from playground.worker.channel import FLUSH_SECONDS, Channel
from playground.worker.context import Key, step_of_caller
from playground.worker.failures import is_tenants
from playground.worker.replay import Replay

STREAMS = ("stdout", "stderr", "logging")
LINE_CHARACTERS = 8_000  # a longer line is sent in pieces
FLUSHES = 100  # flushes that send at once, then one each FLUSH_SECONDS: one for each character is no flood of events
_ENDS_OF_ATTEMPTS = ("done", "fail")  # frames after which a step prints no more on its line


class _Line:
    """What of a line that has begun is not sent yet. `sent` says that some of it is; `since` is when its text began."""

    __slots__ = ("line", "replay", "sent", "since", "text")

    def __init__(self, text: str, line: int | None, replay: bool) -> None:
        self.text, self.line, self.replay = text, line, replay
        self.since = time.monotonic()
        self.sent = False


class OpenLines(dict[tuple[str, Key | None], _Line]):
    """The lines of one execution that have begun and not ended, by stream and step; sent ahead of all else."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._flushes_due = 0.0  # when the flushes so far would have been made, one each FLUSH_SECONDS

    def may_flush(self) -> bool:
        """Whether one more flush sends at once; counts it if so."""
        now = time.monotonic()
        if self._flushes_due - now > FLUSHES * FLUSH_SECONDS:
            return False
        self._flushes_due = max(self._flushes_due, now) + FLUSH_SECONDS
        return True

    def send(self, before: Mapping[str, Any] | None = None) -> None:
        """Post what has no frame yet. `before` is the frame that is to follow: the lines of an attempt end with it."""
        over = before.get("step") if before is not None and before["op"] in _ENDS_OF_ATTEMPTS else None
        for (stream, step), line in list(self.items()):
            ended = over is not None and step == over
            if ended:
                del self[stream, step]
            if line.text or (ended and line.sent):
                text, line.text, line.sent = line.text, "", True
                self._channel.put(_frame(stream, text, step, line.line, line.replay, partial=not ended))


class LogStream(io.TextIOBase):
    """Stands in for stdout or stderr."""

    encoding = "utf-8"

    def __init__(self, name: str, channel: Channel, replay: Replay, begun: OpenLines) -> None:
        self._name, self._channel, self._replay, self._begun = name, channel, replay, begun

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        """Send the whole lines; keep what follows the last newline for a while."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        step = step_of_caller()
        replay = step is None and self._replay.replaying
        begun = self._begun.pop((self._name, step), None)
        if begun is not None and begun.text and begun.replay != replay:
            self._post(begun.text, step, begun.line, begun.replay, partial=True)
            begun.text, begun.sent = "", True
        older = begun is not None and bool(begun.text)
        whole, newline, rest = ((begun.text if begun is not None else "") + text).rpartition("\n")
        line = begun.line if begun is not None and older else _line()
        if newline:
            self._send(whole, step, line, replay)
            older, begun = False, None
        if rest or (begun is not None and begun.sent):
            self._begin(rest, step, line, replay, begun, old=older)
        return len(text)

    def _begin(
        self, rest: str, step: Key | None, line: int | None, replay: bool, begun: _Line | None, *, old: bool
    ) -> None:
        """Keep what follows the last newline, or send it: what is too long, and what has been kept for too long."""
        kept = _Line(rest, line, replay)
        if begun is not None:
            kept.sent = begun.sent
            kept.since = begun.since if old else kept.since
        due = (
            len(rest)
            if old and time.monotonic() - kept.since >= FLUSH_SECONDS
            else (len(rest) - 1) // LINE_CHARACTERS * LINE_CHARACTERS
        )
        for start in range(0, due, LINE_CHARACTERS):
            self._post(rest[start : min(due, start + LINE_CHARACTERS)], step, line, replay, partial=True)
            kept.text, kept.sent = rest[due:], True
        self._begun[self._name, step] = kept

    def flush(self) -> None:
        """Send what there is; where it is flushed all the time, it goes with a later write or before the loop waits."""
        if self._begun.may_flush():
            self._channel.flush()

    def finish(self) -> None:
        """Send what was printed without a newline at the end."""
        for name, step in list(self._begun):
            if name == self._name:
                line = self._begun.pop((name, step))
                if line.text:
                    self._post(line.text, step, line.line, line.replay, partial=False)

    def send(self, text: str, step: Key | None, level: str | None = None, line: int | None = None) -> None:
        """Send text that ends its last line. `line` is its source line, 0 for none; by default that which runs."""
        self._send(text, step, _line() if line is None else line, step is None and self._replay.replaying, level)

    def _send(self, text: str, step: Key | None, line: int | None, replay: bool, level: str | None = None) -> None:
        last = max(0, (len(text) - 1) // LINE_CHARACTERS) * LINE_CHARACTERS
        for start in range(0, last + 1, LINE_CHARACTERS):
            self._post(text[start : start + LINE_CHARACTERS], step, line, replay, level, partial=start < last)

    def _post(
        self, text: str, step: Key | None, line: int | None, replay: bool, level: str | None = None, *, partial: bool
    ) -> None:
        self._channel.post_lazily(_frame(self._name, text, step, line, replay, level, partial=partial))


def _frame(
    stream: str, text: str, step: Key | None, line: int | None, replay: bool, level: str | None = None, *, partial: bool
) -> dict[str, Any]:
    text = text.encode("utf-8", "replace").decode()
    frame: dict[str, Any] = {
        "op": "log",
        "stream": stream,
        "level": level,
        "text": text,
        "replay": replay,
        "line": line or None,
    }
    if partial:
        frame["partial"] = True
    if step is not None:
        frame["step"] = step
    return frame


def _line() -> int | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_tenants(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_lineno if frame is not None else None


LEVEL = logging.INFO  # of the root logger, unless the code says otherwise
LEVEL_CHARACTERS = 100  # kept of the name of a level, which a tenant may add
FORMAT = "%(name)s: %(message)s"  # unless the code says otherwise; the level is shown beside it
_KNOWN = frozenset(
    {"level", "format", "datefmt", "style", "force", "stream", "encoding", "errors", "filename", "filemode", "handlers"}
)
_ELSEWHERE = ("filename", "handlers")  # say that records are to go somewhere else


class LogHandler(logging.Handler):
    """Sends records of the `logging` module."""

    def __init__(self, stream: LogStream, formatter: logging.Formatter | None = None) -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(formatter or logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record with its level."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a tenant's own objects are formatted here
            text = f"{record.name}: (this record could not be formatted: {type(error).__name__})"
        self._stream.send(text, step_of_caller(), str(record.levelname)[:LEVEL_CHARACTERS])


class LogConfig(NamedTuple):
    """What a call of `basicConfig` asks for; None is what there was."""

    level: int | None
    formatter: logging.Formatter | None


def log_config(given: Mapping[str, Any], is_ours: Callable[[Any], bool]) -> LogConfig | None:
    """What the arguments of a `basicConfig` ask for; None when records are to go elsewhere than to the log.

    `is_ours` knows the streams of the log.

    Raises:
        ValueError, TypeError: as `logging.basicConfig` does.
    """
    unknown = [name for name in given if name not in _KNOWN]
    if unknown:
        raise ValueError(f"Unrecognised argument(s): {', '.join(unknown)}")
    stream = given.get("stream")
    if any(given.get(name) is not None for name in _ELSEWHERE) or not (stream is None or is_ours(stream)):
        return None
    formatter = None
    if any(given.get(name) is not None for name in ("format", "datefmt", "style")):
        formatter = logging.Formatter(given.get("format"), given.get("datefmt"), given.get("style") or "%")
    level = given.get("level")
    if level is not None:
        checked = logging.Handler()
        checked.setLevel(level)
        level = checked.level
    return LogConfig(level, formatter)


def take_root(stream: LogStream) -> None:
    """Send what the root logger is given, and let the first `basicConfig` count, though that logger has a handler."""
    root = logging.getLogger()
    original = logging.basicConfig
    handler = LogHandler(stream)

    def basicConfig(**given: Any) -> None:
        if root.handlers != [handler] and not given.get("force"):
            original(**given)
            return
        wanted = log_config(given, lambda other: isinstance(other, LogStream))
        if wanted is None:
            root.removeHandler(handler)
            original(**given)
            return
        for old in list(root.handlers):
            root.removeHandler(old)
        root.addHandler(LogHandler(stream, wanted.formatter))
        if wanted.level is not None:
            root.setLevel(wanted.level)

    basicConfig.__doc__ = original.__doc__
    root.handlers[:] = [handler]
    root.setLevel(LEVEL)
    logging.basicConfig = basicConfig
