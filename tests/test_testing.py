"""`playground.testing` as its users meet it: the examples of docs/testing.md run here, and what each tool of the tester
does.
"""

import asyncio
import logging
import re
import sys
from pathlib import Path

import pytest
from aio import run, story

from playground.testing import NothingHappens, ServerCrashed, WorkflowFailed, WorkflowTester
from playground.workflows import events as ev

DOCS = Path(__file__).parent.parent / "docs" / "testing.md"
from workers import NonRetryableError, WorkflowEntrypoint

SHOP = """
import asyncio
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("charge", config={"retries": {"limit": 2, "delay": "1 hour"}, "timeout": "30 seconds"})
        async def charge():
            print("charging for real")
            return {"charged": event["payload"]["amount"]}

        paid = await charge()
        await step.sleep("cooling off", "14 days")
        answer = await step.wait_for_event("review", "reviewed", timeout="7 days")
        return {**paid, "stars": answer["payload"]}
"""
TAKEN: list[str] = []


class Greeting(WorkflowEntrypoint):
    """A workflow of this test module, which sees what the module sees."""

    async def run(self, event, step):
        @step.do("greet")
        async def greet():
            TAKEN.append("greet")
            return f"Hello, {event.payload['name']}!"

        greeting = await greet()
        await step.sleep("pause", "1 day")
        if event.payload.get("rude"):
            raise NonRetryableError("no manners")
        return greeting


@pytest.fixture(autouse=True)
def nothing_taken():
    """Each test sees only what its own workflows took."""
    TAKEN.clear()


@story
async def test_a_class_runs_where_it_was_written():
    async with WorkflowTester(Greeting) as tester:
        run = await tester.create({"name": "Ada"})
        assert await run.result() == "Hello, Ada!"
        [step] = [event for event in await run.journal() if event.type == ev.STEP_STARTED]
        lines = Path(__file__).read_text().splitlines()
        assert "async def greet" in lines[step.data["line"]] or "@step.do" in lines[step.data["line"] - 1]
    assert TAKEN == ["greet"]


@story
async def test_a_failed_class_shows_the_lines_of_its_own_file():
    async with WorkflowTester(Greeting) as tester:
        run = await tester.create({"name": "Ada", "rude": True})
        with pytest.raises(WorkflowFailed, match="NonRetryableError: no manners") as failed:
            await run.result()
    assert "no manners" in Path(__file__).read_text().splitlines()[failed.value.error["line"] - 1]


@story
async def test_a_step_can_be_given_a_result_so_that_its_callback_never_runs():
    async with WorkflowTester(SHOP) as tester:
        tester.mock_step("charge", result={"charged": 0})
        run = await tester.create({"amount": 12})
        await run.send_event("reviewed", 5)
        assert await run.result() == {"charged": 0, "stars": 5}
        assert await run.logs() == []


@story
async def test_a_step_can_be_given_errors_for_some_attempts_and_time_skips_their_delays():
    async with WorkflowTester(SHOP) as tester:
        tester.mock_step("charge", error=ConnectionError("no answer"), times=2)
        run = await tester.create({"amount": 12})
        await run.send_event("reviewed", 5)
        assert await run.result() == {"charged": 12, "stars": 5}
        assert [attempt.error and attempt.error["message"] for attempt in (await run.step("charge")).attempts] == [
            "no answer",
            "no answer",
            None,
        ]
        assert tester.now() - tester.clock.start == (1 + 2) * 3_600_000 + 14 * 86_400_000


@story
async def test_mocks_are_for_a_count_if_one_is_given_and_follow_each_other():
    source = (
        SHOP.split("        @step.do")[0] + '        return [await step.do("a", lambda: "real") for _ in range(4)]\n'
    )
    async with WorkflowTester(source) as tester:
        tester.mock_step("a", count=2, result="second")
        tester.mock_step("a", result="first one asked", times=1)
        assert await (await tester.create()).result() == ["first one asked", "second", "real", "real"]


