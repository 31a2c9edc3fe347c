"""A tenant's instances over the API, beyond what every instance has: start one or many, list them, move one to another
version.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.code.sources import shown_workflow
from playground.engine.run_filters import run_filter
from playground.store.rows import InstanceRow
from playground.web.api.operations import accepted_response
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.audit import name_target
from playground.web.http.authorization import authorized_tenant
from playground.web.http.bodies import integer_of_query, traceparent_of
from playground.web.http.errors import BadBody, BadQuery
from playground.web.http.responses import NO_STORE, json_response
from playground.web.instance_view import instance_address
from playground.web.queue_view import queue_json
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound, InvalidFilter
from playground.workflows.filters import FIELDS, SEVERAL
from playground.workflows.tags import tags_of

LISTED_DEFAULT = 50
LISTED_MAX = 200
BATCH_BYTES = 16 * 1024 * 1024  # of a batch with all its params
DELETE_BATCH_BYTES = 64 * 1024  # of a batch of ids


class Retention(msgspec.Struct, forbid_unknown_fields=True):
    """How long an instance is kept: milliseconds, or a text such as "7 days"."""

    success_retention: int | str | None = None
    error_retention: int | str | None = None


def as_mapping(retention: Retention | None) -> dict[str, Any] | None:
    """A retention as the engine takes it."""
    return None if retention is None else msgspec.structs.asdict(retention)


class DebounceBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    seconds: float
    longest: float | msgspec.UnsetType = msgspec.UNSET
    key: str | msgspec.UnsetType = msgspec.UNSET


class RateBody(msgspec.Struct, forbid_unknown_fields=True):
    count: int
    seconds: int


class FlowLimitsBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    concurrency_per_key: int | None = None
    rate: RateBody | None = None


class FlowBody(msgspec.Struct, forbid_unknown_fields=True):
    """What may be asked of an instance's start: workflows/flow.py."""

    key: str | None = None
    delay: float | str | None = None
    priority: int = 0
    singleton: bool = False
    debounce: DebounceBody | None = None
    limits: FlowLimitsBody | None = None

    def asked(self) -> dict[str, Any]:
        """The arguments of `checked_flow`."""
        names = ("key", "delay", "priority", "singleton", "debounce", "limits")
        return {name: msgspec.to_builtins(getattr(self, name)) for name in names}


class TenantCreateBody(FlowBody, forbid_unknown_fields=True):
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None
    version: str = ""
    workflow: str | None = None
    retention: Retention | None = None
    tags: list[str] = msgspec.field(default_factory=list)


class BatchEntry(FlowBody, forbid_unknown_fields=True):
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None
    retention: Retention | None = None
    tags: list[str] = msgspec.field(default_factory=list)


class BatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """Either `instances`, or `count` with the params, the retention and the tags of each."""

    instances: list[BatchEntry] | msgspec.UnsetType = msgspec.UNSET
    count: int | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    retention: Retention | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    version: str = ""
    workflow: str | None = None


class DeleteBatchBody(msgspec.Struct, forbid_unknown_fields=True):
    ids: list[str]


class MigrateBody(msgspec.Struct, forbid_unknown_fields=True):
    version: str
    force: bool = False


async def create(context: Context, request: Request) -> Response:
    """Start an instance of the workflow that is named, or of `main`: of its newest version, or of the one that is
    named.
    """
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(
        request, TenantCreateBody, context.settings.value_bytes + bodies.OVERHEAD_BYTES, may_be_empty=True
    )
    params = _params_or_none(body.params)
    kept = as_mapping(body.retention)
    row, created = await context.tenants.create_or_find(
        tenant,
        params,
        body.id,
        body.version,
        workflow=body.workflow,
        retention=kept,
        asked=body.asked(),
        tags=body.tags,
        traceparent=traceparent_of(request),
    )
    return created_response(row, created=created)


def created_response(row: InstanceRow, *, created: bool = True) -> Response:
    """The answer to who started an instance of a tenant, or found the one of its key."""
    headers = {"Location": instance_address(row), **NO_STORE}
    return json_response(_created_json(row) | {"created": created}, 201 if created else 200, headers)


