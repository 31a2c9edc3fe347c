"""The one way out: an HTTP client that asks allowed hosts at public addresses, within limits.

`Outbound` holds the connections of a process. `client(rules)` gives an `httpx2.AsyncClient` to hand to a library;
`fetch(rules, …)` makes one request and reads its answer whole. Both go through `GuardedTransport`, which checks each
request anew, redirects as well: the form of the URL, the allow-list, the headers, the address. It adds the credentials
of the rule, counts what is sent and received, also once it is decoded, and ends the request at its deadline.

No environment variable names a proxy, no cookie is kept, nothing is tried twice. On a redirect to another origin only
headers that say what is asked for go along (`KEPT_ACROSS_ORIGINS`); credentials of a rule go where that rule fits.
Connections are kept for the owner who opened them, a tenant or nobody's run: what a server sends after an answer would
be the answer to the next request, which must not be a stranger's.
"""

import asyncio
import re
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpcore2
import httpx2

from playground.outbound.addresses import Network
from playground.outbound.errors import LimitReached, NoAnswer, OutboundError, Refused
from playground.outbound.hosts import METHODS, HostRule, Rules, Target, allowed_rule, read_url
from playground.outbound.limits import CODINGS, Decoder, Limits
from playground.outbound.network import GuardedNetwork, Resolver, SystemResolver

