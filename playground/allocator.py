"""How the server's memory is kept, where the C library is glibc: one heap for all threads, and large buffers straight
from the machine and back to it.

Without it each thread has a heap of its own with holes of its own, and a large buffer that is freed makes the next ones
come out of the heaps (mallopt(3)). Three quarters of a minute of hostile tenants left 65 MB, and 104 at the height;
with it 50 and 62.
"""

import ctypes
import sys

MAPPED_BYTES = 256 * 1024  # from here up a buffer is mapped by itself
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8


def settle() -> None:
    """Call it once, before there are threads."""
    setting = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if setting is not None:
        setting(_ARENA_MAX, 1)
        setting(_MMAP_THRESHOLD, MAPPED_BYTES)
