"""After every event of a journal the rows say what the fold for people says: status, steps, deadlines, what is set on it.

The rows are what scheduling and replay go by, the fold is what people see; both apply the rules of
`workflows/rules.py`, each in its own way. The journals are those that the page's fold is held to as well (tests/test_page_fold.py), so that all
three agree after every event.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from store_support import new

from playground.store.encoding import plain
from playground.store.projection import first_event, first_row, project
from playground.store.projection_fold import replace
from playground.store.protocol import InstanceRow, StepRow
from playground.workflows import events as ev
from playground.workflows.events import Event, NewEvent, StepKey
from playground.workflows.state import State

JOURNALS = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "journals").glob("*.json"))}
INVENTED = {"limit-broken"}  # begins in the middle
OF_ROWS = {"sleeping": "open", "waiting": "open", "timed_out": "errored"}  # what a step's status in the fold is called in its row
OF_THE_ROW = ("status", "generation", "output", "error", "rollback", "started_at", "ended_at", "last_seq")


class Rows:
    """An instance's rows as the store would have them, an event at a time."""

    def __init__(self, first: Event) -> None:
        instance = new("i", params=first.data["params"], trigger=first.data["trigger"])
        change = project(first_row(instance, 1, first.at), [first_event(instance)], first.at, {})
        self.row: InstanceRow = change.row
        self.steps: dict[StepKey, StepRow] = dict(change.steps)

    def take(self, event: Event) -> None:
        if event.type == ev.EXECUTION_STARTED:  # taking an instance is no event
            self.row = replace(self.row, owner="node", execution=event.execution)
        change = project(self.row, [NewEvent(event.type, event.data, event.step)], event.at, self.steps)
        if change.kept_before is not None:
            self.steps = {key: step for key, step in self.steps.items() if step.started_seq < change.kept_before}
        self.row = change.row
        self.steps.update(change.steps)


def events(name: str) -> list[Event]:
    return [
        Event(it["seq"], it["at"], it["type"], it["execution"], StepKey.from_json(it["step"]) if "step" in it else None, it["data"])
        for it in JOURNALS[name]
    ]


def rows_say(rows: Rows) -> dict[str, Any]:
    row, shown = rows.row, {name: plain(getattr(rows.row, name)) for name in OF_THE_ROW}
    if row.rollback is not None and row.status not in ev.FINAL_STATUSES:
        shown["error"] = None  # what is rolled back for is in the row from the beginning, and shown at the end
    shown["in_execution"] = row.in_execution
    shown["armed"] = (row.injected or {}).get("armed")
    shown["breaks"] = list((row.injected or {}).get("breaks", ()))
    shown["steps"] = {
        str(key): [step.status, step.attempt, step.error, step.until if step.status in ("open", "retrying") else None, step.rollback]
        for key, step in rows.steps.items()
    }
    return shown


def fold_says(state: State) -> dict[str, Any]:
    shown: dict[str, Any] = {name: getattr(state, name) for name in OF_THE_ROW}
    shown["in_execution"], shown["armed"], shown["breaks"] = state.in_execution, state.armed, list(state.breaks)
    shown["steps"] = {}
    for key, step in state.steps.items():
        status = "open" if step.cut_short else OF_ROWS.get(step.status, step.status)
        attempt = step.attempts[-1].attempt if step.attempts else 0
        until = step.until if status in ("open", "retrying") else None
        shown["steps"][str(key)] = [status, attempt, step.error, until, step.rollback and step.rollback.status]
    return shown


@pytest.mark.parametrize("name", [name for name in JOURNALS if name not in INVENTED])
def test_rows_and_the_fold_for_people_agree_after_every_event(name: str) -> None:
    first, *more = events(name)
    rows, state = Rows(first), State()
    state.apply(first)
    for event in more:
        rows.take(event)
        state.apply(event)
        assert rows_say(rows) == fold_says(state), f"after event {event.seq}, {event.type}"
