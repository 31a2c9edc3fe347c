"""Who watches which journal grow, and who waits for instances to fall due.

All of it is a hint: readers read by seq, and claims read the rows, so that a missed or doubled hint costs nothing but
time.

It tells of the commits of this process, per process on purpose where the file's lock makes that the only one that
commits. A store that other processes write to tells it of theirs as well.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from playground.workflows.errors import InstanceNotFound

Listener = Callable[[int | None], None]  # is given the last committed seq, None once the instance is deleted
DueListener = Callable[[int], None]  # is given when something falls due that has no worker, in epoch milliseconds


class Changes(NamedTuple):
    """What a commit changed that others wait for.

    `grown` are instances with their last seq (None: deleted), `due` is when the first of those that may be claimed
    falls due (None: there is none).
    """

    grown: Sequence[tuple[int, int | None]] = ()
    due: int | None = None


class _Watch:
    __slots__ = ("deleted", "last", "listeners", "viewers", "waiting")

    def __init__(self) -> None:
        self.last = 0
        self.deleted = False
        self.viewers = 0
        self.listeners: tuple[Listener, ...] = ()
        self.waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiting is not None:
            if not self.waiting.done():
                self.waiting.set_result(None)
            self.waiting = None


class Notifications:
    """The watched journals of one process. Used on the event loop only.

    Args:
        last_seq: reads the last committed seq of an instance; raises InstanceNotFound.
    """

    def __init__(self, last_seq: Callable[[int], Awaitable[int]]) -> None:
        self._last_seq = last_seq
        self._watches: dict[int, _Watch] = {}
        self._due: tuple[DueListener, ...] = ()

    def tell(self, changes: Changes) -> None:
        """A commit is durable: everybody who waits for something of it hears of it."""
        watches = self._watches
        for key, last in changes.grown if watches else ():
            watch = watches.get(key)
            if watch is None:
                continue
            if last is None:
                watch.deleted = True
            else:
                watch.last = max(watch.last, last)
            watch.wake()
            for listener in watch.listeners:
                listener(last)
        if changes.due is not None:
            for heard in self._due:
                heard(changes.due)

    def listen(self, key: int, listener: Listener) -> Callable[[], None]:
        """See `Store.listen`."""
        watch = self._enter(key)
        watch.listeners += (listener,)

        def leave() -> None:
            if listener in watch.listeners:
                watch.listeners = tuple(each for each in watch.listeners if each != listener)
                self._leave(key, watch)

        return leave

    def listen_due(self, listener: DueListener) -> Callable[[], None]:
        """See `Store.listen_due`."""
        self._due += (listener,)

        def leave() -> None:
            self._due = tuple(each for each in self._due if each != listener)

        return leave

    @asynccontextmanager
    async def watch(self, key: int) -> AsyncIterator[Callable[[int], Awaitable[int]]]:
        """See `Store.subscribe`."""
        watch = self._enter(key)
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
            self._leave(key, watch)

    def _enter(self, key: int) -> _Watch:
        watch = self._watches.setdefault(key, _Watch())
        watch.viewers += 1
        return watch

    def _leave(self, key: int, watch: _Watch) -> None:
        watch.viewers -= 1
        if watch.viewers == 0:
            del self._watches[key]
