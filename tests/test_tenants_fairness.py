"""Turns and quotas between tenants: one with much to do does not hold up another, whatever its instances do."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from dispatch_support import Place, journal_until, on_engine, output, workflow
from store_support import passes

from playground import Code, Dispatcher, Engine
from playground.engine.clock import FakeClock
from playground.workflows import events as ev

BUSY = workflow('await step.do("long", lambda: asyncio.sleep(600))')
QUICK = workflow("return 'quick'")
BUSY_TENANT = {"tenant": "busy"}


def dispatcher(engine: Engine) -> Dispatcher:
    return Dispatcher(engine, lambda metadata: Code(BUSY if metadata["tenant"].startswith("busy") else QUICK))


async def counted(engine: Engine, tenant: str, status: str, n: int) -> None:
    """Wait until a tenant has so many instances of a status."""
    while (await engine.store.count(tenant=tenant)).get(status, 0) != n:
        await asyncio.sleep(0)


@on_engine(workers=4)
async def test_a_tenant_whose_long_steps_fill_the_slots_does_not_keep_another_waiting(engine: Engine) -> None:
    flows = dispatcher(engine)
    await flows.wrap_binding(BUSY_TENANT).create_batch([{}] * 20)
    await counted(engine, "busy", ev.RUNNING, 3)
    for number in range(5):
        assert await output(await flows.wrap_binding({"tenant": f"new-{number}"}).create()) == "quick"
    assert (await engine.store.count(tenant="busy")) == {ev.RUNNING: 3, ev.QUEUED: 17}


@on_engine(workers=4, spare_slots=0)
async def test_without_a_spare_slot_it_does(engine: Engine) -> None:
    flows = dispatcher(engine)
    await flows.wrap_binding(BUSY_TENANT).create_batch([{}] * 20)
    await counted(engine, "busy", ev.RUNNING, 4)
    newcomer = await flows.wrap_binding({"tenant": "new"}).create()
    quick = asyncio.ensure_future(journal_until(newcomer, ev.EXECUTION_STARTED))
    await flows.wrap_binding({"tenant": "busy-too"}).create()
    assert not quick.done() and (await newcomer.status()).status == "queued"
    running = [row for row in await engine.store.list("busy") if row.status == ev.RUNNING]
    for victim in running[:2]:
        await engine.terminate(victim)
    await quick


@on_engine(workers=4, idle_grace_ms=600_000)
async def test_the_spare_slot_is_taken_by_an_idle_workers_leave_too(engine: Engine) -> None:
    body = workflow('await step.wait_for_event("go", "go", timeout="1 hour")')
    flows = Dispatcher(engine, lambda metadata: Code(body)).wrap_binding({"tenant": "acme"})
    made = await flows.create_batch([{} for _ in range(8)])
    for instance in made:
        await journal_until(instance, ev.WORKFLOW_WAITING)


@on_engine(workers=8, running_per_tenant=2)
async def test_a_tenant_runs_so_many_at_once_and_no_more(engine: Engine) -> None:
    flows = dispatcher(engine)
    await flows.wrap_binding(BUSY_TENANT).create_batch([{}] * 9)
    await flows.wrap_binding({"tenant": "busy-too"}).create_batch([{}] * 9)
    await counted(engine, "busy", ev.RUNNING, 2)
    await counted(engine, "busy-too", ev.RUNNING, 2)
    assert await output(await flows.wrap_binding({"tenant": "new"}).create()) == "quick"
    await passes(lambda: engine.running() == 4)  # the worker of the quick one goes after its output is there
    await counted(engine, "busy", ev.RUNNING, 2)
    await counted(engine, "busy-too", ev.RUNNING, 2)


def test_a_tenant_begins_so_many_in_a_second_and_the_others_in_the_next(place: Place) -> None:
    clock = FakeClock()

    async def story(engine: Engine) -> None:
        flows = dispatcher(engine)
        await flows.wrap_binding({"tenant": "new"}).create_batch([{}] * 12)
        for done in (5, 10, 12):
            await counted(engine, "new", ev.COMPLETE, done)
            other = await flows.wrap_binding({"tenant": f"other-{done}"}).create()
            assert await output(other) == "quick"
            if done < 12:
                await passes(due_in_the_next_second(clock))
                assert (await engine.store.count(tenant="new"))[ev.QUEUED] == 12 - done
                clock.advance(1000)

    place.run(story, clock=clock, starts_per_second_per_tenant=5)


def due_in_the_next_second(clock: FakeClock) -> Callable[[], bool]:
    return lambda: clock.next_due() == (clock.now() // 1000 + 1) * 1000


def test_the_bench_runs() -> None:
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "bench.fairness", "--queued", "300", "--rounds", "3", "--work", "1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert "delay beyond normal, median and 95th percentile" in done.stdout, done.stderr
    assert done.returncode in (0, 1)
