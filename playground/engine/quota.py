"""How much each address stores in a day: nobody may fill the disk for everyone. Counted in memory, by the hour, for those who are nobody's tenants."""

from collections import OrderedDict, deque
from collections.abc import Callable

HOUR_MS = 3_600_000
HOURS = 24
MOST_QUEUES = 20_000  # remembered at once; past it the one not heard of for longest is forgotten
EVENT_BYTES = 500  # what an event takes beside its values


class StoredPerDay:
    """At most `most` bytes in any 24 hours of one queue. `now` gives epoch milliseconds."""

    def __init__(self, most: int, now: Callable[[], int]) -> None:
        self.most, self._now = most, now
        self._seen: OrderedDict[str, deque[list[int]]] = OrderedDict()

    def add(self, queue: str, size: int) -> bool:
        """Count bytes; False when the queue is over its share."""
        counts = self._counts(queue)
        hour = self._now() // HOUR_MS
        if counts and counts[-1][0] == hour:
            counts[-1][1] += size
        else:
            counts.append([hour, size])
        while len(self._seen) > MOST_QUEUES:
            self._seen.popitem(last=False)
        return sum(each for _, each in counts) <= self.most

    def hours_until_room(self, queue: str) -> int:
        """0 while the queue has room, else the hours until it has some again."""
        counts = self._counts(queue)
        over = sum(each for _, each in counts) - self.most
        if over < 0:
            return 0
        for hour, size in counts:
            over -= size
            if over < 0:
                return max(1, hour + HOURS - self._now() // HOUR_MS)
        return HOURS

    def _counts(self, queue: str) -> deque[list[int]]:
        counts = self._seen.setdefault(queue, deque())
        self._seen.move_to_end(queue)
        while counts and counts[0][0] <= self._now() // HOUR_MS - HOURS:
            counts.popleft()
        return counts
