"""A tenant's schedules over the API: put, list, pause, resume, run now, delete. Each answer has the next five times."""

from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.code.sources import deployed_workflow
from playground.engine.cron import SKIP
from playground.engine.workflow_schedules import status_of_schedule
from playground.store.schedules import Schedule
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import authorized_tenant
from playground.web.http.responses import NO_STORE, json_response
from playground.workflows.names import MAIN_WORKFLOW

UTC = "UTC"


class ScheduleBody(msgspec.Struct, forbid_unknown_fields=True):
    cron: str
    workflow: str = MAIN_WORKFLOW
    timezone: str = UTC
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    missed: str = SKIP
    paused: bool = False


async def put(context: Context, request: Request) -> Response:
    """Add a schedule of a workflow that is deployed, or replace the one of this name."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, ScheduleBody, context.settings.value_bytes + bodies.OVERHEAD_BYTES)
    await context.tenants.version(tenant, workflow=body.workflow)  # says what there is instead
    params = body.params if isinstance(body.params, msgspec.Raw) else None
    schedule, created = await context.engine.schedules.put(
        tenant, request.path_params["name"], deployed_workflow(body.workflow), body.cron, body.timezone, params,
        body.missed, paused=body.paused,
    )  # fmt: skip
    return _response(context, schedule, 201 if created else 200)


async def listed(context: Context, request: Request) -> Response:
    """The schedules, by name."""
    tenant = await authorized_tenant(context, request)
    found = await context.engine.schedules.of_tenant(tenant)
    shown = [asdict(status_of_schedule(context.engine, schedule)) for schedule in found]
    return json_response({"schedules": shown}, headers=NO_STORE)


async def get(context: Context, request: Request) -> Response:
    """One schedule."""
    tenant = await authorized_tenant(context, request)
    return _response(context, await context.engine.schedules.get(tenant, request.path_params["name"]))


async def pause(context: Context, request: Request) -> Response:
    """Fire no more until it is resumed."""
    tenant = await authorized_tenant(context, request)
    return _response(context, await context.engine.schedules.pause(tenant, request.path_params["name"]))


async def resume(context: Context, request: Request) -> Response:
    """Go on with the next time; what would have fired meanwhile was not missed."""
    tenant = await authorized_tenant(context, request)
    return _response(context, await context.engine.schedules.pause(tenant, request.path_params["name"], paused=False))


async def run(context: Context, request: Request) -> Response:
    """Start an instance at once, also of a schedule that is paused."""
    tenant = await authorized_tenant(context, request)
    id = await context.engine.schedules.run_now(tenant, request.path_params["name"])
    url = f"/api/tenants/{tenant}/instances/{id}"
    return json_response({"id": id, "url": url}, 201, {"Location": url, **NO_STORE})


async def delete(context: Context, request: Request) -> Response:
    """Delete a schedule; the instances that it has started stay."""
    tenant = await authorized_tenant(context, request)
    await context.engine.schedules.delete(tenant, request.path_params["name"])
    return Response(status_code=204)


def _response(context: Context, schedule: Schedule, status: int = 200) -> Response:
    return json_response(asdict(status_of_schedule(context.engine, schedule)), status, NO_STORE)
