"""Flow control in the store: what is held is admitted by a claim, in its turn and within the limits of its key."""

import asyncio

from aio import run
from store_support import (
    AT,
    claim,
    create,
    execution_ended,
    execution_started,
    is_sqlite,
    new,
    opened,
    owner,
    with_store,
)

from playground.store.flow import ADMITTED_MOST, LOOKS_MOST
from playground.workflows import events as ev
from playground.workflows.events import NewEvent
from playground.workflows.flow import DEBOUNCED, SINGLETON, Debounce, Flow, FlowLimits, Rate

ONE = FlowLimits(concurrency_per_key=1)
KEY = "order-7"


def held(id, *, key=KEY, limits=ONE, until=AT, flow=None, **given):
    flow = flow or Flow(key, limits=limits, **{name: given.pop(name) for name in ("priority",) if name in given})
    return new(id, flow=flow, held_until=until, limits=flow.stored_limits() or None, **given)


async def make(store, *instances, at=AT):
    rows, refused = await store.create(list(instances), at=at)
    assert not refused
    return rows


async def claimed(store, at=AT, limit=200, **given):
    return [row.id for row in await claim(store, limit, at=at, **given)]


async def begin(store, row, at=AT):
    await store.append(row.key, [execution_started(row.execution)], execution=row.execution, at=at)


async def end(store, id, at=AT, type=ev.WORKFLOW_COMPLETED):
    row = await store.find("", id)
    data = {"output": None} if type == ev.WORKFLOW_COMPLETED else {}
    await store.append(row.key, [NewEvent(type, data)], execution=None, at=at)


async def types(store, id):
    row = await store.find("", id)
    return [event.type for event in await store.events(row.key, after=0, limit=50)]


@with_store
async def test_a_place_of_a_key_goes_to_the_next_when_the_one_before_has_ended(store):
    await make(store, held("a"), held("b"), held("other", key="order-8"))
    assert await claimed(store) == ["a", "other"]
    assert await claimed(store) == []
    await end(store, "a")
    assert await store.next_due() == 0
    assert await claimed(store) == ["b"]
    assert await types(store, "b") == [ev.WORKFLOW_QUEUED, ev.WORKFLOW_ADMITTED]
    row = await store.find("", "b")
    assert (row.held_until, row.status, row.execution) == (None, ev.QUEUED, 1)


@with_store
async def test_one_that_is_paused_or_asleep_keeps_its_place(store):
    await make(store, held("a"), held("b"))
    [row] = await claim(store, 9, at=AT)
    await begin(store, row)
    await store.append(row.key, [NewEvent(ev.WORKFLOW_PAUSED)], execution=None, at=AT)
    assert await claimed(store) == []
    await store.append(row.key, [NewEvent(ev.WORKFLOW_RESUMED)], execution=None, at=AT)
    assert await claimed(store) == ["a"]


@with_store
async def test_a_place_is_free_again_when_its_instance_is_deleted_or_terminated(store):
    await make(store, held("a"), held("b"), held("c"))
    assert await claimed(store) == ["a"]
    await store.delete((await store.find("", "a")).key)
    assert await claimed(store) == ["b"]
    await end(store, "b", type=ev.WORKFLOW_TERMINATED)
    assert await claimed(store) == ["c"]


@with_store
async def test_what_ends_while_it_is_held_gives_nobody_a_place(store):
    await make(store, held("a"), held("b"), held("c"))
    assert await claimed(store) == ["a"]
    await end(store, "b", type=ev.WORKFLOW_TERMINATED)
    assert await claimed(store) == []
    await end(store, "a")
    assert await claimed(store) == ["c"]


@with_store
async def test_of_a_key_the_highest_priority_goes_first_then_the_oldest(store):
    await make(store, held("first"), held("low"), held("high", priority=9), held("high2", priority=9))
    assert await claimed(store) == ["high"]
    for before, after in (("high", "high2"), ("high2", "first"), ("first", "low")):
        await end(store, before)
        assert await claimed(store) == [after]


@with_store
async def test_a_delayed_instance_is_not_claimed_before_its_time(store):
    await make(store, held("later", flow=Flow(delay_ms=500), until=AT + 500))
    assert await store.next_due() == AT + 500
    assert await claimed(store, at=AT + 499) == []
    assert await store.next_due(after=AT + 499) == AT + 500
    assert await claimed(store, at=AT + 500) == ["later"]
    assert await store.next_due() is None


@with_store
async def test_a_delayed_instance_of_a_key_waits_for_its_place_too(store):
    await make(store, held("a"), held("b", until=AT + 500))
    assert await claimed(store, at=AT + 600) == ["a"]
    await end(store, "a")
    assert await claimed(store, at=AT + 600) == ["b"]


