"""The addresses of the MCP servers: who asks, within which limits, and the request handed to the protocol.

A request is one POST of JSON, answered in JSON; there are no sessions and no streams of the server's own, so GET is
refused. What is refused before the protocol is reached is answered as an error of JSON-RPC too, with the status and the
headers that it has anywhere else. A client that hangs up ends the wait for its answer, not the run.
"""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.audit import pending_of_agent
from playground.web.http.authorization import authorized_tenant, key_of, tenant_of_key
from playground.web.http.responses import NO_STORE
from playground.web.mcp.public_tools import PublicToolbox
from playground.web.mcp.servers import SCOPE_AUDIT, SCOPE_TOOLBOX, Handler
from playground.web.mcp.tenant_tools import TenantToolbox
from playground.web.mcp.toolbox import Toolbox
from playground.workflows.errors import WorkflowError

INVALID_REQUEST = -32600
PREFIX = "/mcp"  # of the addresses here
JSON_ESCAPE_FACTOR = 2  # bytes that one byte of a payload may take as a text inside JSON


async def tenant(context: Context, request: Request) -> Response:
    """MCP: the tenant's workflows as tools."""
    name = await authorized_tenant(context, request)
    return await _response(context, request, TenantToolbox(context, request, name), "workflows")


async def everybody(context: Context, request: Request) -> Response:
    """MCP: write, check, run and follow workflows; with a tenant's key, that tenant's."""
    name = await tenant_of_key(context, request)
    if name is None:
        context.limits.reads.charge_request(request, context.addresses.client_of(request))
    return await _response(context, request, PublicToolbox(context, request, name), "playground")


async def _response(context: Context, request: Request, toolbox: Toolbox, name: str) -> Response:
    most = JSON_ESCAPE_FACTOR * context.settings.value_bytes + bodies.OVERHEAD_BYTES
    body = bytes(await bodies.read_json(request, most))
    handler = await context.mcp.handler(name, toolbox.instructions, resources=toolbox.has_resources)
    request.scope[SCOPE_TOOLBOX] = toolbox
    key = key_of(request)
    request.scope[SCOPE_AUDIT] = None if key is None else pending_of_agent(context, request, key)
    return _McpResponse(handler, body)


class _McpResponse(Response):
    """The answer of the protocol, whose headers are its own."""

    def __init__(self, handler: Handler, body: bytes) -> None:
        super().__init__(headers=NO_STORE)
        self._handler, self._body = handler, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client hangs up first."""
        own = [(name, value) for name, value in self.raw_headers if name != b"content-length"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        answering = asyncio.ensure_future(self._handler(scope, _Replayed(self._body), send_with_headers))
        watching = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            if not answering.done():
                answering.cancel()
            with suppress(asyncio.CancelledError):
                await answering


class _Replayed:
    """The body that has been read, for who reads it again; what comes after it never does."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def __call__(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def refusal_json(error: WorkflowError) -> dict[str, Any]:
    """The body of a refusal as JSON-RPC has it."""
    data = {"code": error.code, **error.details}
    return {"jsonrpc": "2.0", "id": None, "error": {"code": INVALID_REQUEST, "message": error.message, "data": data}}
