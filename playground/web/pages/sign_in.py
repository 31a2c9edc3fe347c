"""Signing a browser in with the link that the server printed at its start.

Whoever comes without it gets the page that says where it is.
"""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from playground.web.context import Context
from playground.web.http.errors import NotFound, WrongStartToken
from playground.web.http.responses import NO_STORE
from playground.web.http.tokens import OPERATOR_LINK, SIGN_IN_PATH, START_TOKEN_HEADER, START_TOKEN_WRONG, USE_LINK
from playground.web.pages.pages import html_response

NO_LINK_PRINTED = (
    "This server printed no link at its start: it is for others too, or has an operator's token. "
    "Its operator opens /tenants?operator=1."
)


async def sign_in(context: Context, request: Request) -> Response:
    """Sign in the browser in which the link of the start is opened; goes on to an address without the token."""
    start = context.start_token
    if not start.token:
        raise NotFound(NO_LINK_PRINTED)
    if not start.matches(request.query_params.get("token", "")):  # not counted: nobody guesses 192 random bits
        raise WrongStartToken(START_TOKEN_WRONG)
    answer = RedirectResponse(start.home_path, 303, headers=NO_STORE)
    start.set_cookie(request, answer)
    return answer


def locked_response(
    context: Context, request: Request, status: int, headers: dict[str, str], *, wrong: bool
) -> Response:
    """The page for whoever comes without the token of the start, or with a wrong one; it leads on to where they wanted
    to go.
    """
    path, query = quote(request.url.path), request.url.query
    again = "/" if request.method != "GET" or path == SIGN_IN_PATH else path + (f"?{query}" if query else "")
    start = context.start_token
    names = {
        "wrong": wrong,
        "required": start.required,
        "line": USE_LINK if start.required else OPERATOR_LINK,
        "base": context.public_url.base_for(request) or "",
        "link": f"{SIGN_IN_PATH}?token=…",
        "header": START_TOKEN_HEADER,
        "again": again,
    }
    return html_response(context, request, "locked.html", names, status, headers)
