"""The router by prefixes finds the route that Starlette finds, whatever is asked for."""

import re
from typing import Any

import pytest
from aio import run
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message

from playground.web.http.routing import PrefixRouter
from playground.web.routes import CALLS

ODD = (
    "",
    "/",
    "//",
    "/api",
    "/api/",
    "/api/nothing",
    "/s",
    "/s/",
    "/nothing/at/all",
    "/tenants/a/b/c/d",
    "/S/x",
    "/%2f",
)


def made() -> list[Route]:
    def named(path: str) -> Any:
        async def view(request: Request) -> Response:
            return PlainTextResponse(path + repr(sorted(request.path_params.items())))

        return view

    return [Route(call.path, named(f"{call.method} {call.path} "), methods=[call.method]) for call in CALLS]


async def answer(router: Router, method: str, path: str) -> tuple[int, bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
    await router(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def paths() -> list[str]:
    filled = {re.sub(r"\{[^}]*\}", value, call.path) for call in CALLS for value in ("x", "x.py", "workflow", "api")}
    return sorted({*filled, *(path + "/" for path in filled), *ODD})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH"])
def test_it_finds_the_route_that_starlette_finds(method: str) -> None:
    plain, by_prefix = Router(made(), redirect_slashes=False), PrefixRouter(made())

    async def story() -> None:
        for path in paths():
            assert await answer(by_prefix, method, path) == await answer(plain, method, path), path

    run(story())
