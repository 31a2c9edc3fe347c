"""The web's own defences, over every address of the table: what a browser is told, who may change what, what is kept,
logged and guessed.
"""

import hmac
import io
import re
import sqlite3
import uuid
from contextlib import closing
from typing import Any

import pytest
from http_support import APPROVAL, HELLO, MakeSite, Site, bearer, code_of
from tenants_support import Tenant

from playground.log import open_log
from playground.web.calls import Call
from playground.web.routes import CALLS

OPERATOR = "the operators own token"
BROWSER = {"Accept": "text/html"}
KINDS = {"browser": BROWSER, "program": {"Accept": "application/json"}}
CHANGES = [call for call in CALLS if call.is_change]
CONTROLLED = [call for call in CALLS if call.control_token]
ELSEWHERE = {
    "another site, as browsers say it": {"Sec-Fetch-Site": "cross-site"},
    "another name of the same site": {"Sec-Fetch-Site": "same-site"},
    "another site, although the origin looks right": {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    "another site, as old browsers say it": {"Origin": "https://evil.example"},
    "a frame without an origin": {"Origin": "null"},
    "a name that begins alike": {"Origin": "http://127.0.0.1.evil.example"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "no scheme": {"Origin": "127.0.0.1"},
    "a form of another site": {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
        "Origin": "https://evil.example",
    },
    "a form of another port, in a frame": {
        "Sec-Fetch-Site": "same-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "iframe",
        "Origin": "null",
    },
    "another site that looks typed, to an old server": {"Sec-Fetch-Site": "", "Origin": "http://127.0.0.1:{port}"},
}
# How a browser asks for another site to see: as a page, in a frame, as an image, a script, or with fetch.
LOOKS = [
    {
        "Sec-Fetch-Site": site,
        "Sec-Fetch-Mode": mode,
        "Sec-Fetch-Dest": dest,
        **({"Origin": "https://evil.example"} if mode == "cors" else {}),
    }
    for site in ("cross-site", "same-site")
    for mode, dest in (
        ("navigate", "document"),
        ("navigate", "iframe"),
        ("no-cors", "image"),
        ("no-cors", "script"),
        ("cors", "empty"),
    )
]


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(operator_token=OPERATOR, idle_grace_ms=0)


@pytest.fixture(scope="module")
def waiting(site: Site) -> dict[str, Any]:
    """An instance that waits for an event, and does nothing by itself any more."""
    made = site.create(APPROVAL)
    site.until(made, "execution_ended")
    return made


@pytest.fixture(scope="module")
def acme(site: Site) -> Tenant:
    tenant = Tenant(site, "acme")
    tenant.deploy()
    return tenant


STREAMS = ("/stream", "/streams/{name}")  # whose answers do not end by themselves while their run waits


def named(call: Call) -> str:
    return f"{call.method} {call.path}"


def filled(call: Call, **values: str) -> str:
    """The address of a call, of what is there where `values` says so."""
    return re.sub(r"{(\w+)(?::path)?}", lambda it: values.get(it[1], "nowhere"), call.path)


def journal(site: Site, made: dict[str, Any]) -> Any:
    """All that was done to an instance; that its worker is given up while it waits is nobody's doing."""
    return [event for event in site.journal(made) if event["type"] != "execution_ended"]


# What every answer says to a browser.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS, ids=named)
def test_every_answer_has_its_headers(site: Site, waiting: dict[str, Any], call: Call, kind: str) -> None:
    there = {
        "snippet": waiting["snippet"],
        "slug": "hello",
        "id": waiting["id"] if call.method == "GET" else "nowhere",
        "path": "icon.svg",
    }
    if call.path.endswith(STREAMS):
        there["id"] = "nowhere"  # see test_stream.py for one that is there
    answer = site.client.request(
        call.method, filled(call, **there), headers={**KINDS[kind], "Origin": f"http://127.0.0.1:{site.port}"}
    )
    assert answer.status_code < 500
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == ("no-referrer" if call.path == "/answer/{token}" else "same-origin")
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert policy.get("script-src", "'self'") == "'self'"
    framed = call.path.endswith("/embed") and kind == "browser"
    # Where embedding is on: test_web_embedding.py.
    assert policy["frame-ancestors"] == ("'self'" if framed else "'none'")
    picture = headers.get("content-type") == "image/png"  # of a preview, for other sites to show
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert policy["base-uri"] == "'none'" and policy["form-action"] == "'self'"
        assert "no-store" in headers["cache-control"]
    if not picture:
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert not [
        name
        for name in headers
        if name.startswith("access-control-") or name in ("set-cookie", "server", "x-powered-by")
    ]


@pytest.mark.parametrize("call", [call for call in CALLS if not call.page], ids=named)
def test_json_is_an_object_that_no_other_site_can_read_as_a_script(
    site: Site, waiting: dict[str, Any], call: Call
) -> None:
    if call.path.endswith(STREAMS):
        return
    answer = site.client.request(
        call.method, filled(call, id=waiting["id"] if call.method == "GET" else "nowhere", slug="hello")
    )
    if "json" in answer.headers.get("content-type", ""):
        assert answer.headers["content-type"] in ("application/json", "application/x-ndjson")
        assert answer.content.startswith(b"{")


# Who asks.


@pytest.mark.parametrize("call", CHANGES, ids=named)
def test_a_change_that_another_site_asks_for_is_refused(
    site: Site, waiting: dict[str, Any], acme: Tenant, call: Call
) -> None:
    """Even with everything else that it takes, and whatever the form that a page could send."""
    before = journal(site, waiting)
    key = acme.key if call.tenant_key else waiting["control_token"]
    address = filled(call, id=waiting["id"], tenant="acme")
    for headers in ELSEWHERE.values():
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
            given = {**headers, "Authorization": f"Bearer {key}", "Content-Type": kind}
            answer = site.client.request(call.method, address, headers=given, content=b"{}")
            assert code_of(answer) == (403, "cross_origin"), headers
    assert journal(site, waiting) == before


@pytest.mark.parametrize("call", [call for call in CALLS if not call.is_change], ids=named)
def test_what_another_site_asks_to_see_stores_and_runs_nothing(
    site: Site, waiting: dict[str, Any], acme: Tenant, call: Call
) -> None:
    id = "nowhere" if call.path.endswith(STREAMS) else waiting["id"]
    address = filled(call, id=id, tenant="acme", snippet=waiting["snippet"], slug="hello", path="icon.svg")
    before, begun = rows(site), site.engine.counts.begun
    for headers in LOOKS:
        answer = site.client.get(
            address, params={"source": HELLO + "# evil", "params": "1"}, headers={**BROWSER, **headers}
        )
        assert answer.status_code < 500 and answer.status_code != 303
    assert (rows(site), site.engine.counts.begun) == (before, begun)


def rows(site: Site) -> dict[str, int]:
    """How many rows each table of the database has, but for what nobody asked for: events, since a worker is given up
    while its run waits, the counts of a new minute, and the times of chores.
    """
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('event', 'usage', 'chore')"
    with closing(sqlite3.connect(site.database)) as db:
        tables = [name for (name,) in db.execute(query)]
        return {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Origin": "HTTP://127.0.0.1:{port}"},
    ],
)
def test_a_change_from_our_own_pages_or_a_program_is_heard(site: Site, headers: dict[str, str]) -> None:
    given = {name: value.format(port=site.port) for name, value in headers.items()}
    assert site.client.post("/api/check", json={"source": HELLO}, headers=given).json()["ok"]


@pytest.mark.parametrize("call", CONTROLLED, ids=named)
def test_a_controlled_call_takes_the_very_token(site: Site, waiting: dict[str, Any], call: Call) -> None:
    other = site.create(HELLO)["control_token"]
    token, before = waiting["control_token"], journal(site, waiting)
    address = filled(call, id=waiting["id"], type="approved")
    wrong = (
        other,
        token[:-1],
        token + "x",
        token.swapcase(),
        "x" * 5_000,
        "null",
        "undefined",
        f"{token} {token}",
        OPERATOR,
    )
    for given in (*(f"Bearer {it}" for it in wrong), f"Basic {token}", token, f"Bearer\t{token}"):
        answer = site.client.request(call.method, address, headers={"Authorization": given}, json={})
        assert code_of(answer) in ((401, "token.missing"), (403, "token.wrong")), given
    for query in ("control_token", "token", "access_token", "authorization"):
        assert site.client.request(call.method, f"{address}?{query}={token}", json={}).status_code == 401
    assert (
        site.client.request(call.method, address, headers={"Cookie": f"control_token={token}"}, json={}).status_code
        == 401
    )
    assert journal(site, waiting) == before


def test_tokens_are_kept_as_hashes_and_compared_in_constant_time(
    site: Site, waiting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Any] = []
    honest = hmac.compare_digest

    def seen(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return bool(honest(one, other))

    monkeypatch.setattr(hmac, "compare_digest", seen)
    wrong = {"Authorization": "Bearer " + "x" * 32}
    assert site.client.post(f"/api{waiting['url']}/pause", headers=wrong).status_code == 403
    assert site.client.get("/tenants", headers=wrong).status_code == 403
    assert len(compared) == 2
    assert all(waiting["control_token"] not in str(pair) for pair in compared)
    row = site.call(site.engine.store.find("", waiting["id"]))
    assert re.fullmatch("[0-9a-f]{64}", row.control_hash)


def test_who_guesses_the_operators_token_learns_nothing_more_after_the_limit(make_site: MakeSite) -> None:
    site = make_site(operator_token=OPERATOR, changes_per_minute=5)
    for guess in range(5):
        assert site.client.get("/tenants", headers={"Authorization": f"Bearer {guess}"}).status_code == 403
    for guess in ("6", OPERATOR):
        assert site.client.get("/tenants", headers={"Authorization": f"Bearer {guess}"}).status_code == 429


# What is found out.


def test_nothing_lists_or_counts_what_is_somebody_elses(site: Site, waiting: dict[str, Any]) -> None:
    for path in (
        "/api/instances",
        "/instances",
        "/api/instances/",
        "/instances/",
        "/api/snippets",
        "/s",
        "/api/tenants",
        "/api/tenants/acme",
    ):
        assert site.client.get(path).status_code in (404, 405), path
    for call in CALLS:
        if call.method == "GET" and "{" not in call.path:
            assert waiting["id"] not in site.client.get(call.path).text, call.path
            assert waiting["snippet"] not in site.client.get(call.path, headers=BROWSER).text, call.path


def test_what_never_was_and_what_is_gone_are_answered_alike(site: Site) -> None:
    gone = site.create(HELLO)
    site.finish(gone)
    assert site.client.delete(f"/api{gone['url']}", headers=bearer(gone)).status_code == 204
    for path in ("", "/events", "/stream", "/effects"):
        answers = [
            site.client.get(f"/api/instances/{id}{path}")
            for id in (gone["id"], str(uuid.uuid4()), "nowhere", "a b", "%00", "-")
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1
    mine = site.create(HELLO)
    refused = [
        site.client.post(f"/api/instances/{id}/pause", headers=bearer(mine)) for id in (gone["id"], str(uuid.uuid4()))
    ]
    assert len({answer.content for answer in refused}) == 1


def test_ids_and_tokens_cannot_be_guessed(site: Site) -> None:
    made = [site.create(HELLO) for _ in range(3)]
    assert all(uuid.UUID(it["id"]).version == 4 for it in made)  # 122 random bits
    assert all(len(it["control_token"]) == 32 for it in made)  # 192 bits
    assert len({it["control_token"] for it in made}) == 3


def test_an_address_tries_only_so_many_ids_in_a_minute_however_it_asks(make_site: MakeSite) -> None:
    site = make_site(reads_per_minute=60)
    assert (
        site.client.get("/api/statuses", params={"ids": ",".join(str(uuid.uuid4()) for _ in range(50))}).status_code
        == 200
    )
    answers = [
        site.client.get(path).status_code
        for path in ("/api/instances/a", "/instances/b", "/nothing/c", "/api/nothing") * 3
    ]
    assert answers[:10] == [404] * 10
    assert set(answers[10:]) == {429}
    spoofed = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Real-IP": "203.0.113.9"}
    assert site.client.get("/api/instances/d", headers=spoofed).status_code == 429


def test_behind_a_trusted_proxy_visitors_are_counted_apart_and_cannot_choose_who_they_are(make_site: MakeSite) -> None:
    site = make_site(reads_per_minute=2, trusted_proxies="127.0.0.1")
    for visitor in ("203.0.113.1", "203.0.113.2"):
        asked = [
            site.client.get("/healthz", headers={"X-Forwarded-For": f"{claimed}, {visitor}"}).status_code
            for claimed in ("198.51.100.1", "198.51.100.2", "127.0.0.1")
        ]
        assert asked == [200, 200, 429]


# What is kept and written down.


def test_what_belongs_to_somebody_is_kept_by_no_cache(site: Site, waiting: dict[str, Any], acme: Tenant) -> None:
    acme.create(id="theirs")
    private = [
        call
        for call in CALLS
        if call.method == "GET"
        and ("{id}" in call.path or call.tenant_key or call.path in ("/tenants", "/api/statuses"))
    ]
    assert len(private) >= 10
    for call in private:
        if call.path.endswith(STREAMS):
            continue  # below
        id = "theirs" if call.tenant_key else waiting["id"]
        headers = {"Authorization": f"Bearer {acme.key if call.tenant_key else OPERATOR}"}
        answer = site.client.get(
            filled(call, id=id, tenant="acme"), headers=headers, params={"ids": id} if "statuses" in call.path else {}
        )
        assert {"no-store", "private"} & set(answer.headers["cache-control"].split(", ")), named(call)
    with site.client.stream("GET", f"/api{waiting['url']}/stream") as stream:
        assert "no-store" in stream.headers["cache-control"]
        assert stream.headers["x-content-type-options"] == "nosniff"
    created = site.client.post("/api/instances", json={"source": HELLO})
    assert "no-store" in created.headers["cache-control"]  # it carries a token


def test_no_secret_is_in_the_log_or_in_an_address(site: Site, acme: Tenant) -> None:
    made = site.create(APPROVAL)
    site.until(made, "wait_started")
    site.operate(made, "events/approved", {"by": "Ada"})
    site.finish(made)
    hook = acme.ask("POST", "/trigger").json()["url"]
    site.client.post(hook, content=b"{broken")
    site.client.post(hook + "x")
    for path in (made["url"], f"/api{made['url']}/nowhere", f"/x/{made['id']}", f"/{made['control_token']}"):
        site.client.get(path, params={"token": made["control_token"]})
    site.operate(made, "pause")
    site.client.post(f"/api{made['url']}/pause", headers={"Authorization": f"Bearer {acme.key}"})
    site.client.get("/tenants", headers={"Authorization": f"Bearer {made['control_token']}"})
    site.client.get("/tenants", headers={"Authorization": f"Bearer {OPERATOR}"})
    written = "\n".join(lines(site.log))
    for secret in (made["control_token"], made["id"], acme.key, hook.rsplit("/", 1)[1], OPERATOR):
        assert secret not in written
    shown = site.client.get(made["url"], headers=BROWSER).text + site.client.get(f"/api{made['url']}").text
    assert made["control_token"] not in shown
    stored = site.stored()
    assert made["control_token"].encode() not in stored
    assert acme.key.encode() not in stored
    assert OPERATOR.encode() not in stored


def test_what_others_wrote_stays_on_one_line_of_the_log(site: Site) -> None:
    evil = "a\nb\r\x1b[31mred\x07\u2028\u202edlrow\x9b2J\x00\x85"
    before = len(site.log)
    site.client.get("/new", params={"source": "x", "params": evil})
    site.client.post("/api/instances", json={"source": HELLO, "id": evil})
    site.client.post("/api/check", content=evil.encode())
    site.client.get("/nothing/" + "%0a%1b%5b31m")
    written = lines(site.log[before:])
    assert len(written) == len(site.log) - before >= 4
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", "".join(written))


def lines(log: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """What the server would have printed of what it logged, were nothing left out."""
    out = io.StringIO()
    for event, fields in log:
        open_log(out)(event, **fields)
    return out.getvalue().split("\n")[:-1]
