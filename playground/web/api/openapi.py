"""openapi.json: the contract, machine-readable, made from the table of routes."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.web.calls import Call
from playground.web.context import Context
from playground.web.http.errors import STATUS_OF
from playground.web.http.responses import json_bytes_response
from playground.web.http.tokens import START_TOKEN_HEADER
from playground.workflows.events import STATUSES

OPENAPI_VERSION = "3.1.0"
REF = "#/components/schemas/{name}"
_QUERY_TYPES: Mapping[str, Any] = {
    "source": "string",
    "params": "string",
    "status": "string",
    "a": "string",
    "b": "string",
    "theme": "string",
    "readonly": "string",
    "operator": "string",
    "token": "string",
    "end": "boolean",
    "id": "string",
    "ids": "string",
    "after": ["integer", "string"],
    "before": ["integer", "string"],
}
_REFUSED_BODY = ("body.not_json", "body.not_object", "body.invalid", "too_large", "cross_origin")
_REFUSED_KEY = ("key.missing", "key.wrong", "key.revoked", "workflow.invalid_name")
_REFUSED_CONTROL = ("token.missing", "token.wrong", "cross_origin", "too_many")

_BEARERS = ("control_token", "tenant_key", "operator_token")
_START = (
    "The token that the server printed at its start. Every call takes it where code runs without isolation (tier D)."
)
_ANY_VALUE: Mapping[str, Any] = {}
_STEP = {
    "description": "A step. `parent` is the step in whose callback it was called.",
    "type": "object",
    "required": ["kind", "name", "count"],
    "properties": {
        "kind": {"enum": ["do", "sleep", "wait"]},
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "parent": {"type": "object"},
    },
}
_TIME = {"type": ["integer", "null"], "description": "epoch milliseconds"}
_RESPONSE_SCHEMAS: Mapping[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "enum": sorted(STATUS_OF)},
                    "message": {"type": "string"},
                    "setting": {
                        "type": "string",
                        "description": "the limit that was met, as the settings and About name it",
                    },
                    "variable": {"type": "string", "description": "its environment variable"},
                    "limit": {"type": "integer"},
                    "retry_after": {"type": "integer", "description": "seconds, as in Retry-After"},
                },
            }
        },
    },
    "Diagnostic": {
        "type": "object",
        "required": ["severity", "code", "message", "line", "column", "end_line", "end_column"],
        "properties": {
            "severity": {"enum": ["error", "warning", "info", "hint"]},
            "code": {"type": "string"},
            "message": {"type": "string"},
            **{name: {"type": "integer"} for name in ("line", "column", "end_line", "end_column")},
        },
    },
    "Event": {
        "type": "object",
        "required": ["seq", "at", "type", "execution", "data"],
        "properties": {
            "seq": {"type": "integer"},
            "at": {"type": "integer"},
            "type": {"type": "string"},
            "execution": {"type": ["integer", "null"]},
            "step": _STEP,
            "data": {
                "type": "object",
                "description": "What the type of event tells. A `log` with `partial: true` goes on in the next one of "
                "the same execution, stream and step.",
            },
        },
    },
    "Instance": {
        "type": "object",
        "required": ["id", "status", "output", "error", "params", "snippet", "last_seq", "steps", "executions"],
        "properties": {
            "id": {"type": "string"},
            "url": {"type": "string"},
            "workflow": {"type": "string"},
            "generation": {"type": "integer", "description": "1, and one more for each restart"},
            "status": {"enum": list(STATUSES)},
            "output": _ANY_VALUE,
            "error": {"type": ["object", "null"]},
            "rollback": {"type": ["string", "null"]},
            "params": _ANY_VALUE,
            "snippet": {"type": "string"},
            "code_version": {"type": "string"},
            "last_seq": {"type": "integer"},
            **{name: _TIME for name in ("created_at", "started_at", "ended_at", "waiting_until", "kept_until")},
            "steps": {"type": "array", "items": {"type": "object"}},
            "executions": {"type": "array", "items": {"type": "object"}},
            "log_truncated": {"type": "integer", "description": "bytes printed and not kept"},
            "armed": {"type": ["string", "null"], "description": "when the worker is to be killed"},
            "breaks": {
                "type": "array",
                "items": {"type": "object"},
                "description": "set on steps by POST …/break and not used up",
            },
        },
    },
    "Created": {
        "type": "object",
        "required": ["id", "status", "url", "snippet", "control_token"],
        "properties": {name: {"type": "string"} for name in ("id", "status", "url", "snippet", "control_token")},
    },
}
_RESPONSE_SCHEMA_OF: Mapping[tuple[str, str], str] = {
    ("POST", "/api/instances"): "Created",
    ("POST", "/api/instances/{id}/fork"): "Created",
    ("GET", "/api/instances/{id}"): "Instance",
}


async def document(context: Context, request: Request) -> Response:
    """This contract, machine-readable."""
    return json_bytes_response(context.openapi_json)


def openapi_document(calls: tuple[Call, ...], version: str) -> dict[str, Any]:
    """The OpenAPI document of a table of calls."""
    bodies = [call.body for call in calls if call.body is not None]
    _, schemas = msgspec.json.schema_components(bodies, ref_template=REF)
    paths: dict[str, Any] = {}
    for call in calls:
        if not call.undocumented:
            paths.setdefault(re.sub(r":\w+}", "}", call.path), {})[call.method.lower()] = _operation(call)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Dynamic Workflows Playground",
            "version": version,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": {**_RESPONSE_SCHEMAS, **schemas},
            "securitySchemes": {
                **{name: {"type": "http", "scheme": "bearer"} for name in _BEARERS},
                "start_token": {"type": "apiKey", "in": "header", "name": START_TOKEN_HEADER, "description": _START},
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    refused = (
        *call.error_codes,
        *(_REFUSED_BODY if call.body else ()),
        *(_REFUSED_CONTROL if call.control_token else ()),
        *(_REFUSED_KEY if call.tenant_key else ()),
    )
    responses: dict[str, Any] = {str(call.status): {"description": call.summary, **_content(call)}}
    for status in sorted({STATUS_OF[code] for code in refused}):
        codes = sorted({code for code in refused if STATUS_OF[code] == status})
        responses[str(status)] = {
            "description": ", ".join(codes),
            "content": {"application/json": {"schema": {"$ref": REF.format(name="Error")}}},
        }
    operation: dict[str, Any] = {
        "operationId": ("tenants." if call.tenant_key else "")
        + f"{call.view.__module__.rpartition('.')[2]}.{call.view.__name__}",
        "summary": call.summary,
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"{(\w+)", call.path)
            ),
            *(
                {"name": name, "in": "query", "schema": {"type": _QUERY_TYPES.get(name, "integer")}}
                for name in call.query
            ),
        ],
        "responses": responses,
    }
    if call.body is not None:
        operation["requestBody"] = {
            "content": {"application/json": {"schema": {"$ref": REF.format(name=call.body.__name__)}}}
        }
    elif call.path.endswith("/events/{type}"):
        operation["requestBody"] = {"description": "the payload", "content": {"application/json": {"schema": {}}}}
    elif call.view.__name__ == "store_new":
        fields = {name: {"type": "string"} for name in ("source", "params")}
        form = {"type": "object", "required": ["source"], "properties": fields}
        operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": form}}}
    if call.control_token or call.tenant_key:
        operation["security"] = [{"tenant_key" if call.tenant_key else "control_token": []}]
    elif "operator.token_missing" in call.error_codes and call.is_change:
        operation["security"] = [{"operator_token": []}]
    return operation


def _content(call: Call) -> dict[str, Any]:
    if call.status in (204, 303):
        return {}
    if call.path == "/metrics":
        return {"content": {"text/plain": {"schema": {"type": "string"}}}}
    if call.path.endswith("/stream"):
        return {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
    name = _RESPONSE_SCHEMA_OF.get((call.method, call.path))
    kinds = {"application/json": {"schema": {"$ref": REF.format(name=name)} if name else {"type": "object"}}}
    if call.path.endswith(".py"):
        kinds = {"text/plain": {"schema": {"type": "string"}}}
    elif call.path.endswith(".png"):
        kinds = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    elif call.page:
        kinds["text/html"] = {"schema": {"type": "string"}}
    return {"content": kinds}
