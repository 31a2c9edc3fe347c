"""The API over real HTTP: checking, snippets, examples, and what the server says of itself."""

import json
import re

from http_support import HELLO, Site

from playground.workflows import events as ev


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
    } <= calls
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named <= set(document["components"]["schemas"])
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    assert all(operation["summary"] for methods in document["paths"].values() for operation in methods.values())
    assert {it["name"] for it in document["paths"]["/tenants"]["get"]["parameters"]} == {"operator", "after", "limit"}
    create = document["paths"]["/api/instances"]["post"]["responses"]
    assert {"201", "400", "404", "409", "413", "422", "429", "503"} <= set(create)


def test_answers_are_those_that_the_contract_describes(site: Site) -> None:
    """openapi.json says by hand what answers hold: a start, an instance, its events and a refusal are held to it."""
    schemas = site.client.get("/openapi.json").json()["components"]["schemas"]
    made = site.create(HELLO)
    shown = site.finish(made)
    error = site.client.get("/api/instances/nowhere").json()
    answers = {"Created": [made], "Instance": [shown], "Event": site.journal(made), "Error": [error]}
    assert set(schemas["Instance"]["properties"]["status"]["enum"]) == set(ev.STATUSES)
    for name, found in answers.items():
        for answer in found:
            assert set(schemas[name].get("required", ())) <= answer.keys(), name
            assert answer.keys() <= schemas[name]["properties"].keys(), name
