"""Resource limits of a child. Soft and hard are the same, so nothing in it can loosen them. Seen inside the sandbox."""

import os
import resource

NICE = 10  # the server and the fork server come first where sessions are not scheduled as groups of their own
_SPARE = ("RLIMIT_MSGQUEUE",)  # which gVisor lacks; the system-call filter refuses message queues by itself
OPEN_FILES = 32  # a worker has 7 open: the channel, /dev/null three times, and its event loop


def enter(memory_bytes: int, cpu_seconds: int) -> None:
    """Limit this process. `memory_bytes` is of address space, `cpu_seconds` of processor time (then SIGKILL). Raises OSError, ValueError."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))  # a server that is nicer itself may not go back
    for name, value in (
        ("RLIMIT_AS", memory_bytes),
        ("RLIMIT_CPU", cpu_seconds),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_MEMLOCK", 0),
        ("RLIMIT_MSGQUEUE", 0),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_NOFILE", OPEN_FILES),
    ):
        if hasattr(resource, name):
            try:
                resource.setrlimit(getattr(resource, name), (value, value))
            except ValueError:
                if name not in _SPARE:
                    raise
