"""What one request over MCP may do: the tools that there are for its caller, and what becomes of a call.

Architecture Invariant: a toolbox is made for a request and forgotten with it. Whatever outlives the request is in the
store, so that any node answers the next one.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace
from starlette.requests import Request

from playground.engine import forks, queues
from playground.engine.code.sources import is_deployed
from playground.engine.code.tool_signature import Schema, read_signature
from playground.store.encoding import as_objects
from playground.store.rows import InstanceRow
from playground.web.api.check import check_daily_storage
from playground.web.context import Context
from playground.web.http import tokens
from playground.web.http.authorization import charge_reading, hold_stream, sender_of
from playground.web.http.refusals import log_refusal
from playground.web.mcp import answers, request_state
from playground.web.mcp.answers import Json
from playground.web.mcp.request_state import WrongState
from playground.web.mcp.runs import Owner, Standing, standing, wait_until_told
from playground.workflows.errors import CannotTerminate, InstanceInFiniteState, WorkflowError
from playground.workflows.events import StepKey

# In a call's `_meta`: a call that is sent again finds the run of the first one.
IDEMPOTENCY_KEY = "playground/idempotency-key"
KEY_CHARACTERS = 200
STEPS_SHOWN = 50  # of a run, the last ones
STEP_OUTPUT_BYTES = 2_000  # of a step's output that is shown

_NO_TOOL = "There is no tool {name!r} here. The tools are those of `tools/list`; it may have been renamed or deleted."
_WRONG_STATE = (
    "This requestState was not made for this call of this tool by this caller. Call the tool again without it, or ask "
    "for the run by its id."
)


class BadCall(Exception):
    """A call that the protocol answers with an error: what it names is not there, or was not made here."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool. `takes_tasks`, `elicits`: what its client says it can do with an answer."""

    name: str
    arguments: Json
    takes_tasks: bool = False
    elicits: bool = False
    responses: Mapping[str, Any] = field(default_factory=dict)
    state: str | None = None
    idempotency_key: str | None = None


class Toolbox(Protocol):
    """What the protocol's handlers ask for (serving.py). What is refused is a WorkflowError, or BadCall."""

    instructions: str
    has_resources: bool

    def refused(self, error: WorkflowError) -> None:
        """Say in the log that something was refused."""

    async def tools(self, after: str) -> tuple[Sequence[Json], str | None]:
        """A page of tools in a fixed order, after a cursor ("": from the start), and the cursor of the next."""

    async def call(self, call: Call) -> Json:
        """The result of a call: a tool's, a task, or a request for input."""

    async def task(self, handle: str) -> Json:
        """A run as a task."""

    async def update_task(self, handle: str, responses: Mapping[str, Any]) -> None:
        """Answer what a task asks for. What it does not ask for, or no more, is passed over."""

    async def cancel_task(self, handle: str) -> None:
        """Terminate the run of a task, unless it has ended."""

    async def resources(self) -> Sequence[Json]:
        """What may be read, in a fixed order."""

    async def read(self, uri: str) -> tuple[str, str]:
        """The media type and the text of a resource."""


