"""Schedules on both databases: fired by the virtual clock, once each, whatever dies and on whichever node."""

import asyncio

import pytest
from semantics_support import story, workflow

from playground.engine.schedules import LEASE_MS
from playground.testing import WorkflowTester
from playground.workflows import durations
from playground.workflows.errors import InvalidName, InvalidSchedule, ScheduleNotFound, SchedulesFull
from playground.workflows.events import Event

BEGIN = 1_767_225_600_000  # 1 January 2026, 0:00 UTC
HOUR = durations.HOUR
TELLS = workflow("return {'params': event.payload, 'schedule': event.schedule and dict(event.schedule)}")


async def fired(tester: WorkflowTester) -> list[int]:
    """The times of the firings whose instances there are, in order."""
    rows = await tester.store.list("", limit=200)
    return sorted(row.limits["schedule"]["scheduledTime"] for row in rows if row.limits and "schedule" in row.limits)


@story
async def test_a_schedule_fires_at_its_times_with_what_it_was_given():
    async with WorkflowTester(TELLS, begin=BEGIN, skip=False) as tester:
        schedule = await tester.schedule("hourly", "0 * * * *", params={"n": 1})
        assert schedule.next_at == BEGIN + HOUR
        for _ in range(3):
            await tester.advance("1 hour")
            await tester.settle()
        assert await fired(tester) == [BEGIN + n * HOUR for n in (1, 2, 3)]
        [first, *_] = tester.runs
        assert first.id == "hourly-20260101T010000Z"
        assert await first.result() == {
            "params": {"n": 1},
            "schedule": {"cron": "0 * * * *", "scheduledTime": BEGIN + HOUR},
        }
        queued: Event = (await first.journal())[0]
        assert queued.data["trigger"] == {
            "kind": "schedule", "schedule": "hourly", "cron": "0 * * * *", "scheduledTime": BEGIN + HOUR,
        }  # fmt: skip
        kept = await tester.engine.schedules.get("", "hourly")
        assert (kept.last_at, kept.last_id) == (BEGIN + 3 * HOUR, "hourly-20260101T030000Z")


@story
async def test_a_run_that_no_schedule_has_started_has_none_in_its_event():
    async with WorkflowTester(TELLS) as tester:
        assert (await (await tester.create(5)).result())["schedule"] is None


@story
async def test_a_zone_decides_when_it_is_nine():
    async with WorkflowTester(TELLS, begin=BEGIN) as tester:
        found = await tester.schedule("nine", "0 9 * * *", timezone="America/New_York")
        assert found.next_at == BEGIN + 14 * HOUR


@pytest.mark.parametrize(
    ("missed", "hours"), [("skip", []), ("once", [5]), ("all", [1, 2, 3, 4, 5])], ids=["skip", "once", "all"]
)
@story
async def test_what_was_missed_while_no_server_ran_goes_by_the_policy(missed, hours):
    async with WorkflowTester(TELLS, begin=BEGIN, skip=False) as tester:
        await tester.schedule("hourly", "0 * * * *", missed=missed)
        await tester.restart_server(down="330 minutes")
        await tester.settle()
        assert await fired(tester) == [BEGIN + n * HOUR for n in hours]
        await tester.advance("30 minutes")
        await tester.settle()
        assert (await fired(tester))[-1] == BEGIN + 6 * HOUR


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("commit", range(1, 5))
@story
async def test_a_firing_happens_once_though_the_server_dies_at_any_commit(commit, moment):
    async with WorkflowTester(workflow("return 1"), begin=BEGIN, skip=False) as tester:
        await tester.schedule("hourly", "0 * * * *", missed="all")
        tester.crash("server", commit=commit, moment=moment)
        await tester.advance("1 hour")
        await tester.settle()
        await tester.restart_server(down=LEASE_MS)
        await tester.settle()
        tester.no_more_crashes()
        assert await fired(tester) == [BEGIN + HOUR]
        assert (await tester.engine.schedules.get("", "hourly")).next_at == BEGIN + 2 * HOUR


