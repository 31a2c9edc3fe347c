"""Operations on many runs: a dry run says what fits, the set is fixed, each run is done or has a reason, and a server
that died on the way is no matter.
"""

from typing import Any

import pytest
from dispatch_support import workflow
from http_support import MakeSite, Site
from limits_support import refused
from tenants_support import ECHO, Tenant

from playground.store.bulks import Bulk, Target

WAITS = workflow(
    'first = await step.do("first", lambda: 1)\n'
    'got = await step.wait_for_event("go", "go", timeout="1 hour")\nreturn got["payload"]'
)


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(idle_grace_ms=100, bulk_per_second=1_000)


@pytest.fixture
def acme(site: Site, request: pytest.FixtureRequest) -> Tenant:
    return Tenant(site, "b" + str(abs(hash(request.node.name)))[:12])


def bulk(tenant: Tenant, operation: str, **more: Any) -> dict[str, Any]:
    """An operation that has ended."""
    answer = tenant.ask("POST", "/bulk", json={"operation": operation, **more})
    assert answer.status_code == 202, answer.text
    return ended(tenant, answer.json()["id"])


def ended(tenant: Tenant, id: str) -> dict[str, Any]:
    while True:
        found = dict(tenant.ask("GET", f"/bulk/{id}").json())
        if found["state"] != "running":
            return found


def counted(found: dict[str, Any]) -> tuple[int, int, int, int]:
    return found["matched"], found["done"], found["unchanged"], found["failed"]


def statuses(tenant: Tenant) -> dict[str, str]:
    return {it["id"]: it["status"] for it in tenant.ask("GET", "/instances").json()["instances"]}


def test_all_that_fit_are_ended_and_nothing_else_is_touched(acme: Tenant, site: Site) -> None:
    acme.deploy(WAITS)
    other = Tenant(site, acme.name + "x")
    other.deploy(WAITS)
    other.create(id="a0", tags=["batch"])
    for number in range(12):
        acme.create(id=f"a{number}", tags=["batch"] if number < 10 else [])
    for number in range(12):
        acme.until(f"a{number}", "waiting")
    for id in ("a0", "a1"):
        acme.ask("POST", f"/instances/{id}/events/go", json=1)
        acme.finish(id)
    asked = {"filter": {"tag": "batch"}}
    dry = acme.ask("POST", "/bulk", json={"operation": "terminate", "dry_run": True, **asked}).json()
    assert dry == {"matched": 10, "unchanged": 2, "ids": ["a9", "a8", "a7", "a6", "a5"]}
    assert "terminated" not in statuses(acme).values()
    assert counted(bulk(acme, "pause", **asked)) == (10, 8, 2, 0)
    assert counted(bulk(acme, "resume", **asked)) == (10, 8, 2, 0)
    done = bulk(acme, "terminate", **asked)
    assert counted(done) == (10, 8, 2, 0) and done["state"] == "done" and done["rate"] > 0
    assert done["filter"] == {"tags": ["batch"]} and done["operation"] == "terminate"
    now = statuses(acme)
    assert {now[f"a{number}"] for number in range(2, 10)} == {"terminated"}
    assert {now["a0"], now["a1"]} == {"complete"} and now["a10"] == now["a11"] == "waiting"
    assert other.until("a0", "waiting")["status"] == "waiting"
    assert [it["operation"] for it in acme.ask("GET", "/bulk").json()["bulks"]] == ["terminate", "resume", "pause"]
    assert other.ask("GET", f"/bulk/{done['id']}").status_code == 404
    assert counted(bulk(acme, "delete", filter={"status": "terminated"})) == (8, 8, 0, 0)
    assert set(statuses(acme)) == {"a0", "a1", "a10", "a11"}
    said = [(it["action"], it["target"]) for it in acme.ask("GET", "/audit").json()["entries"]]
    assert said[0] == ("bulk.begin", 'delete {"statuses":["terminated"]}')
    assert [action for action, _ in said].count("bulk.begin") == 4, "a dry run has none"


