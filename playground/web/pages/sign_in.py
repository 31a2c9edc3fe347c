"""Signing a browser in with the link that the server printed at its start."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from playground.web.context import Context
from playground.web.http.errors import NothingHere, WrongStartToken
from playground.web.http.responses import FRESH
from playground.web.http.tokens import WRONG

CLOSED = (
    "This server printed no link at its start: it is for others too, or has an operator's token. "
    "Its operator opens /tenants?operator=1."
)


async def sign_in(context: Context, request: Request) -> Response:
    """Sign in the browser in which the link of the start is opened; goes on to an address without the token."""
    start = context.start_token
    if not start.token:
        raise NothingHere(CLOSED)
    if not start.matches(request.query_params.get("token", "")):  # not counted: nobody guesses 192 random bits
        raise WrongStartToken(WRONG)
    answer = RedirectResponse(start.home, 303, headers=FRESH)
    start.sign_in(request, answer)
    return answer
