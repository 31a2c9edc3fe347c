"""Errors of the client: one class per kind of refusal, with the server's code and message as they came.

A caller who wants to react to one refusal asks for its `code`, which is stable; the classes are for what a program does
alike: sign in, correct the request, wait, try again.
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Whatever the client raises; the message is for people."""


class NotReached(ClientError):
    """There is no connection to the server, or it was cut; whether a change was carried out is not known."""


class BadAnswer(ClientError):
    """What answers is no playground, or a newer one whose answers this client does not know."""


class Refused(ClientError):
    """The server refused; nothing was changed.

    `status` is that of HTTP, `code` the server's (`instance.not_found`), `details` what else it says, such as `setting`
    and `limit` of a limit. `retry_after`: seconds to wait before it may be tried again.
    """

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details

    @property
    def retry_after(self) -> float | None:
        """Seconds, where the server says them."""
        found = self.details.get("retry_after")
        return float(found) if isinstance(found, int | float) else None


class BadRequest(Refused):
    """A field, an id or the JSON is wrong (400), or the address does not take it (405)."""


class NotAllowed(Refused):
    """The token or key is missing, or is not the right one (401, 403)."""


class NotFound(Refused):
    """There is no such instance, step, tenant, … or not any more (404, 410)."""


class Conflict(Refused):
    """The state of what is there does not allow it (409)."""


class TooLarge(Refused):
    """A source, params or a payload is over its limit (413)."""


class SourceRefused(Refused):
    """The source has errors (422); `diagnostics` lists what was found."""

    @property
    def diagnostics(self) -> list[dict[str, Any]]:
        """As of a check."""
        return [*self.details.get("diagnostics", ())]


class TooMany(Refused):
    """A limit per minute or at once was reached (429)."""


class Unavailable(Refused):
    """The server or its database cannot do it now (503), or no reply came in time (504)."""


class ServerFault(Refused):
    """Something went wrong in the server (500)."""


_BY_STATUS: Mapping[int, type[Refused]] = {
    400: BadRequest,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    405: BadRequest,
    409: Conflict,
    410: NotFound,
    413: TooLarge,
    421: BadRequest,
    422: SourceRefused,
    429: TooMany,
    503: Unavailable,
    504: Unavailable,
}


def refusal(status: int, body: Any) -> ClientError:
    """The error of an answer with a status of 400 or more."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return BadAnswer(f"The answer has status {status} and is not a playground's: is the address right?")
    details = {name: value for name, value in error.items() if name not in ("code", "message")}
    kind = _BY_STATUS.get(status, ServerFault if status >= 500 else BadRequest)
    return kind(status, error["code"], str(error.get("message", "")), details)
