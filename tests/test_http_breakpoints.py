"""Breakpoints over HTTP: for who has the control token of an anonymous run, and for a tenant with its key."""

from typing import Any

from http_support import APPROVAL, Site, code_of
from tenants_support import WAITS, Tenant

ORDER = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        made = []
        for name in ("charge", "ship", "mail"):
            made.append(await step.do(name, lambda name=name: {"done": name}))
        return made
"""


def stopped(site: Site, made: dict[str, Any], times: int = 1) -> dict[str, Any]:
    """The run as the API shows it once it has been paused so many times."""
    paused = 0
    for name, data in site.follow(made):
        paused += sum(event["type"] == "workflow_paused" for event in data) if name == "journal" else 0
        if paused == times:
            break
    return dict(site.client.get(f"/api{made['url']}").json())


def test_an_anonymous_run_is_stopped_stepped_and_given_a_result_and_an_error(site: Site):
    made = site.create(ORDER, breakpoints=[{"step": {"name": "charge"}}])
    shown = stopped(site, made)
    stop = shown["stopped_before"]
    assert (stop["kind"], stop["name"], stop["count"], stop["line"]) == ("do", "charge", 1, 8)
    assert (shown["status"], shown["steps"], shown["breakpoints"]) == ("paused", [], [{"step": {"name": "charge"}}])
    assert (
        site.client.post(f"/api{made['url']}/breakpoints", json={"step": {"name": "mail"}, "on": True}).status_code
        == 401
    )
    assert site.client.post(f"/api{made['url']}/continue", json={}).status_code == 401
    assert site.operate(made, "breakpoints", {"step": {"name": "mail"}, "on": True}).status_code == 202
    answer = site.operate(made, "continue", {"until": "next-commit", "output": {"big": {"$int": "9007199254740993"}}})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    shown = stopped(site, made, 2)
    assert shown["stopped_before"]["name"] == "ship"
    assert (shown["steps"][0]["output"], shown["steps"][0]["edited"]) == ({"big": {"$int": "9007199254740993"}}, True)
    assert site.operate(made, "continue", {"until": {"name": "mail", "kind": "do", "count": 1}}).status_code == 202
    assert stopped(site, made, 3)["stopped_before"]["name"] == "mail"
    assert site.operate(made, "breakpoints", {"step": {"name": "mail"}, "on": False}).status_code == 202
    failed = {"error": {"name": "ConnectionError", "message": "no post today"}}
    assert site.operate(made, "continue", failed).status_code == 202
    shown = site.finish(made)
    assert (shown["status"], shown["error"]["message"]) == ("errored", "no post today")
    mail = shown["steps"][2]
    assert (mail["status"], mail["edited"], mail["error"]["name"]) == ("errored", True, "ConnectionError")


def test_what_cannot_be_is_refused_with_its_code(site: Site):
    made = site.create(APPROVAL)
    site.until(made, "wait_started")
    refused = {
        "breakpoints": [
            ({"step": {"name": "x" * 300}, "on": True}, 409, "instance.cannot_break"),
            ({"step": {"count": 2}, "on": True}, 400, "body.invalid"),
            ({"step": {"name": "a", "kind": "loop"}, "on": True}, 400, "body.invalid"),
            ({"step": {"name": "a"}}, 400, "body.invalid"),
        ],
        "continue": [
            ({"output": 1}, 409, "instance.cannot_continue"),
            ({"error": {}}, 409, "instance.cannot_continue"),
            ({"output": 1, "error": {}}, 400, "body.invalid"),
            ({"error": {"line": 3}}, 400, "body.invalid"),
            ({"until": "for ever"}, 400, "body.invalid"),
            ({"input": 1}, 400, "body.invalid"),
        ],
    }
    for call, cases in refused.items():
        for body, status, code in cases:
            assert code_of(site.operate(made, call, body)) == (status, code), body
    site.operate(made, "terminate", {})
    assert code_of(site.operate(made, "breakpoints", {"step": {"name": "a"}, "on": True})) == (
        409,
        "instance.in_finite_state",
    )
    assert code_of(site.operate(made, "continue", {})) == (409, "instance.in_finite_state")
    again = {"breakpoints": [{"step": {"name": "ask"}}]}
    assert site.operate(made, "restart", again).status_code == 202
    assert stopped(site, made)["stopped_before"]["name"] == "ask"


def test_a_fork_begins_with_the_breakpoints_that_it_is_given(site: Site):
    acme = Tenant(site, "acme")
    acme.deploy(ORDER)
    parent = acme.create()["id"]
    acme.finish(parent)
    body = {"from_step": {"kind": "do", "name": "ship"}, "breakpoints": [{"step": {"name": "ship"}}]}
    fork = acme.ask("POST", f"/instances/{parent}/fork", json=body).json()["id"]
    assert acme.until(fork, "paused")["stopped_before"]["name"] == "ship"
    made = site.create(ORDER)
    site.finish(made)
    body["breakpoints"].append({"step": {"name": "mail"}})
    answer = site.client.post(f"/api{made['url']}/fork", json=body)
    assert [each["step"]["name"] for each in stopped(site, answer.json())["breakpoints"]] == ["ship", "mail"]
    answer = site.client.post(f"/api{made['url']}/fork", json={"breakpoints": [{"step": {}}]})
    assert code_of(answer) == (400, "body.invalid")


def test_a_tenant_stops_its_own_run_with_its_key_and_nobody_else_does(site: Site):
    acme, other = Tenant(site, "acme"), Tenant(site, "other")
    acme.deploy(WAITS)
    id = acme.create()["id"]
    acme.until(id, "waiting", "running")
    body = {"step": {"name": "never"}, "on": True}
    for call, sent in (("breakpoints", body), ("continue", {})):
        path = f"/api/tenants/acme/instances/{id}/{call}"
        assert site.client.post(path, json=sent).status_code == 401
        wrong = site.client.post(path, json=sent, headers={"Authorization": f"Bearer {other.key}"})
        assert wrong.status_code == 403
    assert acme.ask("POST", f"/instances/{id}/breakpoints", json=body).status_code == 202
    again = {"breakpoints": [{"step": {"name": "go", "kind": "wait"}}]}
    assert acme.ask("POST", f"/instances/{id}/restart", json=again).status_code == 202
    shown = acme.until(id, "paused")
    assert (shown["stopped_before"]["event_type"], len(shown["breakpoints"])) == ("go", 2)
    assert acme.ask("POST", f"/instances/{id}/continue", json={"output": ["given"]}).status_code == 202
    assert acme.finish(id)["output"] == ["given"]
