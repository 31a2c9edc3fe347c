"""Several nodes on one PostgreSQL, each with a store of its own: late commits, lost hints, clocks that are wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from time import time_ns
from typing import Any

import pytest
from aio import run, story
from postgres_support import TEMPLATE, name_of, shared_server
from store_support import (
    AT,
    asleep,
    create,
    do,
    execution_started,
    new,
    opened,
    passes,
    printed,
    quick,
    running,
    sleep,
    started,
)

from playground.engine.clock import SharedClock
from playground.store import open_store
from playground.store.messages import NewMessage
from playground.store.postgres import migrations
from playground.store.postgres.claims import HEAD_LAG, LOCKED_MS, PAUSES_SECONDS, SOON_MS
from playground.store.postgres.connections import Transaction, one_connection
from playground.store.postgres.store import PostgresStore
from playground.store.postgres.upkeep import ANALYZE_FIRST
from playground.store.protocol import Claimed, ClaimLimits, QueueLimit, Store
from playground.testing.server import LeaseClock
from playground.workflows import events as ev
from playground.workflows.errors import Fenced
from playground.workflows.events import NewEvent

LEASE = 60_000
HOUR_MS = 3_600_000


@asynccontextmanager
async def nodes(url: str, count: int = 2, **given: Any) -> AsyncIterator[list[Store]]:
    """Stores of several nodes."""
    async with AsyncExitStack() as closing:
        stores = []
        for _ in range(count):
            stores.append(await asyncio.to_thread(opened, url, **given))
            closing.push_async_callback(stores[-1].close)
        yield stores


async def owner(store: Store, name: str, lasts_ms: int = LEASE) -> str:
    return (await store.nodes.join(name, lasts_ms)).owner


def backends(url: str, query: str) -> str:
    """What the server says of the connections to a database."""
    name = name_of(url)
    return shared_server().sql(query, name)


@story
async def test_of_a_frozen_node_every_late_commit_is_refused_a_thousand_times(postgres_url: str) -> None:
    clock = LeaseClock()
    async with nodes(postgres_url, lease_clock=clock) as (a, b):
        rows = await create(a, *(f"i{number}" for number in range(10)))
        frozen, other = await owner(a, "a"), await owner(b, "b")
        claimed = (await a.claim(frozen, 10, at=AT)).rows
        for row in claimed:  # all are in its cache
            await a.append(row.key, [execution_started()], execution=1, at=AT)
        clock.now = LEASE
        other = await owner(b, "b")
        lost = await b.nodes.abandoned(99)
        assert [row.key for row in lost] == [row.key for row in rows]
        for row in lost:
            await b.append(row.key, [NewEvent(ev.EXECUTION_ENDED, {"reason": ev.LOST})], execution=1, at=AT)
        assert len((await b.claim(other, 99, at=AT)).rows) == 10
        for round_ in range(100):
            late = [a.append(row.key, [printed(f"late {round_}")], execution=1, at=AT) for row in rows]
            assert {type(it) for it in await asyncio.gather(*late, return_exceptions=True)} == {Fenced}
        for row in rows:
            assert [event.type for event in await b.events(row.key, after=0, limit=99)] == [
                "workflow_queued", "execution_started", "execution_ended",
            ]  # fmt: skip


@story
async def test_a_group_with_one_frozen_instance_commits_the_others(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        rows = await create(a, "x", "y", "z")
        name = await owner(a, "a")
        await a.claim(name, 3, at=AT)
        await asyncio.gather(*(a.append(row.key, [execution_started()], execution=1, at=AT) for row in rows))
        await b.append(rows[1].key, [NewEvent(ev.EXECUTION_ENDED, {"reason": ev.LOST})], execution=None, at=AT)
        before = a.metrics.commits
        done = await asyncio.gather(
            *(a.append(row.key, [printed("x")], execution=1, at=AT) for row in rows), return_exceptions=True
        )
        assert [type(it).__name__ for it in done] == ["Committed", "Fenced", "Committed"]
        assert a.metrics.commits == before + 1


@story
async def test_operations_through_another_node_and_appends_of_the_playing_one_are_serialised(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        row = await running(a)
        received = NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": 1})
        appends = [a.append(row.key, quick(do(count=number)), execution=1, at=AT) for number in range(1, 101)]
        decides = [b.decide(row.key, lambda _: [received], execution=None, at=AT) for _ in range(100)]
        await asyncio.gather(*appends, *decides)
        journal = await b.events(row.key, after=0, limit=1_000)
        assert [event.seq for event in journal] == list(range(1, 3 + 400 + 100 + 1))
        history = await a.load(row.key)
        assert (len(history.steps), len(history.inbox), history.row.last_seq) == (100, 100, 503)


@story
async def test_a_claim_that_took_nothing_of_what_is_locked_looks_again_without_a_poll(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        row = await asleep(a, "woken", AT)
        name, locked, free, pauses = await owner(b, "b"), asyncio.Event(), asyncio.Event(), list[float]()

        async def hold(tx: Any) -> None:
            await tx.row("SELECT key FROM instance WHERE key = $1 FOR NO KEY UPDATE", row.key)
            locked.set()
            await free.wait()

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if pauses == [*PAUSES_SECONDS[:2]]:
                free.set()
                await holding

        holding = asyncio.create_task(a._connections.transaction(hold))  # type: ignore[attr-defined]
        await locked.wait()
        b._claims._pause = pause  # type: ignore[attr-defined]
        assert [it.key for it in (await b.claim(name, 9, at=AT)).rows] == [row.key], "by the third look"


@story
async def test_rows_that_stay_locked_are_looked_at_less_and_less_often(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        row = await asleep(a, "woken", AT)
        name, locked = await owner(b, "b"), asyncio.Event()

        async def hold(tx: Any) -> None:
            await tx.row("SELECT key FROM instance WHERE key = $1 FOR NO KEY UPDATE", row.key)
            locked.set()
            await asyncio.Event().wait()

        holding = asyncio.create_task(a._connections.transaction(hold))  # type: ignore[attr-defined]
        await locked.wait()
        waits = [(await b.claim(name, 9, at=AT)).again_at for _ in range(7)]
        assert waits == [AT + min(SOON_MS << tries, LOCKED_MS) for tries in range(7)]
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        assert [it.key for it in (await b.claim(name, 9, at=AT)).rows] == [row.key]


@story
async def test_open_steps_are_read_again_only_where_another_node_has_changed_them(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a parent with a thousand children they would be a thousand rows for each end."""
    async with nodes(postgres_url) as (a, b):
        row = await running(a)
        await a.append(row.key, [started(sleep("one"), until=AT), started(sleep("two"), until=AT)], execution=1, at=AT)
        read, rows = list[str](), Transaction.rows

        async def counted(tx: Transaction, sql: str, *values: Any) -> Any:
            found = await rows(tx, sql, *values)
            read.extend("step" for _ in found if "step_open" in sql)
            return found

        monkeypatch.setattr(Transaction, "rows", counted)
        ended = NewEvent(ev.SLEEP_COMPLETED, {"virtual": True}, sleep("one"))
        seen: list[list[Any]] = []

        def decide(snapshot: Any) -> list[NewEvent]:
            seen.append([step.key for step in snapshot.open])
            return [] if seen[1:] else [ended]

        for store in (a, a, b, b):
            await store.decide(row.key, decide, execution=None, at=AT)
        assert seen == [[sleep("one"), sleep("two")], *[[sleep("two")]] * 3]
        assert read == ["step"], "by b, which did not know it"
        await b.decide(row.key, lambda _: [NewEvent(ev.SLEEPS_SKIPPED)], execution=None, at=AT)
        read.clear()
        await a.decide(row.key, decide, execution=None, at=AT)
        assert read == ["step"] and seen[-1] == [sleep("two")]


