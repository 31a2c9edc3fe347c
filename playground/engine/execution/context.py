"""What the parts of an execution share: the services from outside, and the execution as its parts see it.

`Services` holds everything that comes from outside, in one frozen value. `ExecutionContext` is the protocol that each
part is written against, so that no part imports the whole. A part that needs other parts besides says so in a protocol
of its own, beside the class that needs them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from playground.engine.clock import Clock
from playground.engine.code.sources import Sources
from playground.engine.execution.budget import Budget
from playground.engine.execution.gate import OutputGate
from playground.engine.execution.open_steps import OpenStep
from playground.engine.execution.pipeline import Pipeline
from playground.engine.families import Families
from playground.engine.limits import SharedCounts, StoredPerDay, UncommittedWrites
from playground.engine.metrics import EngineMetrics
from playground.engine.queues import LimitsOfTenants
from playground.engine.tracing import ExecutionTrace, Tracing
from playground.engine.workers import Workers
from playground.outbound.addresses import read_networks
from playground.outbound.client import Outbound
from playground.sandbox.channel import FairReading, FrameChannel
from playground.sandbox.pool import Sandbox, Worker
from playground.settings import Settings
from playground.store.protocol import Committed, Decider, Store
from playground.store.rows import InstanceRow
from playground.workflows.events import NewEvent, StepKey

Log = Callable[..., None]
EVERYWHERE = read_networks("0.0.0.0/0, ::/0")  # where what an operator or a program names may be


@dataclass(frozen=True, slots=True)
class Services:
    """What an execution needs from outside: store, sandbox, clock, settings, log, counters, workers and the source of
    code.
    """

    store: Store
    sandbox: Sandbox
    clock: Clock
    settings: Settings
    log: Log
    sources: Sources
    stored: StoredPerDay
    counts: EngineMetrics
    tenant_limits: LimitsOfTenants
    shared: SharedCounts
    workers: Workers
    families: Families
    outbound: Outbound
    turns: FairReading = field(default_factory=FairReading)
    uncommitted: UncommittedWrites = field(default_factory=UncommittedWrites)
    trusted: Outbound = field(default_factory=lambda: Outbound(EVERYWHERE))
    tracing: Tracing | None = None  # where spans go, if anywhere

    def limit(self, row: InstanceRow, name: str) -> Any:
        """A limit of this instance: its own where it has one, else the setting."""
        if row.limits and name in row.limits:
            return row.limits[name]
        return getattr(self.settings, name)


REPLY_GRACE_MS = 5_000  # time a worker has to stop an attempt that has timed out


class ExecutionContext(Protocol):
    """One worker's execution, from its start frame to the event that records how it ended.

    `calls` is how many calls of bindings are under way, `calls_on_timers` how many of them wait for the clock alone,
    `armed_kill` the point at which a kill is armed. `closing`: no further frame is handled. `pausing`: the ends of
    steps are withheld from the worker. `skips_sleeps`: sleeps, and waits before a retry, are over at once.
    `tags`: those that it has, and those that wait for their commit. `trace` makes its spans; None where there are none.
    """

    services: Services
    row: InstanceRow
    steps: dict[StepKey, OpenStep]
    pipeline: Pipeline
    budget: Budget
    gate: OutputGate
    channel: FrameChannel | None
    worker: Worker | None
    closing: bool
    pausing: bool
    calls: int
    calls_on_timers: int
    armed_kill: str | None
    skips_sleeps: bool
    tags: set[str]
    trace: ExecutionTrace | None

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing but durable waits left."""

    @property
    def waits_for_child(self) -> bool:
        """Whether the code waits for a child, which has no deadline."""

    @property
    def is_busy(self) -> bool:
        """Whether the worker runs an attempt or a call, or something for it is still to be committed or sent."""

    @property
    def journal_events(self) -> int:
        """How many events the journal has, those that wait for their commit included."""

    def open_attempt(self, key: StepKey) -> int | None:
        """The attempt of a step, or of its rollback handler, that runs now."""

    def advance_workflow_clock(self, clock_us: int | None) -> None:
        """The worker has reported the time on the workflow's clock, in microseconds."""

    def workflow_clock_us(self) -> int:
        """The time on the workflow's clock, in microseconds, as far as it is known here."""

    def send(self, *messages: dict[str, Any]) -> int:
        """Send frames to the worker, which is active from then on; returns how many it has been sent in all."""

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine in the background."""

    def apply_committed(self, committed: Committed) -> None:
        """Apply the events that a decider committed."""

    def on_attempt_committed(self) -> None:
        """The end of an attempt is durable."""

    async def commit(self, event: NewEvent) -> None:
        """Commit one event in order with the worker's own, and wait until it is durable. Raises Fenced."""

    def note(self, event: NewEvent) -> None:
        """Commit one event in order with the worker's own, without waiting; none once the execution has ended."""

    def finish(self, *events: NewEvent) -> None:
        """The execution has ended normally: commit these events, then release the worker."""

    def break_limit(self, what: str, setting: str = "") -> None:
        """The worker broke a limit: the instance ends with an error that names it."""

    def end_with_error(self, error: dict[str, Any]) -> None:
        """The worker broke a rule: the instance ends with this error."""

    def end_as_lost(self, reason: str) -> None:
        """The worker is lost, or has to be stopped; the instance continues in another execution."""

    def kill_worker_and_end(self, details: Mapping[str, Any] | None = None) -> None:
        """SIGKILL the worker, read nothing more, and end the execution as killed."""

    def evict(self, reason: str) -> None:
        """Release an idle worker: only durable waits are left."""

    def end(self, last_commit: Decider | None) -> None:
        """Handle no further frame; `last_commit` decides what becomes of the instance."""
