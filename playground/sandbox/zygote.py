"""The fork server (zygote): a warm interpreter inside the namespaces that forks a child whenever the trusted side asks.

Seen inside the sandbox.

Conversation over the control socket, one JSON object per line:
    -> hello                                     <- plan {...}
    -> ready | failed reason
    <- fork number (with the child's end of its channel)
    -> forked number pid (with its pidfd) | refused number reason
    <- kill number                               (only where there is no pidfd)
    -> ended number status cpu rss               (the child was reaped; cpu in seconds, rss in bytes)
When the control socket closes, the trusted side is gone and everything here ends.

A child's life, from the fork to the worker it becomes. Seen inside the sandbox.

Every layer is entered in the order of `live`; when one cannot be entered the child says which on its channel and ends,
so nothing ever runs with less than was asked for. No byte of a tenant is read before that.
"""

import _signal  # what `signal` is made of; with its enumerations a child would copy a hundred pages
import array
import base64
import errno
import fcntl
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from playground.sandbox.layers import identity, landlock, linux, resource_limits, seccomp

CHANNEL = 3  # the file descriptor of a worker's one channel
LOCKED = b"L"  # first byte on the channel: locked and parked
FAILED = b"F"  # or this, followed by the reason
FAILED_EXIT = 70
PARKING = 100  # descriptors from here up wait while 0 to 3 are filled
_LAST_DESCRIPTOR = 1 << 20


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a child is put under, made ready.

    An empty field leaves that layer out, which only a lower tier or a test does.
    """

    ruleset: int | None  # file descriptor
    ruleset_flags: int
    limits: Sequence[tuple[int, int, bool]]
    filter: seccomp.Program | None
    linux: bool


def live_as_child(
    confinement: Confinement,
    prepare: Callable[[], None],
    work: Callable[[], None],
    channel: int,
    user: int | None,
    parent: int,
) -> NoReturn:
    """Lock this process, park it, and work; then end the process.

    `prepare` runs before the lock, when the channel is in its place: for what needs system calls that a locked process
    has not. It must read nothing. `channel` is this child's end of it, `user` the number it changes to (None: it stays
    the fork server's), `parent` the fork server.

    One straight line, since each function, method and attribute that is met for the first time after a fork costs a few
    copied pages.
    """
    code = 1
    stage = "signals"
    try:
        try:
            _signal.set_wakeup_fd(-1)  # what the fork server set for itself; all else it left as a new program has it
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            stage = "session"
            os.setsid()
            stage = "descriptors"
            channel = _take_descriptors(channel, confinement.ruleset)
            stage = "parent"
            if confinement.linux:
                linux.die_with_parent()
            if os.getppid() != parent:
                raise ProcessLookupError("the fork server is gone")
            stage = "preparation"
            prepare()
            random.seed()
            gc.enable()
            stage = "user"
            if user is not None:
                identity.become(user)
            stage = "privileges"
            if confinement.linux:
                identity.renounce()
            stage = "landlock"
            if confinement.ruleset is not None:
                landlock.enter(confinement.ruleset, confinement.ruleset_flags)
                os.close(confinement.ruleset)
            stage = "memory"
            if confinement.linux:
                linux.prctl(linux.PR_SET_DUMPABLE, 0)
            stage = "limits"
            if confinement.limits:
                resource_limits.enter(confinement.limits)
            stage = "seccomp"
            if confinement.filter is not None:
                seccomp.enter(confinement.filter)
        except BaseException as error:  # noqa: BLE001 - whatever it is, this child must not live
            os.write(channel, FAILED + f"{stage}: {type(error).__name__}: {error}".encode(errors="replace"))
            os._exit(FAILED_EXIT)
        os.write(CHANNEL, LOCKED)
        work()
        code = 0
    finally:
        os._exit(code)


def _take_descriptors(channel: int, kept: int | None) -> int:
    """Keep the channel, three times nothing, and the ruleset; close all else."""
    moved = fcntl.fcntl(channel, fcntl.F_DUPFD, PARKING)
    null = fcntl.fcntl(0, fcntl.F_DUPFD, PARKING)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.dup2(moved, CHANNEL, inheritable=False)
    if kept is None:
        os.closerange(CHANNEL + 1, _LAST_DESCRIPTOR)
    else:
        os.closerange(CHANNEL + 1, kept)
        os.closerange(kept + 1, _LAST_DESCRIPTOR)
    return CHANNEL


# Imported once here, so that no tenant pays for them.
WARM = (
    "abc", "argparse", "array", "ast", "asyncio", "base64", "bisect", "calendar", "codecs", "collections",
    "collections.abc", "contextlib", "contextvars", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib",
    "enum", "errno", "fractions", "functools", "hashlib", "heapq", "hmac", "html", "inspect", "io", "itertools",
    "json", "keyword", "linecache", "logging", "math", "numbers", "operator", "os", "pprint", "random", "re",
    "secrets", "statistics", "string", "struct", "textwrap", "time", "timeit", "token", "tokenize", "traceback",
    "types", "typing", "urllib.parse", "uuid", "warnings", "weakref", "zlib", "zoneinfo", "playground.analysis",
)  # fmt: skip
_MESSAGE = 1 << 16
_DESCRIPTORS = 16
_MAXRSS_UNIT = 1024 if sys.platform == "linux" else 1


def main(control: int) -> NoReturn:
    """Serve until the control socket closes."""
    for name in linux.ENVIRONMENT:
        os.environ.pop(name, None)
    server = _Server(socket.socket(fileno=control))
    server.say({"hello": os.getpid()})
    try:
        plan = server.next_line()
        server.pidfds = plan["pidfds"]
        live = partial(live_as_child, *_prepare(plan))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the operator is told
        server.say({"failed": f"{type(error).__name__}: {error}"})
        os._exit(1)
    server.say({"ready": True})
    server.serve(live)


def _prepare(plan: dict[str, Any]) -> tuple[Confinement, Callable[[], None], Callable[[], None]]:
    if plan["linux"]:
        linux.die_with_parent()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.path += plan["path"]
    zoneinfo.reset_tzpath([plan["zones"]])
    for name in WARM:
        importlib.import_module(name)
    entry = importlib.import_module(plan["entry"])
    ready = entry.warm(CHANNEL)
    ruleset, flags = None, 0
    if plan["landlock"]:
        built, flags = landlock.build(plan["readable"], plan["listable"])
        ruleset = fcntl.fcntl(built, fcntl.F_DUPFD_CLOEXEC, PARKING)
        os.close(built)
    confinement = Confinement(
        ruleset=ruleset,
        ruleset_flags=flags,
        limits=resource_limits.plan(plan["memory_bytes"], plan["cpu_seconds"]) if plan["limits"] else (),
        filter=seccomp.program(base64.b64decode(plan["filter"])) if plan["filter"] else None,
        linux=plan["linux"],
    )
    gc.collect()
    gc.freeze()  # so that a collection in a child does not copy the pages of what was imported here
    gc.disable()
    return confinement, partial(entry.prepare, ready), partial(entry.main, ready)


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self.pidfds = False
        self._control = control
        self._text = b""
        self._channels: list[int] = []
        self._running: dict[int, int] = {}  # pid to number

    def say(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        ancillary = (
            [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        )
        data = json.dumps(message).encode() + b"\n"
        try:
            sent = self._control.sendmsg([data], ancillary)
            if sent < len(data):
                self._control.sendall(data[sent:])
        except ConnectionError:
            os._exit(0)

    def next_line(self) -> dict[str, Any]:
        while b"\n" not in self._text:
            self._receive()
        line, _, self._text = self._text.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def serve(self, live: Callable[[int, int | None, int], NoReturn]) -> NoReturn:
        """Fork and reap until told to end.

        A child goes into its own life from where it is born: to take down what is here would cost it pages.
        """
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        waiting.register(woken, select.POLLIN)
        while True:
            while b"\n" in self._text:
                order = self.next_line()
                if "kill" in order:
                    self._kill(order["kill"])
                    continue
                self._fork(order["fork"], order["user"], self._channels.pop(0), live)
            for ready, _ in waiting.poll():
                if ready == self._control.fileno():
                    self._receive()
                else:
                    try:
                        woken.recv(_MESSAGE)
                    except BlockingIOError:
                        pass
                    self._reap()

    def _receive(self) -> None:
        data, ancillary, _, _ = self._control.recvmsg(_MESSAGE, socket.CMSG_SPACE(_DESCRIPTORS * 4))
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
                self._channels += received
        if not data:
            os._exit(0)
        self._text += data

    def _fork(
        self, number: int, user: int | None, channel: int, live: Callable[[int, int | None, int], NoReturn]
    ) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self.say({"refused": number, "reason": f"fork: {os.strerror(error.errno or errno.EAGAIN)}"})
            os.close(channel)
            return
        if pid == 0:
            live(channel, user, parent)
        self._running[pid] = number
        os.close(channel)
        if self.pidfds:
            handle = os.pidfd_open(pid)
            self.say({"forked": number, "pid": pid}, handle)
            os.close(handle)
        else:
            self.say({"forked": number, "pid": pid})

    def _kill(self, number: int) -> None:
        """Where there is no pidfd. A child that was not reaped keeps its number, so this cannot hit another process."""
        for pid, known in self._running.items():
            if known == number:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._running:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                continue  # traced and stopped, which needs a lower tier
            number = self._running.pop(pid)
            cpu = usage.ru_utime + usage.ru_stime
            self.say({"ended": number, "status": status, "cpu": cpu, "rss": usage.ru_maxrss * _MAXRSS_UNIT})
