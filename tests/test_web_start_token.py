"""The token that a server makes at its start: it signs in who sits at the machine, and is needed where nothing
isolates.
"""

import hmac
import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import httpx2
import pytest
from http_support import APPROVAL, HELLO, Background, MakeSite, Site, bearer, code_of, running_sandbox, sites
from test_http_pages import page, words
from test_web_security import BROWSER, ELSEWHERE, filled, lines, named

from playground.sandbox.launch import LaunchOptions
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.web.calls import Call
from playground.web.http.tokens import START_TOKEN_HEADER, StartToken
from playground.web.routes import CALLS

JSON = {"Accept": "application/json"}
LOCKED = [call for call in CALLS if not call.without_start_token]


@pytest.fixture(scope="module")
def unisolated() -> Iterator[tuple[Background, Sandbox]]:
    """Tier D: the machine has no system-call filter."""
    with running_sandbox(unsafe=True, options=LaunchOptions(without=frozenset({"seccomp"}))) as running:
        assert running[1].tier.letter == "D"
        yield running


make_unisolated_site = pytest.fixture(
    lambda unisolated, tmp_path_factory: (yield from sites(None, unisolated, tmp_path_factory)),
    name="make_unisolated_site",
    scope="module",
)


@pytest.fixture(scope="module")
def unsafe(make_unisolated_site: MakeSite) -> Site:
    return make_unisolated_site(unsafe_no_sandbox=True)


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site()


def link_of(site: Site) -> str:
    """The link that the server prints at its start, without the server's address."""
    line = str(site.context.start_token.sign_in_line("http://here"))
    found = re.fullmatch(r"(?:Operator's link|To use it, open): http://here(/sign-in\?token=[\w-]{32})", line)
    assert found, line
    return found[1]


