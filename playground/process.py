"""The limits of the server's process: its heap, and how many file descriptors it may have open.

The heap, where the C library is glibc: one arena for all threads, and large buffers mapped from the system and returned
to it. By default each thread has an arena with holes of its own, and a large buffer that is freed raises the threshold,
so that the next ones come from the arenas (mallopt(3)). Measured with 45 seconds of hostile tenants: 65 MB afterwards
and 104 at the peak by default, 50 and 62 so.

Descriptors: the soft limit is raised to the hard one; too low a limit is refused, and a shortage is logged. A process
that has none left accepts no connection and reports no error: its clients wait.
"""

import asyncio
import ctypes
import os
import resource
import sys
from collections.abc import Callable

MAPPED_BYTES = 256 * 1024  # buffers of at least so many bytes are mapped
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8


def limit_malloc_arenas() -> None:
    """Set up glibc's malloc; call it once, before there are threads."""
    setting = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if setting is not None:
        setting(_ARENA_MAX, 1)
        setting(_MMAP_THRESHOLD, MAPPED_BYTES)


MIN_DESCRIPTORS = 256  # 30 that a server has open, and some for workers and clients
LOW_SHARE = 0.9  # of the limit
CHECK_SECONDS = 10.0
DESCRIPTOR_FOLDER = "/proc/self/fd"


class TooFewDescriptors(Exception):
    """This process may open too few files; the message is one line that says what to do."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one, and return it. Raises TooFewDescriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # some systems allow less than the hard limit that they report
            pass
    if soft != resource.RLIM_INFINITY and soft < MIN_DESCRIPTORS:
        raise TooFewDescriptors(
            f"this process may have {soft} files and connections open, and takes at least {MIN_DESCRIPTORS}; "
            "do `ulimit -n 4096` before it, or set LimitNOFILE= in its unit"
        )
    return soft


def descriptor_limit() -> int:
    """How many descriptors may be open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def open_descriptors() -> int:
    """How many descriptors are open; 0 where the system does not report it."""
    try:
        return len(os.listdir(DESCRIPTOR_FOLDER))
    except FileNotFoundError:
        return 0
    except OSError:  # none is left to read the folder with
        return descriptor_limit()


def descriptors_are_low() -> bool:
    """Whether few descriptors are left."""
    return descriptor_limit() != resource.RLIM_INFINITY and open_descriptors() >= descriptor_limit() * LOW_SHARE


async def watch_descriptors(log: Callable[..., None], seconds: float = CHECK_SECONDS) -> None:
    """Log `descriptors_low` whenever few descriptors are left; runs until it is cancelled."""
    while True:
        if descriptors_are_low():
            log("descriptors_low", open=open_descriptors(), most=descriptor_limit())
        await asyncio.sleep(seconds)
