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
        NotSerialisable: it holds what JSON can't (a lone surrogate, an object), which `workflows/values.py` should have refused.
    """
    try:
        return _encoder.encode(value).decode()
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise NotSerialisable(f"a value cannot be stored as JSON: {error}") from None


def encode_or_none(value: Any) -> str | None:
    """The same, with NULL for None."""
    return None if value is None else encode(value)


def decode_or_none(text: str | bytes | None) -> Any:
    return None if text is None else decode(text)


def encode_step(step: StepKey) -> str:
    """The step of an event, as it stands in the event's JSON."""
    return encode({"kind": step.kind, "name": step.name, "count": step.count})
