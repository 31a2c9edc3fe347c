"""`env.MCP` and `env.MCPS`: tools of servers that speak the Model Context Protocol.

    tools = await self.env.MCP.list_tools()
    found = await self.env.MCP.call_tool("search", {"query": "…"})

A call is made of steps (worker/service_stubs.py), so that its task outlives whoever asked for it: the id of a task, and
what a server asks for, stand in the journal as the result of a step. This side sends one request at a time, with the
credentials, which code never sees, and notes each as an event.

Where a run is terminated, the tasks that it has begun are cancelled at their servers (`open_tasks`): by the node that
ended it, which tries once.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from playground.engine.bindings.binding import Binding, CallContext, CallLimits
from playground.engine.mcp.client import Outcome, ToolClient, ToolServer, responses_of
from playground.engine.mcp.demo import TOOLS_URL
from playground.outbound.client import Outbound
from playground.outbound.hosts import HostRule, read_rule
from playground.outbound.limits import Limits
from playground.workflows import events as ev
from playground.workflows.errors import MCPError, MCPRequestError
from playground.workflows.events import NewEvent
from playground.workflows.names import derived_id

DEFAULT_SERVER = "default"
SENT_FACTOR = 8  # bytes of a request for one of the call that made it, at most: JSON writes a character as "\\u0000"
METHODS = "GET,POST,DELETE"


@dataclass(frozen=True, slots=True)
class Connected:
    """A server, and how it is reached: by which connections, under a rule that carries its credentials."""

    server: ToolServer
    rule: HostRule
    outbound: Outbound


class ToolServers(Binding):
    """The servers of one tenant, or program. `default` names the one that the stub asks; None: a stub that has all."""

    limits: ClassVar[CallLimits] = CallLimits(settings={"seconds": "tools_seconds"}, factor=2)
    ends_with_worker = True
    internal = frozenset({"reached"})

    def __init__(self, default: str | None) -> None:
        self._default = default

    async def reached(self, server: str, outbound: Outbound, trusted: Outbound) -> Connected:
        """The server of a name: one of a tenant's own by the guarded connections, else by those to trusted addresses.

        Raises MCPRequestError: there is none.
        """
        raise NotImplementedError

    def describe(self) -> Mapping[str, Any]:
        """See `Binding`."""
        return {"mcps": True} if self._default is None else {"mcp": self._default}

    async def list_tools(self, server: str, *, call: CallContext) -> list[dict[str, Any]]:
        """The tools that may be called, each with name, description, inputSchema and outputSchema."""
        client, close = await self._client(server, call)
        async with close:
            return await client.list_tools()

    async def call(
        self, server: str, tool: str, arguments: Mapping[str, Any] | None = None, *, call: CallContext
    ) -> dict[str, Any]:
        """Call a tool; returns what that has come to: `{"result"}`, `{"task"}` or `{"ask"}`."""
        given = _checked_arguments(arguments)
        client, close = await self._client(server, call)
        async with close:
            return await noted(client.call(tool, given, _key(call)), server, tool, call)

    async def poll(self, server: str, tool: str, task: str, *, call: CallContext) -> dict[str, Any]:
        """How a task stands, in the same form."""
        client, close = await self._client(server, call)
        async with close:
            return await noted(client.get_task(task), server, tool, call, task)

    async def answer(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any] | None,
        ask: Mapping[str, Any],
        payload: Any,
        *,
        call: CallContext,
    ) -> dict[str, Any]:
        """Give a server what it asked for, in the same form."""
        requests = ask.get("requests") if isinstance(ask, dict) else None
        if not isinstance(requests, dict):
            raise MCPRequestError("There is nothing that is asked for.")
        responses, task = responses_of(requests, payload), ask.get("task")
        client, close = await self._client(server, call)
        async with close:
            if task is not None:
                return await noted(client.update_task(task, responses), server, tool, call, task)
            going_on = client.call(
                tool, _checked_arguments(arguments), _key(call), responses=responses, state=ask.get("state")
            )
            return await noted(going_on, server, tool, call)

    async def _client(self, server: str, call: CallContext) -> tuple[ToolClient, Any]:
        """A client, and what closes it."""
        if not isinstance(server, str):
            raise MCPRequestError("A server of tools has a name.")
        host = call.host
        to = await self.reached(server, host.outbound, host.trusted)
        return open_client(to, host.limit, host.scope_name)


def open_client(to: Connected, limit: Any, owner: str) -> tuple[ToolClient, Any]:
    """A client of a server, and what closes it; `limit` gives a limit by its name."""
    limits = Limits(
        seconds=limit("tools_seconds"),
        bytes_out=SENT_FACTOR * limit("call_bytes"),
        bytes_in=limit("tools_answer_bytes"),
    )
    http = to.outbound.client([to.rule], limits, owner=owner)
    server = dataclasses.replace(to.server, secrets=tuple(to.rule.hidden))
    return ToolClient(server, http, limits.bytes_in), http


async def noted(asked: Any, server: str, tool: str, call: CallContext, task: str | None = None) -> dict[str, Any]:
    """What a request comes to, once the event that says that it was made is durable."""
    host = call.host
    began, name = host.elapsed(), tool if isinstance(tool, str) else ""
    data: dict[str, Any] = {"server": server, "tool": name[:200]}
    if call.attempt is not None:
        data["attempt"] = call.attempt
    try:
        outcome: Outcome = await asked
    except MCPError as failed:
        more = {} if task is None else {"task": task}
        ended = {"took_ms": max(0, host.elapsed() - began), "bytes": 0, "error": failed.code}
        await host.record(NewEvent(ev.MCP_CALLED, host.redact(data | ended | more), call.step))
        raise
    value = outcome.as_value()
    data["took_ms"], data["bytes"] = max(0, host.elapsed() - began), len(json.dumps(value))
    goes_on = (outcome.task or {}).get("id") or (outcome.ask or {}).get("task")
    if goes_on is not None or task is not None:
        data["task"] = goes_on or task
        data["status"] = "working" if outcome.task else "input_required" if outcome.ask else "completed"
    await host.record(NewEvent(ev.MCP_CALLED, host.redact(data), call.step))
    return value


def open_tasks(calls: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The tasks that a run has begun and not seen the end of, as server and id, from the data of its `mcp_called`."""
    found: dict[tuple[str, str], str] = {}
    for data in calls:
        if "task" in data:
            place = data["server"], data["task"]
            found[place] = data.get("status", found.get(place, "working"))
    return [place for place, status in found.items() if status != "completed"]


