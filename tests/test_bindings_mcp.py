"""`env.MCP`: tools of a real server, made with the official SDK; tasks and requests for input outlive the worker."""

import asyncio
import base64
from typing import Any

import httpx2
import pytest
from dispatch_support import error, journal, journal_until, on_engine, output, workflow
from tool_server import TOKEN, ToolServer, tool_server

from playground import MCP, Code, Dispatcher, Engine, WorkflowInstance
from playground.engine.bindings.mcp import open_tasks
from playground.engine.mcp.client import ToolClient, responses_of
from playground.engine.mcp.client import ToolServer as ToolsAt
from playground.engine.mcp.demo import DELIVERY_MS, TOOLS_URL, DemoTools
from playground.worker.service_stubs import form_schema
from playground.workflows import events as ev
from playground.workflows.errors import MCPRequestError, PayloadMismatch


def flows(engine: Engine, body: str, server: ToolServer | str, **given: Any) -> Any:
    url = server if isinstance(server, str) else server.url
    code = Code(workflow(body), env={"MCP": MCP(url, TOKEN, **given)})
    return Dispatcher(engine, lambda metadata: code, name=f"mcp-{id(code)}").wrap_binding({"tenant": "acme"})


async def noted(instance: WorkflowInstance) -> list[dict[str, Any]]:
    """What the journal says of requests, without time and size."""
    found = [event.data for event in await journal(instance) if event.type == ev.MCP_CALLED]
    return [{name: it[name] for name in it.keys() - {"took_ms", "bytes"}} for it in found]


async def steps(instance: WorkflowInstance) -> list[str]:
    """The names of the steps that began, in order."""
    started = (ev.STEP_STARTED, ev.SLEEP_STARTED, ev.WAIT_STARTED)
    return [event.step.name for event in await journal(instance) if event.step and event.type in started]


@on_engine()
async def test_tools_are_listed_and_called_with_the_token_that_code_never_sees(engine: Engine) -> None:
    body = """
    tools = await self.env.MCP.list_tools()
    found = await self.env.MCP.call_tool("add", {"a": 1, "b": 2})
    return [[tool["name"] for tool in tools], found["structuredContent"], found.content[0]["text"], found["isError"]]
    """
    async with tool_server() as server:
        instance = await flows(engine, body, server, tools=["add", "slow"]).create()
        assert await output(instance) == [["add", "slow"], {"total": 3}, "3", False]
        assert server.tokens == {f"Bearer {TOKEN}"} and None not in server.keys
        assert await steps(instance) == ["list tools", "call add"]
        assert await noted(instance) == [{"server": "default", "tool": "add", "attempt": 1}]
        assert TOKEN not in str(await journal(instance))


@on_engine(idle_grace_ms=0)
async def test_a_task_is_looked_at_while_the_run_sleeps_and_is_the_same_after_a_killed_worker(engine: Engine) -> None:
    body = """
    return (await self.env.MCP.call_tool("slow"))["content"][0]["text"]
    """
    async with tool_server() as server:
        instance = await flows(engine, body, server).create()
        await journal_until(instance, ev.EXECUTION_ENDED)  # it sleeps, as a row
        assert not server.looks
        row = await engine.store.find("acme", instance.id)
        server.end("task-1", "built")
        await engine.wake(row)
        assert await output(instance) == "built"
        assert [name for name, _ in server.calls] == ["slow"], "the call itself was made once"
        assert await steps(instance) == ["call slow", "slow works", "look at slow"]
        assert [it.get("status") for it in await noted(instance)] == ["working", "completed"]
        assert {it["task"] for it in await noted(instance)} == {"task-1"}


