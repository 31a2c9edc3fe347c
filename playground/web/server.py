"""The HTTP server: uvicorn on a socket that is already bound, ended by us so that streams say goodbye first."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from playground.web.stream import ABORT

BACKLOG = 2_048
GRACEFUL_SECONDS = 3  # for requests and streams under way when the server is told to stop
KEEP_ALIVE_SECONDS = 65  # idle connections; longer than the 60 s of common proxies, so that it is not we who close first


class CannotListen(Exception):
    """The address can't be listened on; the message is one line."""


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with a way to cut off a reader that does not read: closing politely would wait for it for ever."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self._abort}

    def _abort(self) -> None:
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.abort()


class _Server(uvicorn.Server):
    """uvicorn's server; signals are its owner's, and `on_stop` is called before it waits for what is under way."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None], on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started, self._on_stop = on_started, on_stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address; nothing is accepted yet.

    Raises:
        CannotListen: the port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError:
        raise CannotListen(f"--host {host!r} is not an address of this machine") from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        cure = "choose another with --port, or 0 for a free one" if error.errno in (98, 48) else "choose another with --host or --port"
        raise CannotListen(f"can't listen on {host} port {port}: {error.strerror.lower()}; {cure}") from None
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """Where a browser finds it, as http://127.0.0.1:8000."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(app: ASGIApp, sock: socket.socket, stop: asyncio.Event, *, on_started: Callable[[], None], on_stop: Callable[[], None]) -> None:
    """Serve until `stop` is set; then end within GRACEFUL_SECONDS."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    server = _Server(config, on_started, on_stop)

    async def watch() -> None:
        await stop.wait()
        server.should_exit = True

    watcher = asyncio.create_task(watch())
    try:
        await server.serve([sock])
    finally:
        watcher.cancel()
