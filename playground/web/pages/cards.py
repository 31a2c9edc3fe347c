"""The pictures of links.

One is drawn from what never changes (an example, a snippet), so its ETag is known before it is drawn.

Who asks for many that nobody has asked for before is stopped by the limit per address.
"""

import hashlib
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from playground.examples import Example
from playground.store.rows import Snippet
from playground.web.api import snippets
from playground.web.context import Context
from playground.web.http.responses import unchanged
from playground.web.http.security import EMBEDDABLE
from playground.web.pages import card_drawing
from playground.web.pages.card_drawing import Card, card_of

CACHING = "public, max-age=86400"  # a day: the code never changes, the look may
SITE = Card(
    "Kill the worker.\nIt continues where it was.",
    "Durable workflows in Python: the result of every step is committed to a journal before your code sees it.",
)


async def site(context: Context, request: Request) -> Response:
    """The picture of the playground itself, for previews of links."""
    return await _respond(context, request, "site", lambda: SITE)


async def example(context: Context, request: Request) -> Response:
    """The picture of an example."""
    found = context.example(request.path_params["slug"])
    return await _respond(context, request, f"example {found!r}", lambda: of_example(found))


async def snippet(context: Context, request: Request) -> Response:
    """The picture of shared code."""
    found = await snippets.find(context, request.path_params["snippet"])
    return await _respond(context, request, f"snippet {found.id}", lambda: of_snippet(found))


def of_example(example: Example) -> Card:
    """An example's card: its title, the first sentence of its lesson, its code."""
    first = example.lesson.replace("`", "").split(". ")[0].rstrip(".") + "."
    return card_of(example.title, example.source, note=first, tag="example")


def of_snippet(snippet: Snippet) -> Card:
    """The card of shared code."""
    return card_of("Shared workflow", snippet.source, tag=snippet.id[:8])


async def _respond(context: Context, request: Request, what: str, card: Callable[[], Card]) -> Response:
    request.scope[EMBEDDABLE] = True  # previews and pages elsewhere may show it
    etag = f'"{hashlib.sha256(f"{card_drawing.EDITION} {what}".encode()).hexdigest()[:20]}"'
    headers = {"ETag": etag, "Cache-Control": CACHING}
    if (known := unchanged(request, headers)) is not None:
        return known
    found = context.cards.known(etag)
    if found is None:
        context.limits.cards.spend(request, context.addresses.of(request))
        found = await context.cards.make(etag, card())
    # It is compressed already.
    return Response(found, media_type="image/png", headers=headers | {"Content-Encoding": "identity"})
