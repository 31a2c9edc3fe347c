"""Breaking steps on purpose: what becomes of their attempts, what the journal says of it, and that no worker can claim
what nobody set.
"""

from pathlib import Path
from typing import Any

import pytest
from http_support import APPROVAL, Site, code_of
from puppet_support import do, done, frame, staged
from semantics_support import LEDGER, isolated, playing, story, workflow

from playground.engine.execution.faults import NewBreak
from playground.testing import WorkflowFailed, WorkflowTester
from playground.workflows import breaks
from playground.workflows import events as ev
from playground.workflows.errors import CannotBreak, InstanceInFiniteState, TooLarge
from playground.workflows.state import Step

PAY = """
retries = {"retries": {"limit": 2, "delay": 100, "backoff": "constant"}, "timeout": 200}
await step.sleep("first", "1 minute")
@step.do("charge", config=retries)
async def charge(ctx):
    LEDGER.note(f"charge {ctx.attempt}")
    return {"id": 7}
@step.do("mail", config=retries)
async def mail():
    LEDGER.note("mail")
    return "mailed"
return [await charge(), await mail()]
"""
LOOP = """
made = []
for n in range(3):
    @step.do("part", config={"retries": {"limit": 1, "delay": 10}})
    async def part():
        LEDGER.note(n)
        return n
    made.append(await part())
return made
"""


def tried(step: Step) -> list[tuple[str | None, str | None]]:
    """What each attempt was made to do, and the name of its error."""
    return [(attempt.injected, attempt.error and attempt.error["name"]) for attempt in step.attempts]


@story
async def test_the_next_attempts_fail_and_the_step_goes_on_when_they_have():
    async with playing(PAY) as (_, run):
        await run.break_step("charge", "fail", times=2)
        assert await run.result() == [{"id": 7}, "mailed"]
        charge = await run.step("charge")
        assert tried(charge) == [("fail", "InjectedError"), ("fail", "InjectedError"), (None, None)]
        assert [attempt.retry_delay_ms for attempt in charge.attempts] == [100, 100, None]
        assert tried(await run.step("mail")) == [(None, None)]
        assert (await run.state()).breaks == []
    assert LEDGER.take() == ["charge 3", "mail"]


@story
async def test_a_break_that_outlasts_the_retries_fails_the_step_with_an_error_its_code_can_catch():
    async with playing(PAY) as (_, run):
        await run.break_step("charge", "fail", times=9)
        with pytest.raises(WorkflowFailed, match=f"InjectedError: {breaks.ERROR_MESSAGE}"):
            await run.result()
        [left] = (await run.state()).breaks
        assert (left["left"], left["times"]) == (6, 9)
    body = PAY.replace(
        "return [",
        "from workers import InjectedError\ntry:\n    await charge()\nexcept InjectedError as error:\n    return "
        "str(error)\nreturn [",
    )
    async with playing(body) as (_, run):
        await run.break_step("charge", "fail", times=3)
        assert await run.result() == breaks.ERROR_MESSAGE


@story
async def test_an_attempt_times_out_at_once_with_the_step_s_own_timeout():
    async with playing(PAY) as (_, run):
        await run.break_step("charge", "timeout")
        await run.result()
        first, second = (await run.step("charge")).attempts
        assert first.error["message"] == "Execution timed out after 200ms"
        assert (first.ended_at - first.started_at, first.injected, second.injected) == (0, "timeout", None)


@story
async def test_a_slow_attempt_takes_its_time_and_is_still_under_the_step_s_timeout():
    async with playing(PAY) as (_, run):
        await run.break_step("charge", "slow", ms=150)
        await run.break_step("mail", "slow", ms=5_000)
        assert await run.result() == [{"id": 7}, "mailed"]
        [slow] = (await run.step("charge")).attempts
        assert (slow.ended_at - slow.started_at, slow.injected) == (150, "slow")
        late, again = (await run.step("mail")).attempts
        assert (late.error["message"], late.injected, again.injected) == (
            "Execution timed out after 200ms",
            "slow",
            None,
        )


@story
async def test_a_given_value_is_returned_and_the_step_does_not_run():
    async with playing(PAY) as (_, run):
        await run.break_step("charge", "return", value={"id": [None, "none"]})
        assert await run.result() == [{"id": [None, "none"]}, "mailed"]
        charge = await run.step("charge")
        assert (tried(charge), charge.output) == ([("return", None)], {"id": [None, "none"]})
    assert LEDGER.take() == ["mail"]


@story
async def test_a_break_of_one_call_goes_before_one_of_every_call_of_the_name():
    async with playing(LOOP) as (_, run):
        pass
    async with WorkflowTester(workflow(LOOP)) as tester:
        given = (NewBreak("part", None, "return", 2, value="any"), NewBreak("part", 2, "fail"))
        run = await tester.create(breaks=given)
        assert await run.result() == ["any", "any", 2]
        assert tried(await run.step("part", count=2)) == [("fail", "InjectedError"), ("return", None)]
    assert 2 in LEDGER.take()


