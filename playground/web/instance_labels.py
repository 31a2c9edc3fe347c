"""What templates ask of the JSON of an instance: steps in the order in which they are drawn, and errors in one line.

It is `static/js/run/nested.js` and a part of `words.js` and `errors.js` for pages without scripts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Shown = Mapping[str, Any]

_HOW_MANY = re.compile(r"\((\d{1,9}) sub-exceptions?\)\Z")  # ends the message of a group
_NESTED_DEEPEST = 100  # more than any step lies in others


def in_order(steps: Sequence[Shown]) -> list[tuple[Shown, int]]:
    """Steps with how many others each lies in: in the order in which they began, but those called in another one under
    it.
    """
    keys = {_key(step) for step in steps}
    inside: dict[Any, list[Shown]] = {}
    for step in steps:
        parent = step.get("parent")
        key = None if parent is None else _key(parent)
        inside.setdefault(key if key in keys else None, []).append(step)
    return list(_walk(inside, None, 0))


def label(step: Shown) -> str:
    """A step's name as people see it, after those of the steps that it was called in; counts are said from the second
    on.
    """
    own = f"{step['name']}-{step['count']}" if step["count"] > 1 else str(step["name"])
    return own if step.get("parent") is None else f"{label(step['parent'])} › {own}"


def first_of(error: Shown) -> Shown:
    """What went wrong: of a group of errors its first member."""
    while error.get("errors"):
        error = error["errors"][0]
    return error


def left_out_of(error: Shown) -> int:
    """How many members of a group were not kept; its message ends with how many there were."""
    found = _HOW_MANY.search(error.get("message") or "")
    return max(0, int(found[1]) - len(error["errors"])) if found else 0


def _walk(inside: Mapping[Any, Sequence[Shown]], parent: Any, depth: int) -> Iterator[tuple[Shown, int]]:
    assert depth < _NESTED_DEEPEST, "no step lies in itself"
    for step in inside.get(parent, ()):
        yield step, depth
        yield from _walk(inside, _key(step), depth + 1)


def _key(step: Shown) -> tuple[Any, ...]:
    parent = step.get("parent")
    return step["kind"], step["name"], step["count"], None if parent is None else _key(parent)
