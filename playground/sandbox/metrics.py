"""What an operator wants counted of the sandbox."""

from collections import Counter


class Counts:
    """Since the sandbox was opened.

    `starts` are the workers that were handed out, `ends` those of them that are gone, by the cause in `Exit`; `zygotes`
    the fork servers that took over, by why: START, DIED or RECYCLED; `fork_failures` the orders of children that
    failed.
    """

    START, DIED, RECYCLED = "start", "died", "recycled"

    def __init__(self) -> None:
        self.starts = self.fork_failures = 0
        self.ends: Counter[str] = Counter()
        self.zygotes: Counter[str] = Counter()