@with_store
async def test_one_that_is_paused_while_it_is_held_is_held_when_it_is_resumed(store):
    await make(store, held("a"), held("b"))
    assert await claimed(store) == ["a"]
    row = await store.find("", "b")
    await store.append(row.key, [NewEvent(ev.WORKFLOW_PAUSED)], execution=None, at=AT)
    await end(store, "a")
    assert await claimed(store) == []
    await store.append(row.key, [NewEvent(ev.WORKFLOW_RESUMED)], execution=None, at=AT)
    assert await claimed(store) == ["b"]


@with_store
async def test_a_restart_is_held_again(store):
    await make(store, held("a"), held("b"))
    assert await claimed(store) == ["a"]
    await end(store, "a")
    assert await claimed(store) == ["b"]
    row = await store.find("", "a")
    await store.append(row.key, [NewEvent(ev.WORKFLOW_RESTARTED, {"until": AT})], execution=None, at=AT)
    assert await claimed(store) == []
    await end(store, "b")
    assert await claimed(store) == ["a"]


@with_store
async def test_a_rate_lets_so_many_start_in_every_span(store):
    limits = FlowLimits(rate=Rate(2, 60))
    await make(store, *(held(f"i{n}", limits=limits) for n in range(5)))
    assert await claimed(store) == ["i0", "i1"]
    await end(store, "i0")
    assert await claimed(store, at=AT + 59_999) == []
    assert await store.next_due() == AT + 60_000
    assert await claimed(store, at=AT + 60_000) == ["i2", "i3"]
    assert await claimed(store, at=AT + 119_999) == []
    assert await claimed(store, at=AT + 120_000) == ["i4"]


@with_store
async def test_a_singleton_gives_the_instance_that_there_is_until_that_has_ended(store):
    single = Flow(KEY, singleton=True)
    await make(store, new("a", flow=single))
    for number in range(2):
        rows, refused = await store.create([new(f"x{number}", flow=single)], at=AT)
        assert (rows, [(one.index, one.id, one.code) for one in refused]) == ([], [(0, "a", SINGLETON)])
    await make(store, new("b", flow=Flow("order-8", singleton=True)), new("c", flow=single, workflow="other"))
    await end(store, "a")
    await make(store, new("x9", flow=single))


@with_store
async def test_of_creates_at_the_same_time_one_is_the_singleton(store):
    single = Flow(KEY, singleton=True)
    answers = await asyncio.gather(*(store.create([new(f"i{n}", flow=single)], at=AT) for n in range(10)))
    [made] = [row.id for rows, _ in answers for row in rows]
    assert {one.id for _, refused in answers for one in refused} == {made}
    assert sum(len(refused) for _, refused in answers) == 9
    rows, refused = await store.create(
        [new("y0", flow=Flow("k", singleton=True)), new("y1", flow=Flow("k", singleton=True))], at=AT
    )
    assert ([row.id for row in rows], [(one.index, one.id) for one in refused]) == (["y0"], [(1, "y0")])


@with_store
async def test_a_debounced_create_gives_the_one_that_has_not_started_and_its_params_become_the_new_ones(store):
    flow = Flow(KEY, debounce=Debounce(1, 60))
    await make(store, held("a", flow=flow, until=AT + 1_000))
    _, [refused] = await store.create([held("b", flow=flow, until=AT + 1_500)], at=AT + 500)
    assert (refused.id, refused.code) == ("a", DEBOUNCED)
    row = await store.find("", "a")
    moved = NewEvent(ev.WORKFLOW_DEBOUNCED, {"params": {"n": 2}, "until": AT + 1_500})
    await store.append(row.key, [moved], execution=None, at=AT + 500)
    assert await claimed(store, at=AT + 1_499) == []
    assert await claimed(store, at=AT + 1_500) == ["a"]
    row = await store.find("", "a")
    assert (row.params, (await store.load(row.key)).row.params) == ({"n": 2}, {"n": 2})
    await make(store, held("c", flow=flow, until=AT + 3_000), at=AT + 2_000)  # the first has started


@with_store
async def test_a_priority_goes_before_others_of_its_queue_and_of_no_other(store):
    await create(store, "x1", "x2", "x3", queue="x")
    await make(store, new("urgent", queue="x", flow=Flow(priority=1)), new("most", queue="x", flow=Flow(priority=5)))
    await create(store, "y1", "y2", queue="y")
    assert await claimed(store, limit=3) == ["most", "y1", "urgent"]
    assert await claimed(store, limit=9) == ["y2", "x1", "x2", "x3"]
    assert await claimed(store) == []


