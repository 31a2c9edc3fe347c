"""The projection of journal events on rows: pure, and the same for every database.

The journal is the truth; rows exist because replay and scheduling must be fast. `workflows/state.py` folds the same
events for people, by the same rules.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from playground.store.projection_rules import (
    INSTANCE_PROJECTIONS,
    STEP_PROJECTIONS,
    Fold,
    InstanceProjection,
    StepProjection,
    record_clock,
    replace,
    reset_crash_streak,
)
from playground.store.rows import InboxRow, InstanceRow, MessageRow, NewInstance, StepRow
from playground.workflows import events as ev
from playground.workflows.event_rules import RULES, Rule
from playground.workflows.events import NewEvent, StepKey

_Projection = tuple[Rule, StepProjection | None, InstanceProjection | None]

_NO_PROJECTION: _Projection = (Rule(), None, None)  # an event that changes no row but `last_seq`
# By event type: the rule shared with `State`, and the projections on what only rows keep.
_PROJECTIONS: Mapping[str, _Projection] = {
    type: (RULES.get(type, Rule()), STEP_PROJECTIONS.get(type), INSTANCE_PROJECTIONS.get(type))
    for type in RULES.keys() | STEP_PROJECTIONS.keys() | INSTANCE_PROJECTIONS.keys()
}

# Events that start a step, change a started one, read all steps, or read the open ones.
_BEGIN_STEP = frozenset(type for type, (rule, _, _) in _PROJECTIONS.items() if rule.begins is not None)
_READ_STEP = (
    _PROJECTIONS.keys()
    - _BEGIN_STEP
    - {
        type
        for type, (rule, project_step, _) in _PROJECTIONS.items()
        if not (rule.step or rule.handler or project_step)
    }
)
_READ_ALL = frozenset(type for type, (rule, _, _) in _PROJECTIONS.items() if rule.keeps is not None)
_READ_OPEN = frozenset(type for type, (rule, _, _) in _PROJECTIONS.items() if rule.postpones is not None)


class Reads(NamedTuple):
    """The stored steps that `project` needs for a batch of events; those in `results` with their result. Those in
    `started` begin with them, so that none may be stored.
    """

    steps: set[StepKey]
    started: set[StepKey]
    results: set[StepKey]
    open: bool
    all: bool


class Change(msgspec.Struct, frozen=True):
    """The changes that a batch of events makes to one instance.

    `steps` are the new rows of changed steps; those in `started` are new. `keep_before_seq` is set by a restart: stored
    steps that started at that seq or later are deleted, the others move to the new generation, then `steps` apply. With
    `inbox_cleared`, all stored inbox rows are deleted before `inbox_added` apply. `results` has the JSON text of those
    new results that the step's row stores, because its event shows something else; other stored results are unchanged.
    `messages` go into queues of the instance's tenant. `tagged` are the tags that it got.
    `kv` has keys of the instance's scope (`tables.scope_of`) with their new value as JSON text, None: deleted.
    """

    row: InstanceRow
    steps: dict[StepKey, StepRow]
    started: set[StepKey]
    keep_before_seq: int | None
    inbox_added: list[InboxRow]
    inbox_removed: list[int]
    inbox_cleared: bool
    results: dict[StepKey, str]
    kv: dict[str, str | None]
    messages: list[MessageRow]
    tagged: list[str]


def initial_row(new: NewInstance, key: int, at: int) -> InstanceRow:
    """The row of a new instance before its first event; `at` is in epoch milliseconds."""
    return InstanceRow(
        key=key, tenant=new.tenant, id=new.id, workflow=new.workflow, snippet=new.snippet_id, class_name=new.class_name,
        params=new.params, queue=new.queue, control_hash=new.control_hash, metadata=new.metadata, limits=new.limits,
        status=ev.QUEUED, generation=1, execution=0, last_seq=0, owner=None, due_at=at, log_bytes=0, stored_bytes=0,
        output=None, error=None, rollback=None, created_at=at, started_at=None, ended_at=None, paused_at=None,
        wait_until=None, fresh=True, in_execution=False, injected=new.injected, nonce=new.nonce,
        id_chosen=new.id_chosen, flow_key=None if new.flow is None else new.flow.key,
        priority=0 if new.flow is None else new.flow.priority,
    )  # fmt: skip


def first_event(new: NewInstance) -> NewEvent:
    """The first event of every journal."""
    data = {"params": new.params, "trigger": new.trigger}
    if new.flow is not None:
        data["flow"] = new.flow.shown(new.held_until)
    return NewEvent(ev.WORKFLOW_QUEUED, data)


def required_reads(events: Sequence[NewEvent]) -> Reads:
    """The stored step rows that `project` needs for these events.

    A restart needs all, since it keeps those that started before a step. A resume needs the open ones, whose deadlines
    it moves. A cancelled wait needs its result, which goes back to the inbox.
    """
    steps: set[StepKey] = set()
    results: set[StepKey] = set()
    started: set[StepKey] = set()
    open_ = all_ = False
    for event in events:
        step, type = event.step, event.type
        if step is None:
            open_ = open_ or type in _READ_OPEN
            all_ = all_ or type in _READ_ALL
        elif type in _BEGIN_STEP:
            started.add(step)
        elif type in _READ_STEP and step not in started:
            steps.add(step)
            if type == ev.WAIT_CANCELLED and "returned" in event.data:
                results.add(step)
    return Reads(steps, started, results, open_, all_)


def project(row: InstanceRow, events: Sequence[NewEvent], at: int, steps: Mapping[StepKey, StepRow]) -> Change:
    """Project `events`, committed at `at` (epoch milliseconds), on an instance.

    `steps` are steps of the current generation, at least those that `required_reads(events)` names.

    Raises:
        JournalError: the events contradict the rows.
        NotSerialisable: a value in them cannot be stored.
    """
    fold = Fold(row, at, steps, row.last_seq, row.status)
    reset_crash_streak(fold, events)
    for event in events:
        rule, project_step, project_instance = _PROJECTIONS.get(event.type, _NO_PROJECTION)
        fold.apply(event, rule, project_step, project_instance)
    record_clock(fold, events)
    assert fold.last_seq == row.last_seq + len(events), "each event has the next seq"
    changed = fold.changed
    changed["last_seq"] = fold.last_seq
    return Change(
        replace(row, **changed),
        fold.touched,
        fold.started,
        fold.keep_before_seq,
        list(fold.inbox_added.values()),
        fold.inbox_removed,
        fold.inbox_cleared,
        fold.results,
        fold.kv,
        fold.messages,
        fold.tagged,
    )
