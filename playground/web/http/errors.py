"""What a refused request is answered with: one table from an error's code to its HTTP status, and the one place that
renders it.

Browsers get a page, everyone else JSON: `{"error": {"code", "message", ...details}}`. Each refusal is one line in the
log.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from playground.web.http.responses import NO_STORE
from playground.workflows.errors import WorkflowError, setting_variable

STATUS_OF: Mapping[str, int] = {
    "body.not_json": 400,
    "body.not_object": 400,
    "body.invalid": 400,
    "query.invalid": 400,
    "instance.invalid_id": 400,
    "workflow.invalid_event_type": 400,
    "workflow.invalid_name": 400,
    "workflow.invalid_batch": 400,
    "workflow.invalid_limit": 400,
    "workflow.invalid_retention": 400,
    "queue.invalid": 400,
    "fetch.invalid": 400,
    "service.invalid": 400,
    "service.not_found": 404,
    "not_serialisable": 400,
    "secret.invalid": 400,
    "tool.bad_arguments": 400,
    "flow.invalid": 400,
    "schedule.invalid": 400,
    "dispatcher.invalid_metadata": 400,
    "binding.refused": 409,
    "ai.failed": 409,
    "ai.rate_limited": 409,
    "ai.unavailable": 409,
    "ai.request": 409,
    "ai.budget": 409,
    "mcp.failed": 409,
    "mcp.unavailable": 409,
    "mcp.request": 409,
    "non_retryable": 409,
    "dispatcher.metadata_missing": 409,
    "token.missing": 401,
    "key.missing": 401,
    "operator.token_missing": 401,
    "key.wrong": 403,
    "key.revoked": 403,
    "operator.token_wrong": 403,
    "start.token_missing": 403,
    "start.token_wrong": 403,
    "token.wrong": 403,
    "cross_origin": 403,
    "not_found": 404,
    "instance.not_found": 404,
    "step.not_found": 404,
    "snippet.not_found": 404,
    "example.not_found": 404,
    "tenant.not_found": 404,
    "version.not_found": 404,
    "schedule.not_found": 404,
    "workflow.not_found": 404,
    "queue.not_found": 404,
    "bulk.not_found": 404,
    "method_not_allowed": 405,
    "workflow.invalid_tag": 400,
    "filter.invalid": 400,
    "bulk.invalid": 400,
    "instance.already_exists": 409,
    "instance.in_finite_state": 409,
    "event.rejected": 409,
    "event.not_answered": 504,
    "instance.cannot_terminate": 409,
    "instance.cannot_restart": 409,
    "instance.cannot_fork": 409,
    "instance.cannot_be_a_test": 409,
    "version.does_not_fit": 409,
    "instance.cannot_break": 409,
    "instance.cannot_continue": 409,
    "instance.cannot_run_chaos": 409,
    "instance.no_worker": 409,
    "instance.nothing_to_wake": 409,
    "step.no_output": 409,
    "instance.fenced": 409,
    "instance.cannot_migrate": 409,
    "version.too_many": 409,
    "schedule.too_many": 409,
    "workflow.too_many": 409,
    "queue.full": 409,
    "bulk.too_many": 409,
    "version.needed": 409,
    "tenant.unfinished": 409,
    "instance.expired": 410,
    "too_large": 413,
    "host.refused": 421,
    "wait.not_found": 404,
    "wait.over": 409,
    "link.invalid": 404,
    "link.expired": 410,
    "source.refused": 422,
    "event.payload_mismatch": 422,
    "too_many": 429,
    "internal": 500,
    "busy": 503,
    "unavailable": 503,
}

INTERNAL_MESSAGE = "Something went wrong here; it is in the server's log. Your request may be tried again."
UNAVAILABLE_MESSAGE = (
    "The database of this server cannot be used right now. What was confirmed before is kept, and runs go on by "
    "themselves once it can be used again. It is not known whether this request was carried out: repeat it with the "
    "same id."
)
UNAVAILABLE_RETRY_SECONDS = 2


class NotJson(WorkflowError):
    """The request's body is not JSON; the message says where it stops being so."""

    code = "body.not_json"


class NotAnObject(WorkflowError):
    """The request's body is JSON, but not an object."""

    code = "body.not_object"


class BadBody(WorkflowError):
    """A field of the request's body is missing, unknown or of the wrong type; the message names it."""

    code = "body.invalid"


class BadQuery(WorkflowError):
    """A parameter of the address, or the Last-Event-ID header, cannot be read."""

    code = "query.invalid"


class HostRefused(WorkflowError):
    """The server was asked for under a name that is not its own (DNS rebinding)."""

    code = "host.refused"


class NoToken(WorkflowError):
    code = "token.missing"


class WrongToken(WorkflowError):
    code = "token.wrong"


class NoKey(WorkflowError):
    code = "key.missing"


class WrongKey(WorkflowError):
    """The key is another tenant's, or nobody's."""

    code = "key.wrong"


class RevokedKey(WorkflowError):
    code = "key.revoked"


class NoOperatorToken(WorkflowError):
    code = "operator.token_missing"


class WrongOperatorToken(WorkflowError):
    code = "operator.token_wrong"


class NoStartToken(WorkflowError):
    """A server without isolation was asked for something without the token that it printed at its start."""

    code = "start.token_missing"


class WrongStartToken(WorkflowError):
    code = "start.token_wrong"


class CrossOrigin(WorkflowError):
    """A page of another site asked for a change."""

    code = "cross_origin"


class NotFound(WorkflowError):
    code = "not_found"


class SnippetNotFound(WorkflowError):
    code = "snippet.not_found"


class StepNotFound(WorkflowError):
    """The instance has no such step."""

    code = "step.not_found"


class NoStepOutput(WorkflowError):
    """The step is not over, failed, or is a sleep."""

    code = "step.no_output"


class ExampleNotFound(WorkflowError):
    code = "example.not_found"


class MethodNotAllowed(WorkflowError):
    code = "method_not_allowed"


class Internal(WorkflowError):
    """A fault of ours; `code` is the one every unknown error has."""


class Unavailable(WorkflowError):
    """The store raised StoreError: the database is away, full or broken."""

    code = "unavailable"


class TooMany(WorkflowError):
    """An address is over one of its limits; `details["retry_after"]` is in seconds."""

    code = "too_many"


def error_status(error: WorkflowError) -> int:
    """The HTTP status of a refusal; 500 for a code that is not in the table."""
    return STATUS_OF.get(error.code, 500)


def error_headers(error: WorkflowError) -> dict[str, str]:
    """The headers that belong to a refusal, such as Retry-After."""
    headers = dict(NO_STORE)
    if "retry_after" in error.details:
        headers["Retry-After"] = str(error.details["retry_after"])
    if isinstance(error, (NoToken, NoKey)):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, NoOperatorToken):
        headers["WWW-Authenticate"] = 'Basic realm="operator (any name; the token is the password)"'
    if "allow" in error.details:
        headers["Allow"] = error.details["allow"]
    return headers


def error_json(error: WorkflowError) -> dict[str, Any]:
    """The body of a refusal."""
    variable = {"variable": setting_variable(error.details["setting"])} if error.details.get("setting") else {}
    return {"error": {"code": error.code, "message": error.message, **error.details, **variable}}


def error_title(error: WorkflowError) -> str:
    """A short title for an error page."""
    if isinstance(error, Unavailable):
        return "The database is away"
    status = error_status(error)
    titles = {
        404: "Not found",
        413: "Too large",
        429: "Too many requests",
        500: "Something went wrong",
        503: "The server is full",
    }
    return titles.get(status) or HTTPStatus(status).phrase
