"""Puts the rooms together: store, sandbox, engine and web, opened in this order and closed in the other."""

import asyncio
import contextlib
import gc
import ipaddress
import signal
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from playground.log import Log, adopt_standard_logging, open_log
from playground.settings import BadSetting, Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from playground.sandbox.pool import Sandbox

DISTRIBUTION = "dynamic-workflows-playground"


class CannotServe(Exception):
    """The server does not start until its operator has put something right; the message is one line that says what."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        CannotServe: the port is taken, the database can't be opened, the isolation is too weak, or a setting can't be used.
    """
    log = open_log()
    adopt_standard_logging(log)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, log))


async def _serve(settings: Settings, log: Log) -> None:
    from playground.sandbox.pool import Sandbox, SandboxRefused
    from playground.web import server

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as opened:
        try:
            sock = server.listen(settings.host, settings.port)
            opened.callback(sock.close)
            opening = asyncio.create_task(
                Sandbox.open(
                    memory_bytes=settings.worker_memory_bytes,
                    cpu_seconds=settings.attempt_cpu_seconds,
                    parked=settings.parked_workers,
                    allow_weak=settings.allow_weak_sandbox,
                    unsafe=settings.unsafe_no_sandbox,
                    loopback=_is_loopback(settings.host),
                    log=log,
                )
            )
            opened.push_async_callback(_close, opening)
            # The fork server takes its time in another process; meanwhile this one reads its own modules.
            await asyncio.to_thread(_import_the_rest)
            app, sandbox = await _put_together(settings, opened, opening, log)
        except (server.CannotListen, SandboxRefused, BadSetting, _Unusable) as error:
            raise CannotServe(str(error)) from None
        gc.collect()
        gc.freeze()  # what is loaded now stays; later collections need not look at it again

        def started() -> None:
            print(f"Serving on {server.address_of(sock)}", flush=True)
            print(f"Isolation tier {sandbox.tier.letter}: {sandbox.tier.sentence}", flush=True)

        await server.serve(app, sock, stop, on_started=started, on_stop=app.state.context.streams.stop)


class _Unusable(Exception):
    """The database, the installation or an example can't be used; the message is one line."""


async def _put_together(
    settings: Settings, opened: contextlib.AsyncExitStack, opening: "asyncio.Task[Sandbox]", log: Log
) -> "tuple[Starlette, Sandbox]":
    from playground.engine import Engine
    from playground.engine.clock import SystemClock
    from playground.engine.ids import SystemIds
    from playground.examples import BadExample, load
    from playground.paths import MissingFiles
    from playground.store import open_store
    from playground.store.errors import StoreError
    from playground.web.app import create_app

    try:
        store = await asyncio.to_thread(open_store, settings.database, synchronous=settings.synchronous)
        opened.push_async_callback(store.close)
        sandbox = await opening
        ids = SystemIds()
        engine = await opened.enter_async_context(
            Engine.open(settings=settings, store=store, sandbox=sandbox, clock=SystemClock(), ids=ids, log=log)
        )
        return create_app(engine, settings, load(), ids=ids, log=log, version=program_version()), sandbox
    except (StoreError, MissingFiles, BadExample) as error:
        raise _Unusable(str(error)) from None


def program_version() -> str:
    """The version of the installed distribution."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "not installed"


async def _close(opening: "asyncio.Task[Sandbox]") -> None:
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await (await opening).close()


def _import_the_rest() -> None:
    import playground.engine
    import playground.store
    import playground.web.app  # noqa: F401


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
