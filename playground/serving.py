"""Starts the server: opens store, sandbox, engine and web in this order, and closes them in reverse.

Modules that take long to import are imported while the sandbox starts, after the port is open.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from playground import process
from playground.log import adopt_standard_logging, open_log
from playground.log_lines import Log
from playground.paths import MissingFiles
from playground.settings import BadSetting, Settings, non_default_settings, without_password
from playground.web.http.hosts import ClientAddresses
from playground.web.http.listening import CannotListen, is_loopback, listen, url_of_socket

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from playground.sandbox.pool import Sandbox, Tier

DISTRIBUTION = "dynamic-workflows-playground"


@dataclass(frozen=True, slots=True)
class Node:
    """What a server is told by who started it; nothing, where it is the only one here.

    Args:
        name: its name among the nodes of its database; "" for one of its own making.
        sock: the socket to accept on; None: it binds the port itself.
        start_token: the token of the operator's link, which all nodes behind one port share; "": it makes one.
        is_first: whether it prints where it serves.
        on_ready: called once it serves.
        on_orphaned: takes what to do when who started it is gone.
        lease_ms: how long its lease lasts without a renewal; None: as long as usual. Tests see one end.
    """

    name: str = ""
    sock: socket.socket | None = None
    start_token: str = ""
    is_first: bool = True
    on_ready: Callable[[], None] = lambda: None
    on_orphaned: Callable[[Callable[[], None]], None] = lambda stop: None
    lease_ms: int | None = None


ALONE = Node()


def default_name(port: int) -> str:
    """The name of a node that nobody has named: this machine's name, and the port."""
    return f"{socket.gethostname()}:{port}"


class CannotServe(Exception):
    """The server can't start until its operator has corrected something; the message is one line that says what."""


class DatabaseInUse(CannotServe):
    """Another process has the database, and only one at a time can."""


def serve(settings: Settings, node: Node = ALONE) -> None:
    """Serve until SIGTERM or Ctrl-C, alone or as one of several processes behind one port.

    Raises:
        CannotServe: the port is in use, the database can't be opened, the isolation is too weak or a setting invalid.
    """
    process.limit_malloc_arenas()
    try:
        process.raise_descriptor_limit()
    except process.TooFewDescriptors as error:
        raise CannotServe(str(error)) from None
    log = open_log()
    adopt_standard_logging(log)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, node, log))


async def _serve(settings: Settings, node: Node, log: Log) -> None:
    stop = asyncio.Event()
    node.on_orphaned(stop.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    began: list[float] = []
    async with contextlib.AsyncExitStack() as opened:
        sock, app, tier = await open_app(settings, node, opened, log)
        from playground.web.app import count_protocol_refusals
        from playground.web.http import server
        from playground.web.http.connections import ConnectionLimits

        gc.collect()
        gc.freeze()  # what is loaded now stays, so later collections can skip it
        gc.collect()  # so that what is allocated from now on triggers the next one, not a quarter of what is frozen

        def started() -> None:
            if node.is_first:
                print(f"Serving on {url_of_socket(sock)}", flush=True)
                print(f"Isolation tier {tier.letter}: {tier.sentence}", flush=True)
                if line := app.state.context.start_token.sign_in_line(url_of_socket(sock)):
                    print(line, flush=True)  # not to the log, which others may read
            node.on_ready()
            log(
                "start",
                version=program_version(),
                address=url_of_socket(sock).partition("//")[2],
                tier=tier.letter,
                store=without_password(settings.database),
                synchronous=settings.synchronous,
                slots=settings.slots,
                descriptors=process.descriptor_limit(),
                settings=non_default_settings(settings),
            )

        def stopping() -> None:
            context = app.state.context
            log("stop", running=context.engine.running(), streams=context.limits.streams.total_open())
            began.append(time.monotonic())
            context.streams.stop()

        watching = asyncio.create_task(process.watch_descriptors(log))
        opened.callback(watching.cancel)
        connections = ConnectionLimits.from_settings(settings, count_protocol_refusals(app.state.context))
        await server.serve(app, sock, stop, connections, on_started=started, on_stop=stopping)
    log("stopped", seconds=round(time.monotonic() - began[0], 2) if began else 0)


async def open_app(
    settings: Settings, node: Node, opened: contextlib.AsyncExitStack, log: Log
) -> "tuple[socket.socket, Starlette, Tier]":
    """Open everything that the server needs, with the cheapest possible refusals first; `opened` closes it.

    Raises:
        CannotServe, DatabaseInUse
    """
    from playground.examples import BadExample, load
    from playground.store import StoreError
    from playground.store.errors import StoreInUse

    try:
        ClientAddresses.parse(settings.trusted_proxies)
        sock = node.sock or listen(settings.host, settings.port)
        opened.callback(sock.close)
        from playground.opening import open_configured_store

        store = open_configured_store(settings, log)
        opened.push_async_callback(store.close)
        sandbox = await _open_sandbox(settings, opened, log)
        from playground.engine import Engine
        from playground.engine.clock import SystemClock
        from playground.engine.ids import SystemIds
        from playground.engine.nodes import MACHINE, Heartbeat
        from playground.web.app import create_app

        ids = SystemIds()
        make_start_token = ids.token if not node.start_token else lambda: node.start_token
        name = node.name or settings.node or default_name(sock.getsockname()[1])
        engine = await opened.enter_async_context(
            Engine.open(
                settings=settings,
                store=store,
                sandbox=sandbox,
                clock=SystemClock(),
                ids=ids,
                log=log,
                node=name,
                heartbeat=MACHINE if node.lease_ms is None else Heartbeat(node.lease_ms),
            )
        )
        app = create_app(
            engine,
            settings,
            load(),
            ids=ids,
            log=log,
            version=program_version(),
            make_start_token=make_start_token,
        )
        return sock, app, sandbox.tier
    except StoreInUse as error:
        raise DatabaseInUse(str(error)) from None
    except (CannotListen, StoreError, BadSetting, MissingFiles, BadExample) as error:
        raise CannotServe(str(error)) from None


async def _open_sandbox(settings: Settings, opened: contextlib.AsyncExitStack, log: Log) -> "Sandbox":
    """Start the fork server, which takes time in other processes, and import modules in this one meanwhile."""
    from playground.opening import open_configured_sandbox
    from playground.sandbox.pool import SandboxRefused

    opening = asyncio.create_task(open_configured_sandbox(settings, log, loopback=is_loopback(settings.host)))
    opened.push_async_callback(_close, opening)
    await asyncio.to_thread(_import_ahead)
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


def _import_ahead() -> None:
    import playground.engine
    import playground.web.app
    import playground.web.http.server  # noqa: F401


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
