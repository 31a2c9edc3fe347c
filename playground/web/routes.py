"""Every address of the server, in one table: the application and openapi.json are made from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.web import api_examples, api_instances, api_snippets, check, files, health, openapi, pages, stream
from playground.web.context import Context

View = Callable[[Context, Request], Awaitable[Response]]

INSTANCE = "/api/instances/{id}"


@dataclass(frozen=True, slots=True)
class Call:
    """One address and method. `body` is the type of its JSON body; `control`: it takes the control token; `page`: HTML for a browser.

    `refuses` are the codes of errors.py that it may answer with, beside those that every call of its kind may.
    """

    method: str
    path: str
    view: View
    answer: int = 200
    body: type[msgspec.Struct] | None = None
    query: tuple[str, ...] = ()
    control: bool = False
    page: bool = False
    hidden: bool = False
    refuses: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """True when a browser may ask for it only from our own pages."""
        return self.method != "GET"

    @property
    def summary(self) -> str:
        """What it does: the first line of its view's docstring."""
        return (self.view.__doc__ or "").partition("\n")[0]


def _get(path: str, view: View, **rest: object) -> Call:
    return Call("GET", path, view, **rest)  # type: ignore[arg-type]


def _page(path: str, view: View, **rest: object) -> Call:
    return Call("GET", path, view, page=True, **rest)  # type: ignore[arg-type]


def _post(path: str, view: View, **rest: object) -> Call:
    return Call("POST", path, view, **rest)  # type: ignore[arg-type]


def _operation(name: str, view: View, body: type[msgspec.Struct] | None, *refuses: str) -> Call:
    return Call("POST", f"{INSTANCE}/{name}", view, 202, body, control=True, refuses=("instance.not_found", *refuses))


_CODE = ("too_large", "too_many")

CALLS: tuple[Call, ...] = (
    _page("/", pages.start),
    _page("/examples", pages.examples),
    _page("/about", pages.about),
    _page("/examples/{slug}", pages.example, refuses=("example.not_found",)),
    _get("/s/{snippet}.py", pages.raw, refuses=("snippet.not_found",)),
    _page("/s/{snippet}/embed", pages.embed, refuses=("snippet.not_found",)),
    _page("/s/{snippet}", pages.snippet, refuses=("snippet.not_found",)),
    _page("/instances/{id}", pages.instance, refuses=("instance.not_found",)),
    _get("/new", pages.new, answer=303, query=("source", "params"), refuses=("query.invalid", *_CODE)),
    _post("/api/check", check.check, body=check.CheckBody, refuses=_CODE),
    _post("/api/snippets", api_snippets.create, answer=201, body=api_snippets.SnippetBody, refuses=_CODE),
    _get("/api/snippets/{snippet}", api_snippets.get, refuses=("snippet.not_found",)),
    _get("/api/examples", api_examples.examples),
    _get("/api/examples/{slug}", api_examples.example, refuses=("example.not_found",)),
    _post(
        "/api/instances",
        api_instances.create,
        answer=201,
        body=api_instances.CreateBody,
        refuses=(
            "instance.invalid_id",
            "instance.already_exists",
            "source.refused",
            "snippet.not_found",
            "example.not_found",
            "busy",
            *_CODE,
        ),
    ),
    _get(INSTANCE, api_instances.get, refuses=("instance.not_found",)),
    _get(f"{INSTANCE}/events", api_instances.events, query=("after", "limit"), refuses=("instance.not_found", "query.invalid")),
    _get(f"{INSTANCE}/stream", stream.stream, query=("after",), refuses=("instance.not_found", "query.invalid", "too_many")),
    _operation(
        "events/{type}", api_instances.send_event, None, "workflow.invalid_event_type", "instance.in_finite_state", "too_large"
    ),
    _operation("pause", api_instances.pause, api_instances.NoBody),
    _operation("resume", api_instances.resume, api_instances.NoBody),
    _operation("terminate", api_instances.terminate, api_instances.TerminateBody, "instance.cannot_terminate"),
    _operation("restart", api_instances.restart, api_instances.RestartBody, "instance.cannot_restart"),
    _operation("kill-worker", api_instances.kill_worker, api_instances.KillBody, "instance.no_worker"),
    _operation("wake", api_instances.wake, api_instances.WakeBody, "instance.nothing_to_wake"),
    Call("DELETE", INSTANCE, api_instances.delete, 204, control=True, refuses=("instance.not_found",)),
    _get("/healthz", health.healthz),
    _get("/openapi.json", openapi.document),
    _get("/static/{path:path}", files.static, hidden=True),
    _get("/favicon.ico", files.icon, hidden=True),
    _get("/robots.txt", files.robots, hidden=True),
)
