"""The tools for runs that there are, which every MCP server here has: look at one, answer it, control it."""

from collections.abc import Mapping
from typing import Any

from playground.engine import forks
from playground.store.rows import InstanceRow
from playground.web.mcp import answers
from playground.web.mcp.answers import Json
from playground.web.mcp.toolbox import Runs
from playground.workflows import events as ev
from playground.workflows.errors import WorkflowError
from playground.workflows.events import StepKey

OPERATIONS = ("pause", "resume", "terminate", "wake")
RESTART, FORK = "restart", "fork"
EVENT_MAX = 100  # events of a journal in one answer

READ_ONLY = {"readOnlyHint": True, "openWorldHint": False}
CHANGES = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": False}
DESTROYS = {**CHANGES, "destructiveHint": True}

ID: Json = {"type": "string", "description": "the run's id, whole"}
RUN_OUTPUT: Json = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "status": {"type": "string"}},
    "required": ["id", "status"],
}


class BadArguments(WorkflowError):
    """The arguments of a tool are not what it takes; the message says which, and what it does take."""

    code = "tool.bad_arguments"


def tool(
    name: str, text: str, properties: Json, required: list[str], annotations: Json, output: Json = RUN_OUTPUT
) -> Json:
    """A tool as `tools/list` has it."""
    schema: Json = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if not required:
        del schema["required"]
    return {
        "name": name,
        "description": text,
        "inputSchema": schema,
        "outputSchema": output,
        "annotations": annotations,
    }


GET_RUN = tool(
    "get_run",
    "How a run stands: status, output or error, what it waits for, its steps, and its journal after event `after`. "
    "`wait`: seconds to wait for its end or a question.",
    {
        "id": ID,
        "after": {"type": "integer", "minimum": 0},
        "wait": {"type": "integer", "minimum": 0, "maximum": 20},
    },
    ["id"],
    READ_ONLY,
)
ANSWER_RUN = tool(
    "answer_run",
    "Send an event to a run, which ends the wait for its `type`. The payload must fit the `schema` that `get_run` has. "
    "Ask a person first where a person must decide.",
    {"id": ID, "type": {"type": "string"}, "payload": {"description": "any JSON"}},
    ["id", "type"],
    CHANGES,
)
CONTROL_RUN = tool(
    "control_run",
    "Pause, resume, terminate or restart a run, or wake it from a sleep. `fork` starts another run from its results "
    "up to `step`; with `output` that step has this result. `restart` may begin at `step` too.",
    {
        "id": ID,
        "action": {"type": "string", "enum": [*OPERATIONS, RESTART, FORK]},
        "step": {"type": "string", "description": "name of a step"},
        "count": {"type": "integer", "minimum": 1, "description": "which of its calls"},
        "output": {"description": "any JSON"},
    },
    ["id", "action"],
    DESTROYS,
)


async def get_run(runs: Runs, arguments: Json) -> Json:
    """How a run stands, with the events of its journal after a seq if asked."""
    given = checked(GET_RUN, arguments)
    row = await runs.owner.find(given["id"], to_change=False)
    if given.get("wait"):
        seconds = min(given["wait"], runs.context.settings.mcp_wait_seconds)
        found = await runs.wait(row, seconds)
    else:
        found = await runs.standing(row)
    shown = answers.run_json(found, runs.owner) | {"last_seq": found.row.last_seq, "steps": await runs.steps(found)}
    if "after" in given:
        shown["events"] = await runs.events(found, given["after"], EVENT_MAX)
    return await runs.shown(found, shown)


async def answer_run(runs: Runs, arguments: Json) -> Json:
    """Send an event; the answer is how the run stands then."""
    given = checked(ANSWER_RUN, arguments)
    row = await runs.owner.find(given["id"])
    await runs.charge_change()
    await runs.send_event(row, given["type"], given.get("payload"))
    found = await runs.standing(row)
    return await runs.shown(found, answers.run_json(found, runs.owner))


async def control_run(runs: Runs, arguments: Json) -> Json:
    """An operation; the answer is how the run stands then, or the run that was forked from it."""
    given = checked(CONTROL_RUN, arguments)
    row = await runs.owner.find(given["id"])
    step = await _step_of(runs, row, given)
    if given["action"] == FORK:
        row = await runs.fork(row, step, given.get("output", forks.NO_EDIT))
    elif "output" in given:
        raise BadArguments(f'`output` goes with `action="{FORK}"`.')
    else:
        await runs.charge_change()
        engine = runs.context.engine
        if given["action"] == RESTART:
            await engine.restart(row, step)
        elif step is not None and given["action"] != "wake":
            raise BadArguments(f"`step` goes with {RESTART}, {FORK} and wake.")
        else:
            act = getattr(engine, given["action"])
            await (act(row, step) if given["action"] == "wake" else act(row))
    found = await runs.standing(row)
    return await runs.shown(found, answers.run_json(found, runs.owner))


async def _step_of(runs: Runs, row: InstanceRow, given: Json) -> StepKey | None:
    """The step that is named, of whichever kind there is one. Raises BadArguments."""
    if "step" not in given:
        return None
    for kind in ev.KINDS:
        key = StepKey(kind, given["step"], given.get("count", 1))
        if await runs.context.store.step(row, key) is not None:
            return key
    raise BadArguments(f"The run has no step {given['step'][:80]!r}; `get_run` lists its steps.")


RUN_TOOLS = {"get_run": get_run, "answer_run": answer_run, "control_run": control_run}
DECLARATIONS = (ANSWER_RUN, CONTROL_RUN, GET_RUN)


def checked(declared: Json, arguments: Json) -> dict[str, Any]:
    """Arguments that are what a tool of ours declares. Raises BadArguments."""
    schema = declared["inputSchema"]
    properties: Mapping[str, Json] = schema["properties"]
    takes = f"`{declared['name']}` takes {', '.join(properties) or 'nothing'}"
    for name in schema.get("required", ()):
        if name not in arguments:
            raise BadArguments(f"`{name}` is missing; {takes}.")
    for name, value in arguments.items():
        if name not in properties:
            raise BadArguments(f"There is no argument `{name[:60]}`; {takes}.")
        wrong = _wrong(properties[name], value)
        if wrong:
            raise BadArguments(f"`{name}` takes {wrong}.")
    return dict(arguments)


def _wrong(schema: Json, value: Any) -> str:
    kind = schema.get("type")
    if kind == "string" and not isinstance(value, str):
        return "a text"
    if kind == "integer":
        least, most = schema.get("minimum", 0), schema.get("maximum", 2**53)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            return f"a whole number from {least} to {most}"
    if kind == "object" and not isinstance(value, dict):
        return "an object"
    if kind == "boolean" and not isinstance(value, bool):
        return "true or false"
    if kind == "array" and not (isinstance(value, list) and all(isinstance(it, str) for it in value)):
        return "a list of texts"
    if "enum" in schema and value not in schema["enum"]:
        return f"one of {', '.join(schema['enum'])}"
    return ""
