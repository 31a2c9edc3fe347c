"""The documents on models and tools say what is true: their programs run, their tables name what there is."""

import re
from typing import Any

from dispatch_support import on_engine, output, workflow
from test_flow_docs import DOCS, blocks
from tool_server import TOKEN, tool_server

from playground import AI, MCP, Code, Dispatcher, Engine, Streams
from playground.worker import entrypoint


def flow(engine: Engine, body: str, **env: Any) -> Any:
    code = Code(workflow(body), env={"STREAMS": Streams(), **env})
    return Dispatcher(engine, lambda _: code, name=f"docs-{id(code)}").wrap_binding({"tenant": "docs"})


def in_a_step(block: str, result: str) -> str:
    lines = "".join(f"    {line}\n" for line in [*block.strip().splitlines(), f"return {result}"])
    return f"async def does():\n{lines}\nreturn await step.do('does', does)"


@on_engine()
async def test_the_programs_about_models_run(engine: Engine) -> None:
    call, loop, delay = blocks("ai.md")
    assert await output(await flow(engine, in_a_step(call, "answer['response']"), AI=AI()).create()) == (
        "three small words"
    )
    assert await output(await flow(engine, loop, AI=AI()).create()) == "It is 3."
    found: dict[str, Any] = {}
    exec(delay, found)  # noqa: S102 - the document's own code
    assert found["delay"](None, entrypoint.AIRateLimitError()) == 5_000


@on_engine()
async def test_the_program_about_tools_runs(engine: Engine) -> None:
    [call] = blocks("mcp.md")
    async with tool_server() as server:
        made = await flow(engine, f"{call}\nreturn [len(tools), total]", MCP=MCP(server.url, TOKEN)).create()
        assert await output(made) == [5, 3]


def test_the_tables_name_the_errors_that_there_are() -> None:
    exported = {export.__name__ for export in entrypoint.EXPORTS}
    for name, prefix in (("ai.md", "AI"), ("mcp.md", "MCP")):
        text = (DOCS / name).read_text("utf-8")
        named = set(re.findall(rf"`({prefix}\w*Error)`", text))
        assert named == {error for error in exported if re.fullmatch(rf"{prefix}\w*Error", error)}
