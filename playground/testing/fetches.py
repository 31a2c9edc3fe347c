"""Answers to `fetch` in a test: no request leaves the process, and what was asked can be looked at.

tester.fetches.answer("https://api.example.com/orders", json={"id": 7}, method="POST")
"""

import json as encoder
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from playground.engine.bindings.binding import CallContext
from playground.engine.bindings.fetch import Fetch
from playground.outbound.client import Answer, check_headers
from playground.outbound.errors import NoAnswer, OutboundError, Refused
from playground.outbound.hosts import Target
from playground.testing.mocks import UnusedMock

ANSWER = "fetches.answer"


class Asked(NamedTuple):
    """A request that the code has made."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    step: str | None
    attempt: int | None


@dataclass(slots=True)
class _Given:
    url: str
    method: str | None
    times: int | None
    answer: Answer | OutboundError
    optional: bool
    used: bool = False

    def fits(self, method: str, url: str) -> bool:
        wanted = self.url.removesuffix("*")
        return (
            self.times != 0
            and self.method in (None, method)
            and (url.startswith(wanted) if wanted != self.url else url == wanted)
        )


class Fetches(Fetch):
    """The `FETCH` of a test. `requests` are those made so far, those of replayed steps not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Asked] = []
        self._given: list[_Given] = []

    def answer(
        self,
        url: str,
        *,
        status: int = 200,
        json: Any = None,
        body: str | bytes = b"",
        headers: Mapping[str, str] | None = None,
        error: str | None = None,
        method: str | None = None,
        times: int | None = None,
        optional: bool = False,
    ) -> None:
        """Answer requests of a URL; an earlier answer of the same URL is used first, until it is used up.

        Args:
            url: as the code asks it; one that ends in `*` stands for all that begin so.
            json: the body's value, with the content type of JSON; or `body`.
            error: no answer comes, for this reason.
            method: only of this method.
            times: so many requests; None: all.
            optional: whether it may stay unused; otherwise that fails the test at its end.
        """
        content = body.encode() if isinstance(body, str) else body
        pairs = list((headers or {}).items())
        if json is not None:
            content, pairs = encoder.dumps(json).encode(), [("content-type", "application/json"), *pairs]
        made = NoAnswer(error) if error is not None else Answer(status, "", check_headers(pairs), content, url, 0)
        self._given.append(_Given(url, method, times, made, optional))

    def check_used(self) -> None:
        """Raises UnusedMock: an answer was given that nothing has asked for."""
        for given in self._given:
            if not given.used and not given.optional:
                urls = ", ".join(sorted({asked.url for asked in self.requests})) or "nothing"
                raise UnusedMock(f'{ANSWER}("{given.url}") was never used: the code has asked {urls}.')

    async def _ask(
        self,
        call: CallContext,
        target: Target,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        follow: bool,
        key: str | None,
    ) -> Answer:
        url = str(target.url)
        step = None if call.step is None else call.step.name
        self.requests.append(Asked(method, url, dict(check_headers(headers)), body or b"", step, call.attempt))
        for given in self._given:
            if given.fits(method, url):
                given.used = True
                given.times = None if given.times is None else given.times - 1
                if isinstance(given.answer, OutboundError):
                    raise given.answer
                return given.answer
        raise Refused(f'{method} {url} has no answer in this test: give it one with tester.{ANSWER}("{url}", …).')

    def _idempotency_key(
        self, call: CallContext, target: Target, method: str, headers: Sequence[tuple[str, str]]
    ) -> str | None:
        return next((value for name, value in headers if name.lower() == "idempotency-key"), None)
