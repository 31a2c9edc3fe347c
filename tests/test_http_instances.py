"""The API over real HTTP: the way of an instance, and all that can be done to it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from http_support import APPROVAL, HELLO, Site, bearer, refused


def test_an_instance_runs_from_source_and_params_to_its_output(site: Site) -> None:
    answer = site.client.post("/api/instances", json={"source": HELLO, "params": {"name": "Ada"}})
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"id", "status", "url", "snippet", "control_token"}
    assert (made["status"], made["url"]) == ("queued", f"/instances/{made['id']}")
    assert answer.headers["location"] == f"/api/instances/{made['id']}"
    done = site.finish(made)
    assert (done["status"], done["output"], done["error"]) == ("complete", {"greeting": "Hello, Ada!"}, None)
    assert (done["id"], done["params"], done["snippet"], done["rollback"]) == (
        made["id"],
        {"name": "Ada"},
        made["snippet"],
        None,
    )
    assert done["created_at"] <= done["started_at"] <= done["ended_at"] < done["kept_until"]
    (step,) = done["steps"]
    assert {name: step[name] for name in ("kind", "name", "count", "line", "status", "output")} == {
        "kind": "do",
        "name": "greet",
        "count": 1,
        "line": 6,
        "status": "completed",
        "output": "Hello, Ada!",
    }
    assert [(it["attempt"], it["execution"]) for it in step["attempts"]] == [(1, 1)]
    assert [it["reason"] for it in done["executions"]] == ["completed"]


def test_an_instance_is_made_from_a_snippet_or_an_example(site: Site) -> None:
    stored = site.client.post("/api/snippets", json={"source": HELLO, "params": {"name": "Grace"}}).json()
    for body, greeting in (
        ({"snippet": stored["id"]}, "Hello, Grace!"),
        ({"snippet": stored["id"], "params": {"name": "Linus"}}, "Hello, Linus!"),
        ({"snippet": stored["id"], "params": None}, "Hello, world!"),
    ):
        made = site.client.post("/api/instances", json=body).json()
        assert made["snippet"] == stored["id"]
        assert site.finish(made)["output"] == {"greeting": greeting}
    made = site.client.post(
        "/api/instances", json={"example": "hello", "params": {"seconds": 0}, "skip_sleeps": True}
    ).json()
    assert site.finish(made)["status"] == "complete"


def test_a_chosen_id_is_taken_once(site: Site) -> None:
    site.create(id="my-run_1")
    site.log.clear()
    answer = site.client.post("/api/instances", json={"source": HELLO, "id": "my-run_1"})
    assert refused(site, answer)[:2] == (409, "instance.already_exists")


def test_the_journal_is_read_in_pages(site: Site) -> None:
    made = site.create()
    last_seq = site.finish(made)["last_seq"]
    seqs, after, more = [], 0, True
    while more:
        page = site.client.get(f"/api{made['url']}/events", params={"after": after, "limit": 3}).json()
        assert page["last_seq"] == last_seq
        seqs += [event["seq"] for event in page["events"]]
        after, more = seqs[-1], page["more"]
    assert seqs == list(range(1, last_seq + 1))
    beyond = site.client.get(f"/api{made['url']}/events", params={"after": last_seq}).json()
    assert beyond == {"events": [], "last_seq": last_seq, "more": False}


def test_an_event_ends_a_wait(site: Site) -> None:
    made = site.create(APPROVAL)
    site.until(made, "wait_started")
    waiting = site.client.get(f"/api{made['url']}").json()
    assert waiting["steps"][1] | {"started_at": 0, "until": 0} == {
        "kind": "wait",
        "name": "approval",
        "count": 1,
        "line": 11,
        "status": "waiting",
        "started_at": 0,
        "ended_at": None,
        "until": 0,
        "event_type": "approved",
    }
    answer = site.operate(made, "events/approved", {"by": "Ada"})
    assert answer.status_code == 202
    assert site.finish(made)["output"] == {"by": "Ada"}


@pytest.mark.parametrize("payload", [None, 0, "text", [1, 2], {"a": None}])
def test_a_payload_is_any_json(site: Site, payload: Any) -> None:
    made = site.create(APPROVAL)
    assert (
        site.client.post(
            f"/api{made['url']}/events/approved", content=json.dumps(payload), headers=bearer(made)
        ).status_code
        == 202
    )
    assert site.finish(made)["output"] == payload


ANSWERS = APPROVAL.replace(
    'return approval["payload"]',
    """if approval.payload == "late":
            approval.reject("too late")
        elif approval.payload:
            approval.reply({"got": approval.payload})
        return approval.payload""",
)


@pytest.mark.parametrize(
    ("payload", "status", "says"),
    [(7, 200, 7), ("late", 409, "event.rejected"), (0, 504, "event.not_answered")],
)
def test_who_sends_an_event_may_wait_for_the_reply(site: Site, payload: Any, status: int, says: Any) -> None:
    made = site.create(ANSWERS)
    site.log.clear()
    answer = site.operate(made, "events/approved?reply=1", payload)
    if status == 200:
        assert (answer.status_code, answer.json()) == (200, {"id": made["id"], "reply": {"got": says}})
    else:
        assert refused(site, answer)[:2] == (status, says)
    assert site.finish(made)["output"] == payload


def test_a_killed_worker_is_replaced_and_nothing_is_run_again(site: Site) -> None:
    made = site.create(APPROVAL)
    site.until(made, "wait_started")
    assert site.operate(made, "kill-worker", {"when": "now"}).status_code == 202
    site.operate(made, "events/approved", "yes")
    done = site.finish(made)
    assert (done["status"], done["output"]) == ("complete", "yes")
    assert [it["reason"] for it in done["executions"]] == ["killed", "completed"]
    assert [len(it["attempts"]) for it in done["steps"] if it["kind"] == "do"] == [1]


def test_terminate_pause_resume_restart_and_delete(site: Site) -> None:
    made = site.create(APPROVAL)
    site.until(made, "wait_started")
    assert site.operate(made, "pause").status_code == 202
    site.until(made, "workflow_paused")
    assert site.client.get(f"/api{made['url']}").json()["status"] == "paused"
    assert site.operate(made, "resume").status_code == 202
    site.until(made, "workflow_resumed")
    assert site.operate(made, "terminate").json()["status"] == "terminated"
    site.log.clear()
    assert refused(site, site.operate(made, "terminate", {}))[:2] == (409, "instance.cannot_terminate")
    assert site.operate(made, "restart").status_code == 202
    site.operate(made, "events/approved", "again")
    assert site.finish(made)["output"] == "again"
    site.log.clear()
    answer = site.operate(made, "restart", {"from_step": {"name": "nobody"}})
    assert refused(site, answer)[:2] == (409, "instance.cannot_restart")
    assert site.client.delete(f"/api{made['url']}", headers=bearer(made)).status_code == 204
    site.log.clear()
    assert refused(site, site.client.get(f"/api{made['url']}"))[:2] == (404, "instance.not_found")


@pytest.mark.parametrize(
    ("operation", "body"), [("wake", {"step": {"name": "nap", "kind": "sleep"}}), ("skip-sleeps", {})]
)
def test_a_sleep_is_ended_by_hand(site: Site, operation: str, body: dict[str, Any]) -> None:
    made = site.create(
        APPROVAL.replace('wait_for_event("approval", "approved", timeout="1 hour")', 'sleep("nap", "1 hour")').replace(
            'approval["payload"]', "approval"
        )
    )
    site.until(made, "sleep_started")
    assert site.operate(made, operation, body).status_code == 202
    over = site.finish(made)
    assert over["steps"][1]["virtual"] is True
    assert over["skips_sleeps"] is (operation == "skip-sleeps")


def test_sleeps_are_skipped_from_the_beginning(site: Site) -> None:
    source = HELLO.replace("return {", 'await step.sleep("nap", "1 hour")\n        return {')
    assert "nap" in source
    shown = site.finish(site.create(source, skip_sleeps=True))
    assert (shown["status"], shown["skips_sleeps"]) == ("complete", True)


def test_a_run_stands_for_the_next_firing_of_a_cron_expression(site: Site) -> None:
    source = HELLO.replace("return {", 'return dict(event["schedule"] or {}) or {')
    fired = site.finish(site.create(source, schedule="30 9 * * MON"))["output"]
    at = datetime.fromtimestamp(fired["scheduledTime"] / 1_000, UTC)
    assert (fired["cron"], f"{at:%a %H:%M:%S}") == ("30 9 * * MON", "Mon 09:30:00")
    assert "cron" not in site.finish(site.create(source))["output"]
    site.log.clear()
    assert refused(site, site.client.post("/api/instances", json={"source": source, "schedule": "9 *"}))[0] == 400
    example = site.client.post("/api/instances", json={"example": "on-a-schedule"}).json()
    assert site.finish(example)["output"]["fired"] == "Monday 09:00", "an example's own"


def test_nothing_to_wake_is_said(site: Site) -> None:
    made = site.create(HELLO)
    site.finish(made)
    site.log.clear()
    assert refused(site, site.operate(made, "wake"))[:2] == (409, "instance.nothing_to_wake")
    site.log.clear()
    assert refused(site, site.operate(made, "skip-sleeps"))[:2] == (409, "instance.in_finite_state")


@pytest.mark.parametrize("replays", [False, True], ids=["at start", "after replay"])
def test_a_worker_that_dies_again_and_again_ends_its_instance_and_no_other(site: Site, replays: bool) -> None:
    first = "        await step.do('one', lambda: 1)\n" if replays else ""
    head = (
        "import os\nfrom workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def "
        "run(self, event, step):\n"
    )
    source = f"{head}{first}        os._exit(1)\n"
    other = site.create(APPROVAL)
    done = site.finish(site.create(source))
    assert (done["status"], done["error"]["name"]) == ("errored", "WorkerLostRepeatedly")
    assert "5 times in a row" in done["error"]["message"]
    crashed = [it["reason"] for it in done["executions"]]
    assert crashed == ["crashed"] * (6 if replays else 5)
    site.operate(other, "events/approved", "unharmed")
    ended = site.finish(other)
    assert (ended["output"], len(ended["executions"])) == ("unharmed", 1)
