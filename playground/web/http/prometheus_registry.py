"""The registry that a scrape is written from: what is handed in then, and what the library itself knows of this
process.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector


class _Given(Collector):
    """Hands on what it was given."""

    def __init__(self) -> None:
        self.families: Iterable[Metric] = ()

    def describe(self) -> list[Metric]:
        """Nothing is asked of it at registration."""
        return []

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        return self.families


class Scrapes:
    """The registry of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._given = _Given()
        self._registry.register(self._given)
        ProcessCollector(registry=self._registry)

    def text(self, families: Iterable[Metric]) -> bytes:
        """These metrics and the process's own, in Prometheus' text."""
        self._given.families = families
        try:
            return generate_latest(self._registry)
        finally:
            self._given.families = ()
