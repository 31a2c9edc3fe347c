"""A document of ours, written in Markdown, as HTML for a page."""

from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

ELSEWHERE = ("https://", "http://", "#")  # a link to a file beside the document leads nowhere here: its words are left
SCROLLED = (  # by whoever has only keys, too
    ("table", '<div class="wide" role="region" aria-label="Table" tabindex="0"><table>', "</table></div>"),
    ("pre", '<pre tabindex="0">', "</pre>"),
)


@lru_cache(maxsize=4)
def as_html(text: str) -> Markup:
    """The document, without its title, which the page has.

    Only for texts of ours: what a tenant wrote is never Markdown here.
    """
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
    for tag, opened, closed in SCROLLED:
        html = html.replace(f"<{tag}>", opened).replace(f"</{tag}>", closed)
    return Markup(html)


def _without_dead_links(tokens: list[Token]) -> list[Token]:
    kept: list[Token] = []
    dead = False
    for token in tokens:
        if token.type == "link_open":
            dead = not str(token.attrGet("href")).startswith(ELSEWHERE)
        if not (dead and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept
