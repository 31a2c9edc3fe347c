"""How long a finished instance is kept where it has a retention of its own: one for success, one for any other end.

    {"success_retention": "1 hour", "error_retention": "30 days"}

Either may be left out; then the server's `retention_days` holds. It is never longer than that, unless the server keeps
instances for ever. `successRetention` and `errorRetention`, Cloudflare's names, are understood too.

It is part of the instance's limits from its creation on, so that whatever ends it, on any node, knows when it is to be
removed; the row keeps that point in time in `wait_until` (store/projection_rules.py).
"""

from collections.abc import Mapping
from typing import Any

from playground.store.projection_rules import RETENTION_OF_ERROR, RETENTION_OF_SUCCESS
from playground.workflows import durations
from playground.workflows.errors import InvalidRetention

LEAST_MS = 1_000
LONGEST_MS = 1_000 * 365 * durations.DAY  # a thousand years, which every database can add to a point in time
SUCCESS, ERROR = "success_retention", "error_retention"
_NAMES: Mapping[str, str] = {
    SUCCESS: RETENTION_OF_SUCCESS,
    ERROR: RETENTION_OF_ERROR,
    "successRetention": RETENTION_OF_SUCCESS,
    "errorRetention": RETENTION_OF_ERROR,
}


def retention_limits(retention: Any, retention_days: int) -> dict[str, int]:
    """A retention as limits of an instance, in milliseconds.

    Args:
        retention_days: of the settings; 0 is for ever.

    Raises:
        InvalidRetention: it has another form, or is too short or too long.
    """
    if retention is None:
        return {}
    if not isinstance(retention, Mapping):
        raise InvalidRetention(f"A retention is an object with {SUCCESS} and {ERROR}, both optional.")
    limits: dict[str, int] = {}
    for name, value in retention.items():
        if name not in _NAMES:
            raise InvalidRetention(f"A retention has {SUCCESS} and {ERROR}, not {str(name)[:80]!r}.")
        if value is None:
            continue
        try:
            lasts = durations.parse(value)
        except durations.InvalidDuration as invalid:
            raise InvalidRetention(f"{name}: {invalid}") from None
        most = retention_days * durations.DAY
        if lasts < LEAST_MS:
            raise InvalidRetention(f"{name} takes at least 1 second.")
        if most and lasts > most:
            raise InvalidRetention(
                f"{name} takes at most {retention_days} days, which is how long this server keeps finished runs.",
                setting="retention_days",
            )
        limits[_NAMES[name]] = min(lasts, LONGEST_MS)
    return limits


def deployed_retention(retention: Any, retention_days: int) -> dict[str, int]:
    """A retention as a version keeps it: in milliseconds, under our names. Raises as `retention_limits`."""
    limits = retention_limits(retention, retention_days)
    return {name: limits[_NAMES[name]] for name in (SUCCESS, ERROR) if _NAMES[name] in limits}


def limits_of_deployed(retention: Mapping[str, int]) -> dict[str, int]:
    """The retention of a version as limits of its instances."""
    return {_NAMES[name]: lasts for name, lasts in retention.items()}
