"""Forks over the API: a new instance from what another one has finished, with an edited result or edited code; and
edited code for one that lives.
"""

from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from playground.engine import CreateInstance, forks, queues
from playground.engine.code import code_change
from playground.engine.code.sources import is_deployed
from playground.store.rows import InstanceRow
from playground.web.api import tenant_instances
from playground.web.api.check import check_daily_storage, check_source, source_body_bytes
from playground.web.api.instances import created_response
from playground.web.api.operations import (
    BREAKS_BYTES,
    NewBreakpoints,
    StepBody,
    find_controlled_instance,
    parse_breakpoints,
    step_key,
)
from playground.web.context import Context
from playground.web.http import bodies, tokens
from playground.web.http.authorization import charge_reading, find_instance
from playground.web.http.errors import NoToken, WrongToken
from playground.web.http.responses import NO_STORE, json_response
from playground.workflows.errors import CannotFork, CannotMigrate
from playground.workflows.names import workflow_class

_NO_SOURCE = (
    "The code of this instance comes from a program on the server; a fork of it runs that code, whatever it is by then."
)
_SENSITIVE = (
    'The result of step "{step}" is sensitive, so only who started this run may copy it into a fork. Fork at that step '
    "or before it."
)
_NO_CODE = "The code of this instance comes from a program on the server, which alone can change it."


class CodeBody(bodies.SourceBody, forbid_unknown_fields=True):
    source: str


class ForkBody(bodies.SourceBody, forbid_unknown_fields=True):
    from_step: StepBody | None = None
    output: Any = msgspec.UNSET
    source: str | None = None
    breakpoints: NewBreakpoints = msgspec.field(default_factory=list)


async def fork(context: Context, request: Request) -> Response:
    """Start an instance from the results of another, up to a step. The control token in the answer is told this
    once.
    """
    row = await find_instance(context, request)
    body = await bodies.read_object(
        request, ForkBody, source_body_bytes(context) + context.settings.value_bytes + BREAKS_BYTES, may_be_empty=True
    )
    if row.tenant:
        return await _fork_for_tenant(context, row, body)
    address = context.addresses.client_of(request)
    queue = queues.of_address(address)
    if body.source is not None:
        context.limits.checks.charge_request(request, address)
        await check_source(context, body.source, queue, row.class_name)
    await check_daily_storage(context, queue)
    await context.limits.starts.charge_request(request, address)
    await charge_reading(context, request, row, events=row.last_seq)
    planned = await forks.plan(context.engine, row, step_key(body.from_step), body.output)
    if planned.sensitive and not tokens.carries_token(request, row.control_hash):
        raise (NoToken if tokens.bearer_token(request) is None else WrongToken)(
            _SENSITIVE.format(step=planned.sensitive.name)
        )
    context.engine.stored.add(queue, planned.bytes + len((body.source or "").encode()))
    token = context.ids.token()
    made = await context.engine.create(
        replace(
            await _with_code(context, row, planned.template, body.source),
            breakpoints=parse_breakpoints(body.breakpoints),
            queue=queue,
            control_hash=tokens.digest(token),
        )
    )
    return created_response(made, token)


async def _fork_for_tenant(context: Context, row: InstanceRow, body: ForkBody) -> Response:
    if body.source is not None:
        if not is_deployed(row.workflow):
            raise CannotFork(_NO_SOURCE)
        context.limits.checks.charge(queues.of_tenant(row.tenant))
        await check_source(context, body.source, queues.of_tenant(row.tenant), workflow_class(row.class_name))
    planned = await forks.plan(context.engine, row, step_key(body.from_step), body.output)
    with_code = await _with_code(context, row, planned.template, body.source)
    return tenant_instances.created_response(
        await context.engine.create(replace(with_code, breakpoints=parse_breakpoints(body.breakpoints)))
    )


async def change_code(context: Context, request: Request) -> Response:
    """Let a living instance go on with other code, where its history fits; its worker is given up."""
    row = await find_controlled_instance(context, request)
    body = await bodies.read_object(request, CodeBody, source_body_bytes(context))
    if row.tenant and not is_deployed(row.workflow):
        raise CannotMigrate(_NO_CODE)
    address = context.addresses.client_of(request)
    context.limits.checks.charge(queues.of_tenant(row.tenant) if row.tenant else address)
    owner = queues.of_tenant(row.tenant) if row.tenant else queues.of_address(address)
    await check_source(context, body.source, owner, workflow_class(row.class_name))
    if not row.tenant:
        await check_daily_storage(context, row.queue)
        context.engine.stored.add(row.queue, len(body.source.encode()))
    now = (await code_change.change_code(context.engine, row, body.source)).row
    return json_response(
        {"id": now.id, "status": now.status, "last_seq": now.last_seq, "snippet": now.snippet}, 202, NO_STORE
    )


async def _with_code(
    context: Context, row: InstanceRow, template: CreateInstance, source: str | None
) -> CreateInstance:
    """The fork with the code that it is to run."""
    if source is None or source == (await context.engine.code(row)).source:
        return template
    trigger = dict(template.trigger) if not isinstance(template.trigger, str) else {}
    return replace(template, source=source, version="", trigger={**trigger, "source": True})