@on_engine(idle_grace_ms=0)
async def test_what_a_server_asks_for_is_a_wait_for_an_event_whose_schema_stands_in_the_journal(engine: Engine) -> None:
    body = """
    first = await self.env.MCP.call_tool("asks")
    second = await self.env.MCP.call_tool("asks-later")
    return [first["content"][0]["text"], second["content"][0]["text"]]
    """
    async with tool_server() as server:
        instance = await flows(engine, body, server).create()
        events = await journal_until(instance, ev.WAIT_STARTED)
        [asked] = [event.data["output"]["ask"] for event in events if event.type == ev.STEP_COMPLETED]
        assert asked["requests"]["it"]["schema"]["required"] == ["colour"]
        assert asked["requests"]["it"]["message"] == "Which?"
        with pytest.raises(PayloadMismatch, match="colour"):
            await instance.send_event("answer-asks", {"color": "red"})
        await instance.send_event("answer-asks", {"colour": "red"})
        await instance.send_event("answer-asks-later", {"colour": "blue"})
        while (await instance.status()).status not in ("complete", "errored"):
            row = await engine.store.find("acme", instance.id)
            if row.status == ev.WAITING and row.wait_until is not None:
                await engine.skip_sleeps(row)
            await asyncio.sleep(0.01)
        assert await output(instance) == ["accept red state-1", "painted blue"]


@on_engine()
async def test_inside_a_step_the_requests_are_nested_in_it(engine: Engine) -> None:
    body = """
    @step.do("adds")
    async def adds():
        return (await self.env.MCP.call_tool("add", {"a": 2, "b": 2}))["structuredContent"]["total"]

    return await adds()
    """
    async with tool_server() as server:
        instance = await flows(engine, body, server).create()
        assert await output(instance) == 4
        assert [str(event.step) for event in await journal(instance) if event.type == ev.STEP_STARTED] == [
            "adds-1", "adds-1/call add-1"
        ]  # fmt: skip


@on_engine(tools_answer_bytes=200_000, tools_seconds=5, call_bytes=1_000_000)
async def test_what_goes_wrong_has_a_class_and_words(engine: Engine) -> None:
    call = """
    try:
        found = await self.env.MCP.call_tool({tool!r})
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["result", found["isError"]]
    """
    async with tool_server() as server:
        root = server.url.removesuffix("mcp/")
        wrong = {
            "fails": (server, {}, "result", True),
            "nothing": (server, {}, "MCPRequestError", "refuses the call (-32602). It says: no tool nothing"),
            "add": (server, {"tools": ["slow"]}, "MCPRequestError", "'add' may not be called here; there are slow."),
            "huge": (server, {}, "MCPUnavailableError", "more than 200,000 bytes, which is the limit"),
            "locked": (f"{root}wrong/locked", {}, "MCPRequestError", "refuses the credentials (401)"),
            "broken": (f"{root}wrong/broken", {}, "MCPUnavailableError", "failed (500)"),
            "garbage": (f"{root}wrong/garbage", {}, "MCPUnavailableError", "-32700"),
            "moved": (f"{root}wrong/moved", {}, "MCPRequestError", "answers 307, a redirect to elsewhere"),
            "endless": (f"{root}wrong/endless", {}, "MCPUnavailableError", "more than 200,000 bytes"),
            "nobody": ("http://127.0.0.1:1/mcp", {}, "MCPUnavailableError", "Could not connect"),
        }
        made = {
            tool: await flows(engine, call.format(tool=tool), to, **given).create()
            for tool, (to, given, *_) in wrong.items()
        }
        for tool, (_, _, name, words) in wrong.items():
            kind, said = await output(made[tool])
            right = said == words if name == "result" else words in said
            assert kind.startswith(name) and right, (tool, kind, said)


@on_engine()
async def test_a_server_that_repeats_its_token_gives_it_to_no_code(engine: Engine) -> None:
    body = "return (await self.env.MCP.call_tool('echoes'))['content'][0]['text'][::-1]"
    async with tool_server() as server:
        assert (await output(await flows(engine, body, server).create()))[::-1] == "Bearer [REDACTED]"


@on_engine()
async def test_a_schema_of_a_megabyte_reaches_no_code(engine: Engine) -> None:
    async with tool_server() as server:
        server.schema = {"type": "object", "description": "x" * 1_000_000}
        name, message = await error(await flows(engine, "await self.env.MCP.list_tools()", server).create())
        assert name == "MCPRequestError" and "at most 65,536 are read" in message
        assert len(message) < 200


