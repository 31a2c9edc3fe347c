"""Metrics of the store: counters and histograms of commits and notifications, and what the database says of itself.

They are plain numbers that cost a commit well under a microsecond. Only the committing thread writes them, so readers
on any thread need no lock.

The Prometheus library's own counters take a lock and, with a label, a look-up: 0.6 to 2.3 us an increment where a plain
number takes 0.06 to 0.4, and they belong to a registry, where one process may have several engines. So the library is
used for what it does best: the format of a scrape and the figures of the process (web/http/prometheus.py).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Upper bounds in seconds. A commit waits for the disk: 0.1 ms on a fast one, 10 ms on a spinning one, seconds on one
# that fails.
COMMIT_BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
GROUP_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # calls that share a commit


class Histogram:
    """A histogram of numbers, such as seconds: `counts[i]` were at most `bounds[i]`, the last count above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, number: float) -> None:
        """Add one."""
        self.counts[bisect_left(self.bounds, number)] += 1
        self.total += number


class StoreMetrics:
    """Since the store was opened: durable commits and their events, failed commits, how long each commit's oldest call
    waited, and how many calls shared it.

    `notify_seconds` is how long notifications took from a commit, through the database, back to this process, which is
    when the others have them. None: they do not go through the database.
    """

    __slots__ = ("calls", "commits", "events", "failing", "failures", "notify_seconds", "seconds")

    def __init__(self) -> None:
        self.commits = self.events = self.failures = 0
        self.failing = False  # whether the last commit failed
        self.seconds = Histogram(COMMIT_BOUNDS)
        self.calls = Histogram(GROUP_BOUNDS)
        self.notify_seconds: Histogram | None = None


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """What a database says of itself at a moment, the same for all nodes on it.

    `nodes` are the names of those with a lease. None of the others: the database has nothing of the kind. `dead_rows`
    counts by table row versions that wait for a vacuum; the oldest transaction, whoever's, keeps vacuum from removing
    any that died after it began.
    """

    nodes: Sequence[str]
    dead_rows: Mapping[str, int] | None = None
    oldest_transaction_seconds: float | None = None
    bytes: int | None = None
