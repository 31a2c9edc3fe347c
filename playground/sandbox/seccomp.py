"""Load the system-call filter, the last thing before a child is locked. What it allows is in `syscalls.py`. Seen inside the sandbox."""

import ctypes

from playground.sandbox import linux

_MODE_FILTER = 2
_INSTRUCTION = 8  # bytes


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def enter(program: bytes) -> None:
    """Put this process under a filter (BPF code), for good. Needs no_new_privs. Raises OSError."""
    code = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // _INSTRUCTION, ctypes.addressof(code))
    linux.prctl(linux.PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(header))
