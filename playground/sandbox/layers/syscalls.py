"""The system calls a worker may make, as a filter for `seccomp.py` to load.

Built on the trusted side by libseccomp, for any architecture.

An allow-list: what is not named here is refused with EPERM, so a call that a later kernel adds is refused too. A call
of another ABI (int 0x80, x32) kills the worker.
"""

import errno
import mmap
import os
import socket
import tempfile
from typing import Any

# Allowed with any arguments. A name that an architecture lacks is passed over by libseccomp.
FREE = (
    "brk", "munmap", "mremap",
    "read", "readv", "pread64", "write", "writev", "lseek", "close", "dup", "dup2", "dup3",
    "fstat", "newfstatat", "fstatat64", "stat", "lstat", "statx", "access", "faccessat", "faccessat2",
    "getdents64", "readlink", "readlinkat", "getcwd",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6",
    "getsockname",
    "nanosleep", "gettimeofday", "time",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "rt_sigpending", "restart_syscall",
    "exit", "exit_group", "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid",
    "getpgrp", "uname",
    "getrusage", "times", "getrlimit", "sched_yield", "getcpu", "getrandom",
)  # fmt: skip

# Refused with "no such call", so that libc falls back to an older call, which is refused too.
UNKNOWN = ("clone3",)

# dup, a descriptor's own flags, and to look at those of what is open. Not F_SETFL nor FIONBIO: /dev/null is the same
# open file in every worker, and its flags would be a word from one to another. Not F_SETOWN and F_SETSIG, which send
# signals; not TIOCSTI (CVE-2017-5226).
_FCNTL = (0, 1, 2, 3, 1030)
_IOCTL = (0x541B, 0x5450, 0x5451)  # FIONREAD, FIONCLEX, FIOCLEX
# Clocks by a number of their own. One below nothing counts another process's processor time, and tells that there is
# such a process.
_CLOCKS = ("clock_gettime", "clock_getres", "clock_nanosleep")
_CLOCK_NUMBERS = 0xF
_OF_ONESELF = ("getpgid", "sched_getaffinity")  # asked with 0; with a number they tell which processes there are
# Wait and wake; not the inheriting of priorities, which kernels were broken through (CVE-2014-3153, CVE-2021-3347).
_FUTEX = (
    0,
    1,
    9,
    10,
)
_FUTEX_FLAGS = 128 | 256
# What to read ahead, give back or hold in large pages; not to merge pages with those of others.
_ADVICE = (
    0,
    1,
    2,
    3,
    4,
    8,
    14,
    15,
)
# SO_TYPE, SO_ERROR, SO_PROTOCOL, SO_DOMAIN: what Python asks of a socket it is given; not SO_PEERCRED
_SOCKET_FACTS = (3, 4, 38, 39)
_O_PATH = 0o10000000  # a handle without the right to read, which Landlock lets pass
_NOT_FOR_READING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND | _O_PATH
_UNKNOWN_NAME = -1  # __NR_SCMP_ERROR
_ALL = (1 << 32) - 1
_WHOLE = (1 << 64) - 1
_SEND_FLAGS = 0x4000 | 0x40  # MSG_NOSIGNAL, MSG_DONTWAIT
_RECEIVE_FLAGS = 0x40 | 0x100 | 0x2  # MSG_DONTWAIT, MSG_WAITALL, MSG_PEEK
_PROT_READ_WRITE_EXEC = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC


class SeccompMissing(Exception):
    """This machine cannot build or load a filter; the message says what is missing."""


