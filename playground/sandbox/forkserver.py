"""The trusted side of one fork server (zygote): its start, its children, their exits and its own."""

import array
import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from playground.sandbox import zygote
from playground.sandbox.handle import Worker
from playground.sandbox.launch import Launch
from playground.sandbox.layers import linux
from playground.sandbox.layers.cgroup import MemoryGroup

START_SECONDS = 20.0  # a cold disk included
PACKAGES_SECONDS = 20.0  # more, where the operator's packages are imported; preload.py stops before that
OOM_SCORE = "1000"  # when the machine runs out of memory, tenants go first
_MESSAGE_BYTES = 1 << 16
_DESCRIPTORS_MAX = 16
_STDERR_LINE_CHARACTERS = 500  # characters
_CREDENTIALS = struct.Struct("3i")

Log = Callable[..., None]


class LaunchFailed(Exception):
    """A fork server did not start; the message is the reason in one line.

    `has_run`: it sent its first message, so its namespaces were created.
    """

    def __init__(self, reason: str, *, has_run: bool = False) -> None:
        super().__init__(reason)
        self.has_run = has_run


class ForkFailed(Exception):
    """A child was not forked or could not be locked; the message is the reason in one line."""


class _Pending:
    """A child from the fork request until it is locked."""

    def __init__(self, worker: Worker, ready: "asyncio.Future[Worker]") -> None:
        self.worker = worker
        self.ready = ready
        self.forked = False
        self.locked = False


