"""Forks: a new instance begins with what another one finished, up to a step, with an edited result or edited code."""

from typing import Any

import pytest
from http_support import MakeSite, Site, bearer, code_of
from tenants_support import Tenant

from playground.engine import forks
from playground.store.encoding import as_objects
from playground.workflows.state import fold

HEAD = """\
from workers import WorkflowEntrypoint, NonRetryableError


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
"""


def code(body: str) -> str:
    return HEAD + "".join(f"        {line}\n" if line else "\n" for line in body.strip("\n").split("\n"))


STEPS = code("""
async def one():
    print("one runs")
    await self.env.KV.put("seen", "by one")
    return {"n": 1}
async def two():
    await self.env.KV.put("seen", "by two")
    return {"n": 2}
async def three():
    return await self.env.KV.get("seen")
a = await step.do("one", one)
await step.sleep("nap", 40)
b = await step.do("two", two)
c = await step.do("three", three)
return [a, b, c]
""")
FAILS = code("""
async def one():
    return 1
async def bad():
    raise NonRetryableError("no")
async def caught():
    raise NonRetryableError("caught")
a = await step.do("one", one)
try:
    await step.do("caught", caught)
except NonRetryableError:
    pass
await step.do("bad", bad)
return a
""")
HIDES = code("""
async def key():
    return "s3cret-value"
async def after():
    return "after"
k = await step.do("key", key, config={"sensitive": "output"})
await step.do("after", after)
return len(k)
""")
SAGA = code("""
async def undo(ctx):
    print("undo", ctx["output"])
async def bad():
    raise NonRetryableError("no")
await step.do("one", lambda: 1, rollback=undo)
await step.do("two", lambda: 2, rollback=undo)
await step.do("bad", bad)
""")
WAITS = code("""
async def ask():
    return "asked"
await step.do("ask", ask)
got = await step.wait_for_event("approval", "approved", timeout="1 hour")
await step.wait_for_event("second", "approved", timeout="1 hour")
return got["payload"]
""")


def ask(site: Site, made: dict[str, Any], body: Any = None, token: bool = False) -> Any:
    return site.client.post(f"/api{made['url']}/fork", json=body or {}, headers=bearer(made) if token else {})


def forked(site: Site, made: dict[str, Any], body: Any = None, token: bool = False) -> dict[str, Any]:
    answer = ask(site, made, body, token)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def do(name: str, count: int = 1) -> dict[str, Any]:
    return {"kind": "do", "name": name, "count": count}


def copied(site: Site, made: dict[str, Any]) -> list[str]:
    return [event["step"]["name"] for event in site.journal(made) if event["type"] == "step_copied"]


def ran(site: Site, made: dict[str, Any]) -> list[str]:
    return [
        event["step"]["name"]
        for event in site.journal(made)
        if event["type"] in ("step_started", "sleep_started", "wait_started")
    ]


def until_step(site: Site, made: dict[str, Any], name: str) -> None:
    """Follow an instance until a step of this name has begun."""
    for kind, events in site.follow(made):
        if kind == "journal" and any((event.get("step") or {}).get("name") == name for event in events):
            return


@pytest.fixture(scope="module")
def parent(site: Site) -> dict[str, Any]:
    made = site.create(STEPS, params={"order": 7})
    assert site.finish(made)["output"] == [{"n": 1}, {"n": 2}, "by two"]
    return made


def test_a_fork_runs_from_its_step_with_what_finished_before_it(site: Site, parent: dict[str, Any]) -> None:
    made = forked(site, parent, {"from_step": do("two")})
    assert made["control_token"] != parent["control_token"] and made["snippet"] == parent["snippet"]
    shown = site.finish(made)
    assert (shown["output"], shown["params"], shown["status"]) == (
        [{"n": 1}, {"n": 2}, "by two"],
        {"order": 7},
        "complete",
    )
    assert (copied(site, made), ran(site, made)) == (["one", "nap"], ["two", "three"])
    assert shown["trigger"] == {"kind": "fork", "of": parent["id"], "seq": shown["trigger"]["seq"], "step": do("two")}
    started = site.journal(parent)[shown["trigger"]["seq"] - 1]
    assert (started["type"], started["step"]) == ("step_started", do("two"))
    one, nap = shown["steps"][:2]
    assert one["status"] == "completed" and one["output"] == {"n": 1} and one["attempts"] == []
    assert one["copied"]["attempts"] == 1 and one["copied"]["took_ms"] >= 0 and nap["copied"]["took_ms"] >= 1