@story
async def test_it_survives_the_worker_and_the_server_and_is_of_this_instance_only():
    async with playing(PAY) as (tester, run):
        other = await tester.create()
        await run.break_step("charge", "fail", times=3)
        await run.break_step("mail", "return", value="not sent")
        await run.wait_for_step("first", status="sleeping")
        await run.kill_worker()
        await tester.restart_server()
        with pytest.raises(WorkflowFailed):
            await run.result()
        assert [how for how, _ in tried(await run.step("charge"))] == ["fail"] * 3
        assert await other.result() == [{"id": 7}, "mailed"]


@story
async def test_a_worker_that_dies_in_a_broken_attempt_has_used_it_up():
    async with playing(PAY) as (_, run):
        await run.break_step("charge", "slow", ms=100)
        await run.wait_for_step("charge", status="running")
        await run.kill_worker()
        assert await run.result() == [{"id": 7}, "mailed"]
        assert tried(await run.step("charge")) == [("slow", "WorkerLost"), (None, None)]


@story
async def test_clearing_takes_it_back_and_setting_again_replaces_it():
    async with playing(PAY) as (_, run):
        await run.break_step("charge", "fail", times=5)
        await run.break_step("charge", "fail", times=1)
        await run.break_step("mail", "fail")
        assert [(it["step"]["name"], it["times"]) for it in (await run.state()).breaks] == [("charge", 1), ("mail", 1)]
        await run.break_step("mail", None)
        await run.break_step("mail", None)  # nothing to take back any more
        await run.result()
        assert len((await run.step("charge")).attempts) == 2
        assert len((await run.step("mail")).attempts) == 1
        assert (await run.types(ev.BREAK_SET, ev.BREAK_CLEARED)).count(ev.BREAK_CLEARED) == 1


@story
async def test_a_restart_keeps_what_is_not_used_up_and_may_break_more():
    async with playing(PAY) as (tester, run):
        await run.break_step("mail", "return", times=2, value="not sent")
        assert await run.result() == [{"id": 7}, "not sent"]
        with pytest.raises(InstanceInFiniteState, match="Restart it with `breaks`"):
            await run.break_step("charge", "fail")
        row = await run.row()
        await tester.call(lambda engine: engine.restart(row, None, [NewBreak("charge", None, "return", value=0)]))
        assert await run.result() == [0, "not sent"]
        await run.restart()
        assert await run.result() == [{"id": 7}, "mailed"]


@story
async def test_what_makes_no_sense_is_refused_and_nothing_is_changed():
    async with playing(PAY) as (_, run):
        for given in (
            {"how": "explode"},
            {"how": "fail", "times": 0},
            {"how": "fail", "times": 1_001},
            {"how": "slow"},
            {"how": "slow", "ms": 60_000},
        ):
            with pytest.raises(CannotBreak):
                await run.break_step("charge", **given)
        with pytest.raises(CannotBreak, match="max length"):
            await run.break_step("x" * 300, "fail")
        with pytest.raises(TooLarge):
            await run.break_step("charge", "return", value="x" * (breaks.MAX_VALUE_BYTES + 1))
        assert await run.types(ev.BREAK_SET) == []
        for n in range(breaks.MAX_BREAKS):
            await run.break_step(f"step {n}", "fail")
        with pytest.raises(CannotBreak, match="20 breaks"):
            await run.break_step("charge", "fail")


@story
async def test_an_armed_kill_waits_for_its_moment_over_hibernation_and_a_dead_server_and_can_be_taken_back():
    async with playing(PAY) as (tester, run):
        await run.wait_for_step("first", status="sleeping")
        await run.kill_worker("during-step")
        await tester.advance("20 seconds")
        # Hibernated.
        assert (await run.types(ev.EXECUTION_ENDED), (await run.state()).armed) == (
            [ev.EXECUTION_ENDED],
            "during-step",
        )
        await tester.restart_server()
        assert await run.result() == [{"id": 7}, "mailed"]
        assert tried(await run.step("charge")) == [(None, "WorkerLost"), (None, None)]
        assert (await run.state()).armed is None
    async with playing(PAY) as (tester, run):
        await run.wait_for_step("first", status="sleeping")
        await run.kill_worker("before-commit")
        await tester.advance("20 seconds")
        await run.kill_worker("never")
        await run.kill_worker("never")  # which changes nothing more
        assert await run.result() == [{"id": 7}, "mailed"]
        assert [len((await run.step(name)).attempts) for name in ("charge", "mail")] == [1, 1]
        assert await run.types(ev.KILL_DISARMED) == [ev.KILL_DISARMED]


