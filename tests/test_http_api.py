"""The API over real HTTP: the calls of the contract, and every bad input with its own clear error and one line of log."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from http_support import APPROVAL, HELLO, MakeSite, Site, bearer, running_sandbox


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


def refused(site: Site, answer: Any) -> tuple[int, str, str]:
    """Status, code and message of a refusal, which is one line in the log and shows nothing of the inside."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert "Traceback" not in answer.text
    (line,) = site.log
    name = "limit" if "setting" in error else "refused"
    assert (line[0], line[1]["status"], line[1]["code"]) == (name, answer.status_code, error["code"])
    return answer.status_code, error["code"], error["message"]


# The way of an instance.


def test_an_instance_runs_from_source_and_params_to_its_output(site: Site) -> None:
    answer = site.client.post("/api/instances", json={"source": HELLO, "params": {"name": "Ada"}})
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"id", "status", "url", "snippet", "control_token"}
    assert (made["status"], made["url"]) == ("queued", f"/instances/{made['id']}")
    assert answer.headers["location"] == f"/api/instances/{made['id']}"
    done = site.finish(made)
    assert (done["status"], done["output"], done["error"]) == ("complete", {"greeting": "Hello, Ada!"}, None)
    assert (done["id"], done["params"], done["snippet"], done["rollback"]) == (made["id"], {"name": "Ada"}, made["snippet"], None)
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
    made = site.client.post("/api/instances", json={"example": "hello"}).json()
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
        site.client.post(f"/api{made['url']}/events/approved", content=json.dumps(payload), headers=bearer(made)).status_code
        == 202
    )
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


def test_a_sleep_is_ended_by_hand(site: Site) -> None:
    made = site.create(
        APPROVAL.replace('wait_for_event("approval", "approved", timeout="1 hour")', 'sleep("nap", "1 hour")').replace(
            'approval["payload"]', "approval"
        )
    )
    site.until(made, "sleep_started")
    assert site.operate(made, "wake", {"step": {"name": "nap", "kind": "sleep"}}).status_code == 202
    assert site.finish(made)["steps"][1]["virtual"] is True


def test_nothing_to_wake_is_said(site: Site) -> None:
    made = site.create(HELLO)
    site.finish(made)
    site.log.clear()
    assert refused(site, site.operate(made, "wake"))[:2] == (409, "instance.nothing_to_wake")


@pytest.mark.parametrize("replays", [False, True], ids=["at start", "after replay"])
def test_a_worker_that_dies_again_and_again_ends_its_instance_and_no_other(site: Site, replays: bool) -> None:
    first = "        await step.do('one', lambda: 1)\n" if replays else ""
    head = "import os\nfrom workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, event, step):\n"
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


# Checking, snippets, examples.


def test_a_check_finds_problems_and_the_outline_without_running(site: Site) -> None:
    good = site.client.post("/api/check", json={"source": HELLO}).json()
    assert (good["ok"], [(it["kind"], it["name"], it["line"]) for it in good["outline"]]) == (True, [("do", "greet", 6)])
    bad = site.client.post("/api/check", json={"source": "def f(:\n    pass"}).json()
    assert bad["ok"] is False
    (problem,) = [it for it in bad["diagnostics"] if it["severity"] == "error"]
    assert (problem["line"], problem["column"]) == (1, 7)
    assert {"severity", "code", "message", "line", "column", "end_line", "end_column"} <= set(problem)


def test_the_same_code_is_the_same_snippet_for_ever(site: Site) -> None:
    first = site.client.post("/api/snippets", json={"source": HELLO, "params": {"b": 1, "a": [2.5, None]}})
    again = site.client.post("/api/snippets", json={"source": HELLO, "params": {"b": 1, "a": [2.5, None]}})
    other = site.client.post("/api/snippets", json={"source": HELLO})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json() != other.json()
    got = site.client.get(f"/api/snippets/{first.json()['id']}")
    assert (got.json()["source"], got.json()["params"]) == (HELLO, {"b": 1, "a": [2.5, None]})
    assert "immutable" in got.headers["cache-control"]
    assert site.client.get(f"/api/snippets/{other.json()['id']}").json()["params"] is None


def test_examples_are_listed_and_given_whole(site: Site) -> None:
    listed = site.client.get("/api/examples").json()["examples"]
    assert next(it["slug"] for it in listed) == "hello"
    assert all(it["title"] and it["lesson"] and "source" not in it for it in listed)
    one = site.client.get("/api/examples/hello").json()
    assert "class TenantWorkflow" in one["source"]


# Bad input.

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


@pytest.mark.parametrize(("body", "status", "code", "said"), [it[1:] for it in BAD_CREATES], ids=[it[0] for it in BAD_CREATES])
def test_a_bad_create_is_refused_clearly(site: Site, body: bytes, status: int, code: str, said: str) -> None:
    site.log.clear()
    answer = site.client.post("/api/instances", content=body)
    found = refused(site, answer)
    assert found[:2] == (status, code)
    assert said in found[2]
    if status == 422:
        problem = answer.json()["error"]["diagnostics"][0]
        assert problem["line"] >= 1 and problem["column"] >= 1


@pytest.mark.parametrize("path", ["/api/check", "/api/snippets", "/api/instances"], ids=["check", "snippet", "instance"])
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


OPERATIONS = ["events/approved", "pause", "resume", "terminate", "restart", "kill-worker", "wake"]


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
        ("pause", {"now": True}, 400, "body.invalid"),
    ],
)
def test_a_bad_operation_is_refused_and_changes_nothing(site: Site, operation: str, body: Any, status: int, code: str) -> None:
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
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
            assert int(answer.headers["retry-after"]) > 0
        assert [fields["code"] for fields in site.log.of("refused")] == ["busy", "busy"]
        assert site.client.get("/", headers={"Accept": "text/html"}).status_code == 200
        assert site.client.get(f"/api{made['url']}").status_code == 200
        site.close()


# About itself.


def test_health_tells_how_well_it_is_isolated(site: Site) -> None:
    answer = site.client.get("/healthz").json()
    assert (answer["status"], answer["version"]) == ("ok", "1.2.3")
    assert answer["isolation"]["letter"] in "ABCD"
    assert answer["isolation"]["sentence"]
    assert answer["store"]["kind"] == "sqlite"


def test_openapi_describes_every_call_of_the_contract(site: Site) -> None:
    document = site.client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    calls = {(method, path) for path, methods in document["paths"].items() for method in methods}
    instance = "/api/instances/{id}"
    assert {
        ("post", "/api/check"),
        ("post", "/api/snippets"),
        ("get", "/api/snippets/{snippet}"),
        ("get", "/api/examples"),
        ("post", "/api/instances"),
        ("get", instance),
        ("delete", instance),
        ("get", f"{instance}/events"),
        ("get", f"{instance}/stream"),
        ("get", "/healthz"),
        *(
            ("post", f"{instance}/{name}")
            for name in ("events/{type}", "pause", "resume", "terminate", "restart", "kill-worker", "wake")
        ),
    } <= calls
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named <= set(document["components"]["schemas"])
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    assert all(operation["summary"] for methods in document["paths"].values() for operation in methods.values())
    create = document["paths"]["/api/instances"]["post"]["responses"]
    assert {"201", "400", "404", "409", "413", "422", "429", "503"} <= set(create)
