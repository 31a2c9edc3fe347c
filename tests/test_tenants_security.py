"""What one tenant can do to another over HTTP: nothing, and it learns nothing either, not even whether the other is
there.
"""

import re
from typing import Any

import httpx2
import pytest
from dispatch_support import workflow
from http_support import MakeSite, Site, code_of
from tenants_support import WAITS, Tenant

from playground.store.snippets import make_snippet
from playground.web.calls import Call
from playground.web.routes import OF_INSTANCES, OF_TENANTS

OPERATOR = "the operators own token"


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(operator_token=OPERATOR)


@pytest.fixture(scope="module")
def acme(site: Site) -> Tenant:
    """The victim, with an instance, a version and a secret."""
    tenant = Tenant(site, "acme")
    tenant.deploy(WAITS)
    tenant.ask("PUT", "/secrets/TOKEN", json={"value": "acmes secret"})
    tenant.create(id="theirs")
    tenant.until("theirs", "waiting")
    return tenant


@pytest.fixture(scope="module")
def mallory(site: Site) -> Tenant:
    tenant = Tenant(site, "mallory")
    tenant.deploy(workflow("return event['payload']"))
    return tenant


BODIES: dict[str, Any] = {
    "/workflow": {"source": "x"},
    "/secrets/TOKEN": {"value": "mine now"},
    "/instances/batch": {"instances": [{}]},
    "/instances/theirs/migrate": {"version": "v"},
}
KEYED = [call for call in OF_TENANTS if call.tenant_key]


def filled(call: Call, tenant: str, version: str = "v", id: str = "theirs") -> str:
    values = {"tenant": tenant, "version": version, "id": id, "name": "TOKEN", "type": "go"}
    values |= {"kind": "do", "count": "1", "queue": "mail", "bulk": "1"}
    return re.sub(r"{(\w+)(?::path)?}", lambda it: values[it[1]], call.path)


def ask(site: Site, call: Call, path: str, key: str | None) -> httpx2.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    body = (
        None
        if call.method == "GET"
        else BODIES.get(path.partition("/tenants/")[2].partition("/")[1] + path.split("/", 4)[-1], {})
    )
    return site.client.request(call.method, path, headers=headers, json=body)


def everything_of(tenant: Tenant) -> Any:
    """All that a tenant has, to see that nothing of it was changed."""
    paths = ("/workflow", "/secrets", "/instances", "/instances/theirs", "/instances/theirs/events")
    return [tenant.ask("GET", path).json() for path in paths]


@pytest.mark.parametrize("call", KEYED, ids=lambda call: f"{call.method} {call.path}")
def test_no_call_takes_another_tenants_key_or_none(site: Site, acme: Tenant, mallory: Tenant, call: Call) -> None:
    before = everything_of(acme)
    version = before[0]["versions"][0]["version"]
    path = filled(call, "acme", version)
    assert code_of(ask(site, call, path, None)) == (401, "key.missing")
    theirs = ask(site, call, path, mallory.key)
    assert code_of(theirs) == (403, "key.wrong")
    for key in ("pk_guessed", "x" * 300, site.settings.operator_token):
        assert code_of(ask(site, call, path, key)) in ((403, "key.wrong"), (401, "key.missing"))
    nobody = ask(site, call, filled(call, "nobody", version), mallory.key)
    assert (nobody.status_code, nobody.json()) == (theirs.status_code, theirs.json()), (
        "a tenant that is there answers as one that is not"
    )
    assert everything_of(acme) == before


@pytest.mark.parametrize("call", OF_INSTANCES, ids=lambda call: f"{call.method} {call.path}")
def test_a_tenants_instance_is_not_there_for_the_anonymous_calls_nor_for_another_tenant(
    site: Site, acme: Tenant, mallory: Tenant, call: Call
) -> None:
    before = everything_of(acme)
    bare = ask(site, call, filled(call, ""), mallory.key)
    assert code_of(bare) == (404, "instance.not_found")
    own = ask(site, call, filled(call, "").replace("/api/instances", "/api/tenants/mallory/instances"), mallory.key)
    assert code_of(own) == (404, "instance.not_found")
    assert everything_of(acme) == before


def test_an_anonymous_instance_is_not_there_for_a_tenant(site: Site, mallory: Tenant) -> None:
    made = site.create(id="anonymous-one")
    assert code_of(mallory.ask("GET", "/instances/anonymous-one")) == (404, "instance.not_found")
    assert site.client.get(f"/api{made['url']}").status_code == 200


def test_versions_of_another_tenant_can_not_be_named(acme: Tenant, mallory: Tenant) -> None:
    version = acme.ask("GET", "/workflow").json()["versions"][0]["version"]
    assert code_of(mallory.ask("GET", f"/workflow/{version}")) == (404, "version.not_found")
    assert code_of(mallory.ask("POST", "/instances", json={"version": version})) == (404, "version.not_found")
    mallory.create(id="mine")
    assert code_of(mallory.ask("POST", "/instances/mine/migrate", json={"version": version})) == (
        404,
        "version.not_found",
    )


def test_deployed_code_is_not_among_the_shared_snippets(site: Site, acme: Tenant) -> None:
    version = acme.ask("GET", "/workflow").json()["versions"][0]["version"]
    for id in (version, make_snippet(WAITS, None, 0).id):
        assert site.client.get(f"/api/snippets/{id}").status_code == 404
        assert site.client.get(f"/s/{id}.py").status_code == 404


