"""What hostile code tries from a locked worker. Each case says what it tries; the whole sandbox is on."""

import platform
import signal
from collections.abc import Iterator

import pytest
from sandbox_support import Held, held

PRELUDE = """
import ctypes, os, socket, sys, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def refused(call, *arguments):
    try:
        return f"open: {call(*arguments)!r}"
    except (OSError, RuntimeError, ValueError) as error:
        return "refused"

def raw(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    refused = result == -1 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)
    return "refused" if refused else f"open: {result} {ctypes.get_errno()}"
"""

REFUSED = {
    "read the accounts": "r = refused(open, '/etc/passwd')",
    "read its environment from /proc": "r = refused(open, '/proc/self/environ')",
    "read its memory map": "r = refused(open, '/proc/self/maps')",
    "read the server's memory": "r = refused(open, f'/proc/{os.getppid()}/mem', 'r+b')",
    "list the root directory": "r = refused(os.listdir, '/')",
    "list devices": "r = refused(os.listdir, '/dev')",
    "list our own package": "r = refused(os.listdir, '/app/playground')",
    "read the settings": "r = refused(open, '/app/playground/settings.py')",
    "read a module of the trusted side": "r = refused(open, '/app/playground/sandbox/pool.py')",
    "write to /tmp": "r = refused(open, '/tmp/x', 'w')",
    "write to shared memory": "r = refused(open, '/dev/shm/x', 'w')",
    "poison the standard library": "r = refused(open, os.__file__, 'a')",
    "poison the standard library's folder": "r = refused(open, os.path.dirname(os.__file__) + '/poison.py', 'x')",
    "replace a file of the standard library": "r = refused(os.rename, os.__file__, os.__file__ + '.old')",
    "remove a file of the standard library": "r = refused(os.unlink, os.__file__)",
    "make a directory": "r = refused(os.mkdir, '/poison')",
    "make a symbolic link": "r = refused(os.symlink, '/etc/passwd', '/app/passwd')",
    "change a file's mode": "r = refused(os.chmod, os.__file__, 0o777)",
    "change directory": "r = refused(os.chdir, '/')",
    "open an IPv4 socket": "r = refused(socket.socket, socket.AF_INET, socket.SOCK_STREAM)",
    "open an IPv6 socket": "r = refused(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM)",
    "open a unix socket": "r = refused(socket.socket, socket.AF_UNIX, socket.SOCK_STREAM)",
    "open a netlink socket": "r = refused(socket.socket, 16, socket.SOCK_RAW)",
    "open a socket of the kernel's crypto": "r = refused(socket.socket, 38, 5)",
    "make a pair of datagram sockets": "r = refused(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)",
    "send out of band": "r = refused(channel.send, b'x', socket.MSG_OOB)",
    "receive out of band": "r = refused(channel.recv, 1, socket.MSG_OOB)",
    "send a descriptor over the channel": "import array; r = refused(socket.send_fds, channel, [b'x'], [0])",
    "ask who the server is": "r = refused(channel.getsockopt, socket.SOL_SOCKET, 17, 12)",
    "kill the fork server": "r = refused(os.kill, os.getppid(), 9)",
    "kill process 1": "r = refused(os.kill, 1, 9)",
    "kill everyone": "r = refused(os.kill, -1, 9)",
    "kill its own group": "r = refused(os.killpg, 0, 9)",
    "kill the worker before it": "r = refused(os.kill, os.getpid() - 1, 9)",
    "get a handle of another process": "r = refused(os.pidfd_open, os.getppid())",
    "have the kernel signal another": "import fcntl; r = refused(fcntl.fcntl, 3, 8, os.getppid())",
    "fork": "r = refused(os.fork)",
    "fork through libc": "r = 'refused' if libc.fork() == -1 else 'open'",
    "vfork through libc": "r = 'refused' if libc.vfork() == -1 else 'open'",
    "execute a program": "r = refused(os.execv, sys.executable, ['python'])",
    "spawn a program": "r = refused(os.posix_spawn, sys.executable, ['python'], {})",
    "run a subprocess": "import subprocess; r = refused(subprocess.run, [sys.executable, '-c', ''])",
    "run a shell": "r = 'refused' if os.system('true') != 0 else 'open'",
    "start a thread": "import threading; r = refused(threading.Thread(target=int).start)",
    "start a thread by hand": "import _thread; r = refused(_thread.start_new_thread, int, ())",
    "make a memory file": "r = refused(os.memfd_create, 'x')",
    "make executable memory": "import mmap; r = refused(mmap.mmap, -1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 7)",
    "loosen its processor time": "import resource; r = refused(resource.setrlimit, resource.RLIMIT_CPU, (-1, -1))",
    "limit the fork server": (
        "import resource; r = refused(resource.prlimit, os.getppid(), resource.RLIMIT_NOFILE, (0, 0))"
    ),
    "take a higher priority": "r = refused(os.nice, -5)",
    "run in real time": "r = refused(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))",
    "become root": "r = refused(os.setuid, 0)",
    "leave its session": "r = refused(os.setsid)",
    "change root": "r = refused(os.chroot, '/')",
    "write a message to the terminal": "import fcntl, termios; r = refused(fcntl.ioctl, 0, termios.TIOCSTI, b'x')",
    "trace its parent": "r = 'refused' if libc.ptrace(16, os.getppid(), 0, 0) == -1 else 'open'",
    "make itself readable again": "r = 'refused' if libc.prctl(4, 1, 0, 0, 0) == -1 else 'open'",
    "survive the fork server": "r = 'refused' if libc.prctl(1, 0, 0, 0, 0) == -1 else 'open'",
    "make writable memory executable": """
page = ctypes.create_string_buffer(8192)
start = (ctypes.addressof(page) + 4095) // 4096 * 4096
r = 'refused' if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(4096), 7) == -1 else 'open'""",
    "unshare": "r = 'refused' if libc.unshare(0x10000000) == -1 else 'open'",
    "join namespaces": "r = 'refused' if libc.setns(0, 0) == -1 else 'open'",
    "mount": "r = 'refused' if libc.mount(b'none', b'/', b'tmpfs', 0, None) == -1 else 'open'",
    "make system calls that nobody knows": (
        "r = {raw(number) for number in (*range(463, 1200), 0xFFFF, 0x3FFFFFFF)} - {'refused'} or 'refused'"
    ),
}

