"""`env.QUEUE` and `env.QUEUES`: a tenant's code sends messages into queues of its own tenant.

A message that a step sends is an event of its journal and goes into its queue in the transaction that holds the step's
result: an attempt that fails has sent nothing. Outside steps it is sent at once, and again whenever the code is
replayed.

A run of the page, which is nobody's, has one queue of its own, `env.QUEUE`, handled by its own code: each delivery is a
child of the run, with a queue of its own again, as deep as children may go (`child_depth`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from playground.engine.bindings.binding import Binding, CallContext
from playground.engine.message_queues import DEFAULT_QUEUE, SendsTo
from playground.engine.message_rules import BODY_BYTES, messages_full, new_messages, run_messages_full
from playground.store.messages import QueueSettings, owner_of
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.errors import BindingError, MessagesFull
from playground.workflows.events import NewEvent

QUEUE = "QUEUE"  # the binding of the queue `default`


class Queues(Binding):
    """The queues of one owner of messages. `default` names the one that the stub sends to by itself; None: a stub that
    has all.
    """

    setting = "messages_per_tenant"  # how many messages the owner may have

    def __init__(self, queues: SendsTo, tenant: str, default: str | None = None) -> None:
        self._queues, self._tenant, self._default = queues, tenant, default

    async def _settings(self, queue: str, call: CallContext) -> QueueSettings:
        return await self._queues.queue(self._tenant, queue)

    def _full(self, most: int) -> MessagesFull:
        return messages_full(most)

    def describe(self) -> Mapping[str, Any]:
        """See `Binding`."""
        return {"queues": True} if self._default is None else {"queue": self._default}

    async def send(self, queue: str, messages: Sequence[Mapping[str, Any]], *, call: CallContext) -> None:
        """Send 1 to 100 messages, each as `{"body", "content_type", "delay_seconds"}`."""
        host = call.host
        if not isinstance(queue, str) or not isinstance(messages, list):
            raise BindingError("A queue takes its name, and a list of messages.")
        settings = await self._settings(queue, call)
        batch = [_entry(message) for message in messages]
        made = new_messages(batch, [_id(call) for _ in batch])
        most = host.limit(self.setting)
        unsent = sum(event.type == ev.MESSAGE_SENT for event in host.buffered_writes(call.step))
        if await self._queues.count(self._tenant) + unsent + len(made) > most:
            raise self._full(most)
        for message in made:
            if host.redact(message.body) != message.body:
                raise BindingError(
                    "The body of a message holds a secret of this tenant. Send its name, and read it in the handler."
                )
            data = {
                "queue": queue,
                "id": message.id,
                "content_type": message.content_type,
                "body": message.body,
                "delay_ms": settings.delivery_delay_ms if message.delay_ms is None else message.delay_ms,
            }
            size = values.check_size(message.body, "body", BODY_BYTES)
            await host.write(NewEvent(ev.MESSAGE_SENT, data, call.step), size)


class OwnQueue(Queues):
    """The queue of one instance without a tenant."""

    setting = "messages_per_run"

    def __init__(self, queues: SendsTo, row: InstanceRow) -> None:
        super().__init__(queues, owner_of(row), DEFAULT_QUEUE)

    async def _settings(self, queue: str, call: CallContext) -> QueueSettings:
        if queue != DEFAULT_QUEUE:
            raise BindingError("Only a tenant has queues that are named. Code of the page has one: self.env.QUEUE.")
        if call.host.limit("child_depth") <= 0:
            raise BindingError(
                "This run handles messages of a run that handles messages, and so on: no deeper. Send from a run "
                "further up.",
                setting="child_depth",
            )
        return await self._queues.own_queue(self._tenant)

    def _full(self, most: int) -> MessagesFull:
        return run_messages_full(most)


def bindings_of(queues: SendsTo, tenant: str) -> dict[str, Binding]:
    """What a tenant's code finds in `self.env`."""
    return {QUEUE: Queues(queues, tenant, DEFAULT_QUEUE), "QUEUES": Queues(queues, tenant)}


def _entry(message: Any) -> tuple[Any, Any, Any]:
    if not isinstance(message, dict) or not message.keys() <= {"body", "content_type", "delay_seconds"}:
        raise BindingError("A message is a dict with body, content_type and delay_seconds.")
    return values.encode(message.get("body")), message.get("content_type"), message.get("delay_seconds")


def _id(call: CallContext) -> str:
    """The id of the next message: in a step the same in every attempt of it."""
    host = call.host
    if call.step is not None:
        origin = f"{call.idempotency_key}/message/{host.next_number(call.step)}"
    else:
        origin = f"{host.row.tenant}/{host.row.key}-{host.row.nonce}/{host.row.execution}/{host.next_number(None)}"
    return hashlib.sha256(origin.encode()).hexdigest()[:32]
