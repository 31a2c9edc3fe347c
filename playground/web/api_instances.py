"""Instances over the API: start one, look at it, and change it with its control token."""

from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine import CreateInstance
from playground.engine.breaks import NewBreak
from playground.engine.forking import FORK
from playground.store.protocol import InstanceRow
from playground.web import api_snippets, bodies, tokens
from playground.web.access import TENANT, find
from playground.web.check import body_limit, check_stored, refuse_bad
from playground.web.context import Context
from playground.web.errors import BadBody, BadQuery, ExampleNotFound
from playground.web.responses import json_bytes, json_response
from playground.web.views import ANONYMOUS, instance_url
from playground.workflows import breaks
from playground.workflows.events import StepKey

EVENTS_DEFAULT = 1_000
EVENTS_MOST = 10_000  # in one answer
SMALL_BODY_BYTES = 16 * 1024  # for operations, whose bodies are a few short fields
BREAKS_BODY_BYTES = breaks.MOST * breaks.VALUE_BYTES + SMALL_BODY_BYTES


class BreakStepBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None
    kind: Literal["do"] = "do"


class BreakBody(msgspec.Struct, forbid_unknown_fields=True):
    step: BreakStepBody
    how: Literal["fail", "timeout", "slow", "return"] | None
    times: int = 1
    ms: int | None = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class CreateBody(msgspec.Struct, forbid_unknown_fields=True):
    source: str | msgspec.UnsetType = msgspec.UNSET
    snippet: str | msgspec.UnsetType = msgspec.UNSET
    example: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    id: str | None = None
    breaks: list[BreakBody] = []


class StepBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: int = 1
    kind: Literal["do", "sleep", "wait"] = "do"


class TerminateBody(msgspec.Struct, forbid_unknown_fields=True):
    rollback: bool = False


class RestartBody(msgspec.Struct, forbid_unknown_fields=True):
    from_step: StepBody | None = None
    breaks: list[BreakBody] = []


class KillBody(msgspec.Struct, forbid_unknown_fields=True):
    when: Literal["now", "during-step", "before-commit", "never"] = "now"


class WakeBody(msgspec.Struct, forbid_unknown_fields=True):
    step: StepBody | None = None


class NoBody(msgspec.Struct, forbid_unknown_fields=True):
    pass


async def create(context: Context, request: Request) -> Response:
    """Start an instance. The control token in the answer is told this once."""
    body = await bodies.read_object(request, CreateBody, body_limit(context) + context.settings.value_bytes + BREAKS_BODY_BYTES)
    address = context.addresses.of(request)
    context.limits.checks.spend(request, address)
    source, params, snippet_params = await _code(context, body)
    await refuse_bad(context, source)
    queue = f"addr:{address}"
    check_stored(context, queue)
    context.limits.starts.spend(request, address)
    context.engine.stored.add(queue, len(source.encode()) + (len(bytes(params)) if isinstance(params, msgspec.Raw) else 0))
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
            breaks=_breaks(body.breaks),
        )
    )
    url = instance_url(row.id)
    answer = {"id": row.id, "status": row.status, "url": url, "snippet": row.snippet, "control_token": token}
    return json_response(answer, 201, {"Location": f"/api{url}", "Cache-Control": "no-store"})


async def get(context: Context, request: Request) -> Response:
    """An instance as it stands, or as it stood after the event whose seq is `at`; its forks too, for whoever may change it."""
    row = await find(context, request)
    shown = await context.views.instance(row, moment(request, row))
    if row.tenant or tokens.is_of(request, row.control_hash):
        shown["forks"] = [fork.id for fork in await context.store.children(row.key, FORK)]
    return json_response(shown, headers={"Cache-Control": "no-store"})


async def events(context: Context, request: Request) -> Response:
    """Journal events after a seq, oldest first."""
    row = await find(context, request)
    after = whole_number(request, "after", 0)
    limit = whole_number(request, "limit", EVENTS_DEFAULT, least=1, most=EVENTS_MOST)
    rows = await context.store.events_json(row.key, after=after, limit=limit)
    last_seq = max(row.last_seq, rows[-1][0] if rows else 0)
    more = bool(rows) and rows[-1][0] < last_seq
    content = (
        b'{"events":['
        + b",".join(text for _, _, text in rows)
        + b'],"last_seq":%d,"more":%s}' % (last_seq, b"true" if more else b"false")
    )
    return json_bytes(content, headers={"Cache-Control": "no-store"})


