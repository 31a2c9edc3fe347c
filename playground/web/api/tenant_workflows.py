"""A tenant's workflows over the API: deploy one under a name, list them, look at the versions of each, delete one.

The calls are there twice: for any workflow at `/workflows/{name}`, and for the one that is called `main` at
`/workflow`, as when a tenant had one only. A version's id is unique in the tenant, so `/workflow/{version}` finds any.
"""

from dataclasses import replace
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine import queues
from playground.engine.code.deployment import check_deployment
from playground.engine.retention import deployed_retention
from playground.store.tables import NewVersion, Version
from playground.web.api.check import check_source, source_body_bytes
from playground.web.api.tenant_instances import RateBody, Retention, as_mapping
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import authorized_tenant
from playground.web.http.bodies import integer_of_query
from playground.web.http.responses import NO_STORE, json_response
from playground.workflows.names import CLASS_NAME, MAIN_WORKFLOW

NAME = "name"  # of the workflow, in an address
VERSIONS_DEFAULT = 50
VERSIONS_MAX = 200  # in one answer


class DeployBody(bodies.SourceBody, forbid_unknown_fields=True):
    source: str
    class_name: str = CLASS_NAME
    warm: bool = False
    limits: dict[str, int | RateBody] = msgspec.field(default_factory=dict)
    retention: Retention | None = None


async def deploy(context: Context, request: Request) -> Response:
    """Make code the newest version of a workflow, which its new instances get. What is the newest already stays it."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, DeployBody, source_body_bytes(context))
    kept = deployed_retention(as_mapping(body.retention), context.settings.retention_days)
    new = NewVersion(body.source, body.class_name, _name(request), body.warm, msgspec.to_builtins(body.limits), kept)
    check_deployment(context.settings, tenant, new)
    context.limits.checks.charge(queues.of_tenant(tenant))
    checked = await check_source(context, new.source, queues.of_tenant(tenant), new.class_name)
    version, fresh = await context.tenants.deploy(tenant, replace(new, tool=checked.tool.as_json()))
    if fresh:
        context.log(
            "tenant.deployed",
            tenant=tenant,
            workflow=version.workflow,
            version=version.id,
            number=version.number,
            client=context.addresses.client_of(request),
        )
    shown = version_json(version) | {"created": fresh, "diagnostics": checked.diagnostics, "outline": checked.outline}
    return json_response(shown, 201 if fresh else 200, NO_STORE)


async def workflows(context: Context, request: Request) -> Response:
    """The workflows there are, by name, each with its newest version."""
    tenant = await authorized_tenant(context, request)
    found = await context.tenants.workflows(tenant)
    return json_response({"workflows": [version_json(it) for it in found]}, headers=NO_STORE)


async def versions(context: Context, request: Request) -> Response:
    """The versions of a workflow, newest first; `before` goes on at a number."""
    tenant, name = await authorized_tenant(context, request), _name(request)
    limit = integer_of_query(request, "limit", VERSIONS_DEFAULT, least=1, most=VERSIONS_MAX)
    before = integer_of_query(request, "before", 0) or None
    found = await context.tenants.versions(tenant, before, limit, name)
    if not found and NAME in request.path_params:
        await context.tenants.version(tenant, workflow=name)  # says what there is instead
    more = found[-1].number if len(found) == limit and found[-1].number > 1 else None
    shown = {"name": name, "versions": [version_json(it) for it in found], "before": more}
    return json_response(shown, headers=NO_STORE)


async def version(context: Context, request: Request) -> Response:
    """A version with its source."""
    tenant = await authorized_tenant(context, request)
    found = await context.tenants.version(tenant, request.path_params["version"], request.path_params.get(NAME))
    return json_response(version_json(found) | {"source": found.source}, headers=NO_STORE)


async def delete_version(context: Context, request: Request) -> Response:
    """Remove a version for good, unless it is the newest of several or an unfinished instance needs it."""
    tenant, id = await authorized_tenant(context, request), request.path_params["version"]
    await context.tenants.version(tenant, id, request.path_params.get(NAME))
    await context.tenants.delete_version(tenant, id)
    context.log("tenant.version_deleted", tenant=tenant, version=id, client=context.addresses.client_of(request))
    return Response(status_code=204)


# Of the workflow that is called `main`.


async def deploy_main(context: Context, request: Request) -> Response:
    """Make code the newest version of `main`."""
    return await deploy(context, request)


async def main_versions(context: Context, request: Request) -> Response:
    """The versions of `main`, newest first; `before` goes on at a number."""
    return await versions(context, request)


async def any_version(context: Context, request: Request) -> Response:
    """A version with its source, of whichever workflow."""
    return await version(context, request)


async def delete_any_version(context: Context, request: Request) -> Response:
    """Remove a version of whichever workflow for good, unless it is the newest of several or is needed."""
    return await delete_version(context, request)


def version_json(version: Version) -> dict[str, Any]:
    """A version without its source."""
    return {
        "workflow": version.workflow,
        "version": version.id,
        "number": version.number,
        "class_name": version.class_name,
        "warm": version.warm,
        "limits": version.limits,
        "retention": version.retention,
        "created_at": version.created_at,
    }


def _name(request: Request) -> str:
    return str(request.path_params.get(NAME, MAIN_WORKFLOW))
