"""What a caller gives (params, payloads) in the form in which it is stored; JSON text (`msgspec.Raw`) is not made into
objects for it.
"""

import asyncio
import re
from typing import Any, NamedTuple

import msgspec

from playground.store.encoding import compact, kept
from playground.workflows import values
from playground.workflows.errors import NotSerialisable, TooLarge

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
        refused.met("value_bytes")
        raise


async def _stored(value: Any, what: str, most: int) -> Any:
    if not isinstance(value, msgspec.Raw):
        return compact(values.encode_bounded(value, what, most))
    raw = bytes(value)
    return await asyncio.to_thread(_of_text, raw, what, most) if len(raw) > ASIDE_BYTES else _of_text(raw, what, most)


def _of_text(raw: bytes, what: str, most: int) -> Any:
    text = msgspec.json.format(raw, indent=-1)
    if len(text) > most:
        raise values.too_large(what, len(text), most)
    if b'"$' not in text and not _LONG_NUMBER.search(text):
        return kept(text)  # nothing in it has a stored form of its own
    return compact(values.encode_bounded(msgspec.json.decode(text), what, most))
