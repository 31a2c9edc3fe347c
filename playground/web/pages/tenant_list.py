"""Tenants: those that this browser holds a key of, which only the browser knows; and for the operator all, with their
instances by status.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.http.authorization import check_operator, is_operators_browser
from playground.web.http.bodies import whole_number
from playground.web.http.responses import FRESH_OF_KIND, json_response, wants_html
from playground.web.pages import pages
from playground.workflows import events as ev

LISTED_DEFAULT = 200
LISTED_MOST = 1_000


async def tenants(context: Context, request: Request) -> Response:
    """Tenants by name, each with its instances by status; `after` goes on after a name. For the operator.

    A browser that brings no token gets a page of the tenants whose keys it keeps; with `operator` in the address it is
    asked for the token.
    """
    is_operators = "authorization" in request.headers or is_operators_browser(context, request)
    if wants_html(request) and not is_operators and not {"operator", "after"} & set(request.query_params):
        names = {"tenants": None, "operators_way": operators_way(context)}
        return pages.html_response(context, request, "tenants.html", names)
    await check_operator(context, request)
    limit = whole_number(request, "limit", LISTED_DEFAULT, least=1, most=LISTED_MOST)
    found = await context.store.tenants.all(after=request.query_params.get("after", ""), limit=limit)
    rows = [await _row(context, tenant.name, tenant.created_at) for tenant in found]
    after = found[-1].name if len(found) == limit else None
    if not wants_html(request):
        return json_response({"tenants": rows, "after": after}, headers=FRESH_OF_KIND)
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


async def _row(context: Context, name: str, created_at: int) -> dict[str, Any]:
    counts = await context.store.count(tenant=name)
    newest = await context.store.tenants.version(name, "")
    return {
        "name": name,
        "created_at": created_at,
        "version": None if newest is None else {"number": newest.number, "deployed_at": newest.created_at},
        "instances": {status: counts.get(status, 0) for status in ev.STATUSES},
    }
