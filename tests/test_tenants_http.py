"""Tenants over HTTP: deploy, start, list, steer and migrate with a key; secrets, and a trigger with a secret of its
own.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dispatch_support import workflow
from http_support import MakeSite, Site, code_of
from tenants_support import ECHO, WAITS, Tenant, make_key

from playground import commands
from playground.settings import ENV_PREFIX
from playground.workflows.errors import VARIABLE_PREFIX


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(idle_grace_ms=100)


@pytest.fixture(scope="module")
def acme(site: Site) -> Tenant:
    return Tenant(site, "acme")


@pytest.fixture
def fresh(site: Site, request: pytest.FixtureRequest) -> Tenant:
    """A tenant of the test's own."""
    return Tenant(site, "t" + str(abs(hash(request.node.name)))[:12])


# Streams out of steps.


def test_a_tenants_streams_are_read_with_its_key(fresh: Tenant, acme: Tenant) -> None:
    fresh.deploy(workflow('await step.do("talk", lambda: self.env.STREAMS.append("tokens", "hello"))'))
    id = fresh.create()["id"]
    fresh.finish(id)
    (stream,) = fresh.ask("GET", f"/instances/{id}/streams").json()["streams"]
    assert (stream["name"], stream["values"]) == ("tokens", 1)
    answer = fresh.ask("GET", f"/instances/{id}/streams/tokens")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert '"number":1,"value":"hello"}' in answer.text and answer.text.count("event: end") == 1
    assert acme.ask("GET", f"/instances/{id}/streams/tokens").status_code == 404
    stranger = fresh.ask("GET", f"/instances/{id}/streams", headers={"Authorization": "Bearer nobody"})
    assert stranger.status_code in (401, 403)


# Code.


def test_a_deployed_version_has_a_number_a_hash_and_what_the_lint_found(fresh: Tenant) -> None:
    answer = fresh.ask("PUT", "/workflow", json={"source": "import random\n" + workflow("return random.random()")})
    made = answer.json()
    assert (answer.status_code, made["number"], made["created"], made["class_name"]) == (201, 1, True, "TenantWorkflow")
    assert any(it["severity"] == "warning" for it in made["diagnostics"]) and made["outline"] == []
    second = fresh.deploy(ECHO)
    same = fresh.ask("PUT", "/workflow", json={"source": ECHO})
    assert (same.status_code, same.json()["created"], same.json()["version"]) == (200, False, second["version"])
    listed = fresh.ask("GET", "/workflow").json()
    assert [it["number"] for it in listed["versions"]] == [2, 1] and listed["before"] is None
    page = fresh.ask("GET", "/workflow", params={"limit": 1}).json()
    assert page["before"] == 2
    assert [
        it["number"] for it in fresh.ask("GET", "/workflow", params={"before": page["before"]}).json()["versions"]
    ] == [1]
    assert fresh.ask("GET", f"/workflow/{second['version']}").json()["source"] == ECHO


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"source": "class TenantWorkflow(:"}, 422, "source.refused"),
        ({"source": "x = 1"}, 422, "source.refused"),
        ({"source": "x" * 70_000}, 413, "too_large"),
        ({"source": ECHO, "class_name": "not a name"}, 400, "workflow.invalid_name"),
        ({"source": 5}, 400, "body.invalid"),
        ({}, 400, "body.invalid"),
    ],
)
def test_what_can_not_be_deployed_is_refused_and_changes_nothing(
    fresh: Tenant, body: Any, status: int, said: str
) -> None:
    answer = fresh.ask("PUT", "/workflow", json=body)
    assert code_of(answer) == (status, said)
    if said == "source.refused":
        first = answer.json()["error"]["diagnostics"][0]
        assert first["line"] >= 1 and first["message"]
    assert fresh.ask("GET", "/workflow").json()["versions"] == []
    assert code_of(fresh.ask("POST", "/instances", json={})) == (404, "tenant.not_found")