@on_engine(idle_grace_ms=0)
async def test_a_terminated_run_cancels_its_task_at_the_server(engine: Engine) -> None:
    async with tool_server() as server:
        instance = await flows(engine, 'await self.env.MCP.call_tool("slow")', server).create()
        await journal_until(instance, ev.EXECUTION_ENDED)
        await instance.terminate()
        while not server.cancelled:
            await asyncio.sleep(0.005)
        assert server.cancelled == ["task-1"]


def test_the_payload_of_an_event_is_what_a_form_is_answered_with() -> None:
    one, two = {"a": {}}, {"a": {}, "b": {}}
    assert responses_of(one, {"colour": "red"}) == {"a": {"action": "accept", "content": {"colour": "red"}}}
    assert responses_of(one, None) == responses_of(one, {"action": "decline"}) == {"a": {"action": "decline"}}
    assert responses_of(two, {"a": {"x": 1}, "b": None})["b"] == {"action": "decline"}
    for requests, payload in ((one, "red"), (two, {"a": {}})):
        with pytest.raises(MCPRequestError):
            responses_of(requests, payload)


def test_a_form_is_the_schema_of_the_wait_where_a_wait_can_have_it() -> None:
    name = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    asked = {"message": "Who?", "schema": name}
    one = {**name, "type": ["object", "null"], "description": "Who?"}
    assert form_schema({"it": asked}) == one
    both = {"type": ["object", "null"], "properties": {"a": one, "b": one}, "required": ["a", "b"]}
    assert form_schema({"a": asked, "b": asked}) == both
    by_pattern = {"type": "object", "properties": {"name": {"type": "string", "pattern": "(a+)+$"}}}
    assert form_schema({"it": {"message": "Who?", "schema": by_pattern}}) is None


def test_open_tasks_are_those_whose_end_nobody_has_seen() -> None:
    def called(task: str, **more: Any) -> Any:
        return {"server": "s", "tool": "t", "task": task, **more}

    journal = [
        called("1", status="working"), called("2", status="working"), called("1", status="completed"),
        called("2", error="mcp.unavailable"),
    ]  # fmt: skip
    assert open_tasks(journal) == [("s", "2")]


def test_arguments_that_cannot_be_used_are_refused_where_the_program_is_written() -> None:
    for url in ("ftp://x", "https://u:p@x/mcp", "x", "https://x/mcp#a"):
        with pytest.raises(ValueError):
            MCP(url)
    with pytest.raises(ValueError):
        MCP("https://x/mcp", tools="add")
    assert TOKEN not in repr(MCP("https://x/mcp", TOKEN))


def test_the_courier_of_the_lesson_remembers_nothing_and_refuses_what_it_did_not_make() -> None:
    async def story() -> None:
        now = 1_000
        made = [ToolClient(ToolsAt(TOOLS_URL), served_by(DemoTools(lambda: now)), 100_000) for _ in range(2)]
        one, other = made
        asked = (await one.call("book", {"to": "Oslo"}, None)).ask
        assert asked is not None and "costs 13" in asked["requests"]["agreed"]["message"]
        for agree, booking in ((True, "C-4OSL"), (False, None)):
            responses = responses_of(asked["requests"], {"agree": agree})
            going_on = await other.call("book", {"to": "Oslo"}, None, responses=responses, state=asked["state"])
            assert going_on.result is not None and going_on.result["structuredContent"] == {"booking": booking}
        task = (await one.call("deliver", {"booking": "C-4OSL"}, None)).task
        assert task is not None and (await other.get_task(task["id"])).task == task
        now += DELIVERY_MS
        ended = (await other.get_task(task["id"])).result
        assert ended is not None and ended["structuredContent"]["delivered"]
        packed = base64.urlsafe_b64encode
        for id in ("?", "a" * 499, packed(b"[" * 300).decode(), packed(b'{"began": 1e999, "booking": "x"}').decode()):
            with pytest.raises(MCPRequestError, match="There is no such task"):
                await other.get_task(id)
        for name, arguments in (("sink", {}), ("quote", {"to": 1}), ("quote", {"to": "x" * 101}), ("deliver", {})):
            with pytest.raises(MCPRequestError, match="refuses the call"):
                await other.call(name, arguments, None)
        for client in made:
            await client.http.aclose()

    asyncio.run(story())


def served_by(transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=transport)
