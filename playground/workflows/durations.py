"""Durations as tenants write them: a number of milliseconds, a string `"<number> <unit>[s]"`, or a timedelta."""

import re
from datetime import timedelta
from typing import Any

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
UNITS = {
    "second": SECOND,
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": 7 * DAY,
    "month": 30 * DAY,
    "year": 365.25 * DAY,
}
LONGEST = 365 * DAY  # of a sleep or a wait
EXAMPLE = '"30 seconds"'

_LONG = 10**60  # numbers from here on are not quoted; CPython refuses to write the longest
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s+(" + "|".join(UNITS) + r")s?\s*\Z")


class InvalidDuration(ValueError):
    """Not a duration; the message quotes the value and shows one that works."""


def parse(value: Any) -> int:
    """Milliseconds of a duration.

    Raises:
        InvalidDuration: it is neither a finite number of at least 0 nor a `"<number> <unit>"` string nor a timedelta.
    """
    if isinstance(value, timedelta):
        milliseconds = value / timedelta(milliseconds=1)
    elif isinstance(value, str):
        found = _TEXT.match(value) if len(value) < 100 else None
        if found is None:
            raise InvalidDuration(_refusal(value))
        milliseconds = float(found[1]) * UNITS[found[2]]
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        milliseconds = value
    else:
        raise InvalidDuration(_refusal(value))
    if not 0 <= milliseconds < _LONG:  # neither NaN nor infinite
        raise InvalidDuration(_refusal(value))
    return round(milliseconds)


def _refusal(value: Any) -> str:
    if isinstance(value, str):
        shown = f'"{value[:60]}"'
    elif isinstance(value, (int, float)):
        shown = f"{value!r:.60}" if abs(value) < _LONG else "of more than 60 digits"
    else:
        shown = f"of type {type(value).__name__}"
    return f"Invalid duration {shown}: expected a number of milliseconds or a duration string like {EXAMPLE}"
