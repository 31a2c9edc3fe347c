"""Several nodes on one machine behind one port: `playground --database postgresql://… --processes 4`.

The first process binds the port and starts the node processes, which accept on it and share the database as nodes on
several machines do. It touches neither the database nor a request, so that it has no reason to fail. It starts a node
again that has ended, waiting longer each time (`BACKOFF_SECONDS`); SIGTERM and Ctrl-C stop all of them, and SIGHUP
restarts one after the other, each once the one before serves again.

A node gets its settings, its name and the socket over its standard input; the end of that input tells it that the first
process is gone, and it stops as on SIGTERM.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from playground.log import open_log
from playground.log_lines import Log
from playground.serving import CannotServe, Node, default_name, serve
from playground.settings import SHARED_DATABASES, Settings
from playground.web.http.listening import CannotListen, listen

BACKOFF_SECONDS = (0.0, 0.2, 1.0, 5.0, 30.0)  # before a node that has ended is started again
STEADY_SECONDS = 60.0  # a node that has run for so long begins again with the first of them
STOP_SECONDS = 20.0  # beyond the time that running attempts are given, after which a node is killed
READY = b"+"
CANNOT_SERVE = 2  # exit status of a node whose operator has to correct something first, and so of them all


class CannotShare(Exception):
    """The settings ask for several processes where there can be one; the message is one line."""


def settings_of_one(settings: Settings) -> Settings:
    """The settings of each node: together they have as many slots for workers as one process would."""
    slots = max(2, -(-settings.slots // settings.processes)) if not settings.workers else settings.workers
    return dataclasses.replace(settings, workers=slots)


def serve_processes(settings: Settings) -> int:
    """Serve with `settings.processes` nodes until SIGTERM or Ctrl-C; returns the exit status.

    Raises:
        CannotShare: the database is of one process only.
        CannotServe: the port is taken, or the address is not this machine's.
    """
    if not settings.database.startswith(SHARED_DATABASES):
        raise CannotShare(
            f"processes is {settings.processes}, and a SQLite database is of one process at a time; give a "
            "--database postgresql://…, or --processes 1"
        )
    try:
        sock = listen(settings.host, settings.port)
    except CannotListen as error:
        raise CannotServe(str(error)) from None
    try:
        return asyncio.run(_Supervisor(settings, sock, open_log()).run())
    finally:
        sock.close()


class _Process:
    """One node process, over all its starts."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.running: asyncio.subprocess.Process | None = None
        self.ready = asyncio.Event()
        self.is_restarting = False
        self.starts = 0

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.running is not None and self.running.returncode is None:
            self.running.terminate()


class _Supervisor:
    def __init__(self, settings: Settings, sock: socket.socket, log: Log) -> None:
        self._settings, self._sock, self._log = settings, sock, log
        self._name = settings.node or default_name(sock.getsockname()[1])
        self._start_token = secrets.token_urlsafe(24)
        self._processes = [_Process(number) for number in range(1, settings.processes + 1)]
        self._stopping = asyncio.Event()
        self._status = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        restarts: set[asyncio.Task[None]] = set()

        def restart() -> None:
            if not restarts:
                task = loop.create_task(self._restart_all())
                restarts.add(task)
                task.add_done_callback(restarts.discard)

        loop.add_signal_handler(signal.SIGHUP, restart)
        keeping = [loop.create_task(self._keep(process)) for process in self._processes]
        await self._stopping.wait()
        for task in restarts:
            task.cancel()
        for process in self._processes:
            process.terminate()
        _, late = await asyncio.wait(keeping, timeout=STOP_SECONDS + self._settings.drain_seconds)
        for process in self._processes if late else ():
            if process.running is not None and process.running.returncode is None:
                process.running.kill()
        await asyncio.wait(keeping)
        return self._status

    async def _keep(self, process: _Process) -> None:
        """Run a node, and start it again whenever it ends, until all are to stop."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._run_once(process)
            if self._stopping.is_set():
                return
            if process.is_restarting:
                continue
            if not process.ready.is_set() and process.starts == 1:  # what it said is for the operator to correct
                self._status = CANNOT_SERVE
                self._stopping.set()
                return
            failures = 0 if time.monotonic() - began >= STEADY_SECONDS else failures + 1
            self._log("process_ended", node=self._node_name(process), status=status, failures=failures)
            with contextlib.suppress(TimeoutError):
                wait = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def _run_once(self, process: _Process) -> int:
        """Start a node and wait for its end; returns its exit status."""
        ready_read, ready_write = os.pipe()
        process.ready.clear()
        process.is_restarting = False
        process.starts += 1
        descriptor = self._sock.fileno()
        try:
            process.running = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "playground.processes",
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(descriptor, ready_write),
            )
        finally:
            os.close(ready_write)
        told = {
            "settings": dataclasses.asdict(settings_of_one(self._settings)),
            "name": self._node_name(process),
            "sock": descriptor,
            "ready": ready_write,
            "start_token": self._start_token,
            "is_first": process.number == 1 and process.starts == 1,
        }
        assert process.running.stdin is not None
        with contextlib.suppress(ConnectionError):
            process.running.stdin.write(json.dumps(told).encode() + b"\n")
            await process.running.stdin.drain()
        loop = asyncio.get_running_loop()

        def read_ready() -> None:
            loop.remove_reader(ready_read)
            if os.read(ready_read, 1) == READY:
                process.ready.set()
            os.close(ready_read)

        loop.add_reader(ready_read, read_ready)
        if self._stopping.is_set():
            process.terminate()
        return await process.running.wait()

    async def _restart_all(self) -> None:
        """Restart one node after the other."""
        self._log("processes_restarting", processes=len(self._processes))
        for process in self._processes:
            process.is_restarting = True
            process.ready.clear()
            process.terminate()
            await process.ready.wait()

    def _node_name(self, process: _Process) -> str:
        return f"{self._name}#{process.number}"


def main() -> int:
    """A node process; see the top of this file."""
    told: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    ready: int = told["ready"]

    def on_ready() -> None:
        with contextlib.suppress(OSError):
            os.write(ready, READY)
        os.close(ready)

    def on_orphaned(stop: Callable[[], None]) -> None:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop)

    sock = socket.socket(fileno=told["sock"])
    sock.setblocking(False)
    node = Node(told["name"], sock, told["start_token"], told["is_first"], on_ready, on_orphaned)
    try:
        serve(Settings(**told["settings"]), node)
    except CannotServe as error:
        print(f"playground: {error}", file=sys.stderr)
        return CANNOT_SERVE
    return 0


if __name__ == "__main__":
    sys.exit(main())
