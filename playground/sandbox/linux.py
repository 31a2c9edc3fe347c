"""The few Linux calls that Python has no function for, by ctypes. Seen inside the sandbox."""

import ctypes
import os
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
SIGKILL = 9

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, argument: Any = 0, address: Any = 0) -> int:
    """prctl(2). Raises OSError."""
    result = _libc.prctl(ctypes.c_int(option), *(_word(value) for value in (argument, address, 0, 0)))
    return _checked(result, f"prctl {option}")


def syscall(number: int, *arguments: Any) -> int:
    """A system call by its number. Raises OSError."""
    return _checked(_libc.syscall(ctypes.c_long(number), *(_word(value) for value in arguments)), f"system call {number}")


def drop_capabilities() -> None:
    """Give up every capability of this process. Raises OSError."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends. Undone by a change of user, so asked again after one."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)


def _word(value: Any) -> Any:
    return ctypes.c_long(value) if isinstance(value, int) else value


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
