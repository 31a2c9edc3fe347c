"""A client of one server of tools, by the official SDK: the protocol of 2026-07-28 and the generation before it.

Each request stands for itself: a session is opened for it and closed with it, so that any node may send the next. What
a call comes to is its result, a task that goes on at the server (the extension `io.modelcontextprotocol/tasks`, which
the SDK leaves to others), or a request for input; who called decides when to ask on (worker/service_stubs.py).

The generation before has neither: a server of it that asks in the midst of a call is declined, and its experimental
tasks (2025-11-25) are not asked for, which the SDK has no client of either.

Limits: those of the HTTP client for time and size; `SCHEMA_BYTES` of a schema, `TOOLS_MOST` tools, `REQUESTS_MOST`
requests for input. What is larger is refused before it reaches any code.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

from playground.outbound.errors import LimitReached, OutboundError, Refused
from playground.workflows.errors import MCPError, MCPRequestError, MCPUnavailableError
from playground.workflows.events import REDACTED

if TYPE_CHECKING:  # it takes a quarter of a second to load, and most servers have no use for it
    from mcp.client.session import ClientSession

TASKS = "io.modelcontextprotocol/tasks"
IDEMPOTENCY_KEY = "playground/idempotency-key"  # in `_meta`: a server like this one finds the run of an earlier call
TOOLS_MOST = 500
PAGES_MOST = 50
SCHEMA_BYTES = 64 * 1024
DESCRIPTION_LENGTH = 4_000  # characters
REQUESTS_MOST = 20
MESSAGE_LENGTH = 300  # characters shown of a server's own words
TASK_ID_LENGTH = 500
POLL_MS, POLL_LEAST_MS, POLL_MOST_MS = 1_000, 1_000, 3_600_000
ELICIT = "elicitation/create"
INVALID_PARAMS, METHOD_NOT_FOUND, INVALID_REQUEST = -32602, -32601, -32600

T = TypeVar("T")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolServer:
    """A server, and the tools of it that may be called; None: all."""

    url: str
    tools: tuple[str, ...] | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)  # that it is sent, and may repeat

    def check(self, tool: str) -> str:
        """Let the name of a tool pass that may be called. Raises MCPRequestError."""
        if not isinstance(tool, str) or not tool:
            raise MCPRequestError("A tool has a name.")
        if self.tools is not None and tool not in self.tools:
            raise MCPRequestError(
                f"The tool {tool[:80]!r} may not be called here; there are {', '.join(self.tools) or 'none'}."
            )
        return tool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call has come to: exactly one of these.

    `task` is `{"id", "poll_ms", "message"}`; `ask` is `{"requests", "state", "task"}`, of which `requests` has a
    message and a schema by the server's own key, and `state` goes back to the server as it is.
    """

    result: Json | None = None
    task: Json | None = None
    ask: Json | None = None

    def as_value(self) -> Json:
        """For the worker, and the journal."""
        fields = {"result": self.result, "task": self.task, "ask": self.ask}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ToolClient:
    """Asks one server, by an HTTP client that carries its credentials."""

    server: ToolServer
    http: httpx2.AsyncClient = field(repr=False)
    answer_bytes: int

    async def list_tools(self) -> list[Json]:
        """The tools that may be called: name, description, inputSchema, outputSchema. Raises MCPError."""
        from mcp_types import ListToolsRequest, PaginatedRequestParams

        async def ask(session: "ClientSession") -> list[Json]:
            found: list[Json] = []
            cursor = None
            for _ in range(PAGES_MOST):
                request = ListToolsRequest(params=PaginatedRequestParams(cursor=cursor))
                page = await session.send_request(request, _json_adapter())
                found += [_tool(tool) for tool in _list(page, "tools")]
                cursor = page.get("nextCursor")
                if not isinstance(cursor, str) or len(found) > TOOLS_MOST:
                    break
            return found

        listed = await self._with_session(ask)
        if len(listed) > TOOLS_MOST:
            raise MCPRequestError(f"The server has more than {TOOLS_MOST} tools, which is the most.")
        allowed = self.server.tools
        return [tool for tool in listed if allowed is None or tool["name"] in allowed]

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        key: str | None,
        *,
        responses: Json | None = None,
        state: str | None = None,
    ) -> Outcome:
        """Call a tool, or go on with a call that asked for input. Raises MCPError."""
        from mcp_types import CallToolRequest, CallToolRequestParams

        meta: Any = {} if key is None else {IDEMPOTENCY_KEY: key}
        params = CallToolRequestParams.model_validate(
            {
                "name": self.server.check(tool),
                "arguments": dict(arguments),
                "inputResponses": responses,
                "requestState": state,
                "_meta": meta,
            }
        )

        async def ask(session: "ClientSession") -> Json:
            found: Json = await session.send_request(CallToolRequest(params=params), _json_adapter())
            return found

        return _outcome(await self._with_session(ask))

    async def get_task(self, id: str) -> Outcome:
        """How a task stands. Raises MCPError."""
        return _task_outcome(await self._task("tasks/get", {"taskId": id}))

    async def update_task(self, id: str, responses: Json) -> Outcome:
        """Answer what a task asks for; returns that it goes on. Raises MCPError."""
        await self._task("tasks/update", {"taskId": id, "inputResponses": responses})
        return Outcome(task=_task_of(id, {}))

    async def cancel_task(self, id: str) -> None:
        """Ask the server to end a task. Raises MCPError."""
        await self._task("tasks/cancel", {"taskId": id})

    async def _task(self, method: str, params: Json) -> Json:
        request = _task_request(method, params)
        return await self._with_session(lambda session: session.send_request(request, _json_adapter()))

    async def _with_session(self, ask: "Callable[[ClientSession], Awaitable[T]]") -> T:
        statuses: list[int] = []  # of the server's answers, which the SDK keeps to itself

        async def note(response: httpx2.Response) -> None:
            statuses.append(response.status_code)

        self.http.event_hooks = {"response": [note]}
        try:
            async with self._session() as session:
                return without_secrets(await ask(session), self.server.secrets)
        except Exception as failed:  # noqa: BLE001 - of the SDK's task groups; what is none of a server's goes on
            raise _without_secrets(_as_mcp_error(failed, statuses), self.server.secrets) from None

    @contextlib.asynccontextmanager
    async def _session(self) -> "AsyncIterator[ClientSession]":
        from mcp.client.client import Client
        from mcp.client.extension import advertise
        from mcp.client.streamable_http import streamable_http_client

        transport = streamable_http_client(self.server.url, http_client=self.http, max_sse_event_size=self.answer_bytes)
        async with Client(
            transport, elicitation_callback=_decline, extensions=[advertise(TASKS)], cache=None
        ) as client:
            yield client.session


