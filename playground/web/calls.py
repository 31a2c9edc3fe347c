"""What is known of one call: its address, what it takes, what it answers, and which view does so."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context

View = Callable[[Context, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Call:
    """One address and method.

    `body` is the type of its JSON body; `control`: it takes the control token; `key`: it takes a key of its tenant;
    `page`: HTML for a browser; `open`: a server without isolation answers it without the token of its start, too.

    `audit` is what the audit log calls the change that it makes (store/audit.py); "" for none.

    `refuses` are the codes of web/http/errors.py that it may answer with, beside those that every call of its kind may.
    """

    method: str
    path: str
    view: View
    status: int = 200
    body: type[msgspec.Struct] | None = None
    query: tuple[str, ...] = ()
    control_token: bool = False
    tenant_key: bool = False
    page: bool = False
    undocumented: bool = False
    without_start_token: bool = False
    error_codes: tuple[str, ...] = ()
    audit: str = ""

    @property
    def is_change(self) -> bool:
        """True when a browser may ask for it only from our own pages."""
        return self.method != "GET"

    @property
    def summary(self) -> str:
        """What it does: the first paragraph of its view's docstring."""
        return " ".join((self.view.__doc__ or "").partition("\n\n")[0].split())
