"""The system-call filter of both architectures, call by call: its code is run here, on whatever machine the tests run.

That the kernel obeys it is what test_sandbox_escapes.py shows, on the architecture of this machine.
"""

import errno
import mmap
import os
import platform
import socket
import time
from functools import cache

import pyseccomp
import pytest
from bpf_support import ALLOW, ERRNO, KILL_PROCESS, Filter

from playground.sandbox.layers import seccomp

X86_64, AARCH64 = pyseccomp.Arch.X86_64, pyseccomp.Arch.AARCH64
MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}
REFUSED = ERRNO | errno.EPERM
UNKNOWN = ERRNO | errno.ENOSYS
X32 = 0x40000000
NUMBERS = range(1_200)  # no architecture has more

# Calls of the list that an architecture never had: newer ones take their place there (openat, newfstatat, ppoll,
# pselect6, epoll_pwait, dup3 …).
ABSENT = {
    "x86_64": {"fstatat64"},
    "aarch64": {
        *(
            "dup2",
            "fstatat64",
            "stat",
            "lstat",
            "access",
            "readlink",
            "epoll_wait",
            "poll",
            "select",
            "time",
            "getpgrp",
            "open",
        ),
    },
}
# Allowed with some arguments only; see CASES.
SOMETIMES = (
    *(
        "fcntl",
        "ioctl",
        "getsockopt",
        "openat",
        "open",
        "mmap",
        "mprotect",
        "madvise",
        "sendto",
        "recvfrom",
        "prlimit64",
    ),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "futex", "getpgid", "sched_getaffinity"),
)

DANGEROUS = (
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendmsg", "recvmsg", "sendmmsg",
    "recvmmsg", "setsockopt", "fork", "vfork", "clone", "execve", "execveat", "kill", "tkill", "tgkill", "pidfd_open",
    "pidfd_send_signal", "pidfd_getfd", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
    "memfd_create", "memfd_secret", "prctl", "arch_prctl", "seccomp", "setrlimit",
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "bpf", "perf_event_open", "userfaultfd",
    "io_uring_setup", "io_setup",
    "keyctl", "add_key", "request_key", "setuid", "setresuid", "setgroups", "capset", "personality",
    "open_by_handle_at", "name_to_handle_at", "shmget", "msgget", "semget", "mq_open", "inotify_init1",
    "fanotify_init", "eventfd2", "timerfd_create", "signalfd4", "pipe2", "openat2", "unlinkat", "renameat2", "mkdirat",
    "linkat", "symlinkat", "fchmodat", "fchownat", "ftruncate", "fallocate", "copy_file_range", "splice",
    "init_module", "finit_module", "kexec_load", "reboot", "sethostname", "syslog", "quotactl", "swapon", "acct",
    "modify_ldt", "pkey_mprotect", "remap_file_pages", "landlock_create_ruleset", "sched_setscheduler",
    "sched_setaffinity", "setpriority", "setsid", "chdir", "vmsplice", "sysinfo", "statfs", "fstatfs", "getsid",
    "getpriority", "sched_getscheduler", "mincore", "futex_waitv", "set_robust_list", "rseq",
)  # fmt: skip

READ, WRITE, EXEC = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC
PRIVATE, SHARED, ANONYMOUS = mmap.MAP_PRIVATE, mmap.MAP_SHARED, mmap.MAP_ANONYMOUS
HIGH = 1 << 32  # bits that the kernel does not look at in an int

