"""The `Store` protocol, which every database implements: SQLite for one node, PostgreSQL for any number.

The journal is the truth. Rows (`InstanceRow`, `StepRow`, `InboxRow`) are a projection of it (`projection.py`), kept
because replay and scheduling must be fast.

Architecture Invariant: a row changes only in the transaction that appends the events which explain the change.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from playground.store.alerts import AlertStore
from playground.store.audit import AuditStore
from playground.store.bulks import BulkStore
from playground.store.flow import Place
from playground.store.messages import MessageStore
from playground.store.metrics import StoreHealth, StoreMetrics
from playground.store.rows import (
    Child,
    InboxRow,
    InstanceRow,
    NewInstance,
    Snippet,
    StepRow,
)
from playground.store.schedules import ScheduleStore
from playground.store.search import SearchStore
from playground.store.services import ServiceStore
from playground.store.step_bytes import StepBytesStore
from playground.store.tables import EffectStore, FamilyStore, KvStore, TenantStore, UsageStore
from playground.workflows.events import Event, NewEvent, StepKey


@dataclass(frozen=True, slots=True)
class Needs:
    """What a decider reads in addition to the row, the open steps and the inbox."""

    steps: Sequence[StepKey] = ()  # these steps, with their results
    open: bool = True  # the open steps; to list them costs as much as there are
    keys: bool = False  # the keys of all steps
    pending_rollback: bool = False  # whether any step has a rollback handler that has not started


NO_NEEDS = Needs()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state that a decider sees: an instance in its current generation, read in one transaction.

    `open_steps` are the open steps by start, perhaps without results, None where `Needs` does not ask for them; `inbox`
    the unconsumed events, oldest first. The others are set only where `Needs` asks for them: `named` has each step of
    `Needs.steps` (None: it has not started), `keys` all steps that have started.
    """

    row: InstanceRow
    named: Mapping[StepKey, StepRow | None]
    inbox: Sequence[InboxRow]
    open_steps: Sequence[StepRow] | None
    keys: frozenset[StepKey] | None = None
    pending_rollback: bool | None = None

    @property
    def open(self) -> Sequence[StepRow]:
        """The open steps, by start."""
        assert self.open_steps is not None, "a decider that looks at open steps does not leave them out of its needs"
        return self.open_steps

    def step(self, key: StepKey) -> StepRow | None:
        """A step of `Needs.steps`, with its result; None when it has not started."""
        assert key in self.named, f"a decider that looks at step {key} names it in its needs"
        return self.named[key]


@dataclass(frozen=True, slots=True)
class History:
    """What replay needs of an instance, read in one transaction: its row, the steps of its current generation by start,
    with results, and its unconsumed events, oldest first.
    """

    row: InstanceRow
    steps: Mapping[StepKey, StepRow]
    inbox: Sequence[InboxRow]

    @classmethod
    def of_rows(cls, row: InstanceRow, steps: Iterable[StepRow], inbox: Sequence[InboxRow]) -> "History":
        """From the rows of one transaction, the steps in any order."""
        by_start = sorted(steps, key=lambda step: step.started_seq)
        assert not by_start or by_start[-1].started_seq <= row.last_seq, "a step's events are in the journal"
        return cls(row, {step.key: step for step in by_start}, inbox)

    @property
    def open(self) -> Sequence[StepRow]:
        """The open steps, by start."""
        return [step for step in self.steps.values() if step.is_open]


class Lease(NamedTuple):
    """A node's right to own instances. `lasts_ms` None: until the process ends."""

    name: str
    boot: int
    lasts_ms: int | None

    @property
    def owner(self) -> str:
        """The value of `InstanceRow.owner`: this boot of the node."""
        return f"{self.name}.{self.boot}"


class Renewal(NamedTuple):
    """What a node learns when it renews its lease.

    Args:
        next_end_ms: in how many milliseconds the first lease of another node ends; None where none does.
        has_abandoned: whether `NodeStore.abandoned` would find something.
        owned: how many instances `NodeStore.owned` would find.
    """

    next_end_ms: int | None
    has_abandoned: bool
    owned: int