async def send_event(context: Context, request: Request) -> Response:
    """Send an event; the body is its payload, any JSON."""
    row = await controlled(context, request)
    payload = await bodies.read_json(request, context.settings.value_bytes + bodies.OVERHEAD_BYTES)
    if len(bytes(payload)) > bodies.HEAVY_BYTES and not row.tenant:
        context.limits.changes.spend(request, context.addresses.of(request), len(bytes(payload)) // bodies.HEAVY_BYTES)
    await context.engine.send_event(row.tenant, row.id, request.path_params["type"], payload)
    return await accepted(context, row)


async def pause(context: Context, request: Request) -> Response:
    """Start no new step; stop timers and keep what remains of them."""
    row = await controlled(context, request)
    await bodies.read_object(request, NoBody, SMALL_BODY_BYTES, may_be_empty=True)
    await context.engine.pause(row.tenant, row.id)
    return await accepted(context, row)


async def resume(context: Context, request: Request) -> Response:
    """Go on after a pause."""
    row = await controlled(context, request)
    await bodies.read_object(request, NoBody, SMALL_BODY_BYTES, may_be_empty=True)
    await context.engine.resume(row.tenant, row.id)
    return await accepted(context, row)


async def terminate(context: Context, request: Request) -> Response:
    """End an instance, with its rollback handlers if asked."""
    row = await controlled(context, request)
    body = await bodies.read_object(request, TerminateBody, SMALL_BODY_BYTES, may_be_empty=True)
    await context.engine.terminate(row.tenant, row.id, rollback=body.rollback)
    return await accepted(context, row)


async def restart(context: Context, request: Request) -> Response:
    """Run again from the top, or from a step with what was stored before it."""
    row = await controlled(context, request)
    body = await bodies.read_object(request, RestartBody, BREAKS_BODY_BYTES, may_be_empty=True)
    await context.engine.restart(row.tenant, row.id, from_step=step_key(body.from_step), new_breaks=_breaks(body.breaks))
    return await accepted(context, row)


async def delete(context: Context, request: Request) -> Response:
    """Remove an instance and its journal."""
    row = await controlled(context, request)
    await context.engine.delete(row.tenant, row.id)
    return Response(status_code=204)


async def kill_worker(context: Context, request: Request) -> Response:
    """SIGKILL the worker: what is committed stays, and the next one goes on from there."""
    row = await controlled(context, request)
    body = await bodies.read_object(request, KillBody, SMALL_BODY_BYTES, may_be_empty=True)
    await context.engine.kill_worker(row.tenant, row.id, when=body.when)
    return await accepted(context, row)


async def break_step(context: Context, request: Request) -> Response:
    """Make the next attempts of a step fail, time out, be slow or return a value; `how` null clears it. Recorded as injected."""
    row = await controlled(context, request)
    [new] = _breaks([await bodies.read_object(request, BreakBody, SMALL_BODY_BYTES + breaks.VALUE_BYTES)])
    await context.engine.set_break(row.tenant, row.id, new)
    return await accepted(context, row)


async def wake(context: Context, request: Request) -> Response:
    """End the current sleep, retry wait or event timeout now; recorded as virtual time."""
    row = await controlled(context, request)
    body = await bodies.read_object(request, WakeBody, SMALL_BODY_BYTES, may_be_empty=True)
    await context.engine.wake(row.tenant, row.id, step_key(body.step))
    return await accepted(context, row)


async def controlled(context: Context, request: Request) -> InstanceRow:
    """The instance of the address, for a caller who may change it: with its control token, or with a key of its tenant.

    Raises:
        InstanceNotFound, NoToken, WrongToken, TooMany, NoKey, WrongKey, RevokedKey
    """
    if TENANT in request.path_params:
        return await find(context, request)
    context.limits.changes.spend(request, context.addresses.of(request))
    row = await find(context, request)
    tokens.check(request, row.control_hash)
    return row


def moment(request: Request, row: InstanceRow) -> int | None:
    """The seq that `at` of the address's query names, or None. Raises BadQuery."""
    if "at" not in request.query_params:
        return None
    try:
        return whole_number(request, "at", 0, least=1, most=row.last_seq)
    except BadQuery:
        raise BadQuery(f"`at` takes the seq of an event of this instance: a whole number from 1 to {row.last_seq}, its newest.") from None


def whole_number(request: Request, name: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
    """A number of the address's query. Raises BadQuery."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise BadQuery(f"`{name}` takes a whole number from {least} to {most}.")
    return int(text)


async def _code(context: Context, body: CreateBody) -> tuple[str, Any, str | None]:
    """Source and params of a create, and the params text of the snippet that it comes from."""
    given = [name for name in ("source", "snippet", "example") if getattr(body, name) is not msgspec.UNSET]
    if len(given) != 1:
        said = "none of them was given" if not given else f"{' and '.join(given)} were given"
        raise BadBody(f"An instance is made from one of `source`, `snippet` or `example`; {said}.")
    default: Any = None
    text: str | None = None
    if isinstance(body.snippet, str):
        found = await api_snippets.find(context, body.snippet)
        source, text = found.source, found.params
        default = msgspec.Raw(text.encode()) if text else None
    elif isinstance(body.example, str):
        example = context.examples.get(body.example)
        if example is None:
            raise ExampleNotFound(f"There is no example of this name; the examples are {', '.join(context.examples)}.")
        source, default = example.source, example.params
    else:
        source = str(body.source)
    return source, default if body.params is msgspec.UNSET else body.params, text


def _breaks(given: list[BreakBody]) -> list[NewBreak]:
    return [
        NewBreak(it.step.name, it.step.count, it.how, it.times, it.ms, None if it.value is msgspec.UNSET else it.value) for it in given
    ]


def step_key(step: StepBody | None) -> StepKey | None:
    """The step that a body names."""
    return None if step is None else StepKey(step.kind, step.name, step.count)


async def accepted(context: Context, row: InstanceRow) -> Response:
    """The answer to an operation: how the instance stands after it."""
    now = await context.store.find(row.tenant, row.id)
    return json_response({"id": now.id, "status": now.status, "last_seq": now.last_seq}, 202, {"Cache-Control": "no-store"})
