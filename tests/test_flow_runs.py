"""Flow control of runs, on both databases: keys, delays, singletons and debouncing, through crashes and restarts."""

import asyncio

import pytest
from semantics_support import story, workflow

from playground.engine import CreateInstance
from playground.testing import Run, ServerCrashed, WorkflowFailed, WorkflowTester
from playground.web.queue_view import queue_json
from playground.workflows import events as ev
from playground.workflows.errors import Busy, InvalidFlow
from playground.workflows.flow import DEBOUNCED, SINGLETON, checked_flow

ONE = {"concurrency_per_key": 1}
WAITS = workflow('await step.wait_for_event("go", "go", timeout="1 day")\nreturn event.payload')
DONE = workflow("return event.payload")
NAPS = workflow('await step.sleep("nap", "1 minute")\nreturn event.payload')


async def types(run):
    return [type for type in await run.types() if type.startswith("workflow_")]


@story
async def test_of_a_key_one_runs_at_a_time_while_it_waits_too_and_others_are_not_held():
    async with WorkflowTester(WAITS) as tester:
        first, second = [await tester.create(n, key="order-7", limits=ONE) for n in (1, 2)]
        other = await tester.create(3, key="order-8", limits=ONE)
        for run in (first, other):
            await run.wait_for_status("waiting")
        assert (await second.row()).held_until is not None
        assert (await second.state()).status == "queued"
        await first.send_event("go")
        assert await first.result() == 1
        await second.wait_for_status("waiting")
        assert (await types(second))[:2] == [ev.WORKFLOW_QUEUED, ev.WORKFLOW_ADMITTED]


@story
async def test_a_delayed_run_starts_when_its_time_has_come():
    async with WorkflowTester(DONE) as tester:
        began = tester.now()
        run = await tester.create("x", delay="5 minutes")
        assert (await run.state()).held_until == began + 300_000
        assert await run.result() == "x"
        assert tester.now() - began == 300_000


@story
async def test_a_delay_outlives_the_server():
    async with WorkflowTester(DONE) as tester:
        run = await tester.create("x", delay=60_000)
        await tester.restart_server(down="2 minutes")
        assert await run.result() == "x"


@story
async def test_a_place_outlives_a_killed_server():
    async with WorkflowTester(NAPS) as tester:
        runs = [await tester.create(n, key="k", limits=ONE) for n in range(3)]
        await runs[0].wait_for_status("waiting")
        await tester.restart_server(kill=True)
        assert [await run.result() for run in runs] == [0, 1, 2]
        starts = [(await run.state()).started_at for run in runs]
        assert starts[1] - starts[0] >= 60_000 and starts[2] - starts[1] >= 60_000


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("commit", range(1, 11))
@story
async def test_a_server_that_dies_at_any_commit_loses_no_place_and_gives_none_twice(commit, moment):
    async with WorkflowTester(workflow('return await step.do("s", lambda: 1)')) as tester:
        tester.crash("server", commit=commit, moment=moment)
        runs = []
        while len(runs) < 2:
            try:
                runs.append(await tester.create(len(runs), id=f"r{len(runs)}", key="k", limits=ONE))
            except ServerCrashed:
                tester.no_more_crashes()
                runs += [it for it in tester.runs if it not in runs]
                if len(runs) < 2:
                    return  # the create itself was lost, and its caller knows
        for run in runs:
            await run.result()
        ends = [(await run.state()).ended_at for run in runs]
        assert (await runs[1].state()).started_at >= ends[0]