class ForkServer:
    """One running zygote.

    `dead` resolves with the reason when it has exited; `workers` are its live children, by number.
    """

    def __init__(self, launch: Launch, name: str, *, group: MemoryGroup | None, log: Log) -> None:
        self.name = name
        self.forks = 0
        self.module_names: dict[str, list[str]] = {}  # of the packages that it has imported
        self.not_preloaded: dict[str, str] = {}  # the other modules, and why
        self.pid: int | None = None  # in the host's pid namespace
        self.workers: dict[int, Worker] = {}
        self._launch = launch
        self._group = group
        self._log = log
        self._loop = asyncio.get_running_loop()
        self.dead: asyncio.Future[str] = self._loop.create_future()
        # Resolves with the status of the process that we started: bubblewrap, or the zygote itself.
        self._process_exited: asyncio.Future[int] = self._loop.create_future()
        self._zygote_exited: asyncio.Future[None] | None = None  # of the zygote
        self._zygote_pidfd: int | None = None  # its pidfd
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._pending: dict[int, _Pending] = {}
        self._received = b""
        self._pidfds: list[int] = []
        self._stderr_rest = b""
        self._last_error = ""
        self._control: socket.socket
        self._process: subprocess.Popen[bytes]
        self._stderr: int

    async def start(self) -> None:
        """Start it and wait until its imports are done. Raises LaunchFailed."""
        self._control, child_end = socket.socketpair()
        self._control.setblocking(False)
        if linux.HERE:
            self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._stderr, stderr = os.pipe()
        os.set_blocking(self._stderr, False)
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - 2 ms, once in ten minutes; it must be this thread's child to die with it
                self._launch.command(child_end.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(child_end.fileno(),),
                env=linux.ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            os.close(self._stderr)
            raise LaunchFailed(str(error)) from None
        finally:
            child_end.close()
            os.close(stderr)
        seconds = START_SECONDS + (PACKAGES_SECONDS if self._launch.packages else 0)
        self._watch_process()
        self._loop.add_reader(self._stderr, self._read_stderr)
        self._loop.add_reader(self._control, self._read_control)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait((self._ready, self.dead), return_when=asyncio.FIRST_COMPLETED)
            if self.dead.done():
                await self._process_exited
                self._read_stderr()
                raise LaunchFailed(self._last_error or self.dead.result(), has_run=self.pid is not None)
            await self._ready
        except TimeoutError:
            await self.close()
            raise LaunchFailed(
                f"the fork server was not ready after {seconds:.0f} s", has_run=self.pid is not None
            ) from None
        except BaseException:
            await self.close()
            raise

    def fork(self) -> "asyncio.Future[Worker]":
        """Request a child. The future resolves with a locked worker, or raises ForkFailed."""
        ready: asyncio.Future[Worker] = self._loop.create_future()
        if self.dead.done():
            ready.set_exception(ForkFailed(self.dead.result()))
            return ready
        self.forks += 1
        number = self.forks
        users = self._launch.users
        order = {"fork": number, "user": users[number % len(users)] if users else None}
        trusted_end, child_end = socket.socketpair()
        trusted_end.setblocking(False)
        worker = Worker(
            trusted_end,
            f"{self.name}.{number}",
            self._loop.create_future(),
            cpu_limit=self._launch.cpu_seconds,
            kill=lambda: self._send_message({"kill": number}),
        )
        try:
            self._send_message(order, child_end.fileno())
        except OSError as error:
            trusted_end.close()
            ready.set_exception(ForkFailed(f"the fork server takes no orders: {error}"))
            return ready
        finally:
            child_end.close()
        assert number not in self.workers, "a fork request has a number of its own"
        self.workers[number] = worker
        self._pending[number] = _Pending(worker, ready)
        self._loop.add_reader(trusted_end, self._read_lock, number)
        return ready

    def kill(self) -> None:
        """Kill it, and with it everything inside; `dead` resolves then."""
        with suppress(OSError):
            if self._zygote_pidfd is not None:
                signal.pidfd_send_signal(self._zygote_pidfd, signal.SIGKILL)
            elif not self._process_exited.done():
                # When bubblewrap is killed at its start, its child waits for it for ever: kill the group.
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kill it and wait until everything inside is gone."""
        self.kill()
        self._declare_dead("closed")
        await self._process_exited
        if self._zygote_exited is not None:
            await self._zygote_exited
        for worker in list(self.workers.values()):
            await asyncio.wait((worker.exited,))

    def _send_message(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        ancillary = (
            [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        )
        self._control.sendmsg([json.dumps(message).encode() + b"\n"], ancillary)

    def _read_control(self) -> None:
        try:
            data, ancillary, _, _ = self._control.recvmsg(
                _MESSAGE_BYTES,
                socket.CMSG_SPACE(_DESCRIPTORS_MAX * 4) + socket.CMSG_SPACE(_CREDENTIALS.size),
                getattr(socket, "MSG_CMSG_CLOEXEC", 0),
            )
        except BlockingIOError:
            return
        except OSError as error:
            self._declare_dead(str(error))
            return
        if not data:
            self._declare_dead("it ended")
            return
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(payload)
                self._pidfds += received
            elif linux.HERE and (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                self._on_first_message(_CREDENTIALS.unpack(payload)[0])
        *lines, self._received = (self._received + data).split(b"\n")
        try:
            for line in lines:
                self._on_message(json.loads(line))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            self._declare_dead(f"it does not keep to the conversation: {type(error).__name__}: {error}")

    def _on_first_message(self, pid: int) -> None:
        """Handle the first message, whose sender's pid comes from the kernel (SCM_CREDENTIALS).

        The zygote joins the memory group before it has any child.
        """
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self.pid = pid
        if self._launch.pidfds:
            self._zygote_pidfd = os.pidfd_open(pid)
            self._zygote_exited = self._loop.create_future()
            self._loop.add_reader(self._zygote_pidfd, self._on_zygote_exit)
        try:
            with open(f"/proc/{pid}/oom_score_adj", "w") as file:
                file.write(OOM_SCORE)
            if self._group is not None:
                self._group.add(pid)
        except OSError as error:
            self._log("sandbox.memory_unguarded", zygote=self.name, reason=str(error))

    def _on_zygote_exit(self) -> None:
        assert self._zygote_pidfd is not None and self._zygote_exited is not None, (
            "only a zygote with a pidfd is watched"
        )
        self._loop.remove_reader(self._zygote_pidfd)
        os.close(self._zygote_pidfd)
        self._zygote_pidfd = None
        self._zygote_exited.set_result(None)
        self._declare_dead("it was killed")

    def _on_message(self, message: dict[str, Any]) -> None:
        if "hello" in message:
            plan = json.dumps(self._launch.plan()).encode() + b"\n"
            self._control.setblocking(True)
            self._control.sendall(plan)
            self._control.setblocking(False)
        elif "ready" in message:
            self.module_names, self.not_preloaded = message["names"], message["left"]
            self._ready.set_result(None)
        elif "failed" in message:
            self._last_error = message["failed"]
        elif "forked" in message:
            number = message["forked"]
            pidfd = self._pidfds.pop(0) if self._pidfds else None
            if number in self._pending:
                self.workers[number].set_process(
                    pidfd, message["pid"] if pidfd is None and not self._launch.bwrap else None
                )
                self._pending[number].forked = True
                self._complete_if_ready(number)
            elif pidfd is not None:
                os.close(pidfd)  # the fork has failed already
        elif "refused" in message:
            self._fail_fork(message["refused"], message["reason"])
            self.workers.pop(message["refused"], None)
        elif "ended" in message:
            number = message["ended"]
            worker = self.workers.pop(number)
            worker.resolve_exit(message["status"], message["cpu"], message["rss"], self._group)
            if number in self._pending:
                self._read_lock(number)
            self._fail_fork(number, "it ended before it was locked")

    def _read_lock(self, number: int) -> None:
        """Read the first byte of a child's channel, which it sends before it runs any tenant code."""
        pending = self._pending.get(number)
        if pending is None or pending.locked:
            return
        try:
            first_byte = pending.worker.sock.recv(1)
            if first_byte == zygote.FAILED:
                self._fail_fork(number, pending.worker.sock.recv(1000).decode(errors="replace"))
                return
        except BlockingIOError:
            return
        except OSError:
            first_byte = b""
        self._loop.remove_reader(pending.worker.sock)
        if first_byte == zygote.LOCKED:
            pending.locked = True
            self._complete_if_ready(number)

    def _complete_if_ready(self, number: int) -> None:
        pending = self._pending[number]
        if pending.forked and pending.locked:
            del self._pending[number]
            assert pending.ready.cancelled() or not pending.ready.done(), "a fork request has one result"
            if pending.ready.cancelled():
                pending.worker.close()
            else:
                pending.ready.set_result(pending.worker)

    def _fail_fork(self, number: int, reason: str) -> None:
        pending = self._pending.pop(number, None)
        if pending is None:
            return
        self._loop.remove_reader(pending.worker.sock)
        if not pending.ready.done():
            pending.ready.set_exception(ForkFailed(reason))
        pending.worker.close()

    def _declare_dead(self, reason: str) -> None:
        """Stop using it. Everything inside is killed; each worker's `exited` resolves from its own pidfd."""
        if self.dead.done():
            return
        self._loop.remove_reader(self._control)
        self._control.close()
        for number in list(self._pending):
            self.workers[number].watch_orphan(self._loop)
            self._fail_fork(number, f"the fork server is gone: {reason}")
        for worker in self.workers.values():
            worker.watch_orphan(self._loop)
        for pidfd in self._pidfds:
            os.close(pidfd)
        self._pidfds.clear()
        self.kill()
        self.dead.set_result(reason)

    def _watch_process(self) -> None:
        if not self._launch.pidfds:
            waiting = self._loop.run_in_executor(None, self._process.wait)
            waiting.add_done_callback(lambda _: self._on_process_exit())
            return
        handle = os.pidfd_open(self._process.pid)

        def gone() -> None:
            self._loop.remove_reader(handle)
            os.close(handle)
            self._process.wait()
            self._on_process_exit()

        self._loop.add_reader(handle, gone)

    def _on_process_exit(self) -> None:
        self._read_stderr()
        self._loop.remove_reader(self._stderr)
        os.close(self._stderr)
        self._declare_dead(f"it ended with status {self._process.returncode}")
        self._process_exited.set_result(self._process.returncode)

    def _read_stderr(self) -> None:
        """Log what the fork server or bubblewrap prints, for the operator; a child cannot print here."""
        try:
            data = b"" if self._process_exited.done() else os.read(self._stderr, _MESSAGE_BYTES)
        except BlockingIOError:
            return
        if not data:
            if not self._process_exited.done():
                self._loop.remove_reader(self._stderr)
            return
        *lines, self._stderr_rest = (self._stderr_rest + data).split(b"\n")
        for line in lines:
            text = line[:_STDERR_LINE_CHARACTERS].decode(errors="replace").strip()
            if text:
                self._last_error = text
                self._log("sandbox.zygote_said", zygote=self.name, text=text)
