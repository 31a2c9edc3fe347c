"""Section 9 of semantics.md: what people do to instances. Each test names the number of its behaviour."""

import asyncio
import json

import pytest
from semantics_support import LEDGER, assert_dense, attempts, playing, story, times, turns, workflow

from playground.engine import CreateInstance
from playground.testing import WorkflowFailed, WorkflowTester
from playground.web.streams import Streams
from playground.workflows import events as ev
from playground.workflows.errors import (
    CannotRestart,
    CannotTerminate,
    InstanceAlreadyExists,
    InstanceNotFound,
    InvalidBatch,
    InvalidId,
    InvalidName,
)

# Pause and resume.


@story
async def test_21_a_pause_of_4_s_in_a_2_s_sleep_leaves_the_remainder_after_resume():
    async with playing('await step.sleep("nap", "2 seconds")', skip=False) as (tester, run):
        await run.wait_for_step("nap", status="sleeping")
        await tester.advance(500)
        await run.pause()
        assert (await run.state()).status == "paused"
        await tester.advance("4 seconds")
        assert (await run.state()).status == "paused"
        await run.resume()
        await tester.advance(1_499)
        assert (await run.state()).status in ("running", "waiting")
        await tester.advance(1)
        assert (await run.state()).status == "complete"
        assert await times(run, ev.WORKFLOW_COMPLETED) == [6_000]


@pytest.mark.parametrize("hibernated", [False, True])
@story
async def test_21_a_wait_between_attempts_and_a_wait_for_an_event_keep_their_remainder_too(hibernated):
    body = """
    retried = step.do("retried", lambda ctx: 1 / (ctx.attempt - 1), config={"retries": {"limit": 1, "delay": "1 hour"}})
    waited = step.wait_for_event("waited", "go", timeout="2 hours")
    return [type(result).__name__ for result in await asyncio.gather(retried, waited, return_exceptions=True)]
    """
    async with playing(body, skip=False, idle_grace_ms=0 if hibernated else 86_400_000) as (tester, run):
        await tester.advance("10 minutes")
        assert bool(tester.engine.executions()) != hibernated
        await run.pause()
        await tester.advance("5 hours")
        await tester.restart_server(down="1 hour")
        await run.resume()
        await tester.advance("3 hours")
        assert await times(run, ev.ATTEMPT_STARTED) == [0, 7 * 3_600_000]
        assert await times(run, ev.WAIT_TIMED_OUT) == [8 * 3_600_000]
        assert (await run.state()).output == ["float", "WorkflowTimeoutError"]


@story
async def test_21_events_that_come_during_a_pause_are_kept_for_the_waits():
    async with playing('return (await step.wait_for_event("w", "go")).payload', skip=False) as (tester, run):
        await tester.settle()
        await run.pause()
        await run.send_event("go", "kept")
        await tester.settle()
        assert await run.types(ev.WAIT_COMPLETED) == []
        await run.resume()
        assert await run.result() == "kept"


PARALLEL = """
@step.do("one")
async def one():
    LEDGER.note("one")
    await asyncio.sleep(10)
    return 1
@step.do("two")
async def two():
    LEDGER.note("two")
    await asyncio.sleep(20)
    return 2
@step.do("next")
async def then():
    LEDGER.note("next")
    return 3
async def chain():
    return [await one(), await then()]
return [*await asyncio.gather(chain(), two())]
"""


@story
async def test_24_a_pause_during_parallel_steps_lets_both_finish_and_the_next_never_starts():
    async with playing(PARALLEL, skip=False) as (tester, run):
        await run.wait_for_step("two", status="running")
        await run.pause()
        assert (await run.state()).status == "waitingForPause"
        await tester.advance("10 seconds")
        assert (await run.state()).status == "waitingForPause"
        await tester.advance("10 seconds")
        assert (await run.state()).status == "paused"
        assert [step.status for step in (await run.state()).steps.values()] == ["completed", "completed"]
        assert LEDGER.take() == ["one", "two"]
        await tester.advance("1 day")
        assert LEDGER.take() == []
        await run.resume()
        assert await run.result() == [[1, 3], 2]
        assert LEDGER.take() == ["next"]
        assert_dense(await run.journal())


@story
async def test_24_resume_cancels_a_pause_that_has_not_taken_effect():
    async with playing(PARALLEL, skip=False) as (tester, run):
        await run.wait_for_step("two", status="running")
        await run.pause()
        await tester.advance("15 seconds")
        assert LEDGER.take() == ["one", "two"]
        await run.resume()
        await tester.settle()
        assert LEDGER.take() == ["next"]
        await tester.advance("10 seconds")
        assert await run.result() == [[1, 3], 2]
        assert len((await run.state()).executions) == 1


