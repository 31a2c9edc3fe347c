"""Harmless attacks, run inside a locked child to prove that its layers hold. Seen inside the sandbox.

Each tries one thing that must not be possible and undoes nothing, because even an open one does no harm. A result is `blocked`, or `open: ` and what was
reached. Nothing here may end the process: what kills a worker is tried by the tests.
"""

import ctypes
import os
import resource
import socket
import threading
from collections.abc import Callable

BLOCKED = "blocked"


def run() -> dict[str, str]:
    """Try every attack; the result of each by its name."""
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


def _list_root() -> object:
    return f"{len(os.listdir('/'))} entries"


def _read_processes() -> object:
    return f"{len(os.listdir('/proc'))} entries"


def _read_environment() -> object:
    return f"{len(os.environ)} variables" if set(os.environ) - {"LC_CTYPE", "PWD"} else None


def _write_file() -> object:
    for folder in ("/tmp", "/dev/shm", "/var/tmp", os.path.dirname(os.__file__), "."):
        path = f"{folder}/playground-probe-{os.getpid()}"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError:
            continue
        os.unlink(path)
        return f"wrote in {folder}"
    return None


def _open_socket() -> object:
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, getattr(socket, "AF_NETLINK", 16), getattr(socket, "AF_ALG", 38)):
        try:
            socket.socket(family, socket.SOCK_STREAM if family != 16 else socket.SOCK_RAW).close()
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
    """An image that does not exist: the layers refuse before it is looked for, otherwise this says that there is no such file."""
    try:
        os.execv("/nonexistent/playground-probe", ["probe"])
    except FileNotFoundError:
        return "execve is allowed"
    return None


def _trace() -> object:
    return _raw("ptrace", 0, 0, 0, 0)  # PTRACE_TRACEME


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
    for number in range(CHANNEL + 1, 256):
        try:
            kind = os.fstat(number)
        except OSError:
            continue
        if kind.st_mode & 0o170000 not in (0, 0o140000, 0o010000):  # the event loop's own: anonymous, sockets to itself
            found.append(number)
    return f"inherited {found}" if found else None


def _other_users() -> object:
    os.setuid(os.getuid())
    return "setuid is allowed"


def _raw(name: str, *arguments: int) -> object:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.restype = ctypes.c_long
    return f"{name} is allowed" if function(*arguments) >= 0 else None


CHANNEL = 3

ATTACKS: dict[str, Callable[[], object]] = {
    "read the accounts file": _read_accounts,
    "list the root directory": _list_root,
    "list processes": _read_processes,
    "read the server's environment": _read_environment,
    "write a file": _write_file,
    "open a socket": _open_socket,
    "signal the fork server": _signal_parent,
    "signal process 1": _signal_first,
    "fork": _fork,
    "start a thread": _thread,
    "execute a program": _execute,
    "be traced": _trace,
    "make a user namespace": _namespaces,
    "make a memory file": _memory_file,
    "map executable memory": _executable_memory,
    "loosen a limit": _loosen_limits,
    "find another descriptor": _other_descriptors,
    "change user": _other_users,
}