def test_the_class_that_is_deployed_is_the_one_that_is_checked_and_run(fresh: Tenant) -> None:
    two = (
        ECHO.replace("TenantWorkflow", "Order")
        + "\nclass Refund(WorkflowEntrypoint):\n    async def run(self, event, step):\n        return 'refund'\n"
    )
    for name, output in (("Order", {"n": 1}), ("Refund", "refund")):
        fresh.deploy(two, class_name=name)
        assert fresh.finish(fresh.create(params={"n": 1})["id"])["output"] == output
    answer = fresh.ask("PUT", "/workflow", json={"source": two, "class_name": "Return"})
    assert (code_of(answer), "no class `Return`" in answer.text) == ((422, "source.refused"), True)


# Instances.


def test_an_instance_runs_the_newest_version_and_says_which(acme: Tenant) -> None:
    version = acme.deploy(ECHO)
    answer = acme.ask("POST", "/instances", json={"params": {"n": 1}, "id": "order-1"})
    made = answer.json()
    assert answer.headers["location"] == made["url"] == "/api/tenants/acme/instances/order-1"
    found = acme.finish("order-1")
    assert (found["output"], found["code_version"], found["url"]) == ({"n": 1}, version["version"], made["url"])
    assert acme.finish(acme.ask("POST", "/instances").json()["id"])["output"] == {}
    assert code_of(acme.ask("POST", "/instances", json={"id": "order-1"})) == (409, "instance.already_exists")
    assert code_of(acme.ask("POST", "/instances", json={"id": "no spaces"})) == (400, "instance.invalid_id")
    assert code_of(acme.ask("POST", "/instances", json={"version": "v9"})) == (404, "version.not_found")


