"""The API over real HTTP: checking, snippets, examples, and what the server says of itself."""

import json
import re

import msgspec
from http_support import APPROVAL, HELLO, Site, bearer

from playground.web.api.openapi import RESPONSE_TYPES


def test_a_check_finds_problems_and_the_outline_without_running(site: Site) -> None:
    good = site.client.post("/api/check", json={"source": HELLO}).json()
    assert (good["ok"], [(it["kind"], it["name"], it["line"]) for it in good["outline"]]) == (
        True,
        [("do", "greet", 6)],
    )
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
        ("post", f"{instance}/skip-sleeps"),
    } <= calls
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named <= set(document["components"]["schemas"])
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    assert all(operation["summary"] for methods in document["paths"].values() for operation in methods.values())
    assert {it["name"] for it in document["paths"]["/tenants"]["get"]["parameters"]} == {"operator", "after", "limit"}
    create = document["paths"]["/api/instances"]["post"]["responses"]
    assert {"201", "400", "404", "409", "413", "422", "429", "503"} <= set(create)


EVERY_KIND_OF_STEP = """\
from workers import NonRetryableError, WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def book(ctx):
            print("booking")
            await step.do("inner", lambda: 1)
            if ctx["attempt"] == 1:
                raise ValueError("once")
            return "x" * 5_000

        await step.do("book", book, config={"retries": {"limit": 1, "delay": 1}}, rollback=lambda it: None)
        await step.sleep("nap", 1)
        try:
            await step.wait_for_event("news", "news", timeout="1 second")
        except Exception:
            pass
        raise NonRetryableError("over")
"""


def test_responses_have_the_fields_that_openapi_says_and_no_other(site: Site) -> None:
    """Encoding what was decoded gives the same again only where no field is unknown, missing or of another type."""
    document = site.client.get("/openapi.json").json()
    made = [site.create(HELLO, params={"name": "Ada"}), site.create(EVERY_KIND_OF_STEP), site.create(APPROVAL)]
    for ended in made[:2]:
        site.finish(ended)
    assert site.operate(made[2], "break", {"step": {"name": "later"}, "how": "slow", "ms": 5}).status_code == 202
    answers = [("POST", "/api/check", site.client.post("/api/check", json={"source": "import requests\\nx ="}))]
    answers += [("POST", "/api/instances", site.client.post("/api/instances", json={"source": HELLO}))]
    fork = site.client.post(f"/api{made[0]['url']}/fork", json={})
    answers += [("POST", "/api/instances/{id}/fork", fork)]
    for it in [*made, fork.json()]:
        for rest in ("", "/events"):
            answer = site.client.get(f"/api{it['url']}{rest}", headers=bearer(it))
            answers += [("GET", "/api/instances/{id}" + rest, answer)]
    assert {(method, path) for method, path, _ in answers} == {
        (method, path) for method, path in RESPONSE_TYPES if "{tenant}" not in path
    }
    for method, path, answer in answers:
        type_ = RESPONSE_TYPES[method, path]
        assert msgspec.to_builtins(msgspec.json.decode(answer.content, type=type_)) == answer.json(), path
        content = document["paths"][path][method.lower()]["responses"][str(answer.status_code)]["content"]
        assert content["application/json"]["schema"]["$ref"].endswith("/" + type_.__name__)
    shown = site.client.get(f"/api{made[1]['url']}").json()
    assert [step["kind"] for step in shown["steps"]] == ["do", "do", "sleep", "wait"]
    assert [step for step in shown["steps"] if "parent" in step] and shown["steps"][0]["rollback"]["attempts"]