def test_the_keys_of_a_fork_are_those_that_its_steps_wrote(site: Site, parent: dict[str, Any]) -> None:
    source = STEPS.replace('put("seen", "by two")', 'get("seen")').replace(
        'return {"n": 2}', 'return await self.env.KV.get("seen")'
    )
    made = forked(site, parent, {"from_step": do("two"), "source": source})
    shown = site.finish(made)
    assert shown["output"] == [{"n": 1}, "by one", "by one"]
    assert shown["trigger"]["source"] is True and shown["snippet"] != parent["snippet"]
    assert site.journal(parent)[-1]["seq"] == site.client.get(f"/api{parent['url']}").json()["last_seq"]


def test_an_edited_result_is_kept_in_place_of_the_step(site: Site, parent: dict[str, Any]) -> None:
    made = forked(site, parent, {"from_step": do("one"), "output": {"n": {"$datetime": "2026-01-31T10:00:00+00:00"}}})
    shown = site.finish(made)
    assert shown["output"][0] == {"n": {"$datetime": "2026-01-31T10:00:00+00:00"}}
    assert (copied(site, made), ran(site, made)) == (["one"], ["nap", "two", "three"])
    assert shown["steps"][0]["copied"]["edited"] is True


def test_an_edited_null_is_a_result(site: Site, parent: dict[str, Any]) -> None:
    made = forked(site, parent, {"from_step": do("one"), "output": None})
    assert site.finish(made)["output"][0] is None


def test_a_fork_of_a_fork_keeps_how_its_steps_went_at_first(site: Site, parent: dict[str, Any]) -> None:
    made = forked(site, parent, {"from_step": do("two")})
    site.finish(made)
    again = forked(site, made)
    shown = site.finish(again)
    assert copied(site, again) == ["one", "nap", "two", "three"] and ran(site, again) == []
    assert [step["copied"]["attempts"] for step in shown["steps"] if step["kind"] == "do"] == [1, 1, 1]


def test_a_fork_of_a_failed_run_keeps_all_but_the_error_that_ended_it(site: Site) -> None:
    parent = site.create(FAILS)
    assert site.finish(parent)["status"] == "errored"
    made = forked(site, parent, {"source": FAILS.replace('raise NonRetryableError("no")', "return 2")})
    shown = site.finish(made)
    assert (shown["status"], shown["output"]) == ("complete", 1)
    assert (copied(site, made), ran(site, made)) == (["one", "caught"], ["bad"])
    assert shown["steps"][1]["error"]["message"] == "caught"


def test_events_received_before_the_step_are_kept_and_later_ones_are_not(site: Site) -> None:
    parent = site.create(WAITS)
    site.until(parent, "wait_started")
    assert site.operate(parent, "events/approved", {"by": "mara"}).status_code == 202
    until_step(site, parent, "second")
    site.operate(parent, "events/other", 1)
    made = forked(site, parent, {"from_step": {"kind": "wait", "name": "second"}})
    until_step(site, made, "second")
    kept = site.journal(made)
    assert copied(site, made) == ["ask", "approval"] and not [
        event for event in kept if event["type"] == "event_received"
    ]
    site.operate(made, "events/approved", 2)
    assert site.finish(made)["output"] == {"by": "mara"}
    edited = forked(site, parent, {"from_step": {"kind": "wait", "name": "approval"}, "output": {"by": "eve"}})
    until_step(site, edited, "second")
    site.operate(edited, "events/approved", 2)
    assert site.finish(edited)["output"] == {"by": "eve"}
    assert site.operate(parent, "terminate").status_code == 202


