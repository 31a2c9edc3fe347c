"""The few Linux calls that Python has no function for, by ctypes. Seen inside the sandbox."""

import ctypes
import os
import sys
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
SIGKILL = 9
# The fork server's whole environment: libraries are linked whole, not bit by bit in each child; and strings have one
# hash everywhere, so that a set has the same order in every execution of a workflow, whichever fork server its worker
# comes from.
ENVIRONMENT = {"LD_BIND_NOW": "1", "PYTHONHASHSEED": "0"}

HERE = sys.platform == "linux"  # elsewhere nothing of this may be called

_libc = ctypes.CDLL(None, use_errno=True)
if HERE:
    _libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
    _libc.syscall.restype = ctypes.c_long
    # Looked up once: a child that does it copies pages for it.
    _prctl, _syscall, _capset = (
        _libc.prctl,
        _libc.syscall,
        _libc.capset,
    )
_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)  # capabilities, version 3, of this process
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()


def prctl(option: int, argument: int = 0, address: Any = None) -> int:
    """Call the kernel's prctl. Raises OSError."""
    result: int = _prctl(option, argument, address, 0, 0)
    return result if result >= 0 else _refused(f"prctl {option}")


def syscall(number: int, *arguments: Any) -> int:
    """A system call by its number. Raises OSError."""
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = _syscall(ctypes.c_long(number), *words)
    return result if result >= 0 else _refused(f"system call {number}")


def drop_capabilities() -> None:
    """Give up every capability of this process. Raises OSError."""
    if _capset(_HEADER, _NO_CAPABILITIES) < 0:
        _refused("capset")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends. Undone by a change of user, so asked again after one."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)


def has_pidfds() -> bool:
    """Whether this kernel gives handles of processes: Linux since 5.3; gVisor not before 2025, nor anything that is no
    Linux.
    """
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _refused(what: str) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")
