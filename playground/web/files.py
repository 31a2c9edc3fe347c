"""Static files, the icon under its old address, and what robots are asked to leave alone."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from playground import paths
from playground.web.context import Context

ROBOTS = "User-agent: *\nDisallow: /api/\nDisallow: /new\n"


async def static(context: Context, request: Request) -> Response:
    """A style sheet, script or image."""
    context.assets.refresh(context.now())
    return context.assets.respond(request, request.path_params["path"])


async def security(context: Context, request: Request) -> Response:
    """SECURITY.md: what this server defends and what it does not, and how to report a hole in it."""
    return PlainTextResponse(paths.security().read_text(), headers={"Cache-Control": "no-cache"})


async def icon(context: Context, request: Request) -> Response:
    """The icon, for browsers that ask without having been told of one."""
    return RedirectResponse(context.assets.url("icon.svg"), 302)


async def robots(context: Context, request: Request) -> Response:
    """Runs are for who has their link: they ask not to be listed, and may be read for a preview where somebody posts one."""
    return PlainTextResponse(ROBOTS)
