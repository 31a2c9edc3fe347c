"""The three folds of a journal, side by side: the rows as the store has them, `State`, and the page's JavaScript."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from store_support import new

from playground.store.encoding import as_objects
from playground.store.projection import first_event, initial_row, project
from playground.store.projection_rules import replace
from playground.store.rows import InstanceRow, StepRow
from playground.workflows import events as ev
from playground.workflows.events import Event, NewEvent, StepKey
from playground.workflows.flow import Flow, checked_limits
from playground.workflows.state import State

OF_ROWS = {"sleeping": "open", "waiting": "open", "timed_out": "errored"}  # statuses of a step that rows name otherwise
OF_THE_ROW = (
    "status", "generation", "output", "error", "rollback", "created_at", "started_at", "ended_at", "paused_at",
    "wait_until", "held_until", "params", "in_execution", "last_seq",
)  # fmt: skip

# The body of a function of one journal, for `page_code_support`.
PAGE_VIEWS = """
import { apply, newState } from "RUN/fold.js";
import { view } from "RUN/view.js";
const state = newState();
return given.map((event) => (apply(state, event), { ...view(state), in_execution: state.inExecution }));
"""


class Rows:
    """An instance's rows as the store would have them; `injected` is what its row begins with."""

    def __init__(self, first: Event, injected: Mapping[str, Any] | None = None) -> None:
        asked = first.data.get("flow")
        held = (
            {}
            if asked is None
            else {"flow": Flow(asked["key"], limits=checked_limits(asked)), "held_until": asked["until"]}
        )
        instance = new("i", params=first.data["params"], trigger=first.data["trigger"], injected=injected, **held)
        change = project(initial_row(instance, 1, first.at), [first_event(instance)], first.at, {})
        self.row: InstanceRow = change.row
        self.steps: dict[StepKey, StepRow] = dict(change.steps)
        self.inbox: set[int] = set()

    def take(self, event: Event) -> None:
        """Commit one event alone."""
        self.commit([NewEvent(event.type, event.data, event.step)], event.at, event.execution)

    def commit(self, events: Sequence[NewEvent], at: int, execution: int | None) -> None:
        if any(event.type == ev.EXECUTION_STARTED for event in events):  # taking an instance is no event
            self.row = replace(self.row, owner="node", execution=execution)
        change = project(self.row, events, at, self.steps)
        if change.keep_before_seq is not None:
            self.steps = {key: step for key, step in self.steps.items() if step.started_seq < change.keep_before_seq}
        if change.inbox_cleared:
            self.inbox = set()
        self.row = change.row
        self.steps.update(change.steps)
        self.inbox = (self.inbox - set(change.inbox_removed)) | {row.seq for row in change.inbox_added}


def rows_say(rows: Rows) -> dict[str, Any]:
    """What the rows have in common with `State`."""
    row, shown = rows.row, {name: as_objects(getattr(rows.row, name)) for name in OF_THE_ROW}
    if row.rollback is not None and row.status not in ev.FINAL_STATUSES:
        shown["error"] = None  # what is rolled back for is in the row from the beginning, and shown at the end
    shown["armed"] = (row.injected or {}).get("armed")
    shown["skips_sleeps"] = (row.injected or {}).get("skips_sleeps", False)
    shown["tags"] = list((row.injected or {}).get("tags", ()))
    shown["breaks"] = list((row.injected or {}).get("breaks", ()))
    injected = row.injected or {}
    shown["breakpoints"] = list(injected.get("breakpoints", ()))
    shown["stopped_before"], shown["passed"] = injected.get("stopped_before"), list(injected.get("passed", ()))
    shown["steps"] = {key: _row_says(step) for key, step in rows.steps.items() if key.kind not in ev.ROW_KINDS}
    patches = [row for key, row in rows.steps.items() if key.kind == ev.PATCH]
    shown["patches"] = {row.key.name: (row.result, row.started_seq) for row in patches}
    return shown


def _row_says(step: StepRow) -> dict[str, Any]:
    sensitive = (step.config or {}).get("sensitive")
    return {
        "status": step.status,
        "started_seq": step.started_seq,
        "line": step.line,
        "config": step.config,
        "event_type": step.event_type,
        "attempt": step.attempt,
        "error": step.error,
        "until": step.until,
        "result": as_objects(step.result) if step.status == "completed" and not sensitive else None,
        "rollback": step.rollback,
        "rollback_attempt": step.rollback_attempt,
        "rollback_until": step.rollback_until,
    }


def state_says(state: State) -> dict[str, Any]:
    """What `State` has in common with the rows."""
    shown: dict[str, Any] = {name: getattr(state, name) for name in OF_THE_ROW}
    shown["armed"], shown["breaks"] = state.armed, list(state.breaks)
    shown["skips_sleeps"], shown["tags"] = state.skips_sleeps, state.tags
    shown["breakpoints"], shown["stopped_before"] = list(state.breakpoints), state.stopped_before
    shown["passed"] = list(state.passed)
    shown["patches"] = {name: (one["patched"], one["seq"]) for name, one in state.patches.items()}
    shown["steps"] = {}
    for key, step in state.steps.items():
        status = "open" if step.cut_short else OF_ROWS.get(step.status, step.status)
        sensitive = (step.config or {}).get("sensitive")
        shown["steps"][key] = {
            "status": status,
            "started_seq": step.started_seq,
            "line": step.line,
            "config": step.config,
            "event_type": step.event_type or step.child,
            "attempt": step.attempts[-1].attempt if step.attempts else 0,
            "error": step.error,
            "until": step.until if status in ("open", "retrying") else None,
            "result": step.output if status == "completed" and not sensitive else None,
            "rollback": step.rollback and step.rollback.status,
            "rollback_attempt": step.rollback.attempts[-1].attempt if step.rollback and step.rollback.attempts else 0,
            "rollback_until": step.rollback and step.rollback.until,
        }
        assert step.attempt == shown["steps"][key]["attempt"]
    return shown


def as_json(events: Iterable[Event]) -> list[dict[str, Any]]:
    """A journal as the stream gives it to the page."""
    return [event.as_json() for event in events]


def from_json(journal: Sequence[Mapping[str, Any]]) -> list[Event]:
    """A journal as it stands in a file."""
    keys = (StepKey.from_json(it["step"]) if "step" in it else None for it in journal)
    return [
        Event(it["seq"], it["at"], it["type"], it["execution"], key, it["data"])
        for it, key in zip(journal, keys, strict=True)
    ]