@story
async def test_24_tenant_code_cannot_swallow_a_pause():
    body = """
    async def naps():
        while True:
            try:
                await step.sleep("nap", "1 minute")
            except BaseException:
                pass
            await step.do("work", lambda: LEDGER.note("work"))
    await asyncio.gather(naps(), step.do("long", lambda: asyncio.sleep(30)))
    """
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("long", status="running")
        await run.pause()
        await tester.advance("1 hour")
        assert (await run.state()).status == "paused"
        assert LEDGER.take() == []
        await run.resume()
        await tester.advance("1 minute")
        assert LEDGER.take() == ["work"]


@story
async def test_24_a_failing_attempt_in_waiting_for_pause_waits_for_its_retry_after_the_resume():
    body = """
    @step.do("flaky", config={"retries": {"limit": 1, "delay": "1 minute"}})
    async def flaky(ctx):
        await asyncio.sleep(10)
        return 1 / (ctx.attempt - 1)
    return await flaky()
    """
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("flaky", status="running")
        await run.pause()
        await tester.advance("30 seconds")
        assert (await run.state()).status == "paused"
        await tester.advance("1 hour")
        await run.resume()
        await tester.advance("50 seconds")
        assert await times(run, ev.WORKFLOW_COMPLETED) == []
        await tester.advance("10 seconds")
        assert len(await times(run, ev.ATTEMPT_STARTED)) == 2
        await tester.advance("10 seconds")
        assert await run.result() == 1.0


@story
async def test_24_a_server_restart_in_waiting_for_pause_becomes_paused():
    async with playing(PARALLEL, skip=False) as (tester, run):
        await run.wait_for_step("two", status="running")
        await run.pause()
        await tester.restart_server()
        await tester.settle()
        assert (await run.state()).status == "paused"
        await run.resume()
        tester.skip = True
        assert await run.result() == [[1, 3], 2]
        assert [number for number, _ in attempts(await run.step("one"))] == [1, 2]


@story
async def test_24_a_worker_killed_in_waiting_for_pause_becomes_paused():
    async with playing(PARALLEL, skip=False) as (_tester, run):
        await run.wait_for_step("two", status="running")
        await run.pause()
        await run.kill_worker()
        await run.wait_for_status("paused")


@story
async def test_24_pause_and_resume_have_no_effect_where_the_table_says_so():
    async with playing("return 1") as (_, run):
        await run.resume()  # queued or running
        await run.result()
        before = len(await run.journal())
        assert (await run.pause()).events == []
        assert (await run.resume()).events == []
        assert len(await run.journal()) == before


@story
async def test_24_a_queued_instance_is_paused_at_once_and_resumed_into_the_queue():
    async with playing("await step.do('hold', lambda: asyncio.sleep(60))", skip=False, workers=1) as (tester, first):
        await first.wait_for_step("hold")
        second = await tester.create()
        await second.pause()
        assert (await second.state()).status == "paused"
        await second.pause()
        await tester.advance("2 minutes")
        assert (await first.state()).status == "complete"
        assert (await second.state()).status == "paused"
        await second.resume()
        await tester.advance("2 minutes")
        assert (await second.state()).status == "complete"
        assert await second.types(ev.WORKFLOW_PAUSED, ev.WORKFLOW_RESUMED) == [ev.WORKFLOW_PAUSED, ev.WORKFLOW_RESUMED]


# Restart.

THREE = """
for name in ("one", "two", "three"):
    await step.do(name, lambda: LEDGER.note(name))
await step.sleep("nap", "1 minute")
for number in range(3):
    await step.do("loop", lambda: LEDGER.note(f"loop {number + 1}"))
return event.payload["n"]
"""
ALL = ["one", "two", "three", "loop 1", "loop 2", "loop 3"]


@story
async def test_25_restart_runs_everything_again_in_a_new_generation_with_the_same_params():
    async with playing(THREE, {"n": 5}) as (_tester, run):
        assert await run.result() == 5
        assert LEDGER.take() == ALL
        created = (await run.row()).created_at
        await run.restart()
        assert await run.result() == 5
        assert LEDGER.take() == ALL
        row, state = await run.row(), await run.state()
        assert (row.generation, state.generation, row.created_at) == (2, 2, created)
        assert_dense(await run.journal())
        assert [event.type for event in await run.journal() if event.type in ev.FINAL_TYPES] == [ev.WORKFLOW_COMPLETED] * 2


@pytest.mark.parametrize(
    ("origin", "again"),
    [
        ({"from_step": "two"}, ALL[1:]),
        ({"from_step": "one"}, ALL),
        ({"from_step": "loop", "count": 2}, ALL[4:]),
        ({"from_step": "nap", "kind": "sleep"}, ALL[3:]),
    ],
)
@story
async def test_25_restart_from_a_step_keeps_those_before_it(origin, again):
    async with playing(THREE, {"n": 5}) as (_, run):
        await run.result()
        LEDGER.take()
        await run.restart(**origin)
        assert await run.result() == 5
        assert LEDGER.take() == again
        assert_dense(await run.journal())