async def create_batch(context: Context, request: Request) -> Response:
    """Start 1 to 100 instances; ids that are taken or repeated are left out and reported."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, BatchBody, BATCH_BYTES)
    made, errors = await context.tenants.create_batch(
        tenant, _batch(body), body.version, body.workflow, traceparent_of(request)
    )
    shown = {"created": [_created_json(row) for row in made], "errors": [it.as_json() for it in errors]}
    return json_response(shown, 201, NO_STORE)


def _batch(body: BatchBody) -> dict[str, Any]:
    """The batch in the form of engine/batches.py. Raises BadBody where it has both forms or none."""
    if (body.instances is msgspec.UNSET) == (body.count is msgspec.UNSET):
        raise BadBody("A batch takes either `instances`, a list, or `count`, a number of instances that are alike.")
    if isinstance(body.count, int):
        alike = {
            "params": _params_or_none(body.params),
            "retention": as_mapping(body.retention),
            "tags": body.tags,
        }
        return {"count": body.count, **alike}
    if body.params is not msgspec.UNSET or body.retention is not None or body.tags:
        raise BadBody("`params`, `retention` and `tags` of a batch go with `count`; each of `instances` has its own.")
    assert isinstance(body.instances, list), "one of the two was given"
    return {
        "instances": [
            {
                "params": _params_or_none(it.params),
                "id": it.id,
                "retention": as_mapping(it.retention),
                "tags": it.tags,
                **it.asked(),
            }
            for it in body.instances
        ]
    }


async def delete_batch(context: Context, request: Request) -> Response:
    """Remove 1 to 100 instances, whatever they do; ids that there are not are reported."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, DeleteBatchBody, DELETE_BATCH_BYTES)
    name_target(f"{len(body.ids)}: {', '.join(map(str, body.ids))}")
    return json_response(await context.tenants.delete_batch(tenant, body.ids), headers=NO_STORE)


async def listed(context: Context, request: Request) -> Response:
    """Instances, newest first: those that fit a filter. `before` goes on where a page ended, which may have found fewer
    than `limit` or none.
    """
    tenant = await authorized_tenant(context, request)
    try:
        filter = run_filter(filter_of_query(request), context.now())
    except InvalidFilter as refused:
        raise BadQuery(refused.message) from None
    limit = integer_of_query(request, "limit", LISTED_DEFAULT, least=1, most=LISTED_MAX)
    before = await _row_key(context, tenant, request.query_params.get("before"))
    search = context.store.search
    found = await search.keys(tenant, filter, before=before, limit=limit)
    rows = await search.rows(found.keys)
    counts = await context.store.count(tenant=tenant)
    shown = {
        "instances": [_listed_json(row) | {"queue": await _held_json(context, row)} for row in rows],
        "before": await _id_of(context, found.next, rows),
        "counts": {name: counts.get(name, 0) for name in ev.STATUSES},
    }
    return json_response(shown, headers=NO_STORE)


def filter_of_query(request: Request) -> dict[str, Any]:
    """The fields of a filter that the address has."""
    query = request.query_params
    return {
        name: query.getlist(name) if name in SEVERAL else query[name] for name in FIELDS if query.get(name) is not None
    }


async def _id_of(context: Context, key: int | None, rows: Sequence[InstanceRow]) -> str | None:
    """The id of the instance where a search goes on, which may be one that did not fit."""
    if key is None:
        return None
    if rows and rows[-1].key == key:
        return rows[-1].id
    at = await context.store.search.rows([key])
    return at[0].id if at else rows[-1].id if rows else None


async def migrate(context: Context, request: Request) -> Response:
    """Let an instance go on with another version, where its history fits."""
    tenant = await authorized_tenant(context, request)
    body = await bodies.read_object(request, MigrateBody, bodies.OVERHEAD_BYTES)
    row = await context.store.find(tenant, request.path_params["id"])
    committed = await context.tenants.migrate(row, body.version, force=body.force)
    context.log(
        "tenant.migrated",
        tenant=tenant,
        instance=row.key,
        version=body.version,
        client=context.addresses.client_of(request),
    )
    return accepted_response(committed)


async def _row_key(context: Context, tenant: str, id: str | None) -> int | None:
    """The place in the list of an instance.

    Ids go over the wire, since the store's own numbers would count everybody's.
    """
    if id is None:
        return None
    try:
        return (await context.store.find(tenant, id)).key
    except InstanceNotFound:
        raise BadQuery(
            "`before` takes the id of the last instance that was listed; there is none of this id any more."
        ) from None


async def _held_json(context: Context, row: InstanceRow) -> dict[str, Any] | None:
    """What holds an instance back, where something does: one that only waits for a worker is not looked up."""
    return None if row.held_until is None else await queue_json(context.store, row, context.now())


def _params_or_none(params: msgspec.Raw | msgspec.UnsetType) -> msgspec.Raw | None:
    return params if isinstance(params, msgspec.Raw) else None


def _created_json(row: InstanceRow) -> dict[str, Any]:
    workflow = shown_workflow(row.workflow)
    return {
        "id": row.id,
        "status": row.status,
        "workflow": workflow,
        "version": row.snippet,
        "url": instance_address(row),
    }


def _listed_json(row: InstanceRow) -> dict[str, Any]:
    times = {name: getattr(row, name) for name in ("created_at", "started_at", "ended_at")}
    return {
        **_created_json(row),
        **times,
        "waiting_until": row.wait_until if row.status == ev.WAITING else None,
        "held_until": row.held_until,
        "tags": tags_of(row.injected),
        "error": row.error,
    }
