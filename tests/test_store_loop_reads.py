"""What SQLite reads on the event loop instead of a thread: rows by key, and what a watched journal has just got."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aio import run
from store_support import AT, create, printed, running

from playground.store import open_store
from playground.store.sqlite.connections import READERS
from playground.store.sqlite.store import FEW_EVENTS, FEW_EVENTS_BYTES, SqliteStore
from playground.workflows.errors import InstanceNotFound


@asynccontextmanager
async def busy_threads(store: SqliteStore) -> AsyncIterator[None]:
    """Every reading thread waits meanwhile."""
    over, begun = threading.Event(), threading.Barrier(READERS + 1)

    def wait(_: object) -> None:
        begun.wait()
        over.wait()

    waiting = [asyncio.ensure_future(store._readers.run(wait)) for _ in range(READERS)]
    await asyncio.to_thread(begun.wait)
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*waiting)


def on_a_store(tmp_path, story):
    async def told():
        store = open_store(f"sqlite:///{tmp_path}/store.db")
        try:
            await story(store)
        finally:
            await store.close()

    run(told())


def test_rows_are_found_while_every_reading_thread_is_busy(tmp_path):
    async def story(store):
        [row] = await create(store, "a", params={"n": 1})
        async with busy_threads(store):
            assert await store.find("", "a") == row
            assert await store.next_due() == AT and await store.next_due(after=AT) is None
            async with store.subscribe(row.key) as grown:
                assert await grown(0) == 1
        with pytest.raises(InstanceNotFound):
            await store.find("", "nobody")

    on_a_store(tmp_path, story)


def test_a_subscriber_reads_what_came_since_while_every_reading_thread_is_busy(tmp_path):
    async def story(store):
        row = await running(store)
        before = row.last_seq
        async with store.subscribe(row.key) as grown, store.subscribe(row.key):
            for place in range(3):
                await store.append(row.key, [printed(f"line {place}")], execution=1, at=AT)
                await grown(before + place)
                async with busy_threads(store):
                    found = await store.events_json(row.key, after=before + place, limit=500)
                assert [seq for seq, _, _ in found] == [before + place + 1] and f"line {place}".encode() in found[0][2]

    on_a_store(tmp_path, story)


def test_many_events_are_read_by_a_thread_and_are_all_there(tmp_path):
    async def story(store):
        row = await running(store)
        async with store.subscribe(row.key):
            lines = [printed(str(number)) for number in range(FEW_EVENTS + 1)]
            await store.append(row.key, lines, execution=1, at=AT)
            async with busy_threads(store):
                reading = asyncio.ensure_future(store.events_json(row.key, after=row.last_seq, limit=500))
                await asyncio.sleep(0), await asyncio.sleep(0)  # its first turn is where it would read on the loop
                assert not reading.done(), "it waits for a thread"
            assert [seq for seq, _, _ in await reading] == [row.last_seq + n + 1 for n in range(FEW_EVENTS + 1)]

    on_a_store(tmp_path, story)


def test_large_events_are_read_a_few_at_a_time(tmp_path):
    async def story(store):
        row = await running(store)
        async with store.subscribe(row.key):
            lines = [printed("x" * FEW_EVENTS_BYTES), printed("y")]
            await store.append(row.key, lines, execution=1, at=AT)
            async with busy_threads(store):
                first = await store.events_json(row.key, after=row.last_seq, limit=500)
                then = await store.events_json(row.key, after=row.last_seq + 1, limit=500)
            assert [seq - row.last_seq for seq, _, _ in (*first, *then)] == [1, 2] and len(first) == 1

    on_a_store(tmp_path, story)
