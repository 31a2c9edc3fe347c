"""Seccomp: the allow-list of system calls of a worker, building the filter, and loading it. Loaded inside the sandbox.

The trusted side builds the filter (`build_filter`, by libseccomp); a child loads it as its last layer (`enter_filter`).
A call that is not listed fails with EPERM, so calls that later kernels add are refused too. A call of another ABI
(int 0x80, x32) kills the worker.

What only `build_filter` needs is imported there, so that the fork server does not load it.
"""

import ctypes
import errno
import os
import socket
from typing import Any

from playground.sandbox.layers import linux

# Allowed with any arguments. libseccomp ignores names that an architecture lacks.
ALLOWED = (
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

# Refused with ENOSYS, so that libc falls back to an older call, which is refused too.
REFUSED_WITH_ENOSYS = ("clone3",)

# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC. Not F_SETFL nor FIONBIO: /dev/null is the same open file in every
# worker, and its flags would be a covert channel. Not F_SETOWN and F_SETSIG, which send signals; not TIOCSTI
# (CVE-2017-5226).
_FCNTL = (0, 1, 2, 3, 1030)
_IOCTL = (0x541B, 0x5450, 0x5451)  # FIONREAD, FIONCLEX, FIOCLEX
# Only clocks with an id from 0 to 15: a negative id is the processor clock of another process, and reveals that the
# process exists.
_CLOCKS = ("clock_gettime", "clock_getres", "clock_nanosleep")
_CLOCK_NUMBERS = 0xF
_SELF_ONLY = ("getpgid", "sched_getaffinity")  # only with pid 0; another pid would reveal which processes exist
# Wait and wake; not priority inheritance, which was exploited (CVE-2014-3153, CVE-2021-3347).
_FUTEX_OPERATIONS = (
    0,
    1,
    9,
    10,
)
_FUTEX_FLAGS = 128 | 256
# Read-ahead, release and huge pages; not page merging (MADV_MERGEABLE), a side channel between workers.
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
# SO_TYPE, SO_ERROR, SO_PROTOCOL, SO_DOMAIN, which Python reads of an inherited socket; not SO_PEERCRED
_SOCKET_OPTIONS = (3, 4, 38, 39)
_O_PATH = 0o10000000  # opens without the right to read, which Landlock does not restrict
_WRITING_FLAGS = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND | _O_PATH
_NO_SUCH_CALL = -1  # __NR_SCMP_ERROR
_MASK_32 = (1 << 32) - 1
_MASK_64 = (1 << 64) - 1
_SEND_FLAGS = 0x4000 | 0x40  # MSG_NOSIGNAL, MSG_DONTWAIT
_RECEIVE_FLAGS = 0x40 | 0x100 | 0x2  # MSG_DONTWAIT, MSG_WAITALL, MSG_PEEK
_MODE_FILTER = 2  # SECCOMP_MODE_FILTER
_INSTRUCTION_BYTES = 8
_INSTRUCTIONS_MAX = 4096  # BPF_MAXINSNS


class SeccompMissing(Exception):
    """This machine cannot build or load a filter; the message says what is missing."""


def build_filter(machine: int | None = None) -> bytes:
    """The filter as BPF code, for this machine's architecture or for another (an AUDIT_ARCH_… number).

    Raises SeccompMissing.
    """
    import mmap
    import tempfile

    try:
        import pyseccomp as lib  # type: ignore[import-untyped]
    except (ImportError, RuntimeError, OSError) as error:
        raise SeccompMissing(f"libseccomp cannot be loaded ({error}); install libseccomp2") from None

    rules = lib.SyscallFilter(lib.ERRNO(errno.EPERM))
    try:
        rules.set_attr(lib.Attr.ACT_BADARCH, lib.KILL_PROCESS)
    except OSError:
        # A kernel without KILL_PROCESS (gVisor): a worker has only one thread.
        rules.set_attr(lib.Attr.ACT_BADARCH, lib.KILL_THREAD)
    try:
        rules.set_attr(lib.Attr.CTL_OPTIMIZE, 2)  # a binary tree; libseccomp before 2.5 has only the list
    except OSError:
        pass
    if machine not in (None, lib.system_arch()):
        rules.add_arch(machine)
        rules.remove_arch(lib.system_arch())
    for name in ALLOWED:
        _add(lib, rules, lib.ALLOW, name)
    for name in REFUSED_WITH_ENOSYS:
        _add(lib, rules, lib.ERRNO(errno.ENOSYS), name)
    for command in _FCNTL:
        _add(lib, rules, lib.ALLOW, "fcntl", lib.Arg(1, lib.EQ, command))
    for request in _IOCTL:
        _add(lib, rules, lib.ALLOW, "ioctl", lib.Arg(1, lib.EQ, request))
    for option in _SOCKET_OPTIONS:
        _add(lib, rules, lib.ALLOW, "getsockopt", lib.Arg(1, lib.EQ, socket.SOL_SOCKET), lib.Arg(2, lib.EQ, option))
    # Files are opened for reading only.
    _add(lib, rules, lib.ALLOW, "openat", lib.Arg(2, lib.MASKED_EQ, _WRITING_FLAGS, os.O_RDONLY))
    _add(lib, rules, lib.ALLOW, "open", lib.Arg(1, lib.MASKED_EQ, _WRITING_FLAGS, os.O_RDONLY))
    # Memory that can be written is never executable; code comes from files only (an extension module of the standard
    # library).
    _add(lib, rules, lib.ALLOW, "mmap", lib.Arg(2, lib.MASKED_EQ, mmap.PROT_EXEC, 0))
    for protection in (mmap.PROT_EXEC, mmap.PROT_READ | mmap.PROT_EXEC):
        _add(
            lib,
            rules,
            lib.ALLOW,
            "mmap",
            lib.Arg(2, lib.MASKED_EQ, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC, protection),
            lib.Arg(3, lib.MASKED_EQ, mmap.MAP_ANONYMOUS | mmap.MAP_SHARED, 0),
        )
    _add(lib, rules, lib.ALLOW, "mprotect", lib.Arg(2, lib.MASKED_EQ, mmap.PROT_EXEC, 0))
    # The channel and the event loop's wakeup pipe, both connected: never with an address, never out of band
    # (CVE-2025-38236).
    _add(lib, rules, lib.ALLOW, "sendto", lib.Arg(3, lib.MASKED_EQ, _MASK_32 & ~_SEND_FLAGS, 0), lib.Arg(4, lib.EQ, 0))
    _add(lib, rules, lib.ALLOW, "recvfrom", lib.Arg(3, lib.MASKED_EQ, _MASK_32 & ~_RECEIVE_FLAGS, 0))
    for name in _CLOCKS:
        _add(lib, rules, lib.ALLOW, name, lib.Arg(0, lib.MASKED_EQ, _MASK_64 & ~_CLOCK_NUMBERS, 0))
    for operation in _FUTEX_OPERATIONS:
        _add(lib, rules, lib.ALLOW, "futex", lib.Arg(1, lib.MASKED_EQ, _MASK_64 & ~_FUTEX_FLAGS, operation))
    for advice in _ADVICE:
        _add(lib, rules, lib.ALLOW, "madvise", lib.Arg(2, lib.EQ, advice))
    # Limits, group and affinity: of this process only, and read only.
    for name in _SELF_ONLY:
        _add(lib, rules, lib.ALLOW, name, lib.Arg(0, lib.EQ, 0))
    _add(lib, rules, lib.ALLOW, "prlimit64", lib.Arg(0, lib.EQ, 0), lib.Arg(2, lib.EQ, 0))

    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        code = file.read()
    assert 0 < len(code) <= _INSTRUCTIONS_MAX * _INSTRUCTION_BYTES, "the kernel accepts a filter of this length"
    return code


def _add(lib: Any, rules: Any, action: int, name: str, *conditions: Any) -> None:
    if lib.resolve_syscall(lib.system_arch(), name) == _NO_SUCH_CALL:
        return  # a call unknown to an older libseccomp stays refused
    try:
        rules.add_rule(action, name, *conditions)
    except OSError as error:
        if error.errno != errno.EDOM:  # this architecture has no such call
            raise


class Program(ctypes.Structure):
    """A filter in the form of the kernel (struct sock_fprog)."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    code: ctypes.Array[ctypes.c_char]


def filter_program(code: bytes) -> Program:
    """Prepare a filter from BPF code, in the fork server, so that a child has only to load it."""
    assert code and len(code) % _INSTRUCTION_BYTES == 0, "a filter is whole instructions"
    buffer = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // _INSTRUCTION_BYTES, ctypes.addressof(buffer))
    program.code = buffer
    return program


def enter_filter(program: Program) -> None:
    """Load a filter in this process, for good. Needs no_new_privs. Raises OSError."""
    linux.prctl(linux.PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program))
