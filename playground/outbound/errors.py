"""Why a request to the world failed.

They derive from the HTTP library's own error, so that a library that is handed the guarded client treats them as any
failure of the network.
"""

import httpx2


class OutboundError(httpx2.TransportError):
    """A request that has failed; the message is for whoever wrote the code, and holds no address of the operator's.

    `limit` names the field of `Limits` that was reached, or is empty.
    """

    def __init__(self, message: str, *, limit: str = "") -> None:
        super().__init__(message)
        self.message, self.limit = message, limit


class Refused(OutboundError):
    """The request breaks a rule, and was not sent. It would be refused again."""


class LimitReached(OutboundError):
    """The request, or the answer to it, is over one of the `Limits`."""


class NoAnswer(OutboundError):
    """The host could not be reached, or what it sent is no HTTP."""
