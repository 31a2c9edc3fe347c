"""A tenant over the API: its keys, its end, and the secrets that its code reads. What it deploys: tenant_workflows.py.

A tenant's trigger: an address with a secret of its own, which starts an instance with whatever JSON is posted to
it.
"""

import hmac

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.code.tenants import SECRET_BYTES
from playground.web.api.check import JSON_ESCAPE_FACTOR
from playground.web.context import Context
from playground.web.http import bodies, tokens
from playground.web.http.authorization import TENANT, authorized_tenant, check_operator
from playground.web.http.errors import BadBody, BadQuery, NotFound
from playground.web.http.responses import NO_STORE, json_response
from playground.web.http.tokens import KEY_NAME_LENGTH, KEY_PREFIX
from playground.workflows import names
from playground.workflows.errors import InvalidName


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    value: str


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""


async def make_key(context: Context, request: Request) -> Response:
    """Make a key, and the tenant if it is new; told this once. For the operator."""
    await check_operator(context, request)
    tenant = names.check_name(request.path_params[TENANT], TENANT)
    await context.limits.changes.charge_request(request, context.addresses.client_of(request))
    called = (await bodies.read_short(request, KeyBody)).name
    if len(called) > KEY_NAME_LENGTH or not called.isprintable():
        raise BadBody(f"`name` says what the key is for, in at most {KEY_NAME_LENGTH} printable characters.")
    known = await context.store.tenants.tenant(tenant)
    key = KEY_PREFIX + context.ids.token()
    number = await context.store.tenants.add_key(tenant, called, tokens.digest(key), at=context.now())
    context.log("tenant.key_made", tenant=tenant, number=number, client=context.addresses.client_of(request))
    shown = {"tenant": tenant, "created": known is None, "number": number, "name": called, "key": key}
    return json_response(shown, 201, NO_STORE)


async def delete_tenant(context: Context, request: Request) -> Response:
    """Remove a tenant with everything it has; with `end=true` also while instances are unfinished, which are ended. For
    the operator.
    """
    await check_operator(context, request)
    tenant = names.check_name(request.path_params[TENANT], TENANT)
    await context.limits.changes.charge_request(request, context.addresses.client_of(request))
    end = request.query_params.get("end", "false")
    if end not in ("true", "false"):
        raise BadQuery("`end` takes true or false.")
    removed = await context.tenants.delete(tenant, end=end == "true")
    context.log("tenant.deleted", tenant=tenant, instances=removed, client=context.addresses.client_of(request))
    return json_response({"tenant": tenant, "instances": removed}, headers=NO_STORE)


async def secrets(context: Context, request: Request) -> Response:
    """The names of the secrets; no answer ever has their values."""
    tenant = await authorized_tenant(context, request)
    return json_response({"secrets": await context.tenants.secret_names(tenant)}, headers=NO_STORE)


async def set_secret(context: Context, request: Request) -> Response:
    """Set a secret, which the code may read from its next execution on."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, SecretBody, JSON_ESCAPE_FACTOR * SECRET_BYTES + bodies.OVERHEAD_BYTES)
    await context.tenants.set_secret(tenant, request.path_params["name"], body.value)
    context.log(
        "tenant.secret_set",
        tenant=tenant,
        name=request.path_params["name"],
        client=context.addresses.client_of(request),
    )
    return Response(status_code=204)


async def remove_secret(context: Context, request: Request) -> Response:
    """Remove a secret."""
    tenant = await authorized_tenant(context, request)
    await context.tenants.remove_secret(tenant, request.path_params["name"])
    context.log(
        "tenant.secret_removed",
        tenant=tenant,
        name=request.path_params["name"],
        client=context.addresses.client_of(request),
    )
    return Response(status_code=204)


WEBHOOK = "webhook"  # how such an instance says that it was started
IDEMPOTENCY_KEY_LENGTH = 255  # characters
DIGEST_LENGTH = 26  # of the 52 characters that a SHA-256 takes in base32: 130 bits

_NO_TRIGGER = "There is no trigger at this address."


async def make(context: Context, request: Request) -> Response:
    """Make the trigger's address, which this answer tells this once; one there was before stops working."""
    tenant = await authorized_tenant(context, request)
    secret = context.ids.token()
    await context.store.tenants.set_trigger(tenant, tokens.digest(secret))
    context.log("tenant.trigger_made", tenant=tenant, client=context.addresses.client_of(request))
    return json_response({"url": f"/api/hooks/{tenant}/{secret}"}, 201, NO_STORE)


async def remove(context: Context, request: Request) -> Response:
    """Take the trigger's address away."""
    tenant = await authorized_tenant(context, request)
    await context.store.tenants.set_trigger(tenant, None)
    context.log("tenant.trigger_removed", tenant=tenant, client=context.addresses.client_of(request))
    return Response(status_code=204)


async def pull(context: Context, request: Request) -> Response:
    """Start an instance; the body is its params, any JSON or nothing. No key is needed: the address is the secret.

    Called again with the same `id`, or the same Idempotency-Key header, it starts nothing and answers with the instance
    that there is.
    """
    await context.limits.changes.charge(f"hook:{context.addresses.client_of(request)}")
    try:
        tenant = names.check_name(request.path_params["tenant"], "tenant")
    except InvalidName:
        raise NotFound(_NO_TRIGGER) from None
    found = await context.store.tenants.tenant(tenant)
    expected = (found.trigger_hash if found is not None else None) or ""
    if not hmac.compare_digest(tokens.digest(request.path_params["secret"]), expected):
        raise NotFound(_NO_TRIGGER)
    raw = await bodies.read_bytes(request, context.settings.value_bytes + bodies.OVERHEAD_BYTES)
    params = await bodies.check_json_body(raw) if raw.strip() else None
    id = _requested_id(request)
    if id is None:
        row = await context.tenants.create(tenant, params, trigger=WEBHOOK)
        id, status = row.id, row.status
    else:
        id, status = await context.tenants.create_once(tenant, params, id, WEBHOOK)
    return json_response({"id": id, "status": status}, 202, NO_STORE)


def _requested_id(request: Request) -> str | None:
    """The id that the instance is to have: the one in the address, or one made of the Idempotency-Key, which may be any
    text. None: any.
    """
    id = request.query_params.get("id")
    key = request.headers.get("idempotency-key")
    if id is not None or key is None:
        return id
    if not 0 < len(key) <= IDEMPOTENCY_KEY_LENGTH:
        raise BadQuery(f"Idempotency-Key takes 1 to {IDEMPOTENCY_KEY_LENGTH} characters.")
    return "hook-" + names.derived_id(key)