class Runs:
    """What all toolboxes do with runs."""

    def __init__(self, context: Context, request: Request, owner: Owner) -> None:
        self.context, self.request, self.owner = context, request, owner

    def refused(self, error: WorkflowError) -> None:
        """See `Toolbox`."""
        log_refusal(self.context, self.request, error)

    async def answer_call(self, call: Call, row: InstanceRow, declared: Schema | None) -> Json:
        """What a call is answered whose run this is: its result if it comes soon, else what the client can take."""
        settings = self.context.settings
        seconds = settings.mcp_task_seconds if call.takes_tasks else settings.mcp_wait_seconds
        found = await self.wait(row, seconds)
        if found.is_final:
            result = self.result(found, declared)
            await self._charge(found, result)
            return result
        if call.takes_tasks:
            return {**await answers.task_json(self.context, found, self.owner, None), "resultType": "task"}
        if found.waits and call.elicits:
            handle = self.owner.handle(found.row)
            return {
                "resultType": "input_required",
                "inputRequests": answers.input_requests(found),
                "requestState": request_state.seal(self.owner, call.name, call.arguments, handle),
            }
        return answers.goes_on_result(found, self.owner)

    def result(self, found: Standing, declared: Schema | None) -> Json:
        """The result of the tool whose call a run is that has ended."""
        return answers.run_result(found, self.owner, declared)

    async def standing(self, row: InstanceRow) -> Standing:
        """How a run stands. What of its journal has to be read for it is charged. Raises TooMany."""
        await charge_reading(self.context, self.request, row, events=self.context.views.events_unread(row))
        return await standing(self.context, row)

    async def wait(self, row: InstanceRow, seconds: float) -> Standing:
        """As `wait_until_told`; counts among what an address may hold open. Raises TooMany."""
        found = await self.standing(row)
        if found.needs_somebody:
            return found
        release = hold_stream(self.context, self.request)
        try:
            return await wait_until_told(self.context, row, seconds)
        finally:
            release()

    async def go_on(self, call: Call, declared: Schema | None) -> Json:
        """The answer to a call that is repeated with what its run had asked for."""
        assert call.state is not None, "its caller has looked"
        try:
            handle = request_state.unseal(self.owner, call.name, call.arguments, call.state)
        except WrongState:
            raise BadCall(_WRONG_STATE) from None
        row = await self.owner.find(handle)
        declined = await self._send_responses(row, call.responses)
        if declined:
            found = await self.standing(row)
            if found.waits:
                return answers.goes_on_result(found, self.owner)
        return await self.answer_call(call, row, declared)

    async def task(self, handle: str) -> Json:
        """See `Toolbox`."""
        row = await self.owner.find(handle)
        found = await self.standing(row)
        result = self.result(found, await self.declared_output(row)) if found.is_final else None
        await self._charge(found, result or {})
        return await answers.task_json(self.context, found, self.owner, result)

    async def update_task(self, handle: str, responses: Mapping[str, Any]) -> None:
        """See `Toolbox`."""
        await self._send_responses(await self.owner.find(handle), responses)

    async def cancel_task(self, handle: str) -> None:
        """See `Toolbox`."""
        row = await self.owner.find(handle)
        with suppress(CannotTerminate):  # it has ended by itself
            await self.context.engine.terminate(row)

    async def fork(self, row: InstanceRow, step: StepKey | None, output: Any) -> InstanceRow:
        """Start a run from the results of another, which its owner asks for."""
        context = self.context
        if row.tenant:
            planned = await forks.plan(context.engine, row, step, output)
            return await context.engine.create(planned.template)
        address = context.addresses.client_of(self.request)
        queue = queues.of_address(address)
        await check_daily_storage(context, queue)
        await context.limits.starts.charge_request(self.request, address)
        await charge_reading(context, self.request, row, events=row.last_seq)
        planned = await forks.plan(context.engine, row, step, output)
        context.engine.stored.add(queue, planned.bytes)
        token = context.ids.token()
        new = replace(planned.template, queue=queue, control_hash=tokens.digest(token))
        return self.owner.own(await context.engine.create(new), token)

    async def declared_output(self, row: InstanceRow) -> Schema | None:
        """What the tool of a run says of its output; nothing for one of code that was not deployed."""
        if not row.tenant or not is_deployed(row.workflow):
            return None
        version = await self.context.store.tenants.version(row.tenant, row.snippet)
        return None if version is None else read_signature(version.tool).output

    async def send_event(self, row: InstanceRow, type: str, payload: Any) -> None:
        """Send an event as the run's owner. Raises as `Engine.send_event`."""
        sender = self.context.tenants if row.tenant else self.context.engine
        await sender.send_event(row, type, payload, by=sender_of(self.request))

    async def _send_responses(self, row: InstanceRow, responses: Mapping[str, Any]) -> bool:
        """Send what a client says to the forms of waits that are open; whether somebody declined."""
        declined = False
        for wait in (await self.standing(row)).waits:
            if wait.key not in responses:
                continue
            event = answers.event_of(wait, responses[wait.key])
            if event is None:
                declined = True
                continue
            with suppress(InstanceInFiniteState):
                await self.send_event(row, *event)
        return declined

    async def charge_change(self) -> None:
        """Count a change by an address, as over the API; a tenant's requests are counted by its key. Raises TooMany."""
        if not self.owner.tenant:
            address = self.context.addresses.client_of(self.request)
            await self.context.limits.changes.charge_request(self.request, address)

    async def steps(self, found: Standing) -> list[Json]:
        """The last steps of a run, each in a few words; large outputs are left out."""
        view = await self.context.views.view_with_steps(found.row)
        return [_brief_step(step) for step in view["steps"][-STEPS_SHOWN:]]

    async def events(self, found: Standing, after: int, most: int) -> list[Json]:
        """Events of a run's journal after a seq."""
        rows = await self.context.store.events_json(found.row.key, after=after, limit=most)
        await charge_reading(self.context, self.request, found.row, events=len(rows))
        return [msgspec.json.decode(text) for _, _, text in rows]

    async def shown(self, found: Standing, shown: Json) -> Json:
        """A tool's result that is about a run."""
        text = msgspec.json.encode(shown).decode()
        await charge_reading(self.context, self.request, found.row, size=len(text))
        return answers.text_result(text, structured=shown)

    async def _charge(self, found: Standing, result: Json) -> None:
        size = sum(len(it.get("text", "")) for it in result.get("content", ()))
        await charge_reading(self.context, self.request, found.row, size=size)


def _brief_step(step: Mapping[str, Any]) -> Json:
    shown = {name: step[name] for name in ("kind", "name", "count", "status")}
    if step.get("error") is not None:
        shown["error"] = {name: step["error"].get(name) for name in ("name", "message", "line")}
    if "output" in step:
        output = as_objects(step["output"])
        size = len(msgspec.json.encode(output))
        shown["output"] = output if size <= STEP_OUTPUT_BYTES else f"({size:,} bytes)"
    return shown


def refusal_result(error: WorkflowError) -> Json:
    """A refusal as the result of a tool, so that a model reads it and puts its call right."""
    return answers.text_result(f"{error.message} ({error.code})", is_error=True)


def no_tool(name: str) -> BadCall:
    """The error for a call of a tool that there is not."""
    return BadCall(_NO_TOOL.format(name=name[:80]))