def visit(site: Site, path: str, **headers: str | bytes) -> httpx2.Response:
    """A page as a browser of its own asks for it."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{site.port}", trust_env=False, timeout=30) as browser:
        return browser.get(path, headers={**BROWSER, **headers})


def cookie_of(site: Site) -> str:
    """The cookie that the link gives to a browser."""
    return visit(site, link_of(site)).headers["set-cookie"].partition(";")[0]


@pytest.fixture(scope="module")
def cookie(unsafe: Site) -> str:
    return cookie_of(unsafe)


# When there is one.


@pytest.mark.parametrize(
    ("settings", "loopback", "unprotected", "expected"),
    [
        ({}, True, False, ("made", True, False)),
        ({"operator_token": "x"}, True, False, ("", False, False)),
        ({"trusted_proxies": "127.0.0.1"}, True, False, ("", False, False)),
        ({"public_url": "https://play.example"}, True, False, ("", False, False)),
        ({"host": "0.0.0.0"}, False, False, ("", False, False)),
        ({}, True, True, ("made", True, True)),
        ({"operator_token": "x"}, True, True, ("made", False, True)),
        ({"trusted_proxies": "127.0.0.1"}, True, True, ("made", True, True)),
    ],
)
def test_one_is_made_for_the_person_at_the_machine_and_always_without_isolation(
    settings: dict[str, Any], loopback: bool, unprotected: bool, expected: tuple[str, bool, bool]
) -> None:
    made = StartToken.from_settings(Settings(**settings), lambda: "made", loopback=loopback, unprotected=unprotected)
    assert (made.token, made.operator, made.required) == expected
    assert bool(made.sign_in_line("http://here")) == bool(made.token)
    assert not StartToken().matches("")


def test_each_start_makes_another(make_site: MakeSite) -> None:
    site = make_site()
    old = link_of(site)
    site.stop()
    site.start()
    assert link_of(site) != old
    refused = visit(site, old)
    assert refused.status_code == 403 and "set-cookie" not in refused.headers
    assert "This link is of another start" in words(refused.text)


# The link.


def test_the_link_signs_the_browser_in_and_goes_on_to_an_address_without_the_token(site: Site) -> None:
    answer = visit(site, link_of(site))
    assert (answer.status_code, answer.headers["location"], answer.content) == (303, "/tenants", b"")
    assert answer.headers["cache-control"] == "no-store"
    ((name, cookie),) = SimpleCookie(answer.headers["set-cookie"]).items()
    assert name == f"playground_{site.port}"
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"], cookie["expires"]) == (
        True,
        "strict",
        "/",
        "",
        "",
    )
    shown = visit(site, "/tenants", Cookie=f"{name}={cookie.value}").text
    assert "All of this server" in shown and "Make tenant and key" in shown
    for path in ("/tenants", "/"):
        assert cookie.value not in visit(site, path, Cookie=f"{name}={cookie.value}").text


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:9000", "[::1]:{port}", "localhost"])
def test_the_cookie_is_named_by_the_port_that_the_browser_sees(site: Site, host: str) -> None:
    answer = visit(site, link_of(site), Host=host.format(port=site.port))
    port = host.format(port=site.port).rpartition(":")[2]
    assert answer.headers["set-cookie"].startswith(f"playground_{port if port.isdigit() else 80}=")


@pytest.mark.parametrize("cookie", ["", "x", "é", "{token}x", "null"])
def test_a_cookie_that_is_not_the_token_is_as_good_as_none(site: Site, cookie: str) -> None:
    given = f"playground_{site.port}={cookie.format(token=site.context.start_token.token)}".encode("latin-1")
    shown = visit(site, "/tenants", Cookie=given)
    assert shown.status_code == 200 and "Make tenant and key" not in shown.text
    assert code_of(site.client.get("/tenants", headers={**JSON, "Cookie": given})) == (401, "operator.token_missing")


def test_the_operators_pages_take_the_token_in_a_header_and_say_where_it_is(site: Site) -> None:
    answer = site.client.get("/tenants", headers=JSON)
    assert code_of(answer) == (401, "operator.token_missing")
    assert "open the operator's link that the server printed" in answer.json()["error"]["message"]
    for headers in ({"Authorization": f"Bearer {site.context.start_token.token}"}, {"Cookie": cookie_of(site)}):
        assert site.client.get("/tenants", headers=JSON | headers).status_code == 200
    assert code_of(site.client.get("/tenants", headers={**JSON, "Authorization": "Bearer x"})) == (
        403,
        "operator.token_wrong",
    )


def test_where_a_token_was_set_there_is_no_link_and_no_cookie_opens_anything(make_site: MakeSite) -> None:
    site = make_site(operator_token="the operators own token")
    assert site.context.start_token.sign_in_line("http://here") == ""
    assert code_of(site.client.get("/sign-in", params={"token": "the operators own token"}, headers=JSON)) == (
        404,
        "not_found",
    )
    for value in ("the operators own token", ""):
        headers = {**JSON, "Cookie": f'playground_{site.port}="{value}"'}
        assert code_of(site.client.get("/tenants", headers=headers)) == (401, "operator.token_missing")


def test_neither_the_log_nor_the_database_has_the_token(site: Site) -> None:
    token = site.context.start_token.token
    for path in (link_of(site), link_of(site) + "x", f"/nowhere?token={token}", f"/nowhere/{token}"):
        visit(site, path)
    visit(site, "/tenants", Cookie=f"playground_{site.port}={token}x", Referer=link_of(site))
    visit(site, link_of(site), Host="evil.example")
    assert len(site.log) >= 4
    assert token not in "\n".join(lines(site.log))
    assert token.encode() not in site.stored()


# A tenant and its key, on the page.


def test_the_operator_makes_a_tenant_its_key_and_its_first_deployment(site: Site) -> None:
    asked = {"Cookie": cookie_of(site), "Sec-Fetch-Site": "same-origin"}
    made = site.client.post("/api/tenants/acme/keys", json={"name": "laptop"}, headers=asked)
    assert made.status_code == 201 and made.headers["cache-control"] == "no-store"
    told = made.json()
    assert (told["tenant"], told["created"], told["number"], told["name"]) == ("acme", True, 1, "laptop")
    key = {"Authorization": f"Bearer {told['key']}"}
    assert site.client.put("/api/tenants/acme/workflow", json={"source": HELLO}, headers=key).json()["number"] == 1
    again = site.client.post("/api/tenants/acme/keys", headers=asked).json()
    assert (again["created"], again["number"], again["name"]) == (False, 2, "")
    assert told["key"] != again["key"] and again["key"].startswith("pk_")
    for secret in (told["key"], again["key"]):
        assert secret not in repr(site.log) and secret.encode() not in site.stored()
    assert [line["number"] for line in site.log.of("tenant.key_made")] == [1, 2]


@pytest.mark.parametrize(
    ("path", "body", "refused"),
    [
        ("-x", {}, (400, "workflow.invalid_name")),
        ("x", {"name": "y" * 61}, (400, "body.invalid")),
        ("x", {"name": "a\nb"}, (400, "body.invalid")),
    ],
)
def test_a_key_for_no_name_is_refused(site: Site, path: str, body: dict[str, str], refused: tuple[int, str]) -> None:
    assert (
        code_of(site.client.post(f"/api/tenants/{path}/keys", json=body, headers={"Cookie": cookie_of(site)}))
        == refused
    )


def test_nobody_else_makes_keys(site: Site) -> None:
    cookie = cookie_of(site)
    for headers in (
        {},
        {"Authorization": "Bearer x"},
        {"Cookie": cookie + "x"},
        {"Cookie": cookie.replace("playground", "other")},
    ):
        answer = site.client.post("/api/tenants/mallory/keys", headers=headers)
        assert code_of(answer)[1] in ("operator.token_missing", "operator.token_wrong"), headers
    for headers in ELSEWHERE.values():
        assert code_of(site.client.post("/api/tenants/mallory/keys", headers={"Cookie": cookie, **headers})) == (
            403,
            "cross_origin",
        )
    assert site.call(site.context.store.tenants.tenant("mallory")) is None


# Without isolation.


@pytest.mark.parametrize("call", LOCKED, ids=named)
def test_without_isolation_nothing_is_done_without_the_token(unsafe: Site, call: Call) -> None:
    own = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
    token = unsafe.context.start_token.token
    for given, code in (
        ({}, "start.token_missing"),
        ({START_TOKEN_HEADER: ""}, "start.token_wrong"),
        ({START_TOKEN_HEADER: token[:-1]}, "start.token_wrong"),
        ({START_TOKEN_HEADER: "é".encode()}, "start.token_wrong"),
        ({"Authorization": f"Bearer {token}"}, "start.token_missing"),
        ({"Cookie": f"playground_{unsafe.port}={token[:-1]}"}, "start.token_missing"),
        ({"Cookie": f"playground_1={token}"}, "start.token_missing"),
    ):
        answer = unsafe.client.request(
            call.method, filled(call, slug="hello"), headers={**JSON, **own, **given}, content=b"{}"
        )
        assert code_of(answer) == (403, code), given
        assert START_TOKEN_HEADER in answer.json()["error"]["message"] and "link" in answer.json()["error"]["message"]


def test_what_is_open_without_isolation_stores_and_runs_nothing() -> None:
    assert {call.path for call in CALLS if call.without_start_token} == {
        *("/sign-in", "/healthz", "/metrics", "/openapi.json", "/security"),
        *("/static/{path:path}", "/favicon.ico", "/robots.txt", "/readyz"),
    }
    assert not [call for call in CALLS if call.without_start_token and call.is_change]


def test_without_the_token_nothing_was_checked_stored_or_run(
    make_unisolated_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_unisolated_site(unsafe_no_sandbox=True)
    asked: list[str] = []
    monkeypatch.setattr(site.engine, "check", lambda source: asked.append(source))
    for path, body in (
        ("/api/check", {"source": HELLO}),
        ("/api/snippets", {"source": HELLO}),
        ("/api/instances", {"source": HELLO}),
    ):
        assert site.client.post(path, json=body).status_code == 403
    assert site.client.post("/new", data={"source": HELLO}, headers=BROWSER).status_code == 403
    assert site.client.get("/", headers=BROWSER).status_code == 403
    assert asked == []
    assert site.call(site.context.store.count(tenant="")) == {}
    assert b"TenantWorkflow" not in site.stored()


def test_the_link_opens_it_to_a_browser_and_a_header_to_a_program(unsafe: Site) -> None:
    answer = visit(unsafe, link_of(unsafe))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert visit(unsafe, "/", Cookie=cookie).status_code == 200
    assert "Make tenant and key" in visit(unsafe, "/tenants", Cookie=cookie).text  # nobody else is the operator
    for headers in (
        {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"},
        {START_TOKEN_HEADER: unsafe.context.start_token.token},
    ):
        made = unsafe.client.post("/api/instances", json={"source": APPROVAL}, headers=headers).json()
        ended = unsafe.client.post(f"/api{made['url']}/terminate", headers=headers | bearer(made))
        assert ended.status_code == 202


@pytest.mark.parametrize("call", [call for call in LOCKED if call.is_change], ids=named)
def test_with_the_cookie_another_site_still_changes_nothing(unsafe: Site, cookie: str, call: Call) -> None:
    for headers in ELSEWHERE.values():
        answer = unsafe.client.request(call.method, filled(call), headers={"Cookie": cookie, **headers}, content=b"{}")
        assert code_of(answer) == (403, "cross_origin")


def test_the_page_of_a_browser_without_the_token_says_what_to_do_and_leads_on(unsafe: Site) -> None:
    text = page(unsafe, "/new?source=a%22%3E%3Cb%3E&params=1", 403).text
    shown = words(text)
    assert "Open the link from the terminal" in shown and "tier D" in shown and f"{START_TOKEN_HEADER}: TOKEN" in shown
    assert unsafe.context.start_token.token not in text
    assert 'href="/new?source=a%22%3E%3Cb%3E&amp;params=1"' in text
    assert page(unsafe, "/sign-in?token=x", 403).text.count('href="/"') == 2  # the brand, and the way on


def test_the_token_is_compared_in_constant_time(unsafe: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []
    honest = hmac.compare_digest

    def seen(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return bool(honest(one, other))

    monkeypatch.setattr(hmac, "compare_digest", seen)
    token = unsafe.context.start_token.token.encode()
    visit(unsafe, "/sign-in?token=one")
    visit(unsafe, "/", Cookie=f"playground_{unsafe.port}=two")
    unsafe.client.post("/api/check", headers={START_TOKEN_HEADER: "three"})
    assert compared == [(b"one", token), (b"two", token), (b"three", token)]
