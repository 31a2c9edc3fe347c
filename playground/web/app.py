"""The application: the table of routes, wrapped in what every request passes. Everything it needs is passed in."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground import paths
from playground.engine import Engine
from playground.engine.answer_links import AnswerLinks
from playground.engine.bulk_runs import BulkRuns
from playground.engine.chaos_runs import ChaosRuns
from playground.engine.code.tenants import Tenants
from playground.engine.ids import Ids
from playground.examples import Example
from playground.settings import Settings
from playground.store import StoreError
from playground.web.api.chaos_rows import ChaosRows
from playground.web.api.openapi import openapi_document
from playground.web.api.stream import Streams
from playground.web.calls import Call
from playground.web.context import Context, Limits
from playground.web.http import bodies, rate_limits
from playground.web.http.audit import serve_audited
from playground.web.http.authorization import check_start_token
from playground.web.http.errors import (
    INTERNAL_MESSAGE,
    UNAVAILABLE_MESSAGE,
    UNAVAILABLE_RETRY_SECONDS,
    Internal,
    MethodNotAllowed,
    NoStartToken,
    NotFound,
    TooMany,
    Unavailable,
    WrongStartToken,
    error_headers,
    error_json,
    error_status,
    error_title,
)
from playground.web.http.hosts import AllowedHosts, AllowedHostsMiddleware, ClientAddresses, PublicUrl
from playground.web.http.listening import is_loopback
from playground.web.http.prometheus import MetricsRegistry, RequestMetrics, RequestMetricsMiddleware
from playground.web.http.refusals import SCOPE_ROUTE, log_refusal
from playground.web.http.responses import json_response, wants_html
from playground.web.http.routing import PrefixRouter
from playground.web.http.security import Embedding, SecurityHeadersMiddleware, check_origin
from playground.web.http.tokens import StartToken
from playground.web.instance_view import InstanceViews
from playground.web.mcp import endpoint as mcp_endpoint
from playground.web.mcp.servers import McpServers
from playground.web.pages import pages, sign_in
from playground.web.pages.assets import Assets
from playground.web.pages.example_cards import ExampleCards
from playground.web.pages.highlight import Highlighter
from playground.web.pages.page_cache import PageCache
from playground.web.pages.preview_cards import CardCache
from playground.web.pages.templates import Rendering
from playground.web.routes import CALLS
from playground.workflows.errors import WorkflowError

COMPRESS_FROM_BYTES = 500
COMPRESS_LEVEL = 6
NOT_ISOLATED = "D"  # the tier without isolation
TENANT_API_PREFIX = "/api/tenants/"  # calls that are counted by their key's tenant


def create_app(
    engine: Engine,
    settings: Settings,
    examples: Sequence[Example],
    *,
    ids: Ids,
    log: Callable[..., None],
    version: str,
    make_start_token: Callable[[], str] | None = None,
) -> Starlette:
    """The web application over an open engine.

    `make_start_token` makes the token of the link that is printed at the start; by default the ids do.

    Raises:
        BadSetting: `trusted_proxies`, `public_url` or `allowed_hosts` can't be read, or `embeddable` can't be had.
        MissingFiles: the installation lacks its templates or the bundle of its scripts and styles.
    """
    now = engine.clock.now
    loopback, unprotected = is_loopback(settings.host), engine.sandbox.tier.letter == NOT_ISOLATED
    assets = Assets.from_folder(paths.bundle())
    by_slug = {example.slug: example for example in examples}
    tenants = Tenants(engine)
    context = Context(
        engine=engine,
        tenants=tenants,
        bulks=BulkRuns(engine, tenants),
        chaos=ChaosRuns(engine),
        chaos_rows=ChaosRows(engine),
        settings=settings,
        examples=by_slug,
        example_cards=ExampleCards(engine, by_slug),
        page_cache=PageCache(),
        addresses=ClientAddresses.parse(settings.trusted_proxies),
        public_url=PublicUrl.parse(settings.public_url),
        embedding=Embedding.from_settings(settings, unprotected=unprotected),
        start_token=StartToken.from_settings(
            settings, make_start_token or ids.token, loopback=loopback, unprotected=unprotected
        ),
        cards=CardCache(),
        assets=assets,
        rendering=Rendering(paths.templates(), assets),
        highlighter=Highlighter(),
        views=InstanceViews(engine.store, settings.retention_days, settings.chaos_retention_hours, engine.clock.now),
        limits=_limits(engine, settings),
        mcp=McpServers(engine.run_in_background, version),
        streams=Streams(engine.store, now, settings.stream_send_seconds, log),
        request_metrics=RequestMetrics(),
        metrics_registry=MetricsRegistry(),
        answer_links=AnswerLinks(engine.store.tenants),
        ids=ids,
        log=log,
        version=version,
        openapi_json=msgspec.json.encode(openapi_document(CALLS, version)),
    )
    engine.on_idle(partial(_clear_caches, context))

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, WorkflowError)
        return await log_and_respond(context, request, error)

    async def unavailable(request: Request, error: Exception) -> Response:
        route = request.scope.get(SCOPE_ROUTE)
        log("unavailable", method=request.method, route=route, error=f"{type(error).__name__}: {error}")
        sorry = Unavailable(UNAVAILABLE_MESSAGE, retry_after=UNAVAILABLE_RETRY_SECONDS)
        return await error_response(context, request, sorry)

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        try:
            # To ask for what is nowhere costs what other requests do.
            context.limits.reads.charge_request(request, context.addresses.client_of(request))
        except TooMany as over:
            return await log_and_respond(context, request, over)
        return await log_and_respond(context, request, _routing_error(error))

    hosts = AllowedHosts.from_settings(settings, loopback=loopback, unprotected=unprotected)
    if hosts.names is None and not settings.allowed_hosts:
        log("any_host")
    app = Starlette(
        middleware=[
            Middleware(RequestMetricsMiddleware, requests=context.request_metrics),
            Middleware(SecurityHeadersMiddleware),
            Middleware(InternalErrorMiddleware, context=context),
            Middleware(AllowedHostsMiddleware, hosts=hosts, refused=partial(log_refusal, context)),
            Middleware(GZipMiddleware, minimum_size=COMPRESS_FROM_BYTES, compresslevel=COMPRESS_LEVEL),
        ],
        exception_handlers={WorkflowError: refused, HTTPException: unrouted, StoreError: unavailable},
    )
    app.router = PrefixRouter([Route(call.path, _endpoint(context, call), methods=[call.method]) for call in CALLS])
    app.state.context = context
    return app


def _clear_caches(context: Context) -> None:
    context.views.clear_cache()
    context.page_cache.clear_runs()


def _limits(engine: Engine, settings: Settings) -> Limits:
    """Shared by all nodes is what fills their store, and what users would see grow with the number of nodes."""
    now, shared, hour = engine.clock.now, engine.shared, rate_limits.HOUR_SECONDS
    return Limits(
        starts=rate_limits.SharedRateLimit(settings.starts_per_minute, rate_limits.STARTS, shared, "starts_per_minute"),
        snippets=rate_limits.SharedRateLimit(
            settings.snippets_per_minute, rate_limits.SNIPPETS, shared, "snippets_per_minute"
        ),
        # Wrong keys and tokens too, so that who guesses gains nothing by asking several nodes.
        changes=rate_limits.SharedRateLimit(
            settings.changes_per_minute, rate_limits.CHANGES, shared, "changes_per_minute"
        ),
        tenants=rate_limits.SharedRateLimit(
            settings.requests_per_tenant, rate_limits.TENANTS, shared, "requests_per_tenant"
        ),
        chaos=rate_limits.SharedRateLimit(
            settings.chaos_per_hour, rate_limits.CHAOS, shared, "chaos_per_hour", window=hour
        ),
        # Per node on purpose: a check takes this node's processor and its workers, and leaves nothing behind.
        checks=rate_limits.RateLimit(settings.checks_per_minute, rate_limits.CHECKS, now, "checks_per_minute"),
        # Per node on purpose: reading takes this node's processor, and no page should wait for a count of pages.
        reads=rate_limits.RateLimit(settings.reads_per_minute, rate_limits.READS, now, "reads_per_minute"),
        # Per node on purpose: a picture is drawn by this node's processor and kept in its memory.
        cards=rate_limits.RateLimit(settings.cards_per_minute, rate_limits.CARDS, now, "cards_per_minute"),
        # Per node on purpose: a stream holds a socket and memory of this process, and ends with it.
        streams=rate_limits.ConcurrencyLimit(settings.streams_per_address, rate_limits.STREAMS, "streams_per_address"),
    )


def count_protocol_refusals(context: Context) -> Callable[[int, str, str], None]:
    """What the protocol tells of requests that it refuses before the application sees them: they count and are logged
    like the others.
    """

    def refused(status: int, setting: str, peer: str) -> None:
        context.request_metrics.count_response(status)
        if setting:
            context.engine.counts.limit(setting, peer, status=status)

    return refused


async def log_and_respond(context: Context, request: Request, error: WorkflowError) -> Response:
    """Answer a refused request, and say so in the log."""
    log_refusal(context, request, error)
    return await error_response(context, request, error)


async def error_response(context: Context, request: Request, error: WorkflowError) -> Response:
    """A refusal as a page for a browser, as JSON for everyone else."""
    status, headers = error_status(error), error_headers(error) | rate_limits.rate_limit_headers(request)
    if request.url.path.startswith(mcp_endpoint.PREFIX):
        return json_response(mcp_endpoint.refusal_json(error), status, headers)
    if not wants_html(request):
        return json_response(error_json(error), status, headers)
    if isinstance(error, (NoStartToken, WrongStartToken)):
        return sign_in.locked_response(context, request, status, headers, wrong=isinstance(error, WrongStartToken))
    told = {"status": status, "title": error_title(error), "message": error.message}
    return pages.html_response(context, request, "error.html", told, status, headers)


def _endpoint(context: Context, call: Call) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        request.scope[SCOPE_ROUTE] = call.path
        request.scope[bodies.SCOPE_BODY_BYTES] = context.settings.body_bytes
        if call.is_change:
            check_origin(request)
        elif not (call.undocumented or call.path.startswith(TENANT_API_PREFIX)):
            context.limits.reads.charge_request(request, context.addresses.client_of(request))
        if not call.without_start_token:
            check_start_token(context, request)
        response = await (serve_audited(context, call, request) if call.audit else call.view(context, request))
        response.headers.update(rate_limits.rate_limit_headers(request))
        return response

    return serve


def _routing_error(error: HTTPException) -> WorkflowError:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return MethodNotAllowed(f"This address takes {allowed}.", allow=allowed)
    return NotFound("There is nothing at this address. The calls are listed in /openapi.json.")


class InternalErrorMiddleware:
    """Turns what nobody expected into a 500 and one entry of the log; the client is told nothing of the inside."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self.app, self.context = app, context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        except ClientDisconnect:
            return  # gone before its request was whole: there is nobody to answer
        except Exception as error:  # noqa: BLE001 (whatever it is, it ends here, and the server goes on)
            self.context.log(
                "failed",
                method=scope.get("method"),
                route=scope.get(SCOPE_ROUTE),
                error=type(error).__name__,
                exc_info=error,
            )
            if not started:
                response = await self._internal_error_response(Request(scope))
                await response(scope, receive, send)

    async def _internal_error_response(self, request: Request) -> Response:
        sorry = Internal(INTERNAL_MESSAGE)
        try:
            return await error_response(self.context, request, sorry)
        except Exception:  # noqa: BLE001 (the page may be what failed)
            return json_response(error_json(sorry), error_status(sorry), error_headers(sorry))
