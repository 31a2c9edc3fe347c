"""Schedules: what is started again and again, by a cron expression. The store keeps them; the engine knows what the
expression means (engine/schedules.py).

`next_at` is the time of the next firing, `due_at` when to look: the same, or while a node is at it, when another may
take it up, since that node may have died. `revision` changes with whatever a person changes, so that a node that is at
an older one writes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from playground.store.encoding import decode_or_none, encode_or_none

COLUMNS = (
    "tenant", "name", "workflow", "cron", "timezone", "params", "metadata", "missed", "paused", "next_at", "due_at",
    "revision", "created_at", "last_at", "last_id", "last_error",
)  # fmt: skip


class Schedule(msgspec.Struct, frozen=True):
    """One schedule. `params` and `metadata` are encoded (`workflows/values.py`); times are epoch milliseconds.

    `last_at` and `last_id` are the time of the last firing and the instance that it started, `last_error` why the last
    one started none.
    """

    tenant: str
    name: str
    workflow: str
    cron: str
    timezone: str
    params: Any
    metadata: Any
    missed: str
    paused: bool
    next_at: int | None
    due_at: int | None
    revision: str
    created_at: int
    last_at: int | None = None
    last_id: str | None = None
    last_error: str | None = None


class ScheduleStore(Protocol):
    """Where schedules are kept. Calls that write are transactions, as those of `Store`."""

    async def put(self, schedule: Schedule, *, most: int) -> bool:
        """Add or replace a schedule; what was of the last firing stays. False: the tenant has `most` others."""

    async def get(self, tenant: str, name: str) -> Schedule | None:
        """A schedule, or None."""

    async def of_tenant(self, tenant: str) -> Sequence[Schedule]:
        """A tenant's schedules, by name."""

    async def delete(self, tenant: str, name: str) -> bool:
        """Delete a schedule; whether there was one."""

    async def take_due(self, *, at: int, until: int, limit: int, startable: Sequence[str]) -> Sequence[Schedule]:
        """Take schedules whose time has come, so that nobody else takes them before `until`.

        `startable` are the workflows that the caller can start, with all whose name begins with one of them and /.
        """

    async def fired(self, schedules: Sequence[Schedule]) -> int:
        """Write next, due and last of schedules; those that were changed or deleted meanwhile are left out.

        Returns how many were not.
        """

    async def next_due(self, startable: Sequence[str]) -> int | None:
        """The earliest `due_at` of what the caller can start, or None."""


def schedule_row(r: Sequence[Any]) -> Schedule:
    """From a row of COLUMNS."""
    values = dict(zip(COLUMNS, r, strict=True))
    read = {name: decode_or_none(values[name]) for name in ("params", "metadata")}
    return Schedule(**{**values, **read, "paused": bool(values["paused"])})


def schedule_values(schedule: Schedule) -> list[Any]:
    """For a row of COLUMNS."""
    written: Mapping[str, Any] = {
        "params": encode_or_none(schedule.params),
        "metadata": encode_or_none(schedule.metadata),
    }
    return [written[name] if name in written else getattr(schedule, name) for name in COLUMNS]


def fired_values(schedule: Schedule) -> tuple[Any, ...]:
    """For the statement that writes what a firing changes."""
    return (
        schedule.tenant, schedule.name, schedule.revision, schedule.next_at, schedule.due_at, schedule.last_at,
        schedule.last_id, schedule.last_error,
    )  # fmt: skip
