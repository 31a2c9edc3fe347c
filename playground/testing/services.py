"""Answers of models and tools in a test: what `env.AI` and `env.MCP` give instead of asking anybody.

An answer is used once, in the order in which they were given; the last one stays. What is recorded in the journal is
what a real call records.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from playground.engine.ai import builtin
from playground.engine.ai.requests import Answer, ModelRequest, ToolCall
from playground.engine.bindings.ai import OperatorModels, appender
from playground.engine.bindings.binding import CallContext
from playground.engine.bindings.mcp import DEFAULT_SERVER, ToolServers, noted
from playground.engine.mcp.client import Outcome
from playground.workflows.errors import AIRequestError, MCPRequestError

TextOrTurn = str | Mapping[str, Any]


class Answers:
    """Answers in order, of which the last one stays."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        if not answers:
            raise TypeError("give at least one answer")
        self._answers = list(answers)

    def next(self, *args: Any, **kwargs: Any) -> Any:
        """The next answer: a function is called, an error is raised."""
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if inspect.isroutine(answer):
            answer = answer(*args, **kwargs)
        if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
            raise answer
        return answer


class MockedModels(OperatorModels):
    """`env.AI` of a test: models that have answers, and the built-in ones."""

    def __init__(self) -> None:
        self._models: dict[str, Answers] = {}

    def add(self, model: str, answers: tuple[TextOrTurn | BaseException | Callable[..., Any], ...]) -> None:
        """Give a model answers: a text, `{"text", "tool_calls"}`, an error, or a function of the inputs."""
        self._models[model] = Answers(answers)

    async def answer(self, request: ModelRequest, call: CallContext) -> Answer:
        """See `Models`."""
        answers = self._models.get(request.model)
        if answers is None:
            if request.model.startswith(builtin.PREFIX):
                return await super().answer(request, call)
            raise AIRequestError(f"This test has no answer of the model {request.model!r}: see tester.mock_model.")

        async def asked() -> Answer:
            turn = answers.next({"messages": request.messages, "tools": request.tools})
            text, calls = (turn, ()) if isinstance(turn, str) else (turn.get("text", ""), turn.get("tool_calls", ()))
            appender(request, call)(text)
            made = [
                ToolCall(f"call-{number}", one["name"], json.dumps(one.get("arguments", {})))
                for number, one in enumerate(calls, 1)
            ]
            reason = "tool_calls" if made else "stop"
            return Answer(text, made, reason, builtin.count_words(request.messages), len(text.split()) + len(made))

        return await self.recorded(request, call, call.host.elapsed(), asked())


class MockedTools(ToolServers):
    """`env.MCP` of a test: tools that have answers."""

    def __init__(self, default: str | None) -> None:
        super().__init__(default)
        self._tools: dict[tuple[str, str], Answers] = {}

    def add(self, tool: str, server: str, answers: tuple[Any, ...]) -> None:
        """Give a tool answers: a text, a dict as structured content, an error, or a function of the arguments."""
        self._tools[server, tool] = Answers(answers)

    async def list_tools(self, server: str, *, call: CallContext) -> list[dict[str, Any]]:
        """See `ToolServers`."""
        return [{"name": tool, "inputSchema": {"type": "object"}} for of, tool in self._tools if of == server]

    async def call(
        self, server: str, tool: str, arguments: Mapping[str, Any] | None = None, *, call: CallContext
    ) -> dict[str, Any]:
        """See `ToolServers`."""
        answers = self._tools.get((server, tool))
        if answers is None:
            where = "" if server == DEFAULT_SERVER else f" of the server {server!r}"
            raise MCPRequestError(f"This test has no answer of the tool {tool!r}{where}: see tester.mock_tool.")

        async def asked() -> Outcome:
            answer = answers.next(**(arguments or {}))
            text = answer if isinstance(answer, str) else json.dumps(answer)
            structured = answer if isinstance(answer, dict) else None
            content = [{"type": "text", "text": text}]
            return Outcome(result={"content": content, "structuredContent": structured, "isError": False})

        return await noted(asked(), server, tool, call)
