"""Breaks, which inject faults: a person makes the next attempts of a step fail, time out, be slow or return a value.

A break is plain JSON, the same in the journal, in the row, in frames and in the API: `{"id", "step": {"kind": "do",
"name", "count"?}, "how", "times", "left", "ms"?, "value"?}`. Its id is the seq of its `break_set`; without a count it
applies to every step of the name. The engine and the worker both read it, so this module is pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from playground.workflows import events as ev
from playground.workflows.errors import CannotBreak
from playground.workflows.events import NewEvent

How = Literal["fail", "timeout", "slow", "return"]
HOWS: tuple[str, ...] = get_args(How)
FAIL, TIMEOUT, SLOW, RETURN = HOWS

MAX_BREAKS = 20  # of one instance at once
MAX_TIMES = 1_000  # attempts of one break
MAX_SLOW_MS = 30_000  # how slow an attempt can be made, which is well within what an attempt may take
MAX_VALUE_BYTES = 16 * 1024  # of a value that is returned instead

ERROR_NAME = "InjectedError"  # of the error that an attempt fails with
ERROR_MESSAGE = "This attempt was made to fail on purpose: a break is set on its step."

Break = Mapping[str, Any]


def breaks_of(injected: Mapping[str, Any] | None) -> Sequence[Break]:
    """The breaks that an instance's row holds in `injected`."""
    found: Sequence[Break] = (injected or {}).get("breaks", ())
    return found


def check_number_of_breaks(before: Sequence[Break], events: Iterable[NewEvent]) -> None:
    """Raises CannotBreak when the breaks after these `break_set` and `break_cleared` would be too many."""
    for event in events:
        before = breaks_after(before, event.type, 0, event.data)
    if len(before) > MAX_BREAKS:
        raise CannotBreak(f"An instance can have {MAX_BREAKS} breaks at once. Clear some first.")


def find_break(breaks: Iterable[Break], name: str, count: int) -> Break | None:
    """The break that applies to the next attempt of a step: one for exactly this step before one for its name."""
    found = None
    for each in breaks:
        step = each["step"]
        if step["name"] == name and each["left"] > 0:
            if step.get("count") == count:
                return each
            if step.get("count") is None:
                found = found or each
    return found


def breaks_after(breaks: Sequence[Break], type: str, seq: int, data: Mapping[str, Any]) -> list[Break]:
    """The breaks after a `break_set`, a `break_cleared` or an `attempt_started` that names one."""
    if type == ev.ATTEMPT_STARTED:
        used = [{**each, "left": each["left"] - 1} if each["id"] == data["break"] else each for each in breaks]
        return [each for each in used if each["left"] > 0]
    kept = [each for each in breaks if not _same(each["step"], data["step"])]
    return [*kept, {"id": seq, **data, "left": data["times"]}] if type == ev.BREAK_SET else kept


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one["name"] == other["name"] and one.get("count") == other.get("count")
