"""Load the system-call filter of `syscalls.py`, the last layer of a child. Loaded inside the sandbox."""

import ctypes

from playground.sandbox.layers import linux

_MODE_FILTER = 2
_INSTRUCTION_BYTES = 8  # bytes


class Program(ctypes.Structure):
    """A filter in the form of the kernel (struct sock_fprog)."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    code: ctypes.Array[ctypes.c_char]


def filter_program(code: bytes) -> Program:
    """Prepare a filter from BPF code, in the fork server, so that a child has only to load it."""
    buffer = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // _INSTRUCTION_BYTES, ctypes.addressof(buffer))
    program.code = buffer
    return program


def enter_filter(program: Program) -> None:
    """Load a filter in this process, for good. Needs no_new_privs. Raises OSError."""
    linux.prctl(linux.PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program))
