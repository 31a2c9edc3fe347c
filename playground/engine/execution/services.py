"""What an execution needs from outside, in one frozen value that is passed down."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playground.engine.bindings.uncommitted_writes import Unwritten
from playground.engine.clock import Clock
from playground.engine.code.sources import Sources
from playground.engine.metrics import Counts
from playground.engine.shared_counts import SharedCounts
from playground.engine.storage_quota import StoredPerDay
from playground.engine.tenant_limits import LimitsOfTenants
from playground.sandbox.fair_reading import Turns
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store.protocol import InstanceRow, Store

Log = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms below, the clock, the settings, the log, what is counted and where code comes from."""

    store: Store
    sandbox: Sandbox
    clock: Clock
    settings: Settings
    log: Log
    sources: Sources
    stored: StoredPerDay
    counts: Counts
    tenant_limits: LimitsOfTenants
    shared: SharedCounts
    turns: Turns = field(default_factory=Turns)
    unwritten: Unwritten = field(default_factory=Unwritten)

    def limit(self, row: InstanceRow, name: str) -> Any:
        """A limit of this instance: its own where it has one, else the setting."""
        if row.limits and name in row.limits:
            return row.limits[name]
        return getattr(self.settings, name)
