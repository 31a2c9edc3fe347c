"""Is it up, how well is it isolated, and how much is waiting."""

import sys

from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.responses import FRESH, json_response
from playground.web.views import ANONYMOUS
from playground.workflows import events as ev

UNFINISHED = tuple(status for status in ev.STATUSES if status not in ev.FINAL_STATUSES)


async def healthz(context: Context, request: Request) -> Response:
    """The isolation tier, the store, versions and the depth of the queue."""
    counts = await context.store.count(tenant=ANONYMOUS)  # what tenants have is told to them, and to the operator at /tenants
    answer = {
        "status": "ok",
        "version": context.version,
        "python": sys.version.split()[0],
        "isolation": context.tier(),
        "store": {
            "kind": context.settings.database.partition(":")[0],
            "synchronous": context.settings.synchronous,
            "secrets": "encrypted" if context.settings.encrypts_secrets else "plain",
        },
        "instances": {status: counts.get(status, 0) for status in UNFINISHED},
        "workers": {"running": context.engine.running(), "slots": context.settings.slots},
        "streams": context.limits.streams.total(),
    }
    return json_response(answer, headers=FRESH)
