"""Conversion between rows of the databases' tables and the rows of `store/rows.py`, by the order of columns.

Every database names its columns in this order: `instance_columns`, `step_columns` and so on in its queries.sql.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from playground.store.encoding import (
    decode,
    decode_or_none,
    encode,
    encode_or_none,
    encode_step,
    raw_if_large,
    raw_text_if_large,
)
from playground.store.rows import Awaited, AwaitedChild, Child, InboxRow, InstanceRow, StepRow
from playground.workflows.events import CHILD, DO, STEP_COPIED, Event, NewEvent, StepKey
from playground.workflows.step_bytes import stored_size

INSTANCE_COLUMNS = 31
ORIGIN_COLUMNS = 8
EVENT_COLUMNS = 7
STEP_COLUMNS = 27
INBOX_COLUMNS = 5
APPENDED_COLUMNS = 6


def instance_row(r: Sequence[Any]) -> InstanceRow:
    """From a row of `instance_columns`."""
    return InstanceRow(
        r[0], r[1], r[2], r[3], r[4], r[5], raw_if_large(r[6]), r[7], r[8], decode_or_none(r[9]), decode_or_none(r[10]),
        r[11], r[12], r[13], r[14], r[15], r[16], r[17], r[18], raw_if_large(r[19]), decode_or_none(r[20]),
        r[21], r[22], r[23], r[24], r[25], r[26], bool(r[27]), bool(r[28]), decode_or_none(r[29]),
        r[30], r[31], r[32] != 0, r[33], r[34], r[35], r[36], r[37],
    )  # fmt: skip


def instance_weight(r: Sequence[Any]) -> int:
    """The characters of JSON in a row of `instance_columns`."""
    return sum(len(text) for text in (r[6], r[9], r[10], r[19], r[20], r[29]) if text is not None)


def instance_values(row: InstanceRow) -> tuple[Any, ...]:
    """For insert_instance."""
    return (
        row.key, row.tenant, row.id, row.workflow, row.snippet, row.queue, row.status, row.generation, row.execution,
        row.last_seq, row.owner, row.due_at, row.wait_until, row.fresh, row.in_execution, row.log_bytes,
        row.stored_bytes, encode_or_none(row.output), encode_or_none(row.error), row.rollback, row.created_at,
        row.started_at, row.ended_at, row.paused_at, encode_or_none(row.injected), row.clock, row.crashes, row.clock_at,
        row.flow_key, row.priority, row.held_until,
    )  # fmt: skip


def origin_values(row: InstanceRow) -> tuple[Any, ...]:
    """For insert_origin."""
    params, metadata, limits = encode_or_none(row.params), encode_or_none(row.metadata), encode_or_none(row.limits)
    return (row.key, row.class_name, params, row.control_hash, metadata, limits, row.nonce, row.id_chosen)


def instance_update(row: InstanceRow) -> tuple[Any, ...]:
    """For update_instance."""
    return (
        row.snippet, row.status, row.generation, row.execution, row.last_seq, row.owner, row.due_at, row.wait_until,
        row.fresh, row.in_execution, row.log_bytes, row.stored_bytes, encode_or_none(row.output),
        encode_or_none(row.error), row.rollback, row.started_at, row.ended_at, row.paused_at,
        encode_or_none(row.injected), row.clock, row.crashes, row.clock_at, row.held_until, row.key,
    )  # fmt: skip


def only_appended(before: InstanceRow, after: InstanceRow) -> bool:
    """Whether only `last_seq`, byte counts and the workflow's clock differ, as after most commits."""
    return (
        before.status == after.status
        and before.snippet == after.snippet
        and before.due_at == after.due_at
        and before.owner == after.owner
        and before.execution == after.execution
        and before.in_execution == after.in_execution
        and before.fresh == after.fresh
        and before.wait_until == after.wait_until
        and before.started_at == after.started_at
        and before.ended_at == after.ended_at
        and before.paused_at == after.paused_at
        and before.rollback == after.rollback
        and before.generation == after.generation
        and before.output is after.output
        and before.error is after.error
        and before.injected is after.injected
        and before.crashes == after.crashes
        and before.held_until == after.held_until
        and before.params is after.params
    )


def child(r: Sequence[Any]) -> Child:
    """From a row of `children`."""
    return Child(r[0], r[1], r[2], r[3], r[4], r[5], decode_or_none(r[6]))


def awaited_child(r: Sequence[Any]) -> AwaitedChild:
    """From a row of `awaited_columns`."""
    awaited = Awaited(r[1], step_key(CHILD, r[2], r[3]), r[4], bool(r[5]))
    return AwaitedChild(r[0], awaited, r[6], r[7], *map(bool, r[8:12]))


def awaited_values(key: int, awaited: Awaited) -> tuple[Any, ...]:
    """For insert_awaited."""
    step = awaited.step
    return (key, awaited.parent, step_path(step), step.count, awaited.started_seq, awaited.cascades)


def step_row(r: Sequence[Any]) -> StepRow:
    """From a row of `step_columns` and `result_columns`, or two NULLs where the result is not read."""
    return StepRow(
        step_key(r[0], r[1], r[2]), r[3], r[4], r[5], _config(r[6]), r[7], r[8], r[9], r[10],
        _result(r[23], r[24], r[25]), decode_or_none(r[18]), r[11], r[12], _config(r[13]), r[14], r[15], r[16], r[17],
        r[19], r[20], r[21], r[22], r[23],
    )  # fmt: skip


def steps_by_instance(rows: Sequence[Sequence[Any]]) -> dict[int, list[StepRow]]:
    """From rows of an instance's key and what `step_row` takes."""
    found: dict[int, list[StepRow]] = {}
    for key, *rest in rows:
        found.setdefault(key, []).append(step_row(rest))
    return found


def packed_step_row(r: Sequence[Any]) -> StepRow:
    """From a row of `steps`."""
    packed, own_result, data = r
    return step_row((*decode(packed), own_result, data))


class _ResultData(msgspec.Struct):
    """The data of an event with a result, kept as text: `event` of a `wait_completed`, `output` of the others."""

    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_result_data = msgspec.json.Decoder(_ResultData).decode


def _result(seq: int | None, own_result: str | None, data: bytes | None) -> Any:
    if own_result is not None:
        assert seq is None, "a result stands in the step or in the event, not in both"
        return raw_if_large(own_result)
    if data is None:
        return None
    found = _result_data(data)
    text = found.event if found.output is msgspec.UNSET else found.output
    return None if text is msgspec.UNSET else raw_text_if_large(text)


_STEP_SEPARATOR = "\x1f"  # between the parts of a path: no name holds a control character


def step_key(kind: str, path: str, count: int) -> StepKey:
    """A step from its kind, its path (see `step_path`) and its count."""
    if _STEP_SEPARATOR not in path:
        return StepKey.interned(kind, path, count)
    *outer, name = path.split(_STEP_SEPARATOR)
    parent = None
    for outer_name, outer_count in zip(outer[::2], outer[1::2], strict=True):
        parent = StepKey.interned(DO, outer_name, int(outer_count), parent)
    return StepKey.interned(kind, name, count, parent)


def step_path(key: StepKey) -> str:
    """The name of a step, after the names and counts of its parent steps."""
    return (
        key.name
        if key.parent is None
        else f"{step_path(key.parent)}{_STEP_SEPARATOR}{key.parent.count}{_STEP_SEPARATOR}{key.name}"
    )


@lru_cache(maxsize=1_000)
def _config(text: str | None) -> Any:
    """A step's config, shared between equal steps, so never mutated."""
    return decode_or_none(text)


def step_values(
    instance: int, generation: int, row: StepRow, result: str | None, *, is_new: bool = True
) -> tuple[Any, ...]:
    """For insert_steps; `result` is JSON text, None where an event holds it, or, unless `is_new`, the stored row."""
    if is_new or result is not None:
        _check_result(row, result)
    key = row.key
    return (
        instance, generation, key.kind, step_path(key), key.count, row.status, row.started_seq, row.line,
        encode_or_none(row.config), row.attempt, row.failures, row.losses, row.until, row.event_type, row.rollback,
        encode_or_none(row.rollback_config), row.rollback_attempt, row.rollback_failures, row.rollback_until,
        row.result_bytes, encode_or_none(row.error), row.started_clock, row.ended_seq, row.clock, row.received,
        row.result_seq, result,
    )  # fmt: skip


def copied_parts(events: Sequence[NewEvent]) -> list[tuple[str, int]]:
    """The name and count of each step that is copied into a new instance with large bytes."""
    return [
        (step_path(event.step), event.step.count)
        for event in events
        if event.type == STEP_COPIED and event.step is not None and stored_size(event.data.get("output")) is not None
    ]


def step_update(instance: int, generation: int, row: StepRow, *result: str) -> tuple[Any, ...]:
    """For update_step, or, with the JSON text of a result that the row stores, for end_step."""
    if result:
        _check_result(row, *result)
    key = row.key
    return (
        row.status, row.attempt, row.failures, row.losses, row.until, row.rollback, row.rollback_attempt,
        row.rollback_failures, row.rollback_until, encode_or_none(row.error), row.ended_seq, row.clock, row.received,
        row.result_bytes, row.result_seq, *result,
        instance, generation, key.kind, step_path(key), key.count,
    )  # fmt: skip


def _check_result(row: StepRow, own_result: str | None) -> None:
    """Assert that a result is stored in the step or in the event that ended it, in exactly one."""
    assert (own_result is not None) + (row.result_seq is not None) == (row.result_bytes > 0), (
        f"the result of step {row.key}"
    )


def inbox_row(r: Sequence[Any]) -> InboxRow:
    """From a row of `inbox`."""
    return InboxRow(r[0], r[1], r[2], raw_if_large(r[3]))


def inbox_values(instance: int, row: InboxRow) -> tuple[Any, ...]:
    """For insert_inbox."""
    return (instance, row.seq, row.at, row.type, encode(row.payload))


def event(r: Sequence[Any]) -> Event:
    """From a row of `events_after`."""
    step = None
    if r[4] is not None:
        step = StepKey.from_json(decode(r[4]))
    return Event(r[0], r[1], r[2], r[3], step, decode(r[5]))


def event_json(r: Sequence[Any]) -> tuple[int, str, bytes]:
    """From a row of `events_after` read as bytes: (seq, type, JSON), without parsing what is stored."""
    seq, at, kind, execution, step, data = r
    number = b"null" if execution is None else b"%d" % execution
    step_json = b"" if step is None else b',"step":' + step
    return (
        seq,
        kind.decode(),
        b'{"seq":%d,"at":%d,"type":"%b","execution":%b%b,"data":%b}' % (seq, at, kind, number, step_json, data),
    )


def event_values(
    row: InstanceRow, events: Sequence[NewEvent], execution: int | None, at: int
) -> tuple[list[Any], list[Event]]:
    """For insert_events, and the events as the journal will hold them."""
    key, seq = row.key, row.last_seq
    step, step_json = None, None
    values: list[Any] = []
    written = []
    for event in events:
        seq += 1
        if event.step is not step:
            step = event.step
            step_json = None if step is None else encode_step(step)
        values += (key, seq, at, event.type, execution, step_json, encode(event.data))
        written.append(Event(seq, at, event.type, execution, event.step, event.data))
    return values, written
