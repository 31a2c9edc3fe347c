"""Metrics of the engine: claims, executions, how they ended, and the limits that were met."""

from collections import Counter
from collections.abc import Callable

from playground.engine import queues
from playground.sandbox.handle import CPU, EXIT, MEMORY, SIGNAL, ZYGOTE
from playground.sandbox.pool import SandboxMetrics as SandboxCounts
from playground.store.metrics import COMMIT_BOUNDS, Histogram
from playground.store.rows import InstanceRow
from playground.workflows import events as ev

# An execution ended because its instance was paused, terminated, restarted, migrated or deleted.
OPERATION = "operation"
FAILED = "failed"  # by a fault of ours
REASONS = (*ev.END_REASONS, OPERATION, FAILED)
CAUSES = (EXIT, SIGNAL, CPU, MEMORY, ZYGOTE)  # of the end of a worker's process
TAKEOVERS = (SandboxCounts.START, SandboxCounts.DIED, SandboxCounts.RECYCLED)  # of a fork server


class EngineMetrics:
    """Since the engine was opened.

    `limits` counts by the setting that was met, `ended` by the reason as in `execution_ended`. `claim_seconds` is how
    long claims took, those that found nothing too.
    """

    def __init__(self, log: Callable[..., None]) -> None:
        self._log = log
        self.begun = 0
        self.claim_seconds = Histogram(COMMIT_BOUNDS)
        self.ended: Counter[str] = Counter()
        self.limits: Counter[str] = Counter()

    def limit(self, setting: str, whose: str, **fields: object) -> None:
        """Somebody met a limit: `whose` is an address or a tenant, `fields` are for the line of the log."""
        self.limits[setting] += 1
        self._log("limit", limit=setting, whose=whose, **fields)


def owner_of_limit(row: InstanceRow) -> str:
    """Who is responsible for an instance: its tenant, or the address that started it."""
    return row.tenant or queues.address_of(row.queue)
