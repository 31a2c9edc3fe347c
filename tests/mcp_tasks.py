"""Ten tasks that an agent does who knows only the address of the server for everybody."""

import re
from typing import Any

from http_support import HELLO
from mcp import Client
from mcp_support import Json, text_of

from playground.web.mcp.public_tools import TOOLS


async def call(client: Client, name: str, **arguments: Any) -> Json:
    """The structured result of a tool that must not fail."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, text_of(result)
    found: Json = result.structured_content
    return found


async def until_complete(client: Client, id: str) -> Json:
    """A run once it is complete."""
    while (found := await call(client, "get_run", id=id, wait=20))["status"] != "complete":
        pass
    return found


def first_program(text: str) -> str:
    """The first Python program of a document."""
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


async def do_ten_tasks(client: Client) -> None:
    """Write, fix, run, wait, find, answer, read, fork, break, cancel."""
    tools = {it.name: it for it in (await client.list_tools()).tools}
    assert list(tools) == [it["name"] for it in TOOLS] and len(tools) == 8
    resources = {it.name: it.uri for it in (await client.list_resources()).resources}
    skill = (await client.read_resource(resources["skill"])).contents[0].text

    # 1. Write a workflow, as the skill teaches, with a fault in it.
    source = first_program(skill)
    faulty = source.replace("await reserve()", "reserve()")
    # 2. Fix what the check says.
    told = await call(client, "check_workflow", source=faulty)
    assert "await" in told["diagnostics"][0]["message"] and told["diagnostics"][0]["line"] > 1
    told = await call(client, "check_workflow", source=source)
    assert (told["ok"], told["diagnostics"]) == (True, [])
    assert told["tool"]["input"]["required"] == ["item", "price"], "how it would look as a tenant's tool"
    # 3. Run it.
    made = await call(client, "run_workflow", source=source, params={"item": "desk", "price": 480})
    # 4. Wait until it asks.
    found = await call(client, "get_run", id=made["id"], wait=20)
    assert found["waits_for"][0] == found["waits_for"][0] | {"step": "approval", "types": ["approved"]}
    # 5. Find the run that waits among others.
    other = await call(client, "run_workflow", source=HELLO, params={"name": "Ada"})
    waiting = await call(client, "list_runs", ids=[made["id"], other["id"], "made-up"], waiting_for="approved")
    assert [it["id"] for it in waiting["runs"]] == [made["id"]]
    # 6. Answer it.
    await call(client, "answer_run", id=made["id"], type="approved", payload={"yes": True})
    found = await until_complete(client, made["id"])
    # 7. Read its output, and the journal.
    assert found["output"] == {"bought": "desk", "with": "R-desk"}
    found = await call(client, "get_run", id=made["id"], after=0)
    assert found["events"][0]["type"] == "workflow_queued"
    # 8. Fork it with an edited result.
    fork = await call(client, "control_run", id=made["id"], action="fork", step="reserve", output={"reservation": 7})
    assert fork["id"] != made["id"]
    await call(client, "answer_run", id=fork["id"], type="approved", payload={"yes": True})
    forked = await until_complete(client, fork["id"])
    assert forked["output"] == {"bought": "desk", "with": 7}
    # 9. Prove by chaos that a run survives.
    chaos = await call(client, "chaos_run", id=other["id"])
    while chaos["status"] == "running":
        chaos = await call(client, "chaos_run", id=other["id"])
    assert chaos["summary"]["same"] == chaos["summary"]["rows"] > 0
    # 10. Cancel one.
    again = await call(client, "run_workflow", source=source, params={"item": "lamp", "price": 20})
    ended = await call(client, "control_run", id=again["id"], action="terminate")
    assert ended["status"] == "terminated"
    examples = {it["name"] for it in (await call(client, "list_examples"))["examples"]}
    assert {"hello", "approval"} <= examples <= resources.keys()
