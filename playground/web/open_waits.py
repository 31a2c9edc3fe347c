"""What waits for a person in a run: the waits for an event that its journal, folded, has open."""

from playground.workflows import events as ev
from playground.workflows.event_rules import WAITING
from playground.workflows.state import State, Step


def open_waits(state: State) -> list[Step]:
    """The waits for an event that have not ended, oldest first; none of a run that is over."""
    if state.status in ev.FINAL_STATUSES:
        return []
    waits = [it for it in state.steps.values() if it.key.kind == ev.WAIT and it.status == WAITING and it.event_type]
    return sorted(waits, key=lambda it: it.started_seq)
