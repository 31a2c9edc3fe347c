"""Resource limits of a child. Soft and hard are the same, so nothing in it can loosen them. Seen inside the sandbox."""

import os
import resource
from collections.abc import Iterable

NICE = 10  # the server and the fork server come first where sessions are not scheduled as groups of their own
_SPARE = ("RLIMIT_MSGQUEUE",)  # which gVisor lacks; the system-call filter refuses message queues by itself
OPEN_FILES = 32  # a worker has 4 open: the channel, and /dev/null three times


def plan(memory_bytes: int, cpu_seconds: int) -> list[tuple[int, int, bool]]:
    """What to limit and to how much: `memory_bytes` of address space, `cpu_seconds` of processor time (then SIGKILL);
    and whether it may fail.
    """
    wanted = {
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_CPU": cpu_seconds,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_NOFILE": OPEN_FILES,
    }
    return [
        (getattr(resource, name), value, name in _SPARE) for name, value in wanted.items() if hasattr(resource, name)
    ]


def enter(planned: Iterable[tuple[int, int, bool]]) -> None:
    """Limit this process. Raises OSError, ValueError."""
    # A server that is nicer itself may not go back.
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    for limit, value, spare in planned:
        try:
            resource.setrlimit(limit, (value, value))
        except ValueError:
            if not spare:
                raise
