"""What every store gives back: journals, streams, values, lists and counts."""

import asyncio
import json

import pytest
from store_support import (
    AT,
    attempt,
    claim,
    completed,
    create,
    do,
    execution_ended,
    execution_started,
    printed,
    quick,
    running,
    sleep,
    started,
    wait,
    with_store,
)

from playground.store.encoding import as_objects
from playground.store.protocol import ClaimLimits, QueueLimit
from playground.store.rows import InboxRow
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound
from playground.workflows.events import NewEvent


@with_store
async def test_what_is_loaded_is_what_the_journal_says(store):
    row = await running(store)
    await store.append(row.key, quick(do("a"), [1]), execution=1, at=AT)
    await store.append(row.key, [started(do("b")), attempt(do("b"))], execution=1, at=AT)
    await store.append(row.key, [started(sleep()), started(wait())], execution=1, at=AT)
    await store.append(row.key, [completed(do("b"), ev.REDACTED, secret="pw")], execution=1, at=AT)
    await store.append(
        row.key, [NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": "p"})], execution=None, at=AT + 3
    )
    snapshot = await store.load(row.key)
    assert snapshot.row == await store.find("", "i") == await store.row(row.key)
    with pytest.raises(InstanceNotFound, match="no instance number 99"):
        await store.row(99)
    assert [(key, step.status) for key, step in snapshot.steps.items()] == [
        (do("a"), "completed"),
        (do("b"), "completed"),
        (sleep(), "open"),
        (wait(), "open"),
    ]
    assert snapshot.steps[do("b")].result == "pw"
    assert snapshot.inbox == [InboxRow(snapshot.row.last_seq, AT + 3, "go", "p")]
    assert "pw" not in json.dumps([event.as_json() for event in await store.events(row.key, after=0, limit=99)])


@with_store
async def test_events_are_read_from_where_one_left_off(store):
    row = await running(store)
    await store.append(row.key, [printed(str(n)) for n in range(10)], execution=1, at=AT)
    assert [event.seq for event in await store.events(row.key, after=4, limit=3)] == [5, 6, 7]
    assert await store.events(row.key, after=13, limit=3) == []
    assert await store.events(99, after=0, limit=3) == []


@with_store
async def test_a_stream_reads_the_same_events_as_json(store):
    row = await running(store)
    nasty = 'quote " backslash \\ newline \n </script> \u2028 ñ 🎉 \x00'
    step = do(nasty.replace("\x00", "").replace("\n", ""))
    events = [started(step), attempt(step), completed(step, {nasty: [nasty, 1.5, 2**70, None, True]}), printed(nasty)]
    await store.append(row.key, events, execution=1, at=AT)
    await store.append(row.key, [NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": []})], execution=None, at=AT)
    read = await store.events(row.key, after=0, limit=99)
    as_json = await store.events_json(row.key, after=0, limit=99)
    assert [json.loads(text) for _, _, text in as_json] == [event.as_json() for event in read]
    assert [(seq, type) for seq, type, _ in as_json] == [(event.seq, event.type) for event in read]
    assert as_json[0][2].startswith(b'{"seq":1,"at":1700000000000,"type":"workflow_queued","execution":null,"data":{')


@with_store
async def test_a_stream_can_read_events_of_some_types_only(store):
    row = await running(store)
    await store.append(row.key, [*quick(do(), "x"), printed("hi"), printed("ho")], execution=1, at=AT)
    everything = await store.events_json(row.key, after=0, limit=99)
    types = {ev.LOG, ev.STEP_STARTED}
    found = await store.events_json(row.key, after=0, limit=99, types=types)
    assert found == [event for event in everything if event[1] in types]
    assert len(found) == 3
    assert await store.events_json(row.key, after=found[0][0], limit=1, types=types) == found[1:2]
    assert await store.events_json(row.key, after=found[-1][0], limit=99, types=types) == []
    assert await store.events_json(row.key, after=0, limit=99, types=()) == []


@with_store
async def test_a_large_value_comes_back_whole(store):
    row = await running(store, params={"text": "x" * 1_000_000})
    await store.append(row.key, quick(do(), "ñ" * 500_000), execution=1, at=AT)
    snapshot = await store.load(row.key)
    assert as_objects(snapshot.steps[do()].result) == "ñ" * 500_000
    assert as_objects(snapshot.row.params) == {"text": "x" * 1_000_000}
    assert snapshot.row.stored_bytes == len('{"text":""}""') + 2_000_000


@with_store
async def test_instances_are_listed_newest_first(store):
    rows = await create(store, *(f"a{n}" for n in range(6)), tenant="x") + await create(store, "b", tenant="y")
    await store.append(rows[2].key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    ids = [row.id for row in await store.list(None, limit=3)]
    assert ids == ["b", "a5", "a4"]
    assert [row.id for row in await store.list("x", before=rows[4].key, limit=2)] == ["a3", "a2"]
    assert [row.id for row in await store.list("x", status="terminated")] == ["a2"]
    assert [row.id for row in await store.list(None, status="terminated")] == ["a2"]
    assert [row.id for row in await store.list("x")] == ["a5", "a4", "a3", "a2", "a1", "a0"]
    assert await store.list("z") == []


@with_store
async def test_counts_follow_every_change(store):
    await create(store, "a", "b", tenant="x", queue="q1")
    await create(store, "c", tenant="x", queue="q2")
    await create(store, "d", tenant="y", queue="q2")
    [row] = await claim(store, 1, at=AT)
    await store.append(row.key, [execution_started()], execution=1, at=AT)
    assert await store.count() == {"queued": 3, "running": 1}
    assert await store.count(tenant="x") == {"queued": 2, "running": 1}
    assert await store.count(queue="q2") == {"queued": 2}
    assert await store.count(tenant="x", queue="q1") == {"queued": 1, "running": 1}
    await store.append(row.key, [execution_ended(), NewEvent(ev.WORKFLOW_COMPLETED, {"output": 0})], execution=1, at=AT)
    assert await store.count(tenant="x", queue="q1") == {"queued": 1, "complete": 1}
    await store.delete(row.key)
    assert await store.count(tenant="x", queue="q1") == {"queued": 1}
    assert await store.count(tenant="nobody") == {}


@with_store
async def test_counts_are_right_when_changes_of_one_commit_cancel_out(store):
    [row] = await create(store, "a")

    def status_of(snapshot):
        return []

    await asyncio.gather(
        store.append(row.key, [NewEvent(ev.WORKFLOW_PAUSED)], execution=None, at=AT),
        store.decide(row.key, status_of, execution=None, at=AT),
        store.append(row.key, [NewEvent(ev.WORKFLOW_RESUMED)], execution=None, at=AT),
    )
    assert await store.count() == {"queued": 1}


@with_store
async def test_text_of_tenants_is_never_sql(store):
    evil = "x'); DROP TABLE instance; --"
    await create(store, evil, tenant=evil, queue=evil, workflow=evil, class_name=evil)
    await store.put_snippet(evil, evil, at=AT)
    [row] = await claim(store, 5, node=evil, limits=ClaimLimits(own={evil: QueueLimit(5)}), closed=[(evil, "other")])
    assert (row.id, row.owner) == (evil, f"{evil}.1")
    assert [found.id for found in await store.list(evil, status="queued")] == [evil]


@with_store
async def test_a_result_of_every_kind_is_read_from_where_it_stands(store):
    row = await running(store)
    large = ["\u00f1" * 200, {"output": 1}]
    results = [None, 0, "", "x" * 127, large, {"output": large}, {"event": [1]}, {"$date": 5}]
    for number, result in enumerate(results, 1):
        await store.append(row.key, quick(do("shown", number), result), execution=1, at=AT)
        hidden = do("hidden", number)
        events = [started(hidden), completed(hidden, ev.REDACTED, {"true": result})]
        await store.append(row.key, events, execution=1, at=AT)
    given = {"type": "go", "payload": large, "timestamp": AT}
    events = [started(wait()), NewEvent(ev.WAIT_COMPLETED, {"event": given}, wait())]
    await store.append(row.key, events, execution=1, at=AT)
    await store.shrink()
    steps = (await store.load(row.key)).steps
    for number, result in enumerate(results, 1):
        shown, hidden = steps[do("shown", number)], steps[do("hidden", number)]
        assert as_objects(shown.result) == result and shown.result_seq == shown.ended_seq
        assert as_objects(hidden.result) == {"true": result} and hidden.result_seq is None
    assert as_objects(steps[wait()].result) == given


@with_store
async def test_open_waits_are_found_by_instance_the_newest_first_and_only_so_many(store):
    schema = {"schema": {"type": "boolean"}}
    rows = [await running(store, id) for id in ("old", "new", "none")]
    for row in rows[:2]:
        waits = [NewEvent(ev.WAIT_STARTED, {"event_type": "go", "until": AT + 9, "config": schema}, wait("w", number))
                 for number in (1, 2)]  # fmt: skip
        await store.append(row.key, [started(do("a")), *waits], execution=1, at=AT)
    await store.append(rows[0].key, [NewEvent(ev.WAIT_TIMED_OUT, {"error": {}}, wait("w", 1))], execution=1, at=AT)
    keys = [row.key for row in rows]
    found = await store.open_waits(keys, limit=9)
    shown = {key: [(it.key, it.config, it.until) for it in steps] for key, steps in found.items()}
    both = [(wait("w", number), schema, AT + 9) for number in (1, 2)]
    assert shown == {keys[0]: both[1:], keys[1]: both} and list(found) == [keys[1], keys[0]]
    assert {key: len(steps) for key, steps in (await store.open_waits(keys, limit=1)).items()} == {keys[1]: 1}
    assert await store.open_waits([], limit=9) == {}
