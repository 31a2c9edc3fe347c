"""What a queued instance waits for, in words: the queue's explanation, of the API and of the page.

An instance that is held (workflows/flow.py) waits for a time or for the limits of its key; any other for a worker.
"""

from typing import Any

from playground.store.flow import AHEAD_MOST
from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.flow import KEY_OF_RUN, FlowLimits, limits_of

DELAY, CONCURRENCY, RATE, WORKER = "delay", "concurrency", "rate", "worker"
KEY_SHOWN = 60  # characters of a key in a sentence


async def queue_json(store: Store, row: InstanceRow, at: int) -> dict[str, Any] | None:
    """What `queue` of an instance says at a time; None: it is not queued.

    `reason` is why it does not run yet; `ahead` how many go before it, where that is known; `until` the time before
    which it does not start, where there is one.
    """
    if row.status != ev.QUEUED or row.owner is not None:
        return None
    if row.held_until is None:
        return _waits_for_worker(row, await store.ahead(row, at=at))
    if row.held_until > at:
        return _said(row, DELAY, "Starts when its time has come.", until=row.held_until)
    if row.flow_key is None:
        return _said(row, WORKER, "Waits for a worker.")
    place, limits = await store.place(row, at=at), limits_of(row.limits)
    ahead = place.ahead + (place.begun if limits.concurrency_per_key is not None else 0)
    key = _shown_key(row) or ""
    of_key = f"for key {key if len(key) <= KEY_SHOWN else key[: KEY_SHOWN - 1] + '…'}"
    if limits.concurrency_per_key is not None and place.begun >= limits.concurrency_per_key:
        text = f"{ahead:,} ahead of it: concurrency {limits.concurrency_per_key:,} {of_key}."
        return _said(row, CONCURRENCY, text, ahead)
    if place.next_start_at is not None:
        return _said(
            row, RATE, f"{place.ahead:,} ahead of it: {_rate(limits)} {of_key}.", place.ahead, place.next_start_at
        )
    return _said(row, WORKER, "Waits for a worker.", place.ahead)


def _waits_for_worker(row: InstanceRow, ahead: int) -> dict[str, Any]:
    if not ahead:
        return _said(row, WORKER, "Waits for a worker.", 0)
    number = f"{ahead:,} or more" if ahead == AHEAD_MOST else f"{ahead:,}"
    runs = "run is" if ahead == 1 else "runs are"
    return _said(row, WORKER, f"Waits for a worker; {number} {runs} ahead of it.", ahead)


def _said(
    row: InstanceRow, reason: str, text: str, ahead: int | None = None, until: int | None = None
) -> dict[str, Any]:
    return {
        "reason": reason,
        "text": text,
        "key": _shown_key(row),
        "priority": row.priority,
        "ahead": ahead,
        "until": until,
    }


def _shown_key(row: InstanceRow) -> str | None:
    """The key as its code has named it."""
    if row.flow_key is None or row.tenant:
        return row.flow_key
    return row.flow_key.partition(KEY_OF_RUN)[2]


def _rate(limits: FlowLimits) -> str:
    assert limits.rate is not None
    starts, seconds = limits.rate.count, limits.rate.seconds
    return f"{starts:,} start{'s' if starts != 1 else ''} in {seconds:,} s"
