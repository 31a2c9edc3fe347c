"""Forks: a new instance whose journal begins with the finished steps of another one, up to a step.

Copied are the finished steps that started before that step; with an edited result, the step itself too. Waits keep
their events, and steps what they wrote to keys of the instance's own. Open steps, the inbox and effects stay with the
parent. A fork copies at most `COPIED_BYTES`, so that other commits do not wait long for it.

The steps of a run that is no instance here, but came as a file, are copied in the same way (`events_of_results`):
whoever starts the run brings their results, as who forks one may edit them.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from playground.engine import messages
from playground.engine.creation import CreateInstance
from playground.engine.engine import Engine
from playground.sandbox import frames
from playground.store.encoding import Encoded, StoredEvent, as_objects, encode_shown, read_event
from playground.store.protocol import History, Store
from playground.store.rows import STEP_COMPLETED, STEP_ERRORED, InstanceRow, StepRow
from playground.workflows import event_rules, names, values
from playground.workflows import events as ev
from playground.workflows.errors import CannotFork, InstanceNotFound, InvalidEventType, TooLarge
from playground.workflows.events import NewEvent, StepKey, outermost
from playground.workflows.names import split_event_types
from playground.workflows.tags import tags_of

FORK = "fork"  # the kind of its trigger
NO_EDIT: Any = msgspec.UNSET  # no edited result

PAGE_OF_EVENTS = 1_000  # of the parent's journal, read at a time
# Of results and keys that one fork copies, so that other commits do not wait long for it.
COPIED_BYTES = 16 * 1024 * 1024

_NO_STEP = 'Instance "{id}" has no step "{step}" ({kind}) to fork from.'
_INSIDE = 'Step "{step}" runs inside another one. Fork from "{outer}".'
_NO_RESULT = "A sleep has no result to edit. Fork from the step after it to keep it."
_TOO_MUCH = "A fork there would copy {size:,} bytes of results; the limit is {most:,}. Fork at an earlier step."
_OUTPUT_OF = "`output` is the edited result of a step; `from_step` says of which."


@dataclass(frozen=True, slots=True)
class Result:
    """How a step ended that a new run begins with: with an output in the form in which the API shows results (of a wait
    the payload of its event), with an error, or, a wait, by its timeout.

    `event_type` and `timestamp` are of a wait's event.
    """

    step: StepKey
    output: Any = NO_EDIT
    error: tuple[str | None, str | None] | None = None
    line: int | None = None
    event_type: str | None = None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork that can be made.

    `template` lacks only whose it is; `bytes` is what it stores; `sensitive` is a step whose copied result its parent
    does not show, or None.
    """

    template: CreateInstance
    bytes: int
    sensitive: StepKey | None


async def plan(engine: Engine, row: InstanceRow, from_step: StepKey | None = None, output: Any = NO_EDIT) -> Fork:
    """What a fork of an instance begins with.

    Without `from_step` that is all it has finished, but for the step whose error ended it. `output` is the edited
    result of `from_step`, in the form in which the API shows results; of a wait it is the payload of the event.

    Raises:
        CannotFork: there is no such step, or it has no result.
        NotSerialisable, TooLarge: the edited result can't be stored, or there is too much to copy.
        InstanceNotFound: the instance has just been deleted.
    """
    if output is not NO_EDIT and from_step is None:
        raise CannotFork(_OUTPUT_OF)
    edited = output
    if output is not NO_EDIT:
        edited = await asyncio.to_thread(encode_shown, output, "output", engine.settings.value_bytes)
    async with engine.fork_slots:  # a history holds all results of an instance
        snapshot = await engine.store.load(row.key)
        copied, seq = _copied_steps(snapshot, from_step)
        parent = await _read_parent(engine.store, snapshot.row)
        order = {
            step.key: place
            for place, step in enumerate(sorted(copied, key=lambda step: step.ended_seq or step.started_seq), 1)
        }
        events = [_copied(step, parent, order[step.key]) for step in copied]
        if edited is not NO_EDIT:
            assert from_step is not None, "checked above"
            events.append(_edited(snapshot.steps[from_step], edited, engine.clock.now()))
    events += [
        _copied_patch(row) for row in snapshot.steps.values() if row.key.kind == ev.PATCH and row.started_seq < seq
    ]
    if not row.tenant:
        names = {step.key for step in copied}
        events += [event for at, event in parent.keys if at < seq or event.step in names]
    sensitive = next(
        (step.key for step in copied if (step.config or {}).get("sensitive") and step.status == STEP_COMPLETED), None
    )
    trigger: dict[str, Any] = {"kind": FORK, "of": row.id, "seq": seq}
    if from_step is not None:
        trigger["step"] = from_step.as_json()
    stored = sum(step.result_bytes for step in copied) + sum(
        frames.size_of(event.data) for event in events if event.type == ev.KV_PUT or event.data.get("edited")
    )
    if stored > COPIED_BYTES:
        raise TooLarge(_TOO_MUCH.format(size=stored, most=COPIED_BYTES), limit=COPIED_BYTES, size=stored)
    return Fork(_template(snapshot.row, trigger, events), stored, sensitive)


