"""Under which names this server may be asked for.

A website can point a name of its own at 127.0.0.1, or at an address of the visitor's network (DNS rebinding). For the
browser its pages and this server are then one site, and may do here all that the visitor may. What gives them away is
the Host header, which still has their name; a number or a name of loopback stands there only where somebody asked for
this machine. So do Jupyter, Vite and Django (`allowedHosts`, `ALLOWED_HOSTS`).

Under which name the world reaches this server.

Absolute addresses in pages (canonical links, pictures for previews) come from here only.

The Host header is written by whoever asks. Put into a page that something on the way keeps, it would send other readers
elsewhere. So absolute addresses are made from the setting `public_url`; without it, from the request only where the
header can name nobody else: loopback, or the very address that the connection came to. In every other case pages go
without.

Whose request it is: the client's address, taken from X-Forwarded-For only where a proxy that is named in the
settings wrote it.

IPv6 clients are told apart by their /64, since one household or host owns a whole one.

Starlette's TrustedHostMiddleware and uvicorn's proxy_headers do neither: the first knows no rule for loopback and for
the address that a connection came to, and answers in plain text what a client of the API reads as JSON with a cure; the
second replaces the peer's address, which the limits of connections need beside the client's.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from playground.settings import BadSetting, setting_label

if TYPE_CHECKING:
    from starlette.requests import Request
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from playground.settings import Settings
from playground.web.http.errors import HostRefused, error_headers, error_json, error_status
from playground.web.http.responses import json_response, wants_html
from playground.workflows.errors import WorkflowError

NO_ADDRESS = "local"  # a client without an address, as over a Unix socket
IPV6_PREFIX = 64
PARSED_ADDRESSES = 256  # kept, since every request has the same two or three parsed several times

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ClientAddresses:
    """Reads client addresses; `trusted` are the proxies to believe."""

    trusted: tuple[_Network, ...] = ()

    @classmethod
    def parse(cls, setting: str) -> "ClientAddresses":
        """Read the setting `trusted_proxies`: addresses or networks, separated by commas.

        Raises:
            BadSetting: one of them is neither.
        """
        networks = []
        for part in filter(None, (part.strip() for part in setting.split(","))):
            try:
                networks.append(ipaddress.ip_network(part, strict=False))
            except ValueError:
                raise BadSetting(
                    f"{setting_label('trusted_proxies')} has {part!r}; it takes addresses or networks such as "
                    "10.0.0.0/8, separated by commas"
                ) from None
        return cls(tuple(networks))

    def client_of(self, request: "Request") -> str:
        """The address that limits and turns are counted by."""
        if request.client is None:
            return NO_ADDRESS
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")) if self.trusted else ""
        return self.nearest_client(request.client.host, (part.strip() for part in forwarded.split(",")))

    def is_trusted_proxy(self, host: str) -> bool:
        """Whether this is a proxy to believe."""
        found = _parse_address(host)
        return found is not None and any(found in network for network in self.trusted)

    def nearest_client(self, peer: str, forwarded: Iterable[str]) -> str:
        """The nearest address that is not a trusted proxy's, walking from the peer back along what the proxies
        wrote.
        """
        found = _parse_address(peer)
        if found is None:
            return peer[:64] or NO_ADDRESS
        for part in reversed(list(forwarded)):
            if not any(found in network for network in self.trusted):
                break
            further = _parse_address(part)
            if further is None:
                break
            found = further
        return _group_by_prefix(found)


@lru_cache(maxsize=PARSED_ADDRESSES)
def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, which some proxies write with brackets or with a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _group_by_prefix(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))


_HOST_HEADER = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """Makes addresses absolute. `base` is the setting, without a slash at its end; "" without one."""

    base: str = ""

    @classmethod
    def parse(cls, setting: str) -> "PublicUrl":
        """Read the setting `public_url`.

        Raises:
            BadSetting: it is no address of a site's root.
        """
        if not setting:
            return cls()
        parts = urlsplit(setting)
        rest = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme not in ("http", "https") or rest or not _HOST_HEADER.fullmatch(parts.netloc):
            raise BadSetting(
                f"{setting_label('public_url')} is {setting!r}; it takes the root of a site, such as https://play.example"
            )
        return cls(f"{parts.scheme}://{parts.netloc.lower()}")

    def base_for(self, request: Request) -> str | None:
        """What to put before a path to make it absolute; None where nothing can be trusted."""
        if self.base:
            return self.base
        hosts = request.headers.getlist("host")
        found = _HOST_HEADER.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None or not is_own_address(host_name(request), request):
            return None
        return f"{request.url.scheme}://{hosts[0].lower()}"


ANY_HOST = "*"
_HOST_NAME = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_HOST_REFUSED = "This server answers to localhost, 127.0.0.1 and [::1]{others}, not to {name}. "
_NO_OTHER_HOST = "It runs code without isolation, so no other name is answered."
_ALLOW_HOST = (
    "Any website can point a name at this machine; where this one is its own, start the server with --allowed-hosts "
    "{name}."
)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Decides.

    `names` are answered beside loopback's and the number that the connection came to; one that begins with a dot stands
    for all that end so, too. Without `names` (None) every name is answered. `cure` is what the refused are told to do.
    """

    names: frozenset[str] | None
    advice: str = _ALLOW_HOST

    @classmethod
    def from_settings(cls, settings: Settings, *, loopback: bool, unprotected: bool) -> "AllowedHosts":
        """What holds for a server that listens on `loopback` or elsewhere, with isolation or (`unprotected`) without.

        Raises:
            BadSetting: `allowed_hosts` has what is no name.
        """
        listed = parse_allowed_hosts(settings.allowed_hosts)
        if unprotected:
            return cls(frozenset(), _NO_OTHER_HOST)
        if ANY_HOST in listed:
            return cls(None)
        if settings.public_url:
            listed |= {urlsplit(settings.public_url).hostname or ""}
        return cls(listed if listed or (loopback and not settings.trusted_proxies) else None)

    def check_host(self, request: Request) -> None:
        """Let the request pass that names this server.

        Raises:
            HostRefused: it names another.
        """
        if self.names is None or "host" not in request.headers:  # no browser leaves it out
            return
        name = host_name(request)
        if is_own_address(name, request) or name in self.names:
            return
        if any(listed[0] == "." and f".{name}".endswith(listed) for listed in self.names):
            return
        others = "".join(f", {listed}" for listed in sorted(self.names)[:10])
        raise HostRefused(
            _HOST_REFUSED.format(others=others, name=name or "no name") + self.advice.format(name=name or "NAME")
        )


