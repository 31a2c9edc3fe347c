"""`/metrics`: what an operator watches, in Prometheus' text, made from the table METRICS when it is asked for.

Nothing here runs while the playground works: each room keeps plain numbers, and reading them is all that a scrape does.
Instances are counted by the store's tally, and the oldest due one is found by an index, so that millions of rows cost a
scrape nothing.
"""

import asyncio
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from playground.engine.metrics import CAUSES, REASONS, TAKEOVERS
from playground.settings import limit_settings
from playground.store import JournalError, StoreError
from playground.store.metrics import Histogram, StoreHealth
from playground.store.open import free_bytes, used_bytes
from playground.web.context import Context
from playground.web.http.authorization import check_metrics
from playground.web.http.prometheus import STATUS_CLASSES
from playground.web.http.responses import NO_STORE
from playground.workflows import events as ev

PREFIX = "playground_"
DATABASE_SECONDS = 2.0  # that the database has; a scraper waits ten
COUNTER, GAUGE, HISTOGRAM, INFO = "counter", "gauge", "histogram", "info"
# Whose a figure is, as its help says: with several nodes only those of a process can be summed.
PROCESS = "Of this process."
STORE = "Of the database: every node on it tells the same, so take one of them, not the sum."
OLDEST = "Of this process: over several nodes take the largest, not the sum."


@dataclass(frozen=True, slots=True)
class ScrapeInputs:
    """What is read from: the parts of the application, its instances by status, when that which is due for longest
    fell due, and what the database says of itself.
    """

    context: Context
    instances: Mapping[str, int]
    oldest_due: int | None
    health: StoreHealth


