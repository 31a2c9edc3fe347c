"""What the parts of an execution know of it: the ground that they stand on, so that none of them has to know the whole.

A part that needs other parts besides says so in a protocol of its own, beside the class that needs them.

What an execution needs from outside, in one frozen value that is passed down.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from playground.engine.clock import Clock
from playground.engine.code.sources import Sources
from playground.engine.execution.budget import Budget
from playground.engine.execution.gate import OutputGate
from playground.engine.execution.open_steps import OpenStep
from playground.engine.execution.pipeline import Pipeline
from playground.engine.limits import SharedCounts, StoredPerDay, UncommittedWrites
from playground.engine.metrics import EngineMetrics
from playground.engine.queues import LimitsOfTenants
from playground.sandbox.channel import FairReading, FrameChannel
from playground.sandbox.pool import Sandbox, Worker
from playground.settings import Settings
from playground.store.protocol import Committed, Decider, Store
from playground.store.rows import InstanceRow
from playground.workflows.events import NewEvent, StepKey

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
    counts: EngineMetrics
    tenant_limits: LimitsOfTenants
    shared: SharedCounts
    turns: FairReading = field(default_factory=FairReading)
    unwritten: UncommittedWrites = field(default_factory=UncommittedWrites)

    def limit(self, row: InstanceRow, name: str) -> Any:
        """A limit of this instance: its own where it has one, else the setting."""
        if row.limits and name in row.limits:
            return row.limits[name]
        return getattr(self.settings, name)


REPLY_GRACE_MS = 5_000  # time a worker has to stop an attempt that is over its time


class ExecutionContext(Protocol):
    """One worker's conversation, from its first frame to the event that says how it ended.

    `calls` are under way on this side, `kill_at` is the moment of an armed kill. `closing`: nothing more is heard.
    `pausing`: the worker is told of no step's end.
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
    kill_at: str | None

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing but durable waits left."""

    @property
    def is_busy(self) -> bool:
        """Whether the worker runs an attempt or a call, or is owed an answer."""

    @property
    def journal_events(self) -> int:
        """How many events the journal has, or will have soon."""

    def open_attempt(self, key: StepKey) -> int | None:
        """The attempt of a step, or of its rollback handler, that runs now."""

    def hear_clock(self, clock: int | None) -> None:
        """The worker has said what time it is on the workflow's clock, in microseconds."""

    def clock(self) -> int:
        """What time it is on the workflow's clock, in microseconds, as far as it is known here."""

    def send(self, *messages: dict[str, Any]) -> int:
        """Send frames to the worker, which is not idle from then on; gives how many it was sent in all."""

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run something beside the conversation."""

    def apply(self, committed: Committed) -> None:
        """Take what a decider's events mean for this execution."""

    def attempt_over(self) -> None:
        """An attempt has ended and is committed."""

    async def commit(self, event: NewEvent) -> None:
        """Commit one event in order with the worker's own, and wait until it is durable. Raises Fenced."""

    def finish(self, *events: NewEvent) -> None:
        """The execution has ended as it should: commit these, then let the worker go."""

    def break_limit(self, what: str, setting: str = "") -> None:
        """The worker broke a limit: the instance ends with an error that names it."""

    def end_with(self, error: dict[str, Any]) -> None:
        """The worker did what it may not: the instance ends with this error."""

    def lose(self, reason: str) -> None:
        """The worker is gone, or must go, and the instance goes on in another execution."""

    def drop(self, told: Mapping[str, Any] | None = None) -> None:
        """SIGKILL and read nothing more."""

    def evict(self, reason: str) -> None:
        """Give the worker up: only durable waits are left."""

    def settle(self, epilogue: Decider | None) -> None:
        """Nothing more is heard; `epilogue` says what becomes of the instance."""
