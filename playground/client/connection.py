"""Requests to a server, and its streams: JSON in and out, refusals as errors, and a stream that goes on after a cut.

A request is sent once: whether a change that got no answer was carried out, only the caller can find out (`create` with
an id of its own may be repeated). A stream is asked for again, from the last id that came, for as long as `patience`
lasts without a message: over a lost connection, a server that restarts, one that is full. Redirects are not followed,
since they would carry a token elsewhere. JSON is encoded with its digits as they are: NaN and infinity are refused.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from playground.client.errors import BadAnswer, NotReached, TooMany, Unavailable, refusal
from playground.web.http.tokens import START_TOKEN_HEADER

T = TypeVar("T")

ANSWER_SECONDS = 60.0  # for one answer; waiting for a workflow's reply takes the server's own time besides
SILENCE_SECONDS = 45.0  # without a byte of a stream, which has a ping every 15: the connection is dead
PATIENCE_SECONDS = 60.0
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.25, 5.0
MESSAGE_BYTES = 64 * 1024 * 1024  # of one message of a stream: 1,000 events with what they hold
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a stream: its `event`, its `id` ("" without one) and its data."""

    event: str
    id: str
    data: Any


class Connection:
    """The way to one server.

    Args:
        server: its address, such as https://play.example.
        start_token: of a server without isolation, which does nothing without it.
        socket: the path of a Unix socket to reach it by.
        patience: seconds that a stream may be away.
        sleep, now: how to wait, and seconds that only grow.
    """

    def __init__(
        self,
        server: str,
        *,
        start_token: str = "",
        socket: str = "",
        patience: float = PATIENCE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = checked_address(server)
        self._patience, self._sleep, self._now = patience, sleep, now
        # Plain http knows no certificates, and to read those of this machine takes 30 ms. No redirect leads to https.
        secure = self.server.startswith("https:")
        headers = {"Accept": "application/json"}
        if start_token:
            headers[START_TOKEN_HEADER] = start_token
        self._http = httpx2.AsyncClient(
            base_url=self.server,
            headers=headers,
            timeout=ANSWER_SECONDS,
            transport=httpx2.AsyncHTTPTransport(verify=secure, uds=socket) if socket else None,
            verify=secure,
            # A proxy of the environment can't reach this machine's own servers.
            trust_env=not socket and urlsplit(self.server).hostname not in LOOPBACK,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what is open to the server."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        type: type[T],
        body: Any = msgspec.UNSET,
        *,
        token: str | None = None,
        query: Mapping[str, Any] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> T:
        """The answer to a request, as a value of this type. `body` None is JSON's null; left out there is none.

        Raises:
            Refused: the server refuses it.
            NotReached: there is no connection.
            BadAnswer: the answer is not of this type.
        """
        content = await self._send(method, path, body, token, query, seconds)
        try:
            return msgspec.json.decode(content or b"null", type=type)
        except msgspec.DecodeError as error:
            raise BadAnswer(f"{method} {path} was answered with something unknown: {error}") from None

    async def command(self, method: str, path: str, body: Any = msgspec.UNSET, *, token: str | None = None) -> None:
        """As `ask`, where the answer has nothing to say."""
        await self._send(method, path, body, token, None, ANSWER_SECONDS)

    async def _send(
        self, method: str, path: str, body: Any, token: str | None, query: Mapping[str, Any] | None, seconds: float
    ) -> bytes:
        headers = _authorization(token)
        content = None
        if body is not msgspec.UNSET:
            content, headers = encode(body), {**headers, "Content-Type": "application/json"}
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = await self._http.request(
                method, path, content=content, headers=headers, params=given or None, timeout=seconds
            )
        except httpx2.TransportError as error:
            raise self._not_reached(error) from None
        if answer.status_code >= 300:
            raise refusal(answer.status_code, _json_or_none(answer.content))
        return answer.content

    async def download(self, path: str, *, token: str | None = None) -> AsyncIterator[bytes]:
        """The content of an answer, as it comes. Raises as `ask`; what has come by then stays with the caller."""
        timeout = httpx2.Timeout(ANSWER_SECONDS, read=SILENCE_SECONDS)
        try:
            async with self._http.stream("GET", path, headers=_authorization(token), timeout=timeout) as answer:
                if answer.status_code >= 300:
                    raise refusal(answer.status_code, _json_or_none(await answer.aread()))
                async for part in answer.aiter_bytes():
                    yield part
        except httpx2.TransportError as error:
            raise self._not_reached(error) from None

    async def stream(
        self, path: str, *, after: int, token: str | None, query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Message]:
        """The messages of a stream after an id, without a gap and without a duplicate, until the server ends it.

        Raises as `ask`, once `patience` is over; what is refused for good at once.
        """
        last, delay, heard = after, FIRST_DELAY_SECONDS, self._now()
        given = {name: value for name, value in (query or {}).items() if value is not None}
        while True:
            try:
                async for message in self._connected(path, last, token, given):
                    heard, delay = self._now(), FIRST_DELAY_SECONDS
                    if message.id.isdigit():
                        last = int(message.id)
                    if message.event not in ("ping", "restart"):
                        yield message
                    if message.event == "end":
                        return
            except _Ended:
                return
            except (NotReached, TooMany, Unavailable) as error:
                if self._now() - heard + delay > self._patience:
                    raise
                delay = max(delay, min(getattr(error, "retry_after", None) or 0.0, LONGEST_DELAY_SECONDS))
            await self._sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    async def _connected(
        self, path: str, after: int, token: str | None, query: Mapping[str, Any]
    ) -> AsyncIterator[Message]:
        """The messages of one connection."""
        headers = {**_authorization(token), "Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx2.Timeout(ANSWER_SECONDS, read=SILENCE_SECONDS)
        try:
            async with self._http.stream("GET", path, headers=headers, params=query or None, timeout=timeout) as answer:
                if answer.status_code == 204:
                    raise _Ended
                if answer.status_code >= 300:
                    raise refusal(answer.status_code, _json_or_none(await answer.aread()))
                async for sent in httpx2.EventSource(answer, MESSAGE_BYTES):
                    yield Message(sent.event, sent.id, json.loads(sent.data or "null"))
        except httpx2.TransportError as error:
            raise self._not_reached(error) from None
        except ValueError as error:
            raise BadAnswer(f"{path} sent what is not JSON: {error}") from None

    def _not_reached(self, error: Exception) -> NotReached:
        why = str(error) or type(error).__name__
        return NotReached(f"{self.server} can't be reached: {why}")


class _Ended(Exception):
    """The stream was over before."""


def encode(body: Any) -> bytes:
    """A body as JSON. `msgspec.Raw` in it is sent as it stands.

    Raises TypeError and ValueError for what is not JSON, such as NaN.
    """
    return msgspec.json.encode(_checked(body))


def _checked(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return value
    if isinstance(value, dict):
        return {name: _checked(item) for name, item in value.items() if item is not msgspec.UNSET}
    if isinstance(value, list):
        return [_checked(item) for item in value]
    return msgspec.Raw(json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass"))


def checked_address(server: str) -> str:
    """A server's address without a slash at its end. Raises ValueError."""
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{server!r} is not the address of a server; one looks like http://127.0.0.1:8000")
    return server.rstrip("/")


def _authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _json_or_none(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
