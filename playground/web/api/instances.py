"""Instances over the API: start one, look at it, read its journal.

How several instances stand, in one answer: for the list of recent runs, which knows their ids and nothing else.

The children that an instance runs, and how each stands.

The ledger of an instance's pretended side effects, which shows what happened twice.
"""

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from playground.engine import CreateInstance, queues
from playground.engine.forks import FORK, NO_EDIT, Result, events_of_results
from playground.engine.instances import checked_types
from playground.engine.message_queues import TRIGGER
from playground.engine.schedules import next_firing
from playground.store.rows import InstanceRow
from playground.web.api import snippets
from playground.web.api.check import check_daily_storage, check_source, source_body_bytes
from playground.web.api.operations import (
    BREAKS_BYTES,
    BreakBody,
    ErrorBody,
    NewBreakpoints,
    StepBody,
    parse_breakpoints,
    parse_breaks,
    step_key,
)
from playground.web.context import Context
from playground.web.http import bodies, tokens
from playground.web.http.authorization import charge_reading, find_instance, hold_stream
from playground.web.http.bodies import integer_of_query, seq_of_query, traceparent_of
from playground.web.http.errors import BadBody, BadQuery
from playground.web.http.responses import NO_STORE, json_bytes_response, json_response, not_modified
from playground.web.instance_view import ANONYMOUS, brief_error, effects_json, instance_url
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound, TooLarge
from playground.workflows.events import NewEvent, StepKey
from playground.workflows.tags import tags_of

EVENTS_DEFAULT = 1_000
EVENTS_MAX = 10_000  # in one answer
RESULTS_MOST = 10_000  # steps that a run begins with
RESULTS_BYTES = 1024 * 1024  # of their outputs together
MAX_TIME = 2**53


class ResultBody(msgspec.Struct, forbid_unknown_fields=True):
    """A finished step that the run begins with: its `output`, as the API shows results (of a wait the payload of its
    event, with its `type` and `timestamp`; a sleep has none), or its `error`, of a wait that of its timeout.
    """

    step: StepBody
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | None = None
    line: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None
    type: str | None = None
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME)] | None = None


class CreateBody(bodies.SourceBody, forbid_unknown_fields=True):
    source: str | msgspec.UnsetType = msgspec.UNSET
    snippet: str | msgspec.UnsetType = msgspec.UNSET
    example: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None
    breaks: list[BreakBody] = msgspec.field(default_factory=list)
    breakpoints: NewBreakpoints = msgspec.field(default_factory=list)
    skip_sleeps: bool = False
    schedule: str | None | msgspec.UnsetType = msgspec.UNSET  # cron: it stands for the next firing
    tags: list[str] = msgspec.field(default_factory=list)
    results: Annotated[list[ResultBody], msgspec.Meta(max_length=RESULTS_MOST)] = msgspec.field(default_factory=list)


async def create(context: Context, request: Request) -> Response:
    """Start an instance. The control token in the answer is told this once."""
    body = await bodies.read_object(
        request, CreateBody, source_body_bytes(context) + context.settings.value_bytes + BREAKS_BYTES + RESULTS_BYTES
    )
    context.limits.checks.charge_request(request, context.addresses.client_of(request))
    source, params, snippet_params = await _source_and_params(context, body)
    cron = _cron(context, body)
    events = await _events_of_results(context, body.results)
    token = context.ids.token()
    new = CreateInstance(
        source=source,
        params=params,
        id=body.id,
        control_hash=tokens.digest(token),
        snippet_params=snippet_params,
        breaks=parse_breaks(body.breaks),
        breakpoints=parse_breakpoints(body.breakpoints),
        skip_sleeps=body.skip_sleeps,
        limits=None if cron is None else dict(next_firing(cron, context.now())),
        tags=body.tags,
        events=events,
        traceparent=traceparent_of(request),
    )
    return created_response(await start_anonymous(context, request, new), token)


