"""Section 7 of semantics.md: hibernation, slots and whose turn it is."""

import pytest
from semantics_support import LEDGER, assert_sound, playing, story, workflow

from playground.engine.scheduler import PARENT_KEPT_MS
from playground.testing import WorkflowTester
from playground.workflows import events as ev

HOLD = """
LEDGER.note(f"{event.instanceId} begins")
await step.do("hold", lambda: asyncio.sleep(event.payload or 60))
"""


async def begun(tester: WorkflowTester) -> list[str]:
    """The instances whose code has begun since the last time, in order."""
    await tester.settle()
    return [note.split()[0] for note in LEDGER.take()]


@story
async def test_only_as_many_instances_as_there_are_slots_have_a_worker_and_the_others_are_queued():
    async with WorkflowTester(workflow(HOLD), skip=False, workers=2) as tester:
        runs = [await tester.create(id=f"r{number}") for number in range(5)]
        assert sorted(await begun(tester)) == ["r0", "r1"]
        assert [(await run.state()).status for run in runs] == ["running"] * 2 + ["queued"] * 3
        await tester.advance("1 minute")
        assert sorted(await begun(tester)) == ["r2", "r3"]
        await tester.advance("1 minute")
        assert await begun(tester) == ["r4"]
        await tester.advance("1 minute")
        assert {(await run.state()).status for run in runs} == {"complete"}
        await assert_sound(tester)


@story
async def test_woken_instances_go_before_new_ones():
    async with WorkflowTester(
        workflow(
            "if event.payload == 'sleeper':\n    await step.sleep('nap', '10 seconds')\n"
            + HOLD.replace("event.payload or 60", "30")
        ),
        skip=False,
        workers=1,
        idle_grace_ms=0,
    ) as tester:
        sleeper = await tester.create("sleeper", id="sleeper")
        await tester.settle()
        assert not tester.engine.executions()
        for number in range(3):
            await tester.create(id=f"r{number}")
        assert await begun(tester) == ["r0"]
        await tester.advance("30 seconds")
        assert await begun(tester) == ["sleeper"]
        assert (await sleeper.step("nap", kind=ev.SLEEP)).status == "completed"


@story
async def test_tenants_take_turns_and_within_a_tenant_the_oldest_goes_first():
    async with WorkflowTester(workflow(HOLD), skip=False, workers=1) as tester:
        for number in range(4):
            await tester.create(1, id=f"a{number}", tenant="ada")
        await tester.settle()
        for tenant, prefix in (("bob", "b"), ("cyd", "c")):
            for number in range(2):
                await tester.create(1, id=f"{prefix}{number}", tenant=tenant)
        for _ in range(8):
            await tester.advance("1 second")
        order = await begun(tester)
    assert order[0] == "a0"
    assert sorted(order[1:4]) == ["a1", "b0", "c0"]
    assert [name for name in order if name[0] == "a"] == ["a0", "a1", "a2", "a3"]
    assert [name for name in order if name[0] == "b"] == ["b0", "b1"]


@story
async def test_a_tenant_has_at_most_so_many_running_at_once_and_delays_nobody_else():
    async with WorkflowTester(workflow(HOLD), skip=False, workers=8, running_per_tenant=2) as tester:
        for number in range(5):
            await tester.create(id=f"a{number}", tenant="ada")
        await tester.create(id="b0", tenant="bob")
        assert sorted(await begun(tester)) == ["a0", "a1", "b0"]
        await tester.advance("1 minute")
        assert sorted(await begun(tester)) == ["a2", "a3"]
        await tester.advance("1 minute")
        assert await begun(tester) == ["a4"]


@story
async def test_an_idle_worker_is_given_up_when_its_slot_is_needed():
    async with playing(
        HOLD.replace("await step.do", "await step.sleep('nap', '1 hour')\nawait step.do"),
        skip=False,
        workers=1,
        idle_grace_ms=3_600_000_000,
    ) as (tester, first):
        await tester.settle()
        assert [execution.row.id for execution in tester.engine.executions()] == [first.id]
        second = await tester.create()
        await tester.settle()
        assert (await first.state()).executions[0].reason == "evicted"
        assert (await second.state()).status == "waiting"
        tester.skip = True
        await first.result()
        await second.result()


PARENT = """
if event.payload == "parent":
    return await asyncio.gather(*(self.env.WORKFLOWS.run(n) for n in range(1, 6)))
await step.do("hold", lambda: asyncio.sleep(60 if event.payload == "long" else 0.05))
return event.payload
"""


@story
async def test_a_parent_whose_children_end_one_after_another_keeps_its_worker_though_its_slot_is_needed():
    async with WorkflowTester(workflow(PARENT), workers=2, spare_slots=0) as tester:
        parent = await tester.create("parent")
        assert await parent.result() == [1, 2, 3, 4, 5]
        assert len((await parent.state()).executions) == 1
    async with WorkflowTester(workflow(PARENT), workers=1, spare_slots=0) as tester:
        parent = await tester.create("parent")
        assert await parent.result() == [1, 2, 3, 4, 5], "the only slot is given up, or no child could run"
        assert len((await parent.state()).executions) > 1


@story
async def test_a_parent_no_child_of_which_has_ended_lately_gives_up_its_worker_when_its_slot_is_needed():
    source = workflow(PARENT.replace("range(1, 6)", '("long", "long")'))
    async with WorkflowTester(source, skip=False, workers=2, spare_slots=0) as tester:
        parent = await tester.create("parent")
        await tester.settle()
        statuses = [row.status for row in reversed(await tester.store.list(""))]
        assert statuses == ["waiting", "running", "queued"]
        assert (await parent.state()).executions[0].reason is None
        await tester.advance(PARENT_KEPT_MS)
        await tester.settle()
        assert (await parent.state()).executions[0].reason == "evicted"
        tester.skip = True
        assert await parent.result() == ["long", "long"]


@pytest.mark.parametrize("instances", [50])
@story
async def test_sleepers_hold_no_worker_thread_or_task(instances):
    async with WorkflowTester(
        workflow("await step.sleep('nap', '30 days')\nreturn event.payload"), workers=4
    ) as tester:
        runs = [await tester.create(number) for number in range(instances)]
        for run in runs:
            await run.wait_for_step("nap", status="sleeping")
        await tester.advance("1 minute")
        assert not tester.engine.executions()
        assert {(await run.state()).status for run in runs} == {"waiting"}
        assert [await run.result() for run in runs] == list(range(instances))
        assert {len((await run.state()).executions) for run in runs} == {2}


@story
async def test_at_boot_overdue_timers_running_instances_and_kept_events_are_taken_up_without_anybody_touching_them():
    body = """
    if event.payload == "running":
        await step.do("work", lambda: asyncio.sleep(60))
    elif event.payload == "asleep":
        await step.sleep("nap", "1 hour")
    else:
        await step.wait_for_event("w", "go")
    """
    async with WorkflowTester(workflow(body), skip=False, idle_grace_ms=0) as tester:
        running, asleep, waits = [await tester.create(kind) for kind in ("running", "asleep", "waits")]
        await tester.settle()
        tester.crash("server", commit=tester.commits + 1, moment="after")
        with pytest.raises(ConnectionError):
            await waits.send_event("go")
        await tester.restart_server(down="2 hours")
        await tester.advance("1 minute")
        assert {(await run.state()).status for run in (running, asleep, waits)} == {"complete"}
        await assert_sound(tester)
