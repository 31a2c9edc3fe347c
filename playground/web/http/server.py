"""The HTTP server: uvicorn on a socket that is already bound, ended by us so that streams say goodbye first."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from playground.web.http.connections import ConnectionLimits, LimitedHttpProtocol
from playground.web.http.listening import BACKLOG

GRACEFUL_SECONDS = 3  # for requests and streams under way when the server is told to stop
# Idle connections; longer than the 60 s of common proxies, so that it is not we who close first.
KEEP_ALIVE_SECONDS = 65


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


async def serve(
    app: ASGIApp,
    sock: socket.socket,
    stop: asyncio.Event,
    connections: ConnectionLimits,
    *,
    on_started: Callable[[], None],
    on_stop: Callable[[], None],
) -> None:
    """Serve until `stop` is set; then end within GRACEFUL_SECONDS. What a connection may cost is in `connections`."""
    config = uvicorn.Config(
        app,
        http=partial(LimitedHttpProtocol, connections=connections),  # type: ignore[arg-type]  # it is called, and nothing else
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
