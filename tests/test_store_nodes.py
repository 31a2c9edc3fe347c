"""Nodes of a store: a lease each, and what becomes of the instances of one whose lease is over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aio import story
from store_support import AT, create, execution_started, opened, printed

from playground.store import open_store
from playground.store.errors import NodeLost
from playground.store.protocol import Store
from playground.testing.server import LeaseClock
from playground.workflows import events as ev
from playground.workflows.errors import Fenced
from playground.workflows.events import NewEvent

LEASE = 60_000  # by a clock that stands still; a database must answer within a third of it, by the real one


@asynccontextmanager
async def shared(url: str) -> AsyncIterator[tuple[Store, LeaseClock]]:
    """A store whose leases end by a clock of the test."""
    clock = LeaseClock()
    store = await asyncio.to_thread(opened, url, synchronous="normal", lease_clock=clock)
    try:
        yield store, clock
    finally:
        await store.close()


@story
async def test_a_node_is_known_by_its_name_and_by_how_often_it_has_joined(store_url: str) -> None:
    async with shared(store_url) as (store, _):
        first, other = await store.nodes.join("a", LEASE), await store.nodes.join("b", LEASE)
        again = await store.nodes.join("a", LEASE)
        assert [lease.owner for lease in (first, other, again)] == ["a.1", "b.1", "a.2"]
        with pytest.raises(NodeLost, match=r"the lease of node a \(boot 1\) is over"):
            await store.nodes.renew(first)
        await store.nodes.renew(again)
    async with shared(store_url) as (store, _):  # the number is never used again
        assert (await store.nodes.join("a", LEASE)).boot == 3


@story
async def test_a_lease_lasts_as_long_as_it_is_renewed_and_says_when_the_next_ends(store_url: str) -> None:
    async with shared(store_url) as (store, clock):
        a, b = await store.nodes.join("a", LEASE), await store.nodes.join("b", LEASE)
        clock.now = LEASE - 100
        assert (await store.nodes.renew(a)).next_end_ms == 100
        clock.now = LEASE
        assert (await store.nodes.renew(a)).next_end_ms is None
        with pytest.raises(NodeLost):
            await store.nodes.renew(b)
        clock.now = 2 * LEASE
        with pytest.raises(NodeLost):
            await store.nodes.renew(a)


@story
async def test_a_node_without_a_lease_claims_nothing(store_url: str) -> None:
    async with shared(store_url) as (store, clock):
        await create(store, "i")
        lease = await store.nodes.join("a", LEASE)
        clock.now = LEASE
        with pytest.raises(NodeLost):
            await store.claim(lease.owner, 1, at=AT)
        with pytest.raises(NodeLost):
            await store.claim("stranger.1", 1, at=AT)
        lease = await store.nodes.join("a", LEASE)
        assert [row.owner for row in (await store.claim(lease.owner, 1, at=AT)).rows] == ["a.2"]


@story
async def test_what_a_lost_node_owned_is_taken_over_and_its_late_commits_are_refused(store_url: str) -> None:
    async with shared(store_url) as (store, clock):
        await create(store, "i", "j")
        lost, other = await store.nodes.join("a", LEASE), await store.nodes.join("b", LEASE)
        [row] = (await store.claim(lost.owner, 1, at=AT)).rows
        [kept] = (await store.claim(other.owner, 1, at=AT)).rows
        assert await store.nodes.owned(other.owner) == [kept] and await store.nodes.owned("b.2") == []
        await store.append(row.key, [execution_started()], execution=1, at=AT)
        clock.now = LEASE - 1
        assert await store.nodes.renew(other) == (1, False, 1)
        assert await store.nodes.abandoned(9) == []
        clock.now = LEASE
        assert await store.nodes.renew(other) == (None, True, 1)
        assert [found.id for found in await store.nodes.abandoned(9)] == ["i"]
        ended = [NewEvent(ev.EXECUTION_ENDED, {"reason": ev.LOST})]
        await store.append(row.key, ended, execution=1, at=AT)
        assert await store.nodes.abandoned(9) == []
        [again] = (await store.claim(other.owner, 9, at=AT)).rows
        assert (again.id, again.execution) == ("i", 2)
        for _ in range(1_000):  # whatever it does when it thaws, and however often
            with pytest.raises(Fenced):
                await store.append(row.key, [printed("late")], execution=1, at=AT)
        await store.append(kept.key, [execution_started()], execution=1, at=AT)


@story
async def test_a_node_that_leaves_gives_up_what_it_owned_at_once(store_url: str) -> None:
    async with shared(store_url) as (store, _):
        await create(store, "i")
        lease = await store.nodes.join("a", LEASE)
        await store.claim(lease.owner, 1, at=AT)
        await store.nodes.leave(lease)
        await store.nodes.leave(lease)
        assert [found.id for found in await store.nodes.abandoned(9)] == ["i"]


@story
async def test_without_a_clock_a_lease_lasts_as_long_as_the_process(tmp_path: Path) -> None:
    """Of SQLite: the file's lock is the lease, and its process the only one."""
    store = await asyncio.to_thread(open_store, f"sqlite:///{tmp_path}/one.db", synchronous="normal")
    lease = await store.nodes.join("local", LEASE)
    assert lease.lasts_ms is None and (await store.nodes.renew(lease)).next_end_ms is None
    await create(store, "i")
    await store.claim(lease.owner, 1, at=AT)
    await store.close()
    store = await asyncio.to_thread(open_store, f"sqlite:///{tmp_path}/one.db", synchronous="normal")
    assert [found.owner for found in await store.nodes.abandoned(9)] == ["local.1"]
    await store.close()
