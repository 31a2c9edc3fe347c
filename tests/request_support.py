"""Requests without a server, for the pure parts of the web."""

from starlette.requests import Request


def request(
    method: str = "POST",
    path: str = "/",
    *,
    body: tuple[bytes, ...] = (b"",),
    client: str | None = "192.0.2.7",
    **headers: str,
) -> Request:
    """A request as uvicorn would give it; `headers` are written with underscores."""
    chunks = [
        {"type": "http.request", "body": part, "more_body": index < len(body) - 1} for index, part in enumerate(body)
    ]

    async def receive() -> dict[str, object]:
        return chunks.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": raw,
        "client": (client, 1) if client else None,
        "query_string": b"",
    }
    return Request(scope, receive)