def events_of_results(results: Sequence[Result], now: int, bytes_max: int) -> list[NewEvent]:
    """What the journal of a run begins with that has these finished steps, in the order of their ends.

    Raises:
        CannotFork: a step can't begin a run, or two are the same.
        NotSerialisable, TooLarge: an output can't be stored.
    """
    seen: set[StepKey] = set()
    events = []
    for place, it in enumerate(results, 1):
        step = it.step
        if step.parent is not None or step.kind not in (ev.DO, ev.SLEEP, ev.WAIT) or not names.is_step_name(step.name):
            raise CannotFork(f'"{step.label[:80]}" can\'t begin a run: steps, sleeps and waits of `run` itself can.')
        if step in seen:
            raise CannotFork(f'The {step.kind} "{step.label[:80]}" is there twice.')
        seen.add(step)
        events.append(NewEvent(ev.STEP_COPIED, {"ended": place, "attempts": 0, **_ended(it, now, bytes_max)}, step))
    return events


def _ended(result: Result, now: int, bytes_max: int) -> dict[str, Any]:
    """How a step ended, as its event says it."""
    step = result.step
    data: dict[str, Any] = {"status": event_rules.COMPLETED, "line": result.line}
    if step.kind == ev.WAIT:
        data["event_type"] = result.event_type or ""
        try:
            names.check_event_type(data["event_type"])
        except InvalidEventType as refused:
            raise CannotFork(f'The `type` of the wait "{step.label}": {refused.message}') from None
    if result.error is not None:
        if step.kind == ev.SLEEP:
            raise CannotFork(f'"{step.label}" is a sleep, which cannot fail.')
        try:
            name, message = result.error
            error = messages.given_error(name, message or "", result.line)
        except ValueError as refused:
            raise CannotFork(f'"{step.label}": {refused}') from None
        if step.kind == ev.WAIT:
            return {**data, "status": event_rules.TIMED_OUT, "error": {**error, "name": messages.TIMEOUT}}
        return {**data, "status": event_rules.ERRORED, "error": error}
    if step.kind == ev.SLEEP:
        return data
    if result.output is NO_EDIT:
        raise CannotFork(f'"{step.label}" has neither an output nor an error.')
    tree = encode_shown(result.output, f"output of {step.label}", bytes_max)
    if step.kind == ev.WAIT:
        at = now if result.timestamp is None else result.timestamp
        tree = {"type": data["event_type"], "payload": tree, "timestamp": at}
    return {**data, "output": tree}


def _template(row: InstanceRow, trigger: Mapping[str, Any], events: Sequence[NewEvent]) -> CreateInstance:
    return CreateInstance(
        None,
        params=Encoded(row.params),
        tenant=row.tenant,
        workflow=row.workflow,
        class_name=row.class_name,
        metadata=values.decode(row.metadata),
        limits=dict(row.limits) if row.limits else None,
        trigger=trigger,
        version=row.snippet,
        events=events,
        parent=row.key,
        tags=tags_of(row.injected),
    )


def _copied_steps(snapshot: History, from_step: StepKey | None) -> tuple[list[StepRow], int]:
    """The steps that a fork copies, by start, and the seq of the parent's journal at which it branches off."""
    over = [step for step in snapshot.steps.values() if step.is_over and step.key.kind not in ev.ROW_KINDS]
    if from_step is None:
        last, seq = _step_that_ended(snapshot, over), snapshot.row.last_seq
        over = [step for step in over if step is not last]
    else:
        first = snapshot.steps.get(from_step)
        if from_step.parent is not None:
            raise CannotFork(_INSIDE.format(step=from_step, outer=outermost(from_step)))
        if first is None:
            raise CannotFork(_NO_STEP.format(id=snapshot.row.id, step=from_step, kind=from_step.kind))
        seq = first.started_seq
        over = [step for step in over if step.started_seq < seq]
    return sorted(over, key=lambda step: step.started_seq), seq


def _step_that_ended(snapshot: History, steps: Iterable[StepRow]) -> StepRow | None:
    """The step whose error was not caught: a fork with a copy of it would end as its parent did."""
    error = snapshot.row.error
    if error is None:
        return None
    same = [
        step
        for step in steps
        if step.error is not None and (step.error["name"], step.error["message"]) == (error["name"], error["message"])
    ]
    return max(same, key=lambda step: step.started_seq, default=None)


