"""Behind a pooler in transaction mode: nothing is listened to or prepared; what others do is found by looking."""

import asyncio
from collections.abc import Iterator

import pytest
from aio import run
from http_support import Log
from postgres_support import NoPostgres, Pooler, shared_server
from store_support import AT, create, do, execution_started, owner, printed, quick, running

from playground.store import open_store
from playground.store.protocol import Store


@pytest.fixture(scope="module")
def pooler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pooler]:
    try:
        made = Pooler(shared_server(), shared_server().folder / "pooler")
    except NoPostgres as error:
        pytest.fail(str(error), pytrace=False)
    with made:
        yield made


def opened_through(pooler: Pooler, url: str, log: Log) -> Store:
    return open_store(pooler.url(url), log=log, uses_caller_clock=True, lease_clock=lambda: 0)


def test_the_pooler_is_recognised_and_said_to_be_there(pooler: Pooler, postgres_url: str) -> None:
    log = Log()
    run(opened_through(pooler, postgres_url, log).close())
    [fields] = log.of("database_pooled")
    assert "pooler" in fields["database"] or fields["database"].startswith("postgresql://")
    direct = Log()
    run(open_store(postgres_url, log=direct).close())
    assert not direct.of("database_pooled")


def test_nodes_behind_it_run_many_calls_at_once_over_few_connections(pooler: Pooler, postgres_url: str) -> None:
    async def story() -> None:
        log = Log()
        a, b = [await asyncio.to_thread(opened_through, pooler, postgres_url, log) for _ in range(2)]
        rows = await create(a, *(f"i{number}" for number in range(20)))
        claimed = (await a.claim(await owner(a), 20, at=AT)).rows
        assert len(claimed) == 20
        await asyncio.gather(*(a.append(row.key, [execution_started()], execution=1, at=AT) for row in rows))
        for number in range(10):
            appends = [a.append(row.key, quick(do(count=number + 1)), execution=1, at=AT) for row in rows]
            decides = [b.decide(row.key, lambda _: [printed("b")], execution=None, at=AT) for row in rows]
            reads = [b.load(row.key) for row in rows]
            await asyncio.gather(*appends, *decides, *reads)
        for row in rows:
            journal = await b.events(row.key, after=0, limit=999)
            assert [event.seq for event in journal] == list(range(1, 2 + 40 + 10 + 1))
        assert not log.of("database_error") and not log.of("database_away")
        await a.close()
        await b.close()

    run(story())


def test_what_another_node_does_is_seen_soon_without_a_notification(pooler: Pooler, postgres_url: str) -> None:
    async def story() -> None:
        log = Log()
        a, b = [await asyncio.to_thread(opened_through, pooler, postgres_url, log) for _ in range(2)]
        row = await running(a)
        due: list[int] = []
        leave = b.listen_due(due.append)
        loop = asyncio.get_running_loop()
        async with b.subscribe(row.key) as wait:
            took = []
            for _ in range(5):
                last = (await a.append(row.key, [printed("x")], execution=1, at=AT)).row.last_seq
                began = loop.time()
                assert await wait(last - 1) == last
                took.append(loop.time() - began)
            assert min(took) < 1.0, took  # a quarter each, and what a loaded machine adds to some
        await create(a, "new", at=AT + 9)
        while AT + 9 not in due:
            await asyncio.sleep(0.01)
        leave()
        await a.close()
        await b.close()

    run(story())
