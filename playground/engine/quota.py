"""How much each address stores in a day: nobody may fill the disk for everyone. Counted by the hour, for those who are nobody's tenants.

It is counted in memory, and kept in the store, so that a restart forgives nobody: what was added in the last second is written together.
A server that is killed loses that second at most.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from playground.engine.sliding import MOST_KEYS, Sliding
from playground.store.errors import StoreError
from playground.store.tables import UsageStore

HOUR_MS = 3_600_000
HOURS = 24
EVENT_BYTES = 500  # what an event takes beside its values
SAVE_SECONDS = 1.0  # by the loop's own clock, since no run waits for it
READ_MOST = 5 * MOST_KEYS  # hours of addresses that are read at the start, newest first


class StoredPerDay:
    """At most `most` bytes in any 24 hours of one queue.

    Args:
        now: gives epoch milliseconds.
        usage: where it is kept; None forgets it with the process.
    """

    def __init__(self, most: int, now: Callable[[], int], usage: UsageStore | None = None) -> None:
        self.most = most
        self._bytes = Sliding(HOURS, HOUR_MS, now)
        self._usage = usage
        self._unsaved: Counter[tuple[str, int]] = Counter()  # (queue, hour)
        self._saving: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self._closed = False

    async def load(self) -> None:
        """Know what was stored before. Raises StoreError."""
        if self._usage is None:
            return
        now = self._bytes.now()
        rows = await self._usage.since(now - HOURS + 1, READ_MOST)
        for queue, hour, size in sorted(rows, key=lambda row: row[1]):
            if hour <= now:  # a clock that was set back
                self._bytes.restore(queue, hour, size)

    def add(self, queue: str, size: int) -> bool:
        """Count bytes; False when the queue is over its share."""
        self._bytes.add(queue, size)
        if self._usage is not None:
            self._unsaved[queue, self._bytes.now()] += size
            if self._saving is None and not self._closed:
                self._saving = asyncio.get_running_loop().call_later(SAVE_SECONDS, self._begin_saving)
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

    async def close(self) -> None:
        """Write what is not written yet."""
        self._closed = True
        if isinstance(self._saving, asyncio.Task):
            await asyncio.wait([self._saving])
        self._stop()
        await self._save()

    def abandon(self) -> None:
        """Write nothing more, as if the server had been killed."""
        self._stop()
        self._unsaved.clear()

    def _stop(self) -> None:
        self._closed = True
        if self._saving is not None:
            self._saving.cancel()

    def _begin_saving(self) -> None:
        self._saving = asyncio.get_running_loop().create_task(self._save_and_go_on())

    async def _save_and_go_on(self) -> None:
        await self._save()
        self._saving = None
        if self._unsaved and not self._closed:
            self._saving = asyncio.get_running_loop().call_later(SAVE_SECONDS, self._begin_saving)

    async def _save(self) -> None:
        if self._usage is None or not self._unsaved:
            return
        taken, self._unsaved = self._unsaved, Counter()
        try:
            await self._usage.add(taken, since=self._bytes.now() - HOURS + 1)
        except StoreError:  # of which the writer has told; it is tried again, with what comes meanwhile
            self._unsaved.update(taken)
