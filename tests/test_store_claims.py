"""Who gets a worker next: woken before new, queues in turn, oldest first, full ones passed over."""

import asyncio

import pytest
from store_support import (
    AT,
    NODE,
    asleep,
    claim,
    create,
    execution_ended,
    execution_started,
    new,
    owner,
    running,
    with_store,
)

from playground.store.protocol import ClaimLimits, QueueLimit
from playground.workflows import events as ev
from playground.workflows.errors import Fenced
from playground.workflows.events import NewEvent


def most(spare=0, **of):
    """Limits of queues: so many may have a worker, or (so many, so many begin in a second)."""
    own = {queue: QueueLimit(*(limit if isinstance(limit, tuple) else (limit,))) for queue, limit in of.items()}
    return ClaimLimits(own=own, spare=spare)


async def claimed(store, limit=100, at=AT, **given):
    return [row.id for row in await claim(store, limit, at=at, **given)]


@with_store
async def test_a_claim_takes_ownership_and_a_new_execution_number(store):
    await create(store, "a")
    [row] = await claim(store, 5, at=AT)
    assert (row.owner, row.execution, row.status, row.last_seq) == (f"{NODE}.1", 1, "queued", 1)
    assert await store.find("", "a") == row
    assert await claimed(store) == []


@with_store
async def test_within_a_queue_the_oldest_goes_first(store):
    await create(store, "a", "b", "c")
    assert await claimed(store, 2) == ["a", "b"]
    assert await claimed(store, 2) == ["c"]


@with_store
async def test_queues_take_turns(store):
    await create(store, "x1", "x2", "x3", "x4", queue="x")
    await create(store, "y1", "y2", queue="y")
    await create(store, "z1", queue="z")
    assert await claimed(store, 5) == ["x1", "y1", "z1", "x2", "y2"]
    assert await claimed(store, 5) == ["x3", "x4"]


@with_store
async def test_turns_go_on_from_one_claim_to_the_next(store):
    await create(store, "x1", "x2", "x3", queue="x")
    await create(store, "y1", "y2", queue="y")
    assert [await claimed(store, 1) for _ in range(4)] == [["x1"], ["y1"], ["x2"], ["y2"]]


@with_store
async def test_one_who_comes_back_at_once_does_not_go_before_one_who_waits(store):
    await create(store, "x1", "x2", "x3", queue="x")
    got = []
    for n in range(3):
        await create(store, f"y{n}", queue="y")
        got += await claimed(store, 2)
    assert got == ["x1", "y0", "x2", "y1", "x3", "y2"]


@with_store
async def test_woken_go_before_new_and_by_due_time(store):
    await asleep(store, "late", until=AT + 20)
    await asleep(store, "early", until=AT + 10)
    await asleep(store, "not yet", until=AT + 99)
    await create(store, "new")
    assert await claimed(store, at=AT + 50) == ["early", "late", "new"]


@with_store
async def test_nothing_is_due_before_its_time(store):
    await asleep(store, "a", until=AT + 10)
    assert await claimed(store, at=AT + 9) == []
    assert await claimed(store, at=AT + 10) == ["a"]


@with_store
async def test_a_queue_gets_no_more_than_its_room(store):
    await create(store, "x1", "x2", "x3", queue="x")
    await create(store, "y1", "y2", queue="y")
    assert await claimed(store, limits=most(x=1, y=0)) == ["x1"]
    assert await claimed(store, limits=most(x=1)) == ["y1", "y2"]
    assert await claimed(store) == ["x2", "x3"]


@with_store
async def test_room_holds_for_woken_ones_and_is_shared_with_new_ones(store):
    for n in range(3):
        await asleep(store, f"x{n}", until=AT + 10 + n, queue="x")
    await asleep(store, "y0", until=AT + 50, queue="y")
    await create(store, "x3", queue="x")
    assert await claimed(store, 3, at=AT + 99, limits=most(x=2)) == ["x0", "x1", "y0"]
    assert await claimed(store, 9, at=AT + 99, limits=most(x=3)) == ["x2"]
    assert await claimed(store, 9, at=AT + 99, limits=most(x=4)) == ["x3"]


