"""A tenant's queues of messages over the API: make them, send to them, and look after their dead letters. A run
without a tenant has one queue of its own, which need not be made: of it only the dead letters are here.

Times are seconds here, as in code; a body is any JSON. Of the content types, `bytes` takes its body as base64.
"""

import base64
import binascii
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.message_queues import DEFAULT_QUEUE
from playground.engine.message_rules import BATCH_BYTES, BYTES, delay_ms, new_messages
from playground.store.messages import Message, QueueRow, QueueSettings, owner_of
from playground.web.api.operations import find_controlled_instance
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import authorized_tenant, find_instance
from playground.web.http.responses import NO_STORE, json_response
from playground.workflows import values
from playground.workflows.errors import InvalidQueue
from playground.workflows.names import MAIN_WORKFLOW

NAME, ID, MESSAGE = "name", "id", "message"
SEND_BYTES = 4 * BATCH_BYTES  # of a request that sends: bodies as JSON text, with what stands around them
SECOND_MS = 1_000


class QueueBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out is as by default, also where the queue had it otherwise."""

    consumer: str = MAIN_WORKFLOW
    max_batch_size: int = 10
    max_batch_timeout: float = 5
    max_retries: int = 3
    retry_delay: float = 0
    delivery_delay: float = 0
    max_concurrency: int = 10
    dead_letter_queue: str | None = None


class MessageBody(msgspec.Struct, forbid_unknown_fields=True):
    body: msgspec.Raw
    content_type: str | None = None
    delay_seconds: float | None = None


class SendBody(msgspec.Struct, forbid_unknown_fields=True):
    """Either one message, or `messages`."""

    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    content_type: str | None = None
    delay_seconds: float | None = None
    messages: list[MessageBody] | msgspec.UnsetType = msgspec.UNSET


async def put(context: Context, request: Request) -> Response:
    """Make a queue, or change one: which workflow handles its messages, in what batches, and how often."""
    tenant, name = await authorized_tenant(context, request), request.path_params[NAME]
    body = await bodies.read_object(request, QueueBody, bodies.OVERHEAD_BYTES)
    settings = QueueSettings(
        body.consumer,
        body.max_batch_size,
        _milliseconds(body.max_batch_timeout),
        body.max_retries,
        _milliseconds(body.retry_delay),
        _milliseconds(body.delivery_delay),
        body.max_concurrency,
        body.dead_letter_queue,
    )
    await context.tenants.queues.put(tenant, name, settings)
    _log(context, request, tenant, name)
    return json_response(_queue_json(QueueRow(tenant, name, settings)), 201, NO_STORE)


async def queues(context: Context, request: Request) -> Response:
    """The queues by name, each with how many messages wait, are being delivered, and are dead."""
    tenant = await authorized_tenant(context, request)
    found = await context.tenants.queues.queues(tenant)
    shown = [_queue_json(row) | row.counts._asdict() for row in found]
    return json_response({"queues": shown}, headers=NO_STORE)


async def delete(context: Context, request: Request) -> Response:
    """Delete a queue and all its messages; a delivery that runs goes on."""
    tenant, name = await authorized_tenant(context, request), request.path_params[NAME]
    await context.tenants.queues.delete(tenant, name)
    _log(context, request, tenant, name)
    return Response(status_code=204)


async def send(context: Context, request: Request) -> Response:
    """Send one message, or `messages`, 1 to 100; they are on disk when this answers."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, SendBody, SEND_BYTES)
    if (body.body is msgspec.UNSET) == (body.messages is msgspec.UNSET):
        raise InvalidQueue("Send either `body`, one message, or `messages`, a list of them.")
    if isinstance(body.messages, list):
        given = [(it.body, it.content_type, _or(it.delay_seconds, body.delay_seconds)) for it in body.messages]
    else:
        assert isinstance(body.body, msgspec.Raw), "one of the two was given"
        given = [(body.body, body.content_type, body.delay_seconds)]
    batch = [(_encoded(raw, content_type), content_type, delay) for raw, content_type, delay in given]
    made = new_messages(batch, [context.ids.token() for _ in batch])
    await context.tenants.queues.send(tenant, request.path_params[NAME], made)
    return json_response({"messages": [{"id": message.id} for message in made]}, 202, NO_STORE)


