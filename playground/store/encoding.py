"""Values as JSON text, the only form in which a database holds what tenants made.

A journal's event read from the JSON that `events_json` gives: its data stays text, since as objects it could take
twenty times as much memory.

What a caller gives (params, payloads) in the form in which it is stored; JSON text (`msgspec.Raw`) is not made into
objects for it.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from playground.workflows import values
from playground.workflows.errors import NotSerialisable, TooLarge
from playground.workflows.events import StepKey
from playground.workflows.values import RAW_JSON_BYTES


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder = msgspec.json.Decoder()

decode = _decoder.decode


def encode(value: Any) -> str:
    """The JSON text of an encoded value or of an event's data.

    Raises:
        NotSerialisable: it holds what JSON can't (a lone surrogate, an object), which `workflows/values.py` should have
        refused.
    """
    try:
        return _encoder.encode(value).decode()
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise NotSerialisable(f"a value cannot be stored as JSON: {error}") from None


def encode_or_none(value: Any) -> str | None:
    """The same, with NULL for None."""
    return None if value is None else encode(value)


def decode_or_none(text: str | bytes | None) -> Any:
    """The value of a text, None of NULL."""
    return None if text is None else decode(text)


def raw_if_large(text: str | bytes | None) -> Any:
    """A stored value that is only passed on: itself when it is small, else `msgspec.Raw`, which is encoded as it is."""
    if text is None:
        return None
    return decode(text) if len(text) < RAW_JSON_BYTES else msgspec.Raw(text)


def raw_text_if_large(text: msgspec.Raw) -> Any:
    """The same of a value that was found as text inside another; what it is part of stays in memory with it."""
    return decode(text) if len(memoryview(text)) < RAW_JSON_BYTES else text


def as_objects(value: Any) -> Any:
    """What `kept` or `compact` gave, as the objects that it stands for."""
    return decode(value) if isinstance(value, msgspec.Raw) else value


def encoded_if_large(value: Any) -> Any:
    """A value that is only passed on, in the form that `kept` gives it."""
    text = _encoder.encode(value)
    return value if len(text) < RAW_JSON_BYTES else msgspec.Raw(text)


def encode_step(step: StepKey) -> str:
    """The step of an event, as it stands in the event's JSON."""
    return encode(step.as_json())


class _Step(msgspec.Struct):
    kind: str
    name: str
    count: int
    parent: "_Step | None" = None

    def key(self) -> StepKey:
        return StepKey(self.kind, self.name, self.count, None if self.parent is None else self.parent.key())


class StoredEvent(msgspec.Struct):
    """See `Event`."""

    seq: int
    at: int
    type: str
    execution: int | None
    data: msgspec.Raw
    step: _Step | None = None

    @property
    def step_key(self) -> StepKey | None:
        """The step that it is about."""
        return None if self.step is None else self.step.key()


read_event = msgspec.json.Decoder(StoredEvent).decode


ASIDE_BYTES = 64 * 1024  # more than this is looked through on another thread


class Stored(NamedTuple):
    """A value that is in its stored form already."""

    tree: Any


_LONG_NUMBER = re.compile(rb"[0-9]{16}")


async def stored(value: Any, what: str, most: int) -> Any:
    """The stored form of a value, or of strict JSON that was read in full before.

    Raises:
        NotSerialisable: something in it can't be stored.
        TooLarge: the `what` has more than `most` bytes.
    """
    if isinstance(value, Stored):
        return value.tree
    try:
        return await _stored(value, what, most)
    except NotSerialisable as refused:
        raise NotSerialisable(f"The {what} {'are' if what.endswith('s') else 'is'} {refused.message}") from None
    except TooLarge as refused:
        refused.name_setting("value_bytes")
        raise


async def _stored(value: Any, what: str, most: int) -> Any:
    if not isinstance(value, msgspec.Raw):
        return encoded_if_large(values.encode_bounded(value, what, most))
    raw = bytes(value)
    return await asyncio.to_thread(_of_text, raw, what, most) if len(raw) > ASIDE_BYTES else _of_text(raw, what, most)


def _of_text(raw: bytes, what: str, most: int) -> Any:
    text = msgspec.json.format(raw, indent=-1)
    if len(text) > most:
        raise values.too_large(what, len(text), most)
    if b'"$' not in text and not _LONG_NUMBER.search(text):
        return raw_if_large(text)  # nothing in it has a stored form of its own
    return encoded_if_large(values.encode_bounded(msgspec.json.decode(text), what, most))