CASES: dict[str, tuple[str, tuple[int, ...], int]] = {
    "read a file": ("openat", (0, 0, os.O_RDONLY | os.O_CLOEXEC), ALLOW),
    "list a directory": ("openat", (0, 0, os.O_RDONLY | os.O_DIRECTORY), ALLOW),
    "write a file": ("openat", (0, 0, os.O_WRONLY), REFUSED),
    "read and write a file": ("openat", (0, 0, os.O_RDWR), REFUSED),
    "make a file": ("openat", (0, 0, os.O_RDONLY | os.O_CREAT), REFUSED),
    "empty a file": ("openat", (0, 0, os.O_RDONLY | os.O_TRUNC), REFUSED),
    "a handle of a path": ("openat", (0, 0, 0o10000000), REFUSED),
    "the fourth way to open": ("openat", (0, 0, 3), REFUSED),
    "write a file, with high bits": ("openat", (0, 0, HIGH | os.O_WRONLY), REFUSED),
    "get memory": ("mmap", (0, 4096, READ | WRITE, PRIVATE | ANONYMOUS), ALLOW),
    "share memory": ("mmap", (0, 4096, READ | WRITE, SHARED | ANONYMOUS), ALLOW),
    "map code from a file": ("mmap", (0, 4096, READ | EXEC, PRIVATE), ALLOW),
    "map writable code": ("mmap", (0, 4096, READ | WRITE | EXEC, PRIVATE), REFUSED),
    "map code from nowhere": ("mmap", (0, 4096, READ | EXEC, PRIVATE | ANONYMOUS), REFUSED),
    "map code that another can write": ("mmap", (0, 4096, READ | EXEC, SHARED), REFUSED),
    "map code from nowhere, with high bits": ("mmap", (0, 4096, HIGH | READ | EXEC, PRIVATE | ANONYMOUS), REFUSED),
    "protect memory": ("mprotect", (0, 4096, READ), ALLOW),
    "make memory executable": ("mprotect", (0, 4096, READ | EXEC), REFUSED),
    "make memory executable only": ("mprotect", (0, 4096, EXEC), REFUSED),
    "make memory executable, with high bits": ("mprotect", (0, 4096, HIGH | EXEC), REFUSED),
    "say something": ("sendto", (3, 0, 9, socket.MSG_NOSIGNAL, 0, 0), ALLOW),
    "say something to an address": ("sendto", (3, 0, 9, 0, 0x7F00, 16), REFUSED),
    "say something to an address far up": ("sendto", (3, 0, 9, 0, 0x7F00_0000_0000, 16), REFUSED),
    "say something out of band": ("sendto", (3, 0, 1, socket.MSG_OOB, 0, 0), REFUSED),
    "hear something": ("recvfrom", (3, 0, 9, socket.MSG_WAITALL), ALLOW),
    "hear something out of band": ("recvfrom", (3, 0, 1, socket.MSG_OOB), REFUSED),
    "hear of errors": ("recvfrom", (3, 0, 1, socket.MSG_ERRQUEUE), REFUSED),
    "duplicate a descriptor": ("fcntl", (3, 0), ALLOW),
    "have the kernel signal": ("fcntl", (3, 8), REFUSED),
    "choose the signal": ("fcntl", (3, 10), REFUSED),
    "lock a file": ("fcntl", (3, 6), REFUSED),
    "lease a file": ("fcntl", (3, 1024), REFUSED),
    "leave a word in the flags of what is shared": ("fcntl", (0, 4, os.O_APPEND), REFUSED),
    "leave a word there another way": ("ioctl", (0, 0x5421, 1), REFUSED),
    "the time": ("clock_gettime", (time.CLOCK_MONOTONIC,), ALLOW),
    "its own processor time": ("clock_gettime", (time.CLOCK_THREAD_CPUTIME_ID,), ALLOW),
    "another's processor time": ("clock_gettime", (~1 << 3 | 2,), REFUSED),
    "another's processor time, as an int": ("clock_gettime", ((~1 << 3 | 2) % HIGH,), REFUSED),
    "whether there is another": ("clock_getres", (~2 << 3 | 2,), REFUSED),
    "sleep": ("clock_nanosleep", (time.CLOCK_MONOTONIC, 1), ALLOW),
    "sleep until another has computed": ("clock_nanosleep", (~2 << 3 | 2, 0), REFUSED),
    "its own group": ("getpgid", (0,), ALLOW),
    "another's group": ("getpgid", (2,), REFUSED),
    "its own cores": ("sched_getaffinity", (0, 128), ALLOW),
    "another's cores": ("sched_getaffinity", (2, 128), REFUSED),
    "wait for a lock": ("futex", (0x7F00, 9 | 128 | 256), ALLOW),
    "let go of a lock": ("futex", (0x7F00, 1 | 128), ALLOW),
    "lend a lock its priority": ("futex", (0x7F00, 6 | 128), REFUSED),
    "move waiters to another lock": ("futex", (0x7F00, 12 | 128), REFUSED),
    "give memory back": ("madvise", (0, 4096, mmap.MADV_DONTNEED), ALLOW),
    "merge pages with those of others": ("madvise", (0, 4096, mmap.MADV_MERGEABLE), REFUSED),
    "break a page": ("madvise", (0, 4096, 100), REFUSED),
    "how much can be read": ("ioctl", (3, 0x541B), ALLOW),
    "type into the terminal": ("ioctl", (0, 0x5412), REFUSED),
    "type into the terminal, with high bits": ("ioctl", (0, HIGH | 0x5412), REFUSED),
    "what kind of socket": ("getsockopt", (3, socket.SOL_SOCKET, socket.SO_TYPE), ALLOW),
    "who is at the other end": ("getsockopt", (3, socket.SOL_SOCKET, socket.SO_PEERCRED), REFUSED),
    "an option of another level": ("getsockopt", (3, 6, socket.SO_TYPE), REFUSED),
    "read a limit": ("prlimit64", (0, 7, 0, 0x7F00), ALLOW),
    "set a limit": ("prlimit64", (0, 7, 0x7F00, 0), REFUSED),
    "read another's limit": ("prlimit64", (1, 7, 0, 0x7F00), REFUSED),
    "a thread": ("clone", (0x3D0F00,), REFUSED),
    "a child": ("clone", (17,), REFUSED),
    "a child, the new way": ("clone3", (0x7F00, 88), UNKNOWN),
}