@story
async def test_so_many_start_in_a_span():
    limits = {"rate": {"count": 2, "seconds": 60}}
    async with WorkflowTester(DONE) as tester:
        runs = [await tester.create(n, key="k", limits=limits) for n in range(5)]
        began = tester.now()
        for run in runs:
            await run.result()
        starts = [(await run.state()).started_at - began for run in runs]
        assert [start // 60_000 for start in starts] == [0, 0, 1, 1, 2]


@story
async def test_a_higher_priority_is_admitted_first():
    async with WorkflowTester(WAITS) as tester:
        holder = await tester.create(key="k", limits=ONE)
        await holder.wait_for_status("waiting")
        low, high = [await tester.create(key="k", limits=ONE, priority=priority) for priority in (0, 7)]
        await holder.send_event("go")
        await high.wait_for_status("waiting")
        assert (await low.state()).status == "queued"


@story
async def test_a_singleton_gives_the_run_that_there_is_and_leaves_it_as_it_is():
    async with WorkflowTester(WAITS) as tester:
        first = await tester.create(1, key="k", singleton=True)
        again = await tester.create(2, key="k", singleton=True)
        assert again.id == first.id
        await first.wait_for_status("waiting")
        await first.send_event("go")
        assert await first.result() == 1
        assert (await tester.create(3, key="k", singleton=True)).id != first.id


@story
async def test_of_many_creates_at_once_one_is_made():
    async with WorkflowTester(WAITS) as tester:
        asked = checked_flow("k", singleton=True)
        made = await asyncio.gather(*(
            tester.engine.create_or_find(CreateInstance(tester.source, params=n, flow=asked)) for n in range(10)
        ))  # fmt: skip
        assert len({row.id for row, _ in made}) == 1
        assert [is_new for _, is_new in made].count(True) == 1


@story
async def test_a_debounced_run_starts_once_with_the_last_params_when_nobody_has_asked_for_a_while():
    async with WorkflowTester(DONE, skip=False) as tester:
        again = {"key": "k", "seconds": 10, "longest": 25}
        run = await tester.create(1, debounce=again)
        await tester.advance("6 seconds")
        assert (await tester.create(2, debounce=again)).id == run.id
        await tester.advance("9 seconds")
        assert (await run.state()).status == "queued"
        tester.skip = True
        assert await run.result() == 2
        assert await types(run) == [
            ev.WORKFLOW_QUEUED, ev.WORKFLOW_DEBOUNCED, ev.WORKFLOW_ADMITTED, ev.WORKFLOW_STARTED,
            ev.WORKFLOW_COMPLETED,
        ]  # fmt: skip
        assert (await run.row()).params == 2
        assert (await tester.create(3, debounce=again)).id != run.id  # that one has started


@story
async def test_debouncing_never_puts_a_run_off_past_its_longest():
    async with WorkflowTester(DONE, skip=False) as tester:
        began = tester.now()
        run = await tester.create(0, debounce={"key": "k", "seconds": 10, "longest": 25})
        for n in range(1, 4):
            await tester.advance("8 seconds")
            await tester.create(n, debounce={"key": "k", "seconds": 10, "longest": 25})
        assert (await run.state()).held_until == began + 25_000


@story
async def test_a_run_is_debounced_so_often_and_no_more():
    async with WorkflowTester(DONE, skip=False, debounces_per_instance=3) as tester:
        for n in range(4):
            await tester.create(n, debounce={"key": "k", "seconds": 100})
        with pytest.raises(Busy, match=r"created again 3 times .* The setting is debounces_per_instance"):
            await tester.create(5, debounce={"key": "k", "seconds": 100})
        assert (await tester.runs[0].row()).params == 3


@story
async def test_a_batch_says_in_whose_place_an_entry_was_not_made():
    async with WorkflowTester(WAITS) as tester:
        single, put_off = checked_flow("s", singleton=True), checked_flow(debounce={"key": "d", "seconds": 60})
        batch = [
            CreateInstance(tester.source, params=n, id=f"i{n}", flow=flow)
            for n, flow in enumerate([single, put_off, None, single, put_off])
        ]
        created, refused = await tester.engine.create_batch(batch)
        assert [row.id for row in created] == ["i0", "i1", "i2"]
        assert [(one.index, one.id, one.code) for one in refused] == [(3, "i0", SINGLETON), (4, "i1", DEBOUNCED)]
        assert (await tester.store.find("", "i1")).params == 4


@story
async def test_a_run_that_is_terminated_while_it_is_held_never_starts():
    async with WorkflowTester(WAITS) as tester:
        first, second, third = [await tester.create(n, key="k", limits=ONE) for n in range(3)]
        await first.wait_for_status("waiting")
        await second.terminate()
        await first.send_event("go")
        await third.wait_for_status("waiting")
        assert (await second.state()).started_at is None


@story
async def test_a_restarted_run_waits_for_its_turn_again():
    async with WorkflowTester(WAITS) as tester:
        first, second = [await tester.create(n, key="k", limits=ONE) for n in range(2)]
        await first.wait_for_status("waiting")
        await first.send_event("go")
        await second.wait_for_status("waiting")
        await first.restart()
        assert (await first.state()).held_until is not None
        await second.send_event("go")
        await first.wait_for_status("waiting")


@story
async def test_what_makes_no_sense_is_refused():
    async with WorkflowTester(DONE) as tester:
        with pytest.raises(InvalidFlow, match="`singleton` needs a `key`"):
            await tester.create(singleton=True)
        assert await tester.store.count() == {}


CUSTOMERS = workflow("""
    if "order" in event["payload"]:
        await step.sleep("work", "1 minute")
        return event["payload"]["order"]
    limits = {"concurrency_per_key": 1}
    return await asyncio.gather(
        *(self.env.WORKFLOWS.run({"order": n}, key="ada", limits=limits, priority=n) for n in range(3))
    )
    """)


@story
async def test_children_of_one_key_are_held_and_share_it_with_those_of_the_same_parent_only() -> None:
    async with WorkflowTester(CUSTOMERS, skip=False) as tester:

        async def queued(run: Run) -> list[tuple[str, str]]:
            """The children that are held, in words, by what they are started with."""
            await tester.settle()
            found = []
            for child in await tester.store.children(run.key, ev.CHILD):
                row = await tester.store.find("", child.id)
                shown = await queue_json(tester.store, row, tester.now())
                found += [] if shown is None else [(row.params["order"], shown["text"], shown["key"])]
            return sorted(found)

        one = await tester.create()
        held = "ahead of it: concurrency 1 for key ada."
        first = await queued(one)
        assert [(text, key) for _, text, key in first] == [(f"2 {held}", "ada"), (f"1 {held}", "ada")]
        other = await tester.create()
        assert len(await queued(other)) == 2, "its first one runs, whatever another parent's key is called"
        for left in (1, 0):
            await tester.advance("1 minute")
            assert len(await queued(one)) == left
        tester.skip = True
        assert await one.result() == await other.result() == [0, 1, 2]
    refused = CUSTOMERS.replace('key="ada", ', "")
    async with WorkflowTester(refused) as tester:
        with pytest.raises(WorkflowFailed, match="`limits` needs a `key`"):
            await (await tester.create()).result()
