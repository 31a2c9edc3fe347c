"""Counts of limits that hold for all nodes: sent once a second in one commit, read before a key is judged."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aio import story
from store_support import opened, with_store

from playground.engine import limits
from playground.engine.limits import FRESH_MS, SENT_AT_ONCE, SharedCount, SharedCounts
from playground.store import StoreError
from playground.store.protocol import Store

WINDOW = 60


class Time:
    """Epoch milliseconds, moved by hand."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now(self) -> int:
        return self.ms


def node(store: Any, time: Time, name: str = "starts") -> tuple[SharedCounts, SharedCount]:
    shared = SharedCounts(store.usage, time.now)
    return shared, shared.count_of(name, WINDOW, 1_000)


@with_store
async def test_all_that_was_counted_is_one_commit_and_nothing_is_none(store: Store) -> None:
    time = Time()
    shared, count = node(store, time)
    other = shared.count_of("changes", WINDOW, 1_000)
    before = store.metrics.commits
    await shared.exchange()
    assert store.metrics.commits == before
    for number in range(2_000):
        count.add(f"k{number % 50}", 1)
        other.add("k0", 2)
    other.add("nothing", 0)
    await shared.exchange()
    await shared.exchange()
    assert store.metrics.commits == before + 1
    assert await store.usage.amounts("starts", "k7", since=0) == [(1_000, 40)]
    assert await store.usage.amounts("changes", "k0", since=0) == [(1_000, 4_000)]
    assert (count.total("k7"), other.total("k0"), count.total("nobody")) == (40, 4_000, 0)
    await shared.close()


@with_store
async def test_what_is_counted_is_sent_a_second_later_without_being_asked(store: Store) -> None:
    shared, count = node(store, Time())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "EXCHANGE_SECONDS", 0.001)
        for amount in (1, 2):  # and again
            count.add("k", amount)
            while count.has_unsent:
                await asyncio.sleep(0)
    assert await store.usage.amounts("starts", "k", since=0) == [(1_000, 3)]
    await shared.close()


@with_store
async def test_a_node_learns_of_others_when_it_sends_and_when_it_reads(store: Store) -> None:
    time = Time()
    (a, one), (b, other) = node(store, time), node(store, time)
    one.add("k", 3)
    await a.exchange()
    await other.read("k")
    assert other.total("k") == 3
    time.ms += 2_000
    other.add("k", 4)
    one.add("k", 5)
    await b.exchange()
    assert (one.total("k"), other.total("k")) == (8, 7), "neither knows of what the other has counted since"
    await a.exchange()
    assert one.counts("k") == [(1_000, 3), (1_002, 9)]
    await other.read("k")
    assert other.total("k") == 7
    time.ms += FRESH_MS
    await other.read("k")
    assert other.total("k") == 12
    time.ms += 58_000
    assert other.counts("k") == [(1_002, 9)], "a minute is over"


@with_store
async def test_keys_that_others_have_driven_out_are_read_again(store: Store) -> None:
    shared, count = node(store, Time())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "KEYS_MOST", 2)
        for key in "abcd":
            count.add(key, 5)
        await shared.exchange()
        count.add("a", 1)  # which it does not know any more
        assert count.total("a") == 1
        await count.read("a")
        assert count.total("a") == 6
        await shared.close()


@with_store
async def test_many_keys_are_sent_in_several_commits_so_that_others_come_between(store: Store) -> None:
    shared, count = node(store, Time())
    before = store.metrics.commits
    for number in range(2 * SENT_AT_ONCE + 1):
        count.add(f"k{number}", 1)
    await shared.exchange()
    assert store.metrics.commits == before + 3
    assert await store.usage.amounts("starts", f"k{2 * SENT_AT_ONCE}", since=0) == [(1_000, 1)]


@with_store
async def test_old_units_are_dropped_once_no_clock_needs_them(store: Store) -> None:
    time = Time()
    shared, count = node(store, time)
    count.add("k", 1)
    await shared.exchange()
    for later, left in ((2 * WINDOW - 1, 1), (1, 0)):
        time.ms += later * 1_000
        count.add("other", 1)
        await shared.exchange()
        assert len(await store.usage.amounts("starts", "k", since=0)) == left


@with_store
async def test_units_of_a_clock_that_is_ahead_count_as_now_and_of_one_set_back_not_at_all(store: Store) -> None:
    time = Time()
    _, count = node(store, time)
    places = {("starts", "k", unit): 1 for unit in (1_000, 1_003, 1_000 + WINDOW + 1)}
    await store.usage.add(places, since={}, kept={})
    await count.read("k")
    assert count.counts("k") == [(1_000, 2)]


class Usage:
    """A store's usage that can fail, and that can be held up."""

    def __init__(self, store: Store) -> None:
        self.usage, self._usage = self, store.usage
        self.failing = False
        self.going: asyncio.Event | None = None
        self.reads = 0

    async def add(self, *args: Any, **kwargs: Any) -> Any:
        if self.failing:
            raise StoreError("disk full")
        added = await self._usage.add(*args, **kwargs)
        if self.going is not None:
            await self.going.wait()
        return added

    async def amounts(self, limit: str, key: str, *, since: int) -> Sequence[tuple[int, int]]:
        self.reads += 1
        return await self._usage.amounts(limit, key, since=since)


@with_store
async def test_what_could_not_be_sent_is_sent_with_what_comes_next(store: Store) -> None:
    usage = Usage(store)
    shared, count = node(usage, Time())
    usage.failing = True
    count.add("k", 5)
    await shared.exchange()
    assert (count.total("k"), await store.usage.amounts("starts", "k", since=0)) == (5, [])
    await count.read("k")
    usage.failing = False
    count.add("k", 6)
    await shared.close()
    assert (count.total("k"), await store.usage.amounts("starts", "k", since=0)) == (11, [(1_000, 11)])


@with_store
async def test_what_is_being_sent_is_counted_once(store: Store) -> None:
    """Whoever reads a key while it is on its way to the store might see it there, and here too."""
    usage, time = Usage(store), Time()
    usage.going = asyncio.Event()
    shared, count = node(usage, time)
    count.add("k", 5)
    sending = asyncio.ensure_future(shared.exchange())
    while not await store.usage.amounts("starts", "k", since=0):
        await asyncio.sleep(0)
    reading = asyncio.ensure_future(count.read("k"))
    count.add("k", 2)
    for _ in range(50):
        await asyncio.sleep(0)
    assert (count.total("k"), reading.done(), usage.reads) == (7, False, 0)
    usage.going.set()
    await asyncio.gather(sending, reading)
    assert (count.total("k"), count.has_unsent, usage.reads) == (7, True, 0)
    await shared.exchange()
    assert await store.usage.amounts("starts", "k", since=0) == [(1_000, 7)]
    await count.read("k")
    assert usage.reads == 0, "what was exchanged this second need not be read"


@story
async def test_a_store_that_is_closed_gives_no_counts(store_url: str) -> None:
    store = opened(store_url)
    shared, count = node(store, Time())
    count.add("k", 1)
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await count.read("k")
    shared.abandon()
    await shared.close()
