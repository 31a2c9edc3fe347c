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
"""

import array
import base64
import errno
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import zoneinfo
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from playground.sandbox import child
from playground.sandbox.layers import landlock, linux, resource_limits, seccomp

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
        live = partial(child.live, *_prepare(plan))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the operator is told
        server.say({"failed": f"{type(error).__name__}: {error}"})
        os._exit(1)
    server.say({"ready": True})
    server.serve(live)


def _prepare(plan: dict[str, Any]) -> tuple[child.Confinement, Callable[[], None], Callable[[], None]]:
    if plan["linux"]:
        linux.die_with_parent()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.path += plan["path"]
    zoneinfo.reset_tzpath([plan["zones"]])
    for name in WARM:
        importlib.import_module(name)
    entry = importlib.import_module(plan["entry"])
    ready = entry.warm(child.CHANNEL)
    ruleset, flags = None, 0
    if plan["landlock"]:
        built, flags = landlock.build(plan["readable"], plan["listable"])
        ruleset = fcntl.fcntl(built, fcntl.F_DUPFD_CLOEXEC, child.PARKING)
        os.close(built)
    confinement = child.Confinement(
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
