"""The `logging` module as tenants find it: records have their level, and `basicConfig` works as in a script."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from playground.worker.context import step_of_caller
from playground.worker.output.log_stream import LogStream

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


class Asked(NamedTuple):
    """What a call of `basicConfig` asks for; None is what there was."""

    level: int | None
    formatter: logging.Formatter | None


def asked(given: Mapping[str, Any], is_ours: Callable[[Any], bool]) -> Asked | None:
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
    return Asked(level, formatter)


def take_root(stream: LogStream) -> None:
    """Send what the root logger is given, and let the first `basicConfig` count, though that logger has a handler."""
    root = logging.getLogger()
    original = logging.basicConfig
    handler = LogHandler(stream)

    def basicConfig(**given: Any) -> None:
        if root.handlers != [handler] and not given.get("force"):
            original(**given)
            return
        wanted = asked(given, lambda other: isinstance(other, LogStream))
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
