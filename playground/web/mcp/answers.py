"""What an agent is answered about a run: the result of a tool, a task, a request for input; as the protocol has them.

An instance is a task (the extension `io.modelcontextprotocol/tasks`): *working* while it is queued, runs, sleeps or is
paused; *input_required* while it waits for an event; *completed* once it has ended, with the result that the tool would
have had; *cancelled* where it was terminated. A run that failed is completed with a tool's error, as the extension
asks: *failed* is for faults of the protocol.

A wait without a schema takes any payload. So what is asked of the client is a form of one field, whose text is the
payload as JSON; a text that is no JSON is the payload itself. A client that answers with other fields sends those as
the payload. Where the wait has a schema that the protocol's forms have room for (one value, or an object of such), the
form is made of that; else the message has the schema.
"""

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from playground.engine.code.tool_signature import Schema, mismatch
from playground.web.context import Context
from playground.web.instance_view import first_error
from playground.web.mcp.runs import OpenWait, Owner, Standing
from playground.workflows import events as ev
from playground.workflows.values import deeper_than

Json = dict[str, Any]

PAYLOAD = "payload"  # the field of a form
TYPE = "type"  # the field that says which event it is, where a wait takes one of several
RESULT = "result"  # what an output that is no object is called in structured content
PAYLOAD_DEEPEST = 100
MAX_POLL_MS = 60_000

_TASK_STATUS: Mapping[str, str] = {ev.COMPLETE: "completed", ev.ERRORED: "completed", ev.TERMINATED: "cancelled"}
_ASK = "The run waits for the event {types}{at}{until}."
_ANY = "The payload is JSON; text that is no JSON is sent as text."
_AS_SCHEMA = "The payload is JSON of this schema: {schema}"
_FIELD_TYPES = ("string", "number", "integer", "boolean")  # that a field of a client's form may have
_FIELD_KEYWORDS = (
    *("type", "title", "description", "default", "enum"),
    *("minimum", "maximum", "minLength", "maxLength"),
)
_GOES_ON = (
    "The run {id} has not ended: {state}. It goes on by itself, on whichever server, and is kept. Ask with "
    '`get_run(id="{id}")`{more}; end it with `control_run(id="{id}", action="terminate")`.'
)
_ANSWER = ', answer with `answer_run(id="{id}", type="{type}", payload=…)`'
_TERMINATED = "The run {id} was terminated before it had a result. Call the tool again to start another."
_OTHER_OUTPUT = "The run {id} is complete, but its output is not what the tool declares: {why}. The output: {text}"


def iso(at: int) -> str:
    """Epoch milliseconds as the protocol writes times."""
    found = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text_result(text: str, *, structured: Any = None, is_error: bool = False) -> Json:
    """A tool's result of one text."""
    result: Json = {"content": [{"type": "text", "text": text}], "isError": is_error, "resultType": "complete"}
    if structured is not None:
        result["structuredContent"] = structured
    return result


def run_result(found: Standing, owner: Owner, declared: Schema | None) -> Json:
    """The result of the tool whose call a run is, once the run has ended."""
    handle = owner.handle(found.row)
    if found.status == ev.TERMINATED:
        return text_result(_TERMINATED.format(id=handle), is_error=True)
    if found.status == ev.ERRORED:
        return text_result(error_text(found, handle), is_error=True)
    output = found.output
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    wrong = None if declared is None else mismatch(declared, output)
    if wrong is not None:
        return text_result(_OTHER_OUTPUT.format(id=handle, why=wrong, text=text), is_error=True)
    structured = output if isinstance(output, dict) else {RESULT: output}
    return text_result(text, structured=structured)


def ended_result(found: Standing, owner: Owner) -> Json:
    """The result of a tool that runs whatever it is given, once the run has ended: the run, with its output."""
    if found.status == ev.COMPLETE:
        shown = run_json(found, owner)
        return text_result(msgspec.json.encode(shown).decode(), structured=shown)
    return run_result(found, owner, None)


def error_text(found: Standing, handle: str) -> str:
    """What went wrong in a run, where in its code, and what to do."""
    error = first_error(found.error or {})
    line = f" (line {error['line']} of its code)" if error.get("line") else ""
    return (
        f"{error.get('name') or 'Error'}: {error.get('message') or 'no message'}{line}. The run {handle} has failed; "
        f'what it did stays. Look at its steps with `get_run(id="{handle}")`, or run it again with '
        f'`control_run(id="{handle}", action="restart")`, once its code or what it was given is put right.'
    )


def state_text(found: Standing) -> str:
    """How a run stands, in words."""
    if found.waits:
        return f"it waits for the event {_types_text(found.waits[0])}"
    if found.until is not None:
        return f"it sleeps until {iso(found.until)}"
    return {ev.QUEUED: "it is queued", ev.PAUSED: "it is paused"}.get(found.status, "it is running")


def goes_on_result(found: Standing, owner: Owner) -> Json:
    """The answer to a client that takes no task, about a run that has not ended: its id, and how to ask."""
    handle = owner.handle(found.row)
    more = _ANSWER.format(id=handle, type=found.waits[0].types[0]) if found.waits else ""
    text = _GOES_ON.format(id=handle, state=state_text(found), more=more)
    return text_result(text, structured=run_json(found, owner))


