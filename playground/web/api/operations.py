"""What may be done to an instance, over the API: by who holds its control token, or a key of its tenant."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.execution.breakpoints import ANY_STEP, NOTHING, GivenError, StepPattern
from playground.engine.execution.faults import NewBreak
from playground.store.encoding import Encoded, as_objects, encode_shown
from playground.store.protocol import Committed
from playground.store.rows import InstanceRow
from playground.web.context import Context
from playground.web.http import bodies, tokens
from playground.web.http.authorization import TENANT, find_instance, hold_stream, sender_of
from playground.web.http.responses import NO_STORE, json_response
from playground.workflows import breakpoints, breaks
from playground.workflows.events import KillPoint, StepKey

BREAKS_BYTES = breaks.MAX_BREAKS * breaks.MAX_VALUE_BYTES  # of the values of all breaks that one body may set


class BreakStepBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None
    kind: Literal["do"] = "do"


class BreakBody(msgspec.Struct, forbid_unknown_fields=True):
    step: BreakStepBody
    how: breaks.How | None
    times: int = 1
    ms: int | None = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class PatternBody(msgspec.Struct, forbid_unknown_fields=True):
    """The steps that a breakpoint stands before: every call of a name, of one kind or one call only."""

    name: str
    kind: Literal["do", "sleep", "wait", "child"] | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None


class BreakpointBody(msgspec.Struct, forbid_unknown_fields=True):
    step: PatternBody
    on: bool


class NewBreakpointBody(msgspec.Struct, forbid_unknown_fields=True):
    step: PatternBody


NewBreakpoints = Annotated[list[NewBreakpointBody], msgspec.Meta(max_length=breakpoints.MAX_BREAKPOINTS)]


class ErrorBody(msgspec.Struct, forbid_unknown_fields=True):
    """The error of a step: its class by name and its message. Of a wait, which can only time out, neither."""

    name: str | None = None
    message: str | None = None


class ContinueBody(msgspec.Struct, forbid_unknown_fields=True):
    """`output` or `error`: how the step ends that the run is stopped before, which is not run then."""

    until: Literal["next-commit"] | PatternBody | None = None
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | None = None

    def __post_init__(self) -> None:
        if self.error is not None and self.output is not msgspec.UNSET:
            raise ValueError("a step has either an output or an error")


class StepBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: int = 1
    kind: Literal["do", "sleep", "wait", "child"] = "do"
    parent: "StepBody | None" = None


class TerminateBody(msgspec.Struct, forbid_unknown_fields=True):
    rollback: bool = False


class RestartBody(msgspec.Struct, forbid_unknown_fields=True):
    from_step: StepBody | None = None
    breaks: list[BreakBody] = []
    breakpoints: NewBreakpoints = []


class KillBody(msgspec.Struct, forbid_unknown_fields=True):
    when: KillPoint = "now"


class WakeBody(msgspec.Struct, forbid_unknown_fields=True):
    step: StepBody | None = None


class SkipSleepsBody(msgspec.Struct, forbid_unknown_fields=True):
    on: bool = True


class NoBody(msgspec.Struct, forbid_unknown_fields=True):
    pass


async def send_event(context: Context, request: Request) -> Response:
    """Send an event; the body is its payload, any JSON. With `reply=1` the answer is what the workflow replies."""
    row = await find_controlled_instance(context, request)
    payload = await bodies.read_json(request, context.settings.value_bytes + bodies.OVERHEAD_BYTES)
    if len(bytes(payload)) > bodies.EVENT_CHARGE_BYTES and not row.tenant:
        heavy = len(bytes(payload)) // bodies.EVENT_CHARGE_BYTES
        await context.limits.changes.charge_request(request, context.addresses.client_of(request), heavy)
    sender = context.tenants if row.tenant else context.engine
    type, by = request.path_params["type"], sender_of(request)
    if request.query_params.get("reply", "0") not in ("1", "true"):
        return accepted_response(await sender.send_event(row, type, payload, by=by))
    release = hold_stream(context, request)
    try:
        reply = await context.engine.reply_to(row, await sender.send_event(row, type, payload, by=by))
    finally:
        release()
    return json_response({"id": row.id, "reply": as_objects(reply)}, headers=NO_STORE)


async def pause(context: Context, request: Request) -> Response:
    """Start no new step; stop timers and keep what remains of them."""
    return await _operate(context, request, context.engine.pause)


async def resume(context: Context, request: Request) -> Response:
    """Go on after a pause."""
    return await _operate(context, request, context.engine.resume)


async def _operate(context: Context, request: Request, act: Callable[[InstanceRow], Awaitable[Committed]]) -> Response:
    """An operation that takes nothing but the instance."""
    row = await find_controlled_instance(context, request)
    await bodies.read_short(request, NoBody)
    return accepted_response(await act(row))


async def terminate(context: Context, request: Request) -> Response:
    """End an instance, with its rollback handlers if asked."""
    row = await find_controlled_instance(context, request)
    body = await bodies.read_short(request, TerminateBody)
    return accepted_response(await context.engine.terminate(row, rollback=body.rollback))


async def restart(context: Context, request: Request) -> Response:
    """Run again from the top, or from a step with what was stored before it."""
    row = await find_controlled_instance(context, request)
    body = await bodies.read_object(request, RestartBody, BREAKS_BYTES + bodies.OVERHEAD_BYTES, may_be_empty=True)
    committed = await context.engine.restart(
        row,
        from_step=step_key(body.from_step),
        new_breaks=parse_breaks(body.breaks),
        new_breakpoints=parse_breakpoints(body.breakpoints),
    )
    return accepted_response(committed)


async def delete(context: Context, request: Request) -> Response:
    """Remove an instance and its journal."""
    row = await find_controlled_instance(context, request)
    await context.engine.delete(row)
    return Response(status_code=204)


async def kill_worker(context: Context, request: Request) -> Response:
    """SIGKILL the worker: what is committed stays, and the next one goes on from there."""
    row = await find_controlled_instance(context, request)
    body = await bodies.read_short(request, KillBody)
    return accepted_response(await context.engine.kill_worker(row, when=body.when))


async def break_step(context: Context, request: Request) -> Response:
    """Make the next attempts of a step fail, time out, be slow or return a value; `how` null clears it. Recorded as
    injected.
    """
    row = await find_controlled_instance(context, request)
    [new] = parse_breaks([await bodies.read_object(request, BreakBody, breaks.MAX_VALUE_BYTES + bodies.OVERHEAD_BYTES)])
    return accepted_response(await context.engine.set_break(row, new))


async def set_breakpoint(context: Context, request: Request) -> Response:
    """Stop before a step that has not begun, or do so no more."""
    row = await find_controlled_instance(context, request)
    body = await bodies.read_object(request, BreakpointBody, bodies.OVERHEAD_BYTES)
    return accepted_response(await context.engine.set_breakpoint(row, _pattern(body.step), on=body.on))


async def go_on(context: Context, request: Request) -> Response:
    """Go on from a stop or a pause: to the next breakpoint or the end, `until` the next step or a named one, with
    `output` as the result of the step that it is stopped before, or `error` as its error.
    """
    row = await find_controlled_instance(context, request)
    most = context.settings.value_bytes + bodies.OVERHEAD_BYTES
    body = await bodies.read_object(request, ContinueBody, most, may_be_empty=True)
    until = ANY_STEP if isinstance(body.until, str) else None if body.until is None else _pattern(body.until)
    output = NOTHING
    if isinstance(body.output, msgspec.Raw):
        shown = msgspec.json.decode(body.output)
        output = Encoded(await asyncio.to_thread(encode_shown, shown, "output", context.settings.value_bytes))
    error = None if body.error is None else GivenError(body.error.name, body.error.message)
    return accepted_response(await context.engine.go_on(row, until, output, error=error))


async def wake(context: Context, request: Request) -> Response:
    """End the current sleep, retry wait or event timeout now; recorded as virtual time."""
    row = await find_controlled_instance(context, request)
    body = await bodies.read_short(request, WakeBody)
    return accepted_response(await context.engine.wake(row, step_key(body.step)))


async def skip_sleeps(context: Context, request: Request) -> Response:
    """Have every sleep and every wait before a retry be over at once, from now on; or no longer. Recorded as virtual
    time.
    """
    row = await find_controlled_instance(context, request)
    body = await bodies.read_short(request, SkipSleepsBody)
    return accepted_response(await context.engine.skip_sleeps(row, on=body.on))


async def find_controlled_instance(context: Context, request: Request) -> InstanceRow:
    """The instance of the address, for a caller who may change it: with its control token, or with a key of its tenant.

    Raises:
        InstanceNotFound, NoToken, WrongToken, TooMany, NoKey, WrongKey, RevokedKey
    """
    if TENANT in request.path_params:
        return await find_instance(context, request)
    await context.limits.changes.charge_request(request, context.addresses.client_of(request))
    row = await find_instance(context, request)
    tokens.check_control_token(request, row.control_hash)
    return row


def parse_breaks(given: list[BreakBody]) -> list[NewBreak]:
    """The breaks that a body sets."""
    return [
        NewBreak(it.step.name, it.step.count, it.how, it.times, it.ms, None if it.value is msgspec.UNSET else it.value)
        for it in given
    ]


def parse_breakpoints(given: list[NewBreakpointBody]) -> list[StepPattern]:
    """The breakpoints that a body sets."""
    return [_pattern(it.step) for it in given]


def _pattern(body: PatternBody) -> StepPattern:
    return StepPattern(body.name, body.kind, body.count)


def step_key(step: StepBody | None) -> StepKey | None:
    """The step that a body names."""
    return None if step is None else StepKey(step.kind, step.name, step.count, step_key(step.parent))


def accepted_response(committed: Committed) -> Response:
    """The answer to an operation: how the instance stands after it."""
    row = committed.row
    return json_response({"id": row.id, "status": row.status, "last_seq": row.last_seq}, 202, NO_STORE)
