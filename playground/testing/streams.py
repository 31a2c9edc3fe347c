"""Where prints go while workflows run in the test's own process: a worker's to its log, the test's own to where they went."""

import contextvars
import io
import logging
import sys
from collections.abc import Mapping
from typing import Any

from playground.worker.logs import LogHandler, LogStream

_streams: contextvars.ContextVar[Mapping[str, LogStream] | None] = contextvars.ContextVar("streams", default=None)


def route(streams: Mapping[str, LogStream]) -> None:
    """What this context, and every task made in it, prints or logs goes to these streams from now on."""
    _streams.set(streams)


class _Routed(io.TextIOBase):
    def __init__(self, name: str, usual: Any) -> None:
        self._name, self._usual = name, usual

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        streams = _streams.get()
        return int((self._usual if streams is None else streams[self._name]).write(text))

    def flush(self) -> None:
        streams = _streams.get()
        (self._usual if streams is None else streams[self._name]).flush()

    def close(self) -> None:
        """The process's output is not ours to close, nor to flush when this is forgotten."""

    def isatty(self) -> bool:
        return False


class _RoutedRecords(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        streams = _streams.get()
        if streams is not None:
            LogHandler(streams["logging"]).emit(record)


class Routing:
    """Stands between the process and its output while at least one test is open; then everything is as it was."""

    def __init__(self) -> None:
        self._open = 0
        self._usual: tuple[Any, Any, int] = (None, None, 0)
        self._ours: tuple[Any, Any] = (None, None)
        self._records = _RoutedRecords()

    def begin(self) -> None:
        """One more test is open."""
        self._open += 1
        if self._open > 1:
            return
        root = logging.getLogger()
        self._usual = (sys.stdout, sys.stderr, root.level)
        self._ours = sys.stdout, sys.stderr = _Routed("stdout", sys.stdout), _Routed("stderr", sys.stderr)
        root.addHandler(self._records)
        root.setLevel(min(root.level, logging.INFO))

    def end(self) -> None:
        """One test less is open. What somebody else has put in place meanwhile stays."""
        self._open -= 1
        if self._open:
            return
        root = logging.getLogger()
        if sys.stdout is self._ours[0]:
            sys.stdout = self._usual[0]
        if sys.stderr is self._ours[1]:
            sys.stderr = self._usual[1]
        root.removeHandler(self._records)
        root.setLevel(self._usual[2])
