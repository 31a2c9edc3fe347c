"""Harmless attacks, run inside a locked worker to prove that its layers hold. Loaded inside the sandbox.

Each tries one thing that must be impossible, and does no harm where it is possible. A result is `blocked`, or `open: `
and what was reached. Nothing here may end the process: the tests try what kills a worker.
"""

import ctypes
import errno
import os
import resource
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from playground.sandbox import preload

BLOCKED = "blocked"
_CHANNEL = 3
_OWN_KINDS = (0, stat.S_IFSOCK)  # the event loop's: epoll, and its wakeup socket pair
_FAMILIES = (
    (socket.AF_INET, socket.SOCK_STREAM),
    (socket.AF_INET6, socket.SOCK_STREAM),
    (socket.AF_UNIX, socket.SOCK_STREAM),
    (16, socket.SOCK_RAW),  # AF_NETLINK
    (38, socket.SOCK_SEQPACKET),  # AF_ALG (CVE-2026-31431)
)


def run() -> dict[str, str]:
    """Try every attack; returns results by name."""
    return {name: _outcome(attack) for name, attack in ATTACKS.items()}


def _outcome(attack: Callable[[], object]) -> str:
    try:
        reached = attack()
    except (OSError, RuntimeError, ValueError):
        return BLOCKED
    return BLOCKED if reached is None else f"open: {reached}"


def _read_accounts() -> object:
    with open("/etc/passwd", "rb") as file:
        return f"read {len(file.read())} bytes"


def _look_at_accounts() -> object:
    return f"{os.stat('/etc/passwd').st_size} bytes" if os.path.exists("/etc/passwd") else None


def _list_root() -> object:
    return f"{len(os.listdir('/'))} entries"


def _read_processes() -> object:
    return f"{len(os.listdir('/proc'))} entries"


def _read_environment() -> object:
    ours = {"LC_CTYPE", "PWD", *preload.SINGLE_THREADED}  # set by Python, bubblewrap and preload.py
    found = set(os.environ) - ours
    return f"{len(found)} variables" if found else None


def _write_file() -> object:
    for folder in ("/tmp", "/dev/shm", "/var/tmp", os.path.dirname(os.__file__), "."):
        path = f"{folder}/playground-probe-{os.getpid()}"
        try:
            with open(path, "xb", buffering=0) as file:
                file.write(b"1")
        except OSError:
            continue
        finally:
            with suppress(OSError):
                os.unlink(path)
        return f"wrote in {folder}"
    return None


def _open_socket() -> object:
    for family, kind in _FAMILIES:
        try:
            socket.socket(family, kind).close()
        except OSError:
            continue
        return f"made one of family {family}"
    return None


def _signal_parent() -> object:
    os.kill(os.getppid(), 0)
    return "may signal it"


def _signal_first() -> object:
    os.kill(1, 0)
    return "may signal process 1"


def _watch_parent() -> object:
    """Read the parent's processor clock, whose id is computed from its pid (clock_getcpuclockid)."""
    return f"{time.clock_gettime_ns(~os.getppid() << 3 | 2)} ns so far"


def _fork() -> object:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "forked"


def _thread() -> object:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return "started one"


def _execute() -> object:
    """Execute a file that does not exist: a layer refuses before the kernel looks for it, else the error is ENOENT."""
    try:
        os.execv("/nonexistent/playground-probe", ["probe"])
    except FileNotFoundError:
        return "execve is allowed"
    return None


def _trace() -> object:
    """Trace a process that cannot exist: a layer refuses, else the error is ESRCH."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace(ctypes.c_long(2), ctypes.c_long(1 << 30), None, None)  # PTRACE_PEEKDATA
    return "ptrace is allowed" if ctypes.get_errno() == errno.ESRCH else None


def _namespaces() -> object:
    return _raw("unshare", 0x10000000)  # CLONE_NEWUSER


def _memory_file() -> object:
    handle = os.memfd_create("probe")
    os.close(handle)
    return "made one"


def _executable_memory() -> object:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0))
    if address in (None, ctypes.c_void_p(-1).value):
        return None
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(4096))
    return "mapped it"


def _loosen_limits() -> object:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return "setrlimit is allowed"


def _other_descriptors() -> object:
    found = []
    for number in range(_CHANNEL + 1, 256):
        try:
            kind = stat.S_IFMT(os.fstat(number).st_mode)
        except OSError:
            continue
        if kind not in _OWN_KINDS:
            found.append(number)
    return f"inherited {found}" if found else None


def _other_users() -> object:
    os.setuid(os.getuid())
    return "setuid is allowed"


def _raw(name: str, *arguments: int) -> object:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.restype = ctypes.c_long
    return f"{name} is allowed" if function(*arguments) >= 0 else None


ATTACKS: dict[str, Callable[[], object]] = {
    "read the accounts file": _read_accounts,
    "see that the accounts file is there": _look_at_accounts,
    "list the root directory": _list_root,
    "list processes": _read_processes,
    "read the server's environment": _read_environment,
    "write a file": _write_file,
    "open a socket": _open_socket,
    "signal the fork server": _signal_parent,
    "signal process 1": _signal_first,
    "watch the fork server's processor time": _watch_parent,
    "execute a program": _execute,
    "be traced": _trace,
    "make a memory file": _memory_file,
    "map executable memory": _executable_memory,
    "loosen a limit": _loosen_limits,
    "find another descriptor": _other_descriptors,
    "change user": _other_users,
    "fork": _fork,
    "make a user namespace": _namespaces,  # where it succeeds, the process has no user any more
    "start a thread": _thread,
}