async def _events_of_results(context: Context, results: list[ResultBody]) -> list[NewEvent]:
    """What the journal begins with. Raises CannotFork, NotSerialisable, TooLarge."""
    if not results:
        return []
    size = sum(len(bytes(it.output)) for it in results if isinstance(it.output, msgspec.Raw))
    if size > RESULTS_BYTES:
        raise TooLarge(
            f"The results have {size:,} bytes together; the most is {RESULTS_BYTES:,}. Begin with fewer of them.",
            limit=RESULTS_BYTES,
            size=size,
        )
    given = [
        Result(
            StepKey(it.step.kind, it.step.name, it.step.count, step_key(it.step.parent)),
            msgspec.json.decode(it.output) if isinstance(it.output, msgspec.Raw) else NO_EDIT,
            None if it.error is None else (it.error.name, it.error.message),
            it.line,
            it.type,
            it.timestamp,
        )
        for it in results
    ]
    return await asyncio.to_thread(events_of_results, given, context.now(), context.settings.value_bytes)


async def start_anonymous(context: Context, request: Request, new: CreateInstance) -> InstanceRow:
    """Check and start an instance that is nobody's, within what its address may. The check itself is counted already.

    Raises as `check_source` and `Engine.create`; TooMany.
    """
    address = context.addresses.client_of(request)
    queue, source, params = queues.of_address(address), new.source or "", new.params
    await check_source(context, source, queue, to_run=True)
    await check_daily_storage(context, queue)
    await context.limits.starts.charge_request(request, address)
    given = sum(len(msgspec.json.encode(event.data)) for event in new.events)
    context.engine.stored.add(
        queue, len(source.encode()) + (len(bytes(params)) if isinstance(params, msgspec.Raw) else 0) + given
    )
    return await context.engine.create(replace(new, tenant=ANONYMOUS, queue=queue))


def created_response(row: InstanceRow, token: str) -> Response:
    """The answer to who started an instance that is nobody's: where it is, and the token that it is changed with."""
    url = instance_url(row.id)
    answer = {"id": row.id, "status": row.status, "url": url, "snippet": row.snippet, "control_token": token}
    return json_response(answer, 201, {"Location": f"/api{url}", **NO_STORE})


async def get(context: Context, request: Request) -> Response:
    """An instance as it stands, or as it stood after the event whose seq is `at`; its forks too, for whoever may change
    it.
    """
    row = await find_instance(context, request)
    at = seq_of_query(request, row)
    await charge_reading(context, request, row, events=at or row.last_seq)
    shown = await context.views.view_json(row, at)
    if row.tenant or tokens.carries_token(request, row.control_hash):
        shown["forks"] = [fork.id for fork in await context.store.children(row.key, FORK)]
    answer = json_response(shown, headers=NO_STORE)
    await charge_reading(context, request, row, size=len(answer.body))
    return answer


async def events(context: Context, request: Request) -> Response:
    """Journal events after a seq, oldest first."""
    row = await find_instance(context, request)
    after = integer_of_query(request, "after", 0)
    limit = integer_of_query(request, "limit", EVENTS_DEFAULT, least=1, most=EVENTS_MAX)
    rows = await context.store.events_json(row.key, after=after, limit=limit)
    await charge_reading(context, request, row, events=len(rows), size=sum(len(text) for _, _, text in rows))
    last_seq = max(row.last_seq, rows[-1][0] if rows else 0)
    more = bool(rows) and rows[-1][0] < last_seq
    content = (
        b'{"events":['
        + b",".join(text for _, _, text in rows)
        + b'],"last_seq":%d,"more":%s}' % (last_seq, b"true" if more else b"false")
    )
    return json_bytes_response(content, headers=NO_STORE)


async def _source_and_params(context: Context, body: CreateBody) -> tuple[str, Any, str | None]:
    """Source and params of a create, and the params text of the snippet that it comes from."""
    given = [name for name in ("source", "snippet", "example") if getattr(body, name) is not msgspec.UNSET]
    if len(given) != 1:
        said = "none of them was given" if not given else f"{' and '.join(given)} were given"
        raise BadBody(f"An instance is made from one of `source`, `snippet` or `example`; {said}.")
    default: Any = None
    text: str | None = None
    if isinstance(body.snippet, str):
        found = await snippets.find_snippet(context, body.snippet)
        source, text = found.source, found.params
        default = msgspec.Raw(text.encode()) if text else None
    elif isinstance(body.example, str):
        example = context.example(body.example)
        source, default = example.source, example.params
    else:
        source = str(body.source)
    return source, default if body.params is msgspec.UNSET else body.params, text


