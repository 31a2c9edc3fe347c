"""Recovery with real processes: the fork server's death, a worker's death at any point, and the ends by a limit."""

import os
import signal

import pytest
from semantics_support import attempts, isolated, started, story, times, turns_until

from playground.workflows import events as ev

STEPS = """
@step.do("first")
async def first():
    print("first")
    return 1
@step.do("second")
async def second(ctx):
    if ctx.attempt == 1:
        await asyncio.sleep(600)
    return ctx.attempt
return [await first(), await second()]
"""


@pytest.mark.parametrize(("victim", "reason"), [("worker", "killed"), ("fork server", "lost")])
@story
async def test_13_a_process_killed_mid_step_loses_the_attempt_and_nothing_else(victim, reason):
    async with isolated(STEPS) as (tester, run):
        await run.wait_until(lambda state: any(str(key) == "second-1" for key in state.steps))
        if victim == "worker":
            await run.kill_worker()
        else:
            os.kill(tester.engine.sandbox.zygote, signal.SIGKILL)
        assert await run.result() == [1, 2]
        assert [execution.reason for execution in (await run.state()).executions] == [reason, "completed"]
        assert [number for number, _ in attempts(await run.step("second"))] == [1, 2]
        assert await started(run) == ["first-1", "second-1"]
        assert await run.logs() == ["first"]


@pytest.mark.parametrize("when", ["during-step", "before-commit"])
@story
async def test_13_kill_a_real_process_at_a_chosen_moment(when):
    body = """
    await step.wait_for_event("begin", "begin")
    @step.do("work")
    async def work(ctx):
        return ctx.attempt
    return await work()
    """
    async with isolated(body) as (_, run):
        await run.wait_for_step("begin", status="waiting")
        await run.kill_worker(when)
        await run.send_event("begin")
        assert await run.result() == 2
        journal = await run.journal()
        assert [event.data["reason"] for event in journal if event.type == ev.EXECUTION_ENDED] == [
            "killed",
            "completed",
        ]
        assert [number for number, _ in attempts(await run.step("work"))] == [1, 2]


@story
async def test_13_a_worker_that_dies_by_itself_mid_step_is_an_attempt_lost_too():
    body = """
    import os
    @step.do("suicidal")
    async def suicidal(ctx):
        if ctx.attempt == 1:
            os._exit(1)
        return ctx.attempt
    return await suicidal()
    """
    async with isolated(body) as (_, run):
        assert await run.result() == 2
        assert (await run.step("suicidal")).attempts[0].error["name"] == "WorkerLost"
        assert (await run.state()).executions[0].reason == "crashed"


@story
async def test_the_fork_servers_death_leaves_sleepers_alone():
    async with isolated("await step.sleep('nap', '1 hour')\nreturn 1", skip=False, idle_grace_ms=0) as (tester, run):
        await tester.settle()
        os.kill(tester.engine.sandbox.zygote, signal.SIGKILL)
        await tester.advance("1 hour")
        assert await run.result() == 1
        assert await times(run, ev.SLEEP_COMPLETED) == [3_600_000]


async def assert_limited(body, said):
    """A workflow with this body ends with a limit that its error names."""
    async with isolated(body) as (_, run):
        await run.wait_for_status("errored")
        state, journal = await run.state(), await run.journal()
        assert state.error["name"] == "LimitExceeded", state.error
        assert said in state.error["message"]
        assert [event.type for event in journal][-2:] == [ev.EXECUTION_ENDED, ev.WORKFLOW_ERRORED]
        assert journal[-2].data["reason"] == "limit"
        assert len(state.executions) == 1


@pytest.mark.parametrize("place", ["step", "run", "kept"])
@story
async def test_memory_over_its_limit_is_an_error_of_the_code_or_ends_the_instance(place):
    body = """
    class Kept:
        all = []
    def hoard():
        kept = PLACE
        while True:
            kept.append(bytearray(1024))
    """.replace("PLACE", "Kept.all" if place == "kept" else "[]")
    body += (
        "\n    hoard()"
        if place == "run"
        else '\n    await step.do("hoard", hoard, config={"retries": {"limit": 0, "delay": 1}})'
    )
    async with isolated(body) as (_, run):
        await run.wait_for_status("errored")
        assert (await run.state()).error["name"] in ("MemoryError", "LimitExceeded")


