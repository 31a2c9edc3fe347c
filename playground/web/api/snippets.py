"""Snippets: immutable code with its params, under the hash of both.

The examples, over the API.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine import queues
from playground.store.rows import Snippet
from playground.web.api.check import check_daily_storage, check_source_size, source_body_bytes
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.errors import SnippetNotFound
from playground.web.http.responses import IMMUTABLE, json_response
from playground.web.indented_json import INDENT_UP_TO_BYTES, indent_json
from playground.web.instance_view import snippet_url
from playground.web.pages.example_cards import example_json
from playground.workflows import values


class SnippetBody(bodies.SourceBody, forbid_unknown_fields=True):
    source: str
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


async def create(context: Context, request: Request) -> Response:
    """Store code under its hash. Code with errors may be shared too: to ask about it."""
    body = await bodies.read_object(request, SnippetBody, source_body_bytes(context) + context.settings.value_bytes)
    stored = await store_snippet(
        context, request, body.source, None if body.params is msgspec.UNSET else bytes(body.params)
    )
    url = snippet_url(stored.id)
    return json_response({"id": stored.id, "url": url}, 201, {"Location": url})


async def get(context: Context, request: Request) -> Response:
    """A snippet with its source and params."""
    found = await find_snippet(context, request.path_params["snippet"])
    params = msgspec.Raw(found.params.encode()) if found.params else None
    shown = {
        "id": found.id,
        "url": snippet_url(found.id),
        "source": found.source,
        "params": params,
        "created_at": found.created_at,
    }
    return json_response(shown, headers={"Cache-Control": IMMUTABLE})


async def store_snippet(context: Context, request: Request, source: str, params: bytes | None) -> Snippet:
    """Store code and the JSON text of its params, within what the client's address may do.

    Raises:
        TooMany
        TooLarge: source or params are over their limits.
    """
    address = context.addresses.client_of(request)
    queue = queues.of_address(address)
    await check_daily_storage(context, queue)
    await context.limits.snippets.charge_request(request, address)
    check_source_size(context, source)
    text = None if params is None else format_params(params, context.settings.value_bytes)
    stored = await context.store.put_snippet(source, text, at=context.now())
    context.engine.stored.add(queue, len(stored.source.encode()) + len((stored.params or "").encode()))
    return stored


def format_params(raw: bytes, most: int) -> str:
    """Params of at most so many bytes as they are kept. Raises TooLarge."""
    size = len(msgspec.json.format(raw, indent=-1))
    if size > most:
        refused = values.too_large("params", size, most)
        refused.name_setting("value_bytes")
        raise refused
    if size <= INDENT_UP_TO_BYTES:
        # So that the same params have the same id however they were written.
        raw = msgspec.json.encode(msgspec.json.decode(raw))
    return indent_json(raw)


async def find_snippet(context: Context, id: str) -> Snippet:
    """The snippet of an id. Raises SnippetNotFound."""
    found = await context.store.snippet(id)
    if found is None:
        raise SnippetNotFound("There is no shared code at this address. Was the link copied whole?")
    return found


async def examples(context: Context, request: Request) -> Response:
    """Every example, in order, without its source."""
    return json_response({"examples": [example_json(it) for it in context.examples.values()]})


async def example(context: Context, request: Request) -> Response:
    """One example with its source."""
    found = context.example(request.path_params["slug"])
    return json_response(example_json(found) | {"source": found.source})
