"""Operations on many instances in both databases: who takes one, how far it is, and what stays of those that ended."""

from pathlib import Path

from aio import story
from msgspec.structs import replace
from store_support import AT, with_store

from playground.store.bulks import DONE, PART, Bulk, Target
from playground.store.protocol import Store
from playground.store.sqlite.store import SqliteStore


def new(id: str, tenant: str = "acme", at: int = AT) -> Bulk:
    return Bulk(tenant, id, {"operation": "pause"}, {"tags": ["vip"]}, "running", 0, created_at=at, due_at=at)


@with_store
async def test_one_is_taken_once_and_again_where_its_node_died(store: Store) -> None:
    bulks, targets = store.bulks, [Target(number, 1) for number in range(PART + 2)]
    assert await bulks.create(replace(new("a"), matched=len(targets)), targets, most=2, kept=1)
    assert await bulks.next_due() == AT
    taken = await bulks.take_due(at=AT, until=AT + 30)
    assert taken is not None and taken.id == "a" and taken.operation == {"operation": "pause"}
    assert await bulks.take_due(at=AT + 29, until=AT + 60) is None
    again = await bulks.take_due(at=AT + 30, until=AT + 60)
    assert again is not None and again.part == 0
    assert await bulks.part(again) == targets[:PART]
    moved = replace(again, done=90, unchanged=9, failed=1, failures=[{"id": "x"}], part=1, due_at=AT + 31)
    assert await bulks.advance(again, moved) and not await bulks.advance(taken, moved), "of two nodes one counts"
    found = await bulks.get("acme", "a")
    assert found == moved and await bulks.part(moved) == targets[PART:]
    assert await bulks.part(replace(moved, part=2)) == ()
    assert await bulks.advance(moved, replace(moved, part=2, state=DONE, ended_at=AT + 32, due_at=None))
    assert await bulks.next_due() is None and not await bulks.stop("acme", "a", at=AT)


@with_store
async def test_one_that_is_stopped_keeps_what_was_done_and_the_oldest_that_ended_go(store: Store) -> None:
    bulks = store.bulks
    for number, id in enumerate("abc"):
        assert await bulks.create(new(id, at=AT + number), [Target(1, 1)], most=2, kept=1) == (number < 2)
    assert await bulks.create(new("a", "other"), [], most=2, kept=1)
    taken = await bulks.take_due(at=AT + 9, until=AT + 30)
    assert taken is not None and await bulks.stop(taken.tenant, taken.id, at=AT + 10)
    assert await bulks.advance(taken, replace(taken, done=1, part=1, due_at=AT + 11))
    found = await bulks.get(taken.tenant, taken.id)
    assert found is not None and (found.state, found.done, found.ended_at, found.due_at) == (
        "stopped",
        1,
        AT + 10,
        None,
    )
    for id in ("a", "b"):
        await bulks.stop("acme", id, at=AT + 12)
    assert await bulks.create(new("d", at=AT + 20), [], most=2, kept=1)
    assert [bulk.id for bulk in await bulks.of_tenant("acme")] == ["d", "b"]
    assert await bulks.get("acme", "a") is None and [bulk.id for bulk in await bulks.of_tenant("other")] == ["a"]


@story
async def test_what_a_process_of_a_file_was_at_is_due_in_the_next_one_at_once(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "a.db")
    assert await store.bulks.create(new("a"), [Target(1, 1)], most=2, kept=1)
    assert await store.bulks.create(new("b"), [], most=2, kept=1) and await store.bulks.stop("acme", "b", at=AT)
    assert await store.bulks.take_due(at=AT, until=AT + 30) is not None
    await store.close()
    store = SqliteStore.open(tmp_path / "a.db")
    taken = await store.bulks.take_due(at=AT, until=AT + 30)
    assert taken is not None and taken.id == "a" and await store.bulks.take_due(at=AT, until=AT + 30) is None
    await store.close()
