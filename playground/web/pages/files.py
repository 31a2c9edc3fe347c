"""Static files, the icon under its old address, and what robots are asked to leave alone."""

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from playground import paths
from playground.web.context import Context
from playground.web.http.responses import FRESH_OF_KIND, wants_html
from playground.web.pages import pages

ROBOTS = "User-agent: *\nDisallow: /api/\nDisallow: /new\n"


async def static(context: Context, request: Request) -> Response:
    """A style sheet, script or image."""
    return context.assets.respond(request, request.path_params["path"])


async def security(context: Context, request: Request) -> Response:
    """SECURITY.md: what this server defends and what it does not, and how to report a hole in it. A page for a browser,
    the text for everyone else.
    """
    text = paths.security().read_text()
    if not wants_html(request):
        return PlainTextResponse(text, headers=FRESH_OF_KIND)

    async def names() -> dict[str, Any]:
        from playground.web.pages.markdown import as_html  # late: few ever ask, and the start need not wait for it

        return {"document": as_html(text)}

    return await pages.shell_response(context, request, "security.html", (text,), names)


async def icon(context: Context, request: Request) -> Response:
    """The icon, for browsers that ask without having been told of one."""
    return RedirectResponse(context.assets.url("icon.svg"), 302)


async def robots(context: Context, request: Request) -> Response:
    """Runs are for who has their link: they ask not to be listed, and may be read for a preview where somebody posts
    one.
    """
    return PlainTextResponse(ROBOTS)