def _key(call: CallContext) -> str | None:
    """The same for each attempt of a step, so that a server which knows it makes nothing twice."""
    if call.idempotency_key is None:
        return None
    return derived_id(f"{call.idempotency_key}/mcp/{call.host.next_number(call.step, 'mcp')}")


def _checked_arguments(arguments: Any) -> dict[str, Any]:
    if arguments is None:
        return {}
    if not isinstance(arguments, dict) or not all(isinstance(name, str) for name in arguments):
        raise MCPRequestError("The arguments of a tool are a dict.")
    return arguments


class OneServer(ToolServers):
    """The tools of one server, at a fixed address. `trusted`: it may stand at a private address."""

    def __init__(self, there: ToolServer, rule: HostRule, *, trusted: bool) -> None:
        super().__init__(DEFAULT_SERVER)
        self._server, self._rule, self._trusted = there, rule, trusted

    async def reached(self, server: str, outbound: Outbound, trusted: Outbound) -> Connected:
        """See `ToolServers`."""
        if server != DEFAULT_SERVER:
            raise MCPRequestError(f"There is one server of tools here, {DEFAULT_SERVER!r}.")
        return Connected(self._server, self._rule, trusted if self._trusted else outbound)


class MCP(OneServer):
    """The tools of one server, for a program's tenants: `Code(env={"MCP": MCP("https://tools.example/mcp", token)})`.

    Args:
        url: the server's address.
        auth: sent as the bearer token; code never sees it.
        tools: the names of those that code may call; None: all.

    Raises:
        ValueError: an argument can't be used.
    """

    def __init__(self, url: str, auth: str = "", tools: Sequence[str] | None = None) -> None:
        there = ToolServer(url, None if tools is None else check_tools(tools))
        super().__init__(there, with_bearer(rule_of(url), auth), trusted=True)

    def __repr__(self) -> str:
        return f"<MCP {self._rule.host}>"

    def hidden(self) -> Sequence[str]:
        """See `Binding`."""
        return self._rule.hidden


def demo_server() -> OneServer:
    """What code that has no server of its own finds: the tools of `engine/mcp/demo.py`."""
    return OneServer(ToolServer(TOOLS_URL), rule_of(TOOLS_URL), trusted=False)


def rule_of(url: str) -> HostRule:
    """The rule that lets the one host of an address be asked. Raises ValueError."""
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError("the address of a server of tools is http(s)://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address of a server holds no user and password; its token is given by itself")
    return read_rule(f"{METHODS} {parts.scheme}://{parts.netloc}")


def with_bearer(rule: HostRule, token: str) -> HostRule:
    """A rule that sends a token along."""
    if not token:
        return rule
    return dataclasses.replace(rule, headers={"Authorization": f"Bearer {token}"}, hidden=(token,))


def check_tools(tools: Sequence[str]) -> tuple[str, ...]:
    """Names of tools that may be called. Raises ValueError."""
    if isinstance(tools, str) or not all(isinstance(tool, str) and tool for tool in tools):
        raise ValueError("tools is a list of names")
    return tuple(tools)
