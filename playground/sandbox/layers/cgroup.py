"""One memory group (cgroup v1 or v2) round a fork server and its children, where this machine allows one.

Each worker is limited by itself (`resource_limits.py`); the group keeps all of them together from taking the machine's
memory.
"""

import os
from contextlib import suppress
from pathlib import Path

SHARE = 0.75  # of the machine's memory, for all workers together
_ROOT = Path("/sys/fs/cgroup")
_NAME = "playground-workers-"


class MemoryGroup:
    """A group of this server's own.

    `killed()` tells whether the kernel took one of its processes for want of memory since it was last asked.
    """

    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        self.version = version
        self._seen = self._kills()

    @classmethod
    def open(cls, limit_bytes: int | None = None) -> "MemoryGroup":
        """Make the group. Raises OSError, whose text says what this machine does not allow."""
        parent, version = _parent()
        _remove_abandoned(parent)
        path = parent / f"{_NAME}{os.getpid()}"
        path.mkdir(exist_ok=True)
        if limit_bytes is None:
            limit_bytes = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * SHARE)
        try:
            (path / ("memory.max" if version == 2 else "memory.limit_in_bytes")).write_text(str(limit_bytes))
        except OSError:
            path.rmdir()
            raise
        return cls(path, version)

    def add(self, pid: int) -> None:
        """Put a process into the group, and so all that it forks. Raises OSError."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def killed(self) -> bool:
        seen, self._seen = self._seen, self._kills()
        return self._seen > seen

    def close(self) -> None:
        """Remove the group; its processes must be gone."""
        with suppress(OSError):
            self.path.rmdir()

    def _kills(self) -> int:
        file = self.path / ("memory.events" if self.version == 2 else "memory.oom_control")
        with suppress(OSError, ValueError):
            for line in file.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0


def _parent() -> tuple[Path, int]:
    """The group that ours is made in, and the version of its hierarchy."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return _ROOT / "memory" / path.lstrip("/"), 1
    for number, controllers, path in lines:
        if number == "0" and not controllers:
            return delegating(_ROOT / path.lstrip("/")), 2
    raise FileNotFoundError("no memory controller is mounted")


def delegating(own: Path) -> Path:
    """The nearest group of a v2 hierarchy that hands the memory controller on to groups below it. Raises OSError.

    One with processes in it may not (but for the root): then it is its parent, where systemd's `Delegate=memory` and
    `DelegateSubgroup=` put us.
    """
    refused: OSError | None = None
    for group in (own, own.parent):
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
    """Groups of servers that were killed before they could remove theirs; one that is in use cannot be removed."""
    for path in parent.glob(f"{_NAME}*"):
        if not os.path.exists(f"/proc/{path.name.removeprefix(_NAME)}"):
            with suppress(OSError):
                path.rmdir()
