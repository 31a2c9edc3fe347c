"""How much each address stores in a day: nobody may fill the disk for everyone. Counted in memory, by the hour, for those who are nobody's tenants."""

from collections.abc import Callable

from playground.engine.sliding import Sliding

HOUR_MS = 3_600_000
HOURS = 24
EVENT_BYTES = 500  # what an event takes beside its values


class StoredPerDay:
    """At most `most` bytes in any 24 hours of one queue. `now` gives epoch milliseconds."""

    def __init__(self, most: int, now: Callable[[], int]) -> None:
        self.most = most
        self._bytes = Sliding(HOURS, HOUR_MS, now)

    def add(self, queue: str, size: int) -> bool:
        """Count bytes; False when the queue is over its share."""
        self._bytes.add(queue, size)
        return self._bytes.total(queue) <= self.most

    def hours_until_room(self, queue: str) -> int:
        """0 while the queue has room, else the hours until it has some again."""
        over = self._bytes.total(queue) - self.most
        if over < 0:
            return 0
        for hour, size in self._bytes.counts(queue):
            over -= size
            if over < 0:
                return max(1, hour + HOURS - self._bytes.now())
        return HOURS