def test_runs_are_restarted_from_a_step_and_forked_onto_new_code_and_who_cannot_be_says_why(acme: Tenant) -> None:
    acme.deploy(WAITS)
    acme.create(id="has", tags=["old"])
    acme.until("has", "waiting")
    acme.ask("POST", "/instances/has/events/go", json="old")
    acme.finish("has")
    version = acme.deploy(ECHO)["version"]
    acme.create(id="not", tags=["old"], params=5)
    acme.finish("not")
    found = bulk(acme, "restart", filter={"tag": "old"}, from_step={"name": "go", "kind": "wait"})
    assert counted(found) == (2, 1, 0, 1)
    [failure] = found["failures"]
    assert failure["id"] == "not" and failure["code"] == "instance.cannot_restart" and "no step" in failure["message"]
    assert acme.until("has", "waiting")["generation"] == 2
    forked = bulk(acme, "fork", filter={"tag": "old"}, version="newest", from_step={"name": "first"})
    assert counted(forked) == (2, 1, 0, 1) and forked["failures"][0]["code"] == "instance.cannot_fork"
    [made] = [id for id in statuses(acme) if id not in ("has", "not")]
    shown = acme.finish(made)
    assert shown["code_version"] == version and shown["trigger"]["of"] == "has" and shown["tags"] == ["old"]


def test_what_a_server_left_half_done_is_carried_on_and_a_restart_happens_once(acme: Tenant, site: Site) -> None:
    acme.deploy(WAITS)
    for number in range(3):
        acme.create(id=f"r{number}")
        acme.until(f"r{number}", "waiting")
    store = site.context.store
    rows = {number: site.call(store.find(acme.name, f"r{number}")) for number in range(3)}
    acme.ask("POST", "/instances/r0/restart", json={})
    targets = [Target(row.key, row.generation) for row in rows.values()] + [Target(2**40, 1)]
    left = Bulk(acme.name, "left", {"operation": "restart"}, {}, "running", len(targets), 0, due_at=0)
    assert site.call(store.bulks.create(left, targets, most=9, kept=9))
    bulk(acme, "pause", filter={"tag": "nothing"})  # wakes who carries them out
    found = ended(acme, "left")
    assert counted(found) == (4, 2, 1, 1) and found["failures"][0]["code"] == "bulk.restarted"
    assert [acme.until(f"r{n}", "waiting")["generation"] for n in range(3)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"operation": "explode"}, "bulk.invalid"),
        ({"operation": "pause", "rollback": True}, "bulk.invalid"),
        ({"operation": "pause", "from_step": {"name": "a"}}, "bulk.invalid"),
        ({"operation": "restart", "version": "v"}, "bulk.invalid"),
        ({"operation": "pause", "filter": {"statos": "x"}}, "filter.invalid"),
    ],
)
def test_what_makes_no_sense_is_refused(acme: Tenant, body: dict[str, Any], code: str) -> None:
    answer = acme.ask("POST", "/bulk", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert acme.ask("POST", "/bulk/none/stop").json()["error"]["code"] == "bulk.not_found"


def test_runs_of_one_operation(make_site: MakeSite) -> None:
    acme = Tenant(make_site(bulk_runs=2), "acme")
    acme.deploy(WAITS)
    for id in ("a", "b"):
        acme.create(id=id)
    assert counted(bulk(acme, "pause")) == (2, 2, 0, 0)
    acme.create(id="c")
    said = refused(acme.ask("POST", "/bulk", json={"operation": "pause"}), 400, "bulk_runs")
    assert "More than 2 runs fit" in said and "Narrow the filter" in said


def test_operations_at_once_and_one_that_is_stopped_half_way(make_site: MakeSite) -> None:
    site = make_site(bulks_per_tenant=1, bulk_per_second=1)
    acme = Tenant(site, "acme")
    acme.deploy(WAITS)
    acme.ask("POST", "/instances/batch", json={"count": 12})
    first = acme.ask("POST", "/bulk", json={"operation": "pause"}).json()
    said = refused(acme.ask("POST", "/bulk", json={"operation": "pause"}), 409, "bulks_per_tenant")
    assert acme.ask("POST", f"/bulk/{first['id']}/stop").json()["state"] == "stopped"
    assert acme.ask("POST", "/bulk", json={"operation": "pause"}).status_code == 202
    assert "1 operations on many runs are under way" in said and "stop it" in said
