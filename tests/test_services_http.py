"""A tenant's own model and servers of tools: set over HTTP within what the operator allows, with secrets that its code
never sees.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from dispatch_support import workflow
from http_support import Background, MakeSite, code_of
from model_server import KEY, ModelServer, model_server
from tenants_support import Tenant
from tool_server import TOKEN, ToolServer, tool_server

CALLS = workflow("""
async def asked():
    answer = await self.env.AI.run("gpt-x", {"prompt": "hello"})
    models = await self.env.AI.models()
    return [answer["response"], models, await self.env.SECRETS.names()]

total = (await self.env.MCPS.get("maths").call_tool("add", {"a": 20, "b": 22}))["structuredContent"]["total"]
try:
    await self.env.MCP.call_tool("add", {})
except Exception as error:
    missing = str(error)
return [await step.do("ask", asked), total, missing]
""")


@pytest.fixture
def servers() -> Iterator[tuple[ModelServer, ToolServer]]:
    background, opened = Background(), contextlib.AsyncExitStack()

    async def open_both() -> tuple[ModelServer, ToolServer]:
        return await opened.enter_async_context(model_server()), await opened.enter_async_context(tool_server())

    yield background.call(open_both())
    background.call(opened.aclose())
    background.close()


def allowed(url: str) -> str:
    """The rule of an address, as an operator writes it."""
    return url.partition("/v1")[0].partition("/mcp")[0]


def test_a_tenants_code_calls_its_own_model_and_tools_with_keys_that_it_never_sees(
    make_site: MakeSite, servers: tuple[ModelServer, ToolServer]
) -> None:
    models, tools = servers
    site = make_site(ai_hosts=allowed(models.url), tools_hosts=allowed(tools.url), fetch_reachable="127.0.0.1")
    acme = Tenant(site, "acme")
    acme.deploy(CALLS)
    for name, value in (("MODEL", KEY), ("TOOLS", TOKEN), ("OWN", "for the code")):
        acme.ask("PUT", f"/secrets/{name}", json={"value": value})
    model = {"base_url": models.url, "models": ["gpt-x"], "tokens_per_run": 9_000, "secret": "MODEL"}
    assert acme.ask("PUT", "/ai", json=model).json() == model == acme.ask("GET", "/ai").json()
    server = {"url": tools.url, "secret": "TOOLS", "tools": ["add"]}
    said = acme.ask("PUT", "/mcp-servers/maths", json=server)
    assert said.json() == {"name": "maths", **server} == acme.ask("GET", "/mcp-servers/maths").json()
    assert acme.ask("GET", "/mcp-servers").json() == {"servers": [said.json()]}

    run = acme.finish(acme.create()["id"])
    [[answer, names, secrets], total, missing] = run["output"]
    assert (answer, total) == ("you said hello", 42)
    assert names == ["@playground/echo", "@playground/script", "gpt-x"] and secrets == ["OWN"]
    assert missing == "This tenant has no server of tools 'default'; there are maths."
    assert models.headers[-1]["authorization"] == f"Bearer {KEY}" and tools.tokens == {f"Bearer {TOKEN}"}
    [step] = [step for step in run["steps"] if step["name"] == "ask"]
    assert step["ai"] | {"took_ms": 0} == {
        "calls": 1, "failed": 0, "took_ms": 0, "model": "gpt-x", "tokens_in": 11, "tokens_out": 5
    }  # fmt: skip
    shown = acme.ask("GET", f"/instances/{run['id']}/events").text
    assert KEY not in shown and TOKEN not in shown and "hello" in shown

    acme.ask("DELETE", "/secrets/MODEL")
    assert "is gone. Set it again" in str(acme.finish(acme.create()["id"])["error"])
    assert acme.ask("DELETE", "/ai").status_code == acme.ask("DELETE", "/mcp-servers/maths").status_code == 204
    assert code_of(acme.ask("GET", "/ai")) == (404, "service.not_found")
    assert acme.ask("GET", "/mcp-servers").json() == {"servers": []}


def test_what_cannot_be_set_is_refused_with_a_sentence(make_site: MakeSite) -> None:
    site = make_site(ai_hosts="*.example.com", tools_hosts="*.example.com", tool_servers_per_tenant=1)
    acme = Tenant(site, "acme")
    acme.deploy(CALLS)
    model: dict[str, Any] = {"base_url": "https://api.example.com/v1", "models": ["m"]}
    for change, says in (
        ({"base_url": "https://other.example/v1"}, "not among what the operator lets tenants call"),
        ({"base_url": "https://169.254.169.254/v1"}, "not among"),
        ({"base_url": "http://api.example.com/v1"}, "not among"),
        ({"base_url": "https://api.example.com/v1?key=x"}, "without a query"),
        ({"models": []}, "list of names"),
        ({"models": ["@playground/mine"]}, "built in"),
        ({"models": ["m" * 201]}, "at most 200 characters"),
        ({"tokens_per_day": -1}, "whole number from 0"),
        ({"secret": "KEY"}, "There is no secret 'KEY'. Set it first."),
    ):
        answer = acme.ask("PUT", "/ai", json=model | change)
        assert code_of(answer) == (400, "service.invalid") and says in answer.text, change
    assert acme.ask("PUT", "/ai", json=model | {"nonsense": 1}).status_code == 400
    server: dict[str, Any] = {"url": "https://tools.example.com/mcp"}
    for change, says in (
        ({"url": "https://other.example/mcp"}, "not among"),
        ({"url": "ftp://tools.example.com"}, "http(s)"),
        ({"tools": [""]}, "list of names"),
    ):
        answer = acme.ask("PUT", "/mcp-servers/default", json=server | change)
        assert code_of(answer) == (400, "service.invalid") and says in answer.text, change
    assert acme.ask("PUT", "/mcp-servers/default", json=server).status_code == 200
    full = acme.ask("PUT", "/mcp-servers/second", json=server)
    assert code_of(full) == (400, "service.invalid") and "tool_servers_per_tenant" in full.text
    assert site.client.put("/api/tenants/acme/ai", json=model).status_code == 401


def test_an_operator_who_allows_nothing_says_so(make_site: MakeSite) -> None:
    acme = Tenant(make_site(), "acme")
    acme.deploy(CALLS)
    model = acme.ask("PUT", "/ai", json={"base_url": "https://api.example.com/v1", "models": ["m"]})
    server = acme.ask("PUT", "/mcp-servers/default", json={"url": "https://tools.example.com/mcp"})
    assert "lets tenants set none" in model.text and "ai_hosts" in model.text and "tools_hosts" in server.text
