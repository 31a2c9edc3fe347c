"""Queues of messages: what a tenant has set about each, its messages, and what is done with a delivery.

A message is ready once it is due; `take` then puts it into a delivery, a batch that one instance handles, and its
delivery's id stands in its row until `settle` says what became of it. Both are transactions, so that a message is in
one delivery at a time, however many nodes take. A delivery's id is made of its first message and how often that was
taken, so that whoever finds a delivery without an instance makes the one that was meant.

The order is best effort, by due time; a message is delivered at least once.

Where a row says tenant, it has the messages' owner: a tenant, or a run without one, whose messages go with it. The
run's nonce is part of that name, so that nobody can guess the id of a delivery, which is what one needs to see it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from playground.store.encoding import decode
from playground.store.rows import InstanceRow
from playground.workflows.names import derived_id

BATCH_BYTES = 512 * 1024  # of the bodies of one delivery, unless its first message alone has more
DELIVERIES_AT_ONCE = 50  # that one `take` begins, so that other commits need not wait for long
_RUN_MARK = "/"  # begins the name of an owner that is a run; no tenant's name holds it


class QueueSettings(msgspec.Struct, frozen=True):
    """What a tenant may set about a queue. Times are milliseconds.

    `consumer` is the workflow whose code handles its messages; `metadata`, encoded, go with each delivery to the
    dispatcher of a program; a queue of deployed code, or of a run, has none. A message that was delivered
    `max_retries` times more than once is dead: it goes to the queue `dead_letter_queue`, or is kept where it is.
    """

    consumer: str
    max_batch_size: int = 10
    max_batch_timeout_ms: int = 5_000
    max_retries: int = 3
    retry_delay_ms: int = 0
    delivery_delay_ms: int = 0
    max_concurrency: int = 10
    dead_letter_queue: str | None = None
    metadata: Any = None


class QueueCounts(NamedTuple):
    """How many messages of a queue wait (due or delayed), are being delivered, and are dead."""

    waiting: int = 0
    delivering: int = 0
    dead: int = 0


class QueueRow(NamedTuple):
    """A queue of a tenant."""

    tenant: str
    name: str
    settings: QueueSettings
    counts: QueueCounts = QueueCounts()


class NewMessage(NamedTuple):
    """A message to send; `body` is encoded, `id` unique in the tenant. `delay_ms` None: as the queue has it."""

    id: str
    content_type: str
    body: Any
    delay_ms: int | None = None


class Message(NamedTuple):
    """A message as stored. `attempts` counts its deliveries since it was sent, revived or moved to this queue."""

    id: str
    sent_at: int
    attempts: int
    content_type: str
    body: Any
    dead_at: int | None = None


class Delivery(NamedTuple):
    """A batch that one instance of the queue's consumer handles; `id` is that instance's."""

    tenant: str
    queue: str
    id: str

    @property
    def run(self) -> int | None:
        """The key of the run that owns the messages; None: a tenant does."""
        return int(self.tenant.split(_RUN_MARK)[1]) if self.tenant.startswith(_RUN_MARK) else None

    @property
    def tenant_of_instance(self) -> str:
        """The tenant of the instance that handles the batch, "" for nobody's."""
        return self.tenant if self.run is None else ""


class Outcome(NamedTuple):
    """What becomes of a message of a delivery: acknowledged, and so gone; due again at a time; or dead."""

    acked: bool = False
    due_at: int = 0
    dead: bool = False


class Taken(NamedTuple):
    """The deliveries that have begun, and when messages may be ready next; None: not before one is sent or settled."""

    deliveries: Sequence[Delivery]
    next_at: int | None


