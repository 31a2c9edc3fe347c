"""Hints between nodes: which journals have grown, and when an instance or a message falls due.

What a node commits is seen by its own listeners at once. For the other nodes it is collected for some milliseconds and
sent in one NOTIFY, on a connection of its own: within a writing transaction, NOTIFY takes a lock of the whole server at
commit, so that commits of all nodes would go one by one.

Hints may be lost. A poll is the floor (store/notifications.py): every second, four times a second behind a pooler,
which passes nothing on.
"""

import asyncio
import zlib
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any
from uuid import uuid4

import msgspec

from playground.store.errors import StoreError
from playground.store.flow import looks
from playground.store.metrics import Histogram
from playground.store.notifications import CommitChanges, Notifications
from playground.store.postgres.connections import Connection, Connections, DatabaseFault
from playground.store.rows import InstanceRow
from playground.workflows.events import FINAL_STATUSES

CHANNEL = "journal"
SEND_AFTER_SECONDS = 0.006
POLL_SECONDS = 1.0
POLL_WITHOUT_LISTEN_SECONDS = 0.25
UNDERWAY_MAX = 1_000  # own messages whose return is timed
KEYS_PER_MESSAGE = 200  # a message may have 8,000 bytes
RETRY_SECONDS = 0.2  # before it listens again

NOTIFY = f"SELECT pg_notify('{CHANNEL}', message) FROM unnest($1::text[]) AS message"


class Hints:
    """What a commit changed that others wait for. `freed` are queues that have one running instance less, `ended` the
    instances that have ended, which no other node is told of.
    """

    __slots__ = ("due", "ended", "freed", "last_seqs", "sent")

    def __init__(self) -> None:
        self.last_seqs: dict[int, int | None] = {}
        self.due: int | None = None
        self.sent: int | None = None
        self.freed: set[str] = set()
        self.ended: list[int] = []

    def __bool__(self) -> bool:
        return bool(self.last_seqs or self.freed) or self.due is not None or self.sent is not None

    def add_row(self, row: InstanceRow, before: InstanceRow | None) -> None:
        """An instance that was changed, from what it was before, or created."""
        self.last_seqs[row.key] = row.last_seq
        if row.owner is None and row.due_at is not None:
            self.add_due(row.due_at)
        for look in looks(before, row):
            self.add_due(look.at)
        if row.status in FINAL_STATUSES and (before is None or before.status not in FINAL_STATUSES):
            self.ended.append(row.key)
        if before is not None and before.owner is not None and row.owner is None:
            self.freed.add(row.queue)

    def add_due(self, at: int) -> None:
        """Something falls due at a time."""
        self.due = at if self.due is None else min(at, self.due)

    def add_sent(self, at: int | None) -> None:
        """Messages were sent, the first of which falls due at a time; None: none were."""
        if at is not None:
            self.sent = at if self.sent is None else min(at, self.sent)

    def add_deleted(self, key: int, queue: str, *, owned: bool) -> None:
        """An instance that was deleted."""
        self.last_seqs[key] = None
        if owned:
            self.freed.add(queue)

    def merge(self, other: "Hints") -> None:
        """Add those of another commit."""
        self.last_seqs.update(other.last_seqs)
        self.freed |= other.freed
        self.ended += other.ended
        self.add_sent(other.sent)
        if other.due is not None:
            self.add_due(other.due)


class _Message(msgspec.Struct, array_like=True):
    """`number` counts the sender's, so that it knows its own when it comes back."""

    sender: str
    last_seqs: list[tuple[int, int | None]]
    due: int | None
    freed: list[int]
    number: int = 0
    sent: int | None = None  # the last field, which nodes of an older version pass over


_decode = msgspec.json.Decoder(_Message).decode


def _digest(queue: str) -> int:
    """Names of queues may be long. A collision costs a look at a queue that has nothing."""
    return zlib.crc32(queue.encode())