def _copied(step: StepRow, parent: "_ParentJournal", ended: int) -> NewEvent:
    """A finished step as the fork's journal has it; `ended` is its place among those that ended."""
    status = event_rules.COMPLETED if step.status == STEP_COMPLETED else event_rules.ERRORED
    if step.key.kind == ev.WAIT and status == event_rules.ERRORED:
        status = event_rules.TIMED_OUT
    data: dict[str, Any] = {
        "status": status,
        "line": step.line,
        "ended": ended,
        **parent.durations.get(step.key, {}),
        **_fields_of_row(step),
    }
    if step.status == STEP_ERRORED:
        return NewEvent(ev.STEP_COPIED, {**data, "error": step.error}, step.key)
    if step.key.kind == ev.SLEEP:
        return NewEvent(ev.STEP_COPIED, data, step.key)
    shown = parent.shown_outputs.get(step.key, step.result)
    hidden = shown is not step.result and shown != step.result
    return NewEvent(ev.STEP_COPIED, {**data, "output": shown}, step.key, step.result if hidden else None)


def _copied_patch(row: StepRow) -> NewEvent:
    """The way that its parent took at a change of the code, which a fork takes too."""
    return NewEvent(ev.PATCH_DECIDED, {"patched": bool(row.result), "line": row.line, "copied": True}, row.key)


def _edited(step: StepRow, tree: Any, now: int) -> NewEvent:
    """The step that a fork begins at, with another result."""
    data: dict[str, Any] = {
        "status": event_rules.COMPLETED,
        "line": step.line,
        "attempts": 0,
        "edited": True,
        **_fields_of_row(step),
    }
    if step.key.kind == ev.SLEEP:
        raise CannotFork(_NO_RESULT)
    if step.key.kind == ev.WAIT:
        first = split_event_types(step.event_type or "")[0]
        type = as_objects(step.result)["type"] if step.status == STEP_COMPLETED else first
        tree = {"type": type, "payload": tree, "timestamp": now}
    if (step.config or {}).get("sensitive"):
        return NewEvent(ev.STEP_COPIED, {**data, "output": ev.REDACTED}, step.key, tree)
    return NewEvent(ev.STEP_COPIED, {**data, "output": tree}, step.key)


def _fields_of_row(step: StepRow) -> dict[str, Any]:
    named = {
        "config": step.config,
        "child" if step.key.kind == ev.CHILD else "event_type": step.event_type,
        "rollback": step.rollback_config,
        "began_us": step.started_clock,
        "clock_us": step.clock,
    }
    return {name: value for name, value in named.items() if value is not None}


# What the parent's journal has beyond its rows.


_REDACTED = ev.REDACTED.encode()


class _ParentJournal:
    """How long steps took and how often they were tried, what is shown of results that hold secrets, and what was
    written to keys.
    """

    def __init__(self) -> None:
        self.durations: dict[StepKey, dict[str, Any]] = {}
        self.shown_outputs: dict[StepKey, Any] = {}
        self.keys: list[tuple[int, NewEvent]] = []
        self._started_at: dict[StepKey, int] = {}

    def add(self, event: StoredEvent) -> None:
        step = event.step_key
        if event.type in (ev.KV_PUT, ev.KV_DELETED):
            self.keys.append((event.seq, NewEvent(event.type, msgspec.json.decode(event.data), step)))
        elif step is None:
            return
        elif event.type in (ev.STEP_STARTED, ev.SLEEP_STARTED, ev.WAIT_STARTED, ev.CHILD_STARTED):
            self._started_at[step] = event.at
            self.durations[step] = {"attempts": 0}
        elif event.type == ev.STEP_GIVEN:
            self.durations[step] = {"attempts": 0}
        elif event.type == ev.ATTEMPT_STARTED:
            self.durations[step]["attempts"] += 1
        elif event.type in (
            ev.STEP_COMPLETED,
            ev.STEP_ERRORED,
            ev.SLEEP_COMPLETED,
            ev.WAIT_COMPLETED,
            ev.WAIT_TIMED_OUT,
            ev.CHILD_COMPLETED,
            ev.CHILD_ERRORED,
        ):
            self.durations[step]["took_ms"] = event.at - self._started_at[step]
        elif event.type == ev.STEP_COPIED:
            data = msgspec.json.decode(event.data, type=dict[str, msgspec.Raw])
            self.durations[step] = {
                name: msgspec.json.decode(data[name]) for name in ("attempts", "took_ms") if name in data
            }
        if step is not None and event.type in (ev.STEP_COMPLETED, ev.CHILD_COMPLETED, ev.STEP_COPIED, ev.STEP_GIVEN):
            self.shown_outputs.pop(step, None)
            if _REDACTED in bytes(event.data):
                self.shown_outputs[step] = msgspec.json.decode(event.data).get("output")


async def _read_parent(store: Store, row: InstanceRow) -> _ParentJournal:
    parent, after = _ParentJournal(), 0
    while after < row.last_seq:
        page = await store.events_json(row.key, after=after, limit=PAGE_OF_EVENTS)
        if not page:
            raise InstanceNotFound(f'Instance "{row.id}" has just been deleted.')
        for seq, _, text in page:
            if seq <= row.last_seq:
                parent.add(read_event(text))
        after = page[-1][0]
    return parent