@story
async def test_real_workers_know_a_break_before_and_during_their_life():
    body = """
    @step.do("early")
    async def early():
        return "ran"
    @step.do("late")
    async def late():
        return "ran"
    first = await early()
    await step.wait_for_event("go", "go")
    return [first, await late()]
    """
    async with isolated(body) as (tester, run):
        await run.break_step("late", "return", value="given")
        await run.wait_for_step("go", status="waiting")
        await run.send_event("go")
        assert await run.result() == ["ran", "given"]
        again = await tester.create(breaks=[NewBreak("early", None, "return", value={"at": {"$datetime": "x"}})])
        await again.wait_for_step("go", status="waiting")
        await again.break_step("late", "fail")
        await again.send_event("go")
        late = await again.wait_for_step("late", status="retrying")
        assert (tried(late), (await again.step("early")).attempts[0].injected) == (
            [("fail", "InjectedError")],
            "return",
        )


CLAIMS: dict[str, Any] = {
    "a break that nobody set": (NewBreak("other", None, "fail"), [do(broken=2)]),
    "a break of another step": (NewBreak("s", 2, "fail"), [do(broken=2)]),
    "a break that is used up": (
        NewBreak("s", None, "return", value=1),
        [do(broken=2), done(value=1), do(count=2, broken=2)],
    ),
    "a result of what was to fail": (NewBreak("s", None, "fail"), [do(broken=2), done(value="forged")]),
}


@pytest.mark.parametrize("said", CLAIMS)
@story
async def test_a_worker_that_claims_what_is_not_so_is_ended(said: str, tmp_path: Path):
    broken, words = CLAIMS[said]
    async with staged(tmp_path) as stage:
        row, puppet = await stage.begin(breaks=[broken])
        await puppet.say(*words)
        state = await stage.end(row)
        assert state.error["name"] == "LimitExceeded"
        assert "protocol: the worker" in state.error["message"]


@story
async def test_what_is_written_of_a_broken_attempt_is_the_break_s_whatever_the_worker_says(tmp_path: Path):
    async with staged(tmp_path) as stage:
        row, puppet = await stage.begin(
            breaks=[NewBreak("s", None, "return", value="given"), NewBreak("t", None, "fail")]
        )
        await puppet.say(do(broken=2), done(value="forged"))
        assert (await puppet.hear())["op"] == "ok"
        error = {"name": "Forged", "message": "forged"}
        await puppet.say(
            do("t", broken=3), frame(op="fail", step=["do", "t", 1], attempt=1, error=error, retryable=True)
        )
        await puppet.hear()
        await puppet.say(frame(op="finish", output=None))
        state = await stage.end(row)
        given, failed = state.steps.values()
        assert (given.output, failed.error["name"]) == ("given", "InjectedError")


def test_over_http_it_takes_the_control_token_and_is_listed_with_the_instance(site: Site):
    made = site.create(
        APPROVAL, breaks=[{"step": {"kind": "do", "name": "ask"}, "how": "return", "value": {"said": 1}}]
    )
    site.until(made, "wait_started")
    late = {"step": {"name": "later", "count": 2}, "how": "slow", "ms": 20}
    assert site.client.post(f"/api{made['url']}/break", json=late).status_code == 401
    assert site.operate(made, "break", late).status_code == 202
    shown = site.client.get(f"/api{made['url']}").json()
    [left] = shown["breaks"]
    assert left == {
        "id": left["id"],
        "step": {"kind": "do", "name": "later", "count": 2},
        "how": "slow",
        "times": 1,
        "left": 1,
        "ms": 20,
    }
    assert (shown["steps"][0]["output"], shown["steps"][0]["attempts"][0]["injected"]) == ({"said": 1}, "return")
    assert site.operate(made, "break", {**late, "how": None}).status_code == 202
    site.operate(made, "events/approved", {"by": "Ada"})
    assert site.finish(made)["breaks"] == []
    ended = site.operate(made, "break", late)
    assert code_of(ended) == (409, "instance.in_finite_state")
    again = {"from_step": {"name": "ask"}, "breaks": [{"step": {"name": "ask"}, "how": "return", "value": 2}]}
    assert site.operate(made, "restart", again).status_code == 202
    site.until(made, "workflow_restarted")
    site.operate(made, "events/approved", {})
    assert site.finish(made)["steps"][0]["output"] == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"step": {"name": "a"}}, 400, "body.invalid"),
        ({"step": {"name": "a", "kind": "sleep"}, "how": "fail"}, 400, "body.invalid"),
        ({"step": {"name": "a", "count": 0}, "how": "fail"}, 400, "body.invalid"),
        ({"step": {"name": "a"}, "how": "burn"}, 400, "body.invalid"),
        ({"step": {"name": "a"}, "how": "slow"}, 409, "instance.cannot_break"),
        ({"step": {"name": "a"}, "how": "return", "value": "x" * 20_000}, 413, "too_large"),
    ],
)
def test_over_http_what_makes_no_sense_is_refused(site: Site, body: Any, status: int, code: str):
    made = site.create(APPROVAL)
    answer = site.operate(made, "break", body)
    assert code_of(answer) == (status, code)
    assert site.client.get(f"/api{made['url']}").json()["breaks"] == []
    created = site.client.post("/api/instances", json={"source": APPROVAL, "breaks": [body]})
    assert code_of(created) == (status, code)
