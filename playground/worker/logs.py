"""The tenant's stdout, stderr and `logging`, sent as `log` frames with the step, the source line and a replay flag.

A line is sent when it ends. An unfinished one is sent on a flush, before the event loop waits, ahead of any other
frame, and with the next write once it is FLUSH_SECONDS old; its frame is `partial`, and the next frame of the same
stream and step continues the line. `logging` records keep their level, and `basicConfig` works as in a script.
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
from playground.worker.failures import is_tenant_file
from playground.worker.replay import Replay

STREAMS = ("stdout", "stderr", "logging")
LINE_CHARACTERS = 8_000  # a longer line is sent in several frames
FLUSHES = 100  # that send at once, then one per FLUSH_SECONDS: code that flushes each character floods no journal
_ENDS_OF_ATTEMPTS = ("done", "did", "fail")  # frames that end the unfinished lines of their step


class _OpenLine:
    """The unsent text of an unfinished line. `sent`: a part of the line was sent before; `since`: when `text` began."""

    __slots__ = ("line", "replay", "sent", "since", "text")

    def __init__(self, text: str, line: int | None, replay: bool) -> None:
        self.text, self.line, self.replay = text, line, replay
        self.since = time.monotonic()
        self.sent = False


class OpenLines(dict[tuple[str, Key | None], _OpenLine]):
    """The unfinished lines of one execution, by stream and step; sent ahead of any other frame."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._flushes_due = 0.0  # when the flushes so far would be over at one per FLUSH_SECONDS (a leaky bucket)

    def may_flush(self) -> bool:
        """Count a flush, and return whether it may send at once."""
        now = time.monotonic()
        if self._flushes_due - now > FLUSHES * FLUSH_SECONDS:
            return False
        self._flushes_due = max(self._flushes_due, now) + FLUSH_SECONDS
        return True

    def send_unsent(self, before: Mapping[str, Any] | None = None) -> None:
        """Put the unsent text. Where the frame `before`, which follows, ends an attempt, its lines end too."""
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

    _replay: Replay  # set by `follow`, before anything is printed
    _open_lines: OpenLines

    def __init__(self, name: str, channel: Channel) -> None:
        self._name, self._channel = name, channel

    def follow(self, replay: Replay, begun: OpenLines) -> None:
        """Send what another run in this worker prints."""
        self._replay, self._open_lines = replay, begun

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        """Send the finished lines; keep the text after the last newline."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        step = step_of_caller()
        replay = step is None and self._replay.replaying
        begun = self._open_lines.pop((self._name, step), None)
        if begun is not None and begun.text and begun.replay != replay:
            self._post(begun.text, step, begun.line, begun.replay, partial=True)
            begun.text, begun.sent = "", True
        older = begun is not None and bool(begun.text)
        whole, newline, rest = ((begun.text if begun is not None else "") + text).rpartition("\n")
        line = begun.line if begun is not None and older else _tenant_line()
        if newline:
            self._send(whole, step, line, replay)
            older, begun = False, None
        if rest or (begun is not None and begun.sent):
            self._keep_or_send(rest, step, line, replay, begun, old=older)
        return len(text)

    def _keep_or_send(
        self, rest: str, step: Key | None, line: int | None, replay: bool, begun: _OpenLine | None, *, old: bool
    ) -> None:
        """Keep the text after the last newline; send what is too long or was kept for FLUSH_SECONDS."""
        kept = _OpenLine(rest, line, replay)
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
        self._open_lines[self._name, step] = kept

    def flush(self) -> None:
        """Send what is unsent; past FLUSHES it is left to a later write or to when the loop waits."""
        if self._open_lines.may_flush():
            self._channel.flush()

    def send_rest(self) -> None:
        """Send the unfinished lines of this stream as finished ones."""
        for name, step in list(self._open_lines):
            if name == self._name:
                line = self._open_lines.pop((name, step))
                if line.text:
                    self._post(line.text, step, line.line, line.replay, partial=False)

    def send_line(self, text: str, step: Key | None, level: str | None = None, line: int | None = None) -> None:
        """Send text as finished lines. `line` is the source line, 0 for none; by default the one that runs."""
        self._send(text, step, _tenant_line() if line is None else line, step is None and self._replay.replaying, level)

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


def _tenant_line() -> int | None:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_tenant_file(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_lineno if frame is not None else None


LEVEL = logging.INFO  # of the root logger, unless the code sets another
LEVEL_CHARACTERS = 100  # kept of the name of a level, which a tenant may add
FORMAT = "%(name)s: %(message)s"  # unless the code sets another; the level is a field of its own
_ARGUMENTS = frozenset(
    {"level", "format", "datefmt", "style", "force", "stream", "encoding", "errors", "filename", "filemode", "handlers"}
)
_OTHER_DESTINATIONS = ("filename", "handlers")  # send records elsewhere than to a stream


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
        self._stream.send_line(text, step_of_caller(), str(record.levelname)[:LEVEL_CHARACTERS])


class LogConfig(NamedTuple):
    """What a call of `basicConfig` changes; None: unchanged."""

    level: int | None
    formatter: logging.Formatter | None


def log_config(arguments: Mapping[str, Any], is_ours: Callable[[Any], bool]) -> LogConfig | None:
    """The change that the arguments of `basicConfig` ask for; None when they send records elsewhere than to the log.

    `is_ours` tells whether a stream is one of the log's.

    Raises:
        ValueError, TypeError: as `logging.basicConfig` does.
    """
    unknown = [name for name in arguments if name not in _ARGUMENTS]
    if unknown:
        raise ValueError(f"Unrecognised argument(s): {', '.join(unknown)}")
    stream = arguments.get("stream")
    if any(arguments.get(name) is not None for name in _OTHER_DESTINATIONS) or not (stream is None or is_ours(stream)):
        return None
    formatter = None
    if any(arguments.get(name) is not None for name in ("format", "datefmt", "style")):
        formatter = logging.Formatter(arguments.get("format"), arguments.get("datefmt"), arguments.get("style") or "%")
    level = arguments.get("level")
    if level is not None:
        checked = logging.Handler()
        checked.setLevel(level)
        level = checked.level
    return LogConfig(level, formatter)


def install_root_handler(stream: LogStream) -> None:
    """Send the root logger's records to `stream`. The first `basicConfig` still applies, as if there was no handler."""
    root = logging.getLogger()
    original = logging.basicConfig
    handler = LogHandler(stream)

    def basicConfig(**arguments: Any) -> None:
        if root.handlers != [handler] and not arguments.get("force"):
            original(**arguments)
            return
        config = log_config(arguments, lambda other: isinstance(other, LogStream))
        if config is None:
            root.removeHandler(handler)
            original(**arguments)
            return
        for old in list(root.handlers):
            root.removeHandler(old)
        root.addHandler(LogHandler(stream, config.formatter))
        if config.level is not None:
            root.setLevel(config.level)

    basicConfig.__doc__ = original.__doc__
    root.handlers[:] = [handler]
    root.setLevel(LEVEL)
    logging.basicConfig = basicConfig
