"""What is checked of a deployment before its code, and the limits that its instances have."""

from collections.abc import Mapping
from typing import Any

from playground.engine.code.sources import LIMITS
from playground.settings import Settings
from playground.store.tables import NewVersion
from playground.workflows import names
from playground.workflows.errors import InvalidLimit, InvalidName
from playground.workflows.flow import CONCURRENCY, RATE, checked_limits

LIMITS_PER_KEY = (CONCURRENCY, RATE)


def check_deployment(settings: Settings, tenant: str, new: NewVersion) -> None:
    """Check what there is to check before the code.

    Raises:
        InvalidName: the name of the tenant, the workflow or the class can't be used.
        InvalidLimit: a limit is none, or looser than the server's.
        InvalidFlow: a limit per key makes no sense.
    """
    names.check_name(tenant, "tenant")
    names.check_name(new.workflow, "workflow")
    check_class_name(new.class_name)
    checked_limits(new.limits)
    for name, value in new.limits.items():
        if name in LIMITS_PER_KEY:
            continue
        if name not in LIMITS:
            there = ", ".join((*LIMITS, *LIMITS_PER_KEY))
            raise InvalidLimit(f"There is no limit {name[:80]!r} of a workflow; there are {there}.")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidLimit(f"The limit {name} takes a whole number.")
        if not 1 <= value <= _most(settings, name):
            raise InvalidLimit(
                f"The limit {name} takes 1 to {_most(settings, name):,} here, not {value:,}: a workflow may have "
                "tighter limits than the server, no looser ones.",
                setting=_setting_of_limit(name),
            )


def limits_of_code(settings: Settings, own: Mapping[str, Any]) -> dict[str, int]:
    """The limits of tenants' code with these of its own, which the server's may have become tighter than."""
    tighter = {name: min(value, _most(settings, name)) for name, value in own.items() if name in LIMITS}
    return {"attempt_wall_seconds": _most(settings, "attempt_wall_seconds"), **tighter}


def check_class_name(name: str) -> None:
    """Raises InvalidName for what can be the name of no class."""
    if not name.isidentifier() or len(name) > names.NAME_LENGTH:
        raise InvalidName(
            f"The class name {name[:80]!r} can't be used: it takes a Python name of up to {names.NAME_LENGTH} "
            "characters."
        )


def _most(settings: Settings, limit: str) -> int:
    """The server's own number for a limit of tenants' code."""
    found: int = getattr(settings, _setting_of_limit(limit))
    return found


def _setting_of_limit(limit: str) -> str:
    """The setting that a limit of a workflow may not exceed; code that a tenant deploys has its own for one of them."""
    return "tenant_attempt_wall_seconds" if limit == "attempt_wall_seconds" else limit