def test_a_sensitive_result_is_forked_only_with_the_control_token_and_stays_hidden(site: Site) -> None:
    parent = site.create(HIDES)
    site.finish(parent)
    body = {"from_step": do("after")}
    said = ask(site, parent, body)
    assert (
        code_of(said) == (401, "token.missing")
        and 'The result of step "key" is sensitive' in said.json()["error"]["message"]
    )
    other = site.create(HIDES)
    wrong = site.client.post(f"/api{parent['url']}/fork", json=body, headers=bearer(other))
    assert code_of(wrong) == (403, "token.wrong")
    made = forked(site, parent, body, token=True)
    assert site.finish(made)["output"] == len("s3cret-value")
    assert "s3cret" not in site.client.get(f"/api{made['url']}/events").text
    # Nothing hidden is kept, so the link is enough.
    edited = forked(site, parent, {"from_step": do("key"), "output": "other"})
    assert site.finish(edited)["output"] == len("other")
    assert '"other"' not in site.client.get(f"/api{edited['url']}/events").text


def test_what_a_fork_has_copied_is_rolled_back_as_if_it_had_run_there(site: Site) -> None:
    parent = site.create(SAGA)
    assert site.finish(parent)["rollback"] == "complete"
    made = forked(site, parent, {"from_step": do("two"), "output": "edited"})
    shown = site.finish(made)
    assert (shown["status"], shown["rollback"]) == ("errored", "complete")
    assert [event["data"]["text"] for event in site.journal(made) if event["type"] == "log"] == [
        "undo edited",
        "undo 1",
    ]
    assert [step["rollback"]["status"] for step in shown["steps"][:2]] == ["completed", "completed"]


def test_a_fork_is_restarted_from_the_top_or_from_a_copied_step(site: Site, parent: dict[str, Any]) -> None:
    made = forked(site, parent, {"from_step": do("three")})
    site.finish(made)
    assert site.operate(made, "restart", {"from_step": do("two")}).status_code == 202
    assert site.finish(made)["output"] == [{"n": 1}, {"n": 2}, "by two"]
    assert ran(site, made) == ["three", "two", "three"]
    assert site.operate(made, "restart").status_code == 202
    site.finish(made)
    assert ran(site, made)[3:] == ["one", "nap", "two", "three"]


def test_the_rows_of_a_fork_say_the_same_as_its_journal(site: Site, parent: dict[str, Any]) -> None:
    made = forked(site, parent, {"from_step": do("two"), "output": [1]})
    site.finish(made)
    row = site.call(site.engine.store.find("", made["id"]))
    snapshot, events = (
        site.call(site.engine.store.load(row.key)),
        site.call(site.engine.store.events(row.key, after=0, limit=1000)),
    )
    state = fold(events)
    assert list(state.steps) == list(snapshot.steps)
    for key, step in state.steps.items():
        stored = snapshot.steps[key]
        assert (stored.status, stored.started_seq, stored.attempt) == (
            step.status,
            step.started_seq,
            len(step.attempts),
        )
        assert key.kind == "sleep" or as_objects(stored.result) == step.output


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"from_step": do("nine")}, (409, "instance.cannot_fork")),
        ({"from_step": do("two", 2)}, (409, "instance.cannot_fork")),
        ({"from_step": {"kind": "sleep", "name": "nap"}, "output": 1}, (409, "instance.cannot_fork")),
        ({"output": 1}, (409, "instance.cannot_fork")),
        ({"from_step": do("one"), "output": {"$datetime": "yesterday"}}, (400, "not_serialisable")),
        ({"from_step": do("one"), "output": {"$bytes": 7}}, (400, "not_serialisable")),
        ({"from_step": do("one"), "output": "x" * (1024 * 1024)}, (413, "too_large")),
        ({"source": "def ("}, (422, "source.refused")),
        ({"from_step": {"name": "one", "kind": "loop"}}, (400, "body.invalid")),
        ({"from_step": "one"}, (400, "body.invalid")),
        ({"step": 1}, (400, "body.invalid")),
        ([], (201, "")),
    ],
)
def test_bad_input_has_an_error_of_its_own_and_makes_nothing(
    site: Site, parent: dict[str, Any], body: Any, answer: tuple[int, str]
) -> None:
    before = site.call(site.engine.store.count())
    said = ask(site, parent, body)
    if answer[0] == 201:
        assert said.status_code == 201
        site.finish(said.json())
        return
    assert code_of(said) == answer
    assert sum(site.call(site.engine.store.count()).values()) == sum(before.values())


