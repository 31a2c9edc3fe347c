"""openapi.json: the API's contract, made from the table of routes.

The schemas of request bodies come from the Structs that decode them, those of responses from response_types.py.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.runfiles.format import MEDIA_TYPE
from playground.web.api.response_types import (
    Bulk,
    Bulks,
    CheckResult,
    Created,
    Deployed,
    Error,
    Events,
    Instance,
    Listing,
    MessageQueue,
    MessageQueues,
    Messages,
    Schedule,
    Schedules,
    TenantCreated,
    TenantKey,
    Workflows,
)
from playground.web.calls import Call
from playground.web.context import Context
from playground.web.http.errors import STATUS_OF
from playground.web.http.responses import json_bytes_response
from playground.web.http.tokens import START_TOKEN_HEADER

OPENAPI_VERSION = "3.1.0"
REF = "#/components/schemas/{name}"
_QUERY_TYPES: Mapping[str, Any] = {
    "source": "string",
    "params": "string",
    "status": "string",
    "workflow": "string",
    "filter": "string",
    "a": "string",
    "b": "string",
    "theme": "string",
    "readonly": "string",
    "operator": "string",
    "tenant": "string",
    "token": "string",
    "end": "boolean",
    "id": "string",
    "ids": "string",
    "type": "string",
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
# The types of responses that programs read; others are only said to be objects.
RESPONSE_TYPES: Mapping[tuple[str, str], type[msgspec.Struct]] = {
    ("POST", "/api/check"): CheckResult,
    ("POST", "/api/instances"): Created,
    ("POST", "/api/instances/{id}/fork"): Created,
    **{
        ("GET", f"{base}/instances/{{id}}{rest}"): type_
        for base in ("/api", "/api/tenants/{tenant}")
        for rest, type_ in (("", Instance), ("/events", Events))
    },
    **{
        (method, "/api/tenants/{tenant}" + rest): type_
        for method, rest, type_ in (
            ("POST", "/keys", TenantKey),
            ("GET", "/workflows", Workflows),
            ("PUT", "/workflows/{name}", Deployed),
            ("GET", "/instances", Listing),
            ("POST", "/bulk", Bulk),
            ("GET", "/bulk", Bulks),
            ("GET", "/bulk/{bulk}", Bulk),
            ("POST", "/bulk/{bulk}/stop", Bulk),
            ("POST", "/instances", TenantCreated),
            ("POST", "/instances/{id}/fork", TenantCreated),
            ("GET", "/schedules", Schedules),
            ("GET", "/schedules/{name}", Schedule),
            ("PUT", "/schedules/{name}", Schedule),
            ("GET", "/queues", MessageQueues),
            ("PUT", "/queues/{name}", MessageQueue),
            ("GET", "/queues/{name}/dead", Messages),
        )
    },
}


async def document(context: Context, request: Request) -> Response:
    """This contract, machine-readable."""
    return json_bytes_response(context.openapi_json)


def openapi_document(calls: tuple[Call, ...], version: str) -> dict[str, Any]:
    """The OpenAPI document of a table of calls."""
    bodies = [call.body for call in calls if call.body is not None]
    _, schemas = msgspec.json.schema_components([*bodies, Error, *RESPONSE_TYPES.values()], ref_template=REF)
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
            "schemas": schemas,
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
            "content": {"application/json": {"schema": {"$ref": REF.format(name=Error.__name__)}}},
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
    if call.path.endswith(("/stream", "/streams/{name}")):
        return {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
    if call.path.endswith("/export"):
        return {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}
    type_ = RESPONSE_TYPES.get((call.method, call.path))
    kinds = {"application/json": {"schema": {"$ref": REF.format(name=type_.__name__)} if type_ else {"type": "object"}}}
    if call.path.endswith(".py"):
        kinds = {"text/plain": {"schema": {"type": "string"}}}
    elif call.path.endswith(".zip"):
        kinds = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
    elif call.path.endswith(".png"):
        kinds = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    elif call.page:
        kinds["text/html"] = {"schema": {"type": "string"}}
    return {"content": kinds}
