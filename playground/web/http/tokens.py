"""Control tokens: whoever started an instance holds one, and only with it may the instance be changed.

A token is 192 random bits, so a plain SHA-256 is enough to keep it by (there is nothing to guess); it is compared in
constant time.

The token that a server makes at each start for the person at its machine, and prints in a link, as notebooks do.

The link signs a browser in: it sets a cookie and goes on to an address without the token. The token ends with the
process. It is the operator's where the server listens for this machine only and no `operator_token` is set. On a server
without isolation (tier D) every call takes it, from browsers and programs alike: what runs there may do all that the
server's user may.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from playground.settings import Settings
from playground.web.http.errors import NoStartToken, NoToken, WrongStartToken, WrongToken
from playground.web.http.hosts import host_port

TOKEN_CHARACTERS_MAX = 200  # characters of a token that is looked at
KEY_PREFIX = "pk_"  # a tenant's key begins with it, so that whoever finds one knows what it is
KEY_NAME_LENGTH = 60  # characters of what a key is called


def digest(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def bearer_token(request: Request) -> str | None:
    """The token of the Authorization header, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and 0 < len(token) <= TOKEN_CHARACTERS_MAX else None


def carries_token(request: Request, stored: str | None) -> bool:
    """Whether the request carries the token whose digest is stored."""
    token = bearer_token(request)
    return token is not None and stored is not None and hmac.compare_digest(digest(token), stored)


def check_control_token(request: Request, stored: str | None) -> None:
    """Let the request pass when it carries the token whose digest is stored.

    Raises:
        NoToken: there is none.
        WrongToken: it is another's, or the instance has none that would do.
    """
    token = bearer_token(request)
    if token is None:
        raise NoToken(
            "Changing an instance takes its control token: send `Authorization: Bearer TOKEN`, with the token that its "
            "creation returned."
        )
    if not carries_token(request, stored):
        raise WrongToken(
            "This is not the control token of this instance. Only who started it can change it; anyone with the link "
            "can watch it."
        )


START_TOKEN_HEADER = (
    "Playground-Token"  # not Authorization, which carries control tokens and tenants' keys in the same request
)
SIGN_IN_PATH = "/sign-in"
START_TOKEN_COOKIE = "playground_{port}"  # cookies are shared by all ports of a name, servers on them are not

USE_LINK, OPERATOR_LINK = "To use it, open", "Operator's link"  # before the link that is printed
START_TOKEN_REQUIRED = (
    "This server runs code without isolation (tier D): it does nothing without the token that it printed at its start. "
    f"In a browser open the printed link; elsewhere send `{START_TOKEN_HEADER}: TOKEN`, with the token at the link's "
    "end."
)
START_TOKEN_WRONG = (
    "This is not the token that this server printed at its start; each start makes another. "
    f"Open the newest link, or send its token as `{START_TOKEN_HEADER}`."
)


@dataclass(frozen=True, slots=True)
class StartToken:
    """`token` is "" where none was made. `operator`: who has it is the operator; `required`:
    nothing is done without.
    """

    token: str = ""
    operator: bool = False
    required: bool = False

    @classmethod
    def from_settings(
        cls, settings: Settings, make: Callable[[], str], *, loopback: bool, unprotected: bool
    ) -> "StartToken":
        """What holds for a server that listens on `loopback` or elsewhere, with isolation or (`unprotected`) without.

        Where a proxy or a public URL brings others, what is printed ends in a service's log: the operator sets a token.
        """
        alone = loopback and not settings.trusted_proxies and not settings.public_url
        operator = not settings.operator_token and (alone or unprotected)
        return cls(make() if operator or unprotected else "", operator, unprotected)

    def sign_in_line(self, address: str) -> str:
        """The line to print for a server at this address; "" where there is nothing to sign in with."""
        if not self.token:
            return ""
        return f"{USE_LINK if self.required else OPERATOR_LINK}: {address}{SIGN_IN_PATH}?token={self.token}"

    @property
    def home_path(self) -> str:
        """Where a browser goes once it is signed in."""
        return "/" if self.required else "/tenants"

    def matches(self, given: str) -> bool:
        """Whether it is the token, in constant time."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.token.encode()) and self.token != ""

    def is_signed_in(self, request: Request) -> bool:
        """Whether the request comes from a browser that has opened the link."""
        given = request.cookies.get(_cookie_name(request))
        return given is not None and self.matches(given)

    def set_cookie(self, request: Request, answer: Response) -> None:
        """Have the browser keep the token until it is closed, out of reach of scripts,
        and not send it for other sites.
        """
        secure = request.url.scheme == "https"
        answer.set_cookie(_cookie_name(request), self.token, httponly=True, samesite="strict", path="/", secure=secure)

    def check_request(self, request: Request) -> None:
        """Let the request pass that carries the token, as a cookie or in the header.

        Raises:
            NoStartToken, WrongStartToken
        """
        given = request.headers.get(START_TOKEN_HEADER)
        if self.is_signed_in(request) or (given is not None and self.matches(given)):
            return
        raise NoStartToken(START_TOKEN_REQUIRED) if given is None else WrongStartToken(START_TOKEN_WRONG)


def _cookie_name(request: Request) -> str:
    """The cookie's name, by the port that the browser knows this server under."""
    return START_TOKEN_COOKIE.format(port=host_port(request))