@cache
def filter_of(machine: str) -> Filter:
    return Filter(seccomp.build_filter(MACHINES[machine]))


def number(machine: str, name: str) -> int:
    return int(pyseccomp.resolve_syscall(MACHINES[machine], name))


def present(machine: str, names: tuple[str, ...]) -> set[int]:
    """The numbers of those calls that an architecture has."""
    return {at for at in (number(machine, name) for name in names) if at >= 0}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_name_of_the_list_is_a_call_or_known_to_be_none_there(machine: str) -> None:
    absent = {
        name for name in (*seccomp.ALLOWED, *seccomp.REFUSED_WITH_ENOSYS, *SOMETIMES) if number(machine, name) < 0
    }
    assert absent == ABSENT[machine]


@pytest.mark.parametrize("machine", MACHINES)
def test_exactly_the_list_is_allowed(machine: str) -> None:
    """Every number there is, with arguments of no meaning: what is not named is refused, and calls of a later kernel
    too.
    """
    said = {at: filter_of(machine)(MACHINES[machine], at, (-1, -1, -1, -1, -1, -1)) for at in NUMBERS}
    assert {at for at, verdict in said.items() if verdict == ALLOW} == present(machine, seccomp.ALLOWED)
    assert {at for at, verdict in said.items() if verdict == UNKNOWN} == present(machine, seccomp.REFUSED_WITH_ENOSYS)
    assert {verdict for verdict in said.values()} == {ALLOW, UNKNOWN, REFUSED}
    with_nothing = {at for at in NUMBERS if filter_of(machine)(MACHINES[machine], at) == ALLOW}
    assert with_nothing <= present(machine, (*seccomp.ALLOWED, *SOMETIMES))


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("case", CASES)
def test_a_call_is_judged_by_its_arguments(machine: str, case: str) -> None:
    name, arguments, verdict = CASES[case]
    assert filter_of(machine)(MACHINES[machine], number(machine, name), arguments) == verdict


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_dangerous_is_refused_whatever_its_arguments(machine: str) -> None:
    for name in DANGEROUS:
        at = number(machine, name)
        assert at != -1, f"{name} is no call that libseccomp knows"
        for arguments in ((), (-1,) * 6, (3, 1, 0, 0, 0, 0), (0, 3, 0, 0, 0, 0)):
            assert at < 0 or filter_of(machine)(MACHINES[machine], at, arguments) == REFUSED, name


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_of_another_architecture_kills(machine: str) -> None:
    judge = filter_of(machine)
    for other in {X86_64, AARCH64, pyseccomp.Arch.X86, pyseccomp.Arch.ARM, pyseccomp.Arch.RISCV64, 0} - {
        MACHINES[machine]
    }:
        assert {judge(other, at) for at in NUMBERS} == {KILL_PROCESS}


def test_a_call_of_x32_kills() -> None:
    judge = filter_of("x86_64")
    assert {judge(X86_64, X32 + at) for at in NUMBERS} == {KILL_PROCESS}
    assert {judge(X86_64, at) for at in (1 << 31, (1 << 32) - 2)} == {KILL_PROCESS}
    assert judge(X86_64, -1) == REFUSED  # what a tracer leaves of a call it has skipped


def test_a_number_past_any_is_refused_on_aarch64() -> None:
    """It has no second ABI of its own whose calls could come under the same architecture."""
    judge = filter_of("aarch64")
    assert {judge(AARCH64, X32 + at) for at in NUMBERS} == {REFUSED}
    assert {judge(AARCH64, at) for at in (-1, 1 << 31, (1 << 32) - 1)} == {REFUSED}


@pytest.mark.skipif(platform.machine() not in MACHINES, reason="neither architecture")
def test_the_filter_of_this_machine_is_the_one_that_workers_are_put_under() -> None:
    assert seccomp.build_filter() == seccomp.build_filter(MACHINES[platform.machine()])


def test_no_constant_of_the_filter_differs_between_the_architectures() -> None:
    """Flags of openat differ in a few bits (O_DIRECTORY, O_NOFOLLOW, O_DIRECT, O_LARGEFILE on arm); none of those is
    looked at.
    """
    looked_at = seccomp._WRITING_FLAGS
    arm = {"O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000, "O_DIRECT": 0o200000, "O_LARGEFILE": 0o400000}
    assert all(not looked_at & bit for bit in arm.values())
    # O_ACCMODE, O_CREAT, O_TRUNC, O_APPEND, O_PATH, the same in linux/fcntl.h of both.
    assert looked_at == 0o3 | 0o100 | 0o1000 | 0o2000 | 0o10000000
