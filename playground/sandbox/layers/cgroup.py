"""A memory cgroup (v1 or v2) for the fork server and all its children, where this machine allows one.

Each worker has its own limit (`resource_limits.py`); the group keeps all workers together from exhausting the machine's
memory.
"""

import os
from contextlib import suppress
from pathlib import Path

MEMORY_SHARE = 0.75  # of the machine's memory, for all workers together
_ROOT = Path("/sys/fs/cgroup")
_NAME = "playground-workers-"


class MemoryGroup:
    """The memory cgroup of this server."""

    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        self.version = version
        self._oom_kills_seen = self._oom_kills()

    @classmethod
    def open(cls, limit_bytes: int | None = None) -> "MemoryGroup":
        """Create the group. Raises OSError, whose text says what this machine does not allow."""
        parent, version = _parent_group()
        _remove_abandoned(parent)
        path = parent / f"{_NAME}{os.getpid()}"
        path.mkdir(exist_ok=True)
        if limit_bytes is None:
            limit_bytes = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * MEMORY_SHARE)
        try:
            (path / ("memory.max" if version == 2 else "memory.limit_in_bytes")).write_text(str(limit_bytes))
        except OSError:
            path.rmdir()
            raise
        return cls(path, version)

    def add(self, pid: int) -> None:
        """Move a process, and all that it forks later, into the group. Raises OSError."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def poll_oom_kill(self) -> bool:
        """Whether the kernel has killed a process of the group for memory since the last call."""
        before, self._oom_kills_seen = self._oom_kills_seen, self._oom_kills()
        return self._oom_kills_seen > before

    def close(self) -> None:
        """Remove the group; its processes must have exited."""
        with suppress(OSError):
            self.path.rmdir()

    def _oom_kills(self) -> int:
        file = self.path / ("memory.events" if self.version == 2 else "memory.oom_control")
        with suppress(OSError, ValueError):
            for line in file.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0


def _parent_group() -> tuple[Path, int]:
    """The parent of our group, and the version of its hierarchy."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return _ROOT / "memory" / path.lstrip("/"), 1
    for number, controllers, path in lines:
        if number == "0" and not controllers:
            return delegating_group(_ROOT / path.lstrip("/")), 2
    raise FileNotFoundError("no memory controller is mounted")


def delegating_group(own_group: Path) -> Path:
    """The nearest group of a v2 hierarchy that delegates the memory controller to its children. Raises OSError.

    A group with processes may not, except the root: then it is the parent, where systemd's `Delegate=memory` and
    `DelegateSubgroup=` put us.
    """
    refused: OSError | None = None
    for group in (own_group, own_group.parent):
        control = group / "cgroup.subtree_control"
        try:
            if "memory" not in control.read_text().split():
                control.write_text("+memory")
            return group
        except OSError as error:
            refused = refused or error
    assert refused is not None, "both refused"
    raise refused


def _remove_abandoned(parent: Path) -> None:
    """Remove groups of servers that were killed before they could; one in use cannot be removed."""
    for path in parent.glob(f"{_NAME}*"):
        if not os.path.exists(f"/proc/{path.name.removeprefix(_NAME)}"):
            with suppress(OSError):
                path.rmdir()
