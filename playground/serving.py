"""Puts the rooms together: store, sandbox, engine and web, opened in this order and closed in the other."""

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from playground import process
from playground.log import adopt_standard_logging, open_log
from playground.log_lines import Log
from playground.paths import MissingFiles
from playground.settings import BadSetting, Settings, differing, without_password
from playground.web.http.hosts import Addresses
from playground.web.http.listening import CannotListen, address_of, is_loopback, listen

if TYPE_CHECKING:
    import socket

    from starlette.applications import Starlette

    from playground.sandbox.pool import Sandbox, Tier

DISTRIBUTION = "dynamic-workflows-playground"


class CannotServe(Exception):
    """The server does not start until its operator has put something right; the message is one line that says what."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        CannotServe: the port is taken, the database can't be opened, the isolation is too weak, or a setting can't be
        used.
    """
    process.settle()
    try:
        process.raise_limit()
    except process.TooFew as error:
        raise CannotServe(str(error)) from None
    log = open_log()
    adopt_standard_logging(log)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, log))


async def _serve(settings: Settings, log: Log) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    began: list[float] = []
    async with contextlib.AsyncExitStack() as opened:
        sock, app, tier = await _open(settings, opened, log)
        from playground.web.app import refused_below
        from playground.web.http import server
        from playground.web.http.connections import Connections

        gc.collect()
        gc.freeze()  # what is loaded now stays; later collections need not look at it again
        gc.collect()  # so that a full collection is due by what comes now, not by a quarter of what is frozen

        def started() -> None:
            print(f"Serving on {address_of(sock)}", flush=True)
            print(f"Isolation tier {tier.letter}: {tier.sentence}", flush=True)
            if line := app.state.context.start_token.line(address_of(sock)):
                print(line, flush=True)  # not to the log, which others read
            log(
                "start",
                version=program_version(),
                address=address_of(sock).partition("//")[2],
                tier=tier.letter,
                store=without_password(settings.database),
                synchronous=settings.synchronous,
                slots=settings.slots,
                descriptors=process.limit(),
                settings=differing(settings),
            )

        def stopping() -> None:
            context = app.state.context
            log("stop", running=context.engine.running(), streams=context.limits.streams.total())
            began.append(time.monotonic())
            context.streams.stop()

        watching = asyncio.create_task(process.watch(log))
        opened.callback(watching.cancel)
        connections = Connections.of(settings, refused_below(app.state.context))
        await server.serve(app, sock, stop, connections, on_started=started, on_stop=stopping)
    log("stopped", seconds=round(time.monotonic() - began[0], 2) if began else 0)


async def _open(
    settings: Settings, opened: contextlib.AsyncExitStack, log: Log
) -> "tuple[socket.socket, Starlette, Tier]":
    """Everything that serving needs, in the order in which a refusal is cheapest; `opened` will close it."""
    from playground.examples import BadExample, load
    from playground.store import StoreError

    try:
        Addresses.parse(settings.trusted_proxies)
        sock = listen(settings.host, settings.port)
        opened.callback(sock.close)
        from playground.opening import store_of

        store = store_of(settings, log)
        opened.push_async_callback(store.close)
        sandbox = await _open_sandbox(settings, opened, log)
        from playground.engine import Engine
        from playground.engine.clock import SystemClock
        from playground.engine.ids import SystemIds
        from playground.web.app import create_app

        ids = SystemIds()
        engine = await opened.enter_async_context(
            Engine.open(settings=settings, store=store, sandbox=sandbox, clock=SystemClock(), ids=ids, log=log)
        )
        return sock, create_app(engine, settings, load(), ids=ids, log=log, version=program_version()), sandbox.tier
    except (CannotListen, StoreError, BadSetting, MissingFiles, BadExample) as error:
        raise CannotServe(str(error)) from None


async def _open_sandbox(settings: Settings, opened: contextlib.AsyncExitStack, log: Log) -> "Sandbox":
    """The fork server takes its time in other processes; meanwhile this one reads what it will need."""
    from playground.opening import sandbox_of
    from playground.sandbox.pool import SandboxRefused

    opening = asyncio.create_task(sandbox_of(settings, log, loopback=is_loopback(settings.host)))
    opened.push_async_callback(_close, opening)
    await asyncio.to_thread(_read_ahead)
    try:
        return await opening
    except SandboxRefused as error:
        log("sandbox.refused", reason=str(error))
        raise CannotServe(str(error)) from None


async def _close(opening: "asyncio.Task[Sandbox]") -> None:
    opening.cancel()  # no effect once it is open
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await (await opening).close()


def program_version() -> str:
    """The version of the installed distribution."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "not installed"


def _read_ahead() -> None:
    import playground.engine
    import playground.web.app
    import playground.web.http.server  # noqa: F401


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
