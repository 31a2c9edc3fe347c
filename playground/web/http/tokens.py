"""Control tokens: whoever started an instance holds one, and only with it may the instance be changed.

A token is 192 random bits, so a plain SHA-256 is enough to keep it by (there is nothing to guess); it is compared in
constant time.
"""

import hashlib
import hmac

from starlette.requests import Request

from playground.web.http.errors import NoToken, WrongToken

LONGEST = 200  # characters of a token that is looked at
KEY_PREFIX = "pk_"  # a tenant's key begins with it, so that whoever finds one knows what it is
KEY_NAME_LENGTH = 60  # characters of what a key is called


def digest(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def bearer(request: Request) -> str | None:
    """The token of the Authorization header, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and 0 < len(token) <= LONGEST else None


def is_of(request: Request, stored: str | None) -> bool:
    """Whether the request carries the token whose digest is stored."""
    token = bearer(request)
    return token is not None and stored is not None and hmac.compare_digest(digest(token), stored)


def check(request: Request, stored: str | None) -> None:
    """Let the request pass when it carries the token whose digest is stored.

    Raises:
        NoToken: there is none.
        WrongToken: it is another's, or the instance has none that would do.
    """
    token = bearer(request)
    if token is None:
        raise NoToken(
            "Changing an instance takes its control token: send `Authorization: Bearer TOKEN`, with the token that its "
            "creation returned."
        )
    if not is_of(request, stored):
        raise WrongToken(
            "This is not the control token of this instance. Only who started it can change it; anyone with the link "
            "can watch it."
        )
