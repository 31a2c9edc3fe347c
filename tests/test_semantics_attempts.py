"""Section 9 of semantics.md: attempts, timeouts, errors, lost workers. Each test names the number of its behaviour."""

import pytest
from semantics_support import LEDGER, attempts, failure, isolated, outcome, playing, started, story, times, workflow

from playground.testing import WorkflowFailed, WorkflowTester
from playground.workflows import events as ev

SLOW = """
@step.do("slow", config={"retries": {"limit": 1, "delay": 10}, "timeout": 200})
async def slow(ctx):
    LEDGER.note(f"start {ctx.attempt}")
    await asyncio.sleep(1)
    LEDGER.note(f"end {ctx.attempt}")
    return ctx.attempt
return await slow()
"""


@story
async def test_09_a_200_ms_timeout_on_a_1_s_body_is_an_error_that_names_200ms_and_the_retry_gets_a_fresh_timeout():
    async with playing(SLOW) as (tester, run):
        with pytest.raises(WorkflowFailed, match="WorkflowTimeoutError: Execution timed out after 200ms"):
            await run.result()
        step = await run.step("slow")
        assert [attempt.ended_at - attempt.started_at for attempt in step.attempts] == [200, 200]
        await tester.advance("5 seconds")
        assert await run.types(ev.STEP_COMPLETED) == []
    assert LEDGER.take() == ["start 1", "start 2"]  # cancelled: the body does not go on after its timeout


@story
async def test_09_a_late_result_is_ignored():
    body = """
    @step.do("stubborn", config={"retries": {"limit": 0, "delay": 1}, "timeout": 200})
    async def stubborn():
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return "late"
    return await stubborn()
    """
    async with playing(body) as (_, run):
        with pytest.raises(WorkflowFailed, match="Execution timed out after 200ms"):
            await run.result()
        assert (await run.step("stubborn")).status == "errored"


@story
async def test_09_a_timeout_can_be_caught_and_an_attempt_in_time_completes():
    body = """
    @step.do("slow", config={"retries": {"limit": 0, "delay": 1}, "timeout": "2 seconds"})
    async def slow():
        await asyncio.sleep(event.payload)
        return "in time"
    try:
        return await slow()
    except WorkflowTimeoutError as error:
        return str(error)
    """
    assert await outcome(body, 1) == "in time"
    assert await outcome(body, 3) == "Execution timed out after 2000ms"


@story
async def test_09_a_timed_out_step_raises_its_timeout_again_on_replay():
    body = """
    @step.do("slow", config={"retries": {"limit": 0, "delay": 1}, "timeout": 100})
    async def slow():
        LEDGER.note("ran")
        await asyncio.sleep(1)
    try:
        await slow()
    except WorkflowTimeoutError as error:
        said = str(error)
    await step.sleep("long", "1 day")
    return said
    """
    async with playing(body) as (_, run):
        assert await run.result() == "Execution timed out after 100ms"
        assert len((await run.state()).executions) == 2
    assert LEDGER.take() == ["ran"]


NON_RETRYABLE = """
class OutOfStock(NonRetryableError):
    pass
@step.do("order")
async def order():
    LEDGER.note("ran")
    raise OutOfStock("none left")
"""


@story
async def test_10_non_retryable_gives_one_attempt_and_becomes_the_instances_error():
    body = NON_RETRYABLE.replace("OutOfStock(NonRetryableError)", "Unused(NonRetryableError)").replace(
        "OutOfStock", "NonRetryableError"
    )
    error = await failure(body + "await order()")
    assert (error["name"], error["message"]) == ("NonRetryableError", "none left")
    assert LEDGER.take() == ["ran"]


@story
async def test_10_non_retryable_caught_lets_the_run_continue_and_replay_raises_the_same_error_without_running():
    body = (
        NON_RETRYABLE
        + """
try:
    await order()
except NonRetryableError as error:
    said = f"{type(error).__name__}: {error}"
await step.sleep("long", "1 day")
return said
"""
    )
    async with playing(body) as (_, run):
        assert await run.result() == "OutOfStock: none left"
        assert len((await run.state()).executions) == 2
        assert attempts(await run.step("order")) == [(1, "none left")]
    assert LEDGER.take() == ["ran"]


