"""What tenant code prints or logs, sent as frames: whole lines, with the step that printed them and whether a replay did."""

import io
import logging
import sys
from types import FrameType
from typing import Any

from playground.worker.channel import Channel
from playground.worker.context import step_of_caller
from playground.worker.failures import is_tenants
from playground.worker.replay import Replay

STREAMS = ("stdout", "stderr", "logging")
LINE_CHARACTERS = 8_000  # a longer line is sent in pieces
LEVEL_CHARACTERS = 100  # kept of the name of a level, which a tenant may add


class LogStream(io.TextIOBase):
    """Stands in for stdout or stderr."""

    encoding = "utf-8"

    def __init__(self, name: str, channel: Channel, replay: Replay) -> None:
        self._name, self._channel, self._replay = name, channel, replay
        self._partial: dict[Any, str] = {}

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        """Send the whole lines; keep what follows the last newline until its own arrives."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        step = step_of_caller()
        whole = self._partial.pop(step, "") + text
        lines, newline, rest = whole.rpartition("\n")
        if newline:
            self.send(lines, step)
        while len(rest) > LINE_CHARACTERS:
            self.send(rest[:LINE_CHARACTERS], step)
            rest = rest[LINE_CHARACTERS:]
        if rest:
            self._partial[step] = rest
        return len(text)

    def flush(self) -> None:
        """Lines are sent as they end; a flush sends nothing early."""

    def finish(self) -> None:
        """Send what was printed without a newline at the end."""
        for step, rest in self._partial.items():
            self.send(rest, step)
        self._partial.clear()

    def send(self, text: str, step: Any, level: str | None = None) -> None:
        """Post one log frame for each piece of text."""
        replay = step is None and self._replay.replaying
        for start in range(0, max(len(text), 1), LINE_CHARACTERS):
            piece = text[start : start + LINE_CHARACTERS].encode("utf-8", "replace").decode()
            frame = {"op": "log", "stream": self._name, "level": level, "text": piece, "replay": replay, "line": _line()}
            if step is not None:
                frame["step"] = step
            self._channel.post_lazily(frame)


class LogHandler(logging.Handler):
    """Sends records of the `logging` module."""

    def __init__(self, stream: LogStream) -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record with its level."""
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a tenant's own objects are formatted here
            text = f"{record.name}: (this record could not be formatted: {type(error).__name__})"
        self._stream.send(text, step_of_caller(), str(record.levelname)[:LEVEL_CHARACTERS])


def _line() -> int | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not is_tenants(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_lineno if frame is not None else None
