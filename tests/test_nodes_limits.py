"""Limits that hold for all nodes together: two engines over one store, as two servers on one database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from dispatch_support import Place, after_expiry, workflow

from playground.engine import CreateInstance, Engine
from playground.engine.chaos_runs import RUNNING, ChaosRuns, number_of
from playground.engine.clock import FakeClock
from playground.engine.ids import SystemIds
from playground.engine.limits import EVENT_BYTES
from playground.engine.scheduler import EXPIRE_EVERY_MS
from playground.examples import load
from playground.store.rows import InstanceRow
from playground.web.app import create_app
from playground.web.context import Context
from playground.web.http import tokens
from playground.web.http.errors import TooMany
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


def test_the_reruns_that_follow_are_created_once_though_several_nodes_see_to_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node that started it dies before they are; until they are over, another start is refused."""
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
            await asyncio.gather(*(each.create_kill_reruns(row) for each in runs * 3))
            children = await runs[0].children(row)
            assert [number_of(child) for child in children] == [None, 1, 2]
            assert [child.id for child in children[1:]] == [f"{control.id}-1", f"{control.id}-2"]
            created = [size for size in stored if 0 < size < EVENT_BYTES]  # what runs is billed too, by the event
            assert len(created) == 1, "what is stored once is billed once"

    place.call(tale)


# What one node does for all.


def test_of_several_nodes_one_removes_the_instances_whose_time_is_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, rounds = FakeClock(), []

    async def tale() -> None:
        async with place.nodes(3, clock) as nodes:
            store, forget = nodes[0].store, nodes[0].store.forget_used_ids

            async def counted(before: int) -> int:
                rounds.append(before)
                return int(await forget(before))

            await after_expiry(*nodes)
            monkeypatch.setattr(store, "forget_used_ids", counted)  # the last thing that a round does
            for number in range(1, 4):
                clock.advance(EXPIRE_EVERY_MS)
                await after_expiry(*nodes)
                assert len(rounds) == number

    place.call(tale)


# Limits of the web.


class Web:
    """The web application of a node, asked without a socket."""

    def __init__(self, node: Engine) -> None:
        self.node = node
        app = create_app(node, node.settings, load(), ids=SystemIds(), log=lambda *_, **__: None, version="1")
        self.context: Context = app.state.context
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost")


@asynccontextmanager
async def webs(place: Place, count: int, clock: FakeClock, **settings: Any) -> AsyncIterator[list[Web]]:
    async with place.nodes(count, clock, **settings) as nodes, AsyncExitStack() as opened:
        made = [Web(node) for node in nodes]
        for each in made:
            await opened.enter_async_context(each.client)
        yield made


def listing(key: str) -> "Ask":
    """Ask for a tenant's instances with a key."""
    return lambda web: web.client.get("/api/tenants/acme/instances", headers={"Authorization": f"Bearer {key}"})


Ask = Callable[[Web], Any]
ASKED: dict[str, tuple[str, int, Ask]] = {
    "links": ("snippets_per_minute", 201, lambda web: web.client.post("/api/snippets", json={"source": STEPS})),
    "runs": ("starts_per_minute", 201, lambda web: web.client.post("/api/instances", json={"source": STEPS})),
    "changes": ("changes_per_minute", 404, lambda web: web.client.post("/api/instances/nothing/pause")),
    "requests of a tenant": ("requests_per_tenant", 200, listing("right")),
    "wrong keys": ("changes_per_minute", 403, listing("wrong")),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_is_asked_of_one_node_counts_on_the_others_and_on_one_that_starts_later(place: Place, what: str) -> None:
    setting, status, ask = ASKED[what]
    clock = FakeClock()

    async def tale() -> None:
        async with webs(place, 3, clock, **{setting: 4}) as (one, other, later):
            await one.node.store.tenants.add_key("acme", "", tokens.digest("right"), at=0)
            for left in (3, 2):
                answer = await ask(one)
                assert answer.status_code == status
                assert what == "wrong keys" or f'"{setting}";r={left};t=60' in answer.headers["ratelimit"]
            clock.advance(20_000)
            await one.node.shared.exchange()
            for left in (1, 0):
                answer = await ask(other)
                assert answer.status_code == status
                assert what == "wrong keys" or f'"{setting}";r={left};t=40' in answer.headers["ratelimit"]
            await other.node.shared.exchange()
            clock.advance(1_000)
            for web in (one, other, later):
                refused = await ask(web)
                assert (refused.status_code, refused.json()["error"]["setting"]) == (429, setting)
                assert refused.headers["retry-after"] == "39"
            clock.advance(39_000)
            assert (await ask(later)).status_code == status

    place.call(tale)


SHARED = {"starts", "snippets", "changes", "tenants", "chaos"}


def test_which_limits_hold_for_all_nodes_and_which_for_each(place: Place) -> None:
    clock = FakeClock()

    async def tale() -> None:
        kinds = ("starts", "snippets", "changes", "checks", "reads", "cards")
        few = dict.fromkeys((*(f"{kind}_per_minute" for kind in kinds), "requests_per_tenant", "chaos_per_hour"), 1)
        async with webs(place, 2, clock, **few) as (one, other):
            for name in SHARED:
                await getattr(one.context.limits, name).charge("k")
            for name in ("checks", "reads", "cards"):
                getattr(one.context.limits, name).charge("k")
                getattr(other.context.limits, name).charge("k")
            await one.node.shared.exchange()
            for name in SHARED:
                with pytest.raises(TooMany):
                    await getattr(other.context.limits, name).charge("k")
            clock.advance(60_000)
            with pytest.raises(TooMany, match=r"in an hour .* possible in 59 min"):
                await other.context.limits.chaos.charge("k")

    place.call(tale)
