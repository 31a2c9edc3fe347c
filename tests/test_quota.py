"""What an address stores in a day is counted across restarts: kept in the store in batches, all or none, and forgotten when the day is over."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aio import story
from dispatch_support import Place
from http_support import HELLO, MakeSite, code_of

from playground.engine import quota
from playground.engine.clock import FakeClock
from playground.engine.quota import HOUR_MS, HOURS, StoredPerDay
from playground.store import StoreError, open_store
from playground.store.protocol import Store

ADDRESS = "addr:192.0.2.1"


async def kept(store: Store) -> list[tuple[str, int, int]]:
    return list(await store.usage.since(0, 1_000))


def test_a_restart_forgives_nobody_and_a_day_does(place: Place) -> None:
    url, clock = place.new_url(), FakeClock()

    async def tale() -> None:
        async with place.engine(url, clock, stored_per_day=1_000) as engine:
            assert engine.stored.add(ADDRESS, 600)
            clock.advance(5 * HOUR_MS)
            assert not engine.stored.add(ADDRESS, 600)
        async with place.engine(url, clock, stored_per_day=1_000) as engine:
            assert engine.stored.hours_until_room(ADDRESS) == 19
            assert engine.stored.hours_until_room("addr:192.0.2.2") == 0
            clock.advance(18 * HOUR_MS)
            assert engine.stored.hours_until_room(ADDRESS) == 1
        async with place.engine(url, clock, stored_per_day=1_000) as engine:
            clock.advance(HOUR_MS)
            assert engine.stored.hours_until_room(ADDRESS) == 0
            engine.stored.add("addr:192.0.2.2", 1)
        async with place.engine(url, clock) as engine:
            assert [(queue, size) for queue, _, size in await kept(engine.store)] == [("addr:192.0.2.2", 1), (ADDRESS, 600)]

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
    monkeypatch.setattr(quota, "SAVE_SECONDS", 0.001)
    url, clock = place.new_url(), FakeClock()

    async def tale() -> None:
        async with place.engine(url, clock) as engine:
            engine.stored.add(ADDRESS, 600)
            while not await kept(engine.store):
                pass
            engine.stored.add(ADDRESS, 7)
            await engine.abandon()
        async with place.engine(url, clock, stored_per_day=600) as engine:
            assert [size for _, _, size in await kept(engine.store)] == [600]
            assert engine.stored.hours_until_room(ADDRESS) > 0

    place.call(tale)


@story
async def test_many_additions_are_one_commit_and_hours_that_are_over_are_dropped(tmp_path: Path) -> None:
    store, now = open_store(f"sqlite:///{tmp_path}/a.db"), [100 * HOUR_MS]
    stored = StoredPerDay(10**9, lambda: now[0], store.usage)
    before = store.measures.commits
    for number in range(2_000):
        stored.add(f"addr:{number % 50}", 10)
    await stored.close()
    assert store.measures.commits - before == 1
    assert len(await kept(store)) == 50 and {size for _, _, size in await kept(store)} == {400}
    now[0] += (HOURS - 1) * HOUR_MS
    later = StoredPerDay(10**9, lambda: now[0], store.usage)
    await later.load()
    later.add("addr:0", 1)
    await later.close()
    assert len(await kept(store)) == 51
    now[0] += HOUR_MS
    last = StoredPerDay(10**9, lambda: now[0], store.usage)
    await last.load()
    last.add("addr:0", 2)
    await last.close()
    assert [(queue, size) for queue, _, size in await kept(store)] == [("addr:0", 2), ("addr:0", 1)]
    await store.close()


class FailingOnce:
    """A store's usage whose first writing fails, as on a full disk."""

    def __init__(self, store: Store) -> None:
        self._usage, self.failed = store.usage, False

    async def add(self, stored: Mapping[tuple[str, int], int], *, since: int) -> None:
        if not self.failed:
            self.failed = True
            raise StoreError("disk full")
        await self._usage.add(stored, since=since)

    async def since(self, hour: int, limit: int) -> Sequence[tuple[str, int, int]]:
        return await self._usage.since(hour, limit)


@story
async def test_what_could_not_be_written_is_written_with_what_comes_next(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    usage: Any = FailingOnce(store)
    stored = StoredPerDay(10**9, lambda: 100 * HOUR_MS, usage)
    stored.add(ADDRESS, 5)
    await stored._save()
    assert usage.failed and await kept(store) == []
    stored.add(ADDRESS, 6)
    await stored.close()
    assert await kept(store) == [(ADDRESS, 100, 11)]
    await store.close()


@story
async def test_a_clock_that_was_set_back_counts_nothing_of_the_future(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    await store.usage.add({(ADDRESS, 101): 5, (ADDRESS, 100): 6}, since=0)
    stored = StoredPerDay(6, lambda: 100 * HOUR_MS, store.usage)
    await stored.load()
    assert stored.hours_until_room(ADDRESS) == HOURS
    assert await asyncio.wait_for(stored.close(), 5) is None
    await store.close()