X86_64 = {
    "io_uring": "r = raw(425, 8, 0)",
    "bpf": "r = raw(321, 0, 0, 0)",
    "userfaultfd": "r = raw(323, 0)",
    "perf": "r = raw(298, 0, 0, -1, -1, 0)",
    "keyrings": "r = raw(250, 0, -3, 0)",
    "clone": "r = raw(56, 17, 0, 0, 0, 0)",
    "clone3": "r = raw(435, 0, 0)",
    "execveat": "r = raw(322, 0, 0, 0, 0, 0)",
    "open by handle": "r = raw(304, 0, 0, 0)",
    "process memory": "r = raw(310, os.getppid(), 0, 0, 0, 0, 0)",
    "personality": "r = raw(135, 0x0400000)",
    "shared memory of System V": "r = raw(29, 0, 4096, 0o1600)",
    "message queues": "r = raw(68, 0, 0o1600)",
    "seccomp itself": "r = raw(317, 1, 0, 0)",
    "thread signals": "r = raw(234, os.getppid(), os.getppid(), 9)",
    "handle signals": "r = raw(424, 0, 9, 0, 0)",
    "modify the local descriptor table": "r = raw(154, 1, 0, 0)",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Held]:
    with held() as sandbox:
        yield sandbox


@pytest.mark.parametrize("attempt", REFUSED)
def test_refused(sandbox: Held, attempt: str) -> None:
    answer, end = sandbox.run(PRELUDE + REFUSED[attempt])
    assert (answer, end.cause, end.code) == ("'refused'", "exit", 0)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize("call", X86_64)
