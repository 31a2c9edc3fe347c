"""The protocol, by the official Python SDK: its low-level server, whose handlers ask the toolbox of their request.

Both generations are served without sessions: 2026-07-28, whose every request says who its client is, and what came
before it, whose `initialize` is answered and forgotten. Nothing is kept between two requests. Of the older generation a
client's abilities are unknown, so that it gets no tasks and is asked nothing: long calls answer with the run's id.

This module is imported by the first request (servers.py).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from playground.store import StoreError
from playground.store.audit import Pending, auditing
from playground.web.http.errors import UNAVAILABLE_MESSAGE
from playground.web.mcp.answers import Json
from playground.web.mcp.servers import SCOPE_AUDIT, SCOPE_TOOLBOX, Handler
from playground.web.mcp.toolbox import IDEMPOTENCY_KEY, BadCall, Call, Toolbox, refusal_result
from playground.workflows.errors import WorkflowError

TASKS = "io.modelcontextprotocol/tasks"
MISSING_CAPABILITY = -32021
MAX_REQUEST_BYTES = 2**31 - 1  # the endpoint has read the body within its own limit
_NEEDS_TASKS = "This takes a client that declares the extension for tasks in its request."

Context = ServerRequestContext[Any, Any]


class _TaskParams(types.RequestParams):
    task_id: str


class _UpdateParams(_TaskParams):
    input_responses: dict[str, Any] | None = None


def _make_server(name: str, version: str, instructions: str, *, resources: bool) -> Server[Any]:
    """A server whose tools are those of the toolbox in each request's scope. It keeps nothing."""
    more: dict[str, Any] = {"on_list_resources": _list_resources, "on_read_resource": _read_resource}
    server: Server[Any] = Server(
        name,
        version=version,
        title="Dynamic workflows playground",
        instructions=instructions,
        # No tool has an argument that a header repeats, so nothing needs to be looked up for it.
        get_tool_input_schema=lambda _: None,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
        **(more if resources else {}),
    )
    server.middleware.clear()  # no tracing: what is measured here is in /metrics
    server.extensions[TASKS] = {}
    server.add_request_handler("tasks/get", _TaskParams, _get_task)
    server.add_request_handler("tasks/update", _UpdateParams, _update_task)
    server.add_request_handler("tasks/cancel", _TaskParams, _cancel_task)
    return server


@asynccontextmanager
async def open_server(name: str, version: str, instructions: str, *, resources: bool) -> AsyncIterator[Handler]:
    """A server that answers requests in JSON, each whose toolbox is in its scope."""
    server = _make_server(name, version, instructions, resources=resources)
    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=MAX_REQUEST_BYTES
    )
    async with manager.run():
        yield manager.handle_request


async def _list_tools(ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
    after = (params.cursor if params else None) or ""
    found, cursor = await _ask(ctx, lambda toolbox: toolbox.tools(after))
    listed: Json = {"tools": list(found), "ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
    return listed | ({"nextCursor": cursor} if cursor is not None else {})


async def _call_tool(ctx: Context, params: types.CallToolRequestParams) -> Any:
    capabilities = _capabilities(ctx)
    raw = ctx.params or {}  # as it came: the models leave out what they do not know
    call = Call(
        params.name,
        dict(raw.get("arguments") or {}),
        takes_tasks=_takes_tasks(capabilities),
        elicits=isinstance(capabilities.get("elicitation"), Mapping),
        responses=dict(raw.get("inputResponses") or {}),
        state=params.request_state,
        idempotency_key=_idempotency_key(raw),
    )
    try:
        return await _ask(ctx, lambda toolbox: toolbox.call(call))
    except _Refused as refused:
        return refusal_result(refused.refusal)


async def _get_task(ctx: Context, params: _TaskParams) -> Any:
    _check_takes_tasks(ctx)
    return {**await _ask(ctx, lambda toolbox: toolbox.task(params.task_id)), "resultType": "complete"}


async def _update_task(ctx: Context, params: _UpdateParams) -> Any:
    _check_takes_tasks(ctx)
    await _ask(ctx, lambda toolbox: toolbox.update_task(params.task_id, params.input_responses or {}))
    return {"resultType": "complete"}


async def _cancel_task(ctx: Context, params: _TaskParams) -> Any:
    _check_takes_tasks(ctx)
    await _ask(ctx, lambda toolbox: toolbox.cancel_task(params.task_id))
    return {"resultType": "complete"}


async def _list_resources(ctx: Context, params: types.PaginatedRequestParams | None) -> Any:
    found = await _ask(ctx, lambda toolbox: toolbox.resources())
    return {"resources": list(found), "ttlMs": 60_000, "cacheScope": "public", "resultType": "complete"}


async def _read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> Any:
    kind, text = await _ask(ctx, lambda toolbox: toolbox.read(params.uri))
    contents = [{"uri": params.uri, "mimeType": kind, "text": text}]
    return {"contents": contents, "ttlMs": 60_000, "cacheScope": "public", "resultType": "complete"}


class _Refused(MCPError):
    """A refusal in the words of the API; of a tool's call it is the tool's result."""

    def __init__(self, error: WorkflowError) -> None:
        super().__init__(types.INVALID_PARAMS, error.message, {"code": error.code})
        self.refusal = error


async def _ask(ctx: Context, what: Callable[[Toolbox], Awaitable[Any]]) -> Any:
    """What the toolbox of a request gives, its refusals as errors of the protocol."""
    assert ctx.request is not None, "every request comes over HTTP"
    toolbox: Toolbox = ctx.request.scope[SCOPE_TOOLBOX]
    pending: Pending | None = ctx.request.scope[SCOPE_AUDIT]
    try:
        with nullcontext() if pending is None else auditing(pending):
            return await what(toolbox)
    except BadCall as bad:
        raise MCPError(types.INVALID_PARAMS, str(bad)) from None
    except WorkflowError as error:
        toolbox.refused(error)
        raise _Refused(error) from None
    except StoreError:
        raise MCPError(types.INTERNAL_ERROR, UNAVAILABLE_MESSAGE) from None


def _meta(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = raw.get("_meta")
    return meta if isinstance(meta, Mapping) else {}


def _capabilities(ctx: Context) -> Mapping[str, Any]:
    """What the client says it can do; of the older generation nothing is known."""
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return {}
    found = _meta(ctx.params or {}).get(types.CLIENT_CAPABILITIES_META_KEY)
    return found if isinstance(found, Mapping) else {}


def _takes_tasks(capabilities: Mapping[str, Any]) -> bool:
    extensions = capabilities.get("extensions")
    return isinstance(extensions, Mapping) and TASKS in extensions


def _check_takes_tasks(ctx: Context) -> None:
    if not _takes_tasks(_capabilities(ctx)):
        raise MCPError(MISSING_CAPABILITY, _NEEDS_TASKS, {"requiredCapabilities": {"extensions": {TASKS: {}}}})


def _idempotency_key(raw: Mapping[str, Any]) -> str | None:
    key = _meta(raw).get(IDEMPOTENCY_KEY)
    return key if isinstance(key, str) else None
