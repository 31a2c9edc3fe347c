"""A tenant's trigger: an address with a secret of its own, which starts an instance with whatever JSON is posted to it."""

import hmac

from starlette.requests import Request
from starlette.responses import Response

from playground.web import bodies, tokens
from playground.web.access import tenant_of
from playground.web.context import Context
from playground.web.errors import NothingHere
from playground.web.responses import FRESH, json_response
from playground.workflows import names
from playground.workflows.errors import InvalidName

_NOT_HERE = "There is no trigger at this address."


async def make(context: Context, request: Request) -> Response:
    """Make the trigger's address, which this answer tells this once; one there was before stops working."""
    tenant = await tenant_of(context, request)
    secret = context.ids.token()
    await context.store.tenants.set_trigger(tenant, tokens.digest(secret))
    context.log("tenant.trigger_made", tenant=tenant, client=context.addresses.of(request))
    return json_response({"url": f"/api/hooks/{tenant}/{secret}"}, 201, FRESH)


async def remove(context: Context, request: Request) -> Response:
    """Take the trigger's address away."""
    tenant = await tenant_of(context, request)
    await context.store.tenants.set_trigger(tenant, None)
    context.log("tenant.trigger_removed", tenant=tenant, client=context.addresses.of(request))
    return Response(status_code=204)


async def pull(context: Context, request: Request) -> Response:
    """Start an instance; the body is its params, any JSON or nothing. No key is needed: the address is the secret."""
    context.limits.changes.take(f"hook:{context.addresses.of(request)}")
    try:
        tenant = names.check_name(request.path_params["tenant"], "tenant")
    except InvalidName:
        raise NothingHere(_NOT_HERE) from None
    found = await context.store.tenants.tenant(tenant)
    expected = (found.trigger_hash if found is not None else None) or ""
    if not hmac.compare_digest(tokens.digest(request.path_params["secret"]), expected):
        raise NothingHere(_NOT_HERE)
    raw = await bodies.read_bytes(request, context.settings.value_bytes + bodies.OVERHEAD_BYTES)
    params = await bodies.checked(raw) if raw.strip() else None
    row = await context.tenants.create(tenant, params, trigger="webhook")
    return json_response({"id": row.id, "status": row.status}, 202, FRESH)
