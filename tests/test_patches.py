"""Patches: a change of the code under living runs. Those that had gone past the place keep the old way, others take the
new one, and every replay goes the way that was taken.
"""

from typing import Any

import pytest
from semantics_support import LEDGER, failure, isolated, playing, story, workflow

from playground.testing import Run
from playground.workflows import events as ev
from playground.workflows.errors import IncompatibleCode

BEFORE = """
await step.do("order", lambda: LEDGER.note("order"))
await step.do("charge", lambda: LEDGER.note("charge"))
await step.wait_for_event("sent", "sent", timeout="1 day")
return "old"
"""
AFTER = """
await step.do("order", lambda: LEDGER.note("order"))
if step.patched("tax"):
    await step.do("charge with tax", lambda: LEDGER.note("tax"))
else:
    await step.do("charge", lambda: LEDGER.note("charge"))
await step.wait_for_event("sent", "sent", timeout="1 day")
mail = step.patched("mail")
return ["new" if step.patched("tax") else "old", mail]
"""
DEPRECATED = AFTER.replace('if step.patched("tax"):', 'step.deprecate_patch("tax")\nif True:').replace(
    '"new" if step.patched("tax") else "old"', '"only new"'
)


async def waiting(run: Run) -> None:
    await run.wait_for_step("sent", kind=ev.WAIT)


async def decisions(run: Run) -> list[tuple[str, Any, Any]]:
    """The decisions of its journal: name, way and execution."""
    found = [event for event in await run.journal() if event.type == ev.PATCH_DECIDED]
    return [(event.key.name, event.data["patched"], event.execution) for event in found]


@story
async def test_a_run_that_had_gone_past_the_place_keeps_the_old_way_and_goes_the_new_one_after_it():
    async with playing(BEFORE) as (tester, run):
        await waiting(run)
        await run.change_code(workflow(AFTER))
        await run.wait_until(lambda state: state.patches)
        await tester.restart_server()
        await run.send_event("sent")
        assert await run.result() == ["old", True]
        assert await run.patches() == {"tax": False, "mail": True}
        assert [way for _, way, _ in await decisions(run)] == [False, True], "each is decided once"
        assert LEDGER.take() == ["order", "charge"]


@story
async def test_a_new_run_takes_the_new_way_and_no_replay_decides_again():
    async with playing(AFTER) as (tester, run):
        await waiting(run)
        await tester.restart_server()
        await run.send_event("sent")
        assert await run.result() == ["new", True]
        assert await decisions(run) == [("tax", True, 1), ("mail", True, 2)]
        assert LEDGER.take() == ["order", "tax"]
        await run.restart("charge with tax")
        await waiting(run)
        assert await run.patches() == {"tax": True}, "what was decided before the step is kept"
        await run.restart()
        await waiting(run)
        assert await run.patches() == {"tax": True}
        assert len(await decisions(run)) == 3, "a restart from the start decides anew"


@story
async def test_a_crash_at_any_commit_keeps_the_decision():
    """What another branch has done while the decision was not committed does not look as if the code had gone past."""
    body = """
    async def one():
        await step.do("first", lambda: None)
        if step.patched("way"):
            return await step.do("new", lambda: "new")
        return await step.do("old", lambda: "old")

    async def other():
        await step.sleep("nap", 1000)
        await step.do("second", lambda: None)
        return step.patched("way")

    return await asyncio.gather(one(), other())
    """
    async with playing(body) as (tester, run):
        assert await run.result() == ["new", True]
        for victim, moment in (("server", "before"), ("server", "after"), ("worker", "after")):
            for number in range(1, 40):
                tester.crash(victim, commit=tester.commits + number, moment=moment)
                again = await tester.create()
                assert await again.result() == ["new", True], (victim, moment, number)
                assert [way for _, way, _ in await decisions(again)] == [True]
                if tester.crashes_left:
                    tester.no_more_crashes()
                    break
            else:
                raise AssertionError("a run has fewer commits than this")


@story
async def test_a_removed_way_is_refused_to_a_run_that_took_it_and_kept_from_no_other():
    async with playing(BEFORE) as (tester, run):
        await waiting(run)
        with pytest.raises(IncompatibleCode, match=r'went the old way of the patch "tax"'):
            await run.change_code(workflow(DEPRECATED))
        await run.change_code(workflow(AFTER))
        await run.wait_until(lambda state: state.patches)
        with pytest.raises(IncompatibleCode, match=r'went the old way of the patch "tax"'):
            await run.change_code(workflow(DEPRECATED))
        await run.terminate()
    async with playing(AFTER) as (tester, run):
        await waiting(run)
        await run.change_code(workflow(DEPRECATED))
        await run.send_event("sent")
        assert await run.result() == ["only new", True]
    async with playing(DEPRECATED) as (tester, run):
        await waiting(run)
        await tester.restart_server()
        await run.send_event("sent")
        assert await run.result() == ["only new", True]
        decided = [event.data for event in await run.journal() if event.type == ev.PATCH_DECIDED]
        assert [(data["patched"], data.get("deprecated")) for data in decided] == [(True, True), (True, None)]


@story
async def test_a_patch_inside_a_step_and_more_than_there_may_be_end_the_run():
    error = await failure('await step.do("s", lambda: step.patched("x"))')
    assert 'patch "x" is asked for inside a step' in error["message"]
    error = await failure("return [step.patched(str(n)) for n in range(4)]", patch_limit=3)
    assert "limit of 3 patches" in error["message"]
    error = await failure('step.patched("x" * 257)')
    assert "exceeds max length" in error["message"]


FORGED = """
import os, json
for n in range(4):
    data = json.dumps({"op": "patch", "step": %s, "patched": True}).encode()
    os.write(3, len(data).to_bytes(4, "big") + data)
await step.sleep("long", "1 day")
"""


@story
async def test_a_worker_that_decides_more_or_what_is_none_is_ended():
    for step, says in (('["patch", f"p{n}", 1]', "limit of 3 patches"), ('["do", "x", 1]', "a patch that is none")):
        async with isolated(FORGED % step, patch_limit=3) as (_, run):
            await run.wait_for_status(ev.ERRORED)
            assert says in (await run.state()).error["message"]
