"""A tenant's own model and servers of tools over the API: set, read and remove them. Keys are secrets of the tenant,
which are named here and never shown.
"""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.tenant_services import MODEL
from playground.store.services import AI, MCP, Service
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import authorized_tenant
from playground.web.http.responses import NO_STORE, json_response

NAME = "name"
BODY_BYTES = 256 * 1024


class ModelBody(msgspec.Struct, forbid_unknown_fields=True):
    """`secret` names the tenant's secret that is sent as the key. A budget that is left out is none."""

    base_url: str
    models: list[str]
    tokens_per_day: int | None = None
    tokens_per_run: int | None = None
    secret: str | None = None


class ServerBody(msgspec.Struct, forbid_unknown_fields=True):
    """`secret` names the tenant's secret that is sent as the token, `tools` those that code may call; by default
    all.
    """

    url: str
    secret: str | None = None
    tools: list[str] | None = None


async def put_model(context: Context, request: Request) -> Response:
    """Set where the tenant's models are; calls that begin later go by it."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, ModelBody, BODY_BYTES)
    service = await context.tenants.services.put_model(tenant, msgspec.to_builtins(body))
    _log(context, request, tenant, AI)
    return json_response(dict(service.settings), headers=NO_STORE)


async def model(context: Context, request: Request) -> Response:
    """Where the tenant's models are."""
    tenant = await authorized_tenant(context, request)
    return json_response(dict((await context.tenants.services.named(tenant, AI, MODEL)).settings), headers=NO_STORE)


async def delete_model(context: Context, request: Request) -> Response:
    """Remove the tenant's models: its code has those of the operator."""
    tenant = await authorized_tenant(context, request)
    await context.tenants.services.delete(tenant, AI, MODEL)
    _log(context, request, tenant, AI)
    return Response(status_code=204)


async def put_server(context: Context, request: Request) -> Response:
    """Set a server of tools; code has the one named `default` as `env.MCP`, others as `env.MCPS.get(name)`."""
    tenant, name = await authorized_tenant(context, request), request.path_params[NAME]
    body = await bodies.read_object(request, ServerBody, BODY_BYTES)
    service = await context.tenants.services.put_server(tenant, name, msgspec.to_builtins(body))
    _log(context, request, tenant, name)
    return json_response(_server_json(service), headers=NO_STORE)


async def servers(context: Context, request: Request) -> Response:
    """The tenant's servers of tools, by name."""
    tenant = await authorized_tenant(context, request)
    found = await context.tenants.services.of_kind(tenant, MCP)
    return json_response({"servers": [_server_json(service) for service in found]}, headers=NO_STORE)


async def server(context: Context, request: Request) -> Response:
    """One server of tools."""
    tenant = await authorized_tenant(context, request)
    found = await context.tenants.services.named(tenant, MCP, request.path_params[NAME])
    return json_response(_server_json(found), headers=NO_STORE)


async def delete_server(context: Context, request: Request) -> Response:
    """Remove a server of tools."""
    tenant, name = await authorized_tenant(context, request), request.path_params[NAME]
    await context.tenants.services.delete(tenant, MCP, name)
    _log(context, request, tenant, name)
    return Response(status_code=204)


def _server_json(service: Service) -> dict[str, Any]:
    return {"name": service.name, **service.settings}


def _log(context: Context, request: Request, tenant: str, name: str) -> None:
    context.log("tenant.service_changed", tenant=tenant, name=name, client=context.addresses.client_of(request))