@with_store
async def test_a_priority_counts_between_the_workflows_of_a_queue(store):
    await create(store, "a1", "a2", queue="x", workflow="a")
    await make(store, new("b1", queue="x", workflow="b", flow=Flow(priority=1)))
    assert await claimed(store) == ["b1", "a1", "a2"]


@with_store
async def test_where_a_held_instance_stands(store):
    await make(store, held("a"), held("b"), held("c"), held("d", priority=3), held("later", until=AT + 99))
    assert await claimed(store) == ["d"]
    places = {id: await store.place(await store.find("", id), at=AT) for id in ("a", "b", "c")}
    assert places == {"a": (1, 0, None), "b": (1, 1, None), "c": (1, 2, None)}
    await make(
        store,
        held("r1", key="r", limits=FlowLimits(rate=Rate(1, 60))),
        held("r2", key="r", limits=FlowLimits(rate=Rate(1, 60))),
    )
    assert await claimed(store) == ["r1"]
    assert await store.place(await store.find("", "r2"), at=AT + 1) == (1, 0, AT + 60_000)


@with_store
async def test_how_many_go_before_one_that_waits_for_a_worker(store):
    await create(store, "x1", "x2", queue="x")
    await create(store, "y1", queue="y")
    await make(store, new("urgent", queue="x", flow=Flow(priority=1)), new("late", queue="x"))

    async def ahead(*ids):
        return [await store.ahead(await store.find("", id), at=AT) for id in ids]

    assert await ahead("urgent", "x1", "x2", "late", "y1") == [0, 1, 2, 3, 0]
    assert await claimed(store, limit=1) == ["urgent"]
    woken = await store.find("", "urgent")
    await store.append(woken.key, [execution_started(), execution_ended()], execution=woken.execution, at=AT)
    assert await ahead("x1", "late", "y1", "urgent") == [1, 3, 1, 0]


@with_store
async def test_more_than_one_claim_looks_at_are_admitted_by_the_next(store):
    many = LOOKS_MOST + ADMITTED_MOST // 2
    await make(store, *(held(f"i{n}", flow=Flow(delay_ms=5), until=AT + 5) for n in range(many)))
    first = await store.claim(await owner(store), 500, at=AT + 5)
    assert len(first.rows) == LOOKS_MOST
    assert first.again_at is not None
    assert len(await claimed(store, at=AT + 6, limit=500)) == many - LOOKS_MOST


@with_store
async def test_a_place_whose_holder_never_got_a_worker_is_kept(store):
    await make(store, held("a"), held("b"))
    [row] = await claim(store, 9, at=AT)
    await store.unclaim(row.key, execution=row.execution)
    assert await claimed(store) == ["a"]


@with_store
async def test_instances_without_flow_cost_no_note(store):
    await create(store, "a", "b")
    assert await store.next_due() == AT
    assert await claimed(store) == ["a", "b"]
    await end(store, "a")
    assert await store.next_due() is None


def test_places_are_held_across_nodes_and_a_restart(store_url):
    async def story():
        one, two = opened(store_url), None
        try:
            await make(one, held("a"), held("b"), held("c", flow=Flow(delay_ms=50), until=AT + 50))
            assert await claimed(one) == ["a"]
        finally:
            await one.close()
        two = opened(store_url)
        try:
            assert await claimed(two) == []
            assert await claimed(two, at=AT + 50) == ["c"]
            await end(two, "a")
            assert await claimed(two, at=AT + 50) == ["b"]
        finally:
            await two.close()

    run(story())


def test_nodes_that_claim_at_once_give_no_place_away_twice(store_url):
    """Of a hundred keys, each with one place, by two stores on PostgreSQL; SQLite has one."""

    async def story():
        stores = [opened(store_url)]
        if not is_sqlite(store_url):
            stores.append(opened(store_url))
        try:
            owners = [(await store.nodes.join(f"n{n}", 1_000)).owner for n, store in enumerate(stores)]
            for n in range(100):
                await make(stores[0], held(f"a{n}", key=f"k{n}"), held(f"b{n}", key=f"k{n}"))
            got = []
            for _ in range(30):
                claims = [store.claim(name, 10, at=AT) for store, name in zip(stores, owners, strict=True)]
                got += [row for made in await asyncio.gather(*claims) for row in made.rows]
            assert sorted(row.id for row in got) == sorted(f"a{n}" for n in range(100))
            counts = [(await stores[0].place(await stores[0].find("", f"b{n}"), at=AT)).begun for n in range(100)]
            assert set(counts) == {1}
        finally:
            for store in stores:
                await store.close()

    run(story())
