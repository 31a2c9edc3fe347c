"""The primary dies and its standby is promoted: engines find the new primary by themselves and go on; what was
acknowledged is there, and once. Real streaming replication; a commit is acknowledged when the standby has it.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from aio import run
from outage_support import Member, member, play, results, until
from postgres_support import DURABLE, USER, NoPostgres, PostgresServer, name_of, own_folder, shared_server
from proxy_support import Cut, Proxy
from puppet_support import ended, frame, has, hears
from semantics_support import assert_dense
from store_support import opened

from playground.engine import CreateInstance
from playground.store.errors import StoreError
from playground.store.postgres.hosts import Hosts, named_hosts
from playground.workflows import events as ev

STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
DEADLINE = 120.0


class Pair:
    """A primary and its standby."""

    def __init__(self) -> None:
        settings = {**DURABLE, "wal_level": "replica"}
        self.primary = PostgresServer(own_folder(), settings=settings)
        self.standby = PostgresServer(own_folder(), settings=settings)

    def __enter__(self) -> Self:
        self.primary.create().start()
        self.standby.create_standby(self.primary).start()
        while self.primary.sql(STREAMS) != "1":
            pass
        self.database = name_of(self.primary.database())
        while not self.standby.sql(f"SELECT 1 FROM pg_database WHERE datname = '{self.database}'"):
            pass
        self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.sql("SELECT pg_reload_conf()")
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self.primary, self.standby):
            server.kill()

    @property
    def url(self) -> str:
        """Names both, the standby first."""
        return f"postgresql://{USER}@/{self.database}?host={self.standby.folder},{self.primary.folder}"

    def fail_over(self) -> None:
        """End the primary as a crash does, and promote the standby."""
        self.primary.stop("immediate")
        self.standby.promote()


@pytest.fixture
def pair() -> Iterator[Pair]:
    try:
        made = Pair()
    except NoPostgres as error:
        pytest.fail(str(error), pytrace=False)
    with made:
        yield made


def test_with_the_standby_promoted_running_and_waiting_instances_go_on_and_nothing_is_lost_or_twice(pair: Pair) -> None:
    async def story() -> None:
        async with member("a", pair.url, lease_ms=15_000) as a:
            runners = [await a.start() for _ in range(5)]
            waiting, waiter = await a.start()
            await waiter.say(frame(op="wait", step=["wait", "w", 1], event_type="go", timeout=3_600_000))
            await a.journal(waiting, has(ev.WAIT_STARTED))
            acknowledged: list[list[int]] = [[] for _ in runners]
            over = asyncio.Event()
            playing = [
                asyncio.create_task(play(puppet, done, over.is_set))
                for (_, puppet), done in zip(runners, acknowledged, strict=True)
            ]
            created: list[str] = []

            async def create() -> None:
                while not over.is_set():
                    created.append((await a.engine.create(CreateInstance("# a puppet", queue="q"))).id)

            creating = asyncio.create_task(create())
            await until(lambda: min(map(len, acknowledged)) > 20 and len(created) > 5)
            await asyncio.to_thread(pair.fail_over)
            before = [len(done) for done in acknowledged]
            await until(lambda: all(len(done) > known + 20 for done, known in zip(acknowledged, before, strict=True)))
            over.set()
            await asyncio.gather(*playing, creating)
            await a.engine.send_event(waiting, "go", {"n": 1})
            heard = await hears(waiter, "over")
            assert heard["value"]["payload"] == {"n": 1}
            await waiter.say(frame(op="finish", output=None))
            await assert_complete(a, [row.id for row, _ in runners], acknowledged)
            assert_dense(await a.journal(waiting, ended))
            there = {row.id for row in await a.store.list("", limit=100_000)}
            assert set(created) <= there and len(there) == len(created) + 6
            assert "node_lost" not in [event for event, _ in a.log]

    run(story(), DEADLINE)


async def assert_complete(a: Member, ids: list[str], acknowledged: list[list[int]]) -> None:
    for id, done in zip(ids, acknowledged, strict=True):
        journal = await a.journal(await a.store.find("", id), ended)
        assert_dense(journal)
        assert results(journal) == [(number, number) for number in done]
        assert sum(event.type == ev.EXECUTION_STARTED for event in journal) == 1  # its worker never noticed


def test_a_url_may_name_several_servers_and_the_right_one_is_tried_first_from_then_on() -> None:
    assert named_hosts("postgresql://u:p%40@a:1,b/db") == [("a", 1), ("b", 5432)]
    assert named_hosts("postgresql://u@[::1]:7,[fe80::1]:8/db?sslmode=require") == [("::1", 7), ("fe80::1", 8)]
    assert named_hosts("postgresql://u@/db?host=a,b,c&port=6000") == [("a", 6000), ("b", 6000), ("c", 6000)]
    assert named_hosts("postgresql://u@/db?host=/run/a,/run/b&port=1,2") == [("/run/a", 1), ("/run/b", 2)]
    for one in ("postgresql:///db", "postgresql://u@h:1/db", "postgresql://u@/db?host=/run/a&port=1"):
        assert Hosts(one).in_order() == [None]
    with pytest.raises(ValueError, match="2 hosts and 3 ports; give one port, or one for each host"):
        named_hosts("postgresql://u@/db?host=a,b&port=1,2,3")
    hosts = Hosts("postgresql://a,b,c/db")
    hosts.prefer(("c", 5432))
    assert hosts.in_order() == [("c", 5432), ("a", 5432), ("b", 5432)]


def test_a_machine_that_is_silent_does_not_keep_a_store_from_the_one_that_takes_writes(postgres_url: str) -> None:
    target = Path(postgres_url.partition("host=")[2].partition("&")[0]) / ".s.PGSQL.5432"
    with Proxy(target) as silent, Proxy(target) as right:
        silent.cut(Cut.DROPPED)
        name = name_of(postgres_url)
        url = f"postgresql://{USER}@127.0.0.1:{silent.port},127.0.0.1:{right.port}/{name}"

        async def story() -> None:
            store = await asyncio.to_thread(opened, url)
            loop = asyncio.get_running_loop()
            assert await store.count() == {}  # which finds out once more, and remembers
            began = loop.time()
            await asyncio.gather(*(store.usage.probe() for _ in range(8)))
            assert loop.time() - began < 2.0, "each connection would have waited for the silent one"
            await store.close()

        run(story())


def test_a_server_that_will_not_do_is_passed_over_and_alone_is_refused_in_one_line(pair: Pair) -> None:
    with pytest.raises(StoreError, match="takes no writes: it is a standby, or read-only") as refused:
        opened(pair.standby.url(pair.database))
    assert "\n" not in str(refused.value)
    lacking, name = shared_server(), "elsewhere"
    pair.primary.sql(f"CREATE DATABASE {name}")
    with pytest.raises(StoreError, match=f'database "{name}" does not exist'):
        opened(lacking.url(name))
    run(opened(f"postgresql://{USER}@/{name}?host={lacking.folder},{pair.primary.folder}").close())
