"""Errors that nobody awaits: said with what failed, the step it belongs to, the line and its code."""

from collections.abc import Callable
from typing import Any

import pytest
from semantics_support import isolated, playing, story

from playground.testing import Run
from playground.workflows import events as ev

KINDS: dict[str, Callable[..., Any]] = {"real": isolated, "in process": playing}
NEVER_RETRIEVED = "Task exception was never retrieved: the background task later() failed and nothing awaited it"
OF_A_FUTURE = "Future exception was never retrieved: a background task failed and nothing awaited it"

HELPER = """
async def spawns():
    async def later():
        await asyncio.sleep(0.2)
        raise ValueError("in a helper task")
    asyncio.create_task(later())
await step.do("spawn", spawns)
await asyncio.sleep(0.5)
"""
OUTSIDE = """
async def later():
    {}["no such key"]
task = asyncio.create_task(later())
await asyncio.sleep(0.1)
del task
await step.do("one", lambda: 1)
"""
STEP = """
async def fails():
    raise ValueError("nobody looks")
task = asyncio.create_task(step.do("background", fails, config={"retries": {"limit": 0, "delay": 0}}))
await step.do("one", lambda: asyncio.sleep(0.2))
"""
CALLBACK = """
def late():
    raise ValueError("in a callback")
asyncio.get_running_loop().call_soon(late)
await step.do("one", lambda: asyncio.sleep(0.1))
"""
FUTURE = """
asyncio.get_running_loop().create_future().set_exception(ValueError("in a future"))
await step.do("one", lambda: 1)
"""


async def stderr(run: Run) -> list[dict[str, Any]]:
    """What was said on stderr: the step's name, the source line's text, and the text."""
    source = run._tester.source.split("\n")
    return [
        {
            "step": event.step.name if event.step else None,
            "line": source[event.data["line"] - 1].strip() if event.data.get("line") else None,
            "text": event.data["text"].split("\n"),
        }
        for event in await run.journal()
        if event.type == ev.LOG and event.data["stream"] == "stderr"
    ]


SAID = {
    "a task made in a step": (
        HELPER,
        "spawn",
        'raise ValueError("in a helper task")',
        f"{NEVER_RETRIEVED}: ValueError: in a helper task",
        "later",
    ),
    "a task made outside steps": (
        OUTSIDE,
        None,
        '{}["no such key"]',
        f"{NEVER_RETRIEVED}: KeyError: 'no such key'",
        "later",
    ),
    "a step in a task": (
        STEP,
        "background",
        'raise ValueError("nobody looks")',
        'Step "background" failed and nothing awaited it: ValueError: nobody looks',
        "fails",
    ),
    "a callback": (
        CALLBACK,
        None,
        'raise ValueError("in a callback")',
        "A callback of the event loop failed: ValueError: in a callback",
        "late",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", SAID)
def test_an_error_that_nothing_awaits_says_what_failed_and_where(kind: str, what: str) -> None:
    body, step, code, text, function = SAID[what]

    @story
    async def told() -> None:
        async with KINDS[kind](body) as (_, run):
            await run.wait_for_status(ev.COMPLETE)
            (said,) = await stderr(run)
            assert (said["step"], said["line"]) == (step, code)
            assert said["text"][0] == text
            (event,) = [it for it in await run.journal() if it.type == ev.LOG]
            assert said["text"][1:] == [f"  line {event.data['line']}, in {function}: {code}"]

    told()


@story
async def test_a_future_that_fails_unseen_has_no_place_and_is_said_all_the_same() -> None:
    async with playing(FUTURE) as (_, run):
        await run.result()
        (said,) = await stderr(run)
        assert said["text"] == [
            f"{OF_A_FUTURE}: ValueError: in a future",
        ]


@story
async def test_a_task_that_is_dropped_while_it_runs_says_where_it_was() -> None:
    body = """
    import gc
    async def waits():
        await asyncio.get_running_loop().create_future()
    asyncio.create_task(waits())
    await asyncio.sleep(0.1)
    gc.collect()
    await step.do("one", lambda: 1)
    """
    async with isolated(body) as (_, run):
        await run.wait_for_status(ev.COMPLETE)
        (said,) = await stderr(run)
        assert (
            said["text"][0] == "Task was destroyed: nothing refers to the background task waits(), "
            "which was dropped while it was running"
        )
        assert said["line"] in (
            "async def waits():",
            "await asyncio.get_running_loop().create_future()",
        )  # whichever of the two is collected first
