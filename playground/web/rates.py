"""Limits per client address: so many of a thing in a minute, and so many open at once.

Counted to the second, so that an address costs at most sixty small entries however fast it asks.
"""

from collections import OrderedDict, deque
from collections.abc import Callable

from playground.web.errors import TooMany

WINDOW_SECONDS = 60
MOST_ADDRESSES = 20_000  # remembered at once; past it the one not heard of for longest is forgotten
REST_SECONDS = 10  # what an address with too much open is told to wait

STARTS = "{limit} runs in a minute from your address, which is the limit here. Your code is kept. You can run again in {wait} s."
CHECKS = "{limit} checks in a minute from your address, which is the limit here. The next is possible in {wait} s."
SNIPPETS = "{limit} links in a minute from your address, which is the limit here. You can share again in {wait} s."
CHANGES = "{limit} changes in a minute from your address, which is the limit here. The next is possible in {wait} s."
TENANTS = "{limit} requests of this tenant in a minute, which is the limit here. The next is possible in {wait} s."
STREAMS = "{limit} event streams are open from your address, which is the limit here. Close a tab, or ask again in {wait} s."


class PerMinute:
    """At most `limit` of something in any minute of one address. `now` gives epoch milliseconds."""

    def __init__(self, limit: int, sentence: str, now: Callable[[], int]) -> None:
        self.limit, self._sentence, self._now = limit, sentence, now
        self._seen: OrderedDict[str, deque[list[int]]] = OrderedDict()

    def take(self, address: str) -> None:
        """Count one. Raises TooMany, with the seconds until the next would pass."""
        second = self._now() // 1000
        counts = self._seen.setdefault(address, deque())
        self._seen.move_to_end(address)
        while counts and counts[0][0] <= second - WINDOW_SECONDS:
            counts.popleft()
        if sum(count for _, count in counts) >= self.limit:
            wait = max(1, counts[0][0] + WINDOW_SECONDS - second)
            raise TooMany(self._sentence.format(limit=self.limit, wait=wait), limit=self.limit, retry_after=wait)
        if counts and counts[-1][0] == second:
            counts[-1][1] += 1
        else:
            counts.append([second, 1])
        while len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)


class AtOnce:
    """At most `limit` of something open at once from one address."""

    def __init__(self, limit: int, sentence: str) -> None:
        self.limit, self._sentence = limit, sentence
        self._open: dict[str, int] = {}

    def enter(self, address: str) -> None:
        """Count one more. Raises TooMany when the address has `limit` open."""
        if self._open.get(address, 0) >= self.limit:
            raise TooMany(self._sentence.format(limit=self.limit, wait=REST_SECONDS), limit=self.limit, retry_after=REST_SECONDS)
        self._open[address] = self._open.get(address, 0) + 1

    def leave(self, address: str) -> None:
        """Count one less."""
        left = self._open[address] - 1
        if left:
            self._open[address] = left
        else:
            del self._open[address]

    def total(self) -> int:
        """How many are open from all addresses."""
        return sum(self._open.values())
