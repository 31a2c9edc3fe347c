"""Turns at something scarce: so many at once in all and of one owner; owners that wait take turns, one each, however
many one of them asks for.

Source of the rule: round robin with one queue per owner, as in `store/sqlite/round_robin.py`, where instances take
turns at workers.
"""

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator


class TooManyWait(Exception):
    """The owner has as many waiting as it may."""


class FairTurns:
    """At most `at_once` turns under way, `of_one` of them of one owner, and `waiting_most` of one owner's waiting.

    The owner "" is the server itself, which may have all that are free.
    """

    def __init__(self, at_once: int, of_one: int, waiting_most: int) -> None:
        self.at_once, self.of_one, self.waiting_most = at_once, of_one, waiting_most
        # By owner; the next to have a turn first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._running: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn of this owner, and have it until the block ends. Raises TooManyWait."""
        queue = self._waiting.get(owner)
        if queue is not None and len(queue) >= self.waiting_most:
            raise TooManyWait
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(mine)
        self._give()
        try:
            await mine
            yield
        finally:
            self._leave(owner, mine)

    def waiting(self) -> int:
        """How many wait, of all owners."""
        return sum(map(len, self._waiting.values()))

    def _leave(self, owner: str, mine: "asyncio.Future[None]") -> None:
        if mine.done() and not mine.cancelled():
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
        else:  # whoever waited has gone
            queue = self._waiting[owner]
            queue.remove(mine)
            if not queue:
                del self._waiting[owner]
        self._give()

    def _give(self) -> None:
        while self._running.total() < self.at_once:
            owner = next((it for it in self._waiting if not it or self._running[it] < self.of_one), None)
            if owner is None:
                return
            queue = self._waiting.pop(owner)
            queue.popleft().set_result(None)
            self._running[owner] += 1
            if queue:
                self._waiting[owner] = queue  # behind all others