@pytest.mark.parametrize(
    "origin", [{"from_step": "four"}, {"from_step": "loop", "count": 4}, {"from_step": "one", "kind": "sleep"}]
)
@story
async def test_25_restart_from_an_unknown_step_is_refused_and_changes_nothing(origin):
    async with playing(THREE, {"n": 5}) as (_, run):
        await run.result()
        before = await run.journal()
        with pytest.raises(CannotRestart, match="has no step"):
            await run.restart(**origin)
        assert await run.journal() == before
        assert (await run.row()).status == "complete"


@story
async def test_25_restart_drops_timers_buffered_events_and_work_in_flight():
    body = """
    LEDGER.note("run")
    await step.do("long", lambda: asyncio.sleep(60))
    return (await step.wait_for_event("w", "go", timeout="1 hour")).payload
    """
    async with playing(body, skip=False) as (tester, run):
        await run.wait_for_step("long", status="running")
        await run.send_event("go", "of the first generation")
        await run.restart()
        await run.wait_for_step("long", status="running")
        await tester.advance("65 seconds")
        assert (await run.state()).status == "waiting"
        await run.send_event("go", "of the second")
        assert await run.result() == "of the second"
    assert LEDGER.take() == ["run", "run"]


@pytest.mark.parametrize("status", ["queued", "waiting", "hibernated", "paused", "errored", "terminated"])
@story
async def test_25_restart_from_every_status(status):
    body = """
    LEDGER.note("run")
    if event.payload == "errored":
        raise ValueError("no")
    await step.sleep("nap", "1 hour")
    return "end"
    """
    async with playing(body, status, skip=False, workers=1) as (tester, run):
        if status == "queued":
            await run.restart()
        elif status == "errored":
            await run.wait_for_status("errored")
            await run.restart()
            await run.wait_for_status("errored")
            assert LEDGER.take() == ["run", "run"]
            return
        else:
            await run.wait_for_step("nap")
            if status == "hibernated":
                await tester.advance("30 minutes")
            if status == "paused":
                await run.pause()
            if status == "terminated":
                await run.terminate()
            await run.restart()
        await tester.advance("1 hour")
        assert await run.result() == "end"
        assert (await run.state()).generation == 2


# Terminate and delete.


@pytest.mark.parametrize("hibernated", [False, True])
@story
async def test_26_terminate_while_waiting(hibernated):
    async with playing('await step.sleep("nap", "1 day")', skip=False) as (tester, run):
        await run.wait_for_step("nap")
        if hibernated:
            await tester.advance("1 hour")
        await run.terminate()
        assert (await run.state()).status == "terminated"
        await tester.advance("2 days")
        journal = await run.journal()
        assert [event.type for event in journal][-2 + hibernated :] == [ev.EXECUTION_ENDED, ev.WORKFLOW_TERMINATED][
            hibernated:
        ]
        assert_dense(journal)
        assert not tester.engine.executions()


@story
async def test_26_terminate_drops_an_attempt_that_runs():
    async with playing('await step.do("long", lambda: asyncio.sleep(60))', skip=False) as (tester, run):
        await run.wait_for_step("long", status="running")
        await run.terminate()
        await tester.advance("2 minutes")
        assert (await run.state()).status == "terminated"
        assert await run.types(ev.STEP_COMPLETED) == []
        assert (await run.step("long")).attempts[0].ended_at is not None


@pytest.mark.parametrize("end", ["return 1", "raise ValueError('no')", "terminate"])
@story
async def test_26_terminating_a_finished_instance_is_an_error(end):
    async with playing(end if end != "terminate" else 'await step.sleep("nap", "1 day")', skip=False) as (_, run):
        if end == "terminate":
            await run.terminate()
        await run.wait_for_status(*ev.FINAL_STATUSES)
        before = await run.journal()
        with pytest.raises(CannotTerminate, match="has ended"):
            await run.terminate()
        assert await run.journal() == before


@story
async def test_26_delete_removes_a_running_instance_and_its_journal():
    async with playing('await step.do("long", lambda: asyncio.sleep(60))', skip=False) as (tester, run):
        await run.wait_for_step("long", status="running")
        await run.delete()
        with pytest.raises(InstanceNotFound):
            await run.row()
        await tester.settle()
        assert not tester.engine.executions()


@story
async def test_26_finished_instances_are_deleted_after_their_retention():
    async with playing("return 1", skip=False, retention_days=7) as (tester, run):
        await run.result()
        await tester.advance("6 days")
        await run.row()
        await tester.advance("2 days")
        with pytest.raises(InstanceNotFound):
            await run.row()


# Create.


