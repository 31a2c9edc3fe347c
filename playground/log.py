"""The server's log on stderr, one line per event: `time event key=value`.

Values are quoted where necessary, so that text of a tenant or a client can neither begin a new line nor control the
terminal.
"""

import contextlib
import logging
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from playground.log_lines import Log, RateLimitedLog

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_PLAIN = re.compile(r"[\w.,:/+@{}*-]+\Z")


def open_log(stream: TextIO | None = None) -> Log:
    """A function `log(event, **fields)`. An exception in `exc_info` is written with its traceback on the same line.

    The events, their levels and their rates are in the table of log_lines.py.
    """
    output, lock = stream or sys.stderr, threading.Lock()

    def log(event: str, **fields: Any) -> None:
        with contextlib.suppress(OSError, ValueError), lock:  # its reader has gone, which must not stop the server
            output.write(_format_line(event, _with_traceback(fields)))
            output.flush()

    return RateLimitedLog(log)


def adopt_standard_logging(log: Log) -> None:
    """Write what libraries log, from warnings on, to this log."""
    logging.basicConfig(handlers=[_StandardLogHandler(log)], level=logging.WARNING, force=True)


class _StandardLogHandler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"level": record.levelname.lower(), "message": record.getMessage().strip()}
        if record.exc_info and record.exc_info[1]:
            fields["exc_info"] = record.exc_info[1]
        self._log(record.name, **fields)


def _with_traceback(fields: dict[str, Any]) -> dict[str, Any]:
    error = fields.pop("exc_info", None)
    if isinstance(error, BaseException):
        fields["trace"] = "".join(traceback.format_exception(error)).strip()
    return fields


def _format_line(event: str, fields: dict[str, Any]) -> str:
    time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return " ".join([time, _quote(event), *(f"{name}={_quote(value)}" for name, value in fields.items())]) + "\n"


def _quote(value: Any) -> str:
    text = "-" if value is None else str(value)
    if _PLAIN.match(text):
        return text
    escaped = _CONTROL.sub(
        lambda it: it[0].encode("unicode_escape").decode(), text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'