@story
async def test_a_worker_that_breaks_the_protocol_ends_the_instance_and_says_so():
    await assert_limited(
        'import os\nos.write(3, b"\\x00\\x00\\x00\\x02{}")\nawait step.sleep("nap", "1 hour")', "protocol: "
    )


@story
async def test_a_frame_too_large_ends_the_instance_and_says_so():
    await assert_limited(
        'import os\nos.write(3, b"\\xff\\xff\\xff\\xff")\nawait step.sleep("nap", "1 hour")',
        "protocol: a frame has 4,294,967,295 bytes",
    )


@story
async def test_frames_of_the_codes_own_making_cannot_complete_a_step_that_never_began():
    frame = '{"op":"done","step":["do","forged",1],"attempt":1,"value":1}'
    await assert_limited(
        f"import os\nframe = {frame!r}.encode()\nos.write(3, len(frame).to_bytes(4, 'big') + frame)\n"
        "await step.sleep('nap', '1 hour')",
        "protocol: ",
    )


@story
async def test_a_worker_that_closes_its_channel_and_lives_on_ends():
    body = "import os\nos.close(3)\nwhile True:\n    pass"
    async with isolated(body, cpu_seconds=1) as (_, run):
        await run.wait_for_status("errored", deadline=45)
        # Of its processor time, or on a busy machine of the time to end.
        assert (await run.state()).error["name"] == "LimitExceeded"


@pytest.mark.parametrize(
    ("wall_seconds", "said"),
    [
        (600, "Execution timed out after 60000ms"),
        (
            60,
            (
                'attempt time: more than 60 s while step "block" ran. Do less in one attempt; to wait, use step.sleep, '
                "which needs no worker. The setting is attempt_wall_seconds (PLAYGROUND_ATTEMPT_WALL_SECONDS)."
            ),
        ),
    ],
)
@story
async def test_a_blocking_callback_over_its_time_costs_its_worker_and_is_tried_again(wall_seconds, said):
    """Given a callback that can't be cancelled, expect a failed attempt, and the next one in another worker."""
    body = """
    import time
    def block(ctx):
        if ctx.attempt == 1:
            time.sleep(600)
        return ctx.attempt
    return await step.do("block", block, config={"retries": {"limit": 1, "delay": 10}, "timeout": event["payload"]})
    """
    timeout = 60_000 if wall_seconds > 60 else 300_000
    async with isolated(body, timeout, skip=False, attempt_wall_seconds=wall_seconds) as (tester, run):
        await run.wait_for_step("block", status="running")
        tester.clock.advance(60_000)
        tester.clock.advance(10_000)
        await run.wait_until(lambda state: state.executions[0].ended_at is not None)
        await tester.advance(10)
        assert await run.result() == 2
        assert attempts(await run.step("block")) == [(1, said), (2, None)]
        assert [it.reason for it in (await run.state()).executions] == [ev.EVICTED, ev.COMPLETED]


@story
async def test_a_worker_that_says_nothing_and_waits_for_nothing_is_ended():
    async with isolated("import time\ntime.sleep(600)", skip=False) as (tester, run):
        await run.wait_for_status("running")
        (execution,) = tester.engine.executions()
        await turns_until(lambda: execution.at_rest)  # its start is committed and the engine has heard so
        tester.clock.advance(366 * 86_400_000)
        await run.wait_for_status("errored")
        assert "not answering" in (await run.state()).error["message"]


@story
async def test_output_beyond_the_budget_is_dropped_and_counted():
    body = """
    for number in range(300):
        print("x" * 100)
    await step.do("a", lambda: print("y" * 100))
    """
    async with isolated(body, log_bytes=10_000) as (_tester, run):
        await run.result()
        assert sum(len(line) for line in await run.logs()) <= 10_000
        [dropped] = [event.data["dropped"] for event in await run.journal() if event.type == ev.LOG_TRUNCATED]
        assert dropped > 20_000
        assert (await run.state()).log_truncated == dropped
