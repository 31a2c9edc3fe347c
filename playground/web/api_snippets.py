"""Snippets: immutable code with its params, under the hash of both."""

import json
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.store.protocol import Snippet
from playground.web import bodies
from playground.web.check import body_limit, check_size
from playground.web.context import Context
from playground.web.errors import SnippetNotFound
from playground.web.responses import json_response
from playground.web.views import snippet_url
from playground.workflows import values

FOR_GOOD = "public, max-age=31536000, immutable"


class SnippetBody(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    params: Any = msgspec.UNSET


async def create(context: Context, request: Request) -> Response:
    """Store code under its hash. Code with errors may be shared too: to ask about it."""
    body = await bodies.read_object(request, SnippetBody, body_limit(context) + context.settings.value_bytes)
    context.limits.snippets.take(context.addresses.of(request))
    given = body.params is not msgspec.UNSET
    stored = await put(context, body.source, body.params if given else None, has_params=given)
    url = snippet_url(stored.id)
    return json_response({"id": stored.id, "url": url}, 201, {"Location": url})


async def get(context: Context, request: Request) -> Response:
    """A snippet with its source and params."""
    found = await find(context, request.path_params["snippet"])
    params = json.loads(found.params) if found.params else None
    shown = {
        "id": found.id,
        "url": snippet_url(found.id),
        "source": found.source,
        "params": params,
        "created_at": found.created_at,
    }
    return json_response(shown, headers={"Cache-Control": FOR_GOOD})


async def put(context: Context, source: str, params: Any, *, has_params: bool) -> Snippet:
    """Store code and params (a JSON value).

    Raises:
        TooLarge: source or params are over their limits.
        NotSerialisable: params hold what can't be stored.
    """
    check_size(context, source)
    values.encode_bounded(params, "params", context.settings.value_bytes)
    text = json.dumps(params, ensure_ascii=False, allow_nan=False, indent=2) if has_params else None
    return await context.store.put_snippet(source, text, at=context.now())


async def find(context: Context, id: str) -> Snippet:
    """The snippet of an id. Raises SnippetNotFound."""
    found = await context.store.snippet(id)
    if found is None:
        raise SnippetNotFound("There is no shared code at this address. Was the link copied whole?")
    return found
