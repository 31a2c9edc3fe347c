"""Requests counted by the class of their status, with the time until the head of the answer was sent."""

from collections import Counter
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.store.metrics import Histogram

# Upper bounds in seconds. A page takes some milliseconds; a check of source that needs a worker, or a start, some tens.
REQUEST_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CLASSES = ("2xx", "3xx", "4xx", "5xx")


class Requests:
    """Since the server was started. A stream counts when it begins."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.seconds = Histogram(REQUEST_BOUNDS)

    def count(self, status: int) -> None:
        """A request got an answer of this status."""
        self.answered[f"{status // 100}xx"] += 1


class Measured:
    """Counts what passes."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        since = perf_counter()

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.requests.count(message["status"])
                self.requests.seconds.add(perf_counter() - since)
            await send(message)

        await self.app(scope, receive, counting_send)
