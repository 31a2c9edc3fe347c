"""A server of tools that the playground answers itself, for lessons about `env.MCP` that need no internet: a courier at
`https://tools.playground.example/mcp`.

It has the three shapes that an answer of a server can have. `quote` has a result. `book` asks a person, by a form.
`deliver` is a task that takes `DELIVERY_MS`. No socket is opened for it, and it remembers nothing: an id of a task says
when it began and what for, and so does the state of a request for input, so that any node answers for any other.

It speaks the protocol by the official SDK, like any server; `now` gives epoch milliseconds.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from playground.engine.mcp.client import INVALID_PARAMS, TASKS

TOOLS_HOST = "tools.playground.example"
TOOLS_URL = f"https://{TOOLS_HOST}/mcp"
DELIVERY_MS = 12_000
POLL_MS = 4_000
TEXT_CHARACTERS = 100
PACKED_CHARACTERS = 20 * TEXT_CHARACTERS  # of an id or a state, which whoever asks may have made up
_PRICE = 9  # and one more for each letter of the place: a courier of a lesson may charge as it likes
_AGREE: Mapping[str, Any] = {
    "type": "object",
    "properties": {"agree": {"type": "boolean", "title": "Book it at this price"}},
    "required": ["agree"],
}
_TO: Mapping[str, Any] = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
_BOOKING: Mapping[str, Any] = {
    "type": "object",
    "properties": {"booking": {"type": "string"}},
    "required": ["booking"],
}
_TOOLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "quote": ("Say what it costs to bring a parcel to a place.", _TO),
    "book": ("Book a courier to a place. A person is asked whether the price is right.", _TO),
    "deliver": ("Bring the parcel of a booking. It takes a while.", _BOOKING),
}


class DemoTools(httpx2.AsyncBaseTransport):
    """The server of tools."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._server: Any = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        self._server = self._server or self._made()
        manager = StreamableHTTPSessionManager(self._server, json_response=True, stateless=True)
        async with manager.run():
            return await httpx2.ASGITransport(manager.handle_request).handle_async_request(request)

    def _made(self) -> Any:
        from mcp.server.lowlevel.server import Server
        from mcp_types import RequestParams

        class TaskParams(RequestParams):
            task_id: str

        server: Any = Server(
            "courier", on_list_tools=self._list, on_call_tool=self._call, get_tool_input_schema=lambda _: None
        )
        server.extensions[TASKS] = {}
        server.add_request_handler("tasks/get", TaskParams, self._get)
        server.add_request_handler("tasks/cancel", TaskParams, self._cancel)
        return server

    async def _list(self, context: Any, params: Any) -> Any:
        tools = [
            {"name": name, "description": description, "inputSchema": dict(schema)}
            for name, (description, schema) in _TOOLS.items()
        ]
        return {"tools": tools, "ttlMs": 0, "cacheScope": "private", "resultType": "complete"}

    async def _call(self, context: Any, params: Any) -> Any:
        name, given = params.name, params.arguments or {}
        if name not in _TOOLS:
            raise _refused(f"There is no tool {name[:TEXT_CHARACTERS]!r}; there are {', '.join(_TOOLS)}.")
        (field,) = _TOOLS[name][1]["required"]
        value = given.get(field)
        if not isinstance(value, str) or not 0 < len(value) <= TEXT_CHARACTERS:
            raise _refused(f"{name} takes {field!r}, a text of at most {TEXT_CHARACTERS} characters.")
        if name == "quote":
            return _result({"to": value, "price": _price(value)})
        if name == "deliver":
            return self._task(_packed({"began": self._now(), "booking": value})) | {"resultType": "task"}
        if params.request_state is None:
            message = f"A courier to {value} costs {_price(value)}. Shall it be booked?"
            form = {"mode": "form", "message": message, "requestedSchema": dict(_AGREE)}
            asked = {"agreed": {"method": "elicitation/create", "params": form}}
            return {"resultType": "input_required", "inputRequests": asked, "requestState": _packed({"to": value})}
        to = str(_unpacked(params.request_state).get("to", ""))[:TEXT_CHARACTERS]
        answer = (context.params or {}).get("inputResponses", {}).get("agreed", {})
        content = answer.get("content")
        agreed = answer.get("action") == "accept" and isinstance(content, dict) and content.get("agree") is True
        return _result({"booking": f"C-{len(to)}{to[:3].upper()}" if agreed else None})

    async def _get(self, context: Any, params: Any) -> Any:
        return self._task(params.task_id) | {"resultType": "complete"}

    async def _cancel(self, context: Any, params: Any) -> Any:
        _unpacked(params.task_id)
        return {"resultType": "complete"}

    def _task(self, id: str) -> dict[str, Any]:
        """How a delivery stands."""
        task = _unpacked(id)
        began, booking = task.get("began"), task.get("booking")
        if not isinstance(began, int) or not isinstance(booking, str):
            raise _refused("There is no such task.")
        ended = self._now() >= began + DELIVERY_MS
        found = {"taskId": id, "status": "completed" if ended else "working", "pollIntervalMs": POLL_MS, "ttlMs": None}
        if ended:
            return found | {"result": _result({"booking": booking, "delivered": True})}
        return found | {"statusMessage": f"The parcel of {booking} is on its way."}


def _price(place: str) -> int:
    return _PRICE + len(place)


def _result(structured: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "content": [{"type": "text", "text": json.dumps(structured)}],
        "structuredContent": dict(structured),
        "isError": False,
        "resultType": "complete",
    }


def _refused(why: str) -> Exception:
    from mcp.shared.exceptions import MCPError

    return MCPError(INVALID_PARAMS, why)


def _packed(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def _unpacked(text: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(text)) if len(text) <= PACKED_CHARACTERS else None
    except (ValueError, binascii.Error, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _refused("There is no such task.")
    return found