def program(machine: int | None = None) -> bytes:
    """The filter as BPF code, for this machine's architecture or for another (an AUDIT_ARCH_… number).

    Raises SeccompMissing.
    """
    try:
        import pyseccomp as lib  # type: ignore[import-untyped]
    except (ImportError, RuntimeError, OSError) as error:
        raise SeccompMissing(f"libseccomp cannot be loaded ({error}); install libseccomp2") from None

    rules = lib.SyscallFilter(lib.ERRNO(errno.EPERM))
    try:
        rules.set_attr(lib.Attr.ACT_BADARCH, lib.KILL_PROCESS)
    except OSError:
        # A kernel that cannot say so (gVisor): a worker's one thread is all of it.
        rules.set_attr(lib.Attr.ACT_BADARCH, lib.KILL_THREAD)
    try:
        rules.set_attr(lib.Attr.CTL_OPTIMIZE, 2)  # a binary tree; libseccomp before 2.5 has only the list
    except OSError:
        pass
    if machine not in (None, lib.system_arch()):
        rules.add_arch(machine)
        rules.remove_arch(lib.system_arch())
    for name in FREE:
        _add(lib, rules, lib.ALLOW, name)
    for name in UNKNOWN:
        _add(lib, rules, lib.ERRNO(errno.ENOSYS), name)
    for command in _FCNTL:
        _add(lib, rules, lib.ALLOW, "fcntl", lib.Arg(1, lib.EQ, command))
    for request in _IOCTL:
        _add(lib, rules, lib.ALLOW, "ioctl", lib.Arg(1, lib.EQ, request))
    for option in _SOCKET_FACTS:
        _add(lib, rules, lib.ALLOW, "getsockopt", lib.Arg(1, lib.EQ, socket.SOL_SOCKET), lib.Arg(2, lib.EQ, option))
    # Files are opened for reading only.
    _add(lib, rules, lib.ALLOW, "openat", lib.Arg(2, lib.MASKED_EQ, _NOT_FOR_READING, os.O_RDONLY))
    _add(lib, rules, lib.ALLOW, "open", lib.Arg(1, lib.MASKED_EQ, _NOT_FOR_READING, os.O_RDONLY))
    # Memory that can be written is never executable; code comes from files only (an extension module of the standard
    # library).
    _add(lib, rules, lib.ALLOW, "mmap", lib.Arg(2, lib.MASKED_EQ, mmap.PROT_EXEC, 0))
    for protection in (mmap.PROT_EXEC, mmap.PROT_READ | mmap.PROT_EXEC):
        _add(
            lib,
            rules,
            lib.ALLOW,
            "mmap",
            lib.Arg(2, lib.MASKED_EQ, _PROT_READ_WRITE_EXEC, protection),
            lib.Arg(3, lib.MASKED_EQ, mmap.MAP_ANONYMOUS | mmap.MAP_SHARED, 0),
        )
    _add(lib, rules, lib.ALLOW, "mprotect", lib.Arg(2, lib.MASKED_EQ, mmap.PROT_EXEC, 0))
    # The channel and the event loop's pipe to itself, both connected: never with an address, never out of band
    # (CVE-2025-38236).
    _add(lib, rules, lib.ALLOW, "sendto", lib.Arg(3, lib.MASKED_EQ, _ALL & ~_SEND_FLAGS, 0), lib.Arg(4, lib.EQ, 0))
    _add(lib, rules, lib.ALLOW, "recvfrom", lib.Arg(3, lib.MASKED_EQ, _ALL & ~_RECEIVE_FLAGS, 0))
    for name in _CLOCKS:
        _add(lib, rules, lib.ALLOW, name, lib.Arg(0, lib.MASKED_EQ, _WHOLE & ~_CLOCK_NUMBERS, 0))
    for operation in _FUTEX:
        _add(lib, rules, lib.ALLOW, "futex", lib.Arg(1, lib.MASKED_EQ, _WHOLE & ~_FUTEX_FLAGS, operation))
    for advice in _ADVICE:
        _add(lib, rules, lib.ALLOW, "madvise", lib.Arg(2, lib.EQ, advice))
    # Limits, group and affinity: read one's own, change none.
    for name in _OF_ONESELF:
        _add(lib, rules, lib.ALLOW, name, lib.Arg(0, lib.EQ, 0))
    _add(lib, rules, lib.ALLOW, "prlimit64", lib.Arg(0, lib.EQ, 0), lib.Arg(2, lib.EQ, 0))

    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _add(lib: Any, rules: Any, action: int, name: str, *conditions: Any) -> None:
    if lib.resolve_syscall(lib.system_arch(), name) == _UNKNOWN_NAME:
        return  # a call that this libseccomp is too old to know stays refused
    try:
        rules.add_rule(action, name, *conditions)
    except OSError as error:
        if error.errno != errno.EDOM:  # how it says that this architecture has no such call
            raise
