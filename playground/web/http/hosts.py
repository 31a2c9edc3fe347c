"""Under which names this server may be asked for.

A website can point a name of its own at 127.0.0.1, or at an address of the visitor's network (DNS rebinding). For the
browser its pages and this server are then one site, and may do here all that the visitor may. What gives them away is
the Host header, which still has their name; a number or a name of loopback stands there only where somebody asked for
this machine. So do Jupyter, Vite and Django (`allowedHosts`, `ALLOWED_HOSTS`).
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from playground.settings import BadSetting, Settings, named
from playground.web.http.errors import HostRefused, as_json, headers_of, status_of
from playground.web.http.responses import json_response, wants_html
from playground.workflows.errors import WorkflowError

ANY = "*"
_NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_ONLY = "This server answers to localhost, 127.0.0.1 and [::1]{others}, not to {name}. "
_UNPROTECTED = "It runs code without isolation, so no other name is answered."
_CURE = (
    "Any website can point a name at this machine; where this one is its own, start the server with --allowed-hosts "
    "{name}."
)


@dataclass(frozen=True, slots=True)
class Hosts:
    """Decides.

    `names` are answered beside loopback's and the number that the connection came to; one that begins with a dot stands
    for all that end so, too. Without `names` (None) every name is answered. `cure` is what the refused are told to do.
    """

    names: frozenset[str] | None
    cure: str = _CURE

    @classmethod
    def of(cls, settings: Settings, *, loopback: bool, unprotected: bool) -> "Hosts":
        """What holds for a server that listens on `loopback` or elsewhere, with isolation or (`unprotected`) without.

        Raises:
            BadSetting: `allowed_hosts` has what is no name.
        """
        listed = parse(settings.allowed_hosts)
        if unprotected:
            return cls(frozenset(), _UNPROTECTED)
        if ANY in listed:
            return cls(None)
        if settings.public_url:
            listed |= {urlsplit(settings.public_url).hostname or ""}
        return cls(listed if listed or (loopback and not settings.trusted_proxies) else None)

    def check(self, request: Request) -> None:
        """Let the request pass that names this server.

        Raises:
            HostRefused: it names another.
        """
        if self.names is None or "host" not in request.headers:  # no browser leaves it out
            return
        name = name_of(request)
        if is_own(name, request) or name in self.names:
            return
        if any(listed[0] == "." and f".{name}".endswith(listed) for listed in self.names):
            return
        others = "".join(f", {listed}" for listed in sorted(self.names)[:10])
        raise HostRefused(_ONLY.format(others=others, name=name or "no name") + self.cure.format(name=name or "NAME"))


def parse(setting: str) -> frozenset[str]:
    """Read the setting `allowed_hosts`: names or numbers, separated by commas.

    Raises:
        BadSetting: one of them is neither.
    """
    listed = {part.strip().lower().rstrip(".").strip("[]") for part in setting.split(",") if part.strip()}
    for name in listed - {ANY}:
        if not (_NAME.fullmatch(name) or _number(name)):
            raise BadSetting(
                f"{named('allowed_hosts')} has {name!r}; it takes names such as play.example, without scheme and port, "
                ".example for all of a domain, or * for any"
            )
    return frozenset(listed)


def name_of(request: Request) -> str:
    """The name or number in the Host header, in lower case, without port and brackets; "" where none can be read."""
    try:
        return (urlsplit("//" + request.headers.get("host", "")).hostname or "").rstrip(".")
    except ValueError:
        return ""


def port_of(request: Request) -> int:
    """The port in the Host header; where it has none that can be read, that of the scheme."""
    try:
        port = urlsplit("//" + request.headers.get("host", "")).port
    except ValueError:
        port = None
    return port or (443 if request.url.scheme == "https" else 80)


def is_loopback_name(name: str) -> bool:
    """Whether a name or number is loopback's, wherever it is asked for."""
    number = _number(name)
    return name == "localhost" or name.endswith(".localhost") or (number is not None and number.is_loopback)


def is_own(name: str, request: Request) -> bool:
    """Whether it can only be this machine's, as the one who asks sees it: loopback's, or the very number that the
    connection came to.
    """
    came_to, _ = request.scope.get("server") or ("", None)
    number = _number(name)
    return is_loopback_name(name) or (number is not None and number == _number(came_to))


def _number(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


class OwnHosts:
    """Refuses requests under other names before anything else looks at them. `refused` is told of each.

    A browser gets plain text: a page's styles and links would be refused as well.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, refused: Callable[[Request, WorkflowError], None]) -> None:
        self.app, self._hosts, self._refused = app, hosts, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            self._hosts.check(request)
        except HostRefused as error:
            self._refused(request, error)
            status, headers = status_of(error), headers_of(error)
            if wants_html(request):
                answer: Response = PlainTextResponse(error.message + "\n", status, headers)
            else:
                answer = json_response(as_json(error), status, headers)
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)
