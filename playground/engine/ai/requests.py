"""What is asked of a model, checked, and what it answers.

Inputs are those of an OpenAI-compatible API. What is sent is made anew from the fields below, so that nothing else
reaches an endpoint.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from playground.workflows import names
from playground.workflows.errors import AIRequestError, InvalidName

MODEL_LENGTH = 200  # characters
MESSAGES_MOST = 1_000
TOOLS_MOST = 128
ROLES = ("system", "developer", "user", "assistant", "tool")
STREAM = "tokens"  # the stream that an answer is appended to, unless `options` name another
BYTES_PER_TOKEN = 3  # of text that is sent; most models take four or more, so this is rather too many tokens
TOKENS_PER_MESSAGE = 8  # what stands around a message

# Fields that go to the endpoint as they are, and the types of their values.
_PASSED: Mapping[str, tuple[type, ...]] = {
    "temperature": (int, float), "top_p": (int, float), "frequency_penalty": (int, float),
    "presence_penalty": (int, float), "seed": (int,), "stop": (str, list), "response_format": (dict,),
    "tool_choice": (str, dict), "parallel_tool_calls": (bool,), "reasoning_effort": (str,),
}  # fmt: skip
_OWN = ("prompt", "messages", "tools", "max_tokens", "stream")
SCRIPTED = ("script", "pace_ms")  # what only built-in models take


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A call of a model. `stream` names the stream that the answer is appended to; None: none."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    max_tokens: int
    passed: Mapping[str, Any]
    scripted: Mapping[str, Any]
    stream: str | None

    @property
    def tokens_in(self) -> int:
        """An estimate of what the endpoint will count, rather too high than too low."""
        text = json.dumps([self.messages, self.tools], ensure_ascii=False)
        return len(text.encode()) // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE * len(self.messages)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model wants called; `arguments` are JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model has answered. `tokens_in` and `tokens_out` are as the endpoint counts them, else as estimated."""

    text: str
    tool_calls: Sequence[ToolCall] = field(default_factory=tuple)
    finish_reason: str = "stop"
    tokens_in: int = 0
    tokens_out: int = 0

    def as_result(self, model: str) -> dict[str, Any]:
        """The answer as the tenant's code receives it; `message` is what goes on in `messages`."""
        return {
            "response": self.text,
            "tool_calls": [
                {"id": call.id, "name": call.name, "arguments": read_arguments(call)} for call in self.tool_calls
            ],
            "finish_reason": self.finish_reason,
            "model": model,
            "usage": {
                "prompt_tokens": self.tokens_in,
                "completion_tokens": self.tokens_out,
                "total_tokens": self.tokens_in + self.tokens_out,
            },
            "message": self.as_message(),
        }

    def as_message(self) -> dict[str, Any]:
        """The answer as a message of the conversation."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        return message


def read_arguments(call: ToolCall) -> Any:
    """The arguments of a tool call as a value; text that is no JSON stays text, for the code to judge."""
    try:
        return json.loads(call.arguments) if call.arguments.strip() else {}
    except (ValueError, RecursionError):
        return call.arguments


def checked_request(model: Any, inputs: Any, options: Any, max_tokens: int) -> ModelRequest:
    """A call of a model from what code gives.

    Args:
        max_tokens: the longest answer, where the inputs do not ask for a shorter one.

    Raises:
        AIRequestError: something is missing, or has another form.
    """
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_LENGTH:
        raise AIRequestError(f"env.AI.run takes the name of a model, of at most {MODEL_LENGTH} characters.")
    if not isinstance(inputs, Mapping):
        raise AIRequestError('env.AI.run takes inputs: {"prompt": "…"} or {"messages": [{"role", "content"}]}.')
    unknown = inputs.keys() - {*_OWN, *_PASSED, *SCRIPTED}
    if unknown:
        raise AIRequestError(
            f"inputs has {_named(unknown)}; it takes {', '.join((*_OWN, *_PASSED))} and, of built-in models, "
            f"{' and '.join(SCRIPTED)}."
        )
    for name, types in _PASSED.items():
        value = inputs.get(name)
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            raise AIRequestError(f"inputs.{name} is {type(value).__name__}, which it can't be.")
    return ModelRequest(
        model,
        _messages(inputs),
        _tools(inputs.get("tools")),
        _max_tokens(inputs.get("max_tokens"), max_tokens),
        {name: inputs[name] for name in _PASSED if inputs.get(name) is not None},
        {name: inputs[name] for name in SCRIPTED if inputs.get(name) is not None},
        _stream(inputs, options),
    )


def _messages(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    prompt, messages = inputs.get("prompt"), inputs.get("messages")
    if (prompt is None) == (messages is None):
        raise AIRequestError("inputs takes either prompt, a text, or messages, a list.")
    if messages is None:
        if not isinstance(prompt, str):
            raise AIRequestError("inputs.prompt is a text.")
        return [{"role": "user", "content": prompt}]
    if not isinstance(messages, list) or not 1 <= len(messages) <= MESSAGES_MOST:
        raise AIRequestError(f"inputs.messages is a list of 1 to {MESSAGES_MOST:,} messages.")
    return [_message(message, index) for index, message in enumerate(messages)]


_MESSAGE_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id")


def _message(message: Any, index: int) -> dict[str, Any]:
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        raise AIRequestError(f"inputs.messages[{index}] is a dict with role ({', '.join(ROLES)}) and content.")
    if not isinstance(message.get("content"), (str, list, type(None))):
        raise AIRequestError(f"inputs.messages[{index}].content is a text, or a list of parts.")
    unknown = message.keys() - set(_MESSAGE_FIELDS)
    if unknown:
        raise AIRequestError(f"inputs.messages[{index}] has {_named(unknown)}; it takes {', '.join(_MESSAGE_FIELDS)}.")
    return dict(message)


def _tools(tools: Any) -> list[dict[str, Any]]:
    if tools is None:
        return []
    if not isinstance(tools, list) or len(tools) > TOOLS_MOST:
        raise AIRequestError(f"inputs.tools is a list of at most {TOOLS_MOST} tools.")
    return [_tool(tool, index) for index, tool in enumerate(tools)]


def _tool(tool: Any, index: int) -> dict[str, Any]:
    """A tool as the API has it; one that is only a function, or as an MCP server lists it, is put into that form."""
    if isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping):
        function = tool["function"]
    else:
        function = tool
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise AIRequestError(f'inputs.tools[{index}] is {{"type": "function", "function": {{"name", …}}}}.')
    shown = {"name": function["name"]}
    if isinstance(function.get("description"), str):
        shown["description"] = function["description"]
    parameters = function.get("parameters", function.get("inputSchema"))
    if isinstance(parameters, Mapping):
        shown["parameters"] = dict(parameters)
    return {"type": "function", "function": shown}


def _max_tokens(asked: Any, most: int) -> int:
    if asked is None:
        return most
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
        raise AIRequestError("inputs.max_tokens is a whole number from 1.")
    return min(asked, most)


def _stream(inputs: Mapping[str, Any], options: Any) -> str | None:
    if options is not None and (not isinstance(options, Mapping) or options.keys() - {"stream"}):
        raise AIRequestError('The options of env.AI.run are {"stream": true}, or the name of a stream of the step.')
    stream = (options or {}).get("stream", inputs.get("stream"))
    if stream in (None, False):
        return None
    if stream is True:
        return STREAM
    try:
        return names.check_stream_name(stream)
    except InvalidName as refused:
        raise AIRequestError(refused.message) from None


def _named(unknown: Any) -> str:
    return ", ".join(sorted(f"{name!r:.40}" for name in unknown)[:5])
