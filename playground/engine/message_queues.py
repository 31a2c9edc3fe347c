"""Queues of messages: what may be sent, and the pump that makes an instance of each batch that is ready.

A delivery is an instance of the consumer's newest version, of the class that handles batches; its trigger says
`{"kind": "queue", "queue": name}`; a run without a tenant has its own deliveries, each a child of it (`"of"`) that
runs the same code. Whatever ends it, the pump then settles its messages: the `batch_marked` of its journal say which
are acknowledged and which are to come again, and of a message the first one counts; what none names is acknowledged if
the instance is complete, else comes again.

A queue of a program that embeds the engine is served by pumps of such programs (`Queues`), which have its dispatchers;
every other by those of servers (`Tenants`), which have the deployed code. So both may use one database: a pump that
could not make a delivery would spend its messages' retries on it.

Every node has a pump. What is ready is taken in a transaction, an instance's id follows from its delivery, and a
delivery is settled once, so that several pumps do no harm: one that finds a delivery without an instance (its node died
in between) makes it.

The pump looks when a message was sent (of which the store notifies all nodes, so that none waits for one that died),
when a delivery's journal has grown, and when the next message falls due. For notifications that were lost, and for what
a node that died has left, it also looks every `POLL_MS` while deliveries are open, and else every `SLOW_POLL_MS`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from playground.engine.creation import CreateInstance
from playground.engine.engine import Engine
from playground.engine.looks import Looks
from playground.engine.message_rules import DELAY_MOST_MS, messages_full
from playground.sandbox.frames import size_of
from playground.store.encoding import Encoded
from playground.store.errors import StoreError
from playground.store.messages import Delivery, Message, NewMessage, Outcome, QueueRow, QueueSettings
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows import names
from playground.workflows.errors import (
    Busy,
    InstanceAlreadyExists,
    InstanceExpired,
    InstanceNotFound,
    InvalidQueue,
    QueueNotFound,
    WorkflowError,
)
from playground.workflows.names import MAIN_WORKFLOW, handler_class

TRIGGER = "queue"  # kind of a delivery's trigger
DEFAULT_QUEUE = "default"  # the one that `self.env.QUEUE` is
DEAD_LISTED = 100
OWN_QUEUE = QueueSettings(MAIN_WORKFLOW, max_batch_timeout_ms=1_000)  # of a run without a tenant

POLL_MS = 500
SLOW_POLL_MS = 5_000
NOT_STARTED_MS = 30_000  # until messages whose consumer could not be started come again

# Least and most of the settings of a queue; times are in milliseconds.
_RANGES: Mapping[str, tuple[int, int]] = {
    "max_batch_size": (1, 100),
    "max_batch_timeout_ms": (0, 60_000),
    "max_retries": (0, 100),
    "retry_delay_ms": (0, DELAY_MOST_MS),
    "delivery_delay_ms": (0, DELAY_MOST_MS),
    "max_concurrency": (1, 250),
}

# Makes a new instance of a queue's consumer, without id, params and class: (tenant, workflow, settings, trigger).
Template = Callable[[str, str, QueueSettings, Mapping[str, Any]], Awaitable[CreateInstance]]


class SendsTo(Protocol):
    """The queues that code may send to."""

    async def queue(self, tenant: str, name: str) -> QueueSettings:
        """The settings of a queue. Raises QueueNotFound."""

    async def own_queue(self, owner: str) -> QueueSettings:
        """The settings of the queue of a run without a tenant, which is made where it is not there."""

    async def count(self, tenant: str) -> int:
        """How many messages an owner has."""


class MessageQueues:
    """The queues of all tenants. One for an engine; its pump runs until the engine closes.

    Args:
        of_programs: whether its pump serves the queues of programs, or all others.
    """

    def __init__(self, engine: Engine, template: Template, *, of_programs: bool = False) -> None:
        self._of_programs = of_programs
        self._engine, self._template, self._store = engine, template, engine.store.messages
        self._clock, self._settings = engine.clock, engine.settings
        self._looks = Looks(engine.clock, self._look, self._on_failure)
        self._watched: dict[Delivery, Callable[[], None]] = {}
        self._grown: set[Delivery] = set()  # watched deliveries whose journal has grown
        self._looks.wake()
        engine.run_in_background(self._run())

    # What tenants do.

    async def put(self, tenant: str, name: str, settings: QueueSettings) -> None:
        """Make a queue, or change one. Raises InvalidName, InvalidQueue."""
        names.check_name(name, "queue")
        names.check_name(settings.consumer, "workflow")
        if settings.dead_letter_queue is not None:
            names.check_name(settings.dead_letter_queue, "queue")
            if settings.dead_letter_queue == name:
                raise InvalidQueue("The dead letters of a queue can't go into the queue itself; name another.")
        for field, (least, most) in _RANGES.items():
            if not least <= getattr(settings, field) <= most:
                shown, unit = (field.removesuffix("_ms"), 1_000) if field.endswith("_ms") else (field, 1)
                seconds = " seconds" if unit > 1 else ""
                raise InvalidQueue(f"{shown} of a queue takes {least // unit:,} to {most // unit:,}{seconds}.")
        most_at_once = self._settings.deliveries_per_tenant
        if settings.max_concurrency > most_at_once:
            raise InvalidQueue(
                f"max_concurrency of a queue takes 1 to {most_at_once:,} here: a tenant's queues together have so many "
                "batches at once.",
                setting="deliveries_per_tenant",
            )
        most_queues = self._settings.queues_per_tenant
        if not await self._store.put_queue(tenant, name, settings, most=most_queues):
            raise InvalidQueue(
                f"A tenant has at most {most_queues:,} queues. Delete one first.", setting="queues_per_tenant"
            )
        self.wake()

    async def queue(self, tenant: str, name: str) -> QueueSettings:
        """The settings of a queue. Raises QueueNotFound."""
        found = await self._store.queue(tenant, name)
        if found is None:
            raise QueueNotFound(
                f'This tenant has no queue "{name[:80]}". Make it first, with the workflow that handles its messages.'
            )
        return found

    async def own_queue(self, owner: str) -> QueueSettings:
        """The settings of the queue of a run without a tenant, which is made where it is not there."""
        if await self._store.queue(owner, DEFAULT_QUEUE) is None:
            await self._store.put_queue(owner, DEFAULT_QUEUE, OWN_QUEUE, most=1)
        return OWN_QUEUE

    async def queues(self, tenant: str) -> Sequence[QueueRow]:
        """The queues of a tenant by name, each with the number of its messages."""
        return await self._store.queues(tenant)

    async def delete(self, tenant: str, name: str) -> None:
        """Delete a queue and all its messages; deliveries that run go on. Raises QueueNotFound."""
        if not await self._store.delete_queue(tenant, name):
            await self.queue(tenant, name)

    async def send(self, tenant: str, name: str, messages: Sequence[NewMessage]) -> None:
        """Put messages into a queue; they are on disk when this returns.

        Raises:
            QueueNotFound
            MessagesFull: the tenant has as many messages as it may.
        """
        settings = await self.queue(tenant, name)
        most = self._settings.messages_per_tenant
        sent = [it if it.delay_ms is not None else it._replace(delay_ms=settings.delivery_delay_ms) for it in messages]
        if not await self._store.send(tenant, name, sent, at=self._clock.now(), most=most):
            raise messages_full(most)

    async def count(self, tenant: str) -> int:
        """How many messages an owner has."""
        return await self._store.count(tenant)

    async def dead(self, tenant: str, name: str) -> Sequence[Message]:
        """The dead messages of a queue, at most `DEAD_LISTED`. Raises QueueNotFound."""
        await self.queue(tenant, name)
        return await self._store.dead(tenant, name, limit=DEAD_LISTED)

    async def own_dead(self, owner: str) -> Sequence[Message]:
        """The dead messages of the queue of a run without a tenant, at most `DEAD_LISTED`."""
        return await self._store.dead(owner, DEFAULT_QUEUE, limit=DEAD_LISTED)

    async def revive(self, tenant: str, name: str, id: str) -> None:
        """Send a dead message again, as often as a new one. Raises QueueNotFound."""
        if not await self._store.revive(tenant, name, id, at=self._clock.now()):
            raise QueueNotFound(f'The queue "{name[:80]}" has no dead message "{id[:80]}".')

    async def delete_dead(self, tenant: str, name: str, id: str) -> None:
        """Delete a dead message. Raises QueueNotFound."""
        if not await self._store.delete_dead(tenant, name, id):
            raise QueueNotFound(f'The queue "{name[:80]}" has no dead message "{id[:80]}".')

    # The pump.

    @property
    def at_rest(self) -> bool:
        """Whether the pump waits: for time to pass, a delivery to go on or something to be sent."""
        return self._looks.at_rest

    def wake(self) -> None:
        """Look now."""
        self._looks.wake()

    def _on_sent(self, due_at: int) -> None:
        if due_at <= self._clock.now():
            self.wake()
        else:
            self._looks.wake_at(due_at)

    async def _run(self) -> None:
        unsubscribe = self._engine.store.listen_sent(self._on_sent)
        try:
            await self._looks.run()
        finally:
            unsubscribe()

    def _on_failure(self, error: Exception) -> None:
        if not isinstance(error, StoreError):  # which the store has logged
            self._engine.log("queues_failed", error=f"{type(error).__name__}: {error}")

    async def _look(self) -> int:
        """Follow open deliveries and begin new ones; gives when to look again at the latest."""
        now = self._clock.now()
        self._grown, grown = set(), self._grown
        open_ = await self._store.open_deliveries(of_programs=self._of_programs)
        for delivery in self._watched.keys() - set(open_):
            self._watched.pop(delivery)()
        looked_at = [it for it in open_ if it not in self._watched or it in grown]
        await asyncio.gather(*map(self._follow, looked_at))  # commits made at once are one
        again = due = await self._store.next_due()
        if due is not None and due <= now:
            most = self._settings.deliveries_per_tenant
            taken = await self._store.take(at=now, most_per_tenant=most, of_programs=self._of_programs)
            again = taken.next_at
            await asyncio.gather(*map(self._follow, taken.deliveries))
        latest = now + (POLL_MS if self._watched or open_ else SLOW_POLL_MS)
        return latest if again is None else min(latest, again)

    async def _follow(self, delivery: Delivery) -> None:
        try:
            row: InstanceRow | None = await self._engine.store.find(delivery.tenant_of_instance, delivery.id)
        except InstanceExpired:
            await self._settle(delivery, None)
            return
        except InstanceNotFound:
            row = await self._begin(delivery)
        if row is None:
            return
        if row.status in ev.FINAL_STATUSES:
            await self._settle(delivery, row)
        elif delivery not in self._watched:
            self._watched[delivery] = self._engine.store.listen(row.key, lambda _: self._on_grown(delivery))

    def _on_grown(self, delivery: Delivery) -> None:
        self._grown.add(delivery)
        self.wake()

    async def _begin(self, delivery: Delivery) -> InstanceRow | None:
        messages = await self._store.delivered(delivery)
        settings = await self._store.queue(delivery.tenant, delivery.queue)
        if not messages or settings is None:
            return None
        params = Encoded({"queue": delivery.queue, "messages": [_as_json(message) for message in messages]})
        trigger = {"kind": TRIGGER, "queue": delivery.queue}
        try:
            if delivery.run is None:
                template = await self._template(delivery.tenant, settings.consumer, settings, trigger)
            else:
                template = await self._engine.own_delivery(delivery.run, trigger, size_of(params.value))
            class_name = handler_class(template.class_name)
            new = replace(template, id=delivery.id, id_is_chosen=False, params=params, class_name=class_name)
            return await self._engine.create(new)
        except InstanceAlreadyExists:
            return await self._engine.store.find(delivery.tenant_of_instance, delivery.id)
        except Busy:
            return None  # looked at again, until there is room
        except WorkflowError as refused:
            self._engine.log(
                "queue.not_delivered", tenant=delivery.tenant_of_instance, name=delivery.queue, error=refused.message
            )
            due_at = self._clock.now() + NOT_STARTED_MS
            outcomes = _all_again(messages, settings, due_at)
            await self._store.settle(delivery, outcomes, at=self._clock.now())
            return None

    async def _settle(self, delivery: Delivery, row: InstanceRow | None) -> None:
        messages = await self._store.delivered(delivery)
        settings = await self._store.queue(delivery.tenant, delivery.queue)
        marks = None if row is None else await self._marks(row)
        completed = row is not None and row.status == ev.COMPLETE
        if messages and settings is not None:
            outcomes = settled(messages, settings, marks, completed=completed, now=self._clock.now())
            await self._store.settle(delivery, outcomes, at=self._clock.now())
        unwatch = self._watched.pop(delivery, None)
        if unwatch is not None:
            unwatch()
        self.wake()

    async def _marks(self, row: InstanceRow) -> Mapping[str, Any] | None:
        """What the `batch_marked` of a journal say, together; None: there is none."""
        after, found = 0, []
        while after < row.last_seq:
            page = await self._engine.store.events(row.key, after=after, limit=500)
            if not page:
                break
            found += [event.data for event in page if event.type == ev.BATCH_MARKED]
            after = page[-1].seq
        return joined_marks(found)


def joined_marks(marks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What several `batch_marked` say together: of a message the first counts. None without any."""
    acked: list[str] = []
    retried: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    for each in marks:
        acked += [id for id in each["acked"] if id not in seen]
        retried += [again for again in each["retried"] if again["id"] not in seen]
        seen |= {*each["acked"], *(again["id"] for again in each["retried"])}
    return {"acked": acked, "retried": retried} if marks else None


