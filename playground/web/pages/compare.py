"""Two instances side by side: as a page whose table needs no scripts, and as JSON.

Names of `compare.html`: `sides` are the two instances (`view` as GET /api/instances/{id}, `given`, what stood in the
address), or lack a view; `said` is why there is nothing to compare; `found` as workflows/compare.py gives it; `code` is
where their sources differ (line, sides with text and more), or None.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.store.encoding import as_objects as plain_value
from playground.store.rows import InstanceRow
from playground.web.context import Context
from playground.web.http.authorization import charge_reading
from playground.web.http.responses import NO_STORE_BY_ACCEPT, json_response, wants_html
from playground.web.indented_json import untag_value
from playground.web.instance_view import decode_values
from playground.web.journal_reader import LEFT_OUT
from playground.web.pages import pages
from playground.workflows import events as ev
from playground.workflows.compare import attempts_of, changed_lines, compare
from playground.workflows.errors import InstanceNotFound

ROWS_SHOWN = 1_000  # on a page; JSON has all
VALUES_BYTES = 256 * 1024  # of large values of one side that are shown
LINES_SHOWN = 12  # of code that differs
LINES_LENGTH = 2_000  # … and characters
ADDRESS_LENGTH = 500  # characters of an address that is looked at

_ID = re.compile(r"(?:.*/instances/)?([A-Za-z0-9_][A-Za-z0-9_-]{0,99})(?:[/?#].*)?", re.DOTALL)

NOTHING_YET = "Paste the addresses of two runs, or their ids."
NOT_THERE = "No run has the address {given}. Finished runs are kept some days, then deleted."


async def view(context: Context, request: Request) -> Response:
    """Two instances side by side: their steps, results, errors and times, with the first difference marked."""
    given = [request.query_params.get(name, "").strip()[:ADDRESS_LENGTH] for name in ("a", "b")]
    rows: list[InstanceRow | None] = [None, None]
    said = "" if all(given) else NOTHING_YET
    for place, address in enumerate(given):
        if address:
            try:
                row = rows[place] = await context.views.find_instance(_id_of_address(address))
            except InstanceNotFound:
                if not wants_html(request):
                    raise
                said = NOT_THERE.format(given=f"“{address[:60]}”")
                continue
            await charge_reading(context, request, row, events=row.last_seq)
    if not wants_html(request):
        if said:
            raise InstanceNotFound(said)
        raw = [_decoded_view(await context.views.view_with_steps(row)) for row in rows if row is not None]
        return json_response(
            {"a": _summary(raw[0]), "b": _summary(raw[1]), **compare(*raw)}, headers=NO_STORE_BY_ACCEPT
        )
    if said or not all(row is not None and row.status in ev.FINAL_STATUSES for row in rows):
        return pages.html_response(context, request, "compare.html", await _template_names(context, given, rows, said))
    key = (*given, *((row.key, row.last_seq) for row in rows if row is not None))
    kept = context.page_cache.comparisons
    return await pages.shell_response(
        context, request, "compare.html", key, lambda: _template_names(context, given, rows, said), kept=kept
    )


async def _template_names(
    context: Context, given: Sequence[str], rows: Sequence[InstanceRow | None], said: str
) -> dict[str, Any]:
    """The names of the template. Those of two instances that are over depend on nothing else."""
    sides: list[dict[str, Any]] = [{"given": it, "view": None, "raw": None} for it in given]
    for side, row in zip(sides, rows, strict=True):
        if row is not None:
            side["raw"] = _decoded_view(await context.views.view_with_steps(row))
            side["view"] = decode_values({**side["raw"], "params": plain_value(side["raw"]["params"])}, VALUES_BYTES)
    found = None if said else compare(*(side["raw"] for side in sides))
    return {
        "sides": sides,
        "said": said,
        "found": found,
        "rows_shown": ROWS_SHOWN,
        "attempts_of": attempts_of,
        "left_out": LEFT_OUT,
        "brief": _one_line,
        "code": None
        if found is None or found["code"]
        else await _code_difference(context, *(side["raw"]["snippet"] for side in sides)),
        "data": {"a": _live_side(sides[0]), "b": _live_side(sides[1])} if found else None,
        "now": context.now(),
    }


def _decoded_view(view: dict[str, Any]) -> dict[str, Any]:
    """The view with errors and events as objects: they are looked into.

    Other large values are only held against each other.
    """
    steps = [
        {
            **step,
            **{
                name: plain_value(step[name])
                for name in ("error", "output")
                if name in step and (name == "error" or step["kind"] == ev.WAIT)
            },
        }
        for step in view["steps"]
    ]
    return {**view, "steps": steps, "error": plain_value(view["error"])}


async def _code_difference(context: Context, a: str, b: str) -> dict[str, Any] | None:
    """Where two codes differ: the first line of the region, and as much of either's as a cell has room for."""
    found = [await context.store.snippet(id) for id in (a, b)]
    if found[0] is None or found[1] is None or found[0].source == found[1].source:
        return None
    line, mine, other = changed_lines(found[0].source, found[1].source)
    indent = min((len(it) - len(it.lstrip(" ")) for it in (*mine, *other) if it.strip()), default=0)
    shown = [
        {
            "text": "\n".join(it[indent:] for it in lines[:LINES_SHOWN])[:LINES_LENGTH],
            "more": max(0, len(lines) - LINES_SHOWN),
        }
        for lines in (mine, other)
    ]
    return {"line": line, "sides": shown}


def _id_of_address(given: str) -> str:
    match = _ID.fullmatch(given)
    return match[1] if match else ""


def _summary(view: dict[str, Any]) -> dict[str, Any]:
    return {name: view[name] for name in ("id", "url", "status", "snippet", "created_at", "started_at", "ended_at")}


def _live_side(side: dict[str, Any]) -> dict[str, Any]:
    shown = side["view"]
    return {"id": shown["id"], "snippet": shown["snippet"], "final": shown["status"] in ev.FINAL_STATUSES}


def _one_line(value: Any) -> str:
    """A value on one line, as much of it as a cell has room for."""
    text = msgspec.json.encode(untag_value(value)).decode()
    return text if len(text) <= 90 else text[:89] + "…"
