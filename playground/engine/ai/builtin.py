"""Built-in models, which need no key, cost nothing and answer the same in every run: for lessons and tests.

`@playground/echo` says its last message again, word by word. `@playground/script` plays the turns of `inputs.script`:
turn n answers a conversation with n - 1 answers in it, so that a replayed or repeated call gets the same answer.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from playground.engine.ai.requests import Answer, ModelRequest, ToolCall
from playground.workflows.errors import AIRequestError

PREFIX = "@playground/"
ECHO, SCRIPT = f"{PREFIX}echo", f"{PREFIX}script"
MODELS = (ECHO, SCRIPT)
PACE_MS = 40  # between two words
PACE_MOST_MS = 5_000
PIECES_AT_ONCE = 50  # of an answer without a pace
LAST_RESULT = "{last}"  # in a scripted text: the content of the last message

_WORDS = re.compile(r"\s*\S+\s*")


async def answer_of(
    request: ModelRequest, append: Callable[[str], None], pause: Callable[[int], Awaitable[None]]
) -> Answer:
    """The answer of a built-in model. `append` receives its text word by word, `pause` waits between them; without a
    pace several words at a time, `PIECES_AT_ONCE` at most.

    Raises AIRequestError.
    """
    pace = _pace(request.scripted.get("pace_ms"))
    turn = _scripted(request) if request.model == SCRIPT else {"text": text_of(request.messages[-1])}
    if request.model not in MODELS:
        raise AIRequestError(f"There is no built-in model {request.model[:80]!r}; there are {' and '.join(MODELS)}.")
    text = turn.get("text", "").replace(LAST_RESULT, text_of(request.messages[-1]))
    words = list(cut_to(text, request.max_tokens))
    if pace:
        for number, word in enumerate(words):
            if number:
                await pause(pace)
            append(word)
    else:  # each piece costs the event loop of the server, and code may call thousands of times
        size = -(-len(words) // PIECES_AT_ONCE) or 1
        for begin in range(0, len(words), size):
            append("".join(words[begin : begin + size]))
    calls = _tool_calls(turn.get("tool_calls"), _turn_of(request))
    is_cut = sum(map(len, words)) < len(text)
    reason = "tool_calls" if calls else "length" if is_cut else "stop"
    return Answer("".join(words), calls, reason, count_words(request.messages), len(words) + len(calls))


def cut_to(text: str, words: int) -> Iterator[str]:
    """The first so many words of a text, each with the space around it."""
    for number, found in enumerate(_WORDS.finditer(text)):
        if number >= words:
            return
        yield found.group()


def count_words(messages: Sequence[Mapping[str, Any]]) -> int:
    """The tokens of messages, as built-in models count them."""
    return sum(len(text_of(message).split()) for message in messages)


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message."""
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return content or ""


def _pace(asked: Any) -> int:
    if asked is None:
        return PACE_MS
    if not isinstance(asked, int) or isinstance(asked, bool) or not 0 <= asked <= PACE_MOST_MS:
        raise AIRequestError(f"inputs.pace_ms is a whole number from 0 to {PACE_MOST_MS:,}.")
    return asked


def _turn_of(request: ModelRequest) -> int:
    return sum(message["role"] == "assistant" for message in request.messages)


def _scripted(request: ModelRequest) -> Mapping[str, Any]:
    script, turn = request.scripted.get("script"), _turn_of(request)
    if not isinstance(script, list) or not script:
        raise AIRequestError(f'{SCRIPT} takes inputs.script: [{{"text": "…"}} or {{"tool_calls": […]}}, …].')
    if turn >= len(script):
        raise AIRequestError(f"inputs.script has {len(script)} turns, and turn {turn + 1} is asked for.")
    found = script[turn]
    if not isinstance(found, Mapping) or found.keys() - {"text", "tool_calls"} or not found:
        raise AIRequestError(f"inputs.script[{turn}] is a dict with text, tool_calls, or both.")
    if not isinstance(found.get("text", ""), str):
        raise AIRequestError(f"inputs.script[{turn}].text is a text.")
    return found


def _tool_calls(calls: Any, turn: int) -> list[ToolCall]:
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise AIRequestError(f"inputs.script[{turn}].tool_calls is a list.")
    made = []
    for index, call in enumerate(calls):
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise AIRequestError(f'inputs.script[{turn}].tool_calls[{index}] is {{"name", "arguments"}}.')
        made.append(ToolCall(f"call-{turn + 1}-{index + 1}", call["name"], json.dumps(call.get("arguments", {}))))
    return made