def test_a_fork_copies_only_so_much(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = site.create(
        code("""
for part in range(5):
    await step.do("part", lambda: "x" * 1_000)
""")
    )
    site.finish(made)
    monkeypatch.setattr(forks, "COPIED_BYTES", 3_500)
    said = ask(site, made)
    assert code_of(said) == (413, "too_large") and "Fork at an earlier step." in said.json()["error"]["message"]
    assert len(copied(site, forked(site, made, {"from_step": do("part", 4)}))) == 3


def test_a_run_that_is_not_there_cannot_be_forked(site: Site) -> None:
    assert code_of(site.client.post("/api/instances/nobody/fork", json={})) == (404, "instance.not_found")


def test_forks_count_as_starts(make_site: MakeSite) -> None:
    strict = make_site(starts_per_minute=2)
    made = strict.create(STEPS)
    strict.finish(made)
    assert '"starts_per_minute";r=0;' in ask(strict, made).headers["RateLimit"]
    assert code_of(ask(strict, made)) == (429, "too_many")


def test_only_whoever_may_change_the_parent_is_told_of_its_forks(site: Site) -> None:
    made = site.create(STEPS)
    site.finish(made)
    forks = [forked(site, made, {"from_step": do("three")})["id"] for _ in range(2)]
    assert "forks" not in site.client.get(f"/api{made['url']}").json()
    assert site.client.get(f"/api{made['url']}", headers=bearer(made)).json()["forks"] == forks[::-1]
    for id in forks:
        site.finish({"url": f"/instances/{id}"})
    row = site.call(site.engine.store.find("", forks[1]))
    site.call(site.engine.store.delete(row.key))
    assert site.client.get(f"/api{made['url']}", headers=bearer(made)).json()["forks"] == forks[:1]


def test_a_tenants_instance_is_forked_with_its_key_with_edited_code_too(site: Site) -> None:
    acme = Tenant(site, "fork-acme")
    deployed = acme.deploy(STEPS)
    made = acme.create(params={"a": 1})
    acme.finish(made["id"])
    assert site.client.post(f"/api/tenants/fork-acme/instances/{made['id']}/fork", json={}).status_code == 401
    answer = acme.ask("POST", f"/instances/{made['id']}/fork", json={"from_step": do("three")})
    assert answer.status_code == 201 and answer.json()["version"] == deployed["version"]
    shown = acme.finish(answer.json()["id"])
    assert shown["output"][2] == "by two" and shown["params"] == {"a": 1} and shown["trigger"]["of"] == made["id"]
    edited = acme.ask(
        "POST",
        f"/instances/{made['id']}/fork",
        json={"from_step": do("three"), "source": STEPS.replace("[a, b, c]", "'edited'")},
    )
    assert acme.finish(edited.json()["id"])["output"] == "edited"
    assert [it["version"] for it in acme.ask("GET", "/workflow").json()["versions"]] == [deployed["version"]]
    assert acme.finish(made["id"])["forks"] == [edited.json()["id"], answer.json()["id"]]


def test_a_secret_that_a_tenants_result_holds_stays_blotted_out_in_a_fork(site: Site) -> None:
    acme = Tenant(site, "fork-secret")
    acme.ask("PUT", "/secrets/KEY", json={"value": "hunter2-hunter2"})
    source = code("""
async def read():
    return "key " + await self.env.SECRETS.get("KEY")
k = await step.do("read", read)
await step.do("after", read)
return k == "key hunter2-hunter2"
""")
    acme.deploy(source)
    made = acme.create()
    acme.finish(made["id"])
    fork = acme.ask("POST", f"/instances/{made['id']}/fork", json={"from_step": do("after")}).json()["id"]
    shown = acme.finish(fork)
    assert shown["output"] is True and shown["steps"][0]["output"] == "key [REDACTED]"
    assert "hunter2" not in acme.ask("GET", f"/instances/{fork}/events").text
