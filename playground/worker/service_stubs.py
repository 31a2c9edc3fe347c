"""`self.env.AI` and `self.env.MCP`: stubs of models and of servers of tools, whose calls run on the trusted side
(engine/bindings/ai.py, mcp.py).

A call of a tool is made of steps, one for each request to its server, so that it outlives the worker and the node: the
id of a task is the result of a step, and between two looks at the task the run sleeps. What the server asks for is the
result of a step, too, and a wait for an event comes behind it. Inside a step these steps are nested in it; they are not
retried there, since the step is. A replay so goes the way of the first execution without anything of its own.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from playground.worker.context import Record
from playground.worker.entrypoint import WorkflowFatalError
from playground.worker.fetching import current_run
from playground.workflows.payload_schema import NULL, OBJECT, InvalidSchema, check_schema

Call = Callable[..., Coroutine[Any, Any, Any]]  # Bindings._call
ANSWER_TIMEOUT = "24 hours"
NAME_LENGTH = 60  # characters of a tool's name in the names of its steps
ONCE: Mapping[str, Any] = {"retries": {"limit": 0, "delay": 0}}

_NO_RUN = "env.{name} belongs to a run: call it in `run`, in a step, or in `queue`."
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


class Models:
    """Calls models by name."""

    def __init__(self, name: str, call: Call) -> None:
        self._name, self._call = name, call

    def __repr__(self) -> str:
        return f"<binding {self._name}: run, models>"

    def __getattr__(self, method: str) -> Any:
        raise AttributeError(f"env.{self._name} has no method {method!r}; it has: run, models")

    async def run(self, model: str, inputs: Any = None, options: Any = None, *, stream: Any = None) -> Any:
        """Call a model: `{"prompt"}` or `{"messages"}`, with tools as OpenAI's API takes them.

        `stream=True` appends the answer to the stream "tokens" of the step as it comes; a name takes another stream.
        """
        if stream is not None:
            options = {**(options if isinstance(options, Mapping) else {}), "stream": stream}
        return Record(await self._call(self._name, "run", (model, inputs, options), {}))

    async def models(self) -> Any:
        """The names of the models that may be called."""
        return await self._call(self._name, "models", (), {})


class Tools:
    """The tools of one server."""

    def __init__(self, binding: str, server: str, call: Call) -> None:
        self._binding, self._server, self._call = binding, server, call

    def __repr__(self) -> str:
        return f"<tools of {self._server}: list_tools, call_tool>"

    def __getattr__(self, method: str) -> Any:
        raise AttributeError(f"env.{self._binding} has no method {method!r}; it has: list_tools, call_tool")

    async def list_tools(self) -> list[Any]:
        """The tools that may be called, each with name, description and inputSchema; a step."""
        found = await self._ask("list tools", "list_tools")
        return [Record(tool) for tool in found]

    async def call_tool(
        self, name: str, arguments: Any = None, *, timeout: Any = ANSWER_TIMEOUT, config: Any = None
    ) -> Record:
        """Call a tool and wait durably for its result: `{"content", "structuredContent", "isError"}`.

        Args:
            timeout: how long the server may wait for an answer that it asks a person for.
            config: of the steps that ask the server; by default they are not retried.
        """
        label = tool_label(name)
        outcome = await self._ask(f"call {label}", "call", name, arguments, config=config)
        while "result" not in outcome:
            if "task" in outcome:
                task = outcome["task"]
                await _steps(self._binding).sleep(f"{label} works", task["poll_ms"])
                outcome = await self._ask(f"look at {label}", "poll", name, task["id"], config=config)
                continue
            ask = outcome["ask"]
            payload = None
            if ask["requests"]:
                types = f"answer-{label}"
                schema = form_schema(ask["requests"])
                event = await _steps(self._binding).wait_for_event(
                    f"{label} asks", types, timeout=timeout, schema=schema
                )
                payload = event["payload"]
            outcome = await self._ask(f"answer {label}", "answer", name, arguments, ask, payload, config=config)
        return Record(outcome["result"])

    async def _ask(self, step: str, method: str, *args: Any, config: Any = None) -> Any:
        """Send one request, as a step."""

        def request(context: Record) -> Coroutine[Any, Any, Any]:
            return self._call(self._binding, method, (self._server, *args), {})

        given = {"config": ONCE if config is None else config, "rollback": None, "rollback_config": None}
        return await _steps(self._binding).start(step, request, line=None, **given)


class ToolServers:
    """All servers of tools of the tenant."""

    def __init__(self, binding: str, call: Call) -> None:
        self._binding, self._call = binding, call

    def get(self, name: str) -> Tools:
        """The server of this name."""
        return Tools(self._binding, name, self._call)


def form_schema(requests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the answer to a server's forms has to be: null to decline, else the fields of the one form, or the answers
    by the key of each. None where a server asks in a way that a wait's schema does not take, such as by a pattern: the
    server checks what it gets in any case.
    """
    forms = {
        key: {**form["schema"], "description": form["message"], "type": [OBJECT, NULL]}
        for key, form in requests.items()
    }
    several = {"type": [OBJECT, NULL], "properties": forms, "required": list(forms)}
    try:
        return check_schema(next(iter(forms.values())) if len(forms) == 1 else several)
    except InvalidSchema:
        return None


def tool_label(tool: object) -> str:
    """A tool's name as it stands in the names of steps and events."""
    return _NOT_IN_NAMES.sub("-", str(tool)[:NAME_LENGTH]).strip("-") or "tool"


def _steps(binding: str) -> Any:
    run = current_run.get()
    if run is None:
        raise WorkflowFatalError(_NO_RUN.format(name=binding))
    return run.steps
