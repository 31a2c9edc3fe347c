"""What a server holds of its machine: memory, processes, descriptors, threads, memory groups, files.

Taken before and after, to find what is left.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

SETTLE_SECONDS = 60.0
SPARE = {"threads": (os.cpu_count() or 1) + 4}  # that asyncio keeps for what blocks, once it needed them
GROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/memory")


@dataclass(frozen=True)
class Footprint:
    """Of one server and all below it. Memory counts shared pages once (Pss), in MB;
    `files` are those of its folders.
    """

    server_mb: float
    tree_mb: float
    processes: int
    zombies: int
    descriptors: int
    sockets: int
    threads: int
    groups: int
    files: int

    @classmethod
    def of(cls, pid: int, *folders: Path) -> "Footprint":
        """Take it of a server's process, and of the folders that it may write to."""
        tree = processes(pid)
        kinds = descriptors(pid)
        return cls(
            server_mb=proportional_mb([pid]),
            tree_mb=proportional_mb(tree),
            processes=len(tree),
            zombies=sum(state(one) == "Z" for one in tree),
            descriptors=sum(kinds.values()),
            sockets=kinds["socket"],
            threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
            groups=len(groups(pid)),
            files=sum(len(files) for folder in folders for _, _, files in os.walk(folder)),
        )

    def said(self) -> str:
        """In one line."""
        return ", ".join(f"{name} {value:.0f}" for name, value in asdict(self).items())

    def left_over(self, before: "Footprint") -> list[str]:
        """What there is more of than before, memory aside."""
        then, now = asdict(before), asdict(self)
        counted = [name for name in then if not name.endswith("_mb")]
        return [
            f"{now[name] - then[name]} {name} are left"
            for name in counted
            if now[name] > then[name] + SPARE.get(name, 0)
        ]


def settled(take: Callable[[], Footprint], before: Footprint) -> Footprint:
    """A footprint, once nothing is left over or time is up: what was in the middle of something gets the time to
    end.
    """
    until = time.monotonic() + SETTLE_SECONDS
    while (found := take()).left_over(before) and time.monotonic() < until:
        time.sleep(0.5)
    return found


def processes(pid: int) -> list[int]:
    """A process and all below it."""
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children(found[-1])
    return found


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found


def proportional_mb(pids: list[int]) -> float:
    """Memory of processes, shared pages counted once between them (Pss)."""
    total = 0
    for pid in pids:
        try:
            found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        except OSError:
            continue
        total += int(found[1]) if found else 0
    return total / 1000


def processor(pid: int) -> float:
    """Seconds of processor time that a server, its fork server and its workers have used; those that were waited for
    are counted by who waited.
    """
    return sum(sum(times(one)) for one in processes(pid))


def times(pid: int) -> tuple[float, ...]:
    """Seconds of processor time of one process: its own for itself and in the kernel, then those of the children that
    it has waited for; all 0 once it is gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return (0.0,) * 4
    return tuple(int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:15])


def state(pid: int) -> str:
    """The kernel's letter for what a process does; Z for one that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def descriptors(pid: int) -> Counter[str]:
    """What a process has open, by kind."""
    found: Counter[str] = Counter()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[os.readlink(path).partition(":")[0]] += 1
        except OSError:
            continue
    return found


def groups(pid: int) -> list[Path]:
    """The memory groups that this server has made."""
    return list(
        {
            path.stat().st_ino: path for root in GROUPS for path in Path(root).glob(f"**/playground-workers-{pid}")
        }.values()
    )
