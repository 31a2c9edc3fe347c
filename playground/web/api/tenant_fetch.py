"""The list of hosts that a tenant's code may ask with `fetch`, over the API: read, replace and remove it."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import authorized_tenant
from playground.web.http.responses import NO_STORE, json_response

LIST_BYTES = 256 * 1024  # of a request that sets it


class FetchEntry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A host: `api.example.com`, `*.example.com` or `https://example.com:8443`. `secret` names one of the tenant's,
    sent in `header`; `idempotency` asks for a key of the step in each request.
    """

    host: str
    methods: list[str] | None = None
    secret: str | None = None
    header: str | None = None
    idempotency: bool | str = False


class FetchBody(msgspec.Struct, forbid_unknown_fields=True):
    allow: list[FetchEntry]


async def get(context: Context, request: Request) -> Response:
    """The tenant's list, what all code may ask beside it, and what the tenant may put on it."""
    tenant = await authorized_tenant(context, request)
    return json_response(await _shown(context, tenant), headers=NO_STORE)


async def put(context: Context, request: Request) -> Response:
    """Replace the list; executions that begin later go by it."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, FetchBody, LIST_BYTES)
    entries: list[dict[str, Any]] = [msgspec.to_builtins(entry) for entry in body.allow]
    names = await context.tenants.secret_names(tenant)
    await context.tenants.fetch.put(tenant, entries, names)
    context.log("tenant.fetch_changed", tenant=tenant, client=context.addresses.client_of(request))
    return json_response(await _shown(context, tenant), headers=NO_STORE)


async def delete(context: Context, request: Request) -> Response:
    """Remove the list: the code may ask what all code may."""
    tenant = await authorized_tenant(context, request)
    await context.tenants.fetch.delete(tenant)
    context.log("tenant.fetch_changed", tenant=tenant, client=context.addresses.client_of(request))
    return Response(status_code=204)


async def _shown(context: Context, tenant: str) -> dict[str, Any]:
    lists = context.tenants.fetch
    return {
        "allow": list(await lists.entries(tenant)),
        "everybody": [str(rule) for rule in lists.everybodys],
        "possible": [str(rule) for rule in lists.possible],
    }
