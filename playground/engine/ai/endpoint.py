"""An OpenAI-compatible endpoint: one POST to `/chat/completions`, whose answer is read whole or as Server-Sent Events.

Whatever goes wrong becomes one of the classes of `workflows/errors.py`, by which a retry policy can decide. No text of
the endpoint's is shown but the message of its error, cut short, and never what was sent.

An error whose `details` have `charged` came after the call was sent: what it took is not known.

Limits: no redirect is followed, since a key would go along; those of the client hold for time and size.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from playground.engine.ai.requests import BYTES_PER_TOKEN, Answer, ModelRequest, ToolCall
from playground.outbound.errors import OutboundError, Refused
from playground.workflows.errors import AIRateLimitError, AIRequestError, AIUnavailableError
from playground.workflows.events import REDACTED

ERROR_BYTES = 16 * 1024  # read of an error's body
ERROR_LENGTH = 300  # characters shown of it
RETRY_AFTER_MOST = 86_400  # seconds
TOOL_CALLS_MOST = 128
_DONE = "[DONE]"
_SETTINGS = {"seconds": "ai_seconds", "bytes_in": "ai_answer_bytes"}  # the settings behind the client's limits


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where models are, and the key to them. `models`: those that may be called."""

    base_url: str
    key: str = field(repr=False)
    models: tuple[str, ...]

    def without_key(self, text: str) -> str:
        """A text of the endpoint's, which may repeat the key, without it."""
        return text.replace(self.key, REDACTED) if self.key else text


async def complete(
    client: httpx2.AsyncClient,
    endpoint: Endpoint,
    request: ModelRequest,
    *,
    append: Callable[[str], None],
    idempotency_key: str,
    now: Callable[[], int],
) -> Answer:
    """Call a model.

    Args:
        client: of `playground/outbound/`, with the limits of a call.
        append: receives the text as it comes, where the request streams.
        idempotency_key: by which the endpoint may know a call that it has answered already.
        now: epoch milliseconds.

    Raises AIError.
    """
    url = f"{endpoint.base_url.rstrip('/')}/chat/completions"
    headers = {"Idempotency-Key": idempotency_key}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    is_answered = False
    try:
        async with client.stream("POST", url, json=_body(request), headers=headers) as response:
            await _check_status(response, now, endpoint)
            is_answered = True
            if request.stream is not None and "text/event-stream" in response.headers.get("content-type", ""):
                answer = await _streamed(response.aiter_raw(), request, lambda text: append(endpoint.without_key(text)))
            else:
                text = b"".join([part async for part in response.aiter_raw()])
                answer = _whole(text, request, lambda text: append(endpoint.without_key(text)))
            return replace(answer, text=endpoint.without_key(answer.text))
    except Refused as refused:
        raise AIRequestError(f"The endpoint of this model: {refused.message}") from None
    except OutboundError as failed:
        setting = _SETTINGS.get(failed.limit)
        details = {} if setting is None else {"setting": setting}
        charged = is_answered or failed.limit == "seconds"
        raise AIUnavailableError(f"The endpoint of this model: {failed.message}", charged=charged, **details) from None


def _body(request: ModelRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model, "messages": request.messages, "max_tokens": request.max_tokens, **request.passed
    }  # fmt: skip
    if request.tools:
        body["tools"] = request.tools
    if request.stream is not None:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


async def _check_status(response: httpx2.Response, now: Callable[[], int], endpoint: Endpoint) -> None:
    status = response.status_code
    if status == 200:
        return
    if 300 <= status < 400:
        raise AIRequestError(f"The endpoint answers {status}, a redirect, which is not followed: set its own address.")
    said = endpoint.without_key(await _error_text(response))
    if status == 429:
        wait = retry_after(response.headers.get("retry-after"), now())
        when = "" if wait is None else f" It asks for {wait:g} seconds."
        raise AIRateLimitError(f"The endpoint takes no more calls now (429).{when}{said}", retry_after=wait)
    if status in (401, 403):
        raise AIRequestError(f"The endpoint refuses the key ({status}).{said}")
    if status in (408, 409, 425) or status >= 500:
        raise AIUnavailableError(f"The endpoint failed ({status}).{said}")
    raise AIRequestError(f"The endpoint refuses the call ({status}).{said}")