@story
async def test_10_a_tenants_own_error_class_at_module_level_is_the_same_class_on_replay():
    source = workflow(
        """
        try:
            await step.do("order", refuse)
        except OutOfStock as error:
            said = [type(error) is OutOfStock, error.item, str(error)]
        await step.sleep("long", "1 day")
        return said
        """
    ).replace(
        "class TenantWorkflow",
        "class OutOfStock(NonRetryableError):\n    item = 'tea'\n"
        "def refuse():\n    raise OutOfStock('none left')\nclass TenantWorkflow",
    )
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        assert await run.result() == [True, "tea", "none left"]


TWO_STEPS = """
@step.do("first")
async def first():
    LEDGER.note("first")
    return 1
@step.do("second")
async def second(ctx):
    LEDGER.note(f"second {ctx.attempt}")
    if ctx.attempt == 1:
        await asyncio.sleep(5)
    return ctx.attempt
return [await first(), await second()]
"""


@pytest.mark.parametrize("victim", ["worker", "server"])
@story
async def test_13_kill_mid_step_gives_attempt_2_one_step_started_and_earlier_steps_are_not_rerun(victim):
    async with playing(TWO_STEPS) as (tester, run):
        await run.wait_until(lambda state: any(str(key) == "second-1" for key in state.steps))
        if victim == "worker":
            await run.kill_worker()
        else:
            await tester.restart_server()
        assert await run.result() == [1, 2]
        step = await run.step("second")
        assert [number for number, _ in attempts(step)] == [1, 2]
        assert step.attempts[0].error["name"] == "WorkerLost"
        assert step.attempts[0].retry_delay_ms is None
        assert (await started(run)).count("second-1") == 1
        assert await times(run, ev.ATTEMPT_STARTED) == [0, 0, 0]  # no backoff: the next attempt starts at once
    assert LEDGER.take() == ["first", "second 1", "second 2"]


@story
async def test_13_losses_do_not_use_up_the_retries():
    body = """
    @step.do("fragile", config={"retries": {"limit": 1, "delay": 10}})
    async def fragile(ctx):
        if ctx.attempt <= 3:
            await asyncio.sleep(60)
        if ctx.attempt == 4:
            raise ValueError("a failure of its own")
        return ctx.attempt
    return await fragile()
    """
    async with playing(body) as (_, run):
        for number in (1, 2, 3):
            await run.wait_until(lambda state, number=number: [len(step.attempts) for step in state.steps.values()] == [number])
            await run.kill_worker()
        assert await run.result() == 5
        names = [attempt.error and attempt.error["name"] for attempt in (await run.step("fragile")).attempts]
    assert names == ["WorkerLost", "WorkerLost", "WorkerLost", "ValueError", None]


@story
async def test_13_a_worker_lost_five_times_in_a_row_on_one_attempt_ends_the_instance_saying_so():
    async with playing('await step.do("doomed", lambda: asyncio.sleep(60))') as (_, run):
        for number in range(1, 6):
            await run.wait_until(lambda state, number=number: [len(step.attempts) for step in state.steps.values()] == [number])
            await run.kill_worker()
        with pytest.raises(WorkflowFailed, match='5 times in a row while step "doomed-1" ran'):
            await run.result()
        assert (await run.step("doomed")).status == "errored"
        assert (await run.journal())[-1].type == ev.WORKFLOW_ERRORED


ISOLATED_STEPS = """
@step.do("first")
async def first():
    print("first")
    return 1
@step.do("second")
async def second(ctx):
    print(f"second {ctx.attempt}")
    if ctx.attempt == 1:
        await asyncio.sleep(600)
    return ctx.attempt
return [await first(), await second()]
"""


@story
async def test_13_kill_mid_step_a_real_process():
    async with isolated(ISOLATED_STEPS) as (_, run):
        await run.wait_until(lambda state: any(str(key) == "second-1" for key in state.steps))
        await run.kill_worker()
        assert await run.result() == [1, 2]
        assert [number for number, _ in attempts(await run.step("second"))] == [1, 2]
        assert (await started(run)).count("second-1") == 1
        assert [line for line in await run.logs() if line == "first"] == ["first"]


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
        assert [event.data["reason"] for event in journal if event.type == ev.EXECUTION_ENDED] == ["killed", "completed"]
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


MID_WAITS = {
    "sleep": ('await step.sleep("it", "1 hour")', ev.SLEEP_STARTED, "sleeping"),
    "retry wait": (
        'await step.do("it", lambda ctx: 1 / (ctx.attempt - 1), config={"retries": {"limit": 1, "delay": "1 hour"}})',
        ev.STEP_STARTED,
        "retrying",
    ),
    "event wait": (
        'try:\n    await step.wait_for_event("it", "never", timeout="1 hour")\nexcept WorkflowTimeoutError:\n    pass',
        ev.WAIT_STARTED,
        "waiting",
    ),
}


