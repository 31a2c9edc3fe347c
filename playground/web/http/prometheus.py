"""What a scrape is written from: requests counted by the class of their status with the time until the head of the
answer was sent, and a registry that hands on plain figures beside what the Prometheus library knows of this process.
"""

from collections import Counter
from collections.abc import Iterable
from time import perf_counter

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from playground.store.metrics import Histogram


class _FamiliesCollector(Collector):
    """Hands on what it was given."""

    def __init__(self) -> None:
        self.families: Iterable[Metric] = ()

    def describe(self) -> list[Metric]:
        """Nothing is asked of it at registration."""
        return []

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        return self.families


class MetricsRegistry:
    """The registry of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._collector = _FamiliesCollector()
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)

    def render(self, families: Iterable[Metric]) -> bytes:
        """These metrics and the process's own, in Prometheus' text."""
        self._collector.families = families
        try:
            return generate_latest(self._registry)
        finally:
            self._collector.families = ()


# Upper bounds in seconds. A page takes some milliseconds; a check of source that needs a worker, or a start, some tens.
REQUEST_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")


class RequestMetrics:
    """Since the server was started. A stream counts when it begins."""

    def __init__(self) -> None:
        self.responses: Counter[str] = Counter()
        self.seconds = Histogram(REQUEST_BOUNDS)

    def count_response(self, status: int) -> None:
        """A request got an answer of this status."""
        self.responses[f"{status // 100}xx"] += 1


class RequestMetricsMiddleware:
    """Counts what passes."""

    def __init__(self, app: ASGIApp, requests: RequestMetrics) -> None:
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        since = perf_counter()

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.requests.count_response(message["status"])
                self.requests.seconds.add(perf_counter() - since)
            await send(message)

        await self.app(scope, receive, counting_send)
