"""Where the live journal of an instance is asked for; sse.py says what comes."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.http.authorization import find, spend_reading
from playground.web.http.errors import BadQuery
from playground.web.http.responses import FRESH
from playground.workflows import events as ev


async def stream(context: Context, request: Request) -> Response:
    """The journal of an instance, live."""
    row = await find(context, request)
    after = _after(request)
    final = row.status in ev.FINAL_STATUSES
    if final and after == row.last_seq:
        return Response(status_code=204, headers=FRESH)
    await spend_reading(context, request, row, events=row.last_seq - after if after <= row.last_seq else row.last_seq)
    view = await context.views.instance(row) if after > row.last_seq else None
    address, limit = context.addresses.of(request), context.limits.streams
    limit.enter(address)
    return context.streams.respond(row, after, view, partial(limit.leave, address))


def _after(request: Request) -> int:
    """Where to go on: the Last-Event-ID of a reconnect wins over the address that the page was opened with."""
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text:
            if not (text.isascii() and text.isdigit() and len(text) <= 16):
                raise BadQuery(f"`{name}` takes the seq of the last event received, a whole number.")
            return int(text)
    return 0