@story
async def test_a_step_can_be_made_to_time_out():
    async with WorkflowTester(SHOP) as tester:
        tester.time_out_step("charge", times=1)
        run = await tester.create({"amount": 12})
        await run.wait_for_step("charge", status="completed")
        errors = [attempt.error and attempt.error["message"] for attempt in (await run.step("charge")).attempts]
        assert errors == ["Execution timed out after 30000ms", None]
        assert tester.now() - tester.clock.start == 30_000 + 3_600_000


@story
async def test_a_wait_can_be_made_to_time_out():
    async with WorkflowTester(SHOP) as tester:
        tester.time_out_wait("review")
        run = await tester.create({"amount": 12})
        with pytest.raises(WorkflowFailed, match="WorkflowTimeoutError"):
            await run.result()
        assert tester.now() - tester.clock.start == 14 * 86_400_000


@story
async def test_time_moves_only_by_hand_without_skip():
    async with WorkflowTester(SHOP, skip=False) as tester:
        run = await tester.create({"amount": 12})
        await run.wait_for_step("cooling off", status="sleeping")
        with pytest.raises(NothingHappens, match=r'step "review-1" started of "run-1" can\'t come: everything rests'):
            await run.wait_for_step("review")
        await tester.advance("13 days")
        assert (await run.state()).status == "waiting"
        await tester.advance("1 day")
        await run.wait_for_step("review", status="waiting")


@story
async def test_what_cannot_come_is_said_with_the_end_of_the_journal():
    async with WorkflowTester(SHOP) as tester:
        run = await tester.create({"amount": 12})
        await run.pause()
        with pytest.raises(NothingHappens, match="workflow_paused"):
            await run.result()
        with pytest.raises(ValueError, match="no status done"):
            await run.wait_for_status("done")


@pytest.mark.parametrize("victim", ["worker", "server"])
@pytest.mark.parametrize("moment", ["before", "after"])
@story
async def test_a_crash_at_a_chosen_commit(victim, moment):
    async with WorkflowTester(SHOP) as tester:
        tester.crash(victim, commit=2, moment=moment)  # the first is the claim
        run = await tester.create({"amount": 12})
        await run.wait_for_step("cooling off", status="sleeping")
        assert tester.crashes_left == 0
        assert len(await run.types(ev.EXECUTION_STARTED)) >= (1 if (victim, moment) == ("server", "before") else 2)


@story
async def test_a_crash_that_falls_into_a_call_of_the_test_is_raised_there():
    async with WorkflowTester(SHOP) as tester:
        run = await tester.create({"amount": 12})
        await run.wait_for_step("cooling off", status="sleeping")
        await tester.settle()
        tester.crash("server", commit=tester.commits + 1, moment="before")
        with pytest.raises(ServerCrashed):
            await run.pause()
        assert await run.types(ev.WORKFLOW_PAUSED) == []
        await run.pause()
        assert await run.types(ev.WORKFLOW_PAUSED) == [ev.WORKFLOW_PAUSED]


@story
async def test_crashes_that_make_no_sense_are_refused():
    async with WorkflowTester(SHOP) as tester:
        tester.crash("server", commit=5)
        for wrong in ({"commit": 5}, {"commit": 0}, {"victim": "disk", "commit": 9}, {"commit": 9, "moment": "during"}):
            with pytest.raises(ValueError, match="crash"):
                tester.crash(**wrong)
        tester.no_more_crashes()
        assert tester.crashes_left == 0


@story
async def test_a_server_that_is_down_for_a_while_finds_what_became_due():
    async with WorkflowTester(SHOP, skip=False) as tester:
        run = await tester.create({"amount": 12})
        await run.wait_for_step("cooling off", status="sleeping")
        await tester.restart_server(down="15 days")
        await run.wait_for_step("review", status="waiting")
        await tester.restart_server(kill=False)
        await run.send_event("reviewed", 4)
        assert (await run.result())["stars"] == 4