@story
async def test_two_nodes_never_claim_the_same_and_keep_to_a_limit_together(postgres_url: str) -> None:
    async with nodes(postgres_url, 3) as stores:
        for queue in range(5):
            await create(stores[0], *(f"q{queue}-{number}" for number in range(20)), queue=f"q{queue}")
        names = [await owner(store, f"n{number}") for number, store in enumerate(stores)]
        limits = ClaimLimits(default=QueueLimit(7))
        taken: list[int] = []
        for _ in range(20):
            claims = [store.claim(name, 4, at=AT, limits=limits) for store, name in zip(stores, names, strict=True)]
            taken += [row.key for claimed in await asyncio.gather(*claims) for row in claimed.rows]
        assert len(taken) == len(set(taken)) == 35


@story
async def test_creates_of_two_nodes_and_claims_at_once_lose_no_instance(postgres_url: str) -> None:
    """A lane's head never passes an instance that is being created."""
    async with nodes(postgres_url, 3) as (a, b, c):
        name, created, claimed = await owner(c, "c"), 0, set[int]()

        async def create_some(store: Store, prefix: str) -> None:
            nonlocal created
            for number in range(60):
                rows, _ = await store.create([new(f"{prefix}{number}-{n}") for n in range(15)], at=AT)
                created += len(rows)

        creating = asyncio.gather(create_some(a, "a"), create_some(b, "b"))
        while not creating.done() or len(claimed) < created:
            rows = (await c.claim(name, 40, at=AT)).rows
            assert claimed.isdisjoint(row.key for row in rows)
            claimed |= {row.key for row in rows}
        assert len(claimed) == 1_800
        assert await c.next_due() is None