class Messenger:
    """Sends this node's hints and receives the others'.

    `full` are queues that this node's claims have passed over, since they were at their limit of running instances.

    Args:
        notifications: the subscriptions of this process.
        seconds: how long hints take from a commit until they come back to this node.
    """

    def __init__(self, connections: Connections, notifications: Notifications, seconds: Histogram) -> None:
        self._connections, self._notifications = connections, notifications
        self.full: set[str] = set()
        self._sender = uuid4().hex[:12]
        self._seconds = seconds
        self._since = 0.0  # when the oldest of the outgoing hints came
        self._underway: dict[int, float] = {}  # the same of messages that were sent, by number
        self._number = 0
        self._outgoing = Hints()
        self._timer: asyncio.TimerHandle | None = None
        self._sending = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken = asyncio.Event()  # whether the connection that listens is, or need not listen any more
        self._started = self._closed = False

    def start(self) -> None:
        """Listen from now on, where that works; calling it again does nothing."""
        if not (self._started or self._closed or self._connections.pooled):
            self._started = True
            self._spawn(self._listen_for_ever())

    def publish(self, hints: Hints) -> None:
        """Tell this process at once, and the other nodes soon."""
        self._receive(list(hints.last_seqs.items()), hints.due, {_digest(queue) for queue in hints.freed}, hints.sent)
        if hints.ended:
            self._notifications.notify(CommitChanges(ended=hints.ended))
        if self._connections.pooled and not hints:
            return
        if not self._outgoing:
            self._since = perf_counter()
        self._outgoing.merge(hints)
        if self._timer is None and not self._sending and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(SEND_AFTER_SECONDS, self._send_soon)

    async def flush(self) -> None:
        """Send what was not sent yet."""
        if self._timer is not None:
            self._timer.cancel()
        if self._outgoing:
            with suppress(StoreError):
                await self._connections.reading(NOTIFY, list(self._messages(self._outgoing)))

    async def close(self) -> None:
        """Stop; nothing is cancelled that may be connecting."""
        self._closed = True
        self._broken.set()
        self._notifications.close()
        await asyncio.gather(*self._tasks, self._notifications.wait_closed(), return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _receive(
        self, last_seqs: list[tuple[int, int | None]], due: int | None, freed: Iterable[int], sent: int | None
    ) -> None:
        if self.full and freed:
            digests = {_digest(queue): queue for queue in self.full}
            found = {digests[digest] for digest in freed if digest in digests}
            if found:
                self.full -= found
                due = 0
        self._notifications.notify(CommitChanges(last_seqs, due, sent=sent))

    def _send_soon(self) -> None:
        self._timer, self._sending = None, True
        self._spawn(self._send())

    async def _send(self) -> None:
        try:
            while self._outgoing and not self._closed:
                hints, self._outgoing = self._outgoing, Hints()
                await self._connections.reading(NOTIFY, list(self._messages(hints)))
                if self._outgoing:
                    await asyncio.sleep(SEND_AFTER_SECONDS)
        except StoreError:
            pass  # the others poll
        finally:
            self._sending = False

    def _messages(self, hints: Hints) -> Iterator[str]:
        keys, freed, due = list(hints.last_seqs.items()), [_digest(queue) for queue in hints.freed], hints.due
        sent = hints.sent
        while keys or freed or due is not None or sent is not None:
            self._number += 1
            if len(self._underway) < UNDERWAY_MAX:
                self._underway[self._number] = self._since
            part = keys[:KEYS_PER_MESSAGE], due, freed[:KEYS_PER_MESSAGE]
            message = _Message(self._sender, *part, self._number, sent)
            keys, freed, due, sent = keys[KEYS_PER_MESSAGE:], freed[KEYS_PER_MESSAGE:], None, None
            yield msgspec.json.encode(message).decode()

    async def _listen_for_ever(self) -> None:
        while not self._closed:
            connection: Connection = None
            try:
                connection = await self._connections.open_one()
                broken = self._broken = asyncio.Event()
                connection.add_termination_listener(lambda _, broken=broken: broken.set())
                self._underway.clear()  # what was sent before does not come back
                await connection.add_listener(CHANNEL, self._on_message)
                self._notifications.poll_now()  # for what was sent meanwhile
                if not self._closed:
                    await broken.wait()
            except (StoreError, *DatabaseFault):
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                if connection is not None:
                    with suppress(*DatabaseFault):
                        await connection.close(timeout=1)

    def _on_message(self, _connection: object, _process: int, _channel: str, text: str) -> None:
        try:
            message = _decode(text)
        except msgspec.DecodeError:
            return  # of a newer version; the poll finds it
        if message.sender != self._sender:
            self._receive(message.last_seqs, message.due, message.freed, message.sent)
        elif (since := self._underway.pop(message.number, None)) is not None:
            self._seconds.add(perf_counter() - since)
