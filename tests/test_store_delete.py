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
