"""Limits that hold for all nodes together: two engines over one store, as two servers on one database."""

import asyncio
from typing import Any

import pytest
from dispatch_support import Place, after_expiry, workflow

from playground.engine import CreateInstance, Engine
from playground.engine.chaos_runs import RUNNING, ChaosRuns, number_of
from playground.engine.clock import FakeClock
from playground.engine.scheduler import EXPIRE_EVERY_MS
from playground.store.protocol import InstanceRow
from playground.workflows import errors
from playground.workflows import events as ev

STEPS = workflow('await step.do("one", lambda: 1)\nawait step.do("two", lambda: 2)')
WAITS = workflow('await step.do("one", lambda: 1)\nawait step.wait_for_event("go", "go", timeout="1 hour")')
QUEUE = "addr:192.0.2.1"


async def until(engine: Engine, key: int, type: str) -> None:
    """Wait until an event of a type stands in a journal."""
    async with engine.store.subscribe(key) as grown:
        seq = 0
        while type not in [event.type for event in await engine.store.events(key, after=0, limit=100)]:
            seq = await grown(seq)


@pytest.mark.parametrize(("tenant", "setting"), [("", "queue_length"), ("acme", "queued_per_tenant")])
def test_a_queue_is_as_long_as_it_may_be_whoever_creates(place: Place, tenant: str, setting: str) -> None:
    async def tale() -> None:
        async with place.nodes(**{setting: 5}) as nodes:
            new = CreateInstance(None, tenant=tenant, workflow="nobody-runs-this")
            answers = await asyncio.gather(*(node.create(new) for node in nodes * 6), return_exceptions=True)
            refused = [it for it in answers if isinstance(it, errors.Busy)]
            assert (len(refused), {it.details["setting"] for it in refused}) == (7, {setting})
            assert await nodes[0].store.count(tenant=tenant) == {"queued": 5}

    place.call(tale)


# Chaos runs.


async def played(node: Engine, source: str, type: str) -> InstanceRow:
    """An instance that has come to an event of a type."""
    made = await node.create(CreateInstance(source, queue=QUEUE))
    await until(node, made.key, type)
    return await node.store.find("", made.id)


async def numbers(runs: ChaosRuns, row: InstanceRow) -> list[int | None]:
    return [number_of(child) for child in await runs.children(row)]


def test_a_chaos_run_that_several_nodes_start_at_once_is_started_by_one(place: Place) -> None:
    async def tale() -> None:
        async with place.nodes() as nodes:
            row = await played(nodes[0], STEPS, ev.WORKFLOW_COMPLETED)
            runs = [ChaosRuns(node) for node in nodes] * 3
            answers = await asyncio.gather(*(each.start(row, QUEUE) for each in runs), return_exceptions=True)
            assert sorted(map(str, answers)) == ["None", *[RUNNING] * 5]
            assert await numbers(runs[0], row) == [None, 1, 2, 3]

    place.call(tale)


def test_the_next_chaos_run_takes_the_place_of_the_last_whoever_started_that(place: Place) -> None:
    async def tale() -> None:
        async with place.nodes() as nodes:
            row = await played(nodes[0], STEPS, ev.WORKFLOW_COMPLETED)
            one, other = (ChaosRuns(node) for node in nodes)
            await one.start(row, QUEUE)
            before = await one.children(row)
            for child in before:
                await until(nodes[1], child.key, ev.WORKFLOW_COMPLETED)
            await other.start(row, QUEUE)
            assert await numbers(one, row) == [None, 1, 2, 3]
            for child in before:
                with pytest.raises(errors.InstanceNotFound):
                    await nodes[0].store.find("", child.id)

    place.call(tale)


def test_the_reruns_that_follow_are_created_once_though_several_nodes_see_to_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node that started it dies before they are; whoever sees to them then, another start is refused until they are over."""
    monkeypatch.setattr(ChaosRuns, "follow", lambda *_: None)

    async def tale() -> None:
        async with place.nodes() as nodes:
            row = await played(nodes[0], WAITS, ev.WAIT_STARTED)
            runs = [ChaosRuns(node) for node in nodes]
            await runs[0].start(row, QUEUE)
            [control] = await runs[1].children(row)
            await until(nodes[1], control.key, ev.WORKFLOW_ERRORED)
            with pytest.raises(errors.CannotRunChaos, match="goes on"):
                await runs[1].start(row, QUEUE)
            stored: list[Any] = []
            for node in nodes:
                monkeypatch.setattr(node.stored, "add", lambda queue, size: stored.append(size))
            await asyncio.gather(*(each.create_rest(row) for each in runs * 3))
            children = await runs[0].children(row)
            assert [number_of(child) for child in children] == [None, 1, 2]
            assert [child.id for child in children[1:]] == [f"{control.id}-1", f"{control.id}-2"]
            assert sum(bool(size) for size in stored) == 1, "what is stored once is billed once"

    place.call(tale)


# What one node does for all.


def test_of_several_nodes_one_removes_the_instances_whose_time_is_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rounds = FakeClock(), []

    async def tale() -> None:
        async with place.nodes(3, clock) as nodes:
            store, forget = nodes[0].store, nodes[0].store.forget_used_ids

            async def counted(before: int) -> int:
                rounds.append(before)
                return int(await forget(before))

            monkeypatch.setattr(store, "forget_used_ids", counted)  # the last thing that a round does
            for number in range(1, 4):
                await after_expiry(*nodes)
                assert len(rounds) == number
                clock.advance(EXPIRE_EVERY_MS)

    place.call(tale)