def test_everything_that_can_be_asked_of_an_instance_can_be_asked_with_a_key(fresh: Tenant) -> None:
    fresh.deploy(WAITS)
    fresh.create(id="one")
    fresh.until("one", "waiting")
    assert fresh.ask("POST", "/instances/one/pause").status_code == 202
    assert fresh.until("one", "paused")["status"] == "paused"
    assert fresh.ask("POST", "/instances/one/resume").status_code == 202
    fresh.until("one", "waiting")
    assert fresh.ask("POST", "/instances/one/events/go", json={"yes": True}).status_code == 202
    assert fresh.finish("one")["output"] == {"yes": True}
    assert fresh.ask("GET", "/instances/one/effects").json() == {"effects": []}
    events = fresh.ask("GET", "/instances/one/events").json()["events"]
    with fresh.site.client.stream(
        "GET", "/api/tenants/" + fresh.name + "/instances/one/stream", headers={"Authorization": f"Bearer {fresh.key}"}
    ) as stream:
        data = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: [")]
    assert [event for batch in data for event in batch] == events
    assert fresh.ask("POST", "/instances/one/restart", json={}).status_code == 202
    fresh.until("one", "waiting")
    # It may have given its worker up.
    assert fresh.ask("POST", "/instances/one/kill-worker", json={}).status_code in (
        202,
        409,
    )
    assert fresh.ask("POST", "/instances/one/wake", json={}).status_code == 202
    assert fresh.finish("one")["error"]["name"] == "WorkflowTimeoutError"
    fresh.create(id="two")
    assert fresh.ask("POST", "/instances/two/terminate", json={}).status_code == 202
    assert fresh.ask("DELETE", "/instances/two").status_code == 204
    assert code_of(fresh.ask("GET", "/instances/two")) == (404, "instance.not_found")


def test_instances_are_listed_newest_first_by_status_and_in_pages(fresh: Tenant) -> None:
    fresh.deploy(WAITS)
    for number in range(5):
        fresh.create(id=f"i{number}", tags=["odd" if number % 2 else "even", "all"])
    for number in range(5):
        fresh.until(f"i{number}", "waiting")
    fresh.ask("POST", "/instances/i2/events/go", json=1)
    fresh.finish("i2")
    page = fresh.ask("GET", "/instances", params={"limit": 2}).json()
    assert [it["id"] for it in page["instances"]] == ["i4", "i3"] and page["before"] == "i3"
    page = fresh.ask("GET", "/instances", params={"limit": 3, "before": "i3"}).json()
    assert [it["id"] for it in page["instances"]] == ["i2", "i1", "i0"]
    waiting = fresh.ask("GET", "/instances", params={"status": "waiting", "limit": 2, "before": "i4"}).json()
    assert [it["id"] for it in waiting["instances"]] == ["i3", "i1"]
    assert waiting["counts"] == {
        "queued": 0, "running": 0, "waiting": 4, "waitingForPause": 0, "paused": 0, "complete": 1, "errored": 0,
        "terminated": 0,
    }  # fmt: skip
    assert all(it["waiting_until"] > it["started_at"] for it in waiting["instances"])
    found = fresh.ask(
        "GET", "/instances", params={"tag": ["all", "even"], "waiting_for": "go", "since": "1 hour"}
    ).json()
    assert [(it["id"], it["tags"]) for it in found["instances"]] == [("i4", ["even", "all"]), ("i0", ["even", "all"])]
    assert found["before"] is None
    for params in (
        {"status": "sleeping"},
        {"limit": 0},
        {"before": "gone"},
        {"since": "soon"},
        {"tag": ["x"] * 5 + ["", " "]},
    ):
        assert code_of(fresh.ask("GET", "/instances", params=params)) == (400, "query.invalid")


def test_a_batch_leaves_out_taken_ids_and_says_which(fresh: Tenant) -> None:
    fresh.deploy(ECHO)
    fresh.create(id="a")
    answer = fresh.ask("POST", "/instances/batch", json={"instances": [{"id": "a"}, {"id": "b", "params": 5}, {}]})
    made = answer.json()
    assert answer.status_code == 201 and next(it["id"] for it in made["created"]) == "b" and len(made["created"]) == 2
    assert [(it["index"], it["id"], it["code"]) for it in made["errors"]] == [(0, "a", 10405)]
    assert "left as it is" in made["errors"][0]["message"]
    assert fresh.finish("b")["output"] == 5
    for instances in ([], [{}] * 101):
        assert code_of(fresh.ask("POST", "/instances/batch", json={"instances": instances})) == (
            400,
            "workflow.invalid_batch",
        )
    assert code_of(fresh.ask("POST", "/instances/batch", json={"instances": [{"nope": 1}]})) == (400, "body.invalid")


def test_an_instance_is_migrated_where_its_history_fits(fresh: Tenant) -> None:
    fresh.deploy(
        workflow('await step.do("first", lambda: 1)\n' + 'got = await step.wait_for_event("go", "go")\nreturn "old"')
    )
    fresh.create(id="one")
    fresh.until("one", "waiting")
    new = fresh.deploy(
        workflow('await step.do("first", lambda: 1)\n' + 'got = await step.wait_for_event("go", "go")\nreturn "new"')
    )
    other = fresh.deploy(workflow('await step.do("another", lambda: 1)\nreturn 1'))
    refused = fresh.ask("POST", "/instances/one/migrate", json={"version": other["version"]})
    assert code_of(refused) == (409, "instance.cannot_migrate")
    assert (
        refused.json()["error"]["recorded"][0]["name"] == "first"
        and refused.json()["error"]["requested"][0]["name"] == "another"
    )
    assert fresh.ask("POST", "/instances/one/migrate", json={"version": new["version"]}).status_code == 202
    fresh.ask("POST", "/instances/one/events/go", json=1)
    assert fresh.finish("one")["output"] == "new"
    assert code_of(fresh.ask("POST", "/instances/one/migrate", json={"version": new["version"]})) == (
        409,
        "instance.cannot_migrate",
    )
    assert code_of(fresh.ask("POST", "/instances/one/migrate", json={"version": "v9"})) == (404, "version.not_found")
    assert code_of(fresh.ask("POST", "/instances/nope/migrate", json={"version": new["version"]})) == (
        404,
        "instance.not_found",
    )


def test_effects_show_what_happened_twice(fresh: Tenant) -> None:
    fresh.deploy(
        workflow(
            """
            @step.do("charge")
            async def charge(ctx):
                await self.env.EFFECTS.email("ada@example.com", key="once")
                await self.env.EFFECTS.charge(49)
                if ctx["attempt"] == 1:
                    print("charged")
                    await asyncio.sleep(60)

            return await charge()
            """
        )
    )
    fresh.create(id="one")
    with fresh.site.client.stream(
        "GET", f"/api/tenants/{fresh.name}/instances/one/stream", headers={"Authorization": f"Bearer {fresh.key}"}
    ) as stream:
        assert any("charged" in line for line in stream.iter_lines())
    assert fresh.ask("POST", "/instances/one/kill-worker", json={}).status_code == 202
    fresh.finish("one")
    effects = fresh.ask("GET", "/instances/one/effects").json()["effects"]
    assert [(it["id"], it["double_of"], it["attempt"], it["asked"]) for it in effects] == [
        ("email-1", None, 1, 2),
        ("charge-2", None, 1, 1),
        ("charge-3", "charge-2", 2, 1),
    ]


def test_an_anonymous_instance_has_a_ledger_too(site: Site) -> None:
    made = site.create(workflow("return (await self.env.EFFECTS.charge(5))['id']"))
    assert site.finish(made)["output"] == "charge-1"
    assert [it["data"] for it in site.client.get(f"/api{made['url']}/effects").json()["effects"]] == [{"amount": 5}]


# Secrets and the trigger.


def test_secrets_are_set_listed_and_removed_and_never_told(fresh: Tenant) -> None:
    fresh.deploy(workflow("return len(await self.env.SECRETS.get('TOKEN'))"))
    assert fresh.ask("PUT", "/secrets/TOKEN", json={"value": "sk_live_1"}).status_code == 204
    assert fresh.ask("PUT", "/secrets/OTHER", json={"value": "abcd"}).status_code == 204
    assert fresh.ask("DELETE", "/secrets/OTHER").status_code == 204
    assert fresh.ask("GET", "/secrets").json() == {"secrets": ["TOKEN"]}
    assert fresh.finish(fresh.create()["id"])["output"] == 9
    assert code_of(fresh.ask("PUT", "/secrets/no-good", json={"value": "abcd"})) == (400, "secret.invalid")
    assert code_of(fresh.ask("PUT", "/secrets/SHORT", json={"value": "x"})) == (400, "secret.invalid")
    assert code_of(fresh.ask("PUT", "/secrets/LONG", json={"value": "x" * 17_000})) == (413, "too_large")


def test_an_id_or_an_events_type_that_holds_a_secret_is_refused(fresh: Tenant) -> None:
    fresh.deploy(WAITS)
    fresh.ask("PUT", "/secrets/TOKEN", json={"value": "sk_live_1"})
    for path, body in (
        ("/instances", {"id": "run-sk_live_1"}),
        ("/instances/batch", {"instances": [{"id": "ok"}, {"id": "sk_live_1"}]}),
    ):
        refused = fresh.ask("POST", path, json=body)
        assert (
            code_of(refused) == (400, "instance.invalid_id")
            and "shown in the journal" in refused.text
            and "sk_live" not in refused.text
        )
    fresh.create(id="one")
    refused = fresh.ask("POST", "/instances/one/events/go-sk_live_1", json=1)
    assert code_of(refused) == (400, "workflow.invalid_event_type") and "sk_live" not in refused.text
    fresh.ask("POST", "/instances/one/events/go", json=1)
    assert fresh.finish("one")["output"] == 1
    assert [it["id"] for it in fresh.ask("GET", "/instances").json()["instances"]] == ["one"]


def test_a_trigger_starts_instances_without_a_key_until_it_is_taken_away(fresh: Tenant) -> None:
    client = fresh.site.client
    answer = fresh.ask("POST", "/trigger")
    url = answer.json()["url"]
    assert answer.status_code == 201 and code_of(client.post(url, json=1)) == (404, "tenant.not_found")
    fresh.deploy(ECHO)
    pulled = client.post(url, json={"ref": "main"})
    assert pulled.status_code == 202 and fresh.finish(pulled.json()["id"])["output"] == {"ref": "main"}
    assert fresh.finish(client.post(url).json()["id"])["output"] == {}
    queued = fresh.ask("GET", f"/instances/{pulled.json()['id']}/events").json()["events"][0]
    assert queued["data"]["trigger"] == "webhook"
    assert code_of(client.post(url, content=b"{")) == (400, "body.not_json")
    assert code_of(client.post(url[:-1] + ("A" if url[-1] != "A" else "B"), json=1)) == (404, "not_found")
    again = fresh.ask("POST", "/trigger").json()["url"]
    assert code_of(client.post(url, json=1)) == (404, "not_found") and client.post(again, json=1).status_code == 202
    assert fresh.ask("DELETE", "/trigger").status_code == 204
    assert code_of(client.post(again, json=1)) == (404, "not_found")


def test_a_trigger_called_twice_with_one_id_starts_one_run_and_answers_the_same(fresh: Tenant) -> None:
    client = fresh.site.client
    fresh.deploy(ECHO)
    url = fresh.ask("POST", "/trigger").json()["url"]
    first = client.post(url, params={"id": "delivery-1"}, json=1)
    second = client.post(url, params={"id": "delivery-1"}, json=2)
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"] == "delivery-1" and fresh.finish("delivery-1")["output"] == 1
    key = {"Idempotency-Key": "5f0c/any text, however it is written"}
    ids = {client.post(url, json=3, headers=key).json()["id"] for _ in range(3)}
    assert len(ids) == 1 and fresh.finish(ids.pop())["output"] == 3
    assert client.post(url, json=4, headers={"Idempotency-Key": "another"}).json()["id"] != first.json()["id"]
    assert (
        client.post(url, params={"id": "delivery-1"}, headers={"Idempotency-Key": "third"}).json()["id"] == "delivery-1"
    )
    assert (
        fresh.ask("GET", "/instances").json()["counts"]["complete"]
        + fresh.ask("GET", "/instances").json()["counts"]["queued"]
        <= 3
    )
    assert len(fresh.ask("GET", "/instances").json()["instances"]) == 3
    assert code_of(client.post(url, params={"id": "no spaces"})) == (400, "instance.invalid_id")
    assert code_of(client.post(url, headers={"Idempotency-Key": "x" * 300})) == (400, "query.invalid")


# Versions and tenants that go.


def test_a_version_is_deleted_under_the_name_of_its_workflow_and_under_the_short_one(fresh: Tenant) -> None:
    versions = [fresh.deploy(ECHO + f"# {number}\n")["version"] for number in range(4)]
    fresh.create(id="waits", version=fresh.deploy(WAITS)["version"])
    newest = fresh.deploy(ECHO)["version"]
    assert fresh.ask("DELETE", f"/workflows/main/{versions[0]}").status_code == 204
    assert fresh.ask("DELETE", f"/workflow/{versions[1]}").status_code == 204
    assert code_of(fresh.ask("GET", f"/workflow/{versions[0]}")) == (404, "version.not_found")
    assert code_of(fresh.ask("DELETE", f"/workflow/{versions[1]}")) == (404, "version.not_found")
    assert code_of(fresh.ask("DELETE", f"/workflows/other/{versions[2]}")) == (404, "version.not_found")
    assert code_of(fresh.ask("DELETE", f"/workflow/{newest}")) == (409, "version.needed")
    needed = fresh.ask("GET", "/instances/waits").json()["snippet"]
    assert code_of(fresh.ask("DELETE", f"/workflow/{needed}")) == (409, "version.needed")
    assert [it["number"] for it in fresh.ask("GET", "/workflow").json()["versions"]] == [6, 5, 4, 3]


def test_instances_that_are_alike_are_started_by_their_number_kept_for_a_while_and_deleted(fresh: Tenant) -> None:
    kept = {"success_retention": "1 day"}
    version = fresh.deploy(ECHO, retention={**kept, "error_retention": 3_600_000})
    assert version["retention"] == {"success_retention": 86_400_000, "error_retention": 3_600_000}
    body = {"count": 3, "params": {"n": 1}, "retention": {"success_retention": "2 hours"}}
    made = fresh.ask("POST", "/instances/batch", json=body).json()
    assert len(made["created"]) == 3 and made["errors"] == []
    ids = [it["id"] for it in made["created"]]
    for id, hours in ((ids[0], 2), (fresh.create()["id"], 24)):
        done = fresh.finish(id)
        assert done["kept_until"] == done["ended_at"] + hours * 3_600_000
    for bad, code in (
        ({}, "body.invalid"),
        ({"count": 1, "instances": []}, "body.invalid"),
        ({"instances": [{}], "params": 1}, "body.invalid"),
        ({"count": 101}, "workflow.invalid_batch"),
        ({"count": 1, "retention": {"error_retention": "9 days"}}, "workflow.invalid_retention"),
    ):
        assert code_of(fresh.ask("POST", "/instances/batch", json=bad)) == (400, code)
    assert code_of(fresh.ask("POST", "/instances", json={"retention": {"success_retention": "x"}})) == (
        400, "workflow.invalid_retention",
    )  # fmt: skip
    gone = fresh.ask("POST", "/instances/delete", json={"ids": [*ids, "nobody"]})
    assert gone.status_code == 200 and gone.json()["deleted"] == [{"id": id} for id in ids]
    assert [(it["id"], it["code"]) for it in gone.json()["errors"]] == [("nobody", 10400)]
    assert code_of(fresh.ask("GET", f"/instances/{ids[0]}")) == (404, "instance.not_found")
    assert code_of(fresh.ask("POST", "/instances/delete", json={"ids": []})) == (400, "workflow.invalid_batch")


def test_several_workflows_are_deployed_listed_started_and_deleted_by_their_names(fresh: Tenant) -> None:
    main = fresh.deploy(ECHO)
    mail = fresh.ask("PUT", "/workflows/mail", json={"source": WAITS, "limits": {"step_limit": 9}})
    assert (mail.status_code, mail.json()["workflow"], mail.json()["number"]) == (201, "mail", 1)
    version = mail.json()["version"]
    again = fresh.ask("PUT", "/workflows/main", json={"source": ECHO})
    assert (again.status_code, again.json()["version"]) == (200, main["version"]), "/workflow is the one named main"
    assert [
        (it["workflow"], it["number"], it["version"], it["limits"])
        for it in fresh.ask("GET", "/workflows").json()["workflows"]
    ] == [("mail", 1, version, {"step_limit": 9}), ("main", 1, main["version"], {})]
    listed = fresh.ask("GET", "/workflows/mail").json()
    assert (listed["name"], [it["version"] for it in listed["versions"]], listed["before"]) == ("mail", [version], None)
    assert fresh.ask("GET", f"/workflows/mail/{version}").json()["source"] == WAITS
    assert code_of(fresh.ask("GET", f"/workflows/main/{version}")) == (404, "version.not_found")
    assert code_of(fresh.ask("GET", "/workflows/post")) == (404, "workflow.not_found")

    made = fresh.create(id="letter", workflow="mail", params={})
    assert made["workflow"] == fresh.ask("GET", "/instances/letter").json()["workflow"] == "mail"
    batch = fresh.ask("POST", "/instances/batch", json={"workflow": "mail", "instances": [{"id": "other"}]}).json()
    assert [it["workflow"] for it in batch["created"]] == ["mail"]
    assert fresh.create(id="echo")["workflow"] == "main"
    for name, ids in (("mail", ["other", "letter"]), ("main", ["echo"]), ("post", [])):
        shown = fresh.ask("GET", "/instances", params={"workflow": name}).json()["instances"]
        assert [it["id"] for it in shown] == ids
    page = fresh.site.client.get(
        f"/tenants/{fresh.name}", headers={"Accept": "application/json", "Authorization": f"Bearer {fresh.key}"}
    ).json()
    assert page["workflows"] == [{"name": "mail", "number": 1}, {"name": "main", "number": 1}]

    for body, code in (
        ({"workflow": "post"}, (404, "workflow.not_found")),
        ({"workflow": "main", "version": version}, (404, "version.not_found")),
    ):
        assert code_of(fresh.ask("POST", "/instances", json=body)) == code
    for path, body, code in (
        ("/workflows/no%20spaces", {"source": ECHO}, "workflow.invalid_name"),
        ("/workflows/mail", {"source": ECHO, "limits": {"step_limit": 10**9}}, "workflow.invalid_limit"),
        ("/workflows/mail", {"source": ECHO, "limits": {"step_limit": "9"}}, "body.invalid"),
    ):
        assert code_of(fresh.ask("PUT", path, json=body)) == (400, code)

    fork = fresh.ask("POST", "/instances/letter/fork", json={}).json()["id"]
    assert fresh.ask("GET", f"/instances/{fork}").json()["workflow"] == "mail"
    assert code_of(fresh.ask("DELETE", f"/workflows/mail/{version}")) == (409, "version.needed")
    for id in ("letter", "other", fork):
        fresh.until(id, "waiting")
        fresh.ask("POST", f"/instances/{id}/events/go", json=5)
        assert fresh.finish(id)["output"] == 5
    assert fresh.ask("DELETE", f"/workflows/mail/{version}").status_code == 204
    assert [it["workflow"] for it in fresh.ask("GET", "/workflows").json()["workflows"]] == ["main"]


PARENT = workflow("""
if event["payload"].get("lost"):
    return await self.env.WORKFLOWS.run(workflow="post")
mail = await self.env.WORKFLOWS.run({"to": "lin"}, workflow="mail")
return {"mail": mail}
""")


def test_a_run_runs_another_of_the_tenants_workflows_as_its_child(fresh: Tenant, acme: Tenant) -> None:
    fresh.deploy(PARENT)
    version = fresh.ask("PUT", "/workflows/mail", json={"source": WAITS}).json()["version"]
    acme.deploy(ECHO)
    fresh.create(id="order")
    fresh.until("order", "waiting")
    [child] = fresh.ask("GET", "/instances/order/children").json()["children"]
    found = fresh.until(child["id"], "waiting")
    assert (found["workflow"], found["code_version"], found["params"]) == ("mail", version, {"to": "lin"})
    assert acme.ask("GET", f"/instances/{child['id']}").status_code == 404
    fresh.ask("POST", f"/instances/{child['id']}/events/go", json="sent")
    assert fresh.finish("order")["output"] == {"mail": "sent"}
    fresh.create(id="lost", params={"lost": True})
    error = fresh.finish("lost")["error"]
    assert error["name"] == "WorkflowNotFound" and '"post"' in error["message"], error


def test_the_operator_deletes_a_tenant_when_its_runs_have_ended_or_ends_them(make_site: MakeSite) -> None:
    site = make_site(operator_token="the operator", idle_grace_ms=100)
    acme, other = Tenant(site, "acme"), Tenant(site, "other")
    operator = {"Authorization": "Bearer the operator"}
    for tenant in (acme, other):
        tenant.deploy(WAITS)
        tenant.create(id="one")
    for refused, headers in (
        ((401, "operator.token_missing"), {}),
        ((403, "operator.token_wrong"), {"Authorization": f"Bearer {acme.key}"}),
    ):
        assert code_of(site.client.delete("/api/tenants/acme", headers=headers)) == refused
    answer = site.client.delete("/api/tenants/acme", headers=operator)
    assert code_of(answer) == (409, "tenant.unfinished") and answer.json()["error"]["unfinished"] == 1
    assert acme.until("one", "waiting", "running")["id"] == "one", "nothing has changed"
    assert code_of(site.client.delete("/api/tenants/acme?end=perhaps", headers=operator)) == (400, "query.invalid")
    answer = site.client.delete("/api/tenants/acme?end=true", headers=operator)
    assert (answer.status_code, answer.json()) == (200, {"tenant": "acme", "instances": 1})
    assert code_of(acme.ask("GET", "/instances")) == (403, "key.wrong")
    assert [
        it["name"]
        for it in site.client.get("/tenants", headers={**operator, "Accept": "application/json"}).json()["tenants"]
    ] == ["other"]
    assert code_of(site.client.delete("/api/tenants/acme", headers=operator)) == (404, "tenant.not_found")
    assert (
        other.ask("POST", "/instances/one/events/go", json=1).status_code == 202 and other.finish("one")["output"] == 1
    )


def test_a_batch_that_is_refused_names_the_entry_over_http(fresh: Tenant) -> None:
    fresh.deploy(ECHO)
    answer = fresh.ask("POST", "/instances/batch", json={"instances": [{}, {"id": "fine"}, {"id": "no spaces"}]})
    assert code_of(answer) == (400, "instance.invalid_id")
    error = answer.json()["error"]
    assert error["index"] == 2 and error["message"].startswith("Entry 2 of the batch: ")
    assert fresh.ask("GET", "/instances").json()["instances"] == []


def test_a_limit_is_named_by_its_setting_and_its_variable(make_site: MakeSite) -> None:
    acme = Tenant(make_site(value_bytes=1_000), "acme")
    acme.deploy(ECHO)
    error = acme.ask("POST", "/instances", json={"params": "x" * 2_000}).json()["error"]
    assert (error["setting"], error["variable"]) == ("value_bytes", "PLAYGROUND_VALUE_BYTES")
    assert error["message"].endswith("The setting is value_bytes (PLAYGROUND_VALUE_BYTES).")
    assert ENV_PREFIX == f"{VARIABLE_PREFIX}_", "where it is said and where it is read"


# Keys.


def test_keys_are_made_listed_and_revoked_while_the_server_runs(site: Site) -> None:
    tenant = Tenant(site, "keys")
    tenant.deploy(ECHO)
    second = Tenant(site, "keys", make_key(site, "keys"))
    assert second.ask("GET", "/workflow").status_code == 200
    database = ["--database", site.settings.database]
    commands.run(["tenant-key", "revoke", "keys", "1", *database], {}, lambda line: None)
    assert code_of(tenant.ask("GET", "/workflow")) == (403, "key.revoked")
    assert second.ask("GET", "/workflow").status_code == 200
    said: list[str] = []
    commands.run(["tenant-key", "list", "keys", *database], {}, said.append)
    assert ["revoked" in line for line in said] == [True, False]
    assert not any(tenant.key in line or second.key in line for line in said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tenant-key", "create", "no good"], "tenant name"),
        (["tenant-key", "revoke", "nobody", "1"], "has no key 1"),
        (["tenant-key", "revoke", "acme", "x"], "invalid int value"),
        (["tenant-key"], "required: action"),
        (["nothing"], "invalid choice"),
        (["tenant-key", "create", "a", "--name", "x" * 61], "at most 60"),
        (["tenant-key", "list", "a", "--database", "mysql://x"], "cannot be opened"),
    ],
)
def test_a_command_that_can_not_be_done_says_why(site: Site, arguments: list[str], said: str) -> None:
    with pytest.raises(commands.BadCommand, match=said):
        commands.run(arguments, {"PLAYGROUND_DATABASE": site.settings.database}, lambda line: None)


