"""Agents for tests: the official SDK's client over real HTTP, with the extension for tasks that it leaves to others."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

TASKS = "io.modelcontextprotocol/tasks"
MODERN = "2026-07-28"
ENDS = ("completed", "failed", "cancelled")

Json = dict[str, Any]
Answer = Callable[[Json], Json | None]


class Task(types.Result):
    """What `tools/call` answers in place of a result."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    ttl_ms: int | None = None
    poll_interval_ms: int | None = None


class _Params(types.RequestParams):
    task_id: str
    input_responses: Json | None = None


class TaskRequest(types.Request[_Params, str]):
    name_param = "taskId"


class _Found(types.Result):
    model_config = types.Result.model_config | {"extra": "allow"}


async def ask_task(session: ClientSession, method: str, id: str, responses: Json | None = None) -> Json:
    """Send `tasks/…`; gives the answer as it came."""
    request = TaskRequest(method=method, params=_Params(task_id=id, input_responses=responses))
    found = await session.send_request(request, _Found)
    return found.model_dump(by_alias=True, mode="json")


class Tasks(ClientExtension):
    """Follows tasks to their end, and answers what they ask for by `answer`."""

    identifier = TASKS

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self.seen: list[str] = []
        self.statuses: list[str] = []

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Task, resolve=self._resolve)]

    async def _resolve(self, task: Task, ctx: ClaimContext) -> types.CallToolResult:
        self.seen.append(task.task_id)
        answered: set[str] = set()
        while True:
            found = await ask_task(ctx.session, "tasks/get", task.task_id)
            self.statuses.append(found["status"])
            if found["status"] in ENDS:
                return types.CallToolResult.model_validate(found.get("result") or {"content": [], "isError": True})
            asked = {key: it for key, it in found.get("inputRequests", {}).items() if key not in answered}
            responses = {key: self.answer(it["params"]) for key, it in asked.items()} if self.answer else {}
            if responses:
                answered |= responses.keys()
                await ask_task(ctx.session, "tasks/update", task.task_id, responses)
            await asyncio.sleep(found["pollIntervalMs"] / 1000)  # as the server advises


class _TakingTurns(httpx2.AsyncHTTPTransport):
    """Sends each request to the next of several nodes, as a proxy without a memory does."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__()
        self._ports = itertools.cycle([httpx2.URL(it).port for it in urls])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(port=next(self._ports))
        return await super().handle_async_request(request)


@asynccontextmanager
async def agent(
    url: str,
    key: str | None = None,
    *,
    mode: str = "auto",
    tasks: Tasks | None = None,
    also: tuple[str, ...] = (),
    elicit: Callable[[Any, types.ElicitRequestParams], Awaitable[types.ElicitResult]] | None = None,
) -> AsyncIterator[Client]:
    """A connected client. `mode`: "auto" takes the newest generation, unless the server takes 10 s to answer (a loaded
    one may, at its first request); "legacy" takes the one before.

    `also`: addresses of further nodes; each request goes to the next of all.
    """
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with create_mcp_http_client(headers=headers) as http:
        if also:
            http._transport = _TakingTurns([url, *also])  # there is no parameter for it
        transport = streamable_http_client(url, http_client=http)
        extensions = [] if tasks is None else [tasks]
        async with Client(transport, mode=mode, elicitation_callback=elicit, extensions=extensions) as client:
            yield client


def modern_request(method: str, params: Json, *, capabilities: Json | None = None) -> tuple[Json, dict[str, str]]:
    """The body and the headers of one request of the newest generation, for what no client would send."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
    }
    headers = {
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
        "Accept": "application/json, text/event-stream",
    }
    name = params.get("name") or params.get("taskId") or params.get("uri")
    if isinstance(name, str):
        headers["Mcp-Name"] = name
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    return body, headers


def text_of(result: Any) -> str:
    return str(result.content[0].text)