def _cron(context: Context, body: CreateBody) -> str | None:
    if body.schedule is not msgspec.UNSET:
        return body.schedule
    return context.example(body.example).schedule if isinstance(body.example, str) else None


IDS_MAX = 50  # in one question


async def statuses(context: Context, request: Request) -> Response:
    """How instances stand, for a list of runs; those that are not kept are left out. `error` is cut for one line."""
    ids = list(dict.fromkeys(filter(None, request.query_params.get("ids", "").split(","))))
    if not 1 <= len(ids) <= IDS_MAX:
        raise BadQuery(f"`ids` takes 1 to {IDS_MAX} ids of instances, with commas between.")
    # So that to try ids costs the same however they are tried.
    context.limits.reads.charge_request(request, context.addresses.client_of(request), len(ids) - 1)
    found = []
    for id in ids:
        try:
            row = await context.store.find(ANONYMOUS, id)
        except InstanceNotFound:
            continue
        times = {"created_at": row.created_at, "started_at": row.started_at, "ended_at": row.ended_at}
        error = brief_error(row.error)
        found.append(
            {
                "id": row.id,
                "status": row.status,
                **times,
                "execution": row.execution,
                "tags": tags_of(row.injected),
                "error": error,
            }
        )
    return json_response({"statuses": found}, headers=NO_STORE)


CHILDREN_DEFAULT = 100
CHILDREN_MOST = 1_000  # in one answer


async def children(context: Context, request: Request) -> Response:
    """The instances that an instance has run as children, newest first, those that handle its messages too (`queue`);
    `more`: there are older ones.
    """
    row = await find_instance(context, request)
    limit = integer_of_query(request, "limit", CHILDREN_DEFAULT, least=1, most=CHILDREN_MOST)
    found = [
        (child, kind)
        for kind in (ev.CHILD, TRIGGER)
        for child in await context.store.children(row.key, kind, limit=limit + 1)
    ]
    found.sort(key=lambda it: it[0].key, reverse=True)
    shown = [
        {
            "id": child.id,
            "kind": kind,
            "status": child.status,
            "started_at": child.started_at,
            "ended_at": child.ended_at,
        }
        for child, kind in found[:limit]
    ]
    await charge_reading(context, request, row, events=len(shown))
    return json_response({"children": shown, "more": len(found) > limit}, headers=NO_STORE)


async def effects(context: Context, request: Request) -> Response:
    """The side effects that an instance pretended to have, oldest first; `double_of` names the one that this one
    repeats.
    """
    row = await find_instance(context, request)
    happened, asked = await context.store.effects.change_counters(row.key)
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{happened}-{asked}"'}
    if (known := not_modified(request, headers)) is not None:  # a page asks often while a step runs
        return known
    found = await context.store.effects.of_instance(row.key)
    return json_response({"effects": effects_json(found)}, headers=headers)


async def stream(context: Context, request: Request) -> Response:
    """The journal of an instance, live; `filter` takes types of events with commas between, and leaves out others."""
    row = await find_instance(context, request)
    after, wanted = last_event_id(request), _wanted_types(request)
    if not await goes_on(context, request, row, after):
        return Response(status_code=204, headers=NO_STORE)
    view = await context.views.view_json(row) if after > row.last_seq else None
    return context.streams.stream_response(row, after, view, hold_stream(context, request), wanted)


async def goes_on(context: Context, request: Request, row: InstanceRow, after: int) -> bool:
    """Charge a reader of a stream for what comes after a seq; False: it has everything, and nothing more will come."""
    if row.status in ev.FINAL_STATUSES and after == row.last_seq:
        return False
    await charge_reading(context, request, row, events=row.last_seq - after if after <= row.last_seq else row.last_seq)
    return True


def _wanted_types(request: Request) -> frozenset[str] | None:
    text = request.query_params.get("filter")
    if text is None:
        return None
    try:
        return checked_types([type.strip() for type in text.split(",")])
    except ValueError as unknown:
        raise BadQuery(f"`filter`: {unknown}.") from None


def last_event_id(request: Request) -> int:
    """Where to go on: the Last-Event-ID of a reconnect wins over the address that the page was opened with."""
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text:
            if not (text.isascii() and text.isdigit() and len(text) <= 16):
                raise BadQuery(f"`{name}` takes the seq of the last event received, a whole number.")
            return int(text)
    return 0
