"""The MCP server of a tenant, at `/mcp/tenants/{tenant}`: each deployed workflow is a tool, and its key the bearer.

A tool is called as its workflow, described by the docstring of its class, and takes what `run` says that it takes
(engine/code/tool_signature.py). A call is an instance of the newest version, durable before anything is answered. Three
tools more are for runs that there are. A workflow that is called like one of them is a tool under `workflow.NAME`.
"""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request

from playground.engine.code.sources import deployed_workflow
from playground.engine.code.tool_signature import ToolSignature, mismatch, read_signature
from playground.store.encoding import as_objects
from playground.store.rows import InstanceRow
from playground.store.tables import Version
from playground.web.context import Context
from playground.web.mcp import answers, run_tools
from playground.web.mcp.answers import Json
from playground.web.mcp.run_tools import BadArguments
from playground.web.mcp.runs import TenantRuns
from playground.web.mcp.toolbox import KEY_CHARACTERS, BadCall, Call, Runs, no_tool
from playground.workflows import names, values
from playground.workflows.errors import InstanceAlreadyExists, TenantNotFound, TooLarge, WorkflowNotFound

PAGE_TOOLS = 50  # in one answer of `tools/list`
PAGE_BYTES = 256 * 1024  # or as many as take so much
TRIGGER = "mcp"  # of instances that a call made
ANYTHING: Json = {"type": "object"}
_PREFIX = "workflow."  # no name of a workflow has a point

_INSTRUCTIONS = (
    "Each tool but get_run, answer_run and control_run is a durable workflow: a call starts a run, which outlives this "
    "connection and any server. A call that takes long answers with a task, or with the run's id. Where a run waits "
    "for an event, a person decides: ask them, then answer."
)
_OTHER_ARGUMENTS = (
    "The idempotency key of this call was used with other arguments, or for another tool. Use another key for another "
    "call."
)


class TenantToolbox(Runs):
    """See `Toolbox`."""

    instructions = _INSTRUCTIONS
    has_resources = False

    def __init__(self, context: Context, request: Request, tenant: str) -> None:
        super().__init__(context, request, TenantRuns(context, request, tenant))
        self._tenant = tenant

    async def tools(self, after: str) -> tuple[Sequence[Json], str | None]:
        """See `Toolbox`: the workflows by name, and then the tools for runs."""
        found: list[Json] = []
        size = 0
        for version in await self.context.tenants.workflows(self._tenant):
            signature = read_signature(version.tool)
            if not signature.runs or version.workflow <= after:
                continue
            declared = _tool(version, signature)
            size += len(msgspec.json.encode(declared))
            if found and (len(found) == PAGE_TOOLS or size > PAGE_BYTES):
                return found, _workflow_name(found[-1]["name"])
            found.append(declared)
        return [*found, *run_tools.DECLARATIONS], None

    async def call(self, call: Call) -> Json:
        """See `Toolbox`."""
        known = run_tools.RUN_TOOLS.get(call.name)
        if known is not None:
            return await known(self, call.arguments)
        try:
            version = await self.context.tenants.version(self._tenant, workflow=_workflow_name(call.name))
        except (WorkflowNotFound, TenantNotFound):
            raise no_tool(call.name) from None
        signature = read_signature(version.tool)
        if not signature.runs:
            raise no_tool(call.name)
        if call.state is not None:
            return await self.go_on(call, signature.output)
        wrong = None if signature.input is None else mismatch(signature.input, call.arguments)
        if wrong is not None:
            raise BadArguments(f"These arguments are not what the workflow {version.workflow} takes: {wrong}.")
        return await self.answer_call(call, await self._start(call, version), signature.output)

    async def resources(self) -> Sequence[Json]:
        """See `Toolbox`: none."""
        return ()

    async def read(self, uri: str) -> tuple[str, str]:
        """See `Toolbox`."""
        raise BadCall(f"There is no resource {uri[:200]!r} here.")

    async def _start(self, call: Call, version: Version) -> InstanceRow:
        params = msgspec.Raw(checked_json(call.arguments, self.context.settings.value_bytes))
        tenants, workflow = self.context.tenants, version.workflow
        if call.idempotency_key is None:
            return await tenants.create(self._tenant, params, trigger=TRIGGER, workflow=workflow)
        id = names.derived_id(f"mcp\0{self._tenant}\0{_checked_key(call.idempotency_key)}")
        try:
            return await tenants.create(self._tenant, params, id, trigger=TRIGGER, workflow=workflow)
        except InstanceAlreadyExists:
            row = await self.owner.find(id)
        if row.workflow != deployed_workflow(workflow):
            raise BadCall(_OTHER_ARGUMENTS)
        return same_call(row, call.arguments)


def _tool(version: Version, signature: ToolSignature) -> Json:
    shown = signature.as_json()
    name = version.workflow
    declared: Json = {
        "name": f"{_PREFIX}{name}" if name in run_tools.RUN_TOOLS else name,
        "description": signature.description or f"The workflow {name}.",
        "inputSchema": shown.get("input", ANYTHING),
        "annotations": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False},
    }
    if signature.output is not None:
        declared["outputSchema"] = _structured(shown["output"])
    return declared


def _structured(schema: Json) -> Json:
    """What structured content is: an output that is an object, an object that has it, or a run that goes on."""
    output = {name: value for name, value in schema.items() if name != "$defs"}
    if output.get("type") != "object":
        output = {"type": "object", "properties": {answers.RESULT: output}, "required": [answers.RESULT]}
    whole: Json = {"type": "object", "anyOf": [output, run_tools.RUN_OUTPUT]}
    return {**whole, "$defs": schema["$defs"]} if "$defs" in schema else whole


def _workflow_name(tool: str) -> str:
    return tool.removeprefix(_PREFIX)


def _checked_key(key: str) -> str:
    if not 1 <= len(key) <= KEY_CHARACTERS:
        raise BadCall(f"An idempotency key takes 1 to {KEY_CHARACTERS} characters.")
    return key


def same_call(row: InstanceRow, params: object) -> InstanceRow:
    """The run of an idempotency key, if it was started with these params. Raises BadCall."""
    if as_objects(row.params) != values.encode(params):
        raise BadCall(_OTHER_ARGUMENTS)
    return row


def checked_json(params: object, most: int) -> bytes:
    """Params as JSON text. Raises TooLarge."""
    text = msgspec.json.encode(params)
    if len(text) > most:
        raise TooLarge(
            f"The arguments take {len(text):,} bytes; the limit is {most:,}. Send less, or where to find the rest.",
            setting="value_bytes",
        )
    return text
