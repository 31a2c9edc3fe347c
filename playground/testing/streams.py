"""Where prints go while workflows run in the test's own process: a worker's to its log, the test's own to where they
went.
"""

import contextvars
import io
import logging
import sys
from collections.abc import Mapping
from typing import Any

from playground.worker.output.log_stream import LogStream
from playground.worker.output.logging_setup import LogHandler, asked
from playground.worker.output.python_warnings import Warnings
from playground.worker.process import MODULE


class _Log:
    """The streams of one worker, and what its code has asked of `logging.basicConfig`."""

    def __init__(self, streams: Mapping[str, LogStream]) -> None:
        self.streams = streams
        self.handler = LogHandler(streams["logging"])
        self.level: int | None = None  # of loggers that have none of their own
        self.configured = False

    def configure(self, given: Mapping[str, Any]) -> None:
        """As a script's `basicConfig`: the first one counts. What would send records elsewhere is not heeded."""
        wanted = asked(given, lambda other: isinstance(other, (LogStream, _Routed)))
        if wanted is None or (self.configured and not given.get("force")):
            return
        self.configured = True
        self.handler = LogHandler(self.streams["logging"], wanted.formatter)
        if wanted.level is not None:
            self.level = wanted.level
            root = logging.getLogger()
            root.setLevel(min(root.level, wanted.level))  # the process's; `_RoutedRecords` holds back what is too much


_log: contextvars.ContextVar[_Log | None] = contextvars.ContextVar("log", default=None)


def route(streams: Mapping[str, LogStream]) -> None:
    """What this context, and every task made in it, prints or logs goes to these streams from now on."""
    _log.set(_Log(streams))


def _stderr() -> LogStream | None:
    log = _log.get()
    return None if log is None else log.streams["stderr"]


class _Routed(io.TextIOBase):
    def __init__(self, name: str, usual: Any) -> None:
        self._name, self._usual = name, usual

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return int(self._goes_to().write(text))

    def flush(self) -> None:
        self._goes_to().flush()

    def _goes_to(self) -> Any:
        log = _log.get()
        return self._usual if log is None else log.streams[self._name]

    def close(self) -> None:
        """The process's output is not ours to close, nor to flush when this is forgotten."""

    def isatty(self) -> bool:
        return False


class _RoutedRecords(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = _log.get()
        if log is not None and (log.level is None or record.levelno >= log.level or _has_own_level(record.name)):
            log.handler.emit(record)


def _has_own_level(name: str) -> bool:
    """Whether a logger goes by a level of its own, or of one above it, and not by the root's."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger.parent is not None and logger.level == logging.NOTSET:
        logger = logger.parent
    return logger is not None and logger.parent is not None


class Routing:
    """Stands between the process and its output while at least one test is open; then everything is as it was."""

    def __init__(self) -> None:
        self._open = 0
        self._usual: tuple[Any, Any, int, Any] = (None, None, 0, None)
        self._ours: tuple[Any, Any] = (None, None)
        self._records = _RoutedRecords()
        self._warnings = Warnings(MODULE, _stderr)

    def begin(self) -> None:
        """One more test is open."""
        self._open += 1
        if self._open > 1:
            return
        root = logging.getLogger()
        self._usual = (sys.stdout, sys.stderr, root.level, logging.basicConfig)
        self._ours = sys.stdout, sys.stderr = _Routed("stdout", sys.stdout), _Routed("stderr", sys.stderr)
        root.addHandler(self._records)
        root.setLevel(min(root.level, logging.INFO))
        logging.basicConfig = self._configure
        self._warnings.begin()

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
        logging.basicConfig = self._usual[3]
        self._warnings.end()

    def _configure(self, **given: Any) -> None:
        log = _log.get()
        if log is None:
            self._usual[3](**given)
        else:
            log.configure(given)
