"""Small helpers that every view shares: who asked, answers in JSON, and for how long an answer may be kept."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

COMPRESS_UP_TO_BYTES = 256 * 1024

NO_STORE: Mapping[str, str] = {"Cache-Control": "no-store"}
NO_STORE_BY_ACCEPT: Mapping[str, str] = {**NO_STORE, "Vary": "Accept"}  # a page for a browser, JSON for everyone else
IMMUTABLE = "public, max-age=31536000, immutable"


def wants_html(request: Request) -> bool:
    """True for a browser, which names HTML among what it accepts, and for who names nothing at all;
    never for the API.
    """
    accept = request.headers.get("accept")
    return (accept is None or "text/html" in accept) and not request.url.path.startswith("/api/")


def wants_markdown(request: Request) -> bool:
    """True for who names Markdown among what it accepts and HTML not before it, as agents do."""
    accept = request.headers.get("accept", "")
    markdown, html = accept.find("text/markdown"), accept.find("text/html")
    return markdown >= 0 and (html < 0 or markdown < html)


def json_response(tree: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer. It is encoded before any header is sent, so that a failure can still be a 500."""
    content = msgspec.json.encode(tree)
    return json_bytes_response(content, status, headers)


def json_bytes_response(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that is encoded already.

    A large one is sent as it is: to compress it would keep all others waiting.
    """
    as_it_is = {"Content-Encoding": "identity"} if len(content) > COMPRESS_UP_TO_BYTES else {}
    return Response(content, status, headers={**(headers or {}), **as_it_is}, media_type="application/json")


def not_modified(request: Request, headers: Mapping[str, str]) -> Response | None:
    """The answer to who has this already, by the ETag among its `headers`; None for who has it not."""
    return (
        Response(status_code=304, headers=headers)
        if headers["ETag"] in request.headers.get("if-none-match", "")
        else None
    )
