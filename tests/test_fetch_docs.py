"""docs/fetch.md runs as it stands, and the test kit's answers to what code asks."""

import re
from pathlib import Path
from typing import Any

import pytest
from aio import run, story

import playground
from playground.settings import Settings
from playground.testing import WorkflowFailed, WorkflowTester
from playground.testing.mocks import UnusedMock

DOCS = Path(__file__).parent.parent / "docs" / "fetch.md"
TEXT = DOCS.read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
ORDERS = """
from workers import WorkflowEntrypoint, fetch

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        response = await fetch("https://api.example.com/orders", method="POST", body="lamp", headers={"X-A": "1"})
        return [response.status, await response.text(), response.headers["X-B"]]
"""


def test_what_is_shown_of_a_workflow_and_of_its_test_runs() -> None:
    names: dict[str, Any] = {"SOURCE": BLOCKS[0], "WorkflowTester": WorkflowTester}
    exec(BLOCKS[2], names)  # noqa: S102 - the document's own code
    run(names["test_the_rate_is_looked_up_again"]())


def test_what_is_shown_of_credentials_makes_the_rules_that_it_says() -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS[1], names)  # noqa: S102 - the document's own code
    assert repr(names["fetch"]) == (
        "<Fetch https://www.example.com; https://api.example.com; GET https://other.example:8443; https://pay.example>"
    )
    assert isinstance(names["fetch"], playground.Fetch)


def test_settings_that_are_spoken_of_are_there_and_all_of_them() -> None:
    spoken = set(re.findall(r"`(fetch(?:es)?_[a-z_]+)`", TEXT)) - {"fetch_called"}
    assert spoken == {name for name in Settings.__dataclass_fields__ if name.startswith(("fetch_", "fetches_"))}


@story
async def test_an_answer_is_given_and_the_request_is_seen() -> None:
    async with WorkflowTester(ORDERS) as tester:
        tester.fetches.answer("https://api.example.com/*", method="GET", optional=True)
        tester.fetches.answer(
            "https://api.example.com/orders", status=201, body="made", headers={"x-b": "2"}, method="POST"
        )
        assert await (await tester.create()).result() == [201, "made", "2"]
        [asked] = tester.fetches.requests
        assert (asked.method, asked.body, asked.headers["X-A"], asked.attempt) == ("POST", b"lamp", "1", 1)
        assert asked.step == "fetch POST api.example.com"


@story
async def test_what_has_no_answer_says_how_to_give_one() -> None:
    async with WorkflowTester(ORDERS) as tester:
        with pytest.raises(WorkflowFailed, match=r"tester\.fetches\.answer\(\"https://api\.example\.com/orders\""):
            await (await tester.create()).result()


@story
async def test_an_answer_may_be_that_none_comes() -> None:
    async with WorkflowTester(ORDERS) as tester:
        tester.fetches.answer("https://api.example.com/orders", error="The host is away.")
        with pytest.raises(WorkflowFailed, match="The host is away"):
            await (await tester.create()).result()


@story
async def test_an_answer_that_nothing_asks_for_fails_the_test() -> None:
    with pytest.raises(UnusedMock, match=r"was never used: the code has asked https://api\.example\.com/orders\."):
        async with WorkflowTester(ORDERS) as tester:
            tester.fetches.answer("https://api.example.com/*", headers={"x-b": "2"})
            tester.fetches.answer("https://api.example.com/order")
            await (await tester.create()).result()


ANSWERS_CHANGE = """
import asyncio
from workers import WorkflowEntrypoint, fetch

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("inside")
        async def inside():
            return (await fetch("https://a.example/inside")).status

        first, second, third = await asyncio.gather(
            fetch("https://a.example/1"), fetch("https://a.example/2"), inside()
        )
        if first.status == 200:
            await step.sleep("a while", "1 hour")
        return [first.status, second.status, third, (await fetch("https://a.example/1")).status]
"""


@story
async def test_a_replay_goes_the_way_of_the_answers_that_came_first_whenever_the_worker_dies() -> None:
    """Every answer but the first of each URL would lead elsewhere; the worker is killed after every commit."""
    async with WorkflowTester(ANSWERS_CHANGE, replay_each_commit=True) as tester:
        for path, statuses in (("1", (200, 404)), ("2", (201,)), ("inside", (202,))):
            for status in statuses:
                tester.fetches.answer(f"https://a.example/{path}", status=status, times=1, optional=True)
            tester.fetches.answer(f"https://a.example/{path}", status=500, optional=True)
        run = await tester.create()
        first, second, third, again = await run.result()
        state = await run.state()
        outside = sorted((key.count, step.output["status"]) for key, step in state.steps.items() if "fetch" in key.name)
        assert outside == [(1, first), (2, second), (3, again)], "what the code has is what the journal has"
        [inside] = [step.output for key, step in state.steps.items() if key.name == "inside"]
        assert inside == third and len(state.executions) > 4
        assert len(tester.fetches.requests) > 4, "attempts that were lost have asked again"
