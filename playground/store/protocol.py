"""What every database behind the playground offers. SQLite is the first; PostgreSQL is to be the second.

The journal is the truth: rows (`InstanceRow`, `StepRow`, `InboxRow`) are a projection of it, kept because replay and
scheduling need them fast, and they change in the transaction that adds the events which explain the change (see
`projection.py`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from playground.store.metrics import StoreMetrics
from playground.store.rows import (
    Child,
    InboxRow,
    InstanceRow,
    NewInstance,
    Snippet,
    StepRow,
)
from playground.store.tables import EffectStore, KvStore, TenantStore, UsageStore
from playground.workflows.events import Event, NewEvent, StepKey


@dataclass(frozen=True, slots=True)
class Needs:
    """What a decider wants read before it runs, besides the row, the open steps and the inbox."""

    steps: Sequence[StepKey] = ()  # certain steps, with their results
    keys: bool = False  # the keys of all steps
    pending_rollback: bool = False  # whether any step has a rollback handler that has not begun


NO_NEEDS = Needs()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An instance in its current generation, as a decider sees it: read in one transaction, before the decider runs.

    `open` are the steps under way, by start, perhaps without results, and `inbox` the events that nobody has consumed,
    oldest first. The other three are there only where `Needs` asked for them: `named` has each step that was named
    (None: it has not started), `keys` all steps that have started.
    """

    row: InstanceRow
    named: Mapping[StepKey, StepRow | None]
    inbox: Sequence[InboxRow]
    open: Sequence[StepRow]
    keys: frozenset[StepKey] | None = None
    pending_rollback: bool | None = None

    def step(self, key: StepKey) -> StepRow | None:
        """A step that the decider's needs name, with its result; None when it has not started."""
        assert key in self.named, f"a decider that looks at step {key} names it in its needs"
        return self.named[key]


@dataclass(frozen=True, slots=True)
class History:
    """Everything that replay needs of an instance: its row, the steps of its current generation and its inbox.

    All of it is read in one transaction. Steps come by start, with their results; events that nobody has consumed,
    oldest first.
    """

    row: InstanceRow
    steps: Mapping[StepKey, StepRow]
    inbox: Sequence[InboxRow]

    @property
    def open(self) -> Sequence[StepRow]:
        """The steps under way, by start."""
        return [step for step in self.steps.values() if step.is_open]


class Lease(NamedTuple):
    """A node's right to own instances.

    `owner` names this life of the node in the rows that it owns; `lasts_ms` None: as long as the process lives.
    """

    name: str
    boot: int
    lasts_ms: int | None

    @property
    def owner(self) -> str:
        """What stands in the rows of the instances that it owns."""
        return f"{self.name}.{self.boot}"


class NodeStore(Protocol):
    """The engines ("nodes") that play the instances of a store, each with a lease, in the store's own clock.

    An instance belongs to its owner while the owner's lease lasts. After that anybody may take it over: close what it
    left open, so that whatever it still writes is fenced, and let it be claimed again.
    """

    async def join(self, name: str, lasts_ms: int) -> Lease:
        """Begin a new life of a node, numbered from 1, with a lease; one that an earlier life of this name still has
        ends.

        The lease that is given lasts as the store says, which may be for good.
        """

    async def renew(self, lease: Lease) -> int | None:
        """Let a lease last anew.

        Gives in how many milliseconds the first lease of another node ends, None where none does.

        Raises:
            NodeLost: it is over already.
        """

    async def leave(self, lease: Lease) -> None:
        """End a lease at once; one that is over already is no error."""

    async def abandoned(self, limit: int) -> Sequence[InstanceRow]:
        """Instances whose owner's lease is over."""


class Committed(msgspec.Struct, frozen=True):
    """What a commit wrote: the events as they stand in the journal, and the row after them."""

    events: Sequence[Event]
    row: InstanceRow


@dataclass(frozen=True, slots=True)
class Refusal:
    """One entry of a batch that was not created: its place in the batch, its id and why."""

    index: int
    id: str
    code: str


class QueueLimit(NamedTuple):
    """How many instances of a queue may have a worker at once, and be claimed in a second (None: any number), on all
    nodes together.
    """

    running: int
    starts_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """The limits of every queue: its own, else those of the first prefix that its name has, else `default` (None: no
    limit).

    `only_idle`: queues of which something runs take nothing, the others one each.
    """

    default: QueueLimit | None = None
    prefixes: Sequence[tuple[str, QueueLimit]] = ()
    own: Mapping[str, QueueLimit] = field(default_factory=dict)
    only_idle: bool = False

    def of(self, queue: str) -> QueueLimit | None:
        """The limit of a queue."""
        found = self.own.get(queue)
        if found is None:
            found = next((limit for prefix, limit in self.prefixes if queue.startswith(prefix)), self.default)
        return found


NO_LIMITS = ClaimLimits()
ANY_NUMBER: Mapping[str, int] = {}  # of instances that may be queued


class Claimed(NamedTuple):
    """What a claim took.

    `again_at` is when more may be claimed of queues that have begun as many as they may in this second, None without
    any.
    """

    rows: Sequence[InstanceRow]
    again_at: int | None = None


