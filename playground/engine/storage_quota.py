"""How much each address stores in a day: nobody may fill the disk for everyone.

Counted by the hour, on all nodes together, for those who are nobody's tenants.
"""

from playground.engine.shared_counts import KEYS_MOST, SharedCount, SharedCounts

HOUR_MS = 3_600_000
HOURS = 24
EVENT_BYTES = 500  # what an event takes beside its values
SETTING = "stored_per_day"
JUDGED_BYTES = 64 * 1024  # after which a queue is judged again


class StoredPerDay:
    """At most `most` bytes in any 24 hours of one queue, on all nodes together."""

    def __init__(self, most: int, shared: SharedCounts) -> None:
        self.most = most
        self._bytes: SharedCount = shared.of(SETTING, HOURS, HOUR_MS)
        self._room: dict[str, int] = {}  # bytes that a queue may store before it is judged again
        self._learned = 0

    def add(self, queue: str, size: int) -> bool:
        """Count bytes; False when the queue is over its share, as far as this node knows: within a second it knows.

        It is called for each step, so that the sum is made anew only after so many bytes, or where they may be too
        many.
        """
        self._bytes.add(queue, size)
        if self._learned != self._bytes.learned:
            self._room.clear()
            self._learned = self._bytes.learned
        room = self._room.get(queue, 0) - size
        if room < 0:
            left = self.most - self._bytes.total(queue)
            if left < 0:
                self._room.pop(queue, None)
                return False
            if len(self._room) >= KEYS_MOST:
                self._room.clear()
            room = min(left, JUDGED_BYTES)
        self._room[queue] = room
        return True

    async def read(self, queue: str) -> None:
        """Know what all nodes have stored for a queue, before it is judged. Raises StoreError."""
        await self._bytes.read(queue)

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
