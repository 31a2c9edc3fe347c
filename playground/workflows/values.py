"""How params, payloads, results and outputs are stored: as JSON, with a tagged object for a type that JSON lacks.

datetime  {"$datetime": "2026-01-31T10:00:00+00:00"}     bytes  {"$bytes": "aGk="}
one with a ZoneInfo  {"$datetime": "2026-03-28T09:00:00+01:00[Europe/Berlin]"} (RFC 9557)
set       {"$set": [1, 2]}                               int past 2^53  {"$int": "9007199254740993"}
a dict whose only key begins with "$"  {"$dict": {...}}

`json_depth` measures the nesting of JSON text without parsing it, since text that is deep enough overflows a parser and
whatever walks its result.
"""

import base64
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from playground.workflows.errors import NotSerialisable, TooLarge

CHUNK_BYTES = 16 * 1024  # scanned at a time: a megabyte of short strings, split at once, is 100,000 objects

_LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def json_depth(data: bytes, chunk: int = CHUNK_BYTES, most: int | None = None) -> int:
    """Levels of arrays and objects in JSON text, scanned `chunk` bytes at a time; the scan stops past `most` levels.

    Text that is not JSON gives a number too.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    deepest = level = 0
    outside = True  # of a string
    for begin in range(0, len(data), chunk):
        parts = data[begin : begin + chunk].split(b'"')
        ups_and_downs = memoryview(b"".join(parts[0 if outside else 1 :: 2]).translate(_LEVELS, _NOT_BRACKETS)).cast(
            "b"
        )
        deepest = max(deepest, max(itertools.accumulate(ups_and_downs, initial=level)))
        if most is not None and deepest > most:
            break
        level += sum(ups_and_downs)
        outside ^= len(parts) % 2 == 0
    return deepest


def deeper_than(data: bytes, most: int) -> bool:
    """Whether JSON text is nested more than `most` levels deep."""
    return data.count(b"[") + data.count(b"{") > most and json_depth(data, most=most) > most


# One encoder for all; json.dumps makes one per call.
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
VALUE_BYTES = 1024 * 1024  # largest encoded value, unless a setting says otherwise
MAX_DEPTH = 100  # levels of lists and dicts
# JSON of so many bytes that is only passed on stays text: as objects it could take twenty times as much memory.
RAW_JSON_BYTES = 128
SAFE_INT = 2**53 - 1  # past this a JavaScript number is not exact
INT_DIGITS = 4_300  # CPython converts no more by default

# What to store instead of a value that can't be stored, by the name of its type.
_TEXT, _LIST, _ISO_FORMAT = "Store str(…) of it", "Store list(…) of it", "Store its isoformat()"
_CURES = {
    **dict.fromkeys(("Decimal", "UUID", "Fraction", "complex", "PosixPath", "PurePosixPath"), _TEXT),
    **dict.fromkeys(
        ("range", "generator", "map", "filter", "zip", "enumerate", "deque", "dict_keys", "dict_values", "dict_items"),
        _LIST,
    ),
    **dict.fromkeys(("date", "time"), _ISO_FORMAT),
    "timedelta": "Store its total_seconds()",
    "float": "Store None or a text instead",
    "coroutine": "Await it, and store its result",
    **dict.fromkeys(("ndarray", "Series"), "Store its tolist()"),
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), "Store its item()"),
    **dict.fromkeys(("float16", "float32", "bool"), "Store its item()"),  # of numpy: Python's own are stored
    "DataFrame": 'Store its to_dict(orient="list")',
    **dict.fromkeys(("function", "method", "builtin_function_or_method"), "Call it, and store its result"),
}

_TOO_LARGE = 10**INT_DIGITS
_TOO_LONG = f"int of more than {INT_DIGITS:,} digits"
_ZONE = re.compile(r"[A-Za-z0-9_+./-]{1,100}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def encode(value: Any) -> Any:
    """The JSON-able form of a value.

    Raises:
        NotSerialisable: a part of it can't be stored; the message names its path and type, as in `$.items[3]: socket`,
            and `details["cure"]` says what to store instead, where that is known.
    """
    return _encode(value, None, (), False)


def decode(tree: Any) -> Any:
    """The value of an encoded form. Tuples come back as lists."""
    if isinstance(tree, dict):
        if len(tree) == 1:
            ((key, inner),) = tree.items()
            if key.startswith("$") and key in _DECODERS:
                return _DECODERS[key](inner)
        return {key: decode(inner) for key, inner in tree.items()}
    if isinstance(tree, list):
        return [decode(inner) for inner in tree]
    return tree


def dumps(tree: Any) -> str:
    """The JSON text of an encoded form, compact."""
    return _dumps(tree)


def encode_with_text(value: Any, what: str, most: int = VALUE_BYTES) -> tuple[Any, str]:
    """Like `encode_bounded`, with the JSON text of the encoded form."""
    tree = encode(value)
    text = dumps(tree)
    size = len(text) if text.isascii() else len(text.encode())
    if size > most:
        raise too_large(what, size, most)
    return tree, text


def encode_bounded(value: Any, what: str, most: int = VALUE_BYTES) -> Any:
    """Like `encode`, for a `what` of at most `most` bytes.

    Raises:
        NotSerialisable: see `encode`.
        TooLarge: the encoded value has more bytes.
    """
    tree = encode(value)
    check_size(tree, what, most)
    return tree


def check_size(tree: Any, what: str, most: int) -> int:
    """The size of an encoded form in bytes. Raises TooLarge when it is over `most`."""
    if tree is None or tree is True or tree is False:
        return 5
    text = dumps(tree)
    size = len(text) if text.isascii() else len(text.encode())
    if size > most:
        raise too_large(what, size, most)
    return size


def too_large(what: str, size: int, most: int) -> TooLarge:
    """The error for a `what` of `size` bytes, where at most `most` are allowed."""
    return TooLarge(
        f"The {what} is {size:,} bytes when stored; the limit is {most:,}. Keep large data elsewhere and store its "
        "address."
    )


# The way to a value from the outermost one: the way to what it is in, and its key, its index, or (its place,) in a
# set. It is made text for an error only, since that takes longer than to encode a small value.
_Path = tuple[Any, str | int | tuple[int]] | None


def _encode(value: Any, path: _Path, above: tuple[int, ...], in_set: bool) -> Any:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        if not str.isascii(value) and _SURROGATE.search(value):
            raise _refusal(path, "str with a lone surrogate")
        return str.__str__(value)
    if isinstance(value, int):
        return _encode_int(int.__int__(value), path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _refusal(path, f"float {float.__repr__(value)}", _CURES["float"])
        return float.__float__(value)
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        if isinstance(value, datetime):
            return {"$datetime": datetime.isoformat(value) + _zone_of(value)}
        if isinstance(value, (bytes, bytearray)):
            return {"$bytes": base64.b64encode(value).decode()}
        raise _refusal(path, type(value).__name__, _cure(type(value)))
    if id(value) in above:
        raise _refusal(path, f"{type(value).__name__} that contains itself")
    if len(above) >= MAX_DEPTH:
        raise _refusal(path, f"nested more than {MAX_DEPTH} levels deep")
    inside = (*above, id(value))
    if isinstance(value, dict):
        if in_set:
            raise _refusal(
                path, f"{type(value).__name__} in a set (it would come back as a dict, which a set can't hold)"
            )
        return _encode_dict(value, path, inside)
    if isinstance(value, (set, frozenset)):
        members = [_encode(member, (path, (place,)), inside, True) for place, member in enumerate(value)]
        return {"$set": sorted(members, key=lambda member: json.dumps(member, sort_keys=True))}
    return [_encode(member, (path, index), inside, in_set) for index, member in enumerate(value)]


def _encode_dict(value: Mapping[Any, Any], path: _Path, inside: tuple[int, ...]) -> Any:
    tree = {}
    for key, member in value.items():
        if not isinstance(key, str):
            raise _refusal(path, f"dict with a key of type {type(key).__name__} (keys must be str)")
        key = str.__str__(key)  # of a subclass, the plain text
        if not key.isascii() and _SURROGATE.search(key):
            raise _refusal(path, "dict with a key that has a lone surrogate")
        kind = type(member)
        if (kind is str and member.isascii()) or (kind is int and -SAFE_INT <= member <= SAFE_INT):
            tree[key] = member  # as _encode would give it, in half the time: most values are flat
        else:
            tree[key] = _encode(member, (path, key), inside, False)
    if len(tree) == 1 and next(iter(tree)).startswith("$"):
        return {"$dict": tree}
    return tree


def _encode_int(value: int, path: _Path) -> Any:
    if -SAFE_INT <= value <= SAFE_INT:
        return value
    if not -_TOO_LARGE < value < _TOO_LARGE:
        raise _refusal(path, f"{_TOO_LONG} (store it as a text, such as hex(number))")
    return {"$int": str(value)}


def _path_text(path: _Path) -> str:
    """A path as errors name it, such as `$.items[3]`."""
    steps = []
    while path is not None:
        path, step = path
        if isinstance(step, str):
            steps.append(f".{step}" if _PLAIN_KEY.match(step) else f"[{json.dumps(step[:40])}]")
        else:
            steps.append(f"{{{step[0]}}}" if isinstance(step, tuple) else f"[{step}]")
    return "$" + "".join(reversed(steps))


def _zone_of(value: datetime) -> str:
    zone = value.tzinfo
    key = zone.key if isinstance(zone, ZoneInfo) else None
    return f"[{key}]" if isinstance(key, str) and _ZONE.fullmatch(key) else ""


def _decode_datetime(text: str) -> datetime:
    """A datetime in its zone, so that a day later has the same wall-clock time.

    In a zone that is unknown here it keeps its offset. Where the rules of the zone have changed since, it stays the
    same point in time, at another wall-clock time.
    """
    if not text.endswith("]"):
        return datetime.fromisoformat(text)
    plain, _, key = text[:-1].partition("[")
    stored = datetime.fromisoformat(plain)
    zone = _zone(key)
    if zone is None or stored.tzinfo is None:
        return stored
    for fold in (0, 1):
        found = stored.replace(tzinfo=zone, fold=fold)
        if found.utcoffset() == stored.utcoffset():
            return found
    try:
        return stored.astimezone(zone)
    except OverflowError:  # outside the years that a datetime can have
        return stored


def _zone(key: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(key) if _ZONE.fullmatch(key) else None
    except (ZoneInfoNotFoundError, ValueError, OSError):  # ValueError: no name of a zone, or a broken file
        return None


def _decode_int(text: str) -> int:
    if len(text.lstrip("-")) > INT_DIGITS:
        raise ValueError(_TOO_LONG)
    return int(text)


def _refusal(path: _Path, what: str, cure: str = "") -> NotSerialisable:
    place = _path_text(path)
    return NotSerialisable(f"not serialisable: {place}: {what}", path=place, cure=cure)


def _cure(kind: type) -> str:
    if hasattr(kind, "__dataclass_fields__"):
        return "Store dataclasses.asdict(…) of it"
    if hasattr(kind, "model_dump"):  # of pydantic
        return 'Store its model_dump(mode="json")'
    return _CURES.get(kind.__name__, "Store a dict of what it holds")


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "$datetime": lambda inner: _decode_datetime(inner),
    "$bytes": base64.b64decode,
    "$set": lambda inner: {_hashable(decode(member)) for member in inner},
    "$int": lambda inner: _decode_int(inner),
    "$dict": lambda inner: {key: decode(member) for key, member in inner.items()},
}


def _hashable(member: Any) -> Any:
    if isinstance(member, list):
        return tuple(_hashable(inner) for inner in member)
    return frozenset(member) if isinstance(member, set) else member
