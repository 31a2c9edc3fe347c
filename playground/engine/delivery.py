"""Events that are sent to an instance, and the waits that take them, as deciders (see operations.py).

An event goes to the oldest open wait of its type that its payload fits, or is kept in the inbox until one begins. Where
waits of its type are open and it fits none of them, it is refused, and nothing is stored: whoever sends it can put it
right. One that was kept before there was a wait with a schema, and does not fit it, stays kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from playground.store.encoding import as_objects
from playground.store.protocol import Decider, DeciderWithNeeds, Needs, Snapshot
from playground.store.rows import STEP_OPEN, InboxRow, InstanceRow, StepRow
from playground.workflows import events as ev
from playground.workflows.errors import InstanceInFiniteState, PayloadMismatch, WaitOver
from playground.workflows.events import NewEvent, StepKey
from playground.workflows.names import split_event_types
from playground.workflows.payload_schema import PayloadCheck

HELD = frozenset({ev.PAUSED, ev.WAITING_FOR_PAUSE})


def may_go_on(step: StepKey, is_pausing: bool) -> bool:
    """Whether a sleep, a wait or a wait before a retry may end while a worker lives. A pause holds them, except those
    that an attempt's callback calls: a pause lets attempts that run come to their end.
    """
    return not is_pausing or step.parent is not None


def is_held(row: InstanceRow, step: StepKey) -> bool:
    """Whether a pause holds a sleep, a wait or a wait before a retry."""
    return row.status == ev.PAUSED or not may_go_on(step, row.status == ev.WAITING_FOR_PAUSE)


class Fit:
    """What an event's payload is to the waits of its type. It is decoded, and checked, only where one has a schema."""

    def __init__(self, type: str, payload: Any) -> None:
        self.type, self._payload, self._is_decoded = type, payload, False
        self._check = PayloadCheck()

    def mismatch(self, wait: StepRow) -> str | None:
        """Why the payload does not fit a wait; None: it fits."""
        return self.mismatch_of(wait.config)

    def mismatch_of(self, config: Mapping[str, Any] | None) -> str | None:
        """Why it does not fit a wait with this config; None: it fits."""
        schema = (config or {}).get("schema")
        if schema is None:
            return None
        if not self._is_decoded:
            self._payload, self._is_decoded = as_objects(self._payload), True
        return self._check.mismatch(schema, self._payload)


def free_wait(snapshot: Snapshot, fit: Fit, at: int) -> StepRow | None:
    """The wait that an event goes to now: the oldest of its type that it fits, unless a pause holds it."""
    wait = next((wait for wait in waits_of(snapshot, fit.type, at) if fit.mismatch(wait) is None), None)
    return None if wait is None or is_held(snapshot.row, wait.key) else wait


def waits_of(snapshot: Snapshot, type: str, at: int) -> list[StepRow]:
    """The waits of this event type that can still take an event at this time, oldest first."""
    waits = [
        step
        for step in snapshot.open
        if step.key.kind == ev.WAIT and step.status == STEP_OPEN and takes(step, type) and (step.until or 0) > at
    ]
    return sorted(waits, key=lambda step: step.started_seq)


def takes(wait: StepRow, type: str) -> bool:
    """Whether an event of this type ends a wait, if its payload fits."""
    return wait.event_type is not None and type in split_event_types(wait.event_type)


def _checkfits(snapshot: Snapshot, fit: Fit) -> None:
    """Raise PayloadMismatch where something waits for such an event, and the payload fits nothing of that."""
    wrong = None
    for wait in waits_of(snapshot, fit.type, 0):
        reason = fit.mismatch(wait)
        if reason is None:
            return
        wrong = wrong or (wait.key, reason)
    if wrong is not None:
        raise payload_mismatch(*wrong)


def payload_mismatch(step: StepKey, reason: str) -> PayloadMismatch:
    """The error for a payload that a wait does not take."""
    return PayloadMismatch(
        f'The payload does not fit what "{step.label}" asks for: {reason}. Nothing was sent; the wait goes on.',
        step=step.as_json(),
        path=reason.partition(" ")[0],
        reason=reason,
    )


