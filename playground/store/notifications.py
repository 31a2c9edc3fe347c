"""Notifications of commits: to subscribers of a journal, to schedulers that wait for due instances, and to pumps that
wait for messages.

A notification is a hint: readers read by seq and claims read the rows, so a missed or repeated one costs only time.

Of one file, only commits of this process are notified, per process on purpose: the file's lock makes it the only one
that commits, and no notification is lost. A store that several processes write must notify the commits of the others
too, and what it notifies them by may lose some: then a slow poll is the floor. It is two queries for the whole process,
however many journals are watched, and none while nothing is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from playground.store.errors import StoreError
from playground.workflows.errors import InstanceNotFound

Listener = Callable[[int | None], None]  # called with the last committed seq; None: the instance was deleted
EndedListener = Callable[[Sequence[int]], None]  # called with keys of instances that this process has ended
DueListener = Callable[[int], None]  # called with the time at which an unowned instance falls due, epoch milliseconds
SentListener = Callable[[int], None]  # called with the time at which a message that was sent falls due, the same


class CommitChanges(NamedTuple):
    """What a commit changed that subscribers wait for.

    `last_seqs` are instance keys with their last seq (None: deleted). `due` is when the first instance that became
    claimable falls due, in epoch milliseconds (None: no instance did). `ended` are the keys of those that have
    ended by a commit of this process; those in no family may be left out. `sent` is when the first of the messages that
    were sent falls due, in epoch milliseconds (None: none were).
    """

    last_seqs: Sequence[tuple[int, int | None]] = ()
    due: int | None = None
    ended: Sequence[int] = ()
    sent: int | None = None


class Floor(NamedTuple):
    """The poll that finds what a lost notification would have said.

    Args:
        poll_ms: how often, in milliseconds.
        last_seqs: reads the last committed seq of each of these instances; a deleted one is absent.
        next_due: see `Store.next_due`.
    """

    poll_ms: int
    last_seqs: Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]
    next_due: Callable[[], Awaitable[int | None]]


class _JournalWatch:
    __slots__ = ("deleted", "last", "listeners", "subscribers", "waiting")

    def __init__(self) -> None:
        self.last = 0
        self.deleted = False
        self.subscribers = 0
        self.listeners: tuple[Listener, ...] = ()
        self.waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiting is not None:
            if not self.waiting.done():
                self.waiting.set_result(None)
            self.waiting = None


class Notifications:
    """The subscriptions of one process. Used on the event loop only.

    Args:
        last_seq: reads the last committed seq of an instance; raises InstanceNotFound.
        floor: polls where notifications may be lost. It begins with the first subscription, and ends with `close`.
    """

    def __init__(self, last_seq: Callable[[int], Awaitable[int]], floor: Floor | None = None) -> None:
        self._last_seq, self._floor = last_seq, floor
        self._watches: dict[int, _JournalWatch] = {}
        self._due_listeners: tuple[DueListener, ...] = ()
        self._ended_listeners: tuple[EndedListener, ...] = ()
        self._sent_listeners: tuple[SentListener, ...] = ()
        self._polling: asyncio.Task[None] | None = None
        self._poll_now = asyncio.Event()
        self._told_due: int | None = None
        self._closed = False

    def close(self) -> None:
        """Poll no more. A poll under way is not cancelled, since it may be connecting."""
        self._closed = True
        self._poll_now.set()

    async def wait_closed(self) -> None:
        """Wait for a poll that was under way when it was closed."""
        if self._polling is not None:
            await self._polling

    def poll_now(self) -> None:
        """Poll without waiting for the next time: notifications may have been lost just now."""
        self._poll_now.set()

    def notify(self, changes: CommitChanges) -> None:
        """Notify the subscribers of a durable commit."""
        watches = self._watches
        for key, last in changes.last_seqs if watches else ():
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
            self._told_due = changes.due
            for due_listener in self._due_listeners:
                due_listener(changes.due)
        if changes.sent is not None:
            for sent_listener in self._sent_listeners:
                sent_listener(changes.sent)
        if changes.ended:
            for ended_listener in self._ended_listeners:
                ended_listener(changes.ended)

    def last_seq(self, key: int) -> int:
        """The last seq of a watched journal, as far as it is known; 0 where nobody watches it."""
        watch = self._watches.get(key)
        return 0 if watch is None else watch.last

    def listen(self, key: int, listener: Listener) -> Callable[[], None]:
        """See `Store.listen`."""
        watch = self._add_subscriber(key)
        watch.listeners += (listener,)

        def unsubscribe() -> None:
            if listener in watch.listeners:
                watch.listeners = tuple(each for each in watch.listeners if each != listener)
                self._remove_subscriber(key, watch)

        return unsubscribe

    def listen_due(self, listener: DueListener) -> Callable[[], None]:
        """See `Store.listen_due`."""
        self._due_listeners += (listener,)
        self._start_polling()

        def unsubscribe() -> None:
            self._due_listeners = tuple(each for each in self._due_listeners if each != listener)

        return unsubscribe

    def listen_ended(self, listener: EndedListener) -> Callable[[], None]:
        """See `Store.listen_ended`."""
        self._ended_listeners += (listener,)

        def unsubscribe() -> None:
            self._ended_listeners = tuple(each for each in self._ended_listeners if each != listener)

        return unsubscribe

    def listen_sent(self, listener: SentListener) -> Callable[[], None]:
        """See `Store.listen_sent`."""
        self._sent_listeners += (listener,)

        def unsubscribe() -> None:
            self._sent_listeners = tuple(each for each in self._sent_listeners if each != listener)

        return unsubscribe

    @asynccontextmanager
    async def watch(self, key: int) -> AsyncIterator[Callable[[int], Awaitable[int]]]:
        """See `Store.subscribe`."""
        watch = self._add_subscriber(key)
        try:
            # Registered before reading: a commit is either in what is read, or notified.
            last_seq = await self._last_seq(key)
            if last_seq > watch.last:  # whoever watches it already has missed a notification
                self.notify(CommitChanges([(key, last_seq)]))

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
            self._remove_subscriber(key, watch)

    def _add_subscriber(self, key: int) -> _JournalWatch:
        watch = self._watches.setdefault(key, _JournalWatch())
        watch.subscribers += 1
        self._start_polling()
        return watch

    def _remove_subscriber(self, key: int, watch: _JournalWatch) -> None:
        assert watch.subscribers > 0 and self._watches[key] is watch, "a subscriber leaves once"
        watch.subscribers -= 1
        if watch.subscribers == 0:
            del self._watches[key]

    def _start_polling(self) -> None:
        if self._floor is not None and self._polling is None and not self._closed:
            self._polling = asyncio.get_running_loop().create_task(self._poll_until_closed(self._floor))

    async def _poll_until_closed(self, floor: Floor) -> None:
        while not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(floor.poll_ms / 1000):
                    await self._poll_now.wait()
            asked = self._poll_now.is_set()
            self._poll_now.clear()
            if not self._closed:
                with suppress(StoreError):  # the next poll finds the same
                    await self._poll(floor, asked=asked)

    async def _poll(self, floor: Floor, *, asked: bool) -> None:
        notified = {key: watch.last for key, watch in self._watches.items() if not watch.deleted}
        if notified:
            last_seqs = await floor.last_seqs(list(notified))
            now = [(key, last_seqs.get(key)) for key in notified]
            self.notify(CommitChanges([(key, last) for key, last in now if last is None or last > notified[key]]))
        if self._due_listeners:
            due = await floor.next_due()
            # From time to time what was told is told again: who heard of it may have looked too early.
            if not asked or due != self._told_due:
                self.notify(CommitChanges(due=due))
