"""Counting by key over the time just past, to the unit, so that a key costs a few small entries however often it is counted."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

MOST_KEYS = 20_000  # remembered at once; past it the one not heard of for longest is forgotten


class Sliding:
    """What each key has had in the last `window` units of `unit_ms`. `now` gives epoch milliseconds."""

    def __init__(self, window: int, unit_ms: int, now: Callable[[], int]) -> None:
        self.window, self._unit, self._now = window, unit_ms, now
        self._seen: OrderedDict[str, deque[list[int]]] = OrderedDict()

    def now(self) -> int:
        """The unit of time that is now."""
        return self._now() // self._unit

    def add(self, key: str, amount: int) -> None:
        """Count so much more."""
        counts, now = self._counts(key), self.now()
        if counts and counts[-1][0] == now:
            counts[-1][1] += amount
        else:
            counts.append([now, amount])
        while len(self._seen) > MOST_KEYS:
            self._seen.popitem(last=False)

    def counts(self, key: str) -> Sequence[Sequence[int]]:
        """What it has had as (unit, amount), oldest first."""
        return self._counts(key)

    def total(self, key: str) -> int:
        """What it has had in all."""
        return sum(amount for _, amount in self._counts(key))

    def _counts(self, key: str) -> deque[list[int]]:
        counts = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        while counts and counts[0][0] <= self.now() - self.window:
            counts.popleft()
        return counts
