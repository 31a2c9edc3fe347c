"""Landlock: a worker reads only visible files, has no TCP, and may signal nobody. Loaded inside the sandbox.

Layout and numbers: linux/landlock.h (ABI 1 files, 4 TCP, 6 signals and abstract sockets, 7 audit flags).
"""

import ctypes
import os
from collections.abc import Iterable

from playground.sandbox.layers import linux

WANTED_ABI = 6

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_CREATE_VERSION = 1
_RULE_PATH = 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_LOG_OFF = 1  # LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF: refused attempts must not flood the host's audit log
# Every file right that the ABI knows.
_FILES_BY_ABI = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    5: (1 << 16) - 1,
}
_TCP = 0b11
_SCOPES = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def abi() -> int:
    """The kernel's Landlock ABI; 0 without Landlock, or when it is disabled."""
    if not linux.HERE:
        return 0
    try:
        return linux.syscall(_CREATE, None, 0, _CREATE_VERSION)
    except OSError:
        return 0


def build_ruleset(readable: Iterable[str], listable: Iterable[str] = ()) -> tuple[int, int]:
    """Build a ruleset that allows reading files below `readable` and listing directories below `listable`, only.

    Returns its file descriptor, and the flags for `restrict_self`. Raises OSError.
    """
    level = abi()
    files = _FILES_BY_ABI[max(known for known in _FILES_BY_ABI if known <= level)] if level else 0
    rules = _Ruleset(files, _TCP if level >= 4 else 0, _SCOPES if level >= 6 else 0)
    size = 24 if level >= 6 else 16 if level >= 4 else 8
    ruleset = linux.syscall(_CREATE, ctypes.byref(rules), size, 0)
    for path in readable:
        _allow(ruleset, path, _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE)
    for path in listable:
        _allow(ruleset, path, _READ_DIR)
    return ruleset, _LOG_OFF if level >= 7 else 0


def restrict_self(ruleset: int, flags: int) -> None:
    """Restrict this process by a ruleset, for good. Needs no_new_privs. Raises OSError."""
    linux.syscall(_RESTRICT, ruleset, flags)


def _allow(ruleset: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        linux.syscall(_ADD_RULE, ruleset, _RULE_PATH, ctypes.byref(_PathRule(rights, handle)), 0)
    finally:
        os.close(handle)
