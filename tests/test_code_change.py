"""Other code under a living instance: paused, waiting and running ones go on with it; what does not fit is refused with
both histories.
"""

from typing import Any

import pytest
from http_support import Site, code_of
from tenants_support import Tenant

HEAD = """\
from workers import WorkflowEntrypoint
import asyncio


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def quick():
            return "quick"
        async def slow():
            await asyncio.sleep(%s)
            return "slow"
"""
WAITS = (
    HEAD % 0
    + """\
        await step.do("first", quick)
        await step.do("second", quick)
        got = await step.wait_for_event("approval", "approved", timeout="1 hour")
        return "old"
"""
)
RUNS = (
    HEAD % 50
    + """\
        await step.do("first", quick)
        return await step.do("long", slow)
"""
)


def change(site: Site, made: dict[str, Any], source: str) -> Any:
    return site.operate(made, "code", {"source": source})


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def versions(site: Site, made: dict[str, Any]) -> list[str]:
    return [event["data"]["code_version"] for event in site.journal(made) if event["type"] == "execution_started"]


@pytest.fixture
def waiting(site: Site) -> dict[str, Any]:
    """An instance that has done two steps and waits for an event."""
    made = site.create(WAITS)
    site.until(made, "workflow_waiting")
    return made


def test_a_waiting_instance_goes_on_with_the_code_at_once(site: Site, waiting: dict[str, Any]) -> None:
    answer = change(site, waiting, WAITS.replace('"old"', 'got["payload"]'))
    assert answer.status_code == 202, answer.text
    site.until(waiting, "code_changed")
    site.operate(waiting, "events/approved", "new")
    shown = site.finish(waiting)
    assert shown["output"] == "new" and shown["snippet"] != waiting["snippet"]
    (changed,) = shown["code_changes"]
    assert (changed["from"], changed["snippet"]) == (waiting["snippet"], shown["snippet"])
    assert versions(site, waiting) == [waiting["snippet"], shown["snippet"]]
    assert types(site.journal(waiting)).count("step_started") == 2


def test_a_running_instance_loses_its_worker_and_tries_again_with_the_code(site: Site) -> None:
    made = site.create(RUNS)
    for name, events in site.follow(made):
        if name == "journal" and any(
            (event.get("step") or {}).get("name") == "long" and event["type"] == "attempt_started" for event in events
        ):
            break
    assert change(site, made, RUNS.replace("50", "0")).status_code == 202
    shown = site.finish(made)
    assert shown["output"] == "slow"
    long = next(step for step in shown["steps"] if step["name"] == "long")
    assert [attempt.get("error", {}).get("name") for attempt in long["attempts"]] == ["WorkerLost", None]
    assert [execution["reason"] for execution in shown["executions"]] == ["evicted", "completed"]


def test_a_paused_instance_stays_paused_and_resumes_on_the_code(site: Site, waiting: dict[str, Any]) -> None:
    assert site.operate(waiting, "pause").status_code == 202
    site.until(waiting, "workflow_paused")
    assert change(site, waiting, WAITS.replace('"old"', '"new"')).json()["status"] == "paused"
    site.operate(waiting, "resume")
    site.operate(waiting, "events/approved", True)
    assert site.finish(waiting)["output"] == "new"


def test_code_that_does_not_come_to_a_recorded_step_is_refused_with_both_lists(
    site: Site, waiting: dict[str, Any]
) -> None:
    before = site.journal(waiting)
    answer = change(site, waiting, WAITS.replace('"second"', '"renamed"'))
    assert code_of(answer) == (409, "version.does_not_fit")
    error = answer.json()["error"]
    assert [step["name"] for step in error["recorded"]] == ["first", "second", "approval"]
    assert [step["name"] for step in error["requested"]] == ["first", "renamed"]
    assert error["recorded"][1]["kind"] == "do" and '"second"' in error["message"]
    after = site.journal(waiting)[len(before) :]  # that it waits may have been written meanwhile
    assert not {"code_changed", "execution_ended"} & {event["type"] for event in after}
    site.operate(waiting, "events/approved", True)
    assert site.finish(waiting)["output"] == "old"


def test_a_trial_in_which_the_code_speaks_for_its_worker_gets_an_answer_all_the_same(
    site: Site, waiting: dict[str, Any]
) -> None:
    """It names a step that the history does not hold as one that it did not come to."""
    frame = b'{"op":"replayed","unread":[["do","never was",1]],"wanted":[]}'
    forged = f"import os\nos.write(3, {len(frame).to_bytes(4, 'big') + frame!r})\n"
    assert change(site, waiting, forged + WAITS).status_code == 202
    assert site.finish(waiting)["error"]["name"] == "LimitExceeded"  # only a trial has such a frame


def test_the_same_code_again_changes_nothing(site: Site, waiting: dict[str, Any]) -> None:
    before = site.journal(waiting)
    assert change(site, waiting, WAITS).status_code == 202
    assert site.journal(waiting) == before
    site.operate(waiting, "terminate")


def test_bad_code_and_a_finished_run_are_refused(site: Site, waiting: dict[str, Any]) -> None:
    assert code_of(change(site, waiting, "def (")) == (422, "source.refused")
    assert code_of(site.client.post(f"/api{waiting['url']}/code", json={"source": WAITS})) == (401, "token.missing")
    assert code_of(site.operate(waiting, "code", {})) == (400, "body.invalid")
    site.operate(waiting, "terminate")
    assert code_of(change(site, waiting, WAITS)) == (409, "instance.in_finite_state")


def test_a_tenants_instance_goes_on_with_code_that_nobody_else_gets(site: Site) -> None:
    acme = Tenant(site, "code-acme")
    deployed = acme.deploy(WAITS)
    made = acme.create()
    acme.until(made["id"], "waiting")
    answer = acme.ask("POST", f"/instances/{made['id']}/code", json={"source": WAITS.replace('"old"', '"new"')})
    assert answer.status_code == 202, answer.text
    acme.ask("POST", f"/instances/{made['id']}/events/approved", json=1)
    assert acme.finish(made["id"])["output"] == "new"
    assert [it["version"] for it in acme.ask("GET", "/workflow").json()["versions"]] == [deployed["version"]]
