"""Memory that is held only for speed goes back to the machine: what SQLite caches, and what the C library (where it is
glibc) keeps free.
"""

import ctypes
import sqlite3
import sys

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def shrink(db: sqlite3.Connection) -> None:
    """Takes some milliseconds, while the rest of the interpreter runs on."""
    db.execute("PRAGMA shrink_memory")
    if _trim is not None:
        _trim(ctypes.c_size_t(0))
