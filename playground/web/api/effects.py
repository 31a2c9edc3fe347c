"""The ledger of an instance's pretended side effects, which shows what happened twice."""

from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.effect_ledger import shown
from playground.web.http.authorization import find
from playground.web.http.responses import json_response, unchanged


async def effects(context: Context, request: Request) -> Response:
    """The side effects that an instance pretended to have, oldest first; `double_of` names the one that this one
    repeats.
    """
    row = await find(context, request)
    happened, asked = await context.store.effects.edition(row.key)
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{happened}-{asked}"'}
    if (known := unchanged(request, headers)) is not None:  # a page asks often while a step runs
        return known
    found = await context.store.effects.of(row.key)
    return json_response({"effects": shown(found)}, headers=headers)
