"""Pictures of links are drawn when first asked for, one at a time, in a thread, and remembered.

Who comes meanwhile waits WAIT_SECONDS at most.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from playground.web.pages import card_drawing
from playground.web.pages.card_drawing import Card
from playground.workflows.errors import Busy

KEPT_BYTES = 8 * 1024 * 1024
WAIT_SECONDS = 5.0
MOST_WAITING = 20  # pictures asked for at once; who comes then is sent away at once
_BUSY = "Pictures of other links are being drawn. Ask again in 5 s."


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
