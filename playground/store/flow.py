"""Admission: when an instance that is held (workflows/flow.py) may wait for a worker.

Nobody scans what is held. A commit after which something may be admitted notes it in the table `flow_look`: an instance
that is held, at the time before which it can't start; one that ends, with the key whose place it frees. A claim takes
the notes that are due and admits what the limits allow, in its own transaction and before it looks for instances, so
that no two nodes give the same place away, and nothing is forgotten at a restart. Without notes a claim does nothing
more than before.

Whoever notes something holds the instance's row, and the instance is part of the note's key, so that no two
transactions write the same note.

`begun` of a key are counted from the instances themselves: unfinished and not held. Starts of a rate are rows of
`flow_start`, which go when their span is over.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from playground.store.rows import InstanceRow, NewInstance
from playground.workflows import events as ev
from playground.workflows.flow import DEBOUNCED, SINGLETON, limits_of

LOOKS_MOST = 100  # notes of one claim
ADMITTED_MOST = 100  # instances of one key in one claim
COUNTED_MOST = 10_000  # ahead of one that is held, for people
AHEAD_MOST = 1_000  # ahead of one that waits for a worker, which lists ask for each
SECOND_MS = 1_000

Scope = tuple[str, str, str]  # tenant, workflow, key


class Look(NamedTuple):
    """A note that something may be admitted at a time: of a key, or without one this instance."""

    at: int
    instance: int
    tenant: str
    workflow: str
    flow_key: str | None

    @property
    def scope(self) -> Scope | None:
        """The key's place; None: the note is about the instance alone."""
        return None if self.flow_key is None else (self.tenant, self.workflow, self.flow_key)


class Place(NamedTuple):
    """Where a held instance stands, for people: of its key, how many have begun, how many held ones go before it, and
    when the limit of starts lets the next one start (None: now).
    """

    begun: int
    ahead: int
    next_start_at: int | None


def ahead_values(row: InstanceRow, at: int) -> tuple[Any, ...]:
    """The values of ahead_in_queue; one that woke goes before all that are new, and after those that woke before it."""
    woken_by = at if row.fresh or row.due_at is None else min(at, row.due_at)
    return row.queue, row.tenant, row.workflow, woken_by, row.priority, row.key, AHEAD_MOST, row.fresh


def is_waiting(row: InstanceRow) -> bool:
    """Whether an instance is held and may be admitted: one that is paused may not."""
    return row.held_until is not None and row.status == ev.QUEUED


def looks(before: InstanceRow | None, after: InstanceRow | None, at: int = 0) -> list[Look]:
    """The notes of a change at a time; None: it did not exist before, or does not after."""
    found: list[Look] = []
    row = before if after is None else after
    if row is None or (row.flow_key is None and row.held_until is None):
        return found
    if after is not None and is_waiting(after):
        assert after.held_until is not None
        if before is None or not is_waiting(before) or before.held_until != after.held_until:
            found.append(Look(after.held_until, after.key, after.tenant, after.workflow, after.flow_key))
    if before is not None and before.flow_key is not None and _has_place(before) and not _has_place(after):
        found.append(Look(at, before.key, before.tenant, before.workflow, before.flow_key))
    return found


def _has_place(row: InstanceRow | None) -> bool:
    """Whether an instance counts as begun and not ended."""
    return row is not None and row.held_until is None and row.status not in ev.FINAL_STATUSES


class Admission(NamedTuple):
    """What may be admitted of a key, in order, and when to look again without any end: for a place in a rate, or at
    once because there was more than one claim takes (None: no need).
    """

    keys: Sequence[int]
    again_at: int | None


def admit(candidates: Sequence[InstanceRow], begun: int, starts: Sequence[int], now: int) -> Admission:
    """Decide what is admitted.

    Args:
        candidates: held instances of a key whose time has come, in the order of their turn, up to ADMITTED_MOST.
        begun: how many of the key have begun and not ended.
        starts: times of the starts of the key that are counted, oldest first.
        now: epoch milliseconds, as all times.
    """
    taken: list[int] = []
    recent = list(starts)
    for row in candidates:
        limits = limits_of(row.limits)
        if limits.concurrency_per_key is not None and begun + len(taken) >= limits.concurrency_per_key:
            return Admission(taken, None)
        if limits.rate is not None:
            span = limits.rate.seconds * SECOND_MS
            inside = [start for start in recent if start > now - span]
            if len(inside) >= limits.rate.count:
                return Admission(taken, inside[-limits.rate.count] + span)
            recent.append(now)
        taken.append(row.key)
    return Admission(taken, now if len(candidates) == ADMITTED_MOST else None)


def next_start_at(row: InstanceRow, starts: Sequence[int], now: int) -> int | None:
    """When the rate of an instance's key lets one start; None: now."""
    rate = limits_of(row.limits).rate
    if rate is None:
        return None
    inside = [start for start in starts if start > now - rate.seconds * SECOND_MS]
    return None if len(inside) < rate.count else inside[-rate.count] + rate.seconds * SECOND_MS


def counted_since(row: InstanceRow, now: int) -> int | None:
    """The time after which starts count for an instance; None: it has no rate."""
    rate = limits_of(row.limits).rate
    return None if rate is None else now - rate.seconds * SECOND_MS


def scope_of_unique(new: NewInstance) -> tuple[Scope, str] | None:
    """The key of which there may be only one, with the code of the refusal of another; None: any number."""
    flow = new.flow
    if flow is None or flow.key is None or not (flow.singleton or flow.debounce):
        return None
    return (new.tenant, new.workflow, flow.key), SINGLETON if flow.singleton else DEBOUNCED
