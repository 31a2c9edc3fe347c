"""How several instances stand, in one answer: for the list of recent runs, which knows their ids and nothing else."""

from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.http.errors import BadQuery
from playground.web.http.responses import FRESH, json_response
from playground.web.instance_view import ANONYMOUS
from playground.workflows.errors import InstanceNotFound

IDS_MOST = 50  # in one question


async def statuses(context: Context, request: Request) -> Response:
    """How instances stand; those that are not kept are left out."""
    ids = list(dict.fromkeys(filter(None, request.query_params.get("ids", "").split(","))))
    if not 1 <= len(ids) <= IDS_MOST:
        raise BadQuery(f"`ids` takes 1 to {IDS_MOST} ids of instances, with commas between.")
    # So that to try ids costs the same however they are tried.
    context.limits.reads.spend(request, context.addresses.of(request), len(ids) - 1)
    found = []
    for id in ids:
        try:
            row = await context.store.find(ANONYMOUS, id)
        except InstanceNotFound:
            continue
        found.append({"id": row.id, "status": row.status, "created_at": row.created_at, "ended_at": row.ended_at})
    return json_response({"statuses": found}, headers=FRESH)