@story
async def test_nodes_that_fire_at_once_start_one_instance():
    async with WorkflowTester(workflow("return 1"), begin=BEGIN, skip=False) as tester:
        for n in range(20):
            await tester.schedule(f"s{n}", "0 * * * *")
        store, at = tester.store.schedules, BEGIN + HOUR
        mine = ["playground"]
        takes = (store.take_due(at=at, until=at + LEASE_MS, limit=9, startable=mine) for _ in range(4))
        taken = await asyncio.gather(*takes)
        names = [schedule.name for each in taken for schedule in each]
        assert len(names) == len(set(names)) == 20
        assert await store.take_due(at=at, until=at + 99, limit=99, startable=mine) == []
        late = at + LEASE_MS  # who took them has died
        assert await store.take_due(at=late, until=late + 99, limit=99, startable=["other", "play"]) == []
        assert await store.next_due(["other"]) is None
        assert await store.next_due(mine) == late
        assert len(await store.take_due(at=late, until=late + 99, limit=99, startable=mine)) == 20


@story
async def test_who_is_at_an_older_schedule_writes_nothing():
    async with WorkflowTester(TELLS, begin=BEGIN, skip=False) as tester:
        before = await tester.schedule("s", "0 * * * *")
        after = await tester.schedule("s", "30 * * * *")
        assert await tester.store.schedules.fired([before]) == 0
        assert (await tester.engine.schedules.get("", "s")).next_at == after.next_at == BEGIN + HOUR // 2


@story
async def test_a_paused_schedule_fires_nothing_and_goes_on_with_its_next_time():
    async with WorkflowTester(TELLS, begin=BEGIN, skip=False) as tester:
        await tester.schedule("hourly", "0 * * * *", missed="all")
        schedules = tester.engine.schedules
        paused = await schedules.pause("", "hourly")
        assert (paused.paused, schedules.upcoming(paused)) == (True, [])
        await tester.advance("5 hours")
        await tester.settle()
        assert await fired(tester) == []
        resumed = await schedules.pause("", "hourly", paused=False)
        assert schedules.upcoming(resumed) == [BEGIN + n * HOUR for n in (6, 7, 8, 9, 10)]
        await tester.advance("1 hour")
        await tester.settle()
        assert await fired(tester) == [BEGIN + 6 * HOUR]


@story
async def test_one_that_is_run_by_hand_starts_at_once_and_keeps_its_times():
    async with WorkflowTester(TELLS, begin=BEGIN, skip=False) as tester:
        await tester.schedule("hourly", "0 * * * *", params=7)
        id = await tester.engine.schedules.run_now("", "hourly")
        again = await tester.engine.schedules.run_now("", "hourly")
        assert id != again
        await tester.settle()
        assert await fired(tester) == [BEGIN, BEGIN]
        assert (await tester.engine.schedules.get("", "hourly")).next_at == BEGIN + HOUR


@story
async def test_a_deleted_schedule_fires_no_more():
    async with WorkflowTester(TELLS, begin=BEGIN, skip=False) as tester:
        await tester.schedule("hourly", "0 * * * *")
        await tester.engine.schedules.delete("", "hourly")
        with pytest.raises(ScheduleNotFound, match='There is no schedule "hourly".'):
            await tester.engine.schedules.delete("", "hourly")
        await tester.advance("2 hours")
        await tester.settle()
        assert await fired(tester) == []


@story
async def test_a_tenant_has_so_many_schedules_and_no_more():
    async with WorkflowTester(TELLS, schedules_per_tenant=2) as tester:
        for name in ("a", "b", "b"):
            await tester.schedule(name, "0 * * * *")
        with pytest.raises(SchedulesFull, match=r"has 2 schedules, .* The setting is schedules_per_tenant"):
            await tester.schedule("c", "0 * * * *")
        assert [it.name for it in await tester.engine.schedules.of_tenant("")] == ["a", "b"]


@story
async def test_what_fires_too_often_or_makes_no_sense_is_refused():
    async with WorkflowTester(TELLS, schedule_seconds=300) as tester:
        with pytest.raises(InvalidSchedule, match=r"fires more than once in 300 s.* The setting is schedule_seconds"):
            await tester.schedule("s", "*/4 * * * *")
        await tester.schedule("s", "*/5 * * * *")
        with pytest.raises(InvalidSchedule, match="`missed` takes skip, once or all"):
            await tester.schedule("s", "0 * * * *", missed="some")
        with pytest.raises(InvalidName, match="The schedule name"):
            await tester.schedule("a b", "0 * * * *")