def test_the_server_goes_on_where_it_was_after_a_restart(fresh: Tenant) -> None:
    version = fresh.deploy(WAITS)
    fresh.create(id="held")
    fresh.until("held", "waiting")
    fresh.deploy(ECHO)
    fresh.site.stop()
    fresh.site.start()
    fresh.ask("POST", "/instances/held/events/go", json="after the restart")
    found = fresh.finish("held")
    assert (found["output"], found["code_version"]) == ("after the restart", version["version"])


def test_what_the_document_says_can_be_copied_and_pasted(site: Site) -> None:
    root = Path(__file__).parent.parent
    text = (root / "docs" / "tenants.md").read_text("utf-8")
    block = next(it for it in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "/workflow" in it)
    shell = (
        block.replace("KEY=pk_…", "")
        .replace("http://127.0.0.1:8000", f"http://127.0.0.1:{site.port}")
        .replace("python3", sys.executable)
    )
    shell = shell.replace("\ncurl", "\necho; curl")
    environment = {**os.environ, "KEY": make_key(site, "acme")}
    done = subprocess.run(
        ["sh", "-c", shell], cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    deployed, made, sent, found = (json.loads(line) for line in done.stdout.split("\n") if line)
    assert deployed["created"] and deployed["diagnostics"] == [] and made["id"] == sent["id"] == found["id"] == "desk-1"
    assert Tenant(site, "acme").finish("desk-1")["output"] == {"order": "A-1001", "item": "standing desk"}