def parse_allowed_hosts(setting: str) -> frozenset[str]:
    """Read the setting `allowed_hosts`: names or numbers, separated by commas.

    Raises:
        BadSetting: one of them is neither.
    """
    listed = {part.strip().lower().rstrip(".").strip("[]") for part in setting.split(",") if part.strip()}
    for name in listed - {ANY_HOST}:
        if not (_HOST_NAME.fullmatch(name) or _ip_number(name)):
            raise BadSetting(
                f"{setting_label('allowed_hosts')} has {name!r}; it takes names such as play.example, without "
                "scheme and port, .example for all of a domain, or * for any"
            )
    return frozenset(listed)


def host_name(request: Request) -> str:
    """The name or number in the Host header, in lower case, without port and brackets; "" where none can be read."""
    try:
        return (urlsplit("//" + request.headers.get("host", "")).hostname or "").rstrip(".")
    except ValueError:
        return ""


def host_port(request: Request) -> int:
    """The port in the Host header; where it has none that can be read, that of the scheme."""
    try:
        port = urlsplit("//" + request.headers.get("host", "")).port
    except ValueError:
        port = None
    return port or (443 if request.url.scheme == "https" else 80)


def is_loopback_name(name: str) -> bool:
    """Whether a name or number is loopback's, wherever it is asked for."""
    number = _ip_number(name)
    return name == "localhost" or name.endswith(".localhost") or (number is not None and number.is_loopback)


def is_own_address(name: str, request: Request) -> bool:
    """Whether it can only be this machine's, as the one who asks sees it: loopback's, or the very number that the
    connection came to.
    """
    came_to, _ = request.scope.get("server") or ("", None)
    number = _ip_number(name)
    return is_loopback_name(name) or (number is not None and number == _ip_number(came_to))


@lru_cache(maxsize=PARSED_ADDRESSES)
def _ip_number(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


class AllowedHostsMiddleware:
    """Refuses requests under other names before anything else looks at them. `refused` is told of each.

    A browser gets plain text: a page's styles and links would be refused as well.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, refused: Callable[[Request, WorkflowError], None]) -> None:
        self.app, self._hosts, self._refused = app, hosts, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            self._hosts.check_host(request)
        except HostRefused as error:
            self._refused(request, error)
            status, headers = error_status(error), error_headers(error)
            if wants_html(request):
                answer: Response = PlainTextResponse(error.message + "\n", status, headers)
            else:
                answer = json_response(error_json(error), status, headers)
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)
