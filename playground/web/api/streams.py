"""The streams that an instance's steps append to: which there are, and the values of one, live.

They are called after their values (`stream_values.py` has the messages); `stream.py` holds the connection.
"""

from starlette.requests import Request
from starlette.responses import Response

from playground.web.api.instances import goes_on, last_event_id
from playground.web.context import Context
from playground.web.http.authorization import charge_reading, find_instance, hold_stream
from playground.web.http.responses import NO_STORE, json_response
from playground.workflows import names


async def listed(context: Context, request: Request) -> Response:
    """The streams that steps of an instance have appended to, each with the number of its values that stand."""
    row = await find_instance(context, request)
    await charge_reading(context, request, row, events=row.last_seq)
    return json_response({"streams": await context.views.streams(row)}, headers=NO_STORE)


async def values(context: Context, request: Request) -> Response:
    """The values of a stream, live; one that nothing was appended to yet has none so far."""
    row = await find_instance(context, request)
    name = names.check_stream_name(request.path_params["name"])
    after = last_event_id(request)
    if not await goes_on(context, request, row, after):
        return Response(status_code=204, headers=NO_STORE)
    return context.streams.values_response(row, name, after, hold_stream(context, request))
