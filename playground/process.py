"""How many files and connections this process may have open: raised to what it may be, refused where that is too
little, and watched.

A process that has none left accepts no connection and says nothing: its clients wait.

How the server's memory is kept, where the C library is glibc: one heap for all threads, and large buffers straight
from the machine and back to it.

Without it each thread has a heap of its own with holes of its own, and a large buffer that is freed makes the next ones
come out of the heaps (mallopt(3)). Three quarters of a minute of hostile tenants left 65 MB, and 104 at the height;
with it 50 and 62.
"""

import asyncio
import ctypes
import os
import resource
import sys
from collections.abc import Callable

MAPPED_BYTES = 256 * 1024  # from here up a buffer is mapped by itself
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8


def settle() -> None:
    """Call it once, before there are threads."""
    setting = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if setting is not None:
        setting(_ARENA_MAX, 1)
        setting(_MMAP_THRESHOLD, MAPPED_BYTES)


LEAST = 256  # a server that has 30 files open, and room for some workers and clients
NEARLY = 0.9  # of the limit
LOOK_SECONDS = 10.0
OPEN = "/proc/self/fd"


class TooFew(Exception):
    """This process may open too few files; the message is one line that says what to do."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one; gives what it is then. Raises TooFew."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # some systems let nobody have as many as they say
            pass
    if soft != resource.RLIM_INFINITY and soft < LEAST:
        raise TooFew(f"this process may have {soft} files and connections open, and takes at least {LEAST}; "
                     "do `ulimit -n 4096` before it, or set LimitNOFILE= in its unit")  # fmt: skip
    return soft


def limit() -> int:
    """How many may be open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def in_use() -> int:
    """How many are open now; 0 where the system does not tell."""
    try:
        return len(os.listdir(OPEN))
    except FileNotFoundError:
        return 0
    except OSError:  # there is none left to look with
        return limit()


def nearly_all() -> bool:
    """Whether few are left."""
    return limit() != resource.RLIM_INFINITY and in_use() >= limit() * NEARLY


async def watch(log: Callable[..., None], seconds: float = LOOK_SECONDS) -> None:
    """Say on a line of the log when few are left, for ever."""
    while True:
        if nearly_all():
            log("descriptors_low", open=in_use(), most=limit())
        await asyncio.sleep(seconds)
