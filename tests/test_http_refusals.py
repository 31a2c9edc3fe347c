"""The API over real HTTP: every bad input has its own clear error and one line of log."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from http_support import APPROVAL, HELLO, MakeSite, Site, bearer, code_of, refused, running_sandbox


@pytest.fixture
def strict(make_site: MakeSite) -> Site:
    """A site with small limits."""
    return make_site(
        source_bytes=1_000,
        value_bytes=2_000,
        starts_per_minute=3,
        checks_per_minute=5,
        snippets_per_minute=2,
        changes_per_minute=2,
    )


BAD_CREATES = [
    ("not JSON", b"source=hello", 400, "body.not_json", "line 1, column 1"),
    ("empty", b"", 400, "body.not_json", "empty"),
    ("NaN", b'{"source": "", "params": NaN}', 400, "body.not_json", "NaN"),
    ("not an object", b"[1]", 400, "body.not_object", "an array"),
    ("no source", b"{}", 400, "body.invalid", "`source`, `snippet` or `example`"),
    ("two sources", b'{"source": "x", "example": "hello"}', 400, "body.invalid", "source and example were given"),
    ("source not text", b'{"source": 1}', 400, "body.invalid", "$.source"),
    ("unknown field", b'{"source": "x", "parms": 1}', 400, "body.invalid", "parms"),
    ("bad id", json.dumps({"source": HELLO, "id": "-x"}).encode(), 400, "instance.invalid_id", '"-x"'),
    ("id too long", json.dumps({"source": HELLO, "id": "x" * 101}).encode(), 400, "instance.invalid_id", "100"),
    ("unknown snippet", b'{"snippet": "nope"}', 404, "snippet.not_found", "no shared code"),
    ("unknown example", b'{"example": "nope"}', 404, "example.not_found", "hello"),
    ("does not parse", json.dumps({"source": "x = = 1"}).encode(), 422, "source.refused", "Line 1, column 5"),
    ("no class", json.dumps({"source": "x = 1"}).encode(), 422, "source.refused", "TenantWorkflow"),
    ("NUL in source", json.dumps({"source": HELLO + "\0"}).encode(), 422, "source.refused", "Line"),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "said"), [it[1:] for it in BAD_CREATES], ids=[it[0] for it in BAD_CREATES]
)
def test_a_bad_create_is_refused_clearly(site: Site, body: bytes, status: int, code: str, said: str) -> None:
    site.log.clear()
    answer = site.client.post("/api/instances", content=body)
    found = refused(site, answer)
    assert found[:2] == (status, code)
    assert said in found[2]
    if status == 422:
        problem = answer.json()["error"]["diagnostics"][0]
        assert problem["line"] >= 1 and problem["column"] >= 1


@pytest.mark.parametrize(
    "path", ["/api/check", "/api/snippets", "/api/instances"], ids=["check", "snippet", "instance"]
)
def test_what_is_too_large_is_refused_with_its_limit(strict: Site, path: str) -> None:
    for body in ({"source": "#" * 1_001}, {"source": "#" * 60_000}):
        strict.log.clear()
        status, code, message = refused(strict, strict.client.post(path, json=body))
        assert (status, code) == (413, "too_large")
        assert re.search(r"\d,\d{3}", message)


def test_params_and_payloads_too_large_are_refused(strict: Site) -> None:
    for body in ({"source": HELLO, "params": "x" * 2_001}, {"source": HELLO, "params": "x" * 30_000}):
        strict.log.clear()
        assert refused(strict, strict.client.post("/api/instances", json=body))[:2] == (413, "too_large")
    made = strict.create(APPROVAL)
    for payload in ("x" * 2_001, "x" * 30_000):
        strict.log.clear()
        assert refused(strict, strict.operate(made, "events/approved", payload))[:2] == (413, "too_large")


OPERATIONS = ["events/approved", "pause", "resume", "terminate", "restart", "kill-worker", "wake", "skip-sleeps"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_only_the_right_token_changes_an_instance(site: Site, operation: str) -> None:
    made, other = site.create(APPROVAL), site.create(APPROVAL)
    url = f"/api{made['url']}/{operation}"
    site.log.clear()
    answer = site.client.post(url, json={})
    assert refused(site, answer)[:2] == (401, "token.missing")
    assert answer.headers["www-authenticate"] == "Bearer"
    site.log.clear()
    assert refused(site, site.client.post(url, json={}, headers=bearer(other)))[:2] == (403, "token.wrong")
    site.log.clear()
    assert refused(site, site.client.post(f"/api/instances/nobody/{operation}", json={}, headers=bearer(made)))[:2] == (
        404,
        "instance.not_found",
    )


def test_deleting_takes_the_token_too(site: Site) -> None:
    made = site.create()
    site.log.clear()
    assert refused(site, site.client.delete(f"/api{made['url']}"))[0] == 401
    assert site.client.get(f"/api{made['url']}").status_code == 200


@pytest.mark.parametrize(
    ("operation", "body", "status", "code"),
    [
        ("events/bad.type", 1, 400, "workflow.invalid_event_type"),
        ("kill-worker", {"when": "later"}, 400, "body.invalid"),
        ("terminate", {"rollback": "yes"}, 400, "body.invalid"),
        ("terminate", [], 400, "body.not_object"),
        ("restart", {"from_step": {"count": 1}}, 400, "body.invalid"),
        ("wake", {"step": {"name": "x", "kind": "dream"}}, 400, "body.invalid"),
        ("skip-sleeps", {"on": "yes"}, 400, "body.invalid"),
        ("pause", {"now": True}, 400, "body.invalid"),
    ],
)
def test_a_bad_operation_is_refused_and_changes_nothing(
    site: Site, operation: str, body: Any, status: int, code: str
) -> None:
    made = site.create(APPROVAL)
    before = site.until(made, "workflow_waiting")[-1]["seq"]
    site.log.clear()
    assert refused(site, site.operate(made, operation, body))[:2] == (status, code)
    assert site.client.get(f"/api{made['url']}").json()["last_seq"] == before


def test_a_payload_that_is_not_json_is_refused(site: Site) -> None:
    made = site.create(APPROVAL)
    site.log.clear()
    answer = site.client.post(f"/api{made['url']}/events/approved", content=b"yes", headers=bearer(made))
    assert refused(site, answer)[:2] == (400, "body.not_json")


def test_a_finished_instance_takes_no_event_and_has_no_worker(site: Site) -> None:
    made = site.create()
    site.finish(made)
    for operation, code in (("events/approved", "instance.in_finite_state"), ("kill-worker", "instance.no_worker")):
        site.log.clear()
        assert refused(site, site.operate(made, operation, {}))[:2] == (409, code)


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "limit=0", "limit=99999999", "after=9999999999999999999", "after=%D9%A3"]
)
def test_a_query_that_cannot_be_read_is_refused(site: Site, query: str) -> None:
    made = site.create()
    site.log.clear()
    assert refused(site, site.client.get(f"/api{made['url']}/events?{query}"))[:2] == (400, "query.invalid")


def test_an_unknown_address_and_method_are_refused(site: Site) -> None:
    site.log.clear()
    assert refused(site, site.client.get("/api/nothing"))[:2] == (404, "not_found")
    site.log.clear()
    answer = site.client.put("/api/instances", json={})
    assert refused(site, answer)[:2] == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_a_change_asked_for_by_another_site_is_refused(site: Site) -> None:
    site.log.clear()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        site.log.clear()
        answer = site.client.post("/api/instances", json={"source": HELLO}, headers=headers)
        assert refused(site, answer)[:2] == (403, "cross_origin")
    own = {"Sec-Fetch-Site": "same-origin", "Origin": str(site.client.base_url).rstrip("/")}
    assert site.client.post("/api/instances", json={"source": HELLO}, headers=own).status_code == 201


def test_an_address_over_its_limit_is_told_when_to_come_back(strict: Site) -> None:
    tiny = HELLO.replace('            print("hello")\n', "")
    made = [strict.create(tiny) for _ in range(3)]
    for call in (
        lambda: strict.client.post("/api/instances", json={"source": tiny}),
        lambda: strict.client.post("/api/snippets", json={"source": "1"}),
        lambda: strict.operate(made[0], "wake", {}),
        lambda: strict.client.post("/api/check", json={"source": "1"}),
    ):
        for _ in range(6):
            strict.log.clear()
            answer = call()
            if answer.status_code == 429:
                break
        status, code, message = refused(strict, answer)
        assert (status, code) == (429, "too_many")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "in a minute from your address" in message


def test_without_workers_it_says_when_to_come_back(tmp_path: Path) -> None:
    with running_sandbox() as (background, sandbox):
        site = Site(background, sandbox, tmp_path)
        made = site.create(APPROVAL)
        site.until(made, "workflow_waiting")
        background.call(sandbox.close())
        site.log.clear()
        for path in ("/api/check", "/api/instances"):
            answer = site.client.post(path, json={"source": HELLO})
            assert code_of(answer) == (503, "busy")
            assert int(answer.headers["retry-after"]) > 0
        assert [fields["code"] for fields in site.log.of("refused")] == ["busy", "busy"]
        assert site.client.get("/", headers={"Accept": "text/html"}).status_code == 200
        assert site.client.get(f"/api{made['url']}").status_code == 200
        site.close()
