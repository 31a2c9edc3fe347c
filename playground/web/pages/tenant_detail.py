"""The pages of a tenant.

As HTML they hold nothing of the tenant's and are the same for every name: the browser asks the same address for JSON,
with the key that it keeps, and draws what it is given. So no key is ever part of an address, and none is needed to load
a page.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from playground.engine.code.tenants import WORKFLOW
from playground.store.rows import InstanceRow
from playground.web.context import Context
from playground.web.http.authorization import TENANT, spend_reading, tenant_of
from playground.web.http.bodies import moment
from playground.web.http.responses import FRESH_OF_KIND, json_response, wants_html
from playground.web.pages import pages
from playground.workflows import events as ev
from playground.workflows import names
from playground.workflows.errors import NonRetryableError


async def tenant(context: Context, request: Request) -> Response:
    """A tenant: how many versions it has, its instances by status, the names of its secrets."""
    if wants_html(request):
        told = {"tenant": names.check_name(request.path_params[TENANT], TENANT), "statuses": ev.STATUSES}
        return pages.html_response(context, request, "tenant.html", told)
    name = await tenant_of(context, request)
    newest = await context.store.tenants.version(name, "")
    counts = await context.store.count(tenant=name)
    shown = {
        "tenant": name,
        "versions": 0 if newest is None else newest.number,
        "version": None if newest is None else newest.id,
        "instances": {status: counts.get(status, 0) for status in ev.STATUSES},
        "secrets": await context.tenants.secret_names(name),
    }
    return json_response(shown, headers=FRESH_OF_KIND)


async def instance(context: Context, request: Request) -> Response:
    """A tenant's run, live or finished, now or after the event whose seq is `at`."""
    if wants_html(request):
        name = names.check_name(request.path_params[TENANT], TENANT)
        shown: dict[str, Any] = {
            "title": f"Run {request.path_params['id']}",
            "source": "",
            "params": "",
            "tenant": name,
        }
        return await pages.page(context, request, "tenant", shown)
    name = await tenant_of(context, request)
    row = await context.views.find(request.path_params["id"], name)
    at = moment(request, row)
    await spend_reading(context, request, row, events=at or row.last_seq)
    shown = await pages.of_instance(context, row, await _source(context, row), at)
    return await pages.page(context, request, "instance", shown | {"tenant": name})


async def _source(context: Context, row: InstanceRow) -> str:
    """The code of an instance; nothing where a program on the server has it, or its version is gone."""
    try:
        return (await context.tenants.load(row)).source if row.workflow == WORKFLOW else ""
    except NonRetryableError:
        return ""
