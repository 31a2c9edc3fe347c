"""Queues of messages for programs that embed the engine: `Queues(engine).of({"tenant": "acme"})`.

A queue names the dispatcher whose code handles its messages, by the dispatcher's name. The metadata by which the queue
was made are those of each delivery, so that the loader finds the tenant's code. A delivery waits for a dispatcher of
that name, as every instance does. Times are seconds here, as in code.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from playground.engine.bindings.binding import Binding
from playground.engine.bindings.queues import bindings_of
from playground.engine.code.dispatcher import NAME
from playground.engine.code.metadata import check_metadata, tenancy
from playground.engine.creation import CreateInstance
from playground.engine.engine import Engine
from playground.engine.message_queues import MessageQueues
from playground.engine.message_rules import delay_ms, new_messages
from playground.store.encoding import as_objects
from playground.store.messages import QueueCounts, QueueSettings
from playground.workflows import values
from playground.workflows.errors import InvalidQueue


class DeadMessage(NamedTuple):
    """A message that was delivered as often as it may be. `sent_at` and `dead_at` are epoch milliseconds."""

    id: str
    body: Any
    content_type: str
    attempts: int
    sent_at: int
    dead_at: int


class Queues:
    """The queues of all tenants of an engine's dispatchers. One for an engine, made right after it is open: from then
    on messages are delivered.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queues = MessageQueues(engine, self._template, of_programs=True)

    def of(self, metadata: Mapping[str, Any]) -> "TenantQueues":
        """The queues of one tenant, which is named as for `Dispatcher.wrap_binding`.

        Raises:
            MissingDispatcherMetadataError: there is none.
            InvalidMetadata: it is not JSON, or too large.
        """
        return TenantQueues(self._engine, self._queues, check_metadata(metadata))

    async def _template(self, tenant: str, consumer: str, settings: QueueSettings, trigger: Any) -> CreateInstance:
        metadata = values.decode(as_objects(settings.metadata))
        return CreateInstance(None, tenant=tenant, workflow=consumer, metadata=metadata, trigger=trigger)


class TenantQueues:
    """The queues of one tenant. Make it with `Queues.of`."""

    def __init__(self, engine: Engine, queues: MessageQueues, metadata: Mapping[str, Any]) -> None:
        self._engine, self._queues, self._metadata = engine, queues, metadata
        self.tenant = tenancy(metadata)

    def bindings(self) -> dict[str, Binding]:
        """`QUEUE` and `QUEUES`, for the `env` of the tenant's `Code`."""
        return bindings_of(self._queues, self.tenant)

    async def put(
        self, name: str, consumer: str = NAME, *, max_batch_size: int = 10, max_batch_timeout: float = 5,
        max_retries: int = 3, retry_delay: float = 0, delivery_delay: float = 0, max_concurrency: int = 10,
        dead_letter_queue: str | None = None,
    ) -> None:  # fmt: skip
        """Make a queue, or change one; what is left out is as by default.

        Args:
            consumer: the name of the dispatcher whose code handles the messages, in a `WorkerEntrypoint` class.
            max_batch_timeout: how long messages wait for others, in seconds, until a batch is full.
            max_retries: deliveries after the first, after which a message is dead.
            dead_letter_queue: where dead messages go; without one they are kept.

        Raises:
            InvalidName: a name can't be used.
            InvalidQueue: a setting is out of its range, or the tenant has as many queues as it may.
        """
        settings = QueueSettings(
            consumer, max_batch_size, _ms(max_batch_timeout), max_retries, _ms(retry_delay), _ms(delivery_delay),
            max_concurrency, dead_letter_queue, values.encode(dict(self._metadata)),
        )  # fmt: skip
        await self._queues.put(self.tenant, name, settings)

    async def list(self) -> Mapping[str, QueueCounts]:
        """The queues by name, each with how many messages wait, are being delivered, and are dead."""
        return {row.name: row.counts for row in await self._queues.queues(self.tenant)}

    async def delete(self, name: str) -> None:
        """Delete a queue and all its messages; deliveries that run go on. Raises QueueNotFound."""
        await self._queues.delete(self.tenant, name)

    async def send(
        self, name: str, body: Any, *, content_type: str | None = None, delay_seconds: float | None = None
    ) -> str:
        """Send one message; it is on disk when this returns. Gives its id.

        Args:
            content_type: `json` (the default), `text`, `bytes`, or `v8` for any value that can be stored.
            delay_seconds: None: as the queue has it.

        Raises:
            QueueNotFound: make it first.
            InvalidQueue, NotSerialisable, TooLarge: the message can't be used.
            MessagesFull: the tenant has as many messages as it may.
        """
        message = {"body": body, "content_type": content_type, "delay_seconds": delay_seconds}
        return (await self.send_batch(name, [message]))[0]

    async def send_batch(self, name: str, messages: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        """Send 1 to 100 messages, each as `{"body", "content_type"?, "delay_seconds"?}`, together. As `send`."""
        for message in messages:
            if not message.keys() <= {"body", "content_type", "delay_seconds"} or "body" not in message:
                raise InvalidQueue("A message is a dict with body, content_type and delay_seconds.")
        batch = [(values.encode(it["body"]), it.get("content_type"), it.get("delay_seconds")) for it in messages]
        made = new_messages(batch, [self._engine.ids.token() for _ in batch])
        await self._queues.send(self.tenant, name, made)
        return [message.id for message in made]

    async def dead(self, name: str) -> Sequence[DeadMessage]:
        """The dead messages of a queue, those first that died first, at most 100. Raises QueueNotFound."""
        found = await self._queues.dead(self.tenant, name)
        return [
            DeadMessage(
                it.id, values.decode(as_objects(it.body)), it.content_type, it.attempts, it.sent_at, it.dead_at or 0
            )
            for it in found
        ]

    async def retry_dead(self, name: str, id: str) -> None:
        """Send a dead message again, as often as a new one. Raises QueueNotFound."""
        await self._queues.revive(self.tenant, name, id)

    async def delete_dead(self, name: str, id: str) -> None:
        """Delete a dead message. Raises QueueNotFound."""
        await self._queues.delete_dead(self.tenant, name, id)


def _ms(seconds: float) -> int:
    return delay_ms(seconds) or 0