def settled(
    messages: Sequence[Message],
    settings: QueueSettings,
    marks: Mapping[str, Any] | None,
    *,
    completed: bool,
    now: int,
) -> dict[str, Outcome]:
    """What becomes of the messages of a delivery that has ended.

    Args:
        marks: what its handler has left: `acked`, ids, and `retried`, `{id, delay_ms?}`; None: nothing.
        completed: whether the handler has returned.
    """
    acked = set() if marks is None else set(marks["acked"])
    delays = {} if marks is None else {it["id"]: it.get("delay_ms") for it in marks["retried"]}
    outcomes: dict[str, Outcome] = {}
    for message in messages:
        if message.id in acked or (completed and message.id not in delays):
            outcomes[message.id] = Outcome(acked=True)
        elif message.attempts > settings.max_retries:
            outcomes[message.id] = Outcome(dead=True)
        else:
            delay_ms = delays.get(message.id)
            outcomes[message.id] = Outcome(due_at=now + (settings.retry_delay_ms if delay_ms is None else delay_ms))
    return outcomes


def _all_again(messages: Sequence[Message], settings: QueueSettings, due_at: int) -> dict[str, Outcome]:
    return {
        it.id: Outcome(dead=True) if it.attempts > settings.max_retries else Outcome(due_at=due_at) for it in messages
    }


def _as_json(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "timestamp": message.sent_at,
        "attempts": message.attempts,
        "content_type": message.content_type,
        "body": message.body,
    }
