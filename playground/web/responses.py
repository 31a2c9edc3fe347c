"""Small helpers that every view shares: who asked, and answers in JSON."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response


def wants_html(request: Request) -> bool:
    """True for a browser, which names HTML among what it accepts, and for who names nothing at all; never for the API."""
    accept = request.headers.get("accept")
    return (accept is None or "text/html" in accept) and not request.url.path.startswith("/api/")


def json_response(tree: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer. It is encoded before any header is sent, so that a failure can still be a 500."""
    content = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Response(content, status, headers=dict(headers or {}), media_type="application/json")
