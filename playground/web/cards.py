"""The pictures of links: drawn when first asked for, one at a time, in a thread, and remembered.

A picture is drawn from what never changes (an example, a snippet), so its ETag is known before it is drawn. Who asks for many that nobody
has asked for before is stopped by the limit per address; who comes while others' are drawn waits WAIT_SECONDS at most.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from playground.examples import Example
from playground.store.protocol import Snippet
from playground.web import api_snippets, card_drawing
from playground.web.card_drawing import Card, card_of
from playground.web.context import Context
from playground.web.errors import ExampleNotFound
from playground.web.security import EMBEDDABLE
from playground.workflows.errors import Busy

KEPT_BYTES = 8 * 1024 * 1024
WAIT_SECONDS = 5.0
MOST_WAITING = 20  # pictures asked for at once; who comes then is sent away at once
_BUSY = "Pictures of other links are being drawn. Ask again in 5 s."
CACHING = "public, max-age=86400"  # a day: the code never changes, the look may
SITE = Card(
    "Kill the worker.\nIt continues where it was.",
    "Durable workflows in Python: the result of every step is committed to a journal before your code sees it.",
)


@dataclass(slots=True)
class Cards:
    """Pictures by their ETag, the least asked for forgotten first. `draw` makes one; it is called in a thread."""

    draw: Callable[[Card], bytes] = card_drawing.draw
    wait: float = WAIT_SECONDS
    _kept: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _size: int = 0
    _waiting: int = 0
    _pen: asyncio.Lock = field(default_factory=asyncio.Lock)

    def known(self, etag: str) -> bytes | None:
        """The picture, if it is remembered."""
        if etag in self._kept:
            self._kept.move_to_end(etag)
        return self._kept.get(etag)

    async def make(self, etag: str, card: Card) -> bytes:
        """Draw it, or wait for who draws. Raises Busy: the wait took too long, or many wait already."""
        if self._waiting >= MOST_WAITING:
            raise Busy(_BUSY, retry_after=5)
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(self._draw(etag, card))), self.wait)
        except TimeoutError:
            raise Busy(_BUSY, retry_after=5) from None

    async def _draw(self, etag: str, card: Card) -> bytes:
        self._waiting += 1
        try:
            async with self._pen:
                found = self.known(etag)
                if found is None:
                    found = self._kept[etag] = await asyncio.to_thread(self.draw, card)
                    self._size += len(found)
                    while self._size > KEPT_BYTES and len(self._kept) > 1:
                        self._size -= len(self._kept.popitem(last=False)[1])
                return found
        finally:
            self._waiting -= 1


async def site(context: Context, request: Request) -> Response:
    """The picture of the playground itself, for previews of links."""
    return await _respond(context, request, "site", lambda: SITE)


async def example(context: Context, request: Request) -> Response:
    """The picture of an example."""
    found = context.examples.get(request.path_params["slug"])
    if found is None:
        raise ExampleNotFound("There is no example of this name. The list is under Examples on every page.")
    return await _respond(context, request, f"example {found!r}", lambda: of_example(found))


async def snippet(context: Context, request: Request) -> Response:
    """The picture of shared code."""
    found = await api_snippets.find(context, request.path_params["snippet"])
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
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    found = context.cards.known(etag)
    if found is None:
        context.limits.cards.spend(request, context.addresses.of(request))
        found = await context.cards.make(etag, card())
    return Response(found, media_type="image/png", headers=headers | {"Content-Encoding": "identity"})  # it is compressed already
