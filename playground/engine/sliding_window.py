"""Counting by key over the time just past, to the unit, so that a key costs a few small entries however often it is
counted.

The entries are plain numbers in one block: as objects, those of the last minute of a storm kept megabytes of half-empty
memory round them.

Per node on purpose: it is for what protects one process, and is forgotten with it. What holds for all nodes is in
shared_counts.py.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

MOST_KEYS = 20_000  # remembered at once; past it the one not heard of for longest is forgotten


class Sliding:
    """What each key has had in the last `window` units of `unit_ms`. `now` gives epoch milliseconds."""

    def __init__(self, window: int, unit_ms: int, now: Callable[[], int]) -> None:
        self.window, self._unit, self._now = window, unit_ms, now
        self._seen: OrderedDict[str, array[int]] = OrderedDict()  # unit, amount, unit, amount …

    def now(self) -> int:
        """The unit of time that is now."""
        return self._now() // self._unit

    def add(self, key: str, amount: int) -> None:
        """Count so much more."""
        counts, now = self._counts(key), self.now()
        if counts and counts[-2] == now:
            counts[-1] += amount
        else:
            counts.extend((now, amount))

    def restore(self, key: str, unit: int, amount: int) -> None:
        """Count what a key had in a unit of the past.

        Of one key the units come in order, before anything else is counted.
        """
        counts = self._counts(key)
        assert not counts or counts[-2] < unit, "units come in order"
        if unit > self.now() - self.window:
            counts.extend((unit, amount))

    def counts(self, key: str) -> Sequence[tuple[int, int]]:
        """What it has had as (unit, amount), oldest first."""
        counts = self._counts(key)
        return list(zip(counts[::2], counts[1::2], strict=True))

    def total(self, key: str) -> int:
        """What it has had in all."""
        return sum(self._counts(key)[1::2])

    def _counts(self, key: str) -> "array[int]":
        counts = self._seen.get(key)
        if counts is None:
            counts = self._seen[key] = array("q")
            if len(self._seen) > MOST_KEYS:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        since, gone = self.now() - self.window, 0
        while gone < len(counts) and counts[gone] <= since:
            gone += 2
        del counts[:gone]
        return counts
