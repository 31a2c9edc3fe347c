"""Everything a view may use, passed in once; a part that is missing fails at start, not at its first request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from playground.engine import Engine
from playground.engine.answer_links import AnswerLinks
from playground.engine.bulk_runs import BulkRuns
from playground.engine.chaos_runs import ChaosRuns
from playground.engine.code.tenants import Tenants
from playground.engine.ids import Ids
from playground.examples import Example
from playground.settings import Settings
from playground.store.protocol import Store
from playground.web.api.chaos_rows import ChaosRows
from playground.web.api.stream import Streams
from playground.web.http.errors import ExampleNotFound
from playground.web.http.hosts import ClientAddresses, PublicUrl
from playground.web.http.prometheus import MetricsRegistry, RequestMetrics
from playground.web.http.rate_limits import ConcurrencyLimit, RateLimit, SharedRateLimit
from playground.web.http.security import Embedding
from playground.web.http.tokens import StartToken
from playground.web.instance_view import InstanceViews
from playground.web.mcp.servers import McpServers
from playground.web.pages.assets import Assets
from playground.web.pages.example_cards import ExampleCards
from playground.web.pages.highlight import Highlighter
from playground.web.pages.page_cache import PageCache
from playground.web.pages.preview_cards import CardCache
from playground.web.pages.templates import Rendering


@dataclass(frozen=True, slots=True)
class Limits:
    """What is counted per client address, and, for `tenants`, per tenant.

    Why some are counted on each node is said in app.py, where they are made.
    """

    starts: SharedRateLimit
    checks: RateLimit
    snippets: SharedRateLimit
    changes: SharedRateLimit
    reads: RateLimit
    tenants: SharedRateLimit
    cards: RateLimit
    chaos: SharedRateLimit
    streams: ConcurrencyLimit


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of the web application. `contract` is openapi.json."""

    engine: Engine
    tenants: Tenants
    bulks: BulkRuns
    chaos: ChaosRuns
    chaos_rows: ChaosRows
    settings: Settings
    examples: Mapping[str, Example]
    addresses: ClientAddresses
    public_url: PublicUrl
    embedding: Embedding
    start_token: StartToken
    cards: CardCache
    example_cards: ExampleCards
    page_cache: PageCache
    assets: Assets
    rendering: Rendering
    highlighter: Highlighter
    views: InstanceViews
    limits: Limits
    mcp: McpServers
    streams: Streams
    request_metrics: RequestMetrics
    metrics_registry: MetricsRegistry
    answer_links: AnswerLinks
    ids: Ids
    log: Callable[..., None]
    version: str
    openapi_json: bytes

    @property
    def store(self) -> Store:
        return self.engine.store

    def example(self, slug: str) -> Example:
        """The example of this name. Raises ExampleNotFound."""
        if slug not in self.examples:
            raise ExampleNotFound(f"There is no example of this name; the examples are {', '.join(self.examples)}.")
        return self.examples[slug]

    def now(self) -> int:
        """Epoch milliseconds by the engine's clock."""
        return self.engine.clock.now()

    def packages_json(self) -> list[dict[str, Any]]:
        """The packages that code may import in addition to the standard library, with the public names of their
        modules as far as they are known.
        """
        known = self.engine.sandbox.module_names
        return [
            {
                "name": it.name,
                "version": it.version,
                "modules": it.modules,
                "names": {module: known[module] for module in it.modules if module in known},
            }
            for it in self.engine.sandbox.packages
        ]

    def isolation_json(self) -> dict[str, Any]:
        """The isolation tier as pages and /healthz show it."""
        tier = self.engine.sandbox.tier
        return {"letter": tier.letter, "sentence": tier.sentence, "advice": tier.advice, "layers": list(tier.layers)}