# What an operation or a worker's end means for an instance: a pure function of what was read of it.
Decider = Callable[[Snapshot], Sequence[NewEvent]]


@dataclass(frozen=True, slots=True)
class DeciderWithNeeds:
    """A decider that wants more read than every decider gets."""

    decide: Decider
    needs: Needs

    def __call__(self, snapshot: Snapshot) -> Sequence[NewEvent]:
        return self.decide(snapshot)


def needs_of(decider: Decider) -> Needs:
    """What to read for a decider, which may be a plain function. Whoever wraps a decider passes this on."""
    needs: Needs = getattr(decider, "needs", NO_NEEDS)
    return needs


class Store(Protocol):
    """A journal store. Every method may be called from the event loop; none blocks it.

    `at` is epoch milliseconds by the caller's clock. `due_at` and `until` are compared with it, so that a store that
    nodes on several machines share goes by its own clock in its place.

    `nodes` are the engines that play instances; `kv`, `effects`, `tenants` and `usage` are what it keeps beside the
    journals; `metrics` what it has done since it was opened. What every implementation promises:

    - A call that writes is one transaction: all of it is durable when it returns, and nothing of it was written when it
      raises. Calls that come together may share a transaction, and one that is refused does not disturb the others.
    - Whoever has seen a call return finds what it wrote in every call that begins afterwards.
    - A journal's `seq` counts from 1 without a gap. Its events are never changed, and only removed with the instance.
    - A row and the events that explain it change together: the row is always `project` of the journal, but for what
      `claim` and `unclaim` do, which have no event. The same holds for steps, inbox and keys and values.
    - `execution` only grows, whatever happens to the instance: it is what tells a worker that was replaced from its
      successor. `key` grows with creation and is never given twice, also not after a delete.
    - Of two calls for one instance, one sees all that the other did. Of several by one caller, who waits for none of
      them, the earlier is first.
    - A call whose task is cancelled may be carried out all the same.
    - A database that fails raises StoreError, events that cannot follow from their journal JournalError, and a value
      that is not JSON NotSerialisable.
    """

    nodes: NodeStore
    kv: KvStore
    effects: EffectStore
    tenants: TenantStore
    usage: UsageStore

    async def create(
        self,
        instances: Sequence[NewInstance],
        *,
        at: int,
        queued_most: Mapping[str, int] = ANY_NUMBER,
        instead_of: tuple[int, str] | None = None,
        needs: int | None = None,
    ) -> tuple[list[InstanceRow], list[Refusal]]:
        """Add instances, each with its `workflow_queued` event, its further events and its code, in one transaction.

        Gives the rows of those that were added, in their order. Ids that are taken in their tenant, stay used, or come
        a second time in the batch, are left out and reported, and their code is not stored; of calls at once for one
        id, one gets it. Code that is stored already stays as it is. New instances are due at once.

        Args:
            queued_most: how many instances a tenant may have queued; one that is absent has no limit. It is checked in
                the transaction, before any of the batch, so that a tenant passes it by less than a batch at most,
                however many nodes create at once.
            instead_of: a parent's key and a kind. All its children of this kind must have ended, and are its children
                no more; the caller deletes them, one by one, since each may be large.
            needs: the key of an instance that must still be there.

        Raises:
            QueueFull: a tenant of the batch has as many queued as it may; none was added.
            ChildrenUnfinished: one of those that these are instead of has not ended; none was added.
            InstanceNotFound: the one that these need has been deleted; none was added.
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
        """Add events to a journal and project them on the rows, in one transaction that is durable when this returns.

        Without events nothing is written. `execution` is the fence: when it is not None it must be the instance's
        current execution, and the instance must have an owner and not be final, in the transaction that writes. It is
        also what the events are stamped with (None: the row's current execution, or null before the first).

        `on_commit` is called with what was committed right after the commit, perhaps on another thread, before this
        returns: for an acknowledgement that should not wait for its turn on the event loop. It must be quick and safe
        to call from any thread. What it raises is reported, and the commit stands.

        `last_seq` is the expected version: where the journal has another last seq, nothing is written and what is given
        back has no events.

        Raises:
            Fenced: the execution is no longer current, the instance has no owner any more, or it is final; nothing was
            written. InstanceNotFound: there is no such instance.
        """

    async def decide(self, key: int, decider: Decider, *, execution: int | None, at: int) -> Committed:
        """Like `append`, with the events computed from the instance's state inside the transaction.

        What `needs_of(decider)` says is read first, and nothing that was read changes before the events are written: an
        implementation holds the instance's row locked, or finds out that its `last_seq` has moved, and decides again.
        So a decider is pure and may be called more than once, and it is quick, since others wait. What it raises is
        raised here and nothing is written. No events: nothing is written.
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
        """Take up to `limit` instances that are due: `owner` becomes theirs and `execution` one more.

        No event is written.

        Due are those without an owner whose `due_at` is `at` or earlier. None is given to two claims. Those that ran
        before (not `fresh`) go first, oldest due first; then new ones, queues taking turns, oldest first within a
        queue. `limits` are held against what runs and has begun on all nodes, in the same transaction. `closed` are
        (tenant, workflow) to pass over. The cost does not grow with how many are queued.

        Raises:
            NodeLost: the lease of `owner` is over.
        """

    async def unclaim(self, key: int, *, execution: int) -> None:
        """Give a claimed instance back as it was before `claim`, when it never got a worker; its number stays used.

        Raises:
            Fenced: the execution is no longer current, or has had its worker.
            InstanceNotFound: there is no such instance.
        """

    async def next_due(self, after: int | None = None) -> int | None:
        """When the next instance without an owner is due, or None; with `after`, the next that is due after that."""

    async def oldest_due(self) -> int | None:
        """When the instance that is due for longest, and has no owner, fell due; None when there is none.

        Cheap however many are queued.

        Of the new instances of a queue the next to go is looked at, which is the oldest unless one was restarted.
        """

    @property
    def product(self) -> tuple[str, str]:
        """The database that it stands on, for people: its name and its version."""

    @property
    def metrics(self) -> StoreMetrics:
        """Commits, events and times since the store was opened."""

    async def load(self, key: int) -> History:
        """The instance with all its steps and its inbox, as they stood at one moment.

        Raises:
            InstanceNotFound: there is no such instance.
            CannotDecrypt: a result is encrypted with a key that is not given.
        """

    async def find(self, tenant: str, id: str) -> InstanceRow:
        """The instance of this tenant and id.

        Raises:
            InstanceNotFound: there is none.
            InstanceExpired: there was one, which was removed for its age and whose id stays used.
        """

    async def events(self, key: int, *, after: int, limit: int) -> list[Event]:
        """Journal events with seq > after, oldest first; none for an instance that is not there."""

    async def events_json(self, key: int, *, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        """The same, each as (seq, type, its JSON as `Event.as_json` encodes), for streams: stored text is not parsed
        again.

        When values are large it gives fewer than `limit`, but never none before the end.
        """

    def subscribe(self, key: int) -> AbstractAsyncContextManager[Callable[[int], Awaitable[int]]]:
        """Watch a journal grow, as `listen` for who waits in between.

        Gives `wait(seq)`, which returns the last committed seq once it is greater than `seq`. No commit is missed,
        whichever process makes it. Entering raises InstanceNotFound, and so does `wait` once the instance is deleted.
        """

    def listen(self, key: int, listener: Callable[[int | None], None]) -> Callable[[], None]:
        """Call `listener` on the event loop with the last committed seq after each commit to a journal.

        That is whoever makes the commit; None says that the instance is deleted. A hint: what is to be done is read by
        seq. Gives what ends it, which may be called again.
        """

    def listen_due(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Call `listener` on the event loop when a commit leaves an instance that may be claimed.

        It is given the time at which the instance falls due. A hint, as `listen`.
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
        """Instances, newest first (by key, descending, keys < before); with `workflow` only those of a workflow's name.

        `tenant` None means anybody's; a workflow is only named together with its tenant.
        """

    async def children(self, key: int, kind: str, *, limit: int = 50) -> Sequence[Child]:
        """The instances made from one in a certain way (`trigger["kind"]`), newest first."""

    async def count(self, *, tenant: str | None = None, queue: str | None = None) -> dict[str, int]:
        """How many instances there are by status, without zeros; cheap enough to ask at every create()."""

    async def delete(self, key: int) -> None:
        """Remove an instance and everything of it: rows, journal, effects, and keys and values of its own.

        It may be of any status; whoever runs it gets InstanceNotFound from then on. Its id may be given again, its key
        is not. What is shared stays: its code, its tenant's keys and values. Raises InstanceNotFound.
        """

    async def expire(self, before: int, limit: int = 100, *, chaos: bool = False) -> int:
        """Remove instances that ended before a time, with `chaos` only those of chaos runs; returns how many.

        Those that ended first go first, fewer than `limit` when they are large, so that no other commit waits long; 0
        means that none is left. Of a tenant's instance whose id was chosen, the id stays used.
        """

    async def take_chore(self, name: str, *, at: int, until: int) -> bool:
        """Take something that one node does for all from time to time; it stays taken until `until`.

        False when somebody has it until later than `at`.
        """

    async def forget_used_ids(self, before: int, limit: int = 1_000) -> int:
        """Let ids of removed instances that ended before a time be given again; returns how many."""

    async def delete_ended(self, tenant: str, limit: int = 100) -> int:
        """Remove instances of a tenant that have ended; returns how many. As `expire`, but no id stays used."""

    async def put_snippet(self, source: str, params: str | None, *, at: int) -> Snippet:
        """Store code and params under their hash; storing again changes nothing and gives what was stored first.

        A snippet is never changed nor removed, so that any process may hold it in memory.
        """

    async def snippet(self, id: str) -> Snippet | None:
        """The snippet of this id; None when none is stored."""

    async def shrink(self) -> None:
        """Give back memory that is held only for speed. For when nothing runs: what comes next is a little slower."""

    async def close(self) -> None:
        """Commit what was handed in, then close; later calls fail."""
