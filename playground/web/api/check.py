"""Checking source: diagnostics and the outline, found in an isolated child, never by running it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from playground.engine import queues
from playground.engine.code.checker import Check
from playground.web.context import Context
from playground.web.http import bodies, rate_limits
from playground.web.http.errors import TooMany
from playground.web.http.responses import json_response
from playground.workflows.errors import SourceRefused, TooLarge
from playground.workflows.names import CLASS_NAME

SEVERITY_ERROR = "error"
JSON_ESCAPE_FACTOR = 6  # bytes that one byte of source may take as JSON (\\u0000)


class CheckBody(bodies.SourceBody, forbid_unknown_fields=True):
    source: str
    cloudflare: bool = False  # say, too, what exists only here


async def check(context: Context, request: Request) -> Response:
    """What is wrong with a source, and which steps it has."""
    body = await bodies.read_object(request, CheckBody, source_body_bytes(context))
    context.limits.checks.charge_request(request, context.addresses.client_of(request))
    check_source_size(context, body.source)
    owner = queues.of_address(context.addresses.client_of(request))
    checked = await context.engine.check(body.source, owner, cloudflare=body.cloudflare)
    return json_response({"ok": checked.ok, "diagnostics": checked.diagnostics, "outline": checked.outline})


async def check_source(
    context: Context,
    source: str,
    owner: str,
    class_name: str = CLASS_NAME,
    *,
    to_run: bool = False,
    cloudflare: bool = False,
) -> Check:
    """Let source pass that can become an instance; gives what else was found in it.

    `owner`, `class_name`, `to_run`, `cloudflare`: see `Checker.check`.

    Raises:
        CheckedTooMuch: the owner has had its time of the minute.
        TooLarge: it is over the limit.
        SourceRefused: it has errors; `diagnostics` lists them with line and column.
    """
    check_source_size(context, source)
    checked = await context.engine.check(source, owner, class_name, to_run=to_run, cloudflare=cloudflare)
    errors: list[dict[str, Any]] = [it for it in checked.diagnostics if it["severity"] == SEVERITY_ERROR]
    if errors:
        first = errors[0]
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise SourceRefused(
            f"Line {first['line']}, column {first['column']}: {first['message']}{more}", diagnostics=checked.diagnostics
        )
    return checked


async def check_daily_storage(context: Context, queue: str) -> None:
    """Raises TooMany for an address that has stored its share of the day."""
    await context.engine.stored.read(queue)
    hours = context.engine.stored.hours_until_room(queue)
    if hours:
        limit = context.engine.stored.most
        raise TooMany(
            rate_limits.STORED.format(limit=limit, hours=hours),
            limit=limit,
            retry_after=hours * 3600,
            setting="stored_per_day",
        )


def check_source_size(context: Context, source: str) -> None:
    """Raises TooLarge for a source over the limit."""
    size, most = len(source.encode()), context.settings.source_bytes
    if size > most:
        raise TooLarge(
            f"The source is {size:,} bytes; the limit is {most:,}. Move data out of the code, into params.",
            limit=most,
            size=size,
            setting="source_bytes",
        )


def source_body_bytes(context: Context) -> int:
    """The most bytes a body may have that carries a source."""
    return JSON_ESCAPE_FACTOR * context.settings.source_bytes + bodies.OVERHEAD_BYTES
