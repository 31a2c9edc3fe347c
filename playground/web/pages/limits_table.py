"""The limits as people read them: in groups by whom they bind, with amounts in the units that say most."""

from collections.abc import Iterable
from typing import Any

from playground.settings import Settings, public_rows

# What the name of a setting holds, and the group that it then stands in; the first that fits.
GROUPS = (
    ("Tenants", ("tenant",)),
    ("Bindings", ("call_", "calls_", "kv_", "effects_")),
    ("Your address", ("per_address", "per_minute", "per_hour", "per_day", "queue_length", "chaos_")),
    ("A request", ("head_", "body_")),
)
ELSE = "A run"
_UNITS = {
    "bytes": ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")),
    "seconds": ((3_600, "h"), (60, "min"), (1, "s")),
    "milliseconds": ((1_000, "s"), (1, "ms")),
}


def grouped(settings: Settings) -> list[tuple[str, list[dict[str, Any]]]]:
    """The public settings by group, a run's first; each with its `amount`."""
    groups: dict[str, list[dict[str, Any]]] = {
        ELSE: [],
        **{name: [] for name in ("Your address", "A request", "Tenants", "Bindings")},
    }
    for row in public_rows(settings):
        groups[_group(row["name"])].append(row | {"amount": amount(row["value"], row["unit"])})
    return [(name, rows) for name, rows in groups.items() if rows]


def amount(value: Any, unit: str) -> str:
    """A number with its unit, in the largest that keeps it whole."""
    for size, name in _units(unit):
        if value >= size and value % size == 0:
            return f"{value // size:,} {name}"
    number = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{number} {unit}".strip()


def _units(unit: str) -> Iterable[tuple[int, str]]:
    return _UNITS.get(unit, ())


def _group(name: str) -> str:
    return next((group for group, parts in GROUPS if any(part in name for part in parts)), ELSE)