@story
async def test_an_instance_that_is_new_again_is_claimed_though_the_lanes_head_has_passed_it(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        name, other = await owner(a, "a"), await owner(b, "b")
        rows = await create(a, *(f"i{number}" for number in range(1_200)))
        for _ in range(12):
            await a.claim(name, 100, at=AT)
        await create(a, "later")
        await b.claim(other, 1, at=AT)
        await a.unclaim(rows[3].key, execution=1)
        await a.append(rows[5].key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
        await b.decide(rows[5].key, lambda _: [NewEvent(ev.WORKFLOW_RESTARTED)], execution=None, at=AT)
        assert [row.id for row in (await b.claim(other, 9, at=AT)).rows] == ["i3", "i5"]


@story
async def test_what_one_node_commits_another_hears_of(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        row = await running(a)
        heard: list[int | None] = []
        due: list[int] = []
        leave = [b.listen(row.key, heard.append), b.listen_due(due.append)]
        async with b.subscribe(row.key) as wait:
            while not heard:  # LISTEN is under way on another connection
                await a.append(row.key, [printed("a")], execution=1, at=AT)
                await asyncio.sleep(0.01)
            last = (await a.append(row.key, [printed("b")], execution=1, at=AT)).row.last_seq
            assert await wait(last - 1) == last
            await create(a, "new", at=AT + 7)
            await passes_soon(lambda: AT + 7 in due)
            data = {"queue": "q", "id": "m", "content_type": "json", "body": 1, "delay_ms": 9}
            sent: list[int] = []
            leave.append(b.listen_sent(sent.append))
            await a.append(row.key, [NewEvent(ev.MESSAGE_SENT, data)], execution=1, at=AT)
            await passes_soon(lambda: sent == [AT + 9])
            await a.messages.send("acme", "q", [NewMessage("m", "json", 1, 5)], at=AT, most=1)  # no journal grows
            await passes_soon(lambda: sent == [AT + 9, AT + 5])
            await a.delete(row.key)
            await passes_soon(lambda: None in heard)
        for each in leave:
            each()


async def passes_soon(condition: Callable[[], bool]) -> None:
    """Let the event loop wait for the network until the condition holds; the deadline is the test's."""
    while not condition():
        await asyncio.sleep(0.005)


@story
async def test_with_its_listening_connection_cut_a_node_hears_within_a_second_and_of_everything(
    postgres_url: str,
) -> None:
    async with nodes(postgres_url, poll_seconds=1.0) as (a, b):
        row = await running(a)
        seen: list[int] = []

        async def follow() -> None:
            async with b.subscribe(row.key) as wait:
                while len(seen) < 60:
                    await wait(len(seen))
                    seen.extend(event.seq for event in await b.events(row.key, after=len(seen), limit=17))

        following = asyncio.create_task(follow())
        loop, late = asyncio.get_running_loop(), []
        for number in range(57):
            if number % 10 == 0:
                cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                await asyncio.to_thread(backends, postgres_url, cut)
            last = (await a.append(row.key, [printed("x")], execution=1, at=AT)).row.last_seq
            began = loop.time()
            await passes_soon(lambda: len(seen) >= last)  # noqa: B023 - it is awaited here
            late.append(loop.time() - began)
        await following
        assert seen == list(range(1, 61))
        assert max(late) < 1.5, late  # a second, and what a loaded machine adds


@story
async def test_a_freed_place_in_a_full_queue_wakes_the_node_that_passed_it_over(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        name, other = await owner(a, "a"), await owner(b, "b")
        [row, _] = await create(a, "one", "two")
        limits = ClaimLimits(default=QueueLimit(1))
        await a.claim(name, 1, at=AT, limits=limits)
        due: list[int] = []
        leave = b.listen_due(due.append)
        assert not (await b.claim(other, 1, at=AT, limits=limits)).rows
        await passes_soon(lambda: "LISTEN" in backends(postgres_url, "SELECT query FROM pg_stat_activity"))
        await a.unclaim(row.key, execution=1)
        await passes_soon(lambda: 0 in due)
        leave()


def test_nodes_that_start_at_once_on_an_empty_database_all_come_up() -> None:
    url = shared_server().database()

    async def start() -> None:
        stores = await asyncio.gather(*(asyncio.to_thread(open_store, url) for _ in range(4)))
        await create(stores[0], "i")
        assert [(await store.find("", "i")).id for store in stores] == ["i"] * 4
        for store in stores:
            await store.close()

    run(start())


@story
async def test_a_node_that_waited_for_another_ones_migration_finds_it_done() -> None:
    url, script = shared_server().database(), "CREATE TABLE instance (key bigint PRIMARY KEY)"
    waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with one_connection(url) as first, one_connection(url) as second:
        async with first.transaction():
            await first.execute(f"SELECT pg_advisory_xact_lock({migrations.LOCK})")
            late = asyncio.create_task(migrations.migrate(second, "the database", [script]))
            await passes_soon(lambda: backends(url, waits))
            await first.execute(migrations.TABLE)
            await first.execute(script)
            await first.execute("INSERT INTO playground_schema (version, oldest) VALUES (1, 1)")
        assert await late == 0
        assert await migrations.schema_version(second, "the database", 1) == 1


def on_wrong_clock(
    url: str, wrong_ms: int, told: Callable[[Store, SharedClock], Coroutine[Any, Any, None]]
) -> Coroutine[Any, Any, None]:
    """Do something on a node whose clock is wrong, with the clock that its engine has."""

    async def do_it() -> None:
        clock = SharedClock(lambda: time_ns() // 1_000_000 + wrong_ms)
        store = await asyncio.to_thread(PostgresStore.open, url)
        try:
            await owner(store, "wrong", 600_000)
            assert store.nodes.clock is not None
            await clock.correct(store.nodes.clock)
            await told(store, clock)
        finally:
            await store.close()

    return do_it()


@pytest.mark.parametrize("wrong_ms", [HOUR_MS, -HOUR_MS], ids=["ahead", "behind"])
def test_a_node_whose_clock_is_an_hour_off_claims_and_sleeps_like_any_other(postgres_url: str, wrong_ms: int) -> None:
    async def told(store: Store, clock: SharedClock) -> None:
        right = time_ns() // 1_000_000
        assert abs(clock.now() - right) < 500
        name = await owner(store, "wrong", 600_000)
        await create(store, "new", at=clock.now())
        wrong = time_ns() // 1_000_000 + wrong_ms  # whatever a caller says, the database's clock counts
        [row] = (await store.claim(name, 9, at=wrong)).rows
        until = clock.now() + 300
        events = [execution_started(), started(sleep(), until=until)]
        events += [
            NewEvent(ev.WORKFLOW_WAITING, {"until": until}),
            NewEvent(ev.EXECUTION_ENDED, {"reason": "hibernated"}),
        ]
        await store.append(row.key, events, execution=1, at=clock.now())
        claimed = await claimed_soon(lambda: store.claim(name, 9, at=wrong))
        assert claimed.at >= until
        assert time_ns() // 1_000_000 - right < 20_000

    run(on_wrong_clock(postgres_url, wrong_ms, told))


async def claimed_soon(claim: Callable[[], Coroutine[Any, Any, Claimed]]) -> Claimed:
    """Claim until something is claimed; the deadline is the test's."""
    while not (claimed := await claim()).rows:
        await asyncio.sleep(0.005)
    return claimed


@story
async def test_the_queue_of_a_tenant_fills_up_to_its_length_whoever_creates(postgres_url: str) -> None:
    async with nodes(postgres_url, 3) as stores:
        creating = [
            store.create([new(f"{number}-{n}", tenant="acme")], at=AT, queued_most={"acme": 5})
            for n in range(10)
            for number, store in enumerate(stores)
        ]
        answers = await asyncio.gather(*creating, return_exceptions=True)
        assert sum(isinstance(answer, tuple) for answer in answers) == 5
        assert await stores[0].count(tenant="acme") == {"queued": 5}


@story
async def test_counts_are_right_while_they_are_added_up(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        for number in range(30):
            await create(a, f"i{number}", tenant="acme")
            if number % 5 == 0:
                await asyncio.gather(a._upkeep.add_up(), b._upkeep.add_up())  # type: ignore[attr-defined]
            assert await b.count(tenant="acme") == {"queued": number + 1}
        for row in await b.list("acme", limit=99):
            await b.delete(row.key)
        await a._upkeep.add_up()  # type: ignore[attr-defined]
        assert await a.count() == {}
        limits = ClaimLimits(default=QueueLimit(1))
        await create(a, "limited")
        await a.claim(await owner(a, "a"), 1, at=AT, limits=limits)
        await a._upkeep.tidy()  # type: ignore[attr-defined]
        assert backends(postgres_url, "SELECT count(*) FROM queue_load") == "0"
        await create(a, "another")
        assert not (await a.claim(await owner(a, "b"), 1, at=AT, limits=limits)).rows
        for row in await a.list("", limit=9):
            await a.delete(row.key)
        await a._upkeep.add_up()  # type: ignore[attr-defined]
        assert backends(postgres_url, "SELECT count(*) FROM tally") == "0"


@story
async def test_of_one_id_created_on_two_nodes_at_once_one_is_made(postgres_url: str) -> None:
    async with nodes(postgres_url, 3) as stores:
        for number in range(20):
            creating = [store.create([new(f"i{number}"), new(f"j{number}")], at=AT) for store in stores]
            answers = await asyncio.gather(*creating)
            assert sum(len(rows) for rows, _ in answers) == 2
            assert sorted(it.id for _, refused in answers for it in refused) == [f"i{number}"] * 2 + [f"j{number}"] * 2
        await passes(lambda: True)
        assert (await stores[0].count()) == {"queued": 40}


@story
async def test_what_was_claimed_stands_in_no_later_claim_s_way(postgres_url: str) -> None:
    async with nodes(postgres_url, 1) as [store]:
        name = await owner(store, "a")
        for batch in range(12):
            rows, _ = await store.create([new(f"i{batch}-{number}") for number in range(100)], at=AT)
            assert len((await store.claim(name, 100, at=AT)).rows) == 100  # which empties the lane each time
        head = int(backends(postgres_url, "SELECT head FROM lane"))
        assert rows[-1].key - head <= HEAD_LAG + 100
        assert backends(postgres_url, "SELECT turn FROM queue") == "1"  # which the only queue keeps


@story
async def test_a_new_database_has_statistics_at_its_first_thousand_instances() -> None:
    url = shared_server().database(TEMPLATE)  # not one that earlier tests have used
    known = "SELECT reltuples FROM pg_class WHERE relname = 'instance'"
    async with nodes(url, 1) as [store]:
        await store.create([new(f"i{number}") for number in range(ANALYZE_FIRST)], at=AT)
        await passes_soon(lambda: backends(url, known) == str(ANALYZE_FIRST))


@story
async def test_a_woken_instance_goes_to_one_node(postgres_url: str) -> None:
    async with nodes(postgres_url) as (a, b):
        for number in range(20):
            await asleep(a, f"i{number}", until=AT + 10)
        names = await owner(a, "x"), await owner(b, "y")
        claims = [store.claim(name, 20, at=AT + 10) for store, name in zip((a, b), names, strict=True)]
        found = [[row.key for row in claimed.rows] for claimed in await asyncio.gather(*claims)]
        assert len(found[0]) + len(found[1]) <= 20 and not set(found[0]) & set(found[1])
        rest = [row.key for row in (await a.claim(names[0], 20, at=AT + 10)).rows]
        assert len({*found[0], *found[1], *rest}) == 20


@story
async def test_partitions_are_made_ahead_also_in_a_hurry_and_dropped_once_nothing_is_in_them(postgres_url: str) -> None:
    partitions = "SELECT relname FROM pg_class WHERE relname ~ '^event_[0-9]+$' ORDER BY relname"
    async with nodes(postgres_url, 1) as [store]:
        assert backends(postgres_url, partitions).split() == ["event_0", "event_1", "event_2"]
        [old] = await create(store, "old")
        backends(postgres_url, "SELECT setval('instance_key', 5500000)")  # nobody made any ahead
        [row] = await create(store, "new")
        assert 5_500_000 < row.key < 5_500_010
        assert [event.type for event in await store.events(row.key, after=0, limit=9)] == ["workflow_queued"]
        await passes_soon(lambda: "event_7" in backends(postgres_url, partitions))
        upkeep = store._upkeep  # type: ignore[attr-defined]
        assert await upkeep.drop_partitions() == 2  # 1 and 2, which were never used
        await store.delete(old.key)
        assert await upkeep.drop_partitions() == 1
        assert backends(postgres_url, partitions).split() == ["event_5", "event_6", "event_7"]
        assert (await store.find("", "new")).key == row.key
    # For the next test that is given this database.
    backends(postgres_url, "DO $$ BEGIN " + "".join(
        f"DROP TABLE event_{number}; CREATE TABLE event_{number - 5} PARTITION OF event "
        f"FOR VALUES FROM ({number - 5}000000) TO ({number - 4}000000); " for number in (5, 6, 7)
    ) + "END $$")  # fmt: skip
