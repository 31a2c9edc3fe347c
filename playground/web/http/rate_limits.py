"""Limits per client address: so many of a thing in a minute, and so many open at once.

Counted to the second, so that an address costs at most sixty small entries however fast it asks. What protects things
that all nodes share is counted for all nodes together (`PerMinuteOfAll`), what protects one process by that process:
see where they are made, in web/app.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from playground.engine.limits import SharedCounts, SlidingWindow
from playground.web.http.errors import TooMany

WINDOW_SECONDS = 60
HOUR_SECONDS = 3_600
SCOPE_ALLOWANCES = "playground.spent"  # where the ASGI scope has the allowances that a request was counted against
RETRY_SECONDS = 10  # what an address with too much open is told to wait

STARTS = "{limit} runs in a minute from your address, which is the limit here. You can run again in {wait} s."
CHECKS = "{limit} checks in a minute from your address, which is the limit here. The next is possible in {wait} s."
SNIPPETS = "{limit} links in a minute from your address, which is the limit here. You can share again in {wait} s."
CARDS = (
    "{limit} new pictures of links in a minute for your address, which is the limit here. The next is possible in "
    "{wait} s."
)
CHANGES = "{limit} changes in a minute from your address, which is the limit here. The next is possible in {wait} s."
READS = (
    "{limit} requests in a minute from your address, which is the limit here. Ask less often; the next is possible in "
    "{wait} s."
)
STORED = "What your address has stored in a day is at its limit of {limit:,} bytes. You can run again in {hours} h."
CONNECTIONS = (
    "{limit} connections are open from your address, which is the limit here. Close some, or ask again in {wait} s."
)
TENANTS = "{limit} requests of this tenant in a minute, which is the limit here. The next is possible in {wait} s."
CHAOS = (
    "{limit} chaos runs in an hour from your address, which is the limit here. The next is possible in {minutes} min."
)
STREAMS = (
    "{limit} event streams are open from your address, which is the limit here. Close a tab, or ask again in {wait} s."
)


class WindowCounts(Protocol):
    """What each key has had in the last `window` seconds: see `SlidingWindow`."""

    window: int

    def now(self) -> int: ...

    def add(self, key: str, amount: int) -> None: ...

    def counts(self, key: str) -> Sequence[tuple[int, int]]: ...

    def total(self, key: str) -> int: ...


class RateLimit:
    """At most `limit` of something in any minute of one address, or in another `window` of seconds, on this node.

    `now` gives epoch milliseconds; `setting` is the limit's name; `had` counts elsewhere.
    """

    def __init__(
        self,
        limit: int,
        sentence: str,
        now: Callable[[], int],
        setting: str = "",
        window: int = WINDOW_SECONDS,
        had: WindowCounts | None = None,
    ) -> None:
        self.limit, self._sentence, self.setting = limit, sentence, setting
        self._counts = SlidingWindow(window, 1000, now) if had is None else had

    def charge(self, address: str, amount: int = 1) -> None:
        """Count one, or as many as it is worth. Raises TooMany, with the seconds until the next would pass."""
        if not self.try_charge(address, amount):
            wait = self.allowance(address).reset
            said = self._sentence.format(limit=self.limit, wait=wait, minutes=-(-wait // 60))
            raise TooMany(said, limit=self.limit, retry_after=wait, setting=self.setting)

    def charge_request(self, request: Request, address: str, amount: int = 1) -> None:
        """As `take`, and the answer to the request will say what is left."""
        try:
            self.charge(address, amount)
        finally:
            request.scope.setdefault(SCOPE_ALLOWANCES, {})[self.setting] = self.allowance(address)

    def try_charge(self, address: str, amount: int = 1) -> bool:
        """Count one, unless the address has had its share."""
        if self._counts.total(address) >= self.limit:
            return False
        self._counts.add(address, amount)
        return True

    def allowance(self, address: str) -> "Allowance":
        """What an address has left now."""
        counts, window = self._counts.counts(address), self._counts.window
        left = max(0, self.limit - sum(count for _, count in counts))
        reset = max(1, counts[0][0] + window - self._counts.now()) if counts else window
        return Allowance(self.setting, self.limit, left, reset, window)


class SharedRateLimit:
    """As `PerMinute`, on all nodes together. An address not counted here for a second is read from the store."""

    def __init__(
        self, limit: int, sentence: str, shared: SharedCounts, setting: str, window: int = WINDOW_SECONDS
    ) -> None:
        self._counts = shared.count_of(setting, window, 1000)
        self._rate = RateLimit(limit, sentence, shared.now, setting, had=self._counts)

    async def charge(self, address: str, amount: int = 1) -> None:
        """See `PerMinute.take`. Raises TooMany, StoreError."""
        await self._counts.read(address)
        self._rate.charge(address, amount)

    async def charge_request(self, request: Request, address: str, amount: int = 1) -> None:
        """See `PerMinute.spend`. Raises TooMany, StoreError."""
        await self._counts.read(address)
        self._rate.charge_request(request, address, amount)

    async def allowance(self, address: str) -> "Allowance":
        """See `PerMinute.allowance`. Raises StoreError."""
        await self._counts.read(address)
        return self._rate.allowance(address)


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many of `limit` are `left`; the first of those used is given back in `reset` seconds.

    `setting` is the limit's name.
    """

    setting: str
    limit: int
    left: int
    reset: int
    window: int


def rate_limit_headers(request: Request) -> dict[str, str]:
    """What a request was counted against, as the fields of draft-ietf-httpapi-ratelimit-headers-10: a policy for each
    limit, and what is left of it.
    """
    spent: list[Allowance] = list(request.scope.get(SCOPE_ALLOWANCES, {}).values())
    if not spent:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{it.setting}";q={it.limit};w={it.window}' for it in spent),
        "RateLimit": ", ".join(f'"{it.setting}";r={it.left};t={it.reset}' for it in spent),
    }


class ConcurrencyLimit:
    """At most `limit` of something open at once from one address, on this node. `setting` is the limit's name."""

    def __init__(self, limit: int, sentence: str, setting: str = "") -> None:
        self.limit, self._sentence, self.setting = limit, sentence, setting
        self._open: dict[str, int] = {}

    def acquire(self, address: str) -> None:
        """Count one more. Raises TooMany when the address has `limit` open."""
        if self._open.get(address, 0) >= self.limit:
            sentence = self._sentence.format(limit=self.limit, wait=RETRY_SECONDS)
            raise TooMany(sentence, limit=self.limit, retry_after=RETRY_SECONDS, setting=self.setting)
        self._open[address] = self._open.get(address, 0) + 1

    def release(self, address: str) -> None:
        """Count one less."""
        left = self._open[address] - 1
        if left:
            self._open[address] = left
        else:
            del self._open[address]

    def total_open(self) -> int:
        """How many are open from all addresses."""
        return sum(self._open.values())
