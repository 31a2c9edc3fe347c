"""Breakpoints: an instance stops before a step, so that a person can look, change a result and go on.

A breakpoint is plain JSON, the same in the journal, in the row, in frames and in the API: `{"step": {"name"?, "kind"?,
"count"?}, "once"?}`. What `step` leaves out matches everything: without a name it is any step. One that is `once` is
gone after the next stop, wherever that is: *next commit* and *run to here* are such breakpoints.

Only a step that is not in the journal stops an instance, so a replay passes what it has been through. A step that a
callback of another one calls stops nothing: a stopped instance is a row, without a worker, and the attempt around the
step would be lost, to begin anew. Whoever sets a breakpoint there is told so: with an error once the journal shows it
(`nested_in`), else by a line of the log when the code comes to it.

A step that an instance was stopped before and has gone on from is passed: it stops nothing a second time, not even when
its worker is killed before the step has begun. The engine and the worker both read this, so the module is pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from playground.workflows import events as ev
from playground.workflows.errors import CannotBreak
from playground.workflows.events import NewEvent, StepKey, outermost

MAX_BREAKPOINTS = 100  # of one instance at once
MAX_PASSED = 20  # steps that have been passed and may not have begun: those that one batch of branches starts with

Breakpoint = Mapping[str, Any]
Stop = Mapping[str, Any]  # the step that an instance is stopped before, with its line and what it would begin with
Passed = Mapping[str, Any]


def breakpoints_of(injected: Mapping[str, Any] | None) -> Sequence[Breakpoint]:
    """The breakpoints that an instance's row holds in `injected`."""
    found: Sequence[Breakpoint] = (injected or {}).get("breakpoints", ())
    return found


def stopped_before(injected: Mapping[str, Any] | None) -> Stop | None:
    """The step that an instance is stopped before, by `injected` in its row."""
    found: Stop | None = (injected or {}).get("stopped_before")
    return found


def passed_of(injected: Mapping[str, Any] | None) -> Sequence[Passed]:
    """The passed steps that an instance's row holds in `injected`."""
    found: Sequence[Passed] = (injected or {}).get("passed", ())
    return found


def check_number_of_breakpoints(before: Sequence[Breakpoint], events: Iterable[NewEvent]) -> None:
    """Raises CannotBreak when the breakpoints after these `breakpoint_set` would be too many."""
    for event in events:
        before = breakpoints_after(before, event.type, event.data)
    if len(before) > MAX_BREAKPOINTS:
        raise CannotBreak(
            f"An instance can have {MAX_BREAKPOINTS} breakpoints at once. Clear some first; one without a count stands "
            "before every call of its name."
        )


def stops_before(breakpoints: Iterable[Breakpoint], passed: Iterable[Passed], kind: str, name: str, count: int) -> bool:
    """Whether an instance stops before a new step."""
    step = {"kind": kind, "name": name, "count": count}
    return any(_matches(each["step"], step) for each in breakpoints) and step not in passed


def _matches(wanted: Mapping[str, Any], step: Mapping[str, Any]) -> bool:
    return all(step[field] == value for field, value in wanted.items())


def nested_in(breakpoint: Breakpoint, steps: Iterable[StepKey]) -> StepKey | None:
    """The step around those that a breakpoint names, where every one of them that has begun is inside another."""
    if "name" not in breakpoint["step"]:
        return None
    found = [key for key in steps if _matches(breakpoint["step"], key.as_json())]
    return outermost(found[0]) if found and all(key.parent is not None for key in found) else None


def nested_sentence(name: str, outer: str) -> str:
    """Why a breakpoint before a nested step stops nothing, and where to set one."""
    return (
        f'"{name}" runs inside "{outer}", where no run stops: its attempt would be lost. Set the breakpoint before '
        f'"{outer}".'
    )


def breakpoints_after(before: Sequence[Breakpoint], type: str, data: Mapping[str, Any]) -> list[Breakpoint]:
    """The breakpoints after a `breakpoint_set`, a `breakpoint_cleared` or a `breakpoint_hit`."""
    if type == ev.BREAKPOINT_HIT:
        return lasting(before)
    once = bool(data.get("once"))
    kept = [each for each in before if bool(each.get("once")) != once or each["step"] != data["step"]]
    if type == ev.BREAKPOINT_CLEARED:
        return kept
    return [*kept, {"step": data["step"], "once": True} if once else {"step": data["step"]}]


def lasting(before: Sequence[Breakpoint]) -> list[Breakpoint]:
    """The breakpoints that outlast a stop."""
    return [each for each in before if not each.get("once")]


def stop_of(data: Mapping[str, Any]) -> Stop:
    """What an instance is stopped before, by the data of its `breakpoint_hit`."""
    return {**data["step"], **{name: value for name, value in data.items() if name != "step"}}


def passed_after(before: Sequence[Passed], stop: Stop) -> list[Passed]:
    """The passed steps once an instance goes on from a stop."""
    return [*before, {name: stop[name] for name in ("kind", "name", "count")}][-MAX_PASSED:]
