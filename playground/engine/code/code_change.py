"""Changes the code of a living instance: a dry run on its history must be compatible; the next execution runs the code.

A worker that is there is evicted: its open attempts are lost with it and tried again with the new code.
"""

from collections.abc import Sequence
from dataclasses import replace

from playground.engine import operations
from playground.engine.code.compatibility import OLD_WAY, Compatibility
from playground.engine.engine import Engine
from playground.store.protocol import Committed, Decider, DeciderWithNeeds, History, Needs, Snapshot
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import CannotMigrate, IncompatibleCode, InstanceInFiniteState
from playground.workflows.events import NewEvent

TRIES = 3  # dry runs, since the history may grow meanwhile
SHOWN = 100  # steps of either list that a refusal shows; a dry run reports no more

_ENDED = (
    'Instance "{id}" has ended ({status}); there is nothing left to run. Fork it to run other code from one of its '
    "steps."
)
_ROLLING_BACK = 'Instance "{id}" is rolling back; its handlers run with the code that began the steps.'
_SLOW = 'The code could not be tried on the history of instance "{id}": it took too long, or its worker died.'
_LOST = (
    'The code does not fit the history of instance "{id}": it does not come to {steps}{called}. Fork before that step '
    "to run it, or keep the old code."
)
_CALLED = " (it calls {names} outside steps, which a dry run refuses)"
_GONE_ON = 'Instance "{id}" has gone on while the code was tried. Pause it first, or try again.'


async def change_code(engine: Engine, row: InstanceRow, source: str) -> Committed:
    """Let an instance go on with other code, which has been checked. The same code again has no effect.

    Raises:
        IncompatibleCode: the code does not come to a step that the history holds; `recorded` and `requested` list both.
        InstanceInFiniteState: the instance has ended.
        CannotMigrate: it is rolling back.
        Busy: there can be no dry run now.
        InstanceNotFound: the instance has just been deleted.
    """
    snippet = await engine.store.put_snippet(source, None, at=engine.clock.now())
    for _ in range(TRIES):
        history = await engine.store.load(row.key)
        _check_status(history.row)
        code = await engine.code(history.row)
        if code.source == source:
            return Committed((), history.row)
        result = await engine.dry_run(replace(code, source=source, version=snippet.id), history)
        if not result.is_compatible:
            raise _refusal(history, result)
        try:
            return await engine.operate(row, _change(snippet.id, history, result))
        except _HistoryGrew:
            continue
    raise CannotMigrate(_GONE_ON.format(id=row.id))


class _HistoryGrew(Exception):
    """The history has a step that the dry run did not have."""


def _change(snippet: str, history: History, result: Compatibility) -> Decider:
    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        _check_status(row)
        assert snapshot.keys is not None
        if row.generation != history.row.generation or not snapshot.keys - history.steps.keys() <= set(
            result.requested
        ):
            raise _HistoryGrew
        if row.snippet == snippet:
            return []
        return [*operations.evict(snapshot), NewEvent(ev.CODE_CHANGED, {"from": row.snippet, "snippet": snippet})]

    return DeciderWithNeeds(decide, Needs(keys=True))


def _check_status(row: InstanceRow) -> None:
    if row.status in ev.FINAL_STATUSES:
        raise InstanceInFiniteState(_ENDED.format(id=row.id, status=row.status))
    if row.rollback == "running":
        raise CannotMigrate(_ROLLING_BACK.format(id=row.id))


def _refusal(history: History, result: Compatibility) -> IncompatibleCode:
    """The refusal: the steps of the history, and those that the code came to: read ones first, then new ones."""
    if not result.in_time:
        return IncompatibleCode(_SLOW.format(id=history.row.id), recorded=[], requested=[])
    if result.old_ways:
        message = OLD_WAY.format(id=history.row.id, name=result.old_ways[0])
        return IncompatibleCode(message, recorded=[], requested=[])
    steps = [
        step.key
        for step in sorted(history.steps.values(), key=lambda step: step.started_seq)
        if step.key.kind != ev.PATCH
    ]
    # The worker reports only the first of many.
    reported = len(steps) if len(result.recorded) < SHOWN else steps.index(result.recorded[-1])
    read = [step for step in steps[:reported] if step not in result.recorded]
    lost = ", ".join(f'"{step.name}"' + (f" ({step.count})" if step.count > 1 else "") for step in result.recorded[:3])
    more = f" and {len(result.recorded) - 3} more" if len(result.recorded) > 3 else ""
    called = _CALLED.format(names=", ".join(result.called)) if result.called else ""
    first = steps.index(result.recorded[0])
    start = max(0, first - SHOWN // 2)  # a long history is reported around the first difference
    requested = [*read, *result.requested]
    return IncompatibleCode(
        _LOST.format(id=history.row.id, steps=lost + more, called=called),
        recorded=[step.as_json() for step in steps[start : start + SHOWN]],
        requested=[step.as_json() for step in requested[start : start + SHOWN]],
        skipped=start,
    )
