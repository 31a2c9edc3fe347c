"""The fork server (zygote), and its children until they are locked workers. Loaded inside the sandbox.

A warm interpreter inside the namespaces, which forks a child whenever the trusted side requests one. Each child enters
the layers of confinement in the order of `run_child`.

Architecture Invariant: no byte of a tenant is read before all requested layers are entered. When one cannot be entered,
the child sends its name and the error on its channel and exits, so nothing runs with fewer layers than requested.

Protocol of the control socket, one JSON object per line (-> to the trusted side):
    -> hello                                     <- plan {...}
    -> ready (with what was imported of the operator's packages) | failed reason
    <- fork number (with the child's end of its channel)
    -> forked number pid (with its pidfd) | refused number reason
    <- kill number                               (only where there is no pidfd)
    -> ended number status cpu rss               (the child was reaped; cpu in seconds, rss in bytes)
When the control socket closes, the trusted side has exited, and everything here exits too.
"""

import _signal  # C part of `signal`, whose enumerations would cost a child a hundred copied pages
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

from playground.sandbox import preload
from playground.sandbox.layers import identity, landlock, linux, resource_limits, seccomp

CHANNEL = 3  # the file descriptor of a worker's one channel
LOCKED = b"L"  # first byte on the channel: locked and ready
FAILED = b"F"  # or this, followed by the reason
EXIT_FAILED = 70
SPARE_DESCRIPTOR_MIN = 100  # descriptors are moved here while 0 to 3 are set
_LAST_DESCRIPTOR = 1 << 20


@dataclass(frozen=True, slots=True)
class Confinement:
    """The prepared layers of a child. An empty field leaves a layer out, in a lower tier or a test only."""

    ruleset: int | None  # file descriptor
    ruleset_flags: int
    limits: Sequence[tuple[int, int, bool]]
    filter: seccomp.Program | None
    linux: bool
    reseed: Callable[[], object] | None = None


def run_child(
    confinement: Confinement,
    prepare: Callable[[], None],
    work: Callable[[], None],
    channel: int,
    user: int | None,
    parent: int,
) -> NoReturn:
    """Lock this process, wait for work and do it; then exit.

    `prepare` runs before the lock, with the channel in place: for what needs system calls that a locked process may not
    make. It must not read the channel. `channel` is this child's end of it, `user` the uid it changes to (None: it
    keeps the fork server's), `parent` the fork server's pid.

    Straight-line code, since each function, method and attribute that is first used after a fork costs a few copied
    pages.
    """
    code = 1
    stage = "signals"
    try:
        try:
            _signal.set_wakeup_fd(-1)  # undo what the fork server has set; other signals are at their defaults
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            stage = "session"
            os.setsid()
            stage = "descriptors"
            channel = _arrange_descriptors(channel, confinement.ruleset)
            stage = "parent"
            if confinement.linux:
                linux.die_with_parent()
            if os.getppid() != parent:
                raise ProcessLookupError("the fork server is gone")
            stage = "preparation"
            prepare()
            random.seed()
            if confinement.reseed is not None:
                confinement.reseed()
            gc.enable()
            stage = "user"
            if user is not None:
                identity.change_user(user)
            stage = "privileges"
            if confinement.linux:
                identity.drop_privileges()
            stage = "landlock"
            if confinement.ruleset is not None:
                landlock.restrict_self(confinement.ruleset, confinement.ruleset_flags)
                os.close(confinement.ruleset)
            stage = "memory"
            if confinement.linux:
                linux.prctl(linux.PR_SET_DUMPABLE, 0)
            stage = "limits"
            if confinement.limits:
                resource_limits.set_limits(confinement.limits)
            stage = "seccomp"
            if confinement.filter is not None:
                seccomp.enter_filter(confinement.filter)
        except BaseException as error:  # noqa: BLE001 - whatever it is, this child must not live
            os.write(channel, FAILED + f"{stage}: {type(error).__name__}: {error}".encode(errors="replace"))
            os._exit(EXIT_FAILED)
        os.write(CHANNEL, LOCKED)
        work()
        code = 0
    finally:
        os._exit(code)


def _arrange_descriptors(channel: int, ruleset: int | None) -> int:
    """Set 0 to 2 to /dev/null and 3 to the channel, keep the ruleset, and close all others. Returns 3."""
    moved = fcntl.fcntl(channel, fcntl.F_DUPFD, SPARE_DESCRIPTOR_MIN)
    null = fcntl.fcntl(0, fcntl.F_DUPFD, SPARE_DESCRIPTOR_MIN)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.dup2(moved, CHANNEL, inheritable=False)
    if ruleset is None:
        os.closerange(CHANNEL + 1, _LAST_DESCRIPTOR)
    else:
        os.closerange(CHANNEL + 1, ruleset)
        os.closerange(ruleset + 1, _LAST_DESCRIPTOR)
    return CHANNEL


# Imported once here, so that no worker has to.
WARM = (
    "abc", "argparse", "array", "ast", "asyncio", "base64", "bisect", "calendar", "codecs", "collections",
    "collections.abc", "contextlib", "contextvars", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib",
    "enum", "errno", "fractions", "functools", "hashlib", "heapq", "hmac", "html", "inspect", "io", "itertools",
    "json", "keyword", "linecache", "logging", "math", "numbers", "operator", "os", "pprint", "random", "re",
    "secrets", "statistics", "string", "struct", "textwrap", "time", "timeit", "token", "tokenize", "traceback",
    "types", "typing", "urllib.parse", "uuid", "warnings", "weakref", "zlib", "zoneinfo", "playground.analysis",
)  # fmt: skip
_MESSAGE_BYTES = 1 << 16
_DESCRIPTORS_MAX = 16
_MAXRSS_BYTES = 1024 if sys.platform == "linux" else 1