@story
async def test_23_a_second_create_of_an_id_is_refused_and_the_first_is_untouched():
    async with playing("return event.payload", "first", created={"id": "same"}) as (tester, run):
        await run.result()
        with pytest.raises(InstanceAlreadyExists, match='"same"'):
            await tester.create("second", id="same")
        assert await run.result() == "first"


@pytest.mark.parametrize("id", ["", "-a", "a b", "a.b", "ä", "x" * 101, "a\n", 5])
@story
async def test_23_a_bad_id_is_refused(id):
    async with WorkflowTester(workflow("return 1")) as tester:
        with pytest.raises(InvalidId, match="1 to 100 letters"):
            await tester.create(id=id)
        assert await tester.store.count() == {}


@pytest.mark.parametrize("given", [{"workflow": "a.b"}, {"workflow": ""}, {"tenant": "x" * 65}, {"tenant": "-"}])
@story
async def test_23_a_bad_name_is_refused(given):
    async with WorkflowTester(workflow("return 1")) as tester:
        with pytest.raises(InvalidName, match="1 to 64 letters"):
            await tester.create(**given)


@pytest.mark.parametrize("size", [0, 101])
@story
async def test_23_a_batch_of_0_or_101_is_refused(size):
    async with WorkflowTester(workflow("return 1")) as tester:
        with pytest.raises(InvalidBatch, match=f"1 to 100 instances, not {size}"):
            await tester.engine.create_batch([CreateInstance(tester.source)] * size)
        assert await tester.store.count() == {}


@story
async def test_23_a_batch_leaves_out_ids_that_are_taken_or_repeated_and_reports_them():
    async with playing("return event.payload", "first", created={"id": "taken"}) as (tester, _):
        batch = [CreateInstance(tester.source, params=place, id=id) for place, id in enumerate(["a", "taken", "b", "a"])]
        created, refused = await tester.engine.create_batch(batch)
        assert [row.id for row in created] == ["a", "b"]
        assert [(refusal.index, refusal.id, refusal.code) for refusal in refused] == [
            (1, "taken", "instance.already_exists"),
            (3, "a", "instance.already_exists"),
        ]


@story
async def test_33_the_same_id_in_two_tenants_is_two_independent_instances():
    async with WorkflowTester(workflow('return [event.payload, (await step.wait_for_event("w", "go")).payload]')) as tester:
        ada = await tester.create("of ada", id="same", tenant="ada")
        bob = await tester.create("of bob", id="same", tenant="bob")
        await ada.wait_for_step("w", status="waiting")
        await bob.wait_for_step("w", status="waiting")
        await ada.send_event("go", 1)
        assert await ada.result() == ["of ada", 1]
        assert (await bob.state()).status == "waiting"
        await ada.restart()
        await ada.terminate()
        await bob.send_event("go", 2)
        assert await bob.result() == ["of bob", 2]


async def stream(tester: WorkflowTester, run, cursor: int) -> list[tuple[str, list]]:
    """The events of an instance's stream from a cursor on, to its end."""
    response = Streams(tester.store, tester.now, 30.0, lambda *said, **fields: None).respond(
        await run.row(), cursor, None, lambda: None
    )
    found = []
    async for message in response.body_iterator:
        for part in message.decode().strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in part.split("\n"))
            found.append((fields["event"], json.loads(fields["data"])))
    return found


@pytest.mark.parametrize("cursor", [0, 3, 6])
@story
async def test_34_a_cursor_gives_only_what_comes_after_it_and_ends_after_the_terminal_event(cursor):
    async with playing('await step.do("a", lambda: 1)\nawait step.wait_for_event("w", "go")\nreturn 2', skip=False) as (
        tester,
        run,
    ):
        await run.wait_for_step("w")
        reading = asyncio.ensure_future(stream(tester, run, cursor))
        await turns()
        await run.send_event("go")
        await run.result()
        messages = await reading
        journal = await run.journal()
    seqs = [event["seq"] for name, data in messages if name == "journal" for event in data]
    assert seqs == list(range(cursor + 1, len(journal) + 1))
    assert messages[-1] == ("end", {"status": "complete", "last_seq": len(journal)})


@story
async def test_34_a_subscription_wakes_for_what_is_after_its_cursor_only():
    async with playing('await step.wait_for_event("w", "go")', skip=False) as (tester, run):
        await run.wait_for_step("w")
        await tester.settle()
        last = len(await run.journal())
        async with tester.store.subscribe(run.key) as grown:
            assert await grown(0) == last
            waiting = asyncio.ensure_future(grown(last))
            await turns()
            assert not waiting.done()
            await run.send_event("other")
            assert await waiting == last + 1


@story
async def test_a_failed_run_raises_in_the_test():
    async with playing("raise KeyError('gone')") as (_, run):
        with pytest.raises(WorkflowFailed, match="KeyError"):
            await run.result()
