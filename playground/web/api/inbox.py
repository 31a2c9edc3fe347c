"""The inbox: what waits for a person, over all runs that are theirs, and answers to one wait of it.

A tenant's are found by its key: of its runs that have not ended, the newest `RUNS_LOOKED_AT` are looked at, then, with
`before`, those before them. Runs without a tenant are found by their ids, which a browser or a terminal keeps with
their tokens: each id shows what anybody with the run's link may see, and an answer takes the token.

An answer goes to the one wait that it was made for: where another came first, it is refused, and nothing is stored.
"""

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.code.sources import shown_workflow
from playground.engine.delivery import is_held
from playground.store.rows import InstanceRow, StepRow
from playground.web import answer_forms
from playground.web.api.instances import IDS_MAX
from playground.web.api.operations import accepted_response, find_controlled_instance
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import charge_reading, sender_of, tenant_of_key
from playground.web.http.bodies import integer_of_query
from playground.web.http.errors import BadQuery
from playground.web.http.responses import NO_STORE_BY_ACCEPT, json_response, wants_html
from playground.web.instance_view import ANONYMOUS, instance_address, instance_url
from playground.web.pages import pages
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound, WaitOver
from playground.workflows.events import StepKey
from playground.workflows.names import split_event_types
from playground.workflows.titles import title_of

RUNS_LOOKED_AT = 200
ITEMS_MOST = 200  # in one answer
WAITS_LOOKED_AT = 10_000  # of one run, for the one that is answered
LOOKED_AT = (ev.RUNNING, ev.WAITING, ev.PAUSED, ev.WAITING_FOR_PAUSE)  # statuses in which something may wait
_NEEDS_IDS = (
    f"Pass `ids`, 1 to {IDS_MAX} ids of runs with commas between, or a tenant's key: a run without a tenant is found "
    "by its id only."
)


async def view(context: Context, request: Request) -> Response:
    """What waits for a person: of a tenant, by its key, or of the runs whose `ids` are given; newest run first."""
    if wants_html(request):
        return pages.html_response(context, request, "inbox.html", {"ids_max": IDS_MAX})
    tenant = await tenant_of_key(context, request)
    if tenant is None:
        rows, before = await _rows_of_ids(context, request), None
    else:
        rows, before = await _rows_of_tenant(context, tenant, request.query_params.get("before"))
    waits = await context.store.open_waits([row.key for row in rows], limit=ITEMS_MOST)
    items = []
    for row in rows:
        if row.key in waits:
            title = await _title(context, row)
            items += [_item(row, wait, title, await _begun_at(context, row, wait)) for wait in waits[row.key]]
    size = sum(len(msgspec.json.encode(item)) for item in items)
    if items:
        await charge_reading(context, request, rows[0], size=size)
    shown = {"items": items, "before": before, "tenant": tenant, "now": context.now()}
    return json_response(shown, headers=NO_STORE_BY_ACCEPT)


async def answer(context: Context, request: Request) -> Response:
    """Answer one wait, and no other; the body is the payload, `type` names the event where it takes several.

    With `seq`, that of the wait's start, the answer is for no later wait of the same name.
    """
    row = await find_controlled_instance(context, request)
    sent = await answer_forms.read_sent(request, context.settings.value_bytes + bodies.OVERHEAD_BYTES)
    seq = integer_of_query(request, "seq", 0)
    name, count = request.path_params["name"], request.path_params["count"]
    found = (await context.store.open_waits([row.key], limit=WAITS_LOOKED_AT)).get(row.key, ())
    waits = [it for it in found if it.key.name == name and str(it.key.count) == count and seq in (0, it.started_seq)]
    if not waits:
        raise WaitOver(f"{name[:60]!r} does not wait for this answer any more, or never did.")
    wait = min(waits, key=lambda it: (it.key.parent is not None, it.started_seq))
    types, schema = _asked(wait)
    type, payload = answer_forms.event_sent(request, answer_forms.form_of(schema, types), sent)
    by = sender_of(request)
    return accepted_response(await context.engine.answer_wait(row, wait.key, wait.started_seq, type, payload, by=by))


async def _rows_of_ids(context: Context, request: Request) -> list[InstanceRow]:
    """The instances of the ids in the query, newest first. Raises BadQuery, TooMany."""
    ids = list(dict.fromkeys(filter(None, request.query_params.get("ids", "").split(","))))
    if not 1 <= len(ids) <= IDS_MAX:
        raise BadQuery(_NEEDS_IDS)
    # So that to try ids costs the same however they are tried.
    context.limits.reads.charge_request(request, context.addresses.client_of(request), len(ids) - 1)
    found = []
    for id in ids:
        try:
            row = await context.store.find(ANONYMOUS, id)
        except InstanceNotFound:
            continue
        if row.status in LOOKED_AT:
            found.append(row)
    return sorted(found, key=lambda row: row.key, reverse=True)


async def _rows_of_tenant(context: Context, tenant: str, before: str | None) -> tuple[list[InstanceRow], str | None]:
    """A page of a tenant's instances in which something may wait, newest first, and the id that the next is before."""
    key = None
    if before is not None:
        try:
            key = (await context.store.find(tenant, before)).key
        except InstanceNotFound:
            raise BadQuery("`before` takes the id that the last answer had; there is no such run any more.") from None
    found = await asyncio.gather(
        *(context.store.list(tenant, status=it, before=key, limit=RUNS_LOOKED_AT) for it in LOOKED_AT)
    )
    rows = sorted((row for some in found for row in some), key=lambda row: row.key, reverse=True)
    page = rows[:RUNS_LOOKED_AT]
    return page, page[-1].id if len(rows) >= RUNS_LOOKED_AT else None


async def _title(context: Context, row: InstanceRow) -> str:
    """What people call the run's workflow."""
    if row.tenant:
        return shown_workflow(row.workflow)
    snippet = await context.store.snippet(row.snippet)
    return "" if snippet is None else title_of(snippet.source) or ""


async def _begun_at(context: Context, row: InstanceRow, wait: StepRow) -> int | None:
    found = await context.store.events(row.key, after=wait.started_seq - 1, limit=1)
    return found[0].at if found else None


def _asked(wait: StepRow) -> tuple[list[str], dict[str, Any] | None]:
    """The types of events that a wait takes, and the schema of their payload."""
    return split_event_types(wait.event_type or ""), (wait.config or {}).get("schema")


def _item(row: InstanceRow, wait: StepRow, title: str, since: int | None) -> dict[str, Any]:
    types, schema = _asked(wait)
    api = instance_address(row) if row.tenant else f"/api{instance_url(row.id)}"
    return {
        "run": {"id": row.id, "title": title, "url": api, "page": _page_of(row), "status": row.status},
        "step": wait.key.as_json(),
        "asked": wait.key.label,
        "seq": wait.started_seq,
        "types": types,
        "since": since,
        "until": wait.until,
        "paused": is_held(row, wait.key),
        "schema": schema,
        "form": msgspec.to_builtins(answer_forms.form_of(schema, types)),
        "answer": f"{api}/waits/{_quoted(wait.key)}/answer?seq={wait.started_seq}",
    }


def _page_of(row: InstanceRow) -> str:
    return f"/tenants/{row.tenant}{instance_url(row.id)}" if row.tenant else instance_url(row.id)


def _quoted(step: StepKey) -> str:
    return f"{quote(step.name, safe='')}/{step.count}"
