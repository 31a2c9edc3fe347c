"""Counts that hold for all nodes together: each node counts for itself and once a second sends it to the store.

What a limit refuses by is the store's total over all nodes plus what this node has not sent yet. So nothing is
forgotten at a restart, and counting costs a request no commit: what a node counted in a second, of all limits, is one
commit, and nothing is written while nothing is counted. A key that this node has not counted lately is read from the
store before it is judged.

Architecture Invariant: no count here is one node's alone for longer than a second. A node learns of what others count
within two seconds (one until they send it, one until it reads again), so a key that is used on N nodes at once may pass
its limit, in one window, by what N - 1 of them let through in that time: at most N - 1 times the limit. A server that
is killed loses what it counted in the last second.

What protects one process counts in that process, on purpose, and is forgotten with it (`SlidingWindow`): events of the
time just past, to the unit, as plain numbers in one block, so that a key costs a few bytes however often it is counted.
As objects, the entries of the last minute of a storm kept megabytes of half-empty memory round them.

Bytes stored in a day (`StoredPerDay`) are counted by the hour and by address, so that nobody fills the disk for
everyone. What open attempts have written to keys and not committed yet (`UncommittedWrites`) counts too: attempts
cannot pass a limit together.
"""

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, Protocol
from weakref import WeakSet

from playground.store.errors import JournalError, StoreError
from playground.store.tables import Scope, UsageStore

MOST_KEYS = 20_000  # at once; beyond that the least recently used is forgotten


class SlidingWindow:
    """What each key has used in the last `window` units of `unit_ms`. `now` returns epoch milliseconds."""

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


EXCHANGE_SECONDS = 1.0  # by the loop's own clock, since no run waits for it
FRESH_MS = 1_000  # how long a count that was read is current
KEYS_MOST = 20_000  # at once for each limit; beyond that the least recently used is read again

# Keys of one commit, so that no other waits long for it: 6 ms where each was counted in every second of a minute.
SENT_AT_ONCE = 100


class Sent(NamedTuple):
    """What an exchange sends of a key, by unit of time."""

    counter: "SharedCount"
    key: str
    units: Mapping[int, int]


class SharedCount:
    """What each key has had of one limit in the last `window` units of `unit_ms`, on all nodes.

    Made by `SharedCounts.count_of`.
    """

    def __init__(self, name: str, window: int, unit_ms: int, shared: "SharedCounts") -> None:
        self.name, self.window, self._unit_ms, self._shared = name, window, unit_ms, shared
        self._stored: OrderedDict[str, _Stored] = OrderedDict()
        self._unsent: dict[str, dict[int, int]] = {}  # by key and unit: what the store has not acknowledged
        self._sending: set[str] = set()  # keys of the exchange under way
        self.updates = 0  # how often the stored total of a key was read

    def now(self) -> int:
        """The unit of time that is now."""
        return self._shared.now() // self._unit_ms

    def add(self, key: str, amount: int) -> None:
        """Count so much more."""
        if not amount:
            return
        units, now = self._unsent.setdefault(key, {}), self.now()
        units[now] = units.get(now, 0) + amount
        self._shared.exchange_soon()

    def counts(self, key: str) -> Sequence[tuple[int, int]]:
        """What a key has had, as far as this node knows, as (unit, amount), oldest first."""
        found: dict[int, int] = {}
        for unit, amount in self._counted(key):
            found[unit] = found.get(unit, 0) + amount
        return sorted(found.items())

    def total(self, key: str) -> int:
        """What a key has had in all, as far as this node knows."""
        return sum(amount for _, amount in self._counted(key))

    async def read(self, key: str) -> None:
        """Read what all nodes had sent of a key a second ago. Raises StoreError."""
        while not self._is_fresh(key):
            if key in self._sending:
                await self._shared.exchanged()  # reading now might find what is being sent, or not
                continue
            found = await self._shared.store.amounts(self.name, key, since=self.oldest)
            if key not in self._sending and not self._is_fresh(key):
                self._set_stored(key, found)

    @property
    def oldest(self) -> int:
        """The first unit that counts."""
        return self.now() - self.window + 1

    @property
    def has_unsent(self) -> bool:
        """Whether there is something to send."""
        return bool(self._unsent)

    def send(self) -> list[Sent]:
        """What is to be sent. It counts as unsent until it is acknowledged."""
        self._sending = set(self._unsent)
        return [Sent(self, key, dict(units)) for key, units in self._unsent.items()]

    def acknowledge(self, sent: Sent, stored: Sequence[tuple[int, int]]) -> None:
        """The store has what was sent of a key, and gave what the key has come to with it."""
        units = self._unsent[sent.key]
        for unit, amount in sent.units.items():
            units[unit] -= amount
            assert units[unit] >= 0, "nothing is sent twice"
            if not units[unit]:
                del units[unit]
        if not units:
            del self._unsent[sent.key]
        self._set_stored(sent.key, stored)
        self._sending.discard(sent.key)

    def end_sending(self) -> None:
        """The exchange under way is over, whatever came of it."""
        self._sending.clear()

    def forget_unsent(self) -> None:
        """Send nothing of what was counted until now."""
        self._unsent.clear()

    def _counted(self, key: str) -> Iterator[tuple[int, int]]:
        """What counts of a key.

        A unit of another node whose clock is ahead counts as now; one further ahead is of a clock that was set back.
        """
        stored, unsent = self._stored.get(key), self._unsent.get(key)
        parts: Iterable[tuple[int, int]] = chain(stored.pairs() if stored else (), unsent.items() if unsent else ())
        now, oldest = self.now(), self.oldest
        return ((min(unit, now), amount) for unit, amount in parts if oldest <= unit <= now + self.window)

    def _is_fresh(self, key: str) -> bool:
        stored = self._stored.get(key)
        if stored is None:
            return False
        self._stored.move_to_end(key)
        return key in self._unsent or abs(self._shared.now() - stored.at) < FRESH_MS

    def _set_stored(self, key: str, units: Sequence[tuple[int, int]]) -> None:
        self.updates += 1
        self._stored[key] = _Stored(self._shared.now(), units)
        self._stored.move_to_end(key)
        if len(self._stored) > KEYS_MOST:
            self._stored.popitem(last=False)