def clock_stamp(row: InstanceRow, at: int) -> dict[str, int]:
    """The approximate time on the workflow's clock for what is decided while a worker lives: it runs on from the last
    time that was committed.
    """
    if not row.in_execution or row.clock is None or row.clock_at is None:
        return {}
    return {"clock_us": row.clock + max(0, at - row.clock_at) * 1_000}


def wait_completed(step: StepKey, event: InboxRow, details: Mapping[str, Any] | None = None) -> NewEvent:
    """An event is delivered to a wait; `details` are added to the event of its end."""
    shown = {"type": event.type, "payload": event.payload, "timestamp": event.at}
    return NewEvent(ev.WAIT_COMPLETED, {"event": shown, "received": event.seq, **(details or {})}, step)


def send_event(type: str, payload: Any, at: int, by: Mapping[str, Any] | None = None) -> Decider:
    """Deliver an event to the oldest wait of its type that its payload fits, or keep it where nothing waits for it.
    `by`: who sends it.

    Raises InstanceInFiniteState, PayloadMismatch.
    """
    sender = {} if by is None else {"by": by}

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        if row.status in ev.FINAL_STATUSES:
            raise InstanceInFiniteState(f'Instance "{row.id}" has ended ({row.status}); it takes no more events.')
        fit = Fit(type, payload)
        _checkfits(snapshot, fit)
        events = [NewEvent(ev.EVENT_RECEIVED, {"type": type, "payload": payload, **sender})]
        wait = free_wait(snapshot, fit, at)
        if wait is not None:
            received = InboxRow(row.last_seq + 1, at, type, payload)
            events.append(wait_completed(wait.key, received, {**clock_stamp(row, at), **sender}))
        return events

    return decide


def answer_wait(
    step: StepKey, started_seq: int, type: str, payload: Any, at: int, by: Mapping[str, Any] | None = None
) -> Decider:
    """Deliver an event to this wait and no other: the one that began at `started_seq`, if it is still open.

    Raises WaitOver, PayloadMismatch.
    """
    sender = {} if by is None else {"by": by}

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        found = next((it for it in waits_of(snapshot, type, at) if it.key == step), None)
        if found is None or found.started_seq != started_seq or row.status in ev.FINAL_STATUSES:
            raise WaitOver(f'"{step.label}" does not wait for this answer any more.')
        if is_held(row, step):
            raise WaitOver("The run is paused, so that nothing answers it now. Try again once it goes on.", paused=True)
        reason = Fit(type, payload).mismatch(found)
        if reason is not None:
            raise payload_mismatch(step, reason)
        received = InboxRow(row.last_seq + 1, at, type, payload)
        return [
            NewEvent(ev.EVENT_RECEIVED, {"type": type, "payload": payload, **sender}),
            wait_completed(step, received, {**clock_stamp(row, at), **sender}),
        ]

    return decide


def start_wait(step: StepKey, started: Mapping[str, Any], *, ignore_inbox: bool = False) -> Decider:
    """Start a wait, and deliver the oldest event in the inbox of its types that fits it, unless `ignore_inbox`. One
    that does not fit stays for another wait.

    `started` is the data of its event: event_type, until, line, config.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        if snapshot.step(step) is not None:
            return []
        events = [NewEvent(ev.WAIT_STARTED, started, step)]
        types = split_event_types(started["event_type"])
        config = started.get("config")
        kept = next((it for it in snapshot.inbox if it.type in types and fits(it, config)), None)
        held = snapshot.row.status in HELD and (
            is_held(snapshot.row, step) or (kept is not None and bool(waits_of(snapshot, kept.type, 0)))
        )  # what a pause keeps goes to the oldest wait once it is over
        if kept is not None and not ignore_inbox and not held:
            events.append(wait_completed(step, kept))
        return events

    return DeciderWithNeeds(decide, Needs(steps=(step,)))


def fits(event: InboxRow, config: Mapping[str, Any] | None) -> bool:
    """Whether an event that is kept fits a wait with this config."""
    return Fit(event.type, event.payload).mismatch_of(config) is None
