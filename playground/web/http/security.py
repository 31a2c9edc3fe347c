"""What browsers are told to refuse, and which requests of theirs are refused here.

Every response carries a Content-Security-Policy. Scripts come from our own files only: there is no inline script, so a
script nonce is not needed. Styles may carry the response's nonce, because CodeMirror writes its own style element
(`EditorView.cspNonce`). WebAssembly is compiled by the formatter's worker only, under a policy of its own that lets it
fetch nothing.

Whether other sites may show shared code in a frame (`/s/{snippet}/embed`), and what is said where they may not.

Whoever frames the embed view decides what stands beside it and over it, so that a press that is meant for their page
runs code. On a site for everybody that is what a frame is for. On somebody's own machine it would let any website run
code there. So embedding is on only where the operator says so: by the setting, or by a public URL for others.
"""

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.settings import BadSetting, Settings
from playground.web.http.errors import CrossOrigin
from playground.web.http.hosts import is_loopback_name

EMBEDDING_OFF = (
    "Other sites may not show pages of this server in a frame. Whoever runs it can allow that: "
    "start it with `--embeddable`, or with `--public-url` where others reach it."
)
NOT_ISOLATED = (
    "Other sites may not show pages of this server in a frame, since it runs code without isolation (tier D)."
)
_EMBEDDING_REFUSED = (
    "embeddable is 'yes', but this server runs code without isolation (tier D), so no other site may frame its pages; "
    "leave the option out"
)


@dataclass(frozen=True, slots=True)
class Embedding:
    """`on`: other sites may frame shared code. Where they may not, `why` says what to do."""

    on: bool
    why: str = ""

    @classmethod
    def from_settings(cls, settings: Settings, *, unprotected: bool) -> "Embedding":
        """What the settings say; `unprotected` servers run code without isolation and are never framed.

        Raises:
            BadSetting: it was switched on for an unprotected server.
        """
        if unprotected:
            if settings.embeddable == "yes":
                raise BadSetting(_EMBEDDING_REFUSED)
            return cls(False, NOT_ISOLATED)
        on = settings.embeddable == "yes" or (settings.embeddable == "auto" and _is_public(settings.public_url))
        return cls(on, "" if on else EMBEDDING_OFF)


def _is_public(url: str) -> bool:
    """Whether a public URL leads beyond the machine of who opens it."""
    return bool(url) and not is_loopback_name(urlsplit(url).hostname or "")


SCOPE_NONCE = "playground.nonce"  # where the response's nonce stands in the ASGI scope
NONCE_BYTES = 16  # random, for one response
SCOPE_EMBEDDABLE = (
    "playground.embeddable"  # set in the scope by a view whose answer other sites may show: a frame, a picture
)
SCOPE_PRIVATE_ADDRESS = (
    "playground.private"  # set in the scope by a view whose very address lets its reader do something: no link tells it
)
SCOPE_FRAMEABLE = "playground.frameable"  # set in the scope by a view whose page our own pages may frame

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
)
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
# Of a script that the page runs as a worker of its own, which can compute and reach nothing.
WORKER_SUFFIX = ".worker.js"
_WORKER_POLICY = "default-src 'none'; script-src 'wasm-unsafe-eval'; frame-ancestors 'none'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # a link to a run is what lets it be read, so it is not told to other sites
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class SecurityHeadersMiddleware:
    """Gives each response its nonce and its headers; outside everything else, so that error pages have them too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = scope[SCOPE_NONCE] = secrets.token_urlsafe(NONCE_BYTES)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                kind = headers.get("content-type", "")
                embeddable = (
                    bool(scope.get(SCOPE_EMBEDDABLE))
                    and message["status"] == 200
                    and kind.startswith(("text/html", "image/"))
                )
                if kind.startswith("text/html"):
                    own = bool(scope.get(SCOPE_FRAMEABLE)) and message["status"] == 200
                    ancestors = "*" if embeddable else "'self'" if own else "'none'"
                    policy = _PAGE_POLICY.format(nonce=nonce, ancestors=ancestors)
                else:
                    policy = _WORKER_POLICY if scope["path"].endswith(WORKER_SUFFIX) else _DATA_POLICY
                headers["Content-Security-Policy"] = policy
                for name, value in _HEADERS.items():
                    headers[name] = value
                if scope.get(SCOPE_PRIVATE_ADDRESS):
                    headers["Referrer-Policy"] = "no-referrer"
                if not embeddable:
                    headers["Cross-Origin-Opener-Policy"] = "same-origin"
                    headers["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        await self.app(scope, receive, send_with_headers)


def check_origin(request: Request) -> None:
    """Let a change pass unless a browser says that a page of another site asks for it.

    Browsers send Sec-Fetch-Site, older ones Origin; a client that sends neither is not a browser and carries no one's
    trust.

    Raises:
        CrossOrigin: it comes from elsewhere.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        allowed = site in ("same-origin", "none")
    elif origin is not None:
        allowed = origin.partition("://")[2].lower() == request.headers.get("host", "").lower() != ""
    else:
        allowed = True
    if not allowed:
        raise CrossOrigin(
            "Another site's page asked for this change; changes are made from this server's own pages, or by a program."
        )
