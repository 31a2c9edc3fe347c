"""A tenant's trigger: an address with a secret of its own, which starts an instance with whatever JSON is posted to
it.
"""

import base64
import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.http import bodies, tokens
from playground.web.http.authorization import tenant_of
from playground.web.http.errors import BadQuery, NothingHere
from playground.web.http.responses import FRESH, json_response
from playground.workflows import names
from playground.workflows.errors import InvalidName

WEBHOOK = "webhook"  # how such an instance says that it was started
IDEMPOTENCY_KEY_LENGTH = 255  # characters
DIGEST_LENGTH = 26  # of the 52 characters that a SHA-256 takes in base32: 130 bits

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
    """Start an instance; the body is its params, any JSON or nothing. No key is needed: the address is the secret.

    Called again with the same `id`, or the same Idempotency-Key header, it starts nothing and answers with the instance
    that there is.
    """
    await context.limits.changes.take(f"hook:{context.addresses.of(request)}")
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
    id = _id_of(request)
    if id is None:
        row = await context.tenants.create(tenant, params, trigger=WEBHOOK)
        id, status = row.id, row.status
    else:
        id, status = await context.tenants.create_once(tenant, params, id, WEBHOOK)
    return json_response({"id": id, "status": status}, 202, FRESH)


def _id_of(request: Request) -> str | None:
    """The id that the instance is to have: the one in the address, or one made of the Idempotency-Key, which may be any
    text. None: any.
    """
    id = request.query_params.get("id")
    key = request.headers.get("idempotency-key")
    if id is not None or key is None:
        return id
    if not 0 < len(key) <= IDEMPOTENCY_KEY_LENGTH:
        raise BadQuery(f"Idempotency-Key takes 1 to {IDEMPOTENCY_KEY_LENGTH} characters.")
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return "hook-" + base64.b32encode(digest).decode().lower()[:DIGEST_LENGTH]