async def _error_text(response: httpx2.Response) -> str:
    read = b""
    try:
        async for part in response.aiter_raw():
            read += part
            if len(read) > ERROR_BYTES:
                break
        found = json.loads(read)["error"]
        message = found["message"] if isinstance(found, Mapping) else found
        return f" It says: {message[:ERROR_LENGTH]}" if isinstance(message, str) else ""
    except (OutboundError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def retry_after(header: str | None, now_ms: int) -> float | None:
    """Seconds of a Retry-After header, which has a number or a date; None where it has neither."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(min(int(header.strip()[:9]), RETRY_AFTER_MOST))
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)) - datetime.fromtimestamp(now_ms / 1000, UTC)
    return min(max(0.0, seconds.total_seconds()), float(RETRY_AFTER_MOST))


def _garbage(what: str) -> AIUnavailableError:
    return AIUnavailableError(f"The endpoint's answer can't be read: {what}.", charged=True)


def _whole(text: bytes, request: ModelRequest, append: Callable[[str], None]) -> Answer:
    found = _json(text)
    choice = _first_choice(found)
    message = choice.get("message") if choice is not None else None
    if choice is None or not isinstance(message, Mapping):
        raise _garbage("it has no choices with a message")
    content = message.get("content")
    answer = content if isinstance(content, str) else ""
    if request.stream is not None and answer:
        append(answer)
    calls = _Calls()
    for index, call in enumerate(_list(message.get("tool_calls"))):
        calls.add(call, index)
    return _answer(answer, calls.all(), choice.get("finish_reason"), found.get("usage"), request)


async def _streamed(parts: AsyncIterator[bytes], request: ModelRequest, append: Callable[[str], None]) -> Answer:
    texts: list[str] = []
    calls, reason, usage, is_done = _Calls(), None, None, False
    async for line in _lines(parts):
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == _DONE:
            is_done = True
            break
        found = _json(data)
        if "error" in found:
            raise AIUnavailableError("The endpoint ended its answer with an error.", charged=True)
        usage = found.get("usage") or usage
        choice = _first_choice(found)
        if choice is None:
            continue
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            if isinstance(text := delta.get("content"), str) and text:
                texts.append(text)
                append(text)
            for index, call in enumerate(_list(delta.get("tool_calls"))):
                calls.add(call, index)
        reason = choice.get("finish_reason") or reason
    if not is_done and reason is None:
        raise AIUnavailableError("The endpoint's answer was cut off before its end.", charged=True)
    return _answer("".join(texts), calls.all(), reason, usage, request)


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[str]:
    rest = bytearray()
    async for part in parts:
        rest += part
        *lines, last = rest.split(b"\n")
        rest = bytearray(last)
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")
    if rest:
        yield rest.decode("utf-8", "replace")


class _Calls:
    """Tool calls, which a stream sends in pieces."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, str]] = {}

    def add(self, piece: Any, place: int) -> None:
        function = piece.get("function") if isinstance(piece, Mapping) else None
        if not isinstance(function, Mapping):
            raise _garbage("a tool call has no function")
        index = piece.get("index", place)
        if not isinstance(index, int) or not 0 <= index < TOOL_CALLS_MOST:
            raise _garbage(f"it has a tool call with the number {index!r:.20}")
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        for name, given in (("id", piece.get("id")), *((name, function.get(name)) for name in ("name", "arguments"))):
            if isinstance(given, str):
                call[name] += given

    def all(self) -> list[ToolCall]:
        return [ToolCall(**call) for _, call in sorted(self._calls.items())]


def _answer(text: str, calls: list[ToolCall], reason: Any, usage: Any, request: ModelRequest) -> Answer:
    counted = usage if isinstance(usage, Mapping) else {}
    written = len(text.encode("utf-8", "replace")) + sum(len(call.arguments) for call in calls)
    tokens_in = _count(counted.get("prompt_tokens"), request.tokens_in)
    tokens_out = _count(counted.get("completion_tokens"), -(-written // BYTES_PER_TOKEN))
    return Answer(text, calls, reason if isinstance(reason, str) else "stop", tokens_in, tokens_out)


def _count(said: Any, estimate: int) -> int:
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < 2**40 else estimate


def _json(text: bytes | str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _garbage("it is no JSON") from None
    if not isinstance(found, dict):
        raise _garbage("it is no JSON object")
    return found


def _first_choice(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = found.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else None


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