@pytest.mark.parametrize("victim", ["worker", "server"])
@pytest.mark.parametrize("mid", MID_WAITS)
@story
async def test_14_kill_mid_wait_keeps_the_original_deadline_and_starts_nothing_twice(mid, victim):
    body, start, status = MID_WAITS[mid]
    async with playing(body, skip=False, idle_grace_ms=3_600_000 * 2) as (tester, run):
        await run.wait_for_step("it", status=status)
        await tester.advance("20 minutes")
        if victim == "worker":
            await run.kill_worker()
        else:
            await tester.restart_server(down="10 minutes")
        await tester.advance("39 minutes" if victim == "worker" else "29 minutes")
        assert (await run.state()).status == "waiting"
        assert [execution.ended_at is None for execution in (await run.state()).executions] == [False]  # it hibernates
        await tester.advance("61 seconds")
        assert (await run.state()).status == "complete"
        assert len(await times(run, start)) == 1
        [ended] = await times(run, ev.WORKFLOW_COMPLETED)
        assert ended == 3_600_000


@pytest.mark.parametrize("mid", MID_WAITS)
@story
async def test_14_kill_mid_wait_a_real_process(mid):
    body, start, status = MID_WAITS[mid]
    async with isolated(body, skip=False, idle_grace_ms=3_600_000 * 2) as (tester, run):
        await run.wait_for_step("it", status=status)
        await tester.settle()
        await run.kill_worker()
        await run.wait_until(lambda state: state.executions[0].ended_at is not None)
        await tester.advance("59 minutes")
        assert (await run.state()).status == "waiting"
        await tester.advance("2 minutes")
        assert (await run.state()).status == "complete"
        assert len(await times(run, start)) == 1
        assert await times(run, ev.WORKFLOW_COMPLETED) == [3_600_000]


@story
async def test_14_waits_that_were_replayed_and_lost_again_and_again_keep_their_deadlines():
    body = """
    async def naps():
        for _ in range(5):
            await step.sleep("nap", "10 minutes")
    retried = step.do("retried", lambda ctx: 1 / (ctx.attempt - 1), config={"retries": {"limit": 1, "delay": "55 minutes"}})
    waited = step.wait_for_event("never", "never", timeout="1 hour")
    return [type(result).__name__ for result in await asyncio.gather(naps(), retried, waited, return_exceptions=True)]
    """
    async with playing(body, skip=False, idle_grace_ms=0) as (tester, run):
        for number in range(1, 6):
            await tester.advance("5 minutes")
            await tester.restart_server()
            await tester.advance("5 minutes")
            assert len((await run.state()).executions) == number + 1
        await tester.advance("10 minutes")
        assert (await run.state()).output == ["NoneType", "float", "WorkflowTimeoutError"]
        assert await times(run, ev.SLEEP_COMPLETED) == [600_000 * number for number in range(1, 6)]
        assert await times(run, ev.WAIT_TIMED_OUT) == [3_600_000]
        assert await times(run, ev.ATTEMPT_STARTED) == [0, 3_300_000]
        assert sorted(await started(run)) == ["nap-1", "nap-2", "nap-3", "nap-4", "nap-5", "never-1", "retried-1"]


@story
async def test_14_a_deadline_that_passed_while_no_server_ran_is_overdue_at_boot_and_happens_at_once():
    async with playing('await step.sleep("it", "1 hour")\nreturn "woken"', skip=False) as (tester, run):
        await run.wait_for_step("it", status="sleeping")
        await tester.settle()
        await tester.restart_server(down="3 hours")
        await tester.settle()
        assert (await run.state()).output == "woken"
        assert await times(run, ev.SLEEP_COMPLETED) == [3 * 3_600_000]


@story
async def test_17_gather_with_one_failure_and_return_exceptions_continues():
    body = """
    no_retry = {"retries": {"limit": 0, "delay": 1}}
    def fail():
        raise LookupError("not there")
    results = await asyncio.gather(
        step.do("a", lambda: 1), step.do("b", fail, config=no_retry), step.do("c", lambda: 3), return_exceptions=True
    )
    after = await step.do("after", lambda: "went on")
    return [results[0], f"{type(results[1]).__name__}: {results[1]}", results[2], after]
    """
    assert await outcome(body) == [1, "LookupError: not there", 3, "went on"]