def run_json(found: Standing, owner: Owner) -> Json:
    """A run as tools answer with it."""
    shown: Json = {"id": owner.handle(found.row), "status": found.status, "state": state_text(found)}
    if found.is_final:
        del shown["state"]
    shown["page"] = owner.page(found.row)
    if found.status == ev.COMPLETE:
        shown["output"] = found.output
    if found.error is not None:
        shown["error"] = {name: first_error(found.error).get(name) for name in ("name", "message", "line")}
    if found.waits:
        shown["waits_for"] = [
            {"step": wait.name, "types": list(wait.types)}
            | ({"until": iso(wait.until)} if wait.until else {})
            | ({"schema": wait.schema} if wait.schema else {})
            for wait in found.waits
        ]
    if found.until is not None:
        shown["until"] = iso(found.until)
    return shown


# Requests for input.


def input_requests(found: Standing) -> Json:
    """What is asked of the client, by the waits' keys."""
    return {wait.key: {"method": "elicitation/create", "params": _form(wait)} for wait in found.waits}


def _form(wait: OpenWait) -> Json:
    until = f", until {iso(wait.until)}" if wait.until else ""
    at = f" at the step {wait.name}" if (wait.name,) != wait.types else ""
    message = _ASK.format(types=_types_text(wait), at=at, until=until)
    asked = _asked(wait)
    if asked is None:
        properties: Json = {PAYLOAD: {"type": "string", "title": "Payload", "description": "JSON, or plain text"}}
        required, more = [PAYLOAD], _ANY
        if wait.schema is not None:
            more = _AS_SCHEMA.format(schema=msgspec.json.encode(wait.schema).decode())
    else:
        properties, required = asked
        schema = wait.schema or {}
        more = " ".join(filter(None, (schema.get("title", ""), schema.get("description", ""))))
    if len(wait.types) > 1:
        properties[TYPE] = {"type": "string", "title": "Event", "enum": list(wait.types), "default": wait.types[0]}
    return {
        "mode": "form",
        "message": f"{message} {more}".strip(),
        "requestedSchema": {"type": "object", "properties": properties, "required": required},
    }


def _asked(wait: OpenWait) -> tuple[Json, list[str]] | None:
    """The fields of a form for a wait's schema and which are required; None where the protocol's forms lack room."""
    schema = wait.schema or {}
    if _is_field(schema):
        return {PAYLOAD: _field(schema)}, [PAYLOAD]
    properties: Mapping[str, Json] = schema.get("properties", {})
    if schema.get("type") != "object" or not properties or not all(map(_is_field, properties.values())):
        return None
    if len(wait.types) > 1 and TYPE in properties:
        return None
    return {name: _field(it) for name, it in properties.items()}, list(schema.get("required", ()))


def _is_field(schema: Mapping[str, Any]) -> bool:
    texts = all(isinstance(it, str) for it in schema.get("enum", ()))
    return schema.get("type") in _FIELD_TYPES and "const" not in schema and texts


def _field(schema: Mapping[str, Any]) -> Json:
    return {name: schema[name] for name in _FIELD_KEYWORDS if name in schema}


def _types_text(wait: OpenWait) -> str:
    return " or ".join(f'"{type}"' for type in wait.types)


def event_of(wait: OpenWait, response: Any) -> tuple[str, Any] | None:
    """The event that a client's response to a wait's form is, as type and payload; None where nobody agreed to it."""
    if not isinstance(response, Mapping) or response.get("action") != "accept":
        return None
    content = response.get("content")
    fields = dict(content) if isinstance(content, Mapping) else {}
    type = wait.types[0]
    if len(wait.types) > 1 and fields.get(TYPE) in wait.types:
        type = str(fields.pop(TYPE))
    asked = None if wait.schema is None else _asked(wait)
    if asked is not None and (PAYLOAD in asked[0]) == (set(fields) == {PAYLOAD}):
        return type, fields[PAYLOAD] if _is_field(wait.schema or {}) else fields
    if set(fields) == {PAYLOAD}:
        return type, payload_of(fields[PAYLOAD])
    return type, fields or None


def payload_of(value: Any) -> Any:
    """A payload that may have been written as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return value if deeper_than(value.encode(), PAYLOAD_DEEPEST) else msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return value


# Tasks.


async def task_json(context: Context, found: Standing, owner: Owner, result: Json | None) -> Json:
    """A run as a task, with what it asks for, or the `result` that it has come to."""
    row = found.row
    last = await context.store.events(row.key, after=row.last_seq - 1, limit=1)
    task: Json = {
        "taskId": owner.handle(row),
        "status": "input_required" if found.waits else _TASK_STATUS.get(found.status, "working"),
        "createdAt": iso(row.created_at),
        "lastUpdatedAt": iso(last[0].at if last else row.created_at),
        "ttlMs": None,
        "pollIntervalMs": _poll_ms(context, found),
    }
    if task["status"] == "input_required":
        task["inputRequests"] = input_requests(found)
    if task["status"] == "completed":
        task["result"] = result
    else:
        task["statusMessage"] = (
            _TERMINATED.format(id=task["taskId"]) if found.is_final else state_text(found).capitalize() + "."
        )
    if found.is_final and context.settings.retention_days and row.ended_at:
        task["ttlMs"] = row.ended_at - row.created_at + context.settings.retention_days * 86_400_000
    return task


def _poll_ms(context: Context, found: Standing) -> int:
    """When it is worth asking again: while it sleeps, not before it goes on."""
    least = context.settings.mcp_poll_ms
    left = 0 if found.until is None or found.waits else found.until - context.now()
    return max(least, min(left, MAX_POLL_MS))