CONNECTIONS = 200  # of an owner at once; more requests wait, within their deadline
IDLE_CONNECTIONS = 5  # of an owner
IDLE_SECONDS = 30.0
OWNERS = 50  # whose connections are kept
AGENT = "dynamic-workflows-playground"
REDIRECTS = (301, 302, 303, 307, 308)
KEPT_ACROSS_ORIGINS = ("accept", "accept-language", "content-type", "content-language", "user-agent")
# They say how a message is sent, which is the client's business, or for whom it is.
_NOT_THE_CALLERS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
_DEADLINE, _KEY = "playground_deadline", "playground_idempotency_key"  # extensions of a request
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read whole. `url` is where it came from, after `redirects` of them; `headers` as they were sent."""

    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    url: str
    redirects: int

    @property
    def is_redirect(self) -> bool:
        """Whether it sends its reader elsewhere."""
        return self.status in REDIRECTS and any(name == "location" for name, _ in self.headers)


class Outbound:
    """The connections to the world of one process, in one event loop.

    Args:
        reachable: networks that may be reached though they are not public.
        resolver: finds the addresses of a name.
        ssl_context: whose certificates are trusted; None: those that the machine trusts.
        built_in: hosts that this program answers itself, by name; no connection is made for them.
    """

    def __init__(
        self,
        reachable: Sequence[Network] = (),
        *,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        built_in: Mapping[str, httpx2.AsyncBaseTransport] | None = None,
    ) -> None:
        self._resolver = resolver or SystemResolver()
        self.network = GuardedNetwork(self._resolver, tuple(reachable))
        self.built_in = dict(built_in or {})
        self._ssl_context = ssl_context
        self._pools: OrderedDict[str, httpcore2.AsyncConnectionPool] = OrderedDict()
        self._making = asyncio.Lock()

    async def pool(self, owner: str) -> httpcore2.AsyncConnectionPool:
        """The connections of an owner. Certificates are read when they are first needed, in a thread."""
        if self._ssl_context is None:
            async with self._making:
                self._ssl_context = self._ssl_context or await asyncio.to_thread(httpx2.create_ssl_context)
        pool = self._pools.get(owner)
        if pool is None:
            pool = self._pools[owner] = httpcore2.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                max_connections=CONNECTIONS,
                max_keepalive_connections=IDLE_CONNECTIONS,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=self.network,
            )
        self._pools.move_to_end(owner)
        for other in list(self._pools)[: max(0, len(self._pools) - OWNERS)]:
            if all(connection.is_idle() for connection in self._pools[other].connections):
                await self._pools.pop(other).aclose()
        return pool

    def client(self, rules: Rules, limits: Limits | None = None, *, owner: str) -> httpx2.AsyncClient:
        """A client to hand to a library, made in no time. To close it closes no connection: they are the owner's."""
        limits = limits or Limits()
        return httpx2.AsyncClient(
            transport=GuardedTransport(self, rules, limits, owner),
            trust_env=False,
            follow_redirects=False,
            timeout=limits.seconds,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def fetch(
        self,
        rules: Rules,
        url: str,
        *,
        owner: str,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        follow: bool = True,
        limits: Limits | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Make one request and read the answer.

        Args:
            rules: what may be asked.
            url: what is asked.
            owner: whose connections are used.
            method: in capitals or not.
            headers: what a caller may set of them.
            body: of the request.
            follow: redirects, as far as the rules and limits go.
            limits: of all of it.
            idempotency_key: sent where the rule asks for it.

        Raises:
            OutboundError: the request failed.
        """
        limits = limits or Limits()
        transport = GuardedTransport(self, rules, limits, owner)
        target, sent, redirects = read_url(url), httpx2.Headers(check_headers(headers)), 0
        extensions = {_DEADLINE: asyncio.get_running_loop().time() + limits.seconds, _KEY: idempotency_key}
        while True:
            request = httpx2.Request(method, target.url, headers=sent, content=body, extensions=extensions)
            response = await transport.handle_async_request(request)
            next_url = _redirect_url(target, response) if follow else None
            if next_url is None:
                return await _read(response, target, redirects)
            await response.aclose()
            redirects += 1
            if redirects > limits.redirects:
                raise LimitReached(f"{target.host} redirects more than {limits.redirects} times.", limit="redirects")
            origin, target = target.origin, read_url(next_url)
            if target.origin != origin:
                sent = httpx2.Headers({name: sent[name] for name in KEPT_ACROSS_ORIGINS if name in sent})
            if (response.status_code == 303 and method != "HEAD") or (
                response.status_code in (301, 302) and method == "POST"
            ):
                method, body = "GET", None
                for name in ("content-type", "content-language"):
                    sent.pop(name, None)

    async def aclose(self) -> None:
        """Close all connections."""
        self._resolver.close()
        while self._pools:
            await self._pools.popitem()[1].aclose()


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends requests that the rules allow, and reads their answers within the limits."""

    def __init__(self, outbound: Outbound, rules: Rules, limits: Limits, owner: str) -> None:
        self._outbound, self._rules, self._limits, self._owner = outbound, rules, limits, owner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises OutboundError."""
        limits, target = self._limits, read_url(str(request.url))
        if request.method not in METHODS:
            raise Refused(f"{request.method[:20]!r} is none of the methods {', '.join(METHODS)}.")
        rule = allowed_rule(self._rules, target, request.method)
        request = httpx2.Request(
            request.method,
            target.url,
            headers=_headers(request, rule, target),
            stream=_Sent(request.stream, limits),
            extensions={**request.extensions, "timeout": {}},
        )
        limits.check_headers(request.headers.raw, "The request")
        limits.check_sent(int(request.headers.get("content-length", 0)))
        deadline = request.extensions.get(_DEADLINE) or asyncio.get_running_loop().time() + limits.seconds
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._send(request, target)
        except TimeoutError:
            raise limits.too_slow(target.host) from None
        body = response.stream
        assert isinstance(body, httpx2.AsyncByteStream)
        try:
            if response.status_code < 200:
                raise NoAnswer(f"{target.host} wants to speak another protocol than HTTP.")
            limits.check_headers(response.headers.raw, f"The answer of {target.host}")
            decoder = Decoder(response.headers.get("content-encoding", ""), target.host)
        except OutboundError:
            await body.aclose()
            raise
        if "content-encoding" in response.headers:  # what is decoded here is not decoded again
            del response.headers["content-encoding"]
            response.headers.pop("content-length", None)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Received(body, decoder, limits, deadline, target.host),
            extensions=response.extensions,
            request=request,
        )

    async def _send(self, request: httpx2.Request, target: Target) -> httpx2.Response:
        built_in = self._outbound.built_in.get(target.host)
        if built_in is not None:
            return await built_in.handle_async_request(request)
        pool = await self._outbound.pool(self._owner)
        url = target.url
        try:
            response = await pool.handle_async_request(
                httpcore2.Request(
                    request.method,
                    httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except Exception as failed:
            raise _failure(failed, target.host) from failed
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Connection(response, target.host),
            extensions=response.extensions,
        )


class _Sent(httpx2.AsyncByteStream):
    """A request's body, counted."""

    def __init__(self, body: object, limits: Limits) -> None:
        assert isinstance(body, httpx2.AsyncByteStream), "an asynchronous client sends asynchronous bodies"
        self._body, self._limits = body, limits

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._body:
            size += len(part)
            self._limits.check_sent(size)
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()


class _Connection(httpx2.AsyncByteStream):
    """An answer's body as the connection gives it, its errors in our words."""

    def __init__(self, response: httpcore2.Response, host: str) -> None:
        self._response, self._host = response, host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._response.aiter_stream():
                yield part
        except Exception as failed:
            raise _failure(failed, self._host) from failed

    async def aclose(self) -> None:
        await self._response.aclose()


class _Received(httpx2.AsyncByteStream):
    """An answer's body: decoded, counted, and over at the deadline."""

    def __init__(
        self, body: httpx2.AsyncByteStream, decoder: Decoder, limits: Limits, deadline: float, host: str
    ) -> None:
        self._body, self._decoder, self._limits, self._deadline, self._host = body, decoder, limits, deadline, host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = decoded = 0
        parts = aiter(self._body)
        try:
            while True:
                try:
                    async with asyncio.timeout_at(self._deadline):
                        part = await anext(parts, None)
                except TimeoutError:
                    raise self._limits.too_slow(self._host) from None
                if part is None:
                    break
                received += len(part)
                self._limits.check_received(received, self._host)
                for piece in self._decoder.decode(part):
                    decoded += len(piece)
                    self._limits.check_received(decoded, self._host)
                    yield piece
            self._decoder.finish()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        await self._body.aclose()


def check_headers(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers that a caller may send. Raises Refused."""
    for name, value in headers:
        if not isinstance(name, str) or not isinstance(value, str):
            raise Refused("The names and values of headers are text.")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Refused(f"The header {name[:60]!r} holds characters that cannot be sent.")
        if name.lower() in _NOT_THE_CALLERS or name.lower().startswith("proxy-"):
            raise Refused(f"The header {name[:60]!r} is not the caller's to set.")
    return list(headers)


def _headers(request: httpx2.Request, rule: HostRule, target: Target) -> httpx2.Headers:
    """What is sent: the caller's headers, those of the rule in place of them, and who asks for what coding."""
    headers = httpx2.Headers(request.headers)
    headers["accept-encoding"] = CODINGS
    headers["host"] = target.url.netloc.decode()
    headers.setdefault("user-agent", AGENT)
    for name in ("proxy-authorization", "upgrade", "te"):
        headers.pop(name, None)
    for name, value in rule.headers.items():
        headers[name] = value
    key = request.extensions.get(_KEY)
    if rule.idempotency and key is not None and rule.idempotency not in headers:
        headers[rule.idempotency] = key
    return headers


def _redirect_url(target: Target, response: httpx2.Response) -> str | None:
    """Where an answer sends its reader, or None: nowhere."""
    if response.status_code not in REDIRECTS or "location" not in response.headers:
        return None
    try:
        return str(target.url.join(response.headers["location"]))
    except (httpx2.InvalidURL, ValueError):
        raise NoAnswer(f"{target.host} redirects to what is no URL.") from None


async def _read(response: httpx2.Response, target: Target, redirects: int) -> Answer:
    body = bytearray()
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    async for part in response.stream:
        body += part
    reason = response.extensions.get("reason_phrase", b"").decode("latin-1")
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw]
    return Answer(response.status_code, reason, headers, bytes(body), str(target.url), redirects)


def _failure(failed: Exception, host: str) -> Exception:
    """What went wrong, in words that hold nothing of what was sent or received."""
    if isinstance(failed, OutboundError) or not type(failed).__module__.startswith("httpcore2"):
        return failed
    cause: BaseException | None = failed
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NoAnswer(f"The certificate of {host} cannot be verified: {cause.verify_message}.")
        cause = cause.__cause__ or cause.__context__
    if isinstance(failed, httpcore2.ConnectError | httpcore2.ConnectTimeout):
        return NoAnswer(f"Could not connect to {host}.")
    if isinstance(failed, httpcore2.LocalProtocolError):
        return Refused("The request holds what cannot be sent as HTTP.")
    if isinstance(failed, httpcore2.RemoteProtocolError):
        return NoAnswer(f"{host} has sent what is no complete answer of HTTP.")
    return NoAnswer(f"The connection to {host} was lost.")
