"""Tasks of agents outlive what serves them: servers killed under a call, on SQLite and as two nodes on PostgreSQL."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from aio import run
from dispatch_support import workflow
from mcp.shared.exceptions import MCPError
from mcp_support import MODERN, Json, Tasks, agent, ask_task, text_of
from mcp_tasks import do_ten_tasks
from server_support import Server
from store_support import is_sqlite

from playground import commands

SECONDS = 30.0
# A server whose lease is soon seen to be over, with a right clock.
NODE = (sys.executable, str(Path(__file__).with_name("node_program.py")), "2000", "0")
LONG = workflow(
    """
first = await step.do("first", lambda: {"order": event["payload"]["order"], "by": "the agent"})
got = await step.wait_for_event("approval", "approved", timeout="1 day")
last = await step.do("last", lambda: {**first, "approved": got["payload"]})
return last
"""
)


@pytest.fixture
def servers(store_url: str, tmp_path: Path) -> Iterator[list[Server]]:
    """Two nodes on PostgreSQL, one on SQLite, whose file has no second."""
    with ExitStack() as closing:
        made = []
        for number in range(1 if is_sqlite(store_url) else 2):
            folder = tmp_path / str(number)
            folder.mkdir()
            options = ("--database", store_url, "--node", f"n{number}", "--mcp-task-seconds", "1")
            server = Server(folder, *options, command=NODE).start()
            closing.callback(server.kill)
            made.append(server)
        yield made


def key_of(store_url: str) -> str:
    said: list[str] = []
    commands.run(["tenant-key", "create", "acme", "--database", store_url], {}, said.append)
    return said[0].split()[0]


@pytest.mark.long
def test_a_task_outlives_the_node_that_began_it_and_asks_a_person_on_another(
    servers: list[Server], store_url: str
) -> None:
    key = key_of(store_url)
    begun, goes_on = servers[0], servers[-1]
    auth = {"Authorization": f"Bearer {key}"}
    workflows = f"{begun.url}/api/tenants/acme/workflows/approve"
    assert httpx2.put(workflows, json={"source": LONG}, headers=auth, timeout=SECONDS).status_code == 201

    async def begin() -> str:
        async with agent(f"{begun.url}/mcp/tenants/acme", key, mode=MODERN, tasks=Tasks()) as client:
            made = await client.session.call_tool("approve", {"order": 17}, allow_claimed=True)
            return str(made.task_id)

    task = run(begin())
    begun.kill()
    if goes_on is begun:
        begun.start()

    def approve(asked: Json) -> Json:
        assert '"approved"' in asked["message"]
        return {"action": "accept", "content": {"payload": '{"yes": true}'}}

    async def finish() -> Json:
        async with agent(f"{goes_on.url}/mcp/tenants/acme", key, mode=MODERN, tasks=Tasks()) as client:

            async def found(what: str) -> None:
                while what not in text_of(await client.call_tool("get_run", {"id": task, "wait": 20})):
                    pass

            await found('"waits_for"')
            asked = await ask_task(client.session, "tasks/get", task)
            assert asked["status"] == "input_required"
            responses = {name: approve(it["params"]) for name, it in asked["inputRequests"].items()}
            await ask_task(client.session, "tasks/update", task, responses)
            await found('"status":"complete"')
            with pytest.raises(MCPError, match="No run has this address"):
                await ask_task(client.session, "tasks/get", task[:-1])
            return await ask_task(client.session, "tasks/get", task)

    done = run(finish())
    expected = {"order": 17, "by": "the agent", "approved": {"yes": True}}
    assert (done["status"], done["result"]["structuredContent"]) == ("completed", expected)
    journal = httpx2.get(f"{goes_on.url}/api/tenants/acme/instances/{task}/events", headers=auth).json()["events"]
    assert [it["step"]["name"] for it in journal if it["type"] == "step_completed"] == ["first", "last"]

    async def older() -> str:
        async with agent(f"{goes_on.url}/mcp/tenants/acme", key, mode="legacy") as client:
            return text_of(await client.call_tool("get_run", {"id": task}))

    assert '"status":"complete"' in run(older()), "the generation before asks by the same id"


@pytest.mark.long
def test_an_agent_whose_requests_go_to_two_nodes_in_turn_does_the_ten_tasks(postgres_url: str, tmp_path: Path) -> None:
    with ExitStack() as closing:
        urls = []
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            server = Server(folder, "--database", postgres_url, "--node", f"n{number}").start()
            closing.callback(server.kill)
            urls.append(f"{server.url}/mcp")

        async def work() -> None:
            async with agent(urls[0], also=(urls[1],)) as client:
                await do_ten_tasks(client)

        run(work())
