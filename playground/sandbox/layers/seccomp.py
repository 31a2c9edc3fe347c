"""Load the system-call filter, the last thing before a child is locked.

What it allows is in `syscalls.py`. Seen inside the sandbox.
"""

import ctypes

from playground.sandbox.layers import linux

_MODE_FILTER = 2
_INSTRUCTION = 8  # bytes


class Program(ctypes.Structure):
    """A filter as the kernel takes it (struct sock_fprog)."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    code: ctypes.Array[ctypes.c_char]


def program(code: bytes) -> Program:
    """A filter (BPF code) made ready, so that a child has only to enter it."""
    held = ctypes.create_string_buffer(code, len(code))
    made = Program(len(code) // _INSTRUCTION, ctypes.addressof(held))
    made.code = held
    return made


def enter(made: Program) -> None:
    """Put this process under a filter, for good. Needs no_new_privs. Raises OSError."""
    linux.prctl(linux.PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(made))
