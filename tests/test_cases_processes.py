"""The cases of tests/cases that need a real worker: its hash seed, its output, its exit, its limits."""

from collections.abc import Mapping
from pathlib import Path

from aio import run as run_to_the_end
from aio import story
from cases_support import in_real_workers, source_of
from run_support import Program, run_all

from playground.workflows import events as ev

CITIES = ["Lisbon", "Cairo", "Oslo", "Quito", "Osaka"]
UNTIL_ITS_END = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        first = list({"Lisbon", "Cairo", "Oslo", "Quito", "Osaka", hash("a")})
        print(first)
        await step.sleep("a while", "1 day")
        return first == list({"Lisbon", "Cairo", "Oslo", "Quito", "Osaka", hash("a")})
"""
# What a worker answers to what it may not do, and to what is too much, by the name of the step.
REFUSED = {
    "to_thread": "RuntimeError: can't start new thread",
    "executor": "RuntimeError: can't start new thread",
    "asyncio.run": "RuntimeError: asyncio.run() cannot be called from a running event loop",
    "input": "EOFError: EOF when reading a line",
    "open": "FileNotFoundError: [Errno 2] No such file or directory: '/etc/hosts'",
    "sqlite": "[1]",
    "requests": "ModuleNotFoundError: No module named 'requests'",
}


@story
async def test_57_a_set_of_strings_keeps_its_order_when_the_next_worker_is_another_fork_servers():
    async with in_real_workers("57", {"cities": CITIES}, servers=2, idle_grace_ms=0) as (_, run):
        assert await run.result() == {city: f"reading of {city}" for city in CITIES}
        assert len((await run.state()).executions) == 2


@story
async def test_57_every_fork_server_has_the_same_hash_seed():
    async with in_real_workers(UNTIL_ITS_END, servers=2, idle_grace_ms=0) as (_, run):
        await run.result()
        said = await run.logs(replay=True)
        assert len(said) == 2
        assert len(set(said)) == 1


@story
async def test_06_what_was_printed_without_a_newline_is_kept_when_the_worker_hibernates():
    async with in_real_workers("06", idle_grace_ms=0) as (_, run):
        assert await run.result() is True
        assert [execution.reason for execution in (await run.state()).executions] == ["hibernated", "completed"]
        assert "".join(await run.logs()) == "10 % 50 % 100 % after"
        assert {
            event.key.name for event in await run.journal() if event.type == ev.LOG and "%" in event.data["text"]
        } == {"work"}


@story
async def test_51_what_was_printed_without_a_newline_says_where_a_killed_worker_died():
    async with in_real_workers("51") as (_, run):
        await run.wait_until(
            lambda state: state.status in ev.FINAL_STATUSES or any(it.type == ev.LOG for it in run.seen), "a line"
        )
        await run.kill_worker()
        [said] = [event for event in await run.journal() if event.type == ev.LOG]
        assert (said.data["text"].rstrip(), said.key.name) == ("loading row 4711 ...", "load")
        await run.result()


@story
async def test_10_a_system_exit_of_the_workflow_itself_ends_it_as_errored():
    async with in_real_workers("10") as (_, run):
        await run.wait_for_status(*ev.FINAL_STATUSES)
        state = await run.state()
        assert (state.status, state.error["name"], state.error["message"]) == (ev.ERRORED, "SystemExit", "0")
        assert state.error["line"] == 6


@story
async def test_12_a_run_that_waits_for_what_cannot_happen_is_ended_with_the_reason():
    async with in_real_workers("12") as (_, run):
        await run.wait_for_status(*ev.FINAL_STATUSES)
        assert (await run.state()).error["name"] == "Stuck"


@story
async def test_26_a_system_exit_of_a_step_is_caught_in_a_real_worker_too():
    async with in_real_workers("26") as (_, run):
        assert await run.result() == "the tool left with 3"


@story
async def test_15_basic_config_lets_debug_lines_be_heard():
    async with in_real_workers("15") as (_, run):
        assert await run.result() == 1
        lines = await run.logs()
        assert any("debug line" in line for line in lines)
        assert any("info line" in line for line in lines)
        printed = "\n".join(lines)
        assert (
            printed.index("KeyError: 'a'")
            < printed.index("The above exception was the direct cause")
            < printed.index("RuntimeError: outer")
        )


@story
async def test_34_what_a_worker_has_not_is_refused_with_an_error_that_a_workflow_can_catch():
    async with in_real_workers("34") as (_, run):
        assert await run.result() == 1
        assert said_of(await run.logs()).items() >= REFUSED.items()


@story
async def test_35_a_step_that_nobody_awaited_has_ended_and_its_error_is_logged():
    async with in_real_workers("35") as (_, run):
        assert await run.result() == "done"
        assert (await run.step("background")).error["message"] == "nobody looks"
        assert any("nobody looks" in line for line in await run.logs())
        assert any("never awaited" in line for line in await run.logs())


@story
async def test_36_too_deep_and_too_large_are_errors_of_the_step():
    async with in_real_workers("36") as (_, run):
        output = await run.result()
    assert output["just"] == 1024 * 1024 - 2
    assert output["recursion"].startswith("RecursionError: maximum recursion depth exceeded")
    assert output["cycle"] == (
        'NotSerialisableError: The result of step "cycle" is not serialisable: $[0]: list that contains itself ($ '
        "is the result)."
    )
    for name in ("nested", "big", "unicode big"):
        assert output[name].startswith("NotSerialisableError: The result of step "), output[name]


@story
async def test_47_dataclasses_pickle_inspect_and_typing_work_in_a_worker():
    async with in_real_workers("47") as (_, run):
        output = await run.result()
        assert output["asdict"] == output["step"] == {"id": 1, "tags": ["a"]}
        assert (output["name"], output["main"], output["source"], output["tz"]) == (
            "workflow",
            False,
            "@dataclasses.datacla",
            "UTC",
        )
        assert "no newline at end" in "".join(await run.logs())


def test_45_a_callback_that_blocks_its_worker_past_its_timeout_has_timed_out_and_is_tried_again(tmp_path: Path):
    """On the clock of this machine: three seconds in which the callback lets nobody else run."""
    outcomes = run_to_the_end(run_all({"45": Program(source_of("45"))}, tmp_path))
    state = outcomes["45"].state
    assert state.output == "attempt 2"
    [busy] = state.steps.values()
    assert busy.attempts[0].error["message"] == "Execution timed out after 1000ms"


def said_of(lines: list[str]) -> Mapping[str, str]:
    """`name => what came of it` of each printed line."""
    return dict(line.split(" => ", 1) for line in lines if " => " in line)