@with_store
async def test_what_runs_is_counted_for_all_nodes_together(store):
    await create(store, "x1", "x2", "x3", queue="x")
    assert await claimed(store, node="one", limits=most(x=2)) == ["x1", "x2"]
    assert await claimed(store, node="two", limits=most(x=2)) == []
    row = await store.find("", "x1")
    await store.append(
        row.key,
        [execution_started(), execution_ended(ev.COMPLETED), NewEvent(ev.WORKFLOW_COMPLETED, {"output": 1})],
        execution=1,
        at=AT,
    )
    assert await claimed(store, node="two", limits=most(x=2)) == ["x3"]
    await store.delete(row.key)
    await store.delete((await store.find("", "x2")).key)
    await create(store, "x4", "x5", queue="x")
    assert await claimed(store, node="one", limits=most(x=2)) == ["x4"]


@with_store
async def test_who_could_not_be_claimed_for_a_full_queue_can_once_one_has_ended(store):
    await create(store, "x1", "x2", queue="x")
    assert await claimed(store, limits=most(x=1)) == ["x1"]
    heard: list[int] = []
    leave = store.listen_due(heard.append)
    row = await store.find("", "x1")
    await store.unclaim(row.key, execution=row.execution)
    assert heard == [0]
    leave()


@with_store
async def test_no_more_begin_in_a_second_than_may(store):
    await create(store, "x1", "x2", "x3", queue="x")
    slow = most(x=(9, 2))
    first = await store.claim(await owner(store), 9, at=AT, limits=slow)
    assert ([row.id for row in first.rows], first.again_at) == (["x1", "x2"], AT + 1_000)
    again = await store.claim(await owner(store, "two"), 9, at=AT + 999, limits=slow)
    assert (list(again.rows), again.again_at) == ([], AT + 1_000)
    last = await store.claim(await owner(store, "two"), 9, at=AT + 1_000, limits=slow)
    assert ([row.id for row in last.rows], last.again_at) == (["x3"], None)


@with_store
async def test_where_slots_are_few_only_idle_queues_get_one_and_only_one_each(store):
    await create(store, "x1", "x2", queue="x")
    await create(store, "y1", "y2", queue="y")
    assert await claimed(store, 1) == ["x1"]
    assert await claimed(store, 9, limits=most(spare=9)) == ["y1"]
    assert await claimed(store, 9, limits=most(spare=9)) == []


@with_store
async def test_the_last_places_of_a_claim_are_for_idle_queues(store):
    for id in ("z1", "z2"):
        await asleep(store, id, AT + 5, queue="z")
    await create(store, "x1", "x2", "x3", "x4", queue="x")
    assert await claimed(store, 3, limits=most(spare=1)) == ["x1", "x2"], "and then none, since nothing else waits"
    await create(store, "y1", "y2", queue="y")
    assert await claimed(store, 2, limits=most(spare=1)) == ["x3", "y1"]
    assert await claimed(store, 3, AT + 5, limits=most(spare=2)) == ["z1"], "woken ones, too"


@with_store
async def test_a_claim_or_a_question_says_when_the_next_falls_due(store):
    for id, until in (("later", AT + 900), ("next", AT + 300), ("now", AT)):
        await asleep(store, id, until)
    found = await store.claim(await owner(store, NODE), 9, at=AT)
    assert [row.id for row in found.rows] == ["now"]
    assert (found.again_at if found.knows_next else await store.next_due(after=AT)) == AT + 300


@with_store
async def test_the_end_of_one_frees_no_spare_place_for_its_queue(store):
    row = await running(store, "x1", queue="x")
    await create(store, "x2", queue="x")
    assert await claimed(store, 1, limits=most(spare=1)) == []
    due = []
    stop = store.listen_due(due.append)
    await store.append(row.key, [execution_ended(), NewEvent(ev.WORKFLOW_COMPLETED, {"output": 1})], execution=1, at=AT)
    stop()
    assert due == [], "whose slot it was claims for it, and it alone"
    assert await claimed(store, 1, limits=most(spare=1)) == ["x2"]


def test_the_limit_of_a_queue_is_its_own_or_that_of_its_kind():
    limits = ClaimLimits(
        QueueLimit(5, 2), (("chaos:", QueueLimit(1)), ("addr:", QueueLimit(3))), {"acme": QueueLimit(9, 4)}
    )
    assert [limits.for_queue(queue) for queue in ("acme", "other", "addr:::1", "chaos:addr:::1")] == [
        (9, 4),
        (5, 2),
        (3, None),
        (1, None),
    ]
    assert ClaimLimits().for_queue("any") is None