@story
async def test_17_gather_without_return_exceptions_ends_the_run_and_closes_what_ran():
    body = """
    no_retry = {"retries": {"limit": 0, "delay": 1}}
    def fail():
        raise LookupError("not there")
    await asyncio.gather(step.do("slow", lambda: asyncio.sleep(100)), step.do("b", fail, config=no_retry))
    """
    async with playing(body) as (_, run):
        with pytest.raises(WorkflowFailed, match="LookupError: not there"):
            await run.result()
        step = await run.step("slow")
        assert (step.status, step.error["name"]) == ("errored", "Cancelled")


@story
async def test_17_a_task_group_over_steps_fans_out_and_in():
    body = """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(step.do("square", lambda n=n: n * n)) for n in range(5)]
    done, _ = await asyncio.wait([asyncio.ensure_future(step.do("one", lambda: 1))])
    first = [await future for future in asyncio.as_completed([step.do("two", lambda: 2)])]
    return [[task.result() for task in tasks], [task.result() for task in done], first]
    """
    assert await outcome(body) == [[0, 1, 4, 9, 16], [1], [2]]


@story
async def test_31_an_unawaited_step_finishes_before_the_instance_completes():
    body = """
    @step.do("background")
    async def background():
        await asyncio.sleep(30)
        LEDGER.note("finished")
        return 1
    task = asyncio.create_task(background())
    await asyncio.sleep(0)
    return "done"
    """
    async with playing(body) as (_, run):
        assert await run.result() == "done"
        assert (await run.step("background")).status == "completed"
        assert await times(run, ev.WORKFLOW_COMPLETED) == [30_000]
    assert LEDGER.take() == ["finished"]


@story
async def test_31_the_error_of_an_unawaited_step_is_logged_and_does_not_fail_the_instance():
    body = """
    def fail():
        raise ValueError("nobody sees this")
    asyncio.create_task(step.do("background", fail, config={"retries": {"limit": 1, "delay": "1 minute"}}))
    await asyncio.sleep(0)
    return "done"
    """
    async with playing(body) as (_, run):
        assert await run.result() == "done"
        assert (await run.step("background")).status == "errored"
        assert len((await run.step("background")).attempts) == 2
        assert any("ValueError: nobody sees this" in line for line in await run.logs())


@story
async def test_32_an_uncaught_type_error_becomes_the_instances_error_with_the_tenants_line():
    source = "from workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n"
    source += "    async def run(self, event, step):\n"
    source += "        helper()\n\ndef helper():\n    raise TypeError('boom')\n"
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        with pytest.raises(WorkflowFailed, match="TypeError: boom"):
            await run.result()
        error = (await run.state()).error
        row = await run.row()
    assert (error["name"], error["message"], error["line"]) == ("TypeError", "boom", 7)
    assert [(frame["line"], frame["function"], frame["code"]) for frame in error["traceback"]] == [
        (4, "run", "helper()"),
        (7, "helper", "raise TypeError('boom')"),
    ]
    assert row.error == error


@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        ("def broken(:\n", "SyntaxError", "invalid syntax"),
        ("import missing_module_of_nobody\n", "ModuleNotFoundError", "missing_module_of_nobody"),
        ("class Other:\n    pass\n", "MissingWorkflowClass", "no class TenantWorkflow"),
        ("raise SystemExit(3)\n", "SystemExit", "3"),
        ("x = 1 / 0\n", "ZeroDivisionError", "division by zero"),
    ],
)
@story
async def test_32_a_source_that_cannot_be_loaded_ends_the_instance_with_its_error(source, name, said):
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        await run.wait_for_status("errored")
        error = (await run.state()).error
    assert error["name"] == name
    assert said in error["message"]


@story
async def test_32_an_exception_whose_str_raises_still_ends_the_instance():
    body = """
    class Nasty(Exception):
        def __str__(self):
            raise RuntimeError("no words")
    raise Nasty()
    """
    error = await failure(body)
    assert error["name"] == "Nasty"
    assert "__str__ raised" in error["message"]


@story
async def test_32_a_system_exit_in_a_step_is_a_failed_attempt():
    body = """
    import sys
    await step.do("exits", lambda: sys.exit(2), config={"retries": {"limit": 1, "delay": 10}})
    """
    async with playing(body) as (_, run):
        await run.wait_for_status("errored")
        assert attempts(await run.step("exits")) == [(1, "2"), (2, "2")]


@story
async def test_32_a_run_that_waits_for_nothing_that_can_happen_ends_and_says_so():
    error = await failure("await asyncio.get_running_loop().create_future()")
    assert error["name"] == "Stuck"
