"""The audit log over the API: a tenant reads what is its own, the operator all of it. Nobody changes it."""

from starlette.requests import Request
from starlette.responses import Response

from playground.store.audit import AuditRow
from playground.web.context import Context
from playground.web.http.authorization import TENANT, authorized_tenant, check_operator
from playground.web.http.bodies import integer_of_query
from playground.web.http.responses import NO_STORE, json_response
from playground.workflows import names

ENTRIES_DEFAULT = 100
ENTRIES_MAX = 1_000  # in one answer


async def of_tenant(context: Context, request: Request) -> Response:
    """Who changed what of the tenant, newest first; `before` goes on at a number. Those from before the tenant was made
    are another one's of its name.
    """
    name = await authorized_tenant(context, request)
    tenant = await context.store.tenants.tenant(name)
    return await _listed(context, request, name, 0 if tenant is None else tenant.created_at)


async def of_all(context: Context, request: Request) -> Response:
    """Who changed what of the server and of its tenants, or of one `tenant`, newest first. For the operator."""
    await check_operator(context, request)
    tenant = request.query_params.get(TENANT)
    return await _listed(context, request, None if tenant is None else names.check_name(tenant, TENANT), 0)


async def _listed(context: Context, request: Request, tenant: str | None, since: int) -> Response:
    limit = integer_of_query(request, "limit", ENTRIES_DEFAULT, least=1, most=ENTRIES_MAX)
    before = integer_of_query(request, "before", 0) or None
    found = await context.store.audit.entries(tenant, before=before, since=since, limit=limit)
    more = found[-1].number if len(found) == limit else None
    return json_response({"entries": [entry_json(row) for row in found], "before": more}, headers=NO_STORE)


def entry_json(row: AuditRow) -> dict[str, object]:
    """An entry as in the API."""
    return row._asdict()
