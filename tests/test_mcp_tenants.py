"""A tenant's workflows as an agent's tools: the official SDK's client over real HTTP."""

import json
from typing import Any

import httpx2
import mcp_types as types
import pytest
from aio import run, story
from dispatch_support import workflow
from http_support import MakeSite, Site
from mcp.shared.exceptions import MCPError
from mcp_support import MODERN, Json, Tasks, agent, ask_task, modern_request, text_of
from tenants_support import ECHO, WAITS, Tenant

from playground.web.mcp.tenant_tools import PAGE_TOOLS
from playground.web.mcp.toolbox import IDEMPOTENCY_KEY

REFUND = '''\
from typing import Literal, NotRequired, TypedDict
from workers import WorkflowEntrypoint, WorkflowEvent


class Refund(TypedDict):
    order: str
    "Which order."
    amount: float
    how: NotRequired[Literal["card", "cash"]]


class Receipt(TypedDict):
    refunded: float


class TenantWorkflow(WorkflowEntrypoint):
    """Refund an order."""

    async def run(self, event: WorkflowEvent[Refund], step) -> Receipt:
        return {"refunded": event["payload"]["amount"]}
'''
SLEEPS = workflow('await step.sleep("long", "1 hour")\nreturn 7')
FAILS = workflow("raise ValueError('there is no such order')")
EITHER = workflow('got = await step.wait_for_event("decision", ["yes", "no"])\nreturn [got["type"], got["payload"]]')
# What is met at its edge by a sleep of an hour, which no call waits for.
SECONDS = {"mcp_wait_seconds": 1, "mcp_task_seconds": 1, "mcp_poll_ms": 20}


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(idle_grace_ms=100, **SECONDS)


@pytest.fixture(scope="module")
def acme(site: Site) -> Tenant:
    tenant = Tenant(site, "acme")
    sources = {
        "echo": ECHO, "refund": REFUND, "asks": WAITS, "sleeps": SLEEPS, "fails": FAILS, "either": EITHER,
        "get_run": ECHO,
    }  # fmt: skip
    for name, source in sources.items():
        assert tenant.ask("PUT", f"/workflows/{name}", json={"source": source}).status_code == 201
    return tenant


def url(site: Site, tenant: str = "acme") -> str:
    return f"http://127.0.0.1:{site.port}/mcp/tenants/{tenant}"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@story
async def test_each_deployed_workflow_is_a_tool_of_both_generations(site: Site, acme: Tenant, mode: str) -> None:
    async with agent(url(site), acme.key, mode=mode) as client:
        listed = (await client.list_tools()).tools
        assert [it.name for it in listed] == [
            "asks", "echo", "either", "fails", "workflow.get_run", "refund", "sleeps",
            "answer_run", "control_run", "get_run",
        ]  # fmt: skip
        refund = next(it for it in listed if it.name == "refund")
        assert refund.description == "Refund an order."
        assert refund.input_schema["required"] == ["order", "amount"]
        assert refund.input_schema["properties"]["how"] == {"enum": ["card", "cash"]}
        result = await client.call_tool("refund", {"order": "a-1", "amount": 2.5})
        assert (result.structured_content, text_of(result)) == ({"refunded": 2.5}, '{"refunded":2.5}')
        wrong = await client.call_tool("refund", {"order": 1, "amount": 2.5})
        assert wrong.is_error and "`order` takes a string, not 1" in text_of(wrong)
        assert (await client.call_tool("workflow.get_run", {"a": 1})).structured_content == {"a": 1}
        failed = await client.call_tool("fails", {})
        assert failed.is_error and "ValueError: there is no such order (line " in text_of(failed)
        assert "get_run(id=" in text_of(failed), "says what to do"
        with pytest.raises(MCPError, match="There is no tool 'nothing' here"):
            await client.call_tool("nothing", {})


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@story
async def test_a_call_that_takes_long_answers_with_the_run_and_how_to_ask(site: Site, acme: Tenant, mode: str) -> None:
    async with agent(url(site), acme.key, mode=mode) as client:
        await client.list_tools()
        asked = await client.call_tool("asks", {})
        run_id = asked.structured_content["id"]
        assert asked.structured_content["waits_for"][0]["types"] == ["go"] and not asked.is_error
        assert f'answer_run(id="{run_id}", type="go"' in text_of(asked)
        answered = await client.call_tool("answer_run", {"id": run_id, "type": "go", "payload": {"yes": True}})
        assert not answered.is_error, text_of(answered)
        found = (await client.call_tool("get_run", {"id": run_id, "wait": 20, "after": 0})).structured_content
        assert (found["status"], found["output"]) == ("complete", {"yes": True})
        assert [step["status"] for step in found["steps"]] == ["completed"] and found["events"][0]["seq"] == 1
        late = await client.call_tool("answer_run", {"id": run_id, "type": "go"})
        assert late.is_error and "instance.in_finite_state" in text_of(late)
        slow = (await client.call_tool("sleeps", {})).structured_content
        assert slow["state"].startswith("it sleeps until")
        woken = await client.call_tool("control_run", {"id": slow["id"], "action": "wake"})
        assert not woken.is_error, text_of(woken)
        found = (await client.call_tool("get_run", {"id": slow["id"], "wait": 20})).structured_content
        assert (found["status"], found["output"]) == ("complete", 7)
        for arguments in ({"id": slow["id"], "action": "explode"}, {"id": 3, "action": "wake"}, {"action": "wake"}):
            assert (await client.call_tool("control_run", arguments)).is_error
        entries = acme.ask("GET", "/audit").json()["entries"]
        told = [it["target"] for it in entries if it["action"] == "agent.call"]
        assert told[:2] == [f"{slow['id']} sleep_completed", f"{run_id} event_received"], "the audit log names them"


