"""Reading journals for people: what a tenant stored stays JSON text, since as objects it could take twenty times as
much memory.

Of one instance, large values are kept up to `VALUES_BYTES`; those after them are left out, and `{"$left_out": bytes}`
stands in their place. Result and params are always kept. The journal itself has everything (`GET …/events`).
"""

from collections.abc import Container
from typing import Any

import msgspec

from playground.store.encoding import read_event
from playground.store.protocol import Store
from playground.workflows import events as ev
from playground.workflows.events import Event
from playground.workflows.values import RAW_JSON_BYTES

PAGE_OF_EVENTS = 1_000  # read from the store at a time
VALUES_BYTES = 4 * 1024 * 1024
LEFT_OUT = "$left_out"

_ALWAYS_KEPT = frozenset({ev.WORKFLOW_QUEUED, *ev.FINAL_TYPES})


_read_data = msgspec.json.Decoder(dict[str, Any]).decode
_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_steps = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class ValueBudget:
    """How much of one instance's large values may still be kept."""

    def __init__(self, most: int = VALUES_BYTES) -> None:
        self._left = most
        self.used = 0

    def decode_value(self, raw: msgspec.Raw) -> Any:
        """The value, small ones as objects, large ones as JSON text; or what stands for it when it is left out."""
        size = len(bytes(raw))
        if size < RAW_JSON_BYTES:
            return msgspec.json.decode(raw)
        if size > self._left:
            return left_out_marker(size)
        self._left -= size
        self.used += size
        return raw.copy()  # not a view into all that was read with it


def left_out_marker(size: int) -> dict[str, int]:
    """What stands for a value of `size` bytes that is not shown."""
    return {LEFT_OUT: size}


def decode_steps(steps: msgspec.Raw) -> list[dict[str, Any]]:
    """The steps of a view as objects, the large values among them as JSON text."""
    return [{name: _decode_field(name, raw) for name, raw in step.items()} for step in _read_steps(steps)]


def _decode_field(name: str, raw: msgspec.Raw) -> Any:
    if len(bytes(raw)) < RAW_JSON_BYTES:
        return msgspec.json.decode(raw)
    if name == "attempts":
        return decode_steps(raw)
    return (
        {inner: _decode_field(inner, part) for inner, part in _read_fields(raw).items()}
        if name == "rollback"
        else raw.copy()
    )


async def read_events(
    store: Store,
    key: int,
    *,
    after: int,
    budget: ValueBudget,
    only: Container[str] | None = None,
    most: int = PAGE_OF_EVENTS,
) -> tuple[list[Event], int]:
    """The next events after a seq, at most `most`, those of the types `only` where they are given, and the seq up to
    which was read.
    """
    rows = await store.events_json(key, after=after, limit=min(most, PAGE_OF_EVENTS))
    return [_decode_event(text, budget) for _, type, text in rows if only is None or type in only], rows[-1][
        0
    ] if rows else after


def _decode_event(text: bytes, budget: ValueBudget) -> Event:
    found = read_event(text)
    if len(text) < RAW_JSON_BYTES or found.type == ev.LOG:
        data = _read_data(found.data)
    elif found.type == ev.STREAM_APPENDED:  # a view counts the values
        data = {name: msgspec.json.decode(raw) for name, raw in _read_fields(found.data).items() if name != "values"}
    elif found.type in _ALWAYS_KEPT:
        data = {name: ValueBudget(len(text)).decode_value(raw) for name, raw in _read_fields(found.data).items()}
    else:
        data = {name: budget.decode_value(raw) for name, raw in _read_fields(found.data).items()}
    return Event(found.seq, found.at, found.type, found.execution, found.step_key, data)