async def _decline(context: Any, params: Any) -> Any:
    """What a server is told that asks in the midst of a call: nobody can be waited for then."""
    from mcp_types import ElicitResult

    return ElicitResult(action="decline")


def _json_adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, Any])


def _task_request(method: str, params: Json) -> Any:
    from mcp_types import Request, RequestParams

    class Params(RequestParams):
        model_config = RequestParams.model_config | {"extra": "allow"}

    class TaskRequest(Request[Params, str]):
        name_param = "taskId"

    return TaskRequest(method=method, params=Params.model_validate(params))


# What servers send, read with care: each part is checked before it goes on.


def _garbage(what: str) -> MCPUnavailableError:
    return MCPUnavailableError(f"The server's answer can't be read: {what}.")


def _list(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    if not isinstance(value, list):
        raise _garbage(f"it has no list of {name}")
    return value


def _tool(tool: Any) -> Json:
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        raise _garbage("a tool has no name")
    name = tool["name"]
    shown: Json = {"name": name[:DESCRIPTION_LENGTH]}
    if isinstance(tool.get("description"), str):
        shown["description"] = tool["description"][:DESCRIPTION_LENGTH]
    for schema in ("inputSchema", "outputSchema"):
        if isinstance(tool.get(schema), Mapping):
            shown[schema] = _checked_schema(tool[schema], f"the {schema} of the tool {name[:80]!r}")
    return shown


def _checked_schema(schema: Mapping[str, Any], what: str) -> Json:
    size = len(json.dumps(schema))
    if size > SCHEMA_BYTES:
        raise MCPRequestError(f"{what[0].upper()}{what[1:]} has {size:,} bytes; at most {SCHEMA_BYTES:,} are read.")
    return dict(schema)


def _outcome(found: Json) -> Outcome:
    kind = found.get("resultType", "complete")
    if kind == "task":
        return _task_outcome(found)
    if kind == "input_required":
        return Outcome(ask=_ask_of(found, None))
    if kind != "complete":
        raise _garbage(f"it has the type {str(kind)[:40]!r}")
    return Outcome(result=_result(found))


def _result(found: Mapping[str, Any]) -> Json:
    return {
        "content": _list(found, "content"),
        "structuredContent": found.get("structuredContent"),
        "isError": bool(found.get("isError", False)),
    }


def _task_outcome(found: Json) -> Outcome:
    id, status = found.get("taskId"), found.get("status")
    if not isinstance(id, str) or not 0 < len(id) <= TASK_ID_LENGTH:
        raise _garbage("a task has no id")
    if status == "completed":
        result = found.get("result")
        if not isinstance(result, Mapping):
            return Outcome(task=_task_of(id, found))  # the handle of a task that has ended meanwhile
        return Outcome(result=_result(result))
    if status == "input_required":
        if not isinstance(found.get("inputRequests"), Mapping):
            return Outcome(task=_task_of(id, found))
        return Outcome(ask=_ask_of(found, id))
    if status == "failed":
        error = found.get("error")
        message = error.get("message") if isinstance(error, Mapping) else None
        raise MCPRequestError(f"The task failed at the server.{_said(message)}")
    if status == "cancelled":
        raise MCPRequestError(f"The task was cancelled at the server.{_said(found.get('statusMessage'))}")
    if status != "working":
        raise _garbage(f"a task has the status {str(status)[:40]!r}")
    return Outcome(task=_task_of(id, found))


def _task_of(id: str, found: Mapping[str, Any]) -> Json:
    asked = found.get("pollIntervalMs")
    poll_ms = POLL_MS
    if isinstance(asked, int | float) and not isinstance(asked, bool):
        poll_ms = round(min(max(POLL_LEAST_MS, asked), POLL_MOST_MS))
    message = found.get("statusMessage")
    shown = message[:MESSAGE_LENGTH] if isinstance(message, str) else None
    return {"id": id, "poll_ms": poll_ms, "message": shown}


def _ask_of(found: Mapping[str, Any], task: str | None) -> Json:
    requests, state = found.get("inputRequests") or {}, found.get("requestState")
    if not isinstance(requests, Mapping) or len(requests) > REQUESTS_MOST:
        raise _garbage(f"it asks for more than {REQUESTS_MOST} inputs at once")
    if state is not None and not isinstance(state, str):
        raise _garbage("its request state is no text")
    return {"requests": {key: _request(request) for key, request in requests.items()}, "state": state, "task": task}


def _request(request: Any) -> Json:
    params = request.get("params") if isinstance(request, Mapping) else None
    if not isinstance(params, Mapping):
        raise _garbage("a request for input has no params")
    if request.get("method") != ELICIT or params.get("mode", "form") != "form":
        asked = f"{request.get('method')} {params.get('mode', '')}".strip()
        raise MCPRequestError(f"The server asks for {asked[:80]!r}, which is not given here: it may ask by a form.")
    schema, message = params.get("requestedSchema"), params.get("message")
    return {
        "message": message[:DESCRIPTION_LENGTH] if isinstance(message, str) else "",
        "schema": _checked_schema(schema if isinstance(schema, Mapping) else {}, "the schema of a form"),
    }


def responses_of(requests: Mapping[str, Any], payload: Any) -> Json:
    """The responses that the payload of an event is: the content of the one form that is asked for, or by key where
    there are several. `{"action": "decline"}` refuses. Raises MCPRequestError.
    """
    if len(requests) == 1:
        return {next(iter(requests)): _response(payload)}
    if not isinstance(payload, Mapping) or not payload.keys() >= requests.keys():
        raise MCPRequestError(f"Several inputs are asked for: answer with a dict of {', '.join(requests)}.")
    return {key: _response(payload[key]) for key in requests}


def _response(payload: Any) -> Json:
    if payload is None:
        return {"action": "decline"}
    if isinstance(payload, Mapping) and payload.get("action") in ("accept", "decline", "cancel"):
        return dict(payload)
    if not isinstance(payload, Mapping):
        raise MCPRequestError("The answer to a form is a dict of its fields, or null to decline.")
    return {"action": "accept", "content": dict(payload)}


def without_secrets(found: T, secrets: Sequence[str]) -> T:
    """What a server has sent, which may repeat the credentials, without them."""
    if isinstance(found, str):
        for secret in secrets:
            found = found.replace(secret, REDACTED)  # type: ignore[assignment]
        return found
    if isinstance(found, dict):
        return {name: without_secrets(value, secrets) for name, value in found.items()}  # type: ignore[return-value]
    if isinstance(found, list):
        return [without_secrets(value, secrets) for value in found]  # type: ignore[return-value]
    return found


# What goes wrong.


def _without_secrets(error: BaseException, secrets: Sequence[str]) -> BaseException:
    if isinstance(error, MCPError):
        error.message = without_secrets(error.message, secrets)
        error.args = (error.message,)
    return error


def _as_mcp_error(failed: BaseException, statuses: Sequence[int]) -> MCPError | BaseException:
    """A failure in our words; what is none of a server's stays what it is."""
    from mcp.shared.exceptions import MCPError as ProtocolError
    from pydantic import ValidationError

    causes = list(_causes(failed))
    for kind in (MCPError, OutboundError, ProtocolError, ValidationError, httpx2.HTTPError):
        found = next((cause for cause in causes if isinstance(cause, kind)), None)
        if isinstance(found, MCPError):
            return found
        if isinstance(found, Refused):
            return MCPRequestError(f"The server of tools: {found.message}")
        if isinstance(found, LimitReached):
            setting = _SETTINGS.get(found.limit)
            details = {} if setting is None else {"setting": setting}
            return MCPUnavailableError(f"The server of tools: {found.message}", **details)
        if isinstance(found, OutboundError):
            return MCPUnavailableError(f"The server of tools: {found.message}")
        if isinstance(found, ProtocolError):
            return _of_protocol(found.error.code, found.error.message, statuses[-1] if statuses else 200)
        if isinstance(found, ValidationError):
            return _garbage("it is not what the protocol says")
        if found is not None:
            return MCPUnavailableError(f"The server of tools could not be read ({type(found).__name__}).")
    return failed


_SETTINGS = {"seconds": "tools_seconds", "bytes_in": "tools_answer_bytes"}
_REFUSED_CODES = (INVALID_PARAMS, METHOD_NOT_FOUND, INVALID_REQUEST)


def _of_protocol(code: int, message: str, status: int) -> MCPError:
    if status in (401, 403):
        return MCPRequestError(f"The server refuses the credentials ({status}).")
    if 300 <= status < 400:
        return MCPRequestError(f"The server answers {status}, a redirect to elsewhere: set its own address.")
    if status >= 500 or status == 429:
        return MCPUnavailableError(f"The server failed ({status}).")
    if code in _REFUSED_CODES:
        return MCPRequestError(f"The server refuses the call ({code}).{_said(message)}")
    return MCPUnavailableError(f"The server failed ({code}).{_said(message)}")


def _said(message: Any) -> str:
    return f" It says: {message[:MESSAGE_LENGTH]}" if isinstance(message, str) and message else ""


def _causes(failed: BaseException) -> Sequence[BaseException]:
    """An error, those of its group, and what they came from."""
    found: list[BaseException] = []
    left: list[BaseException | None] = [failed]
    while left and len(found) < 100:
        error = left.pop()
        if error is None or error in found:
            continue
        found.append(error)
        left += [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            left += error.exceptions
    return found