async def dead(context: Context, request: Request) -> Response:
    """The dead messages of a queue, those first that died first, at most 100."""
    tenant = await authorized_tenant(context, request)
    found = await context.tenants.queues.dead(tenant, request.path_params[NAME])
    return json_response({"messages": [_message_json(message) for message in found]}, headers=NO_STORE)


async def retry_dead(context: Context, request: Request) -> Response:
    """Send a dead message again, as often as a new one."""
    tenant = await authorized_tenant(context, request)
    await context.tenants.queues.revive(tenant, request.path_params[NAME], request.path_params[ID])
    return Response(status_code=202)


async def delete_dead(context: Context, request: Request) -> Response:
    """Delete a dead message."""
    tenant = await authorized_tenant(context, request)
    await context.tenants.queues.delete_dead(tenant, request.path_params[NAME], request.path_params[ID])
    return Response(status_code=204)


async def own_dead(context: Context, request: Request) -> Response:
    """The dead messages of a run's own queue, those first that died first, at most 100."""
    row = await find_instance(context, request)
    found = await context.tenants.queues.own_dead(owner_of(row))
    return json_response({"messages": [_message_json(message) for message in found]}, headers=NO_STORE)


async def retry_own_dead(context: Context, request: Request) -> Response:
    """Send a dead message of a run's own queue again, as often as a new one."""
    row = await find_controlled_instance(context, request)
    await context.tenants.queues.revive(owner_of(row), DEFAULT_QUEUE, request.path_params[MESSAGE])
    return Response(status_code=202)


async def delete_own_dead(context: Context, request: Request) -> Response:
    """Delete a dead message of a run's own queue."""
    row = await find_controlled_instance(context, request)
    await context.tenants.queues.delete_dead(owner_of(row), DEFAULT_QUEUE, request.path_params[MESSAGE])
    return Response(status_code=204)


def _log(context: Context, request: Request, tenant: str, name: str) -> None:
    context.log("tenant.queue_changed", tenant=tenant, name=name, client=context.addresses.client_of(request))


def _or(delay: float | None, common: float | None) -> float | None:
    return common if delay is None else delay


def _milliseconds(seconds: float) -> int:
    """Milliseconds of a setting. Raises InvalidQueue for what is longer than any may be."""
    return delay_ms(seconds) or 0


def _encoded(raw: msgspec.Raw, content_type: str | None) -> Any:
    """The stored form of a body. Raises InvalidQueue."""
    body = msgspec.json.decode(raw)
    if content_type != BYTES:
        return values.encode(body)
    try:
        return values.encode(base64.b64decode(body, validate=True))
    except (TypeError, ValueError, binascii.Error):
        raise InvalidQueue("The body of a message of the content type bytes is base64.") from None


def _queue_json(row: QueueRow) -> dict[str, Any]:
    settings = row.settings
    return {
        "name": row.name,
        "consumer": settings.consumer,
        "max_batch_size": settings.max_batch_size,
        "max_batch_timeout": settings.max_batch_timeout_ms / SECOND_MS,
        "max_retries": settings.max_retries,
        "retry_delay": settings.retry_delay_ms / SECOND_MS,
        "delivery_delay": settings.delivery_delay_ms / SECOND_MS,
        "max_concurrency": settings.max_concurrency,
        "dead_letter_queue": settings.dead_letter_queue,
    }


def _message_json(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "sent_at": message.sent_at,
        "dead_at": message.dead_at,
        "attempts": message.attempts,
        "content_type": message.content_type,
        "body": message.body,
    }