def test_nothing_that_a_tenant_sees_counts_what_others_have(site: Site, acme: Tenant, mallory: Tenant) -> None:
    first = mallory.create(id="before")
    for number in range(20):
        acme.create(id=f"many-{number}")
    second = mallory.create(id="after")
    mallory.finish("before"), mallory.finish("after")
    listed = mallory.ask("GET", "/instances").json()
    assert {it["id"] for it in listed["instances"]} >= {"before", "after"} and not any(
        "many" in it["id"] for it in listed["instances"]
    )
    assert sum(listed["counts"].values()) == len(listed["instances"])
    views = [mallory.ask("GET", f"/instances/{made['id']}").json() for made in (first, second)]
    same = [
        {
            key: value
            for key, value in view.items()
            if key not in ("id", "url", "created_at", "started_at", "ended_at", "kept_until")
        }
        for view in views
    ]
    for view in same:
        view["executions"] = [
            {key: value for key, value in it.items() if not key.endswith("_at")} for it in view["executions"]
        ]
    assert same[0] == same[1], "no number tells how much went on between them"
    health = site.client.get("/healthz").json()
    assert sum(health["instances"].values()) < 20, "nor does the health of the server"


def test_a_path_can_not_be_bent_to_another_tenant(site: Site, acme: Tenant, mallory: Tenant) -> None:
    for path in (
        "/api/tenants/mallory/instances/../../acme/instances/theirs",
        "/api/tenants/mallory/instances/%2e%2e%2f%2e%2e%2facme%2finstances%2ftheirs",
        "/api/tenants/mallory%2f..%2facme/instances/theirs",
        "/api/tenants//instances/theirs",
        "/api/tenants/acme%00/instances/theirs",
    ):
        request = site.client.build_request(
            "GET", f"http://127.0.0.1:{site.port}/", headers={"Authorization": f"Bearer {mallory.key}"}
        )
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=site.port, raw_path=path.encode())
        answer = site.client.send(request)
        assert answer.status_code in (400, 403, 404) and "theirs" not in answer.text


def test_wrong_keys_are_counted_by_address(make_site: MakeSite) -> None:
    site = make_site(changes_per_minute=5)
    tenant = Tenant(site, "acme")
    guesser = Tenant(site, "acme", key="pk_guess")
    answers = [code_of(guesser.ask("GET", "/workflow")) for _ in range(7)]
    assert answers == [(403, "key.wrong")] * 5 + [(429, "too_many")] * 2
    assert tenant.ask("GET", "/workflow").status_code == 200, "who has a key is not held up by who guesses"


def test_a_tenant_asks_so_often_in_a_minute_and_another_is_not_held_up(make_site: MakeSite) -> None:
    site = make_site(requests_per_tenant=5)
    busy, other = Tenant(site, "busy"), Tenant(site, "other")
    answers = [busy.ask("GET", "/workflow").status_code for _ in range(7)]
    assert answers == [200] * 5 + [429] * 2
    assert int(busy.ask("GET", "/workflow").headers["retry-after"]) > 0
    assert other.ask("GET", "/workflow").status_code == 200


def test_a_page_of_another_site_can_not_use_a_key(acme: Tenant) -> None:
    answer = acme.ask("PUT", "/secrets/TOKEN", json={"value": "changed"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert code_of(answer) == (403, "cross_origin")


def test_keys_and_trigger_secrets_are_not_in_the_log_nor_in_the_database(site: Site, acme: Tenant) -> None:
    url = acme.ask("POST", "/trigger").json()["url"]
    secret = url.rpartition("/")[2]
    site.client.post(url + "x", json=1)
    site.client.post(url, content=b"{")
    acme.ask("GET", "/workflow/none")
    said = repr(site.log)
    assert "/api/hooks/{tenant}/{secret}" in said
    stored = site.stored()
    for hidden in (secret, acme.key):
        assert hidden not in said and hidden.encode() not in stored


# The operator's page.


def test_the_tenants_page_is_the_operators(site: Site, acme: Tenant) -> None:
    client = site.client
    assert code_of(client.get("/tenants", headers={"Accept": "application/json"})) == (401, "operator.token_missing")
    assert (
        client.get("/tenants?operator=1", headers={"Accept": "text/html"})
        .headers["www-authenticate"]
        .startswith("Basic realm=")
    )
    for wrong in ({"Authorization": f"Bearer {acme.key}"}, {"Authorization": "Bearer x"}):
        assert code_of(client.get("/tenants", headers={"Accept": "application/json", **wrong})) == (
            403,
            "operator.token_wrong",
        )
    page = client.get("/tenants", auth=("anyone", OPERATOR), headers={"Accept": "text/html"})
    assert page.status_code == 200 and ">acme</th>" in page.text and "acmes secret" not in page.text
    listed = client.get(
        "/tenants", headers={"Accept": "application/json", "Authorization": f"Bearer {OPERATOR}"}
    ).json()
    row = next(it for it in listed["tenants"] if it["name"] == "acme")
    assert row["version"]["number"] == 1 and row["instances"]["waiting"] >= 1
    page = client.get(
        "/tenants",
        params={"limit": 1, "after": "acme"},
        headers={"Accept": "application/json", "Authorization": f"Bearer {OPERATOR}"},
    )
    assert page.json()["tenants"][0]["name"] == "mallory"


def test_without_an_operators_token_the_page_is_closed(make_site: MakeSite) -> None:
    site = make_site(trusted_proxies="192.0.2.1")
    answer = site.client.get("/tenants", auth=("operator", ""), headers={"Accept": "application/json"})
    assert code_of(answer) == (401, "operator.token_missing") and "closed" in answer.json()["error"]["message"]