def test_a_raw_system_call_is_refused(sandbox: Held, call: str) -> None:
    assert sandbox.run(PRELUDE + X86_64[call])[0] == "'refused'"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is an ABI of x86_64")
def test_a_system_call_of_another_abi_kills_the_worker(sandbox: Held) -> None:
    answer, end = sandbox.run(PRELUDE + "r = raw(0x40000000 + 39)")
    assert (answer, end.signal) == ("", signal.SIGSYS)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int 0x80 is an instruction of x86")
def test_int_80_kills_the_worker(sandbox: Held) -> None:
    """Two bytes anywhere in the code of libc or Python serve as the instruction, since no code can be brought along."""
    answer, end = sandbox.run(
        PRELUDE
        + """
places = [libc.getpid]
places += [getattr(ctypes.pythonapi, name) for name in
    "PyErr_Occurred PyObject_Call PyUnicode_New PyDict_New PyType_Ready".split()]
for place in places:
    start = ctypes.cast(place, ctypes.c_void_p).value
    found = ctypes.string_at(start, 600_000).find(b"\\xcd\\x80")
    if found >= 0:
        break
assert found >= 0, "no such bytes"
channel.send(b"jump ")
ctypes.CFUNCTYPE(ctypes.c_long)(start + found)()
"""
    )
    assert answer == "jump "
    assert end.signal in (signal.SIGSYS, signal.SIGSEGV)


def test_a_worker_has_its_channel_and_nothing_else_open(sandbox: Held) -> None:
    answer, _ = sandbox.run(
        """
import os
r = []
for number in range(4096):
    try:
        os.fstat(number)
    except OSError:
        continue
    r.append(number)
"""
    )
    assert answer == "[0, 1, 2, 3]"


def test_a_worker_has_no_environment(sandbox: Held) -> None:
    assert sandbox.run("import os; r = sorted(set(os.environ) - {'LC_CTYPE', 'PWD'})")[0] == "[]"


def test_a_worker_is_a_nobody_alone(sandbox: Held) -> None:
    assert (
        sandbox.run("import os; r = os.getuid() == os.geteuid() != 0 and os.getgid() == os.getegid() != 0")[0] == "True"
    )


def test_a_worker_cannot_use_up_descriptors(sandbox: Held) -> None:
    answer, _ = sandbox.run(
        """
import os
r = 0
try:
    while True:
        os.dup(0)
        r += 1
except OSError:
    pass
"""
    )
    assert int(answer) <= 32


def test_the_standard_library_can_be_imported_and_nothing_else(sandbox: Held) -> None:
    answer, _ = sandbox.run(
        """
import sqlite3, zoneinfo, xml.etree.ElementTree, ssl, tomllib, mmap, concurrent.futures, email.message, unittest
found = []
for name in ("msgspec", "starlette", "pyseccomp", "pip", "playground.settings",
    "playground.store", "playground.engine", "playground.web",
             "playground.sandbox.pool", "playground.sandbox.forkserver"):
    try:
        __import__(name)
        found.append(name)
    except ImportError:
        pass
r = (found, str(zoneinfo.ZoneInfo("Europe/Paris")))
"""
    )
    assert answer == "([], 'Europe/Paris')"


def test_what_a_worker_prints_goes_nowhere(sandbox: Held) -> None:
    assert (
        sandbox.run("import sys, os; print('x' * 100_000); os.write(2, b'y' * 100_000); r = os.read(0, 1)")[0] == "b''"
    )
    assert "sandbox.zygote_said" not in sandbox.log.events()


def test_poison_is_not_left_for_the_next_worker(sandbox: Held) -> None:
    sandbox.run("import builtins, random, sys; builtins.open = None; random.seed(1); sys.modules['json'] = None")
    answers = {
        sandbox.run("import builtins, json, random; r = (callable(open), json.dumps({}), random.random())")[0]
        for _ in range(3)
    }
    assert len(answers) == 3
    assert all(answer.startswith("(True, '{}', ") for answer in answers)
