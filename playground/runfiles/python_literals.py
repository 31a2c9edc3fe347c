"""Python source of stored values, laid out as a formatter would: data in, literals out.

A value that somebody else wrote becomes a literal and nothing else: every character that does not print, and each quote
and backslash, is escaped. What fits stands on one line of `WIDTH`; what does not has one item a line and a comma after
the last, which formatters keep at any width.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from playground.workflows import values

WIDTH = 88
INDENT = "    "

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


@dataclass(frozen=True, slots=True)
class Name:
    """An expression of ours, written as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function of ours."""

    function: str
    arguments: Sequence[Any] = ()
    named: dict[str, Any] = field(default_factory=dict)


def render(value: Any, level: int = 0, before: int = 0) -> str:
    """The source of a value: literals, lists, dicts, sets, datetimes, bytes, `Name` and `Call`.

    Args:
        level: how deep the line is indented that it begins on.
        before: characters before it on that line, the indentation among them.
    """
    flat = _flat(value, WIDTH - before - 1)  # a comma may follow
    if flat is not None:
        return flat
    opening, items, closing = _parts(value)
    if not items:
        return _atom(value)
    pad = INDENT * (level + 1)
    lines = [f"{pad}{name}{render(item, level + 1, len(pad) + len(name))},\n" for name, item in items]
    return f"{opening}\n{''.join(lines)}{INDENT * level}{closing}"


def _parts(value: Any) -> tuple[str, list[tuple[str, Any]], str]:
    """What opens a value, its items, each after its name, and what closes it; no items: it stands on one line."""
    if isinstance(value, Call):
        named = [(f"{name}=", item) for name, item in value.named.items()]
        return f"{value.function}(", [*(("", item) for item in value.arguments), *named], ")"
    if isinstance(value, dict):
        return "{", [(f"{text(str(name))}: ", item) for name, item in value.items()], "}"
    if isinstance(value, (list, tuple)):
        return "[", [("", item) for item in value], "]"
    if isinstance(value, (set, frozenset)) and value:
        return "{", [("", item) for item in sorted(value, key=_atom_key)], "}"
    return "", [], ""


def _flat(value: Any, most: int) -> str | None:
    """The value on one line, if it is not longer than `most`."""
    opening, items, closing = _parts(value)
    if not items:
        found = _atom(value)
        return found if len(found) <= most or not opening else None
    found, left = opening, most - len(closing)
    for index, (name, item) in enumerate(items):
        begin = f"{', ' if index else ''}{name}"
        inner = _flat(item, left - len(found) - len(begin))
        if inner is None:
            return None
        found += begin + inner
        if len(found) > left:
            return None
    return found + closing


def _atom(value: Any) -> str:
    match value:
        case Name():
            return value.text
        case Call():
            return f"{value.function}()"
        case str():
            return text(value)
        case bytes():
            return _bytes(value)
        case datetime():
            return f"recorded.time({text(values.encode(value)['$datetime'])})"
        case float():
            return _float(value)
        case dict():
            return "{}"
        case list() | tuple():
            return "[]"
        case set() | frozenset():
            return "set()"
        case None | bool() | int():
            return repr(value)
    raise TypeError(f"no literal of {type(value).__name__}")


def _atom_key(value: Any) -> str:
    return type(value).__name__ + str(value)


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value).replace("e+", "e")
    return f'float("{value}")'


def text(value: str) -> str:
    """A literal of text on one line."""
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + "".join("\\" + it if it == quote else _escaped(it) for it in value) + quote


def text_of_lines(value: str) -> str:
    """A literal of text with its lines as they are."""
    escaped = "".join(it if it == "\n" else _escaped(it) for it in value)
    escaped = escaped.replace('"""', '\\"\\"\\"')
    if escaped.endswith('"'):
        escaped = escaped[:-1] + '\\"'
    return f'"""\\\n{escaped}"""'


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _bytes(value: bytes) -> str:
    inner = repr(value)[2:-1]
    if repr(value)[1] == "'":  # it has no ' that is not escaped, and no \"
        inner = inner.replace("\\'", "'")
    quote = "'" if inner.count('"') > inner.count("'") else '"'
    return f"b{quote}{re.sub(quote, lambda it: chr(92) + it[0], inner)}{quote}"


def identifier(words: str, most: int = 60) -> str:
    """Words as a part of a name in Python; "run" where nothing is left of them."""
    found = re.sub(r"[^a-z0-9]+", "_", words.lower())[:most].strip("_")
    return found or "run"
