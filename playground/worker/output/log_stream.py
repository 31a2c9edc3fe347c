"""What tenant code prints or logs, sent as frames, with the step that printed it, its line, and whether a replay did.

Whole lines are sent as they end. What has begun and not ended is sent when it is flushed, before the loop waits, ahead
of whatever else the worker sends, and with the next write once it is old; such a frame is `partial`: the next one of
the same stream and step goes on with its line.
"""

import io
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

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


class Begun(dict[tuple[str, Key | None], _Line]):
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

    def __init__(self, name: str, channel: Channel, replay: Replay, begun: Begun) -> None:
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