@story
async def test_what_a_run_waits_for_is_asked_of_the_client_within_the_call(site: Site, acme: Tenant) -> None:
    asked: list[Any] = []

    async def answer(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        asked.append(params)
        return types.ElicitResult(action="accept", content={"payload": '{"n": 3}', "type": "no"})

    async with agent(url(site), acme.key, elicit=answer) as client:
        result = await client.call_tool("either", {})
    assert result.structured_content == {"result": ["no", {"n": 3}]}
    assert 'waits for the event "yes" or "no" at the step decision' in asked[0].message

    async def decline(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="decline")

    async with agent(url(site), acme.key, elicit=decline) as client:
        result = await client.call_tool("asks", {})
        assert result.structured_content["waits_for"], "nobody agreed, and the run waits on"
        await client.call_tool("control_run", {"id": result.structured_content["id"], "action": "terminate"})


@story
async def test_a_run_is_a_task_to_whoever_takes_tasks(site: Site, acme: Tenant) -> None:
    tasks = Tasks(lambda asked: {"action": "accept", "content": {"payload": "plain words"}})
    async with agent(url(site), acme.key, tasks=tasks) as client:
        assert (await client.call_tool("echo", {"x": 1})).structured_content == {"x": 1}
        assert tasks.seen == [], "what ends soon is answered at once"
        result = await client.call_tool("asks", {})
        assert text_of(result) == "plain words"
        assert "input_required" in tasks.statuses and tasks.statuses[-1] == "completed"
        (made,) = tasks.seen
        done = await ask_task(client.session, "tasks/get", made)
        assert done["status"] == "completed" and done["ttlMs"] > 0 and "inputRequests" not in done
        await ask_task(client.session, "tasks/update", made, {"wait-1": {"action": "accept"}})  # is passed over
        await ask_task(client.session, "tasks/cancel", made)
        assert (await ask_task(client.session, "tasks/get", made))["status"] == "completed"
        sleeping = await client.session.call_tool("sleeps", {}, allow_claimed=True)
        assert sleeping.status == "working" and sleeping.poll_interval_ms == 60_000, "not before it wakes"
        await ask_task(client.session, "tasks/cancel", sleeping.task_id)
        gone = await ask_task(client.session, "tasks/get", sleeping.task_id)
        assert gone["status"] == "cancelled" and "terminated" in gone["statusMessage"]


@story
async def test_a_call_with_a_key_that_is_sent_again_finds_its_run(site: Site, acme: Tenant) -> None:
    meta: Any = {IDEMPOTENCY_KEY: "order 17"}
    async with agent(url(site), acme.key) as client:
        first = (await client.call_tool("asks", {"n": 1}, meta=meta)).structured_content
        again = (await client.call_tool("asks", {"n": 1}, meta=meta)).structured_content
        assert first["id"] == again["id"]
        for name, arguments in (("asks", {"n": 2}), ("sleeps", {"n": 1})):
            with pytest.raises(MCPError, match="used with other arguments, or for another tool"):
                await client.call_tool(name, arguments, meta=meta)


# Hostile.


def post(site: Site, key: str | None, body: Any, headers: dict[str, str], tenant: str = "acme") -> httpx2.Response:
    auth = {} if key is None else {"Authorization": f"Bearer {key}"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {**headers, **auth, "Content-Type": "application/json"}
    return site.client.post(f"/mcp/tenants/{tenant}", content=content, headers=sent)


def ask(site: Site, key: str, method: str, params: Json, **capabilities: Any) -> Json:
    body, headers = modern_request(method, params, capabilities=capabilities)
    return dict(post(site, key, body, headers).json())


TAKES_TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


def test_nobody_without_the_tenants_key_gets_in(site: Site, acme: Tenant) -> None:
    other = Tenant(site, "other")
    body, headers = modern_request("tools/list", {})
    for key, tenant, status, code in (
        (None, "acme", 401, "key.missing"),
        ("pk_nobody", "acme", 403, "key.wrong"),
        (other.key, "acme", 403, "key.wrong"),
        (acme.key, "nobody", 403, "key.wrong"),
        (acme.key, "a%20b", 400, "workflow.invalid_name"),
    ):
        answer = post(site, key, body, headers, tenant)
        assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (status, code)
        assert answer.json()["jsonrpc"] == "2.0"
    assert post(site, None, body, headers).headers["www-authenticate"] == "Bearer"
    assert site.client.get("/mcp/tenants/acme", headers={"Authorization": f"Bearer {acme.key}"}).status_code == 405


def test_pages_of_other_sites_and_other_names_are_refused(site: Site, acme: Tenant) -> None:
    body, headers = modern_request("tools/list", {})
    cross = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert post(site, acme.key, body, {**headers, **cross}).json()["error"]["data"]["code"] == "cross_origin"
    rebound = post(site, acme.key, body, {**headers, "Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["error"]["code"]) == (421, "host.refused")


def test_tasks_of_others_and_made_up_ones_are_not_there(site: Site, acme: Tenant) -> None:
    other = Tenant(site, "other2")
    other.deploy(WAITS)
    theirs = other.create()["id"]
    for id in (theirs, "made-up", "../x", "x" * 5_000, "", "\u0000"):
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            params = {"taskId": id} | ({"inputResponses": {}} if method == "tasks/update" else {})
            body, headers = modern_request(method, params, capabilities=TAKES_TASKS)
            headers.pop("Mcp-Name", None)
            answer = post(site, acme.key, body, headers).json()
            assert answer["error"]["code"] == -32602, (method, id, answer)
    assert other.ask("GET", f"/instances/{theirs}").json()["status"] in ("queued", "running", "waiting")
    refused = ask(site, acme.key, "tasks/get", {"taskId": theirs})
    assert refused["error"]["code"] == -32021 and "requiredCapabilities" in refused["error"]["data"]


def test_a_forged_or_borrowed_state_leads_nowhere_and_a_replayed_one_to_the_same_run(site: Site, acme: Tenant) -> None:
    elicits = {"elicitation": {"form": {}}}
    asked = ask(site, acme.key, "tools/call", {"name": "asks", "arguments": {}}, **elicits)["result"]
    state, (key,) = asked["requestState"], asked["inputRequests"]
    answer = {key: {"action": "accept", "content": {"payload": "1"}}}
    whole = {"name": "asks", "arguments": {}, "requestState": state, "inputResponses": answer}
    forged = [
        {**whole, "requestState": state[:-1] + ("0" if state[-1] != "0" else "1")},
        {**whole, "requestState": "x." + state.partition(".")[2]},
        {**whole, "requestState": "\u00fc.\u00fc"},
        {**whole, "requestState": "a" * 100_000},
        {**whole, "name": "either"},
        {**whole, "arguments": {"more": 1}},
    ]
    for params in forged:
        said = ask(site, acme.key, "tools/call", params, **elicits)
        assert "requestState was not made for this call" in said["error"]["message"], params
    first = ask(site, acme.key, "tools/call", whole, **elicits)["result"]
    again = ask(site, acme.key, "tools/call", whole, **elicits)["result"]
    assert first["structuredContent"] == again["structuredContent"] == {"result": 1}
    other = Tenant(site, "other3")
    other.ask("PUT", "/workflows/asks", json={"source": WAITS})
    body, headers = modern_request("tools/call", whole, capabilities=elicits)
    borrowed = post(site, other.key, body, headers, "other3").json()
    assert "requestState was not made for this call" in borrowed["error"]["message"]


def test_what_is_too_large_or_no_json_is_refused_before_it_is_read(site: Site, acme: Tenant) -> None:
    body, headers = modern_request("tools/call", {"name": "echo", "arguments": {"x": "y" * 10_000_000}})
    answer = post(site, acme.key, body, headers)
    assert answer.status_code == 413 and "The body is larger than" in answer.json()["error"]["message"]
    body, headers = modern_request("tools/call", {"name": "echo", "arguments": {"x": "y" * 1_100_000}})
    told = post(site, acme.key, body, headers).json()["result"]
    assert told["isError"] and "the limit is 1,048,576" in told["content"][0]["text"]
    deep = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    for content in (deep, b"", b"nothing", b'{"a": NaN}', b"\xff"):
        answer = post(site, acme.key, content, headers)
        assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (400, "body.not_json")
    for content in (b"[]", b'"x"', b"{}", b'{"jsonrpc":"2.0","id":1}', b'{"jsonrpc":"2.0","id":{},"method":"ping"}'):
        for version in (MODERN, "2025-11-25", "1999-01-01"):
            answer = post(site, acme.key, content, {**headers, "MCP-Protocol-Version": version})
            assert answer.status_code < 500 and (not answer.content or "Traceback" not in answer.text)
    assert not site.log.of("failed")


def test_a_client_that_hangs_up_ends_its_wait_and_not_the_run(make_site: MakeSite) -> None:
    site = make_site(mcp_wait_seconds=600, streams_per_address=1)
    acme = Tenant(site, "acme")
    acme.deploy(workflow('await step.sleep("a moment", "30 seconds")\nreturn await self.env.KV.get("x")'))
    body, headers = modern_request("tools/call", {"name": "main", "arguments": {}})

    async def hang_up() -> None:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{site.port}") as client:
            auth = {"Authorization": f"Bearer {acme.key}"}
            with pytest.raises(httpx2.ReadTimeout):
                await client.post("/mcp/tenants/acme", json=body, headers={**headers, **auth}, timeout=1.0)

    run(hang_up())
    (made,) = acme.ask("GET", "/instances").json()["instances"]
    assert acme.ask("POST", f"/instances/{made['id']}/wake").status_code == 202
    acme.finish(made["id"])
    again = post(
        site, acme.key, *modern_request("tools/call", {"name": "get_run", "arguments": {"id": made["id"], "wait": 5}})
    )
    assert again.json()["result"]["structuredContent"]["status"] == "complete", "its place among the streams is free"


def test_many_tools_come_in_pages_in_one_order(site: Site) -> None:
    many = Tenant(site, "many")
    for number in range(PAGE_TOOLS + 3):
        many.ask("PUT", f"/workflows/w{number:03}", json={"source": ECHO})
    body, headers = modern_request("tools/list", {})
    first = post(site, many.key, body, headers, "many").json()["result"]
    body, headers = modern_request("tools/list", {"cursor": first["nextCursor"]})
    second = post(site, many.key, body, headers, "many").json()["result"]
    names = [it["name"] for it in (*first["tools"], *second["tools"])]
    assert names == [f"w{number:03}" for number in range(PAGE_TOOLS + 3)] + ["answer_run", "control_run", "get_run"]
    assert len(first["tools"]) == PAGE_TOOLS and "nextCursor" not in second
