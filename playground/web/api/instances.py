"""Instances over the API: start one, look at it, read its journal."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine import CreateInstance, queue_names
from playground.engine.forks import FORK
from playground.store.protocol import InstanceRow
from playground.web.api import snippets
from playground.web.api.check import body_limit, check_stored, refuse_bad
from playground.web.api.operations import BREAKS_BYTES, BreakBody, breaks_of
from playground.web.context import Context
from playground.web.http import bodies, tokens
from playground.web.http.authorization import find, spend_reading
from playground.web.http.errors import BadBody
from playground.web.http.query_parameters import moment, whole_number
from playground.web.http.responses import FRESH, json_bytes, json_response
from playground.web.instance_view import ANONYMOUS, instance_url

EVENTS_DEFAULT = 1_000
EVENTS_MOST = 10_000  # in one answer


class CreateBody(bodies.SourceBody, forbid_unknown_fields=True):
    source: str | msgspec.UnsetType = msgspec.UNSET
    snippet: str | msgspec.UnsetType = msgspec.UNSET
    example: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None
    breaks: list[BreakBody] = msgspec.field(default_factory=list)


async def create(context: Context, request: Request) -> Response:
    """Start an instance. The control token in the answer is told this once."""
    body = await bodies.read_object(
        request, CreateBody, body_limit(context) + context.settings.value_bytes + BREAKS_BYTES
    )
    address = context.addresses.of(request)
    context.limits.checks.spend(request, address)
    source, params, snippet_params = await _code(context, body)
    queue = queue_names.of_address(address)
    await refuse_bad(context, source, queue)
    await check_stored(context, queue)
    await context.limits.starts.spend(request, address)
    context.engine.stored.add(
        queue, len(source.encode()) + (len(bytes(params)) if isinstance(params, msgspec.Raw) else 0)
    )
    token = context.ids.token()
    row = await context.engine.create(
        CreateInstance(
            source=source,
            params=params,
            id=body.id,
            tenant=ANONYMOUS,
            queue=queue,
            control_hash=tokens.digest(token),
            snippet_params=snippet_params,
            breaks=breaks_of(body.breaks),
        )
    )
    return created(row, token)


def created(row: InstanceRow, token: str) -> Response:
    """The answer to who started an instance that is nobody's: where it is, and the token that it is changed with."""
    url = instance_url(row.id)
    answer = {"id": row.id, "status": row.status, "url": url, "snippet": row.snippet, "control_token": token}
    return json_response(answer, 201, {"Location": f"/api{url}", **FRESH})


async def get(context: Context, request: Request) -> Response:
    """An instance as it stands, or as it stood after the event whose seq is `at`; its forks too, for whoever may change
    it.
    """
    row = await find(context, request)
    at = moment(request, row)
    await spend_reading(context, request, row, events=at or row.last_seq)
    shown = await context.views.instance(row, at)
    if row.tenant or tokens.is_of(request, row.control_hash):
        shown["forks"] = [fork.id for fork in await context.store.children(row.key, FORK)]
    answer = json_response(shown, headers=FRESH)
    await spend_reading(context, request, row, size=len(answer.body))
    return answer


async def events(context: Context, request: Request) -> Response:
    """Journal events after a seq, oldest first."""
    row = await find(context, request)
    after = whole_number(request, "after", 0)
    limit = whole_number(request, "limit", EVENTS_DEFAULT, least=1, most=EVENTS_MOST)
    rows = await context.store.events_json(row.key, after=after, limit=limit)
    await spend_reading(context, request, row, events=len(rows), size=sum(len(text) for _, _, text in rows))
    last_seq = max(row.last_seq, rows[-1][0] if rows else 0)
    more = bool(rows) and rows[-1][0] < last_seq
    content = (
        b'{"events":['
        + b",".join(text for _, _, text in rows)
        + b'],"last_seq":%d,"more":%s}' % (last_seq, b"true" if more else b"false")
    )
    return json_bytes(content, headers=FRESH)


async def _code(context: Context, body: CreateBody) -> tuple[str, Any, str | None]:
    """Source and params of a create, and the params text of the snippet that it comes from."""
    given = [name for name in ("source", "snippet", "example") if getattr(body, name) is not msgspec.UNSET]
    if len(given) != 1:
        said = "none of them was given" if not given else f"{' and '.join(given)} were given"
        raise BadBody(f"An instance is made from one of `source`, `snippet` or `example`; {said}.")
    default: Any = None
    text: str | None = None
    if isinstance(body.snippet, str):
        found = await snippets.find(context, body.snippet)
        source, text = found.source, found.params
        default = msgspec.Raw(text.encode()) if text else None
    elif isinstance(body.example, str):
        example = context.example(body.example)
        source, default = example.source, example.params
    else:
        source = str(body.source)
    return source, default if body.params is msgspec.UNSET else body.params, text
