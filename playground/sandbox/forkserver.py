"""The trusted side of one fork server: start it, ask it for children, learn of their ends and of its own."""

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
OOM_SCORE = "1000"  # when the machine runs out of memory, tenants go first
_MESSAGE = 1 << 16
_DESCRIPTORS = 16
_STDERR_LINE = 500  # characters
_CREDENTIALS = struct.Struct("3i")

Log = Callable[..., None]


class LaunchFailed(Exception):
    """A fork server did not come up; the message is the reason in one line.

    `spoke` tells whether it ran at all, so that its namespaces were made.
    """

    def __init__(self, reason: str, *, spoke: bool = False) -> None:
        super().__init__(reason)
        self.spoke = spoke


class ForkFailed(Exception):
    """A child was not made, or could not be locked; the message is the reason in one line."""


class _Pending:
    """A child between the order and the lock."""

    def __init__(self, worker: Worker, ready: "asyncio.Future[Worker]") -> None:
        self.worker = worker
        self.ready = ready
        self.forked = False
        self.locked = False


class ForkServer:
    """One running zygote.

    `dead` resolves with the reason when it is gone; `workers` are its children that have not ended, by number.
    """

    def __init__(self, launch: Launch, name: str, *, group: MemoryGroup | None, log: Log) -> None:
        self.name = name
        self.forks = 0
        self.pid: int | None = None  # as the host sees it
        self.workers: dict[int, Worker] = {}
        self._launch = launch
        self._group = group
        self._log = log
        self._loop = asyncio.get_running_loop()
        self.dead: asyncio.Future[str] = self._loop.create_future()
        # Of the process we started, which is bubblewrap or the zygote itself.
        self._reaped: asyncio.Future[int] = self._loop.create_future()
        self._gone: asyncio.Future[None] | None = None  # of the zygote
        self._zygote: int | None = None  # its pidfd
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._pending: dict[int, _Pending] = {}
        self._text = b""
        self._pidfds: list[int] = []
        self._errors = b""
        self._last_error = ""
        self._control: socket.socket
        self._process: subprocess.Popen[bytes]
        self._stderr: int

    async def start(self) -> None:
        """Bring it up, its imports done. Raises LaunchFailed."""
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        if linux.HERE:
            self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._stderr, stderr = os.pipe()
        os.set_blocking(self._stderr, False)
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - 2 ms, once in ten minutes; it must be this thread's child to die with it
                self._launch.command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(theirs.fileno(),),
                env=linux.ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            os.close(self._stderr)
            raise LaunchFailed(str(error)) from None
        finally:
            theirs.close()
            os.close(stderr)
        self._watch_process()
        self._loop.add_reader(self._stderr, self._read_errors)
        self._loop.add_reader(self._control, self._read)
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.wait((self._ready, self.dead), return_when=asyncio.FIRST_COMPLETED)
            if self.dead.done():
                await self._reaped
                self._read_errors()
                raise LaunchFailed(self._last_error or self.dead.result(), spoke=self.pid is not None)
            await self._ready
        except TimeoutError:
            await self.close()
            raise LaunchFailed(
                f"the fork server was not ready after {START_SECONDS:.0f} s", spoke=self.pid is not None
            ) from None
        except BaseException:
            await self.close()
            raise

    def fork(self) -> "asyncio.Future[Worker]":
        """Order one child. The result is a locked worker; ForkFailed when there is none."""
        ready: asyncio.Future[Worker] = self._loop.create_future()
        if self.dead.done():
            ready.set_exception(ForkFailed(self.dead.result()))
            return ready
        self.forks += 1
        number = self.forks
        users = self._launch.users
        order = {"fork": number, "user": users[number % len(users)] if users else None}
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        worker = Worker(
            ours,
            f"{self.name}.{number}",
            self._loop.create_future(),
            cpu_limit=self._launch.cpu_seconds,
            kill=lambda: self._say({"kill": number}),
        )
        try:
            self._say(order, theirs.fileno())
        except OSError as error:
            ours.close()
            ready.set_exception(ForkFailed(f"the fork server takes no orders: {error}"))
            return ready
        finally:
            theirs.close()
        self.workers[number] = worker
        self._pending[number] = _Pending(worker, ready)
        self._loop.add_reader(ours, self._read_lock, number)
        return ready

    def kill(self) -> None:
        """End it, and with it everything inside. `dead` follows."""
        with suppress(OSError):
            if self._zygote is not None:
                signal.pidfd_send_signal(self._zygote, signal.SIGKILL)
            elif not self._reaped.done():
                # bubblewrap's child waits for its parent for ever when it is killed at its start.
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kill it and wait until everything inside is gone."""
        self.kill()
        self._end("closed")
        await self._reaped
        if self._gone is not None:
            await self._gone
        for worker in list(self.workers.values()):
            await asyncio.wait((worker.exited,))

    def _say(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        ancillary = (
            [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        )
        self._control.sendmsg([json.dumps(message).encode() + b"\n"], ancillary)

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self._control.recvmsg(
                _MESSAGE,
                socket.CMSG_SPACE(_DESCRIPTORS * 4) + socket.CMSG_SPACE(_CREDENTIALS.size),
                getattr(socket, "MSG_CMSG_CLOEXEC", 0),
            )
        except BlockingIOError:
            return
        except OSError as error:
            self._end(str(error))
            return
        if not data:
            self._end("it ended")
            return
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(payload)
                self._pidfds += received
            elif linux.HERE and (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                self._greet(_CREDENTIALS.unpack(payload)[0])
        *lines, self._text = (self._text + data).split(b"\n")
        try:
            for line in lines:
                self._heard(json.loads(line))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            self._end(f"it does not keep to the conversation: {type(error).__name__}: {error}")

    def _greet(self, pid: int) -> None:
        """The first message came, with the kernel's word on who sent it.

        It is put under the memory group before it has any child.
        """
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self.pid = pid
        if self._launch.pidfds:
            self._zygote = os.pidfd_open(pid)
            self._gone = self._loop.create_future()
            self._loop.add_reader(self._zygote, self._zygote_gone)
        try:
            with open(f"/proc/{pid}/oom_score_adj", "w") as file:
                file.write(OOM_SCORE)
            if self._group is not None:
                self._group.add(pid)
        except OSError as error:
            self._log("sandbox.memory_unguarded", zygote=self.name, reason=str(error))

    def _zygote_gone(self) -> None:
        assert self._zygote is not None and self._gone is not None, "only a zygote that was greeted is watched"
        self._loop.remove_reader(self._zygote)
        os.close(self._zygote)
        self._zygote = None
        self._gone.set_result(None)
        self._end("it was killed")

    def _heard(self, message: dict[str, Any]) -> None:
        if "hello" in message:
            plan = json.dumps(self._launch.plan()).encode() + b"\n"
            self._control.setblocking(True)
            self._control.sendall(plan)
            self._control.setblocking(False)
        elif "ready" in message:
            self._ready.set_result(None)
        elif "failed" in message:
            self._last_error = message["failed"]
        elif "forked" in message:
            number = message["forked"]
            pidfd = self._pidfds.pop(0) if self._pidfds else None
            if number in self._pending:
                self.workers[number].holds(pidfd, message["pid"] if pidfd is None and not self._launch.bwrap else None)
                self._pending[number].forked = True
                self._settle(number)
            elif pidfd is not None:
                os.close(pidfd)  # it failed before this was said
        elif "refused" in message:
            self._fail(message["refused"], message["reason"])
            self.workers.pop(message["refused"], None)
        elif "ended" in message:
            number = message["ended"]
            worker = self.workers.pop(number)
            worker.ended(message["status"], message["cpu"], message["rss"], self._group)
            if number in self._pending:
                self._read_lock(number)
            self._fail(number, "it ended before it was locked")

    def _read_lock(self, number: int) -> None:
        """The first byte of a child's channel, before there is a tenant in it."""
        pending = self._pending.get(number)
        if pending is None or pending.locked:
            return
        try:
            said = pending.worker.sock.recv(1)
            if said == zygote.FAILED:
                self._fail(number, pending.worker.sock.recv(1000).decode(errors="replace"))
                return
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self._loop.remove_reader(pending.worker.sock)
        if said == zygote.LOCKED:
            pending.locked = True
            self._settle(number)

    def _settle(self, number: int) -> None:
        pending = self._pending[number]
        if pending.forked and pending.locked:
            del self._pending[number]
            if pending.ready.cancelled():
                pending.worker.close()
            else:
                pending.ready.set_result(pending.worker)

    def _fail(self, number: int, reason: str) -> None:
        pending = self._pending.pop(number, None)
        if pending is None:
            return
        self._loop.remove_reader(pending.worker.sock)
        if not pending.ready.done():
            pending.ready.set_exception(ForkFailed(reason))
        pending.worker.close()

    def _end(self, reason: str) -> None:
        """No more conversation. What still lives inside is dying; each worker's `exited` follows from its own pidfd."""
        if self.dead.done():
            return
        self._loop.remove_reader(self._control)
        self._control.close()
        for number in list(self._pending):
            self.workers[number].watch(self._loop)
            self._fail(number, f"the fork server is gone: {reason}")
        for worker in self.workers.values():
            worker.watch(self._loop)
        for pidfd in self._pidfds:
            os.close(pidfd)
        self._pidfds.clear()
        self.kill()
        self.dead.set_result(reason)

    def _watch_process(self) -> None:
        if not self._launch.pidfds:
            waiting = self._loop.run_in_executor(None, self._process.wait)
            waiting.add_done_callback(lambda _: self._process_ended())
            return
        handle = os.pidfd_open(self._process.pid)

        def gone() -> None:
            self._loop.remove_reader(handle)
            os.close(handle)
            self._process.wait()
            self._process_ended()

        self._loop.add_reader(handle, gone)

    def _process_ended(self) -> None:
        self._read_errors()
        self._loop.remove_reader(self._stderr)
        os.close(self._stderr)
        self._end(f"it ended with status {self._process.returncode}")
        self._reaped.set_result(self._process.returncode)

    def _read_errors(self) -> None:
        """What the fork server or bubblewrap prints is for the operator; a child has no way to print here."""
        try:
            data = b"" if self._reaped.done() else os.read(self._stderr, _MESSAGE)
        except BlockingIOError:
            return
        if not data:
            if not self._reaped.done():
                self._loop.remove_reader(self._stderr)
            return
        *lines, self._errors = (self._errors + data).split(b"\n")
        for line in lines:
            text = line[:_STDERR_LINE].decode(errors="replace").strip()
            if text:
                self._last_error = text
                self._log("sandbox.zygote_said", zygote=self.name, text=text)
