"""A server for the commands of one terminal: the engine on a local database, in this process, with real isolation.

It is the server as it is, on a Unix socket that only its user can open, so that a run in a terminal goes through the
same calls, limits and sandbox as on any server. Where another command has the database already, this one speaks to that
one's socket; where a server has it, the command says so. Who has the database runs everything in it that is unfinished,
unless the command only looks (`plays=False`): then nothing begins.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playground import process
from playground.log import open_log
from playground.log_lines import ERROR, Log
from playground.serving import CannotServe, DatabaseInUse, Node, open_app
from playground.settings import SHARED_DATABASES, Settings, without_password
from playground.terminal.outcomes import BadCommand
from playground.web.http.listening import BACKLOG

SOCKET_BYTES = 107  # of a path, as the kernel has it
FOLDER = "playground"
NODE = "terminal"
REFUSED = "sandbox.refused"  # which is said by the error that ends the command
LOOK_SECONDS = 0.1  # between two looks whether a database is free
LOCALHOST = "http://localhost"  # the name under which the socket is asked


@dataclass(frozen=True, slots=True)
class Door:
    """How to reach a local engine: the path of its socket, its start token where there is no isolation, and the
    operator's, which is for whoever has the database. `tier`: its isolation, where it is this command's own.
    """

    socket: str
    start_token: str = ""
    operator_token: str = ""
    tier: str = ""


class _WithoutSlots(Settings):
    """Settings of a node that runs nothing."""

    @property
    def slots(self) -> int:
        """None."""
        return 0


def database_place(url: str) -> str:
    """The database as the runs of it are remembered: a file by its full path, without a password."""
    if url.startswith("sqlite:///"):
        return "sqlite:///" + str(Path(url.removeprefix("sqlite:///")).resolve())
    return without_password(url)


def runtime_folder(environment: Mapping[str, str]) -> Path:
    """The folder of sockets, which only its user can enter. Raises BadCommand."""
    chosen = environment.get("XDG_RUNTIME_DIR", "")
    base = Path(chosen) / FOLDER if chosen.startswith("/") else Path(tempfile.gettempdir()) / f"{FOLDER}-{os.getuid()}"
    try:
        base.mkdir(mode=0o700, parents=False, exist_ok=True)
        found = base.lstat()
    except OSError as error:
        raise BadCommand(
            f"{base}, the folder of sockets, can't be made: {error.strerror}; set XDG_RUNTIME_DIR"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise BadCommand(f"{base}, the folder of sockets, is not yours alone; remove it, or set XDG_RUNTIME_DIR")
    return base


def socket_path(environment: Mapping[str, str], database: str) -> Path:
    """Where the engine of a database listens. Raises BadCommand."""
    name = hashlib.sha256(database_place(database).encode()).hexdigest()[:20]
    path = runtime_folder(environment) / f"{name}.sock"
    if len(os.fsencode(path)) > SOCKET_BYTES:
        raise BadCommand(f"{path.parent} is too long a path for a socket; set XDG_RUNTIME_DIR to a shorter one")
    return path


@contextlib.asynccontextmanager
async def open_local(
    settings: Settings, environment: Mapping[str, str], *, plays: bool, seconds: float = 0.0
) -> AsyncIterator[Door]:
    """The engine of a local database, ours or that of another command.

    `seconds`: how long to wait for another command to be done with it.

    Raises:
        BadCommand: a server has the database, the isolation is too weak, or a setting is wrong.
    """
    path = socket_path(environment, settings.database)
    async with contextlib.AsyncExitStack() as opened:
        until = time.monotonic() + seconds
        while True:
            try:
                door = await opened.enter_async_context(_serving(settings, path, plays=plays))
                break
            except DatabaseInUse as error:
                if _listens(path):
                    door = Door(str(path), *_read_tokens(path))
                    break
                if time.monotonic() > until:
                    raise BadCommand(_in_use(str(error), settings)) from None
                await asyncio.sleep(LOOK_SECONDS)
            except CannotServe as error:
                raise BadCommand(str(error)) from None
        yield door


@contextlib.asynccontextmanager
async def _serving(settings: Settings, path: Path, *, plays: bool) -> AsyncIterator[Door]:
    kind = Settings if plays else _WithoutSlots
    # Nobody waits for attempts when a command ends: they are repeated from the last commit, as after a crash.
    changed = {"drain_seconds": 0} | ({} if plays else {"parked_workers": 1})
    chosen = kind(**(asdict(settings) | changed))
    shared = settings.database.startswith(SHARED_DATABASES)
    try:
        process.raise_descriptor_limit()
    except process.TooFewDescriptors as error:
        raise BadCommand(str(error)) from None
    async with contextlib.AsyncExitStack() as opened:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.callback(sock.close)
        if shared:  # each command is a node of its own
            path = path.with_name(f"{path.stem}-{os.getpid()}.sock")
        node = Node(name=f"{NODE}-{socket.gethostname()}-{os.getpid()}", sock=sock)
        stack = await opened.enter_async_context(contextlib.AsyncExitStack())
        _, app, tier = await open_app(chosen, node, stack, _errors_only())
        # Only now: who has the database has its socket, and what lies there is of a command that was killed.
        path.unlink(missing_ok=True)
        opened.callback(path.unlink, missing_ok=True)
        before = os.umask(0o077)
        try:
            sock.bind(str(path))
        except OSError as error:
            raise BadCommand(f"{path} can't be listened on: {error.strerror}; set XDG_RUNTIME_DIR") from None
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        made = app.state.context.start_token
        tokens = (made.token if made.required else "", made.token if made.operator else chosen.operator_token)
        opened.callback(_token_path(path).unlink, missing_ok=True)
        _write_tokens(path, tokens)
        stop = asyncio.Event()
        serving = asyncio.create_task(_serve(app, sock, stop, chosen))
        opened.push_async_callback(_stop, stop, serving)
        yield Door(str(path), *tokens, f"{tier.letter}: {tier.sentence}")


async def _serve(app: Any, sock: socket.socket, stop: asyncio.Event, settings: Settings) -> None:
    from playground.web.app import count_protocol_refusals
    from playground.web.http import server
    from playground.web.http.connections import ConnectionLimits

    connections = ConnectionLimits.from_settings(settings, count_protocol_refusals(app.state.context))

    def nothing() -> None:
        """There is nothing to say."""

    await server.serve(app, sock, stop, connections, on_started=nothing, on_stop=app.state.context.streams.stop)


async def _stop(stop: asyncio.Event, serving: "asyncio.Task[None]") -> None:
    stop.set()
    await serving


def _errors_only() -> Log:
    """The server's log without what only an operator must know; errors go to stderr."""
    from playground.log_lines import LINES

    log, errors = open_log(), {line.event for line in LINES if line.level == ERROR} - {REFUSED}

    def chosen(event: str, **fields: Any) -> None:
        if event in errors or "exc_info" in fields:
            log(event, **fields)

    return chosen


def _in_use(reason: str, settings: Settings) -> str:
    return (
        f"{reason.partition(';')[0]}. If that is a server, say so with --server http://127.0.0.1:{settings.port} (or "
        "its address), or set PLAYGROUND_SERVER; or name another file with --database"
    )


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _token_path(path: Path) -> Path:
    return path.with_suffix(".token")


def _write_tokens(path: Path, tokens: tuple[str, str]) -> None:
    target = _token_path(path)
    target.unlink(missing_ok=True)
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("\n".join(tokens))


def _read_tokens(path: Path) -> tuple[str, str]:
    """The start token and the operator's, of the command that has the database."""
    try:
        start, _, operator = _token_path(path).read_text().partition("\n")
    except OSError:
        return "", ""
    return start, operator
