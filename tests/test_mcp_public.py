"""The MCP server for everybody: an agent that knows only the address does ten tasks, and what is somebody else's is
not there.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aio import story
from dispatch_support import workflow
from http_support import HELLO, MakeSite, Site
from mcp.shared.exceptions import MCPError
from mcp_support import Tasks, agent, ask_task, modern_request, text_of
from mcp_tasks import call, do_ten_tasks, first_program
from tenants_support import WAITS, Tenant

from playground.analysis import check
from playground.web.mcp.public_tools import TOOLS
from playground.web.mcp.resources import skill_text
from playground.web.mcp.toolbox import IDEMPOTENCY_KEY
from playground.web.pages.markdown import DOCUMENTS

DOCS = Path(__file__).parent.parent / "docs"
LIST_BYTES = 8 * 1024


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(
        idle_grace_ms=100, mcp_wait_seconds=20, mcp_task_seconds=1, mcp_poll_ms=20, streams_per_address=10
    )


def url(site: Site) -> str:
    return f"http://127.0.0.1:{site.port}/mcp"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@story
async def test_an_agent_that_knows_only_the_address_does_ten_tasks(site: Site, mode: str) -> None:
    async with agent(url(site), mode=mode) as client:
        await do_ten_tasks(client)


@story
async def test_a_run_without_a_tenant_is_a_task_that_its_id_owns(site: Site) -> None:
    tasks = Tasks(lambda asked: {"action": "accept", "content": {"approved": True, "by": "Grace"}})
    async with agent(url(site), tasks=tasks) as client:
        result = await client.call_tool("run_workflow", {"example": "approval"})
        assert result.structured_content["output"] == {"order": "A-1001", "item": "standing desk"}
        (handle,) = tasks.seen
        id, _, token = handle.partition(".")
        assert len(token) >= 32 and "input_required" in tasks.statuses
        assert (await call(client, "get_run", id=id))["status"] == "complete", "the id alone lets it be read"
        for forged in (id, f"{id}.{'x' * len(token)}", f"{id}.", f"made-up.{token}"):
            with pytest.raises(MCPError) as refused:
                await ask_task(client.session, "tasks/cancel", forged)
            assert refused.value.code == -32602
            for name, more in (("answer_run", {"type": "x"}), ("control_run", {"action": "restart"})):
                assert (await client.call_tool(name, {"id": forged, **more})).is_error


@story
async def test_a_call_that_is_sent_again_finds_its_run_by_a_key_that_nobody_guesses(site: Site) -> None:
    key: Any = {IDEMPOTENCY_KEY: "0123456789abcdef0123456789abcdef"}
    async with agent(url(site)) as client:
        arguments = {"source": HELLO, "params": {"name": "Ada"}}
        first = await client.call_tool("run_workflow", arguments, meta=key)
        again = await client.call_tool("run_workflow", arguments, meta=key)
        assert first.structured_content == again.structured_content
        for changed, meta in (
            ({**arguments, "params": {}}, key),
            ({**arguments, "source": HELLO + "# other\n"}, key),
            (arguments, {IDEMPOTENCY_KEY: "short"}),
        ):
            with pytest.raises(MCPError, match="key"):
                await client.call_tool("run_workflow", changed, meta=meta)


@story
async def test_with_a_tenants_key_the_tools_are_about_that_tenants_runs(site: Site) -> None:
    acme, other = Tenant(site, "acme"), Tenant(site, "other")
    acme.deploy(WAITS)
    async with agent(url(site), acme.key) as client:
        made = await call(client, "run_workflow", deployed="main", params={"n": 1})
        listed = (await call(client, "list_runs", waiting_for="go"))["runs"]
        assert [it["id"] for it in listed] == [made["id"]]
        assert (await call(client, "list_runs", status="complete"))["runs"] == []
        refused = await client.call_tool("run_workflow", {"source": HELLO})
        assert refused.is_error and "pass `deployed`" in text_of(refused)
    async with agent(url(site), other.key) as client:
        assert (await client.call_tool("get_run", {"id": made["id"]})).is_error
        assert (await call(client, "list_runs"))["runs"] == []
    async with agent(url(site)) as client:
        for name, arguments in (("get_run", {"id": made["id"]}), ("run_workflow", {"deployed": "main"}),
                                ("list_runs", {}), ("run_workflow", {}), ("run_workflow", {"source": "def ("}),
                                ("run_workflow", {"example": "nothing"}), ("check_workflow", {"source": 3}),
                                ("list_runs", {"ids": ["x"] * 51}), ("check_workflow", {"sauce": ""})):  # fmt: skip
            result = await client.call_tool(name, arguments)
            assert result.is_error and len(text_of(result)) > 30, name


def test_limits_of_an_address_hold_over_mcp_too(make_site: MakeSite) -> None:
    site = make_site(starts_per_minute=1, checks_per_minute=3)
    body, headers = modern_request("tools/call", {"name": "run_workflow", "arguments": {"source": HELLO}})
    said = [site.client.post("/mcp", json=body, headers=headers).json()["result"] for _ in range(4)]
    assert [it["isError"] for it in said] == [False, True, True, True]
    assert "1 runs in a minute" in said[1]["content"][0]["text"]
    assert "3 checks in a minute" in said[3]["content"][0]["text"]
    assert {it["limit"] for it in site.log.of("limit")} == {"starts_per_minute", "checks_per_minute"}


def test_reading_a_long_journal_is_charged_once_and_what_is_new_of_it_then(site: Site) -> None:
    made = site.create(workflow("for n in range(100):\n    await step.do(f'step {n}', lambda: None)"))
    events = site.finish(made)["last_seq"]
    assert events >= 300
    body, headers = modern_request("tools/call", {"name": "get_run", "arguments": {"id": made["id"]}})

    def cost() -> int:
        limits = site.context.limits.reads
        before = limits.allowance("127.0.0.1").left
        assert not site.client.post("/mcp", json=body, headers=headers).json()["result"]["isError"]
        return int(before - limits.allowance("127.0.0.1").left)

    site.context.views.clear_cache()
    assert cost() >= 1 + events // 100
    assert cost() < 3, "the request itself, and the size of its answer"


def test_the_list_of_tools_is_small_and_each_says_what_it_does_to_the_world(site: Site) -> None:
    body, headers = modern_request("tools/list", {})
    answer = site.client.post("/mcp", json=body, headers=headers)
    assert len(answer.content) < LIST_BYTES
    for it in answer.json()["result"]["tools"]:
        assert it["outputSchema"]["type"] == it["inputSchema"]["type"] == "object"
        assert {"readOnlyHint", "openWorldHint"} <= it["annotations"].keys()
    assert site.client.post("/mcp", json=body, headers={**headers, "Authorization": "Bearer pk_no"}).status_code == 403


# What agents read.


def test_the_skill_teaches_what_is_right() -> None:
    told = check(first_program(skill_text()))
    assert told["diagnostics"] == [] and len(skill_text()) < 6_000
    assert skill_text().startswith("---\nname: durable-workflows\n")


def test_the_document_has_the_tools_that_there_are_and_programs_that_are_right() -> None:
    text = (DOCS / "agents.md").read_text("utf-8")
    table = text.partition("<!-- tools -->")[2].partition("<!-- end -->")[0]
    assert re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE) == [
        (it["name"], it["description"]) for it in TOOLS
    ]
    assert json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])["mcpServers"]  # type: ignore[index]
    told = check(first_program(text))
    assert told["diagnostics"] == [] and told["tool"]["input"]["required"] == ["order", "amount"]


def test_documents_and_examples_have_markdown_twins_and_llms_txt_leads_there(site: Site) -> None:
    llms = site.client.get("/llms.txt")
    assert llms.headers["content-type"].startswith("text/plain") and f"http://127.0.0.1:{site.port}/mcp " in llms.text
    links = re.findall(r"\]\((http[^)]+)\)", llms.text)
    assert len(links) == len(DOCUMENTS) + len(site.context.examples) + 1
    for link in links:
        answer = site.client.get(link)
        assert answer.status_code == 200 and (link.endswith(".json") or answer.text.startswith("# ")), link
    wants = {"Accept": "text/markdown, text/html;q=0.5"}
    for path in ("/examples", "/examples/hello"):
        twin = site.client.get(path, headers=wants)
        assert twin.headers["content-type"].startswith("text/markdown") and twin.headers["vary"].startswith("Accept")
        assert twin.text == site.client.get(f"{path}.md").text
        assert site.client.get(path, headers={"Accept": "text/html, text/markdown"}).text.startswith("<!")
    assert site.client.get("/docs/nothing.md").status_code == 404
    assert site.client.get("/docs/..%2FREADME.md").status_code == 404
