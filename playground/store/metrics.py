"""Metrics of the store: counters and a latency histogram of commits.

They are plain numbers that cost a commit well under a microsecond. Only the committing thread writes them, so readers
on any thread need no lock.

The Prometheus library's own counters take a lock and, with a label, a look-up: 0.6 to 2.3 us an increment where a plain
number takes 0.06 to 0.4, and they belong to a registry, where one process may have several engines. So the library is
used for what it does best: the format of a scrape and the figures of the process (web/http/prometheus.py).
"""

from bisect import bisect_left
from collections.abc import Sequence

# Upper bounds in seconds. A commit waits for the disk: 0.1 ms on a fast one, 10 ms on a spinning one, seconds on one
# that fails.
COMMIT_BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Histogram:
    """A histogram of durations in seconds: `counts[i]` of them were at most `bounds[i]`, the last count above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Add one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class StoreMetrics:
    """Since the store was opened: durable commits and their events, failed commits, and how long each commit's oldest
    call waited.
    """

    __slots__ = ("commits", "events", "failing", "failures", "seconds")

    def __init__(self) -> None:
        self.commits = self.events = self.failures = 0
        self.failing = False  # whether the last commit failed
        self.seconds = Histogram(COMMIT_BOUNDS)
