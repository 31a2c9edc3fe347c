"""A real server of tools, made with the official SDK and served over a real socket: quick tools, tasks that another
call ends, requests for input, and misbehaviour.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from model_server import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

TOKEN = "mcp-token-4242-secret"
TASKS = "io.modelcontextprotocol/tasks"
IDEMPOTENCY_KEY = "playground/idempotency-key"
COLOUR = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
FORM = {"method": "elicitation/create", "params": {"mode": "form", "message": "Which?", "requestedSchema": COLOUR}}


class _TaskParams(types.RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}], "isError": False, "resultType": "complete", **more}


class ToolServer:
    """What the tests ask of the server, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[tuple[str, Any]] = []
        self.keys: list[str | None] = []
        self.tokens: set[str | None] = set()
        self.tasks: dict[str, dict[str, Any]] = {}
        self.looks = 0
        self.cancelled: list[str] = []
        self.schema: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
        self.server: Server[Any] = Server(
            "tests", on_list_tools=self._list, on_call_tool=self._call, get_tool_input_schema=lambda _: None
        )
        self.server.extensions[TASKS] = {}
        self.server.add_request_handler("tasks/get", _TaskParams, self._get)
        self.server.add_request_handler("tasks/update", _TaskParams, self._update)
        self.server.add_request_handler("tasks/cancel", _TaskParams, self._cancel)

    def end(self, id: str, words: str) -> None:
        """Let a task be completed."""
        self.tasks[id] |= {"status": "completed", "result": text(words)}

    async def _list(self, ctx: Any, params: Any) -> Any:
        names = ("add", "slow", "asks", "asks-later", "fails")
        tools = [{"name": name, "description": f"{name}s", "inputSchema": {"type": "object"}} for name in names]
        tools[0]["inputSchema"] = self.schema
        return {"tools": tools, "ttlMs": 0, "cacheScope": "private", "resultType": "complete"}

    async def _call(self, ctx: Any, params: types.CallToolRequestParams) -> Any:
        raw, name, arguments = ctx.params or {}, params.name, params.arguments or {}
        self.calls.append((name, arguments))
        self.keys.append((raw.get("_meta") or {}).get(IDEMPOTENCY_KEY))
        self.tokens.add(ctx.request.headers.get("authorization"))
        if name == "add":
            total = arguments["a"] + arguments["b"]
            return text(str(total), structuredContent={"total": total})
        if name == "fails":
            return text("no such thing", isError=True)
        if name == "echoes":
            return text(ctx.request.headers["authorization"])
        if name == "huge":
            return text("x" * 20_000_000)
        if name == "asks":
            if params.request_state is None:
                return {"resultType": "input_required", "inputRequests": {"it": FORM}, "requestState": "state-1"}
            answer = raw["inputResponses"]["it"]
            return text(f"{answer['action']} {(answer.get('content') or {}).get('colour')} {params.request_state}")
        if name in ("slow", "asks-later"):
            id = f"task-{len(self.tasks) + 1}"
            self.tasks[id] = {"taskId": id, "status": "working", "pollIntervalMs": 1_000, "ttlMs": None}
            if name == "asks-later":
                self.tasks[id] |= {"status": "input_required", "inputRequests": {"it": FORM}}
                return self.tasks[id] | {"resultType": "task", "status": "working"}
            return self.tasks[id] | {"resultType": "task"}
        raise MCPError(types.INVALID_PARAMS, f"no tool {name}")

    async def _get(self, ctx: Any, params: _TaskParams) -> Any:
        self.looks += 1
        return self.tasks[params.task_id] | {"resultType": "complete"}

    async def _update(self, ctx: Any, params: _TaskParams) -> Any:
        content = (params.input_responses or {})["it"]["content"]
        del self.tasks[params.task_id]["inputRequests"]
        self.end(params.task_id, f"painted {content['colour']}")
        return {"resultType": "complete"}

    async def _cancel(self, ctx: Any, params: _TaskParams) -> Any:
        self.cancelled.append(params.task_id)
        self.tasks[params.task_id]["status"] = "cancelled"
        return {"resultType": "complete"}


async def misbehaves(request: Request) -> Response:
    """Addresses that are no server of tools."""
    how = request.path_params["how"]
    if how == "moved":
        return RedirectResponse("http://127.0.0.1:1/mcp", 307)
    if how == "garbage":
        return PlainTextResponse("<html>", media_type="application/json")
    if how == "endless":

        async def body() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 65_536
                await asyncio.sleep(0)  # whoever has gone away is noticed

        return StreamingResponse(body(), media_type="application/json")
    return PlainTextResponse("no", {"locked": 401, "broken": 500}[how])


@contextlib.asynccontextmanager
async def tool_server() -> AsyncIterator[ToolServer]:
    """A server of tools."""
    made = ToolServer()
    manager = StreamableHTTPSessionManager(made.server, json_response=True, stateless=True)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with manager.run():
            yield

    routes = [
        Route("/wrong/{how}", misbehaves, methods=["GET", "POST", "DELETE"]),
        Mount("/mcp", app=manager.handle_request),
    ]
    async with serving(Starlette(routes=routes, lifespan=lifespan)) as url:
        made.url = f"{url}/mcp/"
        yield made
