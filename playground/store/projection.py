"""What events do to rows: pure, and the same for every database. The journal is the truth; rows are kept because replay
and scheduling need them fast. `workflows/state.py` folds the same events for people, by the same rules.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from playground.store.projection_rules import (
    OF_INSTANCE,
    OF_STEP,
    Fold,
    InstanceColumns,
    StepColumns,
    end_streak,
    keep_clock,
    replace,
)
from playground.store.rows import InboxRow, InstanceRow, NewInstance, StepRow
from playground.workflows import events as ev
from playground.workflows.event_rules import RULES, Rule
from playground.workflows.events import NewEvent, StepKey

_Projected = tuple[Rule, StepColumns | None, InstanceColumns | None]

_UNKNOWN: _Projected = (Rule(), None, None)  # an event that only lengthens the journal
# What an event does to rows: the rule, and what only rows keep of its step and of the instance.
_PROJECTED: Mapping[str, _Projected] = {
    type: (RULES.get(type, Rule()), OF_STEP.get(type), OF_INSTANCE.get(type))
    for type in RULES.keys() | OF_STEP.keys() | OF_INSTANCE.keys()
}

# Events that begin a step, those that change one that has begun, and those that look at all steps or at the open ones.
_BEGIN_STEP = frozenset(type for type, (rule, _, _) in _PROJECTED.items() if rule.begins is not None)
_READ_STEP = (
    _PROJECTED.keys()
    - _BEGIN_STEP
    - {type for type, (rule, columns, _) in _PROJECTED.items() if not (rule.step or rule.handler or columns)}
)
_READ_ALL = frozenset(type for type, (rule, _, _) in _PROJECTED.items() if rule.keeps is not None)
_READ_OPEN = frozenset(type for type, (rule, _, _) in _PROJECTED.items() if rule.postpones is not None)


class Reads(NamedTuple):
    """The stored steps that a run of events is folded into, see `reads_of`. Those in `results` need their result."""

    steps: set[StepKey]
    results: set[StepKey]
    open: bool
    all: bool


class Change(msgspec.Struct, frozen=True):
    """What a run of events of one instance changes.

    `steps` are the rows as they become; those in `started` did not exist before. `kept_before` is set by a restart:
    stored steps that started from that seq on are dropped, the others go into the new generation, and `steps` come on
    top. With `inbox_cleared`, every stored inbox row goes, then `inbox_added` come. `results` holds the JSON text of
    those results that were set here and that the row keeps, since its event shows something else; what a row kept
    before stays as it is. `kv` are keys of the instance's scope (see `tables.scope_of`) with their new value as JSON
    text, None for a deleted one.
    """

    row: InstanceRow
    steps: dict[StepKey, StepRow]
    started: set[StepKey]
    kept_before: int | None
    inbox_added: list[InboxRow]
    inbox_removed: list[int]
    inbox_cleared: bool
    results: dict[StepKey, str]
    kv: dict[str, str | None]


def first_row(new: NewInstance, key: int, at: int) -> InstanceRow:
    """The row of a new instance before its first event; `at` is in epoch milliseconds."""
    return InstanceRow(
        key=key, tenant=new.tenant, id=new.id, workflow=new.workflow, snippet=new.snippet_id, class_name=new.class_name,
        params=new.params, queue=new.queue, control_hash=new.control_hash, metadata=new.metadata, limits=new.limits,
        status=ev.QUEUED, generation=1, execution=0, last_seq=0, owner=None, due_at=at, log_bytes=0, stored_bytes=0,
        output=None, error=None, rollback=None, created_at=at, started_at=None, ended_at=None, paused_at=None,
        wait_until=None, fresh=True, in_execution=False, injected=new.injected, nonce=new.nonce,
        id_chosen=new.id_chosen,
    )  # fmt: skip


def first_event(new: NewInstance) -> NewEvent:
    """The event that every journal begins with."""
    return NewEvent(ev.WORKFLOW_QUEUED, {"params": new.params, "trigger": new.trigger})


def reads_of(events: Sequence[NewEvent]) -> Reads:
    """The stored rows of steps that `project` looks at for these events.

    A restart looks at all, since it keeps those that began before a step; a resume at the open ones, which it moves in
    time. Of a wait that is given up the result goes back to the inbox.
    """
    steps: set[StepKey] = set()
    results: set[StepKey] = set()
    begun: set[StepKey] = set()
    open_ = all_ = False
    for event in events:
        step, type = event.step, event.type
        if step is None:
            open_ = open_ or type in _READ_OPEN
            all_ = all_ or type in _READ_ALL
        elif type in _BEGIN_STEP:
            begun.add(step)
        elif type in _READ_STEP and step not in begun:
            steps.add(step)
            if type == ev.WAIT_CANCELLED and "returned" in event.data:
                results.add(step)
    return Reads(steps, results, open_, all_)


def project(row: InstanceRow, events: Sequence[NewEvent], at: int, steps: Mapping[StepKey, StepRow]) -> Change:
    """The change that `events`, committed at `at` (epoch milliseconds), make to an instance.

    `steps` are those of the current generation, at least the ones that `reads_of(events)` names.

    Raises:
        JournalError: the events can't follow from the rows.
        NotSerialisable: a value in them can't be stored.
    """
    fold = Fold(row, at, steps, row.last_seq, row.status)
    end_streak(fold, events)
    for event in events:
        rule, columns, others = _PROJECTED.get(event.type, _UNKNOWN)
        fold.apply(event, rule, columns, others)
    keep_clock(fold, events)
    changed = fold.changed
    changed["last_seq"] = fold.last_seq
    return Change(
        replace(row, **changed),
        fold.touched,
        fold.started,
        fold.kept_before,
        list(fold.inbox_added.values()),
        fold.inbox_removed,
        fold.inbox_cleared,
        fold.results,
        fold.kv,
    )
