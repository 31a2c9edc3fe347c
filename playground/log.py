"""The server's log: one line per thing an operator must know, on stderr, as `time event key=value`.

Values are quoted where they need to be, so that what a tenant or a client wrote can neither begin a new line nor steer
a terminal.
"""

import contextlib
import logging
import re
import sys
import traceback
from typing import Any, TextIO

import structlog

from playground.log_lines import Log, Quiet

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_PLAIN = re.compile(r"[\w.,:/+@{}*-]+\Z")


def open_log(stream: TextIO | None = None) -> Log:
    """A function `log(event, **fields)`.

    An exception passed as `exc_info` is written with its frames, on the same line.

    Which lines there are, their levels and how often one may come, is the table in log_lines.py.
    """
    logger = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        processors=[structlog.processors.TimeStamper("iso", key="time"), _with_trace, _line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    )

    def log(event: str, **fields: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever read it has gone; that must stop nothing here
            logger.info(event, **fields)

    return Quiet(log)


def adopt_standard_logging(log: Log) -> None:
    """Let what libraries log (warnings and worse) come out as lines of ours."""
    logging.basicConfig(handlers=[_Adopted(log)], level=logging.WARNING, force=True)


class _Adopted(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"level": record.levelname.lower(), "message": record.getMessage().strip()}
        if record.exc_info and record.exc_info[1]:
            fields["exc_info"] = record.exc_info[1]
        self._log(record.name, **fields)


def _with_trace(_: object, __: str, fields: Any) -> Any:
    error = fields.pop("exc_info", None)
    if isinstance(error, BaseException):
        fields["trace"] = "".join(traceback.format_exception(error)).strip()
    return fields


def _line(_: object, __: str, fields: Any) -> str:
    time, event = fields.pop("time"), fields.pop("event")
    return " ".join([time, _shown(event), *(f"{name}={_shown(value)}" for name, value in fields.items())])


def _shown(value: Any) -> str:
    text = "-" if value is None else str(value)
    if _PLAIN.match(text):
        return text
    escaped = _CONTROL.sub(
        lambda it: it[0].encode("unicode_escape").decode(), text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'
