"""The pages of tenants: all of them, one, and a run of one.

As HTML a tenant's pages hold nothing of the tenant's and are the same for every name: the browser asks the same address
for JSON, with the key that it keeps, and draws what it is given. So no key is ever part of an address, and none is
needed to load a page. Which tenants a browser holds a key of, only the browser knows; the operator sees all, with their
instances by status, LISTED_DEFAULT at a time.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from playground.engine.code.sources import is_deployed
from playground.store.rows import InstanceRow
from playground.store.services import AI, MCP
from playground.web.context import Context
from playground.web.http.authorization import (
    TENANT,
    authorized_tenant,
    check_operator,
    is_operator_browser,
)
from playground.web.http.bodies import integer_of_query
from playground.web.http.responses import NO_STORE_BY_ACCEPT, json_response, wants_html
from playground.web.pages import pages
from playground.workflows import events as ev
from playground.workflows import names
from playground.workflows.errors import NonRetryableError

LISTED_DEFAULT = 200
LISTED_MOST = 1_000


async def tenants(context: Context, request: Request) -> Response:
    """Tenants by name, each with its instances by status; `after` goes on after a name. For the operator.

    A browser that brings no token gets a page of the tenants whose keys it keeps; with `operator` in the address it is
    asked for the token.
    """
    is_operators = "authorization" in request.headers or is_operator_browser(context, request)
    if wants_html(request) and not is_operators and not {"operator", "after"} & set(request.query_params):
        none_listed = {"tenants": None, "operators_way": operators_way(context)}
        return pages.html_response(context, request, "tenants.html", none_listed)
    await check_operator(context, request)
    limit = integer_of_query(request, "limit", LISTED_DEFAULT, least=1, most=LISTED_MOST)
    found = await context.store.tenants.all(after=request.query_params.get("after", ""), limit=limit)
    rows = [await _tenant_row(context, tenant.name, tenant.created_at) for tenant in found]
    after = found[-1].name if len(found) == limit else None
    if not wants_html(request):
        return json_response({"tenants": rows, "after": after}, headers=NO_STORE_BY_ACCEPT)
    told = {
        "examples": context.examples.values(),
        "tenants": rows,
        "operators_way": operators_way(context),
        "statuses": ev.STATUSES,
        "after": after,
    }
    return pages.html_response(context, request, "tenants.html", told)


def operators_way(context: Context) -> str:
    """How the operator signs in: with the `link` of the start, the `token` that was set, or `none` where that is
    closed.
    """
    if context.start_token.operator:
        return "link"
    return "token" if context.settings.operator_token else "none"


async def _tenant_row(context: Context, name: str, created_at: int) -> dict[str, Any]:
    counts = await context.store.count(tenant=name)
    workflows = await context.store.tenants.workflows(name)
    newest = max(workflows, key=lambda it: it.created_at, default=None)
    return {
        "name": name,
        "created_at": created_at,
        "workflows": len(workflows),
        "version": None if newest is None else {"number": newest.number, "deployed_at": newest.created_at},
        "instances": {status: counts.get(status, 0) for status in ev.STATUSES},
    }


async def tenant(context: Context, request: Request) -> Response:
    """A tenant: its workflows, how many versions the main one has, its instances by status, its secrets' names."""
    if wants_html(request):
        told = {"tenant": names.check_name(request.path_params[TENANT], TENANT), "statuses": ev.STATUSES}
        return pages.html_response(context, request, "tenant.html", told)
    name = await authorized_tenant(context, request)
    newest = await context.store.tenants.newest_version(name)
    counts = await context.store.count(tenant=name)
    shown = {
        "tenant": name,
        "workflows": [{"name": it.workflow, "number": it.number} for it in await context.tenants.workflows(name)],
        "versions": 0 if newest is None else newest.number,
        "version": None if newest is None else newest.id,
        "instances": {status: counts.get(status, 0) for status in ev.STATUSES},
        "secrets": await context.tenants.secret_names(name),
        "model": next((dict(it.settings) for it in await context.tenants.services.of_kind(name, AI)), None),
        "tool_servers": [{"name": it.name, **it.settings} for it in await context.tenants.services.of_kind(name, MCP)],
    }
    return json_response(shown, headers=NO_STORE_BY_ACCEPT)


async def tenant_run(context: Context, request: Request) -> Response:
    """A tenant's run, live or finished, now or after the event whose seq is `at`."""
    if wants_html(request):
        name = names.check_name(request.path_params[TENANT], TENANT)
        shown: dict[str, Any] = {
            "title": f"Run {request.path_params['id']}",
            "source": "",
            "params": "",
            "tenant": name,
        }
        return await pages.page_response(context, request, "tenant", shown)
    name = await authorized_tenant(context, request)
    row = await context.views.find_instance(request.path_params["id"], name)
    shown = await pages.instance_names(context, request, row, await _source(context, row))
    return await pages.page_response(context, request, "instance", shown | {"tenant": name})


async def _source(context: Context, row: InstanceRow) -> str:
    """The code of an instance; nothing where a program on the server has it, or its version is gone."""
    try:
        return (await context.tenants.load(row)).source if is_deployed(row.workflow) else ""
    except NonRetryableError:
        return ""