@story
async def test_what_workflows_print_and_log_is_theirs_and_what_the_test_prints_is_the_tests(capsys):
    source = SHOP.split("        @step.do")[0] + (
        '        import logging, sys\n        print("printed")\n'
        '        print("to stderr", file=sys.stderr)\n        logging.info("logged")\n'
        '        await step.sleep("nap", "1 day")\n'
    )
    usual = sys.stdout, sys.stderr, logging.getLogger().level
    async with WorkflowTester(source) as tester:
        run = await tester.create()
        await run.result()
        print("of the test")
        assert sorted(await run.logs()) == ["printed", "root: logged", "to stderr"]
        assert len(await run.logs(replay=True)) == 6
    assert (sys.stdout, sys.stderr, logging.getLogger().level) == usual
    assert capsys.readouterr() == ("of the test\n", "")


@story
async def test_many_runs_of_one_tester_and_testers_side_by_side():
    async with WorkflowTester(SHOP) as shop, WorkflowTester(Greeting) as greeting:
        runs = [await shop.create({"amount": amount}) for amount in range(30)]
        for run in runs:
            await run.send_event("reviewed", 1)
        hello = await greeting.create({"name": "Bob"})
        assert [(await run.result())["charged"] for run in runs] == list(range(30))
        assert await hello.result() == "Hello, Bob!"


@story
async def test_a_killed_workers_finally_does_not_run_before_the_test_is_over():
    class Careful(WorkflowEntrypoint):
        async def run(self, event, step):
            @step.do("work")
            async def work(ctx):
                try:
                    TAKEN.append(f"attempt {ctx.attempt}")
                    if ctx.attempt == 1:
                        await asyncio.sleep(60)
                finally:
                    TAKEN.append(f"finally {ctx.attempt}")

            await work()

    async with WorkflowTester(Careful) as tester:
        run = await tester.create()
        await run.wait_for_step("work", status="running")
        await tester.settle()
        await run.kill_worker()
        await run.result()
        assert TAKEN == ["attempt 1", "attempt 2", "finally 2"]


def test_the_examples_of_the_documentation():
    # Files have a test of their own.
    blocks = re.findall(r"(?<!\.py`:\n\n)```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) > 3
    namespace: dict = {"__name__": "documented"}
    sys.modules["documented"] = sys.modules[__name__]
    try:
        for block in blocks:
            exec(compile(block, str(DOCS), "exec"), namespace)  # noqa: S102 - the document's own code
        stories = [value for name, value in namespace.items() if name.startswith("test_")]
        assert len(stories) > 3
        for story in stories:
            run(story()) if asyncio.iscoroutinefunction(story) else story()
    finally:
        del sys.modules["documented"]


HANDLES = """
from workers import WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            if message.body == "later":
                message.retry({"delaySeconds": 60})
            elif message.body == "wait":
                await ctx.step.sleep("a day", "1 day")
            elif message.body == "fail":
                raise ValueError(f"{batch.queue}: attempt {message.attempts}")
"""


@story
async def test_a_batch_of_messages_is_handled_on_the_virtual_clock() -> None:
    async with WorkflowTester(HANDLES, replay_each_commit=True) as tester:
        run = await tester.deliver("now", "later", "wait")
        assert await run.result() == {"acked": 2, "retried": 1}
        assert await run.marks() == {"acked": ["1", "3"], "retried": [{"id": "2", "delay_ms": 60_000}]}
        failed = await tester.deliver("fail", queue="mail", attempts=2)
        with pytest.raises(WorkflowFailed, match="mail: attempt 2"):
            await failed.result()
        assert await failed.marks() is None, "all of it comes again"


SENDS = """
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("send", config={"retries": {"limit": 1, "delay": 0}})
        async def send(ctx):
            await self.env.QUEUE.send({"attempt": ctx["attempt"]})
            if ctx["attempt"] == 1:
                raise ValueError("again")

        await send()
        await self.env.QUEUES.get("mail").send("outside a step")
"""


@story
async def test_what_a_run_sends_into_queues_can_be_looked_at() -> None:
    async with WorkflowTester(SENDS) as tester:
        run = await tester.create()
        await run.result()
        assert await run.sent() == [{"attempt": 2}], "a failed attempt has sent nothing"
        assert await run.sent("mail") == ["outside a step"] and await run.sent("other") == []