Read = Callable[[ScrapeInputs], Any]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. `description` is what it is, `scope` whether it is the process's or the store's.

    `read` gives a number, a number for each value of `label`, a Histogram, or, for an info, its labels; None where the
    database has nothing of the kind, which leaves the metric out.
    """

    name: str
    kind: str
    description: str
    read: Read
    label: str = ""
    scope: str = PROCESS

    @property
    def help(self) -> str:
        """What people are told of it."""
        return f"{self.description} {self.scope}"

    def families(self, facts: ScrapeInputs) -> Iterator[Metric]:
        """The metric as it stands."""
        found, name = self.read(facts), PREFIX + self.name
        if found is None:
            return
        if self.kind == HISTOGRAM:
            yield HistogramMetricFamily(name, self.help, buckets=_cumulative_buckets(found), sum_value=found.total)
        elif self.kind == INFO:
            info = GaugeMetricFamily(name, self.help, labels=tuple(found))
            info.add_metric(tuple(found.values()), 1)
            yield info
        else:
            family = (CounterMetricFamily if self.kind == COUNTER else GaugeMetricFamily)(
                name, self.help, labels=(self.label,) if self.label else ()
            )
            for value, number in found.items() if self.label else [(None, found)]:
                family.add_metric(() if value is None else (value,), number)
            yield family


def _with_zeros(*names: str) -> Callable[[Mapping[str, int]], dict[str, int]]:
    """All these names, so that a rate can be asked of one before it is first counted, and whatever else was counted."""
    return lambda counted: dict.fromkeys(names, 0) | dict(counted)


_limits = _with_zeros(*limit_settings(), "protocol")
_reasons = _with_zeros(*REASONS)
_causes = _with_zeros(*CAUSES)
_zygotes = _with_zeros(*TAKEOVERS)
_classes = _with_zeros(*STATUS_CLASSES)
_statuses = _with_zeros(*ev.STATUSES)


def _oldest_due_seconds(facts: ScrapeInputs) -> float:
    return 0.0 if facts.oldest_due is None else max(0, facts.context.now() - facts.oldest_due) / 1000


def _build(facts: ScrapeInputs) -> dict[str, str]:
    database, version = facts.context.store.product
    return {"version": facts.context.version, "python": platform.python_version(), database.lower(): version}


def _database_bytes(facts: ScrapeInputs) -> int | None:
    found = used_bytes(facts.context.settings.database)
    return facts.health.bytes if found is None else found


def _isolation(facts: ScrapeInputs) -> dict[str, str]:
    tier = facts.context.engine.sandbox.tier
    return {"tier": tier.letter, "layers": ",".join(tier.layers)}


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec("build_info", INFO, "Versions of the playground, Python and the database; always 1.", _build),
    MetricSpec("isolation_info", INFO,
        "The tier of isolation that held when the server tried to break out at its start; always 1.", _isolation),
    MetricSpec("node_info", INFO, "The node's name among those that share the database; always 1.",
        lambda it: {"node": it.context.engine.node}),
    MetricSpec("nodes_living", GAUGE, "Nodes that have a lease.", lambda it: len(it.health.nodes), scope=STORE),
    MetricSpec("lease_age_seconds", GAUGE,
        "How long ago this node renewed its lease; it stops its workers at two thirds of the 15 s that a lease lasts. "
        "0 on SQLite, where leases do not end.", lambda it: it.context.engine.lease_age_ms / 1000, scope=OLDEST),
    MetricSpec("instances", GAUGE, "Instances in the database by status, everybody's.",
        lambda it: _statuses(it.instances), "status", STORE),
    MetricSpec("queue_depth", GAUGE, "Instances that wait for a worker.",
        lambda it: it.instances.get(ev.QUEUED, 0), scope=STORE),
    MetricSpec("queue_oldest_seconds", GAUGE,
        "How long the instance that is due for longest has waited for a worker; 0 when none is due.",
        _oldest_due_seconds, scope=STORE),
    MetricSpec("claim_seconds", HISTOGRAM, "How long a claim of due instances took, one that found none too.",
        lambda it: it.context.engine.counts.claim_seconds),
    MetricSpec("commit_seconds", HISTOGRAM,
        "How long a commit kept the oldest of its calls waiting until all was on the disk.",
        lambda it: it.context.store.metrics.seconds),
    MetricSpec("commit_calls", HISTOGRAM, "How many calls shared a commit: the size of its group.",
        lambda it: it.context.store.metrics.calls),
    MetricSpec("notify_seconds", HISTOGRAM,
        "How long a notification of commits took from the oldest of them, through the database, back to this node, "
        "which is when the others have it. PostgreSQL only; none behind a pooler.",
        lambda it: it.context.store.metrics.notify_seconds),
    MetricSpec("commits", COUNTER, "Commits that are durable; many calls may share one.",
        lambda it: it.context.store.metrics.commits),
    MetricSpec("events", COUNTER, "Journal events that are durable.", lambda it: it.context.store.metrics.events),
    MetricSpec("commit_failures", COUNTER, "Commits that the database refused.",
        lambda it: it.context.store.metrics.failures),
    MetricSpec("database_bytes", GAUGE, "Size of the database's files.",
        _database_bytes, scope=STORE),
    MetricSpec("dead_rows", GAUGE, "Row versions that wait for a vacuum. PostgreSQL only.",
        lambda it: it.health.dead_rows, "table", STORE),
    MetricSpec("oldest_transaction_seconds", GAUGE,
        "Age of the database's oldest transaction, whoever's: no vacuum removes what died after it began. PostgreSQL "
        "only; of other users' sessions it is seen by members of pg_read_all_stats.",
        lambda it: it.health.oldest_transaction_seconds, scope=STORE),
    MetricSpec("disk_free_bytes", GAUGE, "Room on the disk of the database.",
        lambda it: free_bytes(it.context.settings.database), scope=STORE),
    MetricSpec("executions", COUNTER, "Executions begun.", lambda it: it.context.engine.counts.begun),
    MetricSpec("executions_ended", COUNTER,
        "Executions ended, by reason as in `execution_ended`; `operation`: paused, terminated or the like; `failed`: "
        "by a fault of the server's.", lambda it: _reasons(it.context.engine.counts.ended), "reason"),
    MetricSpec("workers_running", GAUGE, "Instances that have a worker now.", lambda it: it.context.engine.running()),
    MetricSpec("worker_slots", GAUGE, "Instances that may have a worker at once.",
        lambda it: it.context.settings.slots),
    MetricSpec("workers_parked", GAUGE, "Isolated workers that are ready now.",
        lambda it: it.context.engine.sandbox.parked),
    MetricSpec("worker_starts", COUNTER, "Workers handed out, for executions and for checks of source.",
        lambda it: it.context.engine.sandbox.metrics.starts),
    MetricSpec("worker_ends", COUNTER,
        "Ends of such workers as the kernel tells them; a signal is most often the server's own, once the work is "
        "done.", lambda it: _causes(it.context.engine.sandbox.metrics.ends), "cause"),
    MetricSpec("zygote_starts", COUNTER,
        "Fork servers that took over: at the start, since the one before died, or in its time.",
        lambda it: _zygotes(it.context.engine.sandbox.metrics.zygotes), "cause"),
    MetricSpec("fork_failures", COUNTER, "Workers that could not be forked or locked.",
        lambda it: it.context.engine.sandbox.metrics.fork_failures),
    MetricSpec("limits_hit", COUNTER,
        "Limits that somebody met, by setting; `protocol`: a worker that said what no honest one says.",
        lambda it: _limits(it.context.engine.counts.limits), "limit"),
    MetricSpec("streams_open", GAUGE, "Event streams open now.", lambda it: it.context.limits.streams.total_open()),
    MetricSpec("streams_dropped", COUNTER, "Event streams cut off because their reader did not read.",
        lambda it: it.context.streams.dropped),
    MetricSpec("requests", COUNTER, "Requests answered, by class of status.",
        lambda it: _classes(it.context.request_metrics.responses), "status"),
    MetricSpec("request_seconds", HISTOGRAM, "Time from a request to the head of its answer.",
        lambda it: it.context.request_metrics.seconds),
)  # fmt: skip


async def metrics(context: Context, request: Request) -> Response:
    """What an operator watches, as Prometheus' text. For the operator; the setting `metrics` says who else."""
    await check_metrics(context, request)
    facts, rows = await _read(context)
    content = context.metrics_registry.render(family for row in rows for family in row.families(facts))
    return Response(content, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, **NO_STORE})


async def _read(context: Context) -> tuple[ScrapeInputs, Sequence[MetricSpec]]:
    """What the rows are made from, and the rows: only the process's own while the database is away, which is when they
    are looked at.
    """
    store = context.store
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            return ScrapeInputs(context, await store.count(), await store.oldest_due(), await store.health()), METRICS
    except (StoreError, JournalError, TimeoutError):
        return ScrapeInputs(context, {}, None, StoreHealth(())), [row for row in METRICS if row.scope != STORE]


def _cumulative_buckets(times: Histogram) -> list[tuple[str, float]]:
    buckets: list[tuple[str, float]] = []
    sum_ = 0
    for bound, count in zip((*times.bounds, None), list(times.counts), strict=True):
        sum_ += count
        buckets.append(("+Inf" if bound is None else str(bound), sum_))
    return buckets
