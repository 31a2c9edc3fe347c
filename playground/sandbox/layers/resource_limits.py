"""Resource limits of a worker: soft equals hard, so it cannot raise them. Loaded inside the sandbox."""

import os
import resource
from collections.abc import Iterable

NICENESS = 10  # the server and fork server go first where sessions have no scheduling groups
_OPTIONAL = ("RLIMIT_MSGQUEUE",)  # missing in gVisor; the system-call filter refuses message queues anyway
OPEN_FILES = 32  # a worker has 4 open: the channel, and /dev/null three times


def planned_limits(memory_bytes: int, cpu_seconds: int) -> list[tuple[int, int, bool]]:
    """The limits as (resource, value, may fail): `memory_bytes` of address space, `cpu_seconds` of processor time (then
    SIGKILL), and fixed ones.
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
        (getattr(resource, name), value, name in _OPTIONAL) for name, value in wanted.items() if hasattr(resource, name)
    ]


def set_limits(planned: Iterable[tuple[int, int, bool]]) -> None:
    """Set the limits of this process. Raises OSError, ValueError."""
    # The niceness of a nicer server cannot be lowered.
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    for limit, value, is_optional in planned:
        try:
            resource.setrlimit(limit, (value, value))
        except ValueError:
            if not is_optional:
                raise
