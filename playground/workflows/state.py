"""The fold: what an instance looks like after a run of journal events. Pages, API and tests all see it through this.

`static/js/run/fold.js` is the same fold in the browser; tests/journals holds cases both must agree on.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from playground.workflows import events as ev
from playground.workflows.events import Event
from playground.workflows.state_parts import Execution, Facts
from playground.workflows.state_rules import RULES


class State(Facts):
    """An instance as it stands after the events applied so far, in the order of their seq."""

    def apply(self, event: Event) -> None:
        """Take one more event. Unknown types change nothing but `last_seq`, so that an older program can read on."""
        self.last_seq = event.seq
        handler = RULES.get(event.type)
        if handler is not None:
            handler(self, event)

    def as_json(self, steps: Any = None) -> dict[str, Any]:
        """The part of `GET /api/instances/{id}` that the journal tells. `steps` stands for its steps where they are JSON already."""
        shown = {
            "status": self.status,
            "output": self.output,
            "error": self.error,
            "rollback": self.rollback,
            "params": self.params,
            "generation": self.generation,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "waiting_until": self.waiting_until if self.status == ev.WAITING else None,
            "executions": [_fields(execution) for execution in self.executions],
            "last_seq": self.last_seq,
            "steps": [step.as_json() for step in self.steps.values()] if steps is None else steps,
            "log_truncated": self.log_truncated,
            "breaks": [*self.breaks],
            "armed": self.armed,
        }
        if isinstance(self.trigger, Mapping):
            shown["trigger"] = self.trigger
        if self.code_changes:
            shown["code_changes"] = list(self.code_changes)
        return shown


def fold(events: Iterable[Event]) -> State:
    """The state after a journal's events."""
    state = State()
    for event in events:
        state.apply(event)
    return state


def _fields(execution: Execution) -> dict[str, Any]:
    return {name: getattr(execution, name) for name in Execution.__slots__}
