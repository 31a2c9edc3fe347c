"""Compares two instances, as the API shows them: which of their steps correspond, and where they differ.

`static/js/run/compare-fold.js` does the same in the browser; tests/test_compare.py compares the two.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from playground.workflows.names import source_lines

View = Mapping[str, Any]

# In what a step that both have may differ, in the order in which it is listed.
STATUS, OUTPUT, ERROR, ATTEMPTS = "status", "output", "error", "attempts"
ONLY_A, ONLY_B = "only_a", "only_b"


def compare(a: View, b: View) -> dict[str, Any]:
    """How two instances differ.

    `rows` are their steps: steps of the same kind, name and count share a row. Rows are in the order of `a`; steps that
    only `b` has follow the step that they follow in `b`. `a` and `b` of a row are indexes in the lists of steps, or
    None; `differs` lists in what the two differ. `outcome` lists in what their ends differ; `params` and `code` are
    whether those are the same. `first` is the index of the first row that differs, the number of rows where only the
    outcome differs, None where nothing does.
    """
    rows = [_row(a["steps"], b["steps"], *pair) for pair in _pairs(a["steps"], b["steps"])]
    outcome = [name for name in (STATUS, OUTPUT, ERROR) if not same(_outcome(a, name), _outcome(b, name))]
    first = next((place for place, row in enumerate(rows) if row["differs"]), len(rows) if outcome else None)
    return {
        "rows": rows,
        "outcome": outcome,
        "params": same(a["params"], b["params"]),
        "code": a["snippet"] == b["snippet"],
        "first": first,
    }


def changed_lines(a: str, b: str) -> tuple[int, list[str], list[str]]:
    """What differs between two sources: the first differing line, counted from 1, and the lines of each from it to the
    last differing one.

    Linear in time, since anybody may send sources: it gives one region, however many places differ.
    """
    mine, other = source_lines(a), source_lines(b)
    start = 0
    while start < min(len(mine), len(other)) and mine[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(mine), len(other)) - start and mine[-1 - end] == other[-1 - end]:
        end += 1
    return start + 1, mine[start : len(mine) - end], other[start : len(other) - end]


def attempts_of(step: View) -> int | None:
    """How many attempts a step had, here or in the instance it was copied from; None where it has no attempts."""
    if step["kind"] != "do" or (step.get("copied") or {}).get("edited"):
        return None
    copied = step.get("copied")
    return copied.get("attempts") if copied else len(step["attempts"])


def took_ms(step: View) -> float | None:
    """How long a step took in milliseconds, here or in the instance it was copied from.

    By the worker's clock where the worker reported it; None while the step is open and where it is unknown.
    """
    copied = step.get("copied")
    took: float | None
    if copied:
        took = copied.get("took_ms")
    elif step["ended_at"] is None:
        took = None
    else:
        tried = step.get("attempts", ())
        by_worker = tried[0].get("took_us") if len(tried) == 1 and tried[0]["ended_at"] is not None else None
        took = step["ended_at"] - step["started_at"] if by_worker is None else by_worker / 1000
    return took


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal; true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(value, b[name]) for name, value in a.items())
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def _pairs(a: Sequence[View], b: Sequence[View]) -> list[tuple[int | None, int | None]]:
    """The indexes of corresponding steps, in the order of `a`; a step of `b` alone follows the step it follows in
    `b`.
    """
    places = {_key(step): place for place, step in enumerate(b)}
    mine = {_key(step) for step in a}
    found: list[tuple[int | None, int | None]] = []
    after = 0

    def only_b(until: int) -> None:
        nonlocal after
        found.extend((None, place) for place in range(after, until) if _key(b[place]) not in mine)
        after = max(after, until)

    for place, step in enumerate(a):
        other = places.get(_key(step))
        if other is not None:
            only_b(other)
        found.append((place, other))
    only_b(len(b))
    return found


def _row(a: Sequence[View], b: Sequence[View], mine: int | None, other: int | None) -> dict[str, Any]:
    one, two = None if mine is None else a[mine], None if other is None else b[other]
    step = one if one is not None else two
    assert step is not None, "one of a pair is a step"
    named = {name: step[name] for name in ("kind", "name", "count", "parent") if step.get(name) is not None}
    return {**named, "a": mine, "b": other, "differs": _differs(one, two)}


def _differs(a: View | None, b: View | None) -> list[str]:
    if a is None or b is None:
        return [ONLY_B if a is None else ONLY_A]
    found = [STATUS] if a["status"] != b["status"] else []
    if a["kind"] == "wait":
        # The same event at another time is the same.
        outputs = [(step.get("output") or {}).get("payload") for step in (a, b)]
    else:
        outputs = [step.get("output") for step in (a, b)]
    if not same(*outputs):
        found.append(OUTPUT)
    if not same(*map(_error, (a, b))):
        found.append(ERROR)
    tried = [attempts_of(step) for step in (a, b)]
    if None not in tried and tried[0] != tried[1]:
        found.append(ATTEMPTS)
    return found


def _outcome(view: View, name: str) -> Any:
    return _error(view) if name == ERROR else view[name]


def _error(view: View) -> Any:
    error = view.get("error")
    return error and [error["name"], error.get("message", "")]  # the line may have moved with the code


def _key(step: View) -> tuple[Any, ...]:
    parent = step.get("parent")
    return step["kind"], step["name"], step["count"], None if parent is None else _key(parent)
