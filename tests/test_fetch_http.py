"""What a tenant's code may ask: its list over HTTP, within what the operator allows, with secrets it never sees."""

from collections.abc import Iterator

import pytest
from bad_server_support import BadServer
from dispatch_support import workflow
from http_support import Background, MakeSite, code_of
from tenants_support import Tenant

KEY = "sk_live_of_acme"
ASKS = workflow(
    """
    async def asked(url):
        try:
            response = await fetch(url)
        except Exception as failed:
            return str(failed)
        return [response.status, await response.text()]
    @step.do("ask")
    async def ask():
        try:
            key = await self.env.SECRETS.get("KEY")
        except Exception as failed:
            key = str(failed)
        return [[await asked(url) for url in event["payload"]], await self.env.SECRETS.names(), key]
    return await ask()
    """,
    "from workers import fetch",
)


@pytest.fixture
def server() -> Iterator[BadServer]:
    background = Background()
    served = BadServer()
    background.call(served.__aenter__())
    yield served
    background.call(served.__aexit__())
    background.close()


def test_a_tenants_code_asks_what_its_list_allows_with_secrets_that_it_never_sees(
    make_site: MakeSite, server: BadServer
) -> None:
    place = f"http://127.0.0.1:{server.port}"
    acme = Tenant(make_site(fetch_tenants=f"{place}; *.example.com", fetch_reachable="127.0.0.1"), "acme")
    acme.deploy(ASKS)
    urls = [f"{place}/echo", "https://api.example.com", "https://playground.example/orders/acme"]
    asked, names, _ = acme.finish(acme.create(params=urls)["id"])["output"]
    assert "127.0.0.1" in asked[0] and "not on the list of allowed hosts" in asked[1]
    assert asked[2] == [200, '{"orders":[]}'] and names == []

    acme.ask("PUT", "/secrets/KEY", json={"value": KEY})
    entry = {"host": place, "methods": ["GET"], "secret": "KEY", "header": "X-Api-Key"}
    said = acme.ask("PUT", "/fetch", json={"allow": [entry]})
    assert (said.status_code, said.json()["allow"]) == (200, [entry])
    assert acme.ask("GET", "/fetch").json() == {
        "allow": [entry],
        "everybody": ["https://playground.example"],
        "possible": [place, "https://*.example.com", "https://playground.example"],
    }
    run = acme.finish(acme.create(params=urls[:1])["id"])
    asked, names, key = run["output"]
    assert asked[0][0] == 200 and '"x-api-key": "[REDACTED]"' in asked[0][1]
    assert server.seen[-1].headers["x-api-key"] == KEY
    assert names == [] and "is sent by FETCH" in key
    assert KEY not in acme.ask("GET", f"/instances/{run['id']}/events").text

    acme.ask("DELETE", "/secrets/KEY")
    [refused] = acme.finish(acme.create(params=urls[:1])["id"])["output"][0]
    assert "not on the list" in refused, "nothing is asked without its credentials"
    assert acme.ask("DELETE", "/fetch").status_code == 204
    assert acme.ask("GET", "/fetch").json()["allow"] == []


def test_a_list_that_cannot_be_used_is_refused_with_a_sentence(make_site: MakeSite) -> None:
    acme = Tenant(make_site(fetch_allow="GET api.example.com", fetch_rules=2), "acme")
    acme.deploy(ASKS)
    for allow, says in (
        ([{"host": "api.example.com"}], "what the operator lets tenants allow, which is: GET https://api.example.com"),
        ([{"host": "api.example.com", "methods": ["POST"]}], "fetch_tenants"),
        ([{"host": "http://127.0.0.1"}], "is not among"),
        ([{"host": "a/b"}], "names no host"),
        ([{"host": "api.example.com", "methods": ["GET"], "secret": "KEY"}], "There is no secret 'KEY'. Set it first"),
        ([{"host": "api.example.com", "methods": ["GET"]}] * 3, "at most 2 hosts, not 3"),
    ):
        answer = acme.ask("PUT", "/fetch", json={"allow": allow})
        assert code_of(answer) == (400, "fetch.invalid") and says in answer.text, allow
    assert "fetch_rules" in acme.ask("PUT", "/fetch", json={"allow": [{"host": "x"}] * 3}).text
    assert acme.ask("PUT", "/fetch", json={"allow": [{"host": "api.example.com", "port": 1}]}).status_code == 400
    assert acme.ask("PUT", "/fetch", json={"allow": [{"host": "api.example.com", "methods": ["GET"]}]}).is_success


def test_a_list_goes_with_its_tenant_and_is_nobody_elses(make_site: MakeSite) -> None:
    site = make_site(fetch_tenants="*")
    acme, globex = Tenant(site, "acme"), Tenant(site, "globex")
    for tenant in (acme, globex):
        tenant.deploy(ASKS)
    acme.ask("PUT", "/fetch", json={"allow": [{"host": "api.example.com"}]})
    assert globex.ask("GET", "/fetch").json()["allow"] == []
    assert globex.site.client.put("/api/tenants/acme/fetch", json={"allow": []}).status_code == 401
    answer = acme.ask("PUT", "/fetch", json={"allow": [{"host": "169.254.169.254"}]})
    assert code_of(answer) == (400, "fetch.invalid"), "* is for names, not for addresses"