@with_store
async def test_a_full_workflow_is_passed_over_within_its_queue(store):
    await create(store, "a1", "a2", queue="x", tenant="t", workflow="a")
    await create(store, "b1", queue="x", tenant="t", workflow="b")
    assert await claimed(store, closed=[("t", "a")]) == ["b1"]
    assert await claimed(store, closed=[("t", "b"), ("other", "a")]) == ["a1", "a2"]


@with_store
async def test_workflows_of_one_queue_are_taken_oldest_first(store):
    await create(store, "a1", queue="x", workflow="a")
    await create(store, "b1", queue="x", workflow="b")
    await create(store, "a2", queue="x", workflow="a")
    assert await claimed(store) == ["a1", "b1", "a2"]


@with_store
async def test_an_instance_given_back_is_as_it_was_but_for_its_number(store):
    [before] = await create(store, "a")
    await create(store, "b")
    [row] = await claim(store, 1, at=AT)
    await store.unclaim(row.key, execution=1)
    after = await store.find("", "a")
    assert (after.owner, after.due_at, after.fresh, after.status) == (None, before.due_at, True, "queued")
    [again] = await claim(store, 1, at=AT)
    assert (again.id, again.execution) == ("a", 2)


@with_store
async def test_a_woken_instance_given_back_stays_before_new_ones(store):
    await asleep(store, "woken", until=AT + 10)
    [row] = await claim(store, 1, at=AT + 10)
    await create(store, "new")
    await store.unclaim(row.key, execution=row.execution)
    assert await claimed(store, 1, at=AT + 11) == ["woken"]


@with_store
async def test_one_with_a_worker_is_not_given_back(store):
    row = await running(store)
    for execution in (1, 0, 2):
        with pytest.raises(Fenced):
            await store.unclaim(row.key, execution=execution)
    assert (await store.find("", "i")).owner == f"{NODE}.1"


@with_store
async def test_an_event_between_claim_and_unclaim_does_not_leave_it_stuck(store):
    row = await asleep(store, "a", until=AT + 10)
    [taken] = await claim(store, 1, at=AT + 10)
    woken = [NewEvent(ev.SLEEP_COMPLETED, {}, next(iter((await store.load(row.key)).steps)))]
    await store.append(row.key, woken, execution=None, at=AT + 11)
    await store.unclaim(row.key, execution=taken.execution)
    assert await claimed(store, at=AT + 11) == ["a"]


@with_store
async def test_when_the_next_is_due(store):
    assert await store.next_due() is None
    await asleep(store, "a", until=AT + 500)
    await asleep(store, "b", until=AT + 300)
    assert await store.next_due() == AT + 300
    await create(store, "new", at=AT + 100)
    assert await store.next_due() == AT + 100
    await claim(store, 9, at=AT + 400)
    assert await store.next_due() == AT + 500


@with_store
async def test_paused_final_and_endlessly_waiting_instances_are_never_due(store):
    for id, end in (
        ("paused", [execution_ended(), NewEvent(ev.WORKFLOW_PAUSED)]),
        ("final", [execution_ended(), NewEvent(ev.WORKFLOW_COMPLETED, {"output": 1})]),
        ("waiting", [NewEvent(ev.WORKFLOW_WAITING), execution_ended()]),
    ):
        row = await running(store, id)
        await store.append(row.key, end, execution=1, at=AT)
    assert await claimed(store, at=AT + 10**12) == []
    assert await store.next_due() is None


@with_store
async def test_what_a_node_holds_is_known_for_recovery(store):
    await create(store, "a", "b", "c")
    await claim(store, 2, node="one")
    [c] = await claim(store, 2, node="two")
    await store.append(c.key, [execution_started()], execution=1, at=AT)
    assert await store.nodes.abandoned(9) == []
    await store.nodes.join("two", 60_000)
    assert [(row.id, row.in_execution) for row in await store.nodes.abandoned(9)] == [("c", True)]
    await store.nodes.join("one", 60_000)
    assert [row.id for row in await store.nodes.abandoned(9)] == ["a", "b", "c"]
    assert [row.id for row in await store.nodes.abandoned(2)] == ["a", "b"]
    await store.append(c.key, [execution_ended(ev.LOST)], execution=None, at=AT)
    assert [row.id for row in await store.nodes.abandoned(9)] == ["a", "b"]


@with_store
async def test_claims_and_creates_in_one_commit(store):
    await owner(store)
    claims = [claim(store, 5, at=AT) for _ in range(2)]
    answers = await asyncio.gather(store.create([new("a")], at=AT), *claims)
    assert [[row.id for row in rows] for rows in answers[1:]] == [["a"], []]