def main(control: int) -> NoReturn:
    """Run the fork server until the control socket closes."""
    for name in linux.ENVIRONMENT:
        os.environ.pop(name, None)
    server = _Server(socket.socket(fileno=control))
    server.send({"hello": os.getpid()})
    try:
        plan = server.next_line()
        server.pidfds = plan["pidfds"]
        packages = _import_ahead(plan)
        start_child = partial(run_child, *_prepare(plan, packages.bytes))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is logged for the operator
        server.send({"failed": f"{type(error).__name__}: {error}"})
        os._exit(1)
    server.send({"ready": True, "names": packages.names, "left": packages.left})
    server.serve(start_child)


def _import_ahead(plan: dict[str, Any]) -> preload.Preloaded:
    """Import what workers would import otherwise: ours, the standard library's, and the operator's packages."""
    if plan["linux"]:
        linux.die_with_parent()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.path += plan["path"]
    zoneinfo.reset_tzpath([plan["zones"]])
    for name in WARM:
        importlib.import_module(name)
    packages = plan["packages"]
    if packages is None:
        return preload.NOTHING
    sys.path.append(packages["path"])
    preload.set_single_threaded()
    preload.require_visible(packages["path"], packages["modules"])
    return preload.preload(packages["modules"]) if packages["preload"] else preload.NOTHING


def _prepare(plan: dict[str, Any], packages_bytes: int) -> tuple[Confinement, Callable[[], None], Callable[[], None]]:
    entry = importlib.import_module(plan["entry"])
    ready = entry.warm(CHANNEL)
    ruleset, flags = None, 0
    if plan["landlock"]:
        built, flags = landlock.build_ruleset(plan["readable"], plan["listable"])
        ruleset = fcntl.fcntl(built, fcntl.F_DUPFD_CLOEXEC, SPARE_DESCRIPTOR_MIN)
        os.close(built)
    confinement = Confinement(
        ruleset=ruleset,
        ruleset_flags=flags,
        limits=resource_limits.planned_limits(plan["memory_bytes"] + packages_bytes, plan["cpu_seconds"])
        if plan["limits"]
        else (),
        filter=seccomp.filter_program(base64.b64decode(plan["filter"])) if plan["filter"] else None,
        linux=plan["linux"],
        reseed=preload.reseed(),
    )
    gc.collect()
    gc.freeze()  # so that a collection in a child does not touch, and copy, the pages of imported objects
    gc.disable()
    return confinement, partial(entry.prepare, ready), partial(entry.main, ready)


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self.pidfds = False
        self._control = control
        self._received = b""
        self._channels: list[int] = []
        self._children: dict[int, int] = {}  # pid to number

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
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
        while b"\n" not in self._received:
            self._receive()
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def serve(self, start_child: Callable[[int, int | None, int], NoReturn]) -> NoReturn:
        """Fork and reap until the control socket closes.

        A child calls `start_child` from within: to unwind this stack would cost it copied pages.
        """
        wakeup_read, wakeup_write = socket.socketpair()
        for end in (wakeup_read, wakeup_write):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_write.fileno(), warn_on_full_buffer=False)
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        waiting.register(wakeup_read, select.POLLIN)
        while True:
            while b"\n" in self._received:
                order = self.next_line()
                if "kill" in order:
                    self._kill(order["kill"])
                    continue
                self._fork(order["fork"], order["user"], self._channels.pop(0), start_child)
            for ready, _ in waiting.poll():
                if ready == self._control.fileno():
                    self._receive()
                else:
                    try:
                        wakeup_read.recv(_MESSAGE_BYTES)
                    except BlockingIOError:
                        pass
                    self._reap()

    def _receive(self) -> None:
        data, ancillary, _, _ = self._control.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(_DESCRIPTORS_MAX * 4))
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
                self._channels += received
        if not data:
            os._exit(0)
        self._received += data

    def _fork(
        self, number: int, user: int | None, channel: int, start_child: Callable[[int, int | None, int], NoReturn]
    ) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self.send({"refused": number, "reason": f"fork: {os.strerror(error.errno or errno.EAGAIN)}"})
            os.close(channel)
            return
        if pid == 0:
            start_child(channel, user, parent)
        self._children[pid] = number
        os.close(channel)
        if self.pidfds:
            handle = os.pidfd_open(pid)
            self.send({"forked": number, "pid": pid}, handle)
            os.close(handle)
        else:
            self.send({"forked": number, "pid": pid})

    def _kill(self, number: int) -> None:
        """Kill a child, without a pidfd. An unreaped child keeps its pid, so this cannot hit another process."""
        for pid, known in self._children.items():
            if known == number:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                continue  # stopped by a tracer, possible in a lower tier only
            number = self._children.pop(pid)
            cpu = usage.ru_utime + usage.ru_stime
            self.send({"ended": number, "status": status, "cpu": cpu, "rss": usage.ru_maxrss * _MAXRSS_BYTES})