class _Stored:
    """What the store had of a key at a time, in one block of plain numbers, as in `SlidingWindow`."""

    __slots__ = ("at", "units")

    def __init__(self, at: int, units: Sequence[tuple[int, int]]) -> None:
        self.at = at
        self.units = array("q", chain.from_iterable(units))

    def pairs(self) -> Iterator[tuple[int, int]]:
        return zip(self.units[::2], self.units[1::2], strict=True)


class SharedCounts:
    """All such counts of one node. `now` returns epoch milliseconds."""

    def __init__(self, store: UsageStore, now: Callable[[], int]) -> None:
        self.store, self.now = store, now
        self._counts: dict[str, SharedCount] = {}
        self._next: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self._exchanging = asyncio.Lock()
        self._closed = False

    def count_of(self, name: str, window: int, unit_ms: int) -> SharedCount:
        """The count of the limit of this name, of which there is one."""
        assert name not in self._counts, "a limit is counted in one place"
        count = self._counts[name] = SharedCount(name, window, unit_ms, self)
        return count

    def exchange_soon(self) -> None:
        """Something was counted: exchange it within `EXCHANGE_SECONDS`."""
        if self._next is None and not self._closed:
            self._next = asyncio.get_running_loop().call_later(EXCHANGE_SECONDS, self._start_exchange)

    async def exchange(self) -> None:
        """Send what was counted to the store, and learn what all nodes have counted of the same keys."""
        async with self._exchanging:
            counts = self._counts.values()
            kept = {it.name: it.oldest - it.window for it in counts}  # twice the window, for clocks that are behind
            try:
                sent = [each for count in counts for each in count.send()]
                for some in (sent[at : at + SENT_AT_ONCE] for at in range(0, len(sent), SENT_AT_ONCE)):
                    used = {(it.counter.name, it.key, unit): amount for it in some for unit, amount in it.units.items()}
                    since = {(it.counter.name, it.key): it.counter.oldest for it in some}
                    stored = await self.store.add(used, since=since, kept=kept)
                    for it in some:
                        it.counter.acknowledge(it, stored[it.counter.name, it.key])
            except (StoreError, JournalError):  # the writer has logged it; the next exchange sends it again
                return
            finally:
                for count in counts:
                    count.end_sending()

    async def exchanged(self) -> None:
        """Wait for the exchange under way."""
        async with self._exchanging:
            pass

    async def close(self) -> None:
        """Send what is not sent yet."""
        self._closed = True
        if isinstance(self._next, asyncio.Task):
            await asyncio.wait([self._next])
        self._stop()
        await self.exchange()

    def abandon(self) -> None:
        """Send nothing more, as if the server had been killed."""
        self._stop()
        for count in self._counts.values():
            count.forget_unsent()

    def _stop(self) -> None:
        self._closed = True
        if self._next is not None:
            self._next.cancel()

    def _start_exchange(self) -> None:
        self._next = asyncio.get_running_loop().create_task(self._exchange_and_reschedule())

    async def _exchange_and_reschedule(self) -> None:
        try:
            await self.exchange()
        finally:
            self._next = None
            if any(count.has_unsent for count in self._counts.values()):
                self.exchange_soon()


HOUR_MS = 3_600_000
HOURS = 24
EVENT_BYTES = 500  # overhead of an event
SETTING = "stored_per_day"
RECOUNT_BYTES = 64 * 1024  # after which the total of a queue is summed again


class StoredPerDay:
    """At most `most` bytes in any 24 hours of one queue, on all nodes together."""

    def __init__(self, most: int, shared: SharedCounts) -> None:
        self.most = most
        self._bytes: SharedCount = shared.count_of(SETTING, HOURS, HOUR_MS)
        self._room: dict[str, int] = {}  # bytes that a queue may store before its total is summed again
        self._updates_seen = 0

    def add(self, queue: str, size: int) -> bool:
        """Count bytes; False when the queue is over its share, as far as this node knows: within a second it knows.

        It is called for each step, so that the sum is made anew only after so many bytes, or where they may be too
        many.
        """
        self._bytes.add(queue, size)
        if self._updates_seen != self._bytes.updates:
            self._room.clear()
            self._updates_seen = self._bytes.updates
        room = self._room.get(queue, 0) - size
        if room < 0:
            left = self.most - self._bytes.total(queue)
            if left < 0:
                self._room.pop(queue, None)
                return False
            if len(self._room) >= KEYS_MOST:
                self._room.clear()
            room = min(left, RECOUNT_BYTES)
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


class BufferedWrites(Protocol):
    """Writes that are held back until their step is committed."""

    @property
    def scope(self) -> Scope:
        """Whose keys they are."""

    @property
    def uncommitted_bytes(self) -> int:
        """Their size; 0 once they can never be committed."""


class UncommittedWrites:
    """All writes that are held back on this node. Those of an execution that is garbage are not counted."""

    def __init__(self) -> None:
        self._buffers: WeakSet[BufferedWrites] = WeakSet()

    def add(self, buffer: BufferedWrites) -> None:
        """Count these; idempotent."""
        self._buffers.add(buffer)

    def bytes(self, scope: Scope) -> int:
        """How much is held back of one scope."""
        return sum(each.uncommitted_bytes for each in self._buffers if each.scope == scope)
