"""The line of the log that each refused request has, wherever in it the refusal is."""

import re

from starlette.requests import Request

from playground.web.context import Context
from playground.web.http.authorization import TENANT
from playground.web.http.errors import error_status
from playground.workflows.errors import WorkflowError

# Limits that a tenant meets, from wherever it asks.
TENANT_LIMITS = (
    "requests_per_tenant",
    "queued_per_tenant",
    "check_seconds_per_minute",
)
SCOPE_ROUTE = "playground.route"  # where the path of the call stands in the ASGI scope

_LONG_SEGMENT = re.compile(r"[^/]{24,}")


def log_refusal(context: Context, request: Request, error: WorkflowError) -> None:
    """Say on one line of the log that a request was refused.

    The line has the route, not the address: a link to a run is a secret.
    """
    route = request.scope.get(SCOPE_ROUTE) or _LONG_SEGMENT.sub("…", request.url.path[:120])
    fields = {"status": error_status(error), "code": error.code, "method": request.method, "route": route}
    client = context.addresses.client_of(request)
    setting = error.details.get("setting")
    if setting is None:
        context.log("refused", **fields, client=client, why=_without_id(request, error))
    else:
        of_tenant = setting in TENANT_LIMITS and request.path_params.get(TENANT)
        context.engine.counts.limit(setting, of_tenant or client, **fields)


def _without_id(request: Request, error: WorkflowError) -> str:
    """Why, in words. The id of a run is what lets it be read."""
    id = error.details.get("id") or request.path_params.get("id")
    return (error.message.replace(f'"{id}"', '"…"') if id else error.message)[:300]
