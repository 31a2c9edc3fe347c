"""JSON encoding of stored values: the database holds every tenant's value as JSON text.

A large value that the trusted side only passes on stays text (`msgspec.Raw`), in rows (`raw_if_large`), in events
(`StoredEvent.data`) and in inputs from callers (`encode_input`): decoded it could take twenty times as much memory.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from playground.workflows import values
from playground.workflows.errors import NotSerialisable, TooLarge
from playground.workflows.events import StepKey
from playground.workflows.step_bytes import stored_size
from playground.workflows.values import RAW_JSON_BYTES


def _mapping_as_dict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


_encoder = msgspec.json.Encoder(enc_hook=_mapping_as_dict)
_decoder = msgspec.json.Decoder()

decode = _decoder.decode


def encode(value: Any) -> str:
    """The JSON text of an encoded value or of an event's data.

    Raises:
        NotSerialisable: it holds what JSON cannot (a lone surrogate, an object); `workflows/values.py` should have
            refused it.
    """
    try:
        return _encoder.encode(value).decode()
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise NotSerialisable(f"a value cannot be stored as JSON: {error}") from None


def encode_or_none(value: Any) -> str | None:
    """As `encode`, with NULL for None."""
    return None if value is None else encode(value)


def decode_or_none(text: str | bytes | None) -> Any:
    """The value of JSON text; None for NULL."""
    return None if text is None else decode(text)


def raw_if_large(text: str | bytes | None) -> Any:
    """A stored value that is only passed on: decoded when small, else `msgspec.Raw`, which is encoded unchanged."""
    if text is None:
        return None
    return decode(text) if len(text) < RAW_JSON_BYTES else msgspec.Raw(text)


def raw_text_if_large(text: msgspec.Raw) -> Any:
    """As `raw_if_large`, for text inside a larger text, which then stays in memory with it."""
    return decode(text) if len(memoryview(text)) < RAW_JSON_BYTES else text


def as_objects(value: Any) -> Any:
    """The decoded form of what the `..._if_large` functions return."""
    return decode(value) if isinstance(value, msgspec.Raw) else value


def _encode_bounded(value: Any, what: str, bytes_max: int) -> Any:
    """The encoded form of a value that is only passed on: a tree when small, else its JSON text as `msgspec.Raw`."""
    tree = values.encode(value)
    text = _encoder.encode(tree)
    if len(text) > bytes_max:
        raise values.too_large(what, len(text), bytes_max)
    return tree if len(text) < RAW_JSON_BYTES else msgspec.Raw(text)


def encode_step(step: StepKey) -> str:
    """The JSON text of an event's step."""
    return encode(step.as_json())


class _Step(msgspec.Struct):
    kind: str
    name: str
    count: int
    parent: "_Step | None" = None

    def key(self) -> StepKey:
        return StepKey(self.kind, self.name, self.count, None if self.parent is None else self.parent.key())


class StoredEvent(msgspec.Struct):
    """An `Event` whose data stays JSON text."""

    seq: int
    at: int
    type: str
    execution: int | None
    data: msgspec.Raw
    step: _Step | None = None

    @property
    def step_key(self) -> StepKey | None:
        """The event's step."""
        return None if self.step is None else self.step.key()


read_event = msgspec.json.Decoder(StoredEvent).decode


THREAD_BYTES = 64 * 1024  # longer text is checked on another thread, off the event loop


class Encoded(NamedTuple):
    """A value that is already in its stored form."""

    value: Any


_LONG_INTEGER = re.compile(rb"[0-9]{16}")


async def encode_input(value: Any, what: str, bytes_max: int) -> Any:
    """The stored form of a caller's input (params, payload): a value, or strict JSON that was validated before.

    Args:
        what: how errors name the input.

    Raises:
        NotSerialisable: it cannot be stored.
        TooLarge: it has more than `bytes_max` bytes.
    """
    if isinstance(value, Encoded):
        return value.value
    try:
        if not isinstance(value, msgspec.Raw):
            return _encode_bounded(value, what, bytes_max)
        raw = bytes(value)
        if len(raw) > THREAD_BYTES:
            return await asyncio.to_thread(_encode_json_text, raw, what, bytes_max)
        return _encode_json_text(raw, what, bytes_max)
    except NotSerialisable as refused:
        raise NotSerialisable(f"The {what} {'are' if what.endswith('s') else 'is'} {refused.message}") from None
    except TooLarge as refused:
        refused.name_setting("value_bytes")
        raise


def encode_shown(shown: Any, what: str, bytes_max: int) -> Any:
    """The stored form of a value as somebody has edited it in the form in which the API shows it, with tags.

    Raises NotSerialisable, TooLarge.
    """
    if stored_size(shown) is not None:
        raise NotSerialisable(
            f"not serialisable: `{what}` stands for bytes that a step has returned and only its own run has"
        )
    try:
        value = values.decode(shown)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NotSerialisable(
            f"not serialisable: `{what}` has a tag with a value that it can't have: {error}"
        ) from None
    return values.encode_bounded(value, what, bytes_max)


def _encode_json_text(raw: bytes, what: str, bytes_max: int) -> Any:
    text = msgspec.json.format(raw, indent=-1)
    if len(text) > bytes_max:
        raise values.too_large(what, len(text), bytes_max)
    if b'"$' not in text and not _LONG_INTEGER.search(text):
        return raw_if_large(text)  # no tagged values and no long integers, which are stored in another form
    return _encode_bounded(msgspec.json.decode(text), what, bytes_max)
