"""Section 9 of semantics.md: following a journal from a cursor. Each test names the number of its behaviour."""

import asyncio
import json

import pytest
from semantics_support import playing, story, turns

from playground.testing import WorkflowTester
from playground.web.api.stream import Streams


async def stream(tester: WorkflowTester, run, cursor: int) -> list[tuple[str, list]]:
    """The events of an instance's stream from a cursor on, to its end."""
    response = Streams(tester.store, tester.now, 30.0, lambda *said, **fields: None).stream_response(
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
