"""JSON for people to read, indented where that keeps it small: indenting can make hostile JSON a hundred times as
long.
"""

import re
from typing import Any

import msgspec

INDENT_UP_TO_BYTES = 32 * 1024
GROWTH_MAX = 8  # as long as it was

_DIGITS = re.compile(r"-?[0-9]{1,4300}")  # of more, CPython makes no int without being told to


def indent_json(raw: bytes) -> str:
    """Strict JSON text, on many lines or, where that would be too many, on one."""
    text = msgspec.json.format(raw, indent=-1)
    if len(text) <= INDENT_UP_TO_BYTES:
        indented = msgspec.json.format(text, indent=2)
        if len(indented) <= GROWTH_MAX * max(len(text), 64):
            return indented.decode()
    return text.decode()


def untag_value(tree: Any, *, dicts: bool = False) -> Any:
    """A stored value with the digits of its large ints in the place of their tags (`values.py`).

    With `dicts` those of dicts go, too: as it stands in a field from which any JSON is taken, where they would become
    part of the value.
    """
    if isinstance(tree, list):
        return [untag_value(inner, dicts=dicts) for inner in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1:
        ((key, inner),) = tree.items()
        if key == "$int" and isinstance(inner, str) and _DIGITS.fullmatch(inner):
            return int(inner)
        if key == "$dict" and isinstance(inner, dict):
            members = {name: untag_value(member, dicts=dicts) for name, member in inner.items()}
            return members if dicts else {key: members}
    return {name: untag_value(member, dicts=dicts) for name, member in tree.items()}
