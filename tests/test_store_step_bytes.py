"""What every store does with parts of large bytes: fenced, replaced, dropped with their instance, copied by forks."""

import pytest
from store_support import AT, create, do, new, quick, running, with_store

from playground.workflows import events as ev
from playground.workflows.errors import Fenced
from playground.workflows.events import NewEvent, StepKey
from playground.workflows.step_bytes import stand_in

LARGE, OTHER, UNKNOWN = do("large"), do("other"), do("unknown")


def ended(step: StepKey, size: int) -> list[NewEvent]:
    """A step that returned so many bytes."""
    return quick(step, stand_in(size, "0" * 64))


async def parts(store, key: int, step: StepKey) -> list[bytes]:
    found: list[bytes] = []
    while (part := await store.step_bytes.part(key, step, len(found))) is not None:
        found.append(part)
    return found


@with_store
async def test_the_first_part_of_an_attempt_replaces_those_of_the_last_one(store):
    row = await running(store)
    for number, data in enumerate([b"a" * 9, b"b" * 9, b"c"]):
        await store.step_bytes.put(row.key, LARGE, number, data, execution=1)
    assert await parts(store, row.key, LARGE) == [b"a" * 9, b"b" * 9, b"c"]
    inner = StepKey(ev.DO, "large", 1, LARGE)
    await store.step_bytes.put(row.key, inner, 0, b"inner", execution=1)
    await store.step_bytes.put(row.key, LARGE, 0, b"anew", execution=1)
    await store.step_bytes.put(row.key, LARGE, 0, b"again", execution=1)
    assert (await parts(store, row.key, LARGE), await parts(store, row.key, inner)) == ([b"again"], [b"inner"])
    assert await parts(store, row.key, OTHER) == await parts(store, row.key + 1, LARGE) == []


@with_store
async def test_parts_of_another_execution_or_of_an_instance_that_is_not_played_are_refused(store):
    row = await running(store)
    (idle,) = await create(store, "idle")
    for key, execution in ((row.key, 2), (row.key, 0), (idle.key, 0), (idle.key, 1), (row.key + 99, 1)):
        with pytest.raises(Fenced):
            await store.step_bytes.put(key, LARGE, 0, b"late", execution=execution)
        with pytest.raises(Fenced):
            await store.step_bytes.clear(key, execution=execution)
        assert await parts(store, key, LARGE) == []


@with_store
async def test_parts_that_no_result_stands_for_are_cleared_and_counted_ones_stay(store):
    row = await running(store)
    for step in (LARGE, OTHER, UNKNOWN):
        await store.step_bytes.put(row.key, step, 0, b"x" * 1_000, execution=1)
    before = (await store.find("", "i")).stored_bytes
    events = [*ended(LARGE, 1_000), *quick(OTHER)]
    await store.append(row.key, events, execution=1, at=AT)
    await store.step_bytes.clear(row.key, execution=1)
    assert await parts(store, row.key, LARGE) == [b"x" * 1_000]
    assert await parts(store, row.key, OTHER) == await parts(store, row.key, UNKNOWN) == []
    assert 1_000 < (await store.find("", "i")).stored_bytes - before < 1_200


@with_store
async def test_a_fork_has_parts_of_its_own_and_a_deletion_takes_its_instances(store):
    row = await running(store)
    for step in (LARGE, OTHER):
        await store.step_bytes.put(row.key, step, 0, b"y" * 500, execution=1)
    await store.append(row.key, [*ended(LARGE, 500), *ended(OTHER, 500)], execution=1, at=AT)
    data = {"status": "completed", "line": 1, "ended": 1, "output": stand_in(500, "0" * 64)}
    copied = NewEvent(ev.STEP_COPIED, data, LARGE)
    fork = new("fork", trigger={"kind": "fork", "of": "i", "seq": 1}, parent=row.key, events=[copied])
    (forked,), _ = await store.create([fork], at=AT)
    await store.delete(row.key)
    assert await parts(store, row.key, LARGE) == []
    assert (await parts(store, forked.key, LARGE), await parts(store, forked.key, OTHER)) == ([b"y" * 500], [])
    assert forked.stored_bytes > 500
