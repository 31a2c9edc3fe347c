"""What an address stores in a day is counted for all nodes together and across restarts, and then forgotten."""

import asyncio
from pathlib import Path

import pytest
from aio import story
from dispatch_support import Place
from http_support import HELLO, MakeSite, code_of

from playground.engine import limits
from playground.engine.clock import FakeClock
from playground.engine.limits import HOUR_MS, HOURS, SETTING, SharedCounts, StoredPerDay
from playground.store import open_store
from playground.store.protocol import Store

ADDRESS = "addr:192.0.2.1"
OTHER = "addr:192.0.2.2"


async def kept(store: Store, queue: str = ADDRESS) -> list[tuple[int, int]]:
    return list(await store.usage.amounts(SETTING, queue, since=0))


def test_a_restart_forgives_nobody_and_a_day_does(place: Place) -> None:
    url, clock = place.new_url(), FakeClock()

    async def tale() -> None:
        async with place.engine(url, clock, stored_per_day=1_000) as engine:
            assert engine.stored.add(ADDRESS, 600)
            clock.advance(5 * HOUR_MS)
            assert not engine.stored.add(ADDRESS, 600)
        async with place.engine(url, clock, stored_per_day=1_000) as engine:
            for queue, hours in ((ADDRESS, 19), (OTHER, 0)):
                await engine.stored.read(queue)
                assert engine.stored.hours_until_room(queue) == hours
            clock.advance(18 * HOUR_MS)
            assert engine.stored.hours_until_room(ADDRESS) == 1
        async with place.engine(url, clock, stored_per_day=1_000) as engine:
            clock.advance(HOUR_MS)
            await engine.stored.read(ADDRESS)
            assert engine.stored.hours_until_room(ADDRESS) == 0
            clock.advance(HOURS * HOUR_MS)
            engine.stored.add(OTHER, 1)
            await engine.shared.exchange()
            assert len(await kept(engine.store)) == 1, "kept for twice a day, since another node's clock may be behind"
            clock.advance(HOURS * HOUR_MS)
            engine.stored.add(OTHER, 1)
        async with place.engine(url, clock) as engine:
            assert await kept(engine.store) == []
            assert [size for _, size in await kept(engine.store, OTHER)] == [1, 1]

    place.call(tale)


def test_what_an_address_stores_through_one_node_counts_on_the_others(place: Place) -> None:
    clock = FakeClock()

    async def tale() -> None:
        async with place.nodes(2, clock, stored_per_day=1_000) as (one, other):
            assert one.stored.add(ADDRESS, 600) and other.stored.add(ADDRESS, 600), "each knows of its own"
            await one.shared.exchange()
            await other.shared.exchange()
            assert not other.stored.add(ADDRESS, 1)
            await one.stored.read(ADDRESS)
            assert one.stored.hours_until_room(ADDRESS) == 0, "it read a moment ago"
            clock.advance(limits.FRESH_MS)
            await one.stored.read(ADDRESS)
            assert one.stored.hours_until_room(ADDRESS) == HOURS

    place.call(tale)


def test_over_http_an_address_at_its_limit_is_still_there_after_a_restart(make_site: MakeSite) -> None:
    site = make_site(stored_per_day=20_000)
    source = HELLO.replace("Hello", "Hello" + "o" * 25_000)
    site.finish(site.create(source))
    assert code_of(site.client.post("/api/instances", json={"source": HELLO})) == (429, "too_many")
    site.stop()
    site.start()
    answer = site.client.post("/api/instances", json={"source": HELLO})
    assert (code_of(answer), answer.json()["error"]["setting"]) == ((429, "too_many"), "stored_per_day")


def test_what_was_written_before_a_kill_is_known_after_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXCHANGE_SECONDS", 0.001)
    url, clock = place.new_url(), FakeClock()

    async def tale() -> None:
        async with place.engine(url, clock) as engine:
            engine.stored.add(ADDRESS, 600)
            while not await kept(engine.store):
                await asyncio.sleep(0)
            engine.stored.add(ADDRESS, 7)
            await engine.abandon()
        async with place.engine(url, clock, stored_per_day=600) as engine:
            assert [size for _, size in await kept(engine.store)] == [600]
            await engine.stored.read(ADDRESS)
            assert engine.stored.hours_until_room(ADDRESS) > 0

    place.call(tale)


@story
async def test_bytes_of_a_day_are_given_back_hour_by_hour(tmp_path: Path) -> None:
    store, now = open_store(f"sqlite:///{tmp_path}/a.db"), [0]
    stored = StoredPerDay(100, SharedCounts(store.usage, lambda: now[0]))
    assert stored.add("addr:a", 60)
    now[0] = 5 * HOUR_MS
    assert stored.add("addr:a", 40)
    assert stored.hours_until_room("addr:a") == 19
    assert not stored.add("addr:a", 1)
    assert stored.hours_until_room("addr:b") == 0
    now[0] = 24 * HOUR_MS
    assert stored.hours_until_room("addr:a") == 0
    await store.close()