class MessageStore(Protocol):
    """Queues and their messages. Times are epoch milliseconds."""

    async def put_queue(self, tenant: str, name: str, settings: QueueSettings, *, most: int) -> bool:
        """Make a queue, or change one. False: the tenant has `most` queues already, and nothing was changed."""

    async def queue(self, tenant: str, name: str) -> QueueSettings | None:
        """The settings of a queue; None where there is none of this name."""

    async def queues(self, tenant: str) -> Sequence[QueueRow]:
        """The queues of a tenant by name, each with the number of its messages."""

    async def delete_queue(self, tenant: str, name: str) -> bool:
        """Delete a queue and all its messages; whether there was one."""

    async def send(self, tenant: str, queue: str, messages: Sequence[NewMessage], *, at: int, most: int) -> bool:
        """Put messages into a queue. False: the tenant would have more than `most` messages, and none was put."""

    async def count(self, tenant: str) -> int:
        """How many messages a tenant has in all its queues, dead ones too."""

    async def take(self, *, at: int, most_per_tenant: int, of_programs: bool = False) -> Taken:
        """Begin deliveries of what is ready at a time, in programs' queues or in all others.

        A batch is ready when it is full, or when its oldest message has been due for `max_batch_timeout_ms`, and the
        queue has fewer than `max_concurrency` deliveries, and its tenant fewer than `most_per_tenant`.
        """

    async def next_due(self) -> int | None:
        """When the first message that is in no delivery is, or was, due; None: there is none."""

    async def open_deliveries(self, *, of_programs: bool = False, limit: int = 10_000) -> Sequence[Delivery]:
        """Deliveries that have not been settled, of programs' queues or of all others."""

    async def delivered(self, delivery: Delivery) -> Sequence[Message]:
        """The messages of a delivery, in the order in which they were due; none once it is settled."""

    async def settle(self, delivery: Delivery, outcomes: Mapping[str, Outcome], *, at: int) -> None:
        """Say what became of the messages of a delivery, by their ids. Again it has no effect."""

    async def dead(self, tenant: str, queue: str, *, limit: int) -> Sequence[Message]:
        """The dead messages of a queue, those first that died first."""

    async def revive(self, tenant: str, queue: str, id: str, *, at: int) -> bool:
        """Send a dead message again; whether there is one."""

    async def delete_dead(self, tenant: str, queue: str, id: str) -> bool:
        """Delete a dead message; whether there was one."""


def delivery_id(tenant: str, queue: str, number: int, taken: int) -> str:
    """The id of the delivery whose first message has this number and is taken the `taken`th time."""
    return "queue-" + derived_id(f"{tenant}/{queue}/{number}/{taken}")


def owner_of(row: InstanceRow) -> str:
    """Who owns the messages that an instance sends."""
    return row.tenant or f"{_RUN_MARK}{row.key}{_RUN_MARK}{row.nonce or ''}"


def first_batch(sizes: Sequence[int], most: int) -> int:
    """How many of the next messages, of these sizes in bytes, go into one delivery of at most `most` messages."""
    total = 0
    for count, size in enumerate(sizes[:most]):
        total += size
        if count and total > BATCH_BYTES:
            return count
    return min(len(sizes), most)


def next_batch(ready: Sequence[Sequence[int]], settings: QueueSettings, at: int) -> tuple[int, int | None]:
    """How many of a queue's next ready messages go into its next delivery.

    With 0 of them, the time at which those that are there go without waiting for more; None: there are none.

    Args:
        ready: (number, due_at, taken, bytes), the oldest first, at most as many as a batch takes.
        at: epoch milliseconds.
    """
    if not ready:
        return 0, None
    count = first_batch([size for *_, size in ready], settings.max_batch_size)
    full_at = ready[0][1] + settings.max_batch_timeout_ms
    if len(ready) < settings.max_batch_size and count == len(ready) and full_at > at:
        return 0, full_at
    return count, None


def taken(begun: Sequence[Delivery], ready_at: Sequence[int], later: int | None, at: int) -> Taken:
    """What a `take` at a time gives, by the times at which batches are ready and at which the next message is due."""
    times = [*ready_at, *([at] if len(begun) >= DELIVERIES_AT_ONCE else []), *([] if later is None else [later])]
    return Taken(begun, min(times, default=None))


def message_row(row: Sequence[Any]) -> Message:
    """From a row of the columns id, sent_at, tries, content_type, body and dead_at."""
    id, sent_at, tries, content_type, body, dead_at = row
    return Message(id, sent_at, tries, content_type, decode(body), dead_at)


read_settings = msgspec.json.Decoder(QueueSettings).decode


def settings_json(settings: QueueSettings) -> str:
    """The settings as they are stored."""
    return msgspec.json.encode(settings).decode()
