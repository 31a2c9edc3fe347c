"""Who watches which journal grow. A hint only: readers re-read by seq, so that a missed or doubled hint costs nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from playground.workflows.errors import InstanceNotFound


class _Watch:
    __slots__ = ("deleted", "last", "viewers", "waiting")

    def __init__(self) -> None:
        self.last = 0
        self.deleted = False
        self.viewers = 0
        self.waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiting is not None:
            if not self.waiting.done():
                self.waiting.set_result(None)
            self.waiting = None


class Growth:
    """The watched journals of one process. Used on the event loop only.

    Args:
        last_seq: reads the last committed seq of an instance; raises InstanceNotFound.
    """

    def __init__(self, last_seq: Callable[[int], Awaitable[int]]) -> None:
        self._last_seq = last_seq
        self._watches: dict[int, _Watch] = {}

    def tell(self, grown: Iterable[tuple[int, int | None]]) -> None:
        """Journals have grown to these seqs; None says that the instance is gone."""
        watches = self._watches
        if not watches:
            return
        for key, last in grown:
            watch = watches.get(key)
            if watch is None:
                continue
            if last is None:
                watch.deleted = True
            else:
                watch.last = max(watch.last, last)
            watch.wake()

    @asynccontextmanager
    async def watch(self, key: int) -> AsyncIterator[Callable[[int], Awaitable[int]]]:
        """See `Store.subscribe`."""
        watch = self._watches.setdefault(key, _Watch())
        watch.viewers += 1
        try:
            # Registered before reading: a commit is either in what is read, or told.
            found = await self._last_seq(key)
            watch.last = max(watch.last, found)

            async def wait(seq: int) -> int:
                while True:
                    if watch.deleted:
                        raise InstanceNotFound(f"instance number {key} has been deleted")
                    if watch.last > seq:
                        return watch.last
                    if watch.waiting is None:
                        watch.waiting = asyncio.get_running_loop().create_future()
                    await asyncio.shield(watch.waiting)

            yield wait
        finally:
            watch.viewers -= 1
            if watch.viewers == 0:
                del self._watches[key]
