"""What every store forgets: deleted instances, and those whose time is over."""

import pytest
from store_support import (
    AT,
    create,
    do,
    new,
    printed,
    quick,
    running,
    with_store,
)

from playground.workflows import events as ev
from playground.workflows.errors import InstanceExpired, InstanceNotFound
from playground.workflows.events import NewEvent


@with_store
async def test_a_deleted_instance_leaves_nothing(store):
    row = await running(store)
    await store.append(
        row.key, [*quick(do()), NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": 1})], execution=1, at=AT
    )
    await store.delete(row.key)
    with pytest.raises(InstanceNotFound):
        await store.find("", "i")
    with pytest.raises(InstanceNotFound):
        await store.append(row.key, [printed("late")], execution=1, at=AT)
    assert await store.events(row.key, after=0, limit=9) == []
    assert await store.count() == {}
    again = await running(store)
    assert again.key != row.key
    snapshot = await store.load(again.key)
    assert (dict(snapshot.steps), list(snapshot.inbox)) == ({}, [])


@with_store
async def test_retention_removes_only_what_ended_long_ago(store):
    old, newer, _ = await create(store, "old", "newer", "open")
    await store.append(old.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT + 10)
    await store.append(newer.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT + 20)
    assert await store.expire(AT + 20) == 1
    assert {row.id for row in await store.list("")} == {"newer", "open"}
    assert await store.expire(AT + 20) == 0
    assert await store.count() == {"terminated": 1, "queued": 1}


@with_store
async def test_retention_takes_a_bounded_number_at_a_time(store):
    for row in await create(store, *(f"i{n}" for n in range(7))):
        await store.append(row.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    assert [await store.expire(AT + 1, limit=5) for _ in range(3)] == [5, 2, 0]


@with_store
async def test_a_restarted_instance_is_not_expired(store):
    [row] = await create(store, "a")
    ended = [NewEvent(ev.WORKFLOW_TERMINATED), NewEvent(ev.WORKFLOW_RESTARTED)]
    await store.append(row.key, ended, execution=None, at=AT)
    assert await store.expire(AT + 1) == 0


@with_store
async def test_an_instance_with_a_retention_of_its_own_is_removed_when_that_is_over(store):
    limits = {"success_retention_ms": 10, "error_retention_ms": 30}
    good, bad, again = await create(store, "good", "bad", "again", tenant="acme", limits=limits)
    [other] = await create(store, "other", limits={"success_retention_ms": 5})
    for row in (bad, again, other):
        await store.append(row.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    started = NewEvent(ev.EXECUTION_STARTED, {"execution": 1, "worker": None, "replayed": 0, "code_version": "v"})
    await store.append(good.key, [started, NewEvent(ev.WORKFLOW_COMPLETED, {"output": 1})], execution=None, at=AT)
    await store.append(again.key, [NewEvent(ev.WORKFLOW_RESTARTED)], execution=None, at=AT)
    assert [(await store.find("acme", id)).wait_until for id in ("good", "bad", "again")] == [AT + 10, AT + 30, None]
    assert await store.expire(AT + 10, retained=True) == 0
    assert await store.expire(AT + 11, retained=True) == 1
    assert await store.expire(AT + 31, retained=True) == 1
    assert {row.id for row in await store.list(None)} == {"again", "other"}, "without one, the server's own holds"
    with pytest.raises(InstanceExpired):
        await store.find("acme", "good")


@with_store
async def test_a_step_is_read_by_its_key_without_its_result(store):
    row = await running(store)
    await store.append(row.key, quick(do("a")), execution=1, at=AT)
    row = await store.find("", row.id)
    found = await store.step(row, do("a"))
    assert (found.key, found.status, found.result) == (do("a"), "completed", None) and found.result_seq > 0
    assert await store.step(row, do("a", 2)) is None and await store.step(row, do("b")) is None


@with_store
async def test_the_chosen_id_of_a_tenants_instance_stays_used_once_its_time_is_over(store):
    rows = [
        *await create(store, "chosen", tenant="acme", workflow="orders"),
        *await create(store, "made-up", tenant="acme", id_chosen=False),
        *await create(store, "nobodys"),
    ]
    for row in rows:
        await store.append(row.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    assert await store.expire(AT + 1) == 3
    created, refused = await store.create(
        [new("chosen", tenant="acme"), new("made-up", tenant="acme"), new("nobodys"), new("chosen", tenant="other")],
        at=AT,
    )
    assert [(it.index, it.code) for it in refused] == [(0, "instance.already_exists")] and len(created) == 3
    with pytest.raises(InstanceExpired, match='Instance "chosen" ended long ago') as expired:
        await store.find("acme", "chosen")
    assert (expired.value.workflow, expired.value.details) == ("orders", {"status": "terminated", "ended_at": AT})
    assert await store.forget_used_ids(AT) == 0
    assert await store.forget_used_ids(AT + 1) == 1
    assert not (await store.create([new("chosen", tenant="acme")], at=AT))[1]


@with_store
async def test_an_id_is_free_again_when_its_instance_is_deleted(store):
    [row] = await create(store, "i", tenant="acme")
    await store.delete(row.key)
    await create(store, "i", tenant="acme")
