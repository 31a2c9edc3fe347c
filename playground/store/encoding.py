"""Values as JSON text, the only form in which a database holds what tenants made."""

from collections.abc import Mapping
from typing import Any

import msgspec

from playground.workflows.errors import NotSerialisable
from playground.workflows.events import StepKey


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


# Characters from which a value that is only passed on stays text: as objects it could take twenty times as much memory.
LARGE = 128


def kept(text: str | bytes | None) -> Any:
    """A stored value that is only passed on: itself when it is small, else `msgspec.Raw`, which is encoded as it is."""
    if text is None:
        return None
    return decode(text) if len(text) < LARGE else msgspec.Raw(text)


def kept_raw(text: msgspec.Raw) -> Any:
    """The same of a value that was found as text inside another; what it is part of stays in memory with it."""
    return decode(text) if len(memoryview(text)) < LARGE else text


def plain(value: Any) -> Any:
    """What `kept` or `compact` gave, as the objects that it stands for."""
    return decode(value) if isinstance(value, msgspec.Raw) else value


def compact(value: Any) -> Any:
    """A value that is only passed on, in the form that `kept` gives it."""
    text = _encoder.encode(value)
    return value if len(text) < LARGE else msgspec.Raw(text)


def encode_step(step: StepKey) -> str:
    """The step of an event, as it stands in the event's JSON."""
    return encode(step.as_json())
