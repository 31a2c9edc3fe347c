"""Operations on many runs of a tenant over the API: begin one or look what it would do, follow it, stop it."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.bulk_runs import Operation
from playground.engine.run_filters import run_filter
from playground.store.bulks import Bulk
from playground.web.api.operations import StepBody
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.audit import name_target
from playground.web.http.authorization import authorized_tenant
from playground.web.http.responses import NO_STORE, json_response


class BulkBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is done, to which runs (docs/search.md); with `dry_run` nothing is done."""

    operation: str
    filter: dict[str, Any] = msgspec.field(default_factory=dict)
    dry_run: bool = False
    rollback: bool = False
    from_step: StepBody | None = None
    version: str | None = None


async def begin(context: Context, request: Request) -> Response:
    """Terminate, pause, resume, restart, fork or delete all instances that fit a filter now; or, with `dry_run`, say
    how many these are.
    """
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, BulkBody, bodies.OVERHEAD_BYTES)
    step = None if body.from_step is None else {k: getattr(body.from_step, k) for k in ("name", "count", "kind")}
    operation = Operation(body.operation, body.rollback, step, body.version)
    filter = run_filter(body.filter, context.now())
    if body.dry_run:
        found = await context.bulks.matches(tenant, operation, filter)
        shown = {"matched": len(found.targets), "unchanged": found.unchanged, "ids": found.ids}
        return json_response(shown, headers=NO_STORE)
    name_target(f"{body.operation} {msgspec.json.encode(filter).decode()}")
    bulk = await context.bulks.begin(tenant, operation, filter)
    context.log("tenant.bulk", tenant=tenant, bulk=bulk.id, operation=body.operation, matched=bulk.matched)
    return json_response(bulk_json(bulk, context.now()), 202, NO_STORE)


async def listed(context: Context, request: Request) -> Response:
    """The operations on many instances, newest first: all that run, and some that have ended."""
    tenant = await authorized_tenant(context, request)
    found = await context.store.bulks.of_tenant(tenant)
    return json_response({"bulks": [bulk_json(bulk, context.now()) for bulk in found]}, headers=NO_STORE)


async def get(context: Context, request: Request) -> Response:
    """How an operation on many instances stands, with why it could not be carried out on some."""
    tenant = await authorized_tenant(context, request)
    bulk = await context.bulks.get(tenant, request.path_params["bulk"])
    return json_response(bulk_json(bulk, context.now()), headers=NO_STORE)


async def stop(context: Context, request: Request) -> Response:
    """Stop an operation on many instances half way; what is done stays."""
    tenant = await authorized_tenant(context, request)
    bulk = await context.bulks.stop(tenant, request.path_params["bulk"])
    return json_response(bulk_json(bulk, context.now()), headers=NO_STORE)


def bulk_json(bulk: Bulk, now: int) -> dict[str, Any]:
    """An operation as the API shows it; `rate` is in instances a second."""
    seconds = max((bulk.ended_at or now) - bulk.created_at, 1) / 1_000
    return {
        "id": bulk.id,
        **bulk.operation,
        "filter": bulk.filter,
        "state": bulk.state,
        "matched": bulk.matched,
        "done": bulk.done,
        "unchanged": bulk.unchanged,
        "failed": bulk.failed,
        "failures": bulk.failures,
        "rate": round((bulk.done + bulk.unchanged + bulk.failed) / seconds, 1),
        "created_at": bulk.created_at,
        "ended_at": bulk.ended_at,
    }
