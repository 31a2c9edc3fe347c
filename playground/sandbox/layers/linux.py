"""Linux system calls that Python has no function for, by ctypes. Loaded inside the sandbox."""

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
# The fork server's whole environment. Libraries are linked at load, not lazily in each child. Strings have a fixed
# hash, so that a set has the same order in every execution of a workflow, whichever fork server its worker comes from.
ENVIRONMENT = {"LD_BIND_NOW": "1", "PYTHONHASHSEED": "0"}

HERE = sys.platform == "linux"  # elsewhere no function of this module may be called

_libc = ctypes.CDLL(None, use_errno=True)
if HERE:
    _libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
    _libc.syscall.restype = ctypes.c_long
    # Looked up once: in a child the lookup would copy pages.
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
    return result if result >= 0 else _raise_errno(f"prctl {option}")


def syscall(number: int, *arguments: Any) -> int:
    """A system call by number. Raises OSError."""
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = _syscall(ctypes.c_long(number), *converted)
    return result if result >= 0 else _raise_errno(f"system call {number}")


def drop_capabilities() -> None:
    """Drop every capability of this process. Raises OSError."""
    if _capset(_HEADER, _NO_CAPABILITIES) < 0:
        _raise_errno("capset")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent exits. A change of user clears this."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)


def has_pidfds() -> bool:
    """Whether this kernel has pidfds: Linux since 5.3, gVisor since 2025 at the earliest, no other system."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _raise_errno(what: str) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")
