"""Static files, SECURITY.md, the icon under its old address, and what robots are asked to leave alone."""

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from playground import paths
from playground.web.context import Context
from playground.web.http.responses import NO_STORE_BY_ACCEPT, wants_html
from playground.web.pages import pages

if TYPE_CHECKING:
    from markdown_it.token import Token

ROBOTS = "User-agent: *\nDisallow: /api/\nDisallow: /new\n"
LIVE_LINKS = ("https://", "http://", "#")  # a link to a file beside the document leads nowhere here: its words are left
SCROLLABLE = (  # by whoever has only keys, too
    ("table", '<div class="wide" role="region" aria-label="Table" tabindex="0"><table>', "</table></div>"),
    ("pre", '<pre tabindex="0">', "</pre>"),
)


async def static(context: Context, request: Request) -> Response:
    """A style sheet, script or image."""
    return context.assets.asset_response(request, request.path_params["path"])


async def security(context: Context, request: Request) -> Response:
    """SECURITY.md: what this server defends and what it does not, and how to report a hole in it. A page for a browser,
    the text for everyone else.
    """
    text = paths.security().read_text()
    if not wants_html(request):
        return PlainTextResponse(text, headers=NO_STORE_BY_ACCEPT)

    async def names() -> dict[str, Any]:
        return {"document": markdown_html(text)}

    return await pages.shell_response(context, request, "security.html", (text,), names)


async def icon(context: Context, request: Request) -> Response:
    """The icon, for browsers that ask without having been told of one."""
    return RedirectResponse(context.assets.url("icon.svg"), 302)


async def robots(context: Context, request: Request) -> Response:
    """Runs are for who has their link: they ask not to be listed, and may be read for a preview where somebody posts
    one.
    """
    return PlainTextResponse(ROBOTS)


def markdown_html(text: str) -> Markup:
    """A document of ours, written in Markdown, as HTML: without its title, which the page has.

    Only for texts of ours: what a tenant wrote is never Markdown here.
    """
    from markdown_it import MarkdownIt  # late: few ever ask, and the start need not wait for it

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        if token.attrs.pop("style", None):
            # The only such style of ours; a page takes none inline (Content-Security-Policy).
            token.attrSet("class", "middle")
        if token.children:
            token.children = _without_dead_links(token.children)
    title = next(
        (place for place, token in enumerate(tokens) if token.type == "heading_close" and token.tag == "h1"), -1
    )
    html: str = markdown.renderer.render(tokens[title + 1 :], markdown.options, {})
    for tag, opened, closed in SCROLLABLE:
        html = html.replace(f"<{tag}>", opened).replace(f"</{tag}>", closed)
    return Markup(html)


def _without_dead_links(tokens: list["Token"]) -> list["Token"]:
    kept: list[Token] = []
    dead = False
    for token in tokens:
        if token.type == "link_open":
            dead = not str(token.attrGet("href")).startswith(LIVE_LINKS)
        if not (dead and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept
