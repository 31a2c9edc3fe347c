"""Flow control over HTTP: what a tenant asks of a start, what the answers say, and the queue's explanation."""

import time

import pytest
from http_support import MakeSite, Site, code_of
from tenants_support import ECHO, WAITS, Tenant

ONE = {"concurrency_per_key": 1}


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(idle_grace_ms=100)


@pytest.fixture(scope="module")
def acme(site: Site) -> Tenant:
    tenant = Tenant(site, "acme")
    tenant.deploy(WAITS)
    return tenant


def test_the_queue_says_who_goes_before_and_why(acme: Tenant) -> None:
    ids = [acme.create(key="order-7", limits=ONE, params=n)["id"] for n in range(3)]
    acme.until(ids[0], "waiting")
    found = acme.ask("GET", f"/instances/{ids[2]}").json()
    assert found["status"] == "queued" and found["held_until"] is not None
    assert found["queue"] == {
        "reason": "concurrency",
        "text": "2 ahead of it: concurrency 1 for key order-7.",
        "key": "order-7",
        "priority": 0,
        "ahead": 2,
        "until": None,
    }
    listed = {it["id"]: it for it in acme.ask("GET", "/instances").json()["instances"]}
    assert listed[ids[2]]["queue"]["text"] == found["queue"]["text"] and listed[ids[0]]["queue"] is None
    acme.ask("POST", f"/instances/{ids[0]}/events/go", json="x")
    acme.until(ids[1], "waiting")
    assert acme.ask("GET", f"/instances/{ids[2]}").json()["queue"]["ahead"] == 1


def test_a_delay_and_a_rate_say_until_when(acme: Tenant) -> None:
    began = time.time() * 1000
    later = acme.create(delay="1 hour")["id"]
    queue = acme.ask("GET", f"/instances/{later}").json()["queue"]
    assert (queue["reason"], queue["text"]) == ("delay", "Starts when its time has come.")
    assert 3_599_000 < queue["until"] - began < 3_700_000
    rate = {"rate": {"count": 1, "seconds": 3600}}
    first, second = [acme.create(key="r", limits=rate)["id"] for _ in range(2)]
    acme.until(first, "waiting")
    queue = acme.ask("GET", f"/instances/{second}").json()["queue"]
    assert (queue["reason"], queue["text"]) == ("rate", "0 ahead of it: 1 start in 3,600 s for key r.")
    assert 3_590_000 < queue["until"] - began < 3_700_000


def test_a_singleton_answers_with_the_instance_that_there_is(acme: Tenant) -> None:
    first = acme.ask("POST", "/instances", json={"key": "one", "singleton": True, "params": 1})
    again = acme.ask("POST", "/instances", json={"key": "one", "singleton": True, "params": 2})
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (again.status_code, again.json()["created"], again.json()["id"]) == (200, False, first.json()["id"])
    assert again.headers["location"] == first.headers["location"]
    assert acme.ask("GET", f"/instances/{first.json()['id']}").json()["params"] == 1


def test_a_debounced_create_answers_with_the_one_that_has_not_started(acme: Tenant) -> None:
    asked = {"debounce": {"key": "doc", "seconds": 600, "longest": 3600}}
    made = [acme.ask("POST", "/instances", json={**asked, "params": n}).json() for n in range(3)]
    assert [it["created"] for it in made] == [True, False, False] and len({it["id"] for it in made}) == 1
    found = acme.ask("GET", f"/instances/{made[0]['id']}").json()
    assert (found["params"], found["status"]) == (2, "queued")
    batch = acme.ask("POST", "/instances/batch", json={"instances": [{**asked, "params": 9}, {"params": 0}]}).json()
    assert len(batch["created"]) == 1
    [error] = batch["errors"]
    assert (error["index"], error["id"], error["code"]) == (0, made[0]["id"], 10405)
    assert error["message"].endswith("of the same key; it was put off, with the new params.")


def test_keys_of_two_tenants_have_nothing_to_do_with_each_other(site: Site, acme: Tenant) -> None:
    globex = Tenant(site, "globex")
    globex.deploy(WAITS)
    for tenant in (acme, globex):
        assert tenant.create(key="shared", singleton=True)["created"]


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"singleton": True}, "flow.invalid", "`singleton` needs a `key`"),
        ({"delay": "soon"}, "flow.invalid", "`delay`: Invalid duration"),
        ({"priority": 101}, "flow.invalid", "`priority` takes"),
        ({"key": "k", "limits": {"rate": {"count": 0, "seconds": 1}}}, "flow.invalid", "from 1 to 10,000"),
        ({"key": "k", "limits": {"workers": 1}}, "body.invalid", "limits"),
        ({"debounce": {"seconds": "5"}}, "body.invalid", "debounce"),
    ],
)
def test_what_makes_no_sense_is_refused_with_words(acme: Tenant, asked: object, code: str, words: str) -> None:
    answer = acme.ask("POST", "/instances", json=asked)
    assert code_of(answer) == (400, code)
    assert words in answer.json()["error"]["message"]


def test_limits_that_are_deployed_hold_for_every_instance_with_a_key(site: Site) -> None:
    tenant = Tenant(site, "hooli")
    path, source = "/workflows/orders", {"source": WAITS}
    tenant.ask("PUT", path, json={**source, "limits": {"concurrency_per_key": 1, "step_limit": 9}})
    first, second = [tenant.create(workflow="orders", key="k")["id"] for _ in range(2)]
    tenant.until(first, "waiting")
    assert tenant.ask("GET", f"/instances/{second}").json()["queue"]["reason"] == "concurrency"
    free = tenant.create(workflow="orders")["id"]
    tenant.until(free, "waiting")
    refused = tenant.ask("PUT", path, json={**source, "limits": {"rate": {"count": 0, "seconds": 1}}})
    assert code_of(refused) == (400, "flow.invalid")
    refused = tenant.ask("PUT", path, json={**source, "limits": {"workers": 1}})
    assert "concurrency_per_key, rate" in refused.json()["error"]["message"]


def test_a_key_that_holds_a_secret_is_refused(site: Site) -> None:
    tenant = Tenant(site, "initech")
    tenant.deploy(ECHO)
    tenant.ask("PUT", "/secrets/TOKEN", json={"value": "sk-live-12345678"})
    for path, body in (("", {"key": "a sk-live-12345678"}), ("/batch", {"instances": [{"key": "sk-live-12345678"}]})):
        answer = tenant.ask("POST", f"/instances{path}", json=body)
        assert code_of(answer) == (400, "flow.invalid")


def test_a_tenants_own_code_asks_for_a_key_of_its_instances(site: Site) -> None:
    tenant = Tenant(site, "umbrella")
    tenant.deploy(
        "from workers import WorkflowEntrypoint\n"
        "class TenantWorkflow(WorkflowEntrypoint):\n"
        "    async def run(self, event, step):\n"
        "        if event.payload == 'child':\n"
        "            return await step.wait_for_event('go', 'go', timeout='1 hour')\n"
        "        async def begin():\n"
        "            made = [await self.env.WORKFLOWS.create(params='child', key='one', singleton=True)]\n"
        "            again = {'params': 'child', 'key': 'one', 'singleton': True}\n"
        "            made.append(await self.env.WORKFLOWS.create(again))\n"
        "            return [it.id for it in made]\n"
        "        return await step.do('begin', begin)\n"
    )
    ended = tenant.finish(tenant.create()["id"])
    assert ended["output"][0] == ended["output"][1]