class NodeStore(Protocol):
    """The nodes (engines) that run the instances of a store, each with a lease by the store's own clock.

    An instance belongs to its owner until the owner's lease expires. Then any node may take it over: close what the
    owner left open, which fences whatever it still writes, and let the instance be claimed again.
    """

    async def join(self, name: str, lasts_ms: int) -> Lease:
        """Start a new boot of a node, numbered from 1, with a lease; the lease of its previous boot ends.

        The store decides how long the lease lasts, which may be for good.
        """

    async def renew(self, lease: Lease) -> Renewal:
        """Renew a lease.

        Raises:
            NodeLost: the lease has expired.
        """

    async def leave(self, lease: Lease) -> None:
        """End a lease at once; an expired one is no error."""

    async def abandoned(self, limit: int) -> Sequence[InstanceRow]:
        """Instances whose owner's lease has expired."""

    async def owned(self, owner: str) -> Sequence[InstanceRow]:
        """Instances of this owner. More than it plays where a claim was committed whose answer never came."""

    @property
    def clock(self) -> Callable[[], Awaitable[int]] | None:
        """Reads the store's own clock, in epoch milliseconds, by which nodes on several machines go.

        None: all nodes are on one machine, and go by its clock.
        """


class Committed(msgspec.Struct, frozen=True):
    """The result of a commit: the events as the journal holds them, and the row after them."""

    events: Sequence[Event]
    row: InstanceRow


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry of a batch that was not created: its index, its id and an error code. With the codes of
    `workflows/flow.py` the id is that of the instance that there is in its place.
    """

    index: int
    id: str
    code: str


class QueueLimit(NamedTuple):
    """Limits of a queue on all nodes together: concurrent workers, and claims per second (None: no limit)."""

    running: int
    starts_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """The limits of all queues: `own`, else the first matching one of `prefixes`, else `default` (None: no limit).

    `spare`: so many of a claim's places, the last, are for queues of which nothing runs, one each.
    """

    default: QueueLimit | None = None
    prefixes: Sequence[tuple[str, QueueLimit]] = ()
    own: Mapping[str, QueueLimit] = field(default_factory=dict)
    spare: int = 0

    def for_queue(self, queue: str) -> QueueLimit | None:
        """The limit of a queue; None: none."""
        found = self.own.get(queue)
        if found is None:
            found = next((limit for prefix, limit in self.prefixes if queue.startswith(prefix)), self.default)
        return found


NO_LIMITS = ClaimLimits()
ANY_NUMBER: Mapping[str, int] = {}  # of instances that may be queued

Log = Callable[..., None]  # called as log(event, **fields) with what an operator must know


class Claimed(NamedTuple):
    """The claimed instances. `again_at` is when queues that reached their claims per second may be claimed from again,
    None without any. `at` is the time that `due_at` was compared with; None: the caller's. `knows_next`: `again_at`
    covers what falls due later, so that nobody need ask `next_due(after=at)`.
    """

    rows: Sequence[InstanceRow]
    again_at: int | None = None
    at: int | None = None
    knows_next: bool = False


# Decides which events an operation or a worker exit appends: a pure function of the instance's state.
Decider = Callable[[Snapshot], Sequence[NewEvent]]


@dataclass(frozen=True, slots=True)
class DeciderWithNeeds:
    """A decider that reads more than the default snapshot."""

    decide: Decider
    needs: Needs

    def __call__(self, snapshot: Snapshot) -> Sequence[NewEvent]:
        return self.decide(snapshot)


def needs_of(decider: Decider) -> Needs:
    """The needs of a decider, which may be a plain function. A wrapper of a decider must pass them on."""
    needs: Needs = getattr(decider, "needs", NO_NEEDS)
    return needs


class Store(Protocol):
    """A journal store. Every method may be called from the event loop; none blocks it.

    `at` is epoch milliseconds by the caller's clock. `due_at` is compared with it on SQLite; a store that nodes on
    several machines share compares with its own clock, by which its nodes go (`NodeStore.clock`).

    `nodes` are the engines that run instances; `kv`, `effects`, `families`, `tenants`, `usage`, `messages`,
    `schedules` and `services` are tables that are not journals, `search` finds instances, and `bulks` are operations
    on many. `poll_ms` is how long a lost notification may stay unnoticed: the store then polls for what it would have
    said (`notifications.Floor`). None: none is ever lost. Every implementation guarantees:

    - A call that writes is one transaction: durable when it returns, without any effect when it raises. Concurrent
      calls may share a transaction, and a refused one does not affect the others.
    - After a call has returned, every call that begins later reads what it wrote.
    - A journal's `seq` counts from 1 without a gap. Its events are immutable, and deleted only with the instance.
    - A row and the events that explain it change together: the row always equals `project` of the journal, except for
      `claim` and `unclaim`, which append no event. The same holds for steps, inbox and keys and values.
    - `execution` never decreases: it fences a replaced worker off from its successor. `key` grows with creation and is
      never reused, not even after a delete.
    - Calls for one instance are serialised: of two, one sees all that the other did. Those that one caller makes
      without waiting run in the caller's order.
    - A call whose task is cancelled may still take effect.
    - A failing database raises StoreError, events that contradict their journal JournalError, and a value that is not
      JSON NotSerialisable.
    """

    nodes: NodeStore
    kv: KvStore
    effects: EffectStore
    families: FamilyStore
    tenants: TenantStore
    usage: UsageStore
    messages: MessageStore
    schedules: ScheduleStore
    services: ServiceStore
    audit: AuditStore
    alerts: AlertStore
    step_bytes: StepBytesStore
    search: SearchStore
    bulks: BulkStore
    poll_ms: int | None

    async def create(
        self,
        instances: Sequence[NewInstance],
        *,
        at: int,
        queued_most: Mapping[str, int] = ANY_NUMBER,
        instead_of: tuple[int, str] | None = None,
        needs: int | None = None,
    ) -> tuple[list[InstanceRow], list[Refusal]]:
        """Create instances, each with its `workflow_queued` event, its further events and its code, in one transaction.

        Returns the rows of those that were created, in order. Ids that exist in their tenant, stay used, or repeat in
        the batch are refused, and their code is not stored; of concurrent calls for one id, one gets it. So is one
        whose `flow` allows one of its key where there is one. Code that is stored already is left unchanged. New
        instances are due at once, unless they are held (flow.py).

        Args:
            queued_most: the most queued instances by tenant; an absent tenant has no limit. It is checked in the
                transaction, before the batch, so a tenant exceeds it by less than one batch, however many nodes create
                at once.
            instead_of: a parent's key and a kind. All its children of this kind must have ended, and are detached from
                it; the caller deletes them, one by one, since each may be large.
            needs: the key of an instance that must exist.

        Raises:
            QueueFull: a tenant of the batch is at its limit; none was created.
            ChildrenUnfinished: a child that these replace has not ended; none was created.
            InstanceNotFound: `needs` has been deleted; none was created.
        """

    async def append(
        self,
        key: int,
        events: Sequence[NewEvent],
        *,
        execution: int | None,
        at: int,
        on_commit: Callable[[Committed], None] | None = None,
        last_seq: int | None = None,
    ) -> Committed:
        """Append events to a journal and project them on the rows, in one transaction that is durable on return.

        Without events nothing is written. `execution` is the fencing token: unless it is None, it must be the
        instance's current execution, and the instance must have an owner and not be final, checked in the transaction.
        The events are stamped with it (None: with the row's current execution, or null before the first).

        `on_commit` is called with the result right after the commit, before this returns, perhaps on another thread,
        for an acknowledgement that should not wait for its turn on the event loop. It must be quick and thread-safe. If
        it raises, that is reported, and the commit stands.

        `last_seq` is the expected version: where the journal has another last seq, nothing is written and the result
        has no events.

        Raises:
            Fenced: the execution is no longer current, the instance has no owner, or it is final; nothing was written.
            InstanceNotFound: there is no such instance.
        """

    async def decide(self, key: int, decider: Decider, *, execution: int | None, at: int) -> Committed:
        """As `append`, with events that `decider` computes from the instance's state inside the transaction.

        What `needs_of(decider)` names is read first, and does not change before the events are written: an
        implementation locks the instance's row, or sees that its `last_seq` has moved and decides again. So a decider
        must be pure, since it may be called more than once, and quick, since others wait. What it raises is raised
        here. When it raises or returns no events, nothing is written.
        """

    async def claim(
        self,
        owner: str,
        limit: int,
        *,
        at: int,
        limits: ClaimLimits = NO_LIMITS,
        closed: Sequence[tuple[str, str]] = (),
    ) -> Claimed:
        """Claim up to `limit` due instances: set their `owner` and increment their `execution`. Appends no event.

        Due are instances without an owner whose `due_at` is `at` or earlier. No instance goes to two claims. Those that
        ran before (not `fresh`) come first, longest due first; then new ones, round robin over queues, by priority and
        oldest first within a queue. Before all that, held instances whose turn has come are admitted. `limits` are
        checked against what runs and was claimed on all nodes, in the same transaction. `closed` are (tenant, workflow)
        to skip. The cost does not grow with the number of queued instances.

        Raises:
            NodeLost: the lease of `owner` has expired.
        """

    async def unclaim(self, key: int, *, execution: int) -> None:
        """Return a claimed instance that never got a worker to its state before `claim`, except for `execution`.

        Raises:
            Fenced: the execution is no longer current, or has had a worker.
            InstanceNotFound: there is no such instance.
        """

    async def next_due(self, after: int | None = None) -> int | None:
        """The next `due_at` of instances without an owner, or time at which one that is held may be admitted; or None.

        With `after`, the next one after that time.
        """

    async def place(self, row: InstanceRow, *, at: int) -> Place:
        """Where a held instance with a key stands."""

    async def ahead(self, row: InstanceRow, *, at: int) -> int:
        """How many go before an instance that waits for a worker, at most AHEAD_MOST: of those that woke, and of the
        new ones of its own lane. Those of other lanes, with which it takes turns, are not counted.
        """

    async def oldest_due(self) -> int | None:
        """The earliest `due_at` of instances without an owner, for metrics; None when there is none.

        Cheap however many are queued: of the new instances of a queue it reads only the next to be claimed, which is
        the oldest unless one was restarted.
        """

    @property
    def product(self) -> tuple[str, str]:
        """The database that it stands on, for people: its name and its version."""

    @property
    def metrics(self) -> StoreMetrics:
        """Commits, events and times since the store was opened."""

    async def health(self) -> StoreHealth:
        """What the database says of itself, for operators; takes a few milliseconds."""

    async def load(self, key: int) -> History:
        """A consistent read of an instance with all its steps and its inbox.

        Raises:
            InstanceNotFound: there is no such instance.
            CannotDecrypt: a result is encrypted with a key that this server lacks.
        """

    async def step(self, row: InstanceRow, step: StepKey) -> StepRow | None:
        """A step of an instance's generation, without its result; None when it has not started."""

    async def open_waits(self, keys: Sequence[int], *, limit: int) -> Mapping[int, Sequence[StepRow]]:
        """The waits for an event that are open in the instances of these keys, of each oldest first: the first `limit`
        in all, those of the newest instances first.
        """

    async def row(self, key: int) -> InstanceRow:
        """The instance of this key. Raises InstanceNotFound."""

    async def find(self, tenant: str, id: str) -> InstanceRow:
        """The instance of this tenant and id.

        Raises:
            InstanceNotFound: there is none.
            InstanceExpired: it was deleted for its age, and its id stays used.
        """

    async def events(self, key: int, *, after: int, limit: int) -> list[Event]:
        """Journal events with seq > `after`, oldest first; none where there is no such instance."""

    async def events_json(
        self, key: int, *, after: int, limit: int, types: Collection[str] | None = None
    ) -> list[tuple[int, str, bytes]]:
        """As `events`, each as (seq, type, JSON in the form of `Event.as_json`), for streams: nothing is parsed. With
        `types`, only events of these types.

        When values are large it returns fewer than `limit`, but always one while there are more.
        """

    def subscribe(self, key: int) -> AbstractAsyncContextManager[Callable[[int], Awaitable[int]]]:
        """Subscribe to a journal, for a caller that waits for one commit after the other.

        Yields `wait(seq)`, which returns the last committed seq once it is greater than `seq`. No commit is missed,
        whichever process makes it. Entering raises InstanceNotFound, and so does `wait` once the instance is deleted.
        """

    def listen(self, key: int, listener: Callable[[int | None], None]) -> Callable[[], None]:
        """Call `listener` on the event loop with the last committed seq after each commit to a journal, by any process.

        None: the instance was deleted. A hint, late by `poll_ms` at most: the listener reads the journal by seq.
        Returns a function that unsubscribes, which may be called more than once.
        """

    def listen_ended(self, listener: Callable[[Sequence[int]], None]) -> Callable[[], None]:
        """Call `listener` on the event loop with the keys of instances that have ended by a commit of this process.

        Those that are in no family may be left out: no row says of them that somebody waits for their end, or that they
        wait for another's.

        Returns a function that unsubscribes.
        """

    def listen_due(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener` on the event loop when a commit leaves a claimable instance, with the time it falls due.

        A hint, as `listen`.
        """

    def listen_sent(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener` on the event loop when messages were sent, by a commit to a journal or by `messages`, with
        the time at which the first of them falls due.

        A hint, as `listen`.
        """

    async def list(
        self,
        tenant: str | None,
        *,
        status: str | None = None,
        workflow: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[InstanceRow]:
        """Instances, newest first: by key, descending, keys < `before`.

        `tenant` None: of every tenant. `workflow` filters by the workflow's name, and requires a tenant.
        """

    async def children(self, key: int, kind: str, *, limit: int = 50) -> Sequence[Child]:
        """The instances derived from one in a certain way (`trigger["kind"]`), newest first."""

    async def count(self, *, tenant: str | None = None, queue: str | None = None) -> dict[str, int]:
        """The number of instances by status, without zeros; cheap enough for every create()."""

    async def delete(self, key: int) -> None:
        """Delete an instance of any status with everything of its own: rows, journal, effects, keys and values.

        Its worker's calls then raise InstanceNotFound. Its id may be used again, its key never. Shared data stays: its
        code, its tenant's keys and values. Raises InstanceNotFound.
        """

    async def expire(self, before: int, limit: int = 100, *, chaos: bool = False, retained: bool = False) -> int:
        """Delete instances that ended before a time, with `chaos` only those of chaos runs; returns how many. With
        `retained`, delete those whose own retention was over before that time.

        Oldest end first, and fewer than `limit` when they are large, so that no other commit waits long; 0: none is
        left. The id of a tenant's instance stays used if the tenant chose it.
        """

    async def take_chore(self, name: str, *, at: int, until: int) -> bool:
        """Take a periodic job that one node does for all; no other node can take it until `until`.

        False: another node has it until later than `at`.
        """

    async def forget_used_ids(self, before: int, limit: int = 1_000) -> int:
        """Make the ids of deleted instances that ended before a time available again; returns how many."""

    async def delete_ended(self, tenant: str, limit: int = 100) -> int:
        """Delete instances of a tenant that have ended; returns how many. As `expire`, but no id stays used."""

    async def put_snippet(self, source: str, params: str | None, *, at: int) -> Snippet:
        """Store code and params under their hash; storing them again changes nothing and returns the stored snippet.

        A snippet is immutable and never deleted, so any process may cache it.
        """

    async def snippet(self, id: str) -> Snippet | None:
        """The snippet of this id, or None."""

    async def shrink(self) -> None:
        """Release caches. For idle times: the next calls are a little slower."""

    async def close(self) -> None:
        """Commit what was submitted, then close; later calls raise StoreError."""
