"""The rules that a run is held to, on the way and at its end. A broken one raises `Broken`.

On the way, at every commit: an execution commits only while it is the current one and its owner has it, or a node that
takes over from an owner without a lease; only a node with a lease claims; no queue exceeds its limit over all nodes.
Whenever time is about to move: no node that runs has a worker without a lease; a worker whose execution has been
replaced is stopped within the floor poll; what is due is claimed within the floor poll while a node is free; what a
node has by a claim, it plays; what is committed is streamed within the floor poll, through any node; what a dead or
frozen node had is taken over within its lease and half a second; the end of a child is in its parent's journal within
two renewals of a lease, through any node.

At the end: every instance has ended as it would have undisturbed; its journal has no gap, each step ended once, and the
rows are the projection of the journal; no callback ran again once its step was committed, but in a worker that was
replaced; and an effect is doubled only where the journal shows why. The same holds of each child; besides, none goes on
that nobody waits for, and each step of a parent's generation has created one at most.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from folds_support import Rows, rows_say, state_says

from playground.engine.execution.execution import Execution
from playground.engine.families import GATHER_MS
from playground.engine.nodes import BEATS_PER_LEASE
from playground.store.encoding import as_objects
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound
from playground.workflows.events import Event
from playground.workflows.state import State
from simulation.loop import SimulationLoop
from simulation.network import EPOCH_MS
from simulation.programs import Effect, Ledger, expected_output, steps_of
from simulation.store import SimulatedStore, call_now

if TYPE_CHECKING:
    from simulation.nodes import Boot

TAKEN_OVER_MS = 500  # after the end of a lease
RETRY_MS = 1_000  # what the engine waits after a failed claim or commit
TENANT = "acme"  # of all instances


class Broken(Exception):
    """A rule was broken; the message says which, by whom, and when."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How late things may be in one run, in milliseconds. `lease_ms` is as the nodes have it.

    `slow_ms` is what the network may add to one thing that takes several calls. `lossy`: it loses some of them, so that
    how long taking over may take is anybody's guess.
    """

    lease_ms: int
    poll_ms: int
    slow_ms: float
    lossy: bool

    @property
    def claimed_ms(self) -> float:
        """From due to claimed, with a free node."""
        return self.poll_ms + 2 * RETRY_MS + self.slow_ms

    @property
    def stopped_ms(self) -> float:
        """From the end of an execution, by whomever, to the end of its worker."""
        return self.poll_ms + self.slow_ms

    @property
    def played_ms(self) -> float:
        """From a claim to its execution: the answer, or two renewals and what follows them."""
        return 2 * self.lease_ms / BEATS_PER_LEASE + 2 * RETRY_MS + 2 * self.slow_ms


@dataclass
class Planned:
    """One instance of a run: its plan, and whether it may be terminated."""

    id: str
    plan: list[Any]
    may_be_terminated: bool = False


@dataclass(slots=True)
class Follower:
    """Somebody who follows a journal through a boot `since` a time, as a stream does, and has it up to `seq`."""

    boot: "Boot"
    key: int
    seq: int
    since: int


class Referee:
    """Watches one run. `tried` counts for each rule how often it could have been broken."""

    def __init__(
        self, loop: SimulationLoop, store: SimulatedStore, ledger: Ledger, bounds: Bounds, running_most: int
    ) -> None:
        self._loop, self._store, self._ledger = loop, store, ledger
        self.bounds, self._running_most = bounds, running_most
        self.boots: list[Boot] = []
        self.broken: Broken | None = None
        self.tried: Counter[str] = Counter()
        self._call: tuple[Boot, str, int | None] | None = None  # the call that the database carries out
        self._waiting: dict[int, InstanceRow] = {}  # without an owner, and due at some time
        self._owned: dict[int, InstanceRow] = {}
        self._replaced: dict[tuple[int, int], int] = {}  # when an execution ended or lost its owner
        self._starving: dict[int, int] = {}  # since when an instance is due while a node is free
        self._unplayed: dict[tuple[int, int], int] = {}  # since when a node has an execution and does not play it
        self.followers: list[Follower] = []
        self._grown: dict[int, list[tuple[int, int]]] = {}  # last seqs of each journal, and when
        store.on_change = self._on_change
        loop.at_rest = self._at_rest

    def report(self, message: str) -> None:
        """A rule is broken. The first one counts; the run ends with it."""
        if self.broken is None:
            self.broken = Broken(f"at {self._loop.now_ms() / 1000:.3f} s: {message}")

    # On the way.

    def before_call(self, boot: "Boot", name: str, options: Mapping[str, Any]) -> None:
        """A node's call has reached the database."""
        self._call = boot, name, options.get("execution")

    def _on_change(self, before: InstanceRow | None, after: InstanceRow) -> None:
        now = self._loop.now_ms()
        for rows, belongs in (
            (self._waiting, after.owner is None and after.due_at is not None),
            (self._owned, after.owner is not None),
        ):
            if belongs:
                rows[after.key] = after
            else:
                rows.pop(after.key, None)
        if before is None or after.last_seq > before.last_seq:
            self._grown.setdefault(after.key, []).append((after.last_seq, now))
        if after.status in ev.FINAL_STATUSES and (before is None or before.status not in ev.FINAL_STATUSES):
            late = self.bounds.played_ms + GATHER_MS
            self._loop.call_later(late / 1000, self._check_brought, after.key, now)
        if after.key not in self._waiting:
            self._starving.pop(after.key, None)
        if before is None or self._call is None:
            return
        boot, name, execution = self._call
        if name in ("append", "decide") and execution is not None:
            self._check_fence(boot, execution, before)
        elif name == "claim":
            self._check_claim(before, after, now)
        if before.owner is not None and (after.owner != before.owner or after.execution != before.execution):
            self._replaced[before.key, before.execution] = now

    def _check_fence(self, boot: "Boot", execution: int, before: InstanceRow) -> None:
        self.tried["fence"] += 1
        what = f"{boot} committed to {before.id} as execution {execution}"
        if before.execution != execution:
            self.report(f"{what}, which execution {before.execution} has replaced")
        elif before.owner is None:
            self.report(f"{what}, which nobody has")
        elif before.owner not in boot.owners:
            self.tried["take-over"] += 1
            if self._has_lease(before.owner):
                self.report(f"{what}, which {before.owner} has, with a lease")

    def _check_claim(self, before: InstanceRow, after: InstanceRow, now: int) -> None:
        if not self._has_lease(after.owner):
            self.report(f"{after.owner} claimed {after.id} without a lease")
        if before.owner is not None:
            self.report(f"{after.owner} claimed {after.id}, which {before.owner} has")
        running = self._running(after.queue)
        self.tried["limit"] += running == self._running_most
        if running > self._running_most:
            self.report(f"{running} instances of queue {after.queue!r} run; its limit is {self._running_most}")

    def _running(self, queue: str) -> int:
        return sum(row.queue == queue for row in self._owned.values())

    def _has_lease(self, owner: str | None) -> bool:
        end = None if owner is None else self._store.lease_end(owner)
        return end is not None and end > self._loop.now_ms()

    def _at_rest(self) -> None:
        """Time is about to move."""
        now = self._loop.now_ms()
        for boot in self.boots:
            if boot.runs:
                boot.note_freedom(now)
                for execution in boot.executions():
                    self._check_worker(boot, execution, now)
        for follower in self.followers:
            self._check_follower(follower, now)
        for row in self._owned.values():
            self._check_played(row, now)
        for row in self._waiting.values():
            self._check_claimed(row, now)
        if self.broken is not None:
            raise self.broken

    def _check_worker(self, boot: "Boot", execution: Execution, now: int) -> None:
        worker, row = execution.worker, execution.row
        if worker is None or not worker.alive:  # type: ignore[attr-defined]
            return
        if not self._has_lease(row.owner):
            self.report(f"{boot} plays {row.id} and has no lease")
        since = self._replaced.get((row.key, row.execution))
        if since is not None and not boot.connection.is_cut:
            self.tried["replaced"] += 1
            if now - max(since, boot.back_at) > self.bounds.stopped_ms:
                self.report(f"{boot} plays execution {row.execution} of {row.id}, which ended {now - since} ms ago")

    def _check_played(self, row: InstanceRow, now: int) -> None:
        """What a node has, it plays."""
        place = row.key, row.execution
        boot = next((boot for boot in self.boots if boot.is_connected and row.owner in boot.owners), None)
        if boot is None or not self._has_lease(row.owner) or boot.plays(*place):
            self._unplayed.pop(place, None)
            return
        self.tried["played"] += 1
        since = max(self._unplayed.setdefault(place, now), boot.back_at)
        if now - since > self.bounds.played_ms:
            self.report(f"{boot} has {row.id} since {now - since} ms and does not play it")

    def _check_claimed(self, row: InstanceRow, now: int) -> None:
        """What is due is claimed while a node is free."""
        free = [boot.free_since for boot in self.boots if boot.is_free] if (row.due_at or 0) <= EPOCH_MS + now else []
        if not free or self._running(row.queue) >= self._running_most:
            self._starving.pop(row.key, None)
            return
        self.tried["due"] += 1
        since = max(self._starving.setdefault(row.key, now), min(free))
        if now - since > self.bounds.claimed_ms:
            self.report(f"{row.id} has been due for {now - since} ms while a node is free")

    def _check_follower(self, follower: Follower, now: int) -> None:
        """What is committed is streamed, through any node."""
        grown, boot = self._grown.get(follower.key, []), follower.boot
        if not grown or grown[-1][0] <= follower.seq or not boot.is_connected:
            return
        self.tried["streamed"] += 1
        since = max(grown[bisect_right(grown, (follower.seq, now))][1], boot.back_at, follower.since)
        if now - since > self.bounds.stopped_ms:
            self.report(f"{boot} has not streamed event {follower.seq + 1} of {follower.key} for {now - since} ms")

    def expect_take_over(self, owners: Sequence[str], since: int) -> None:
        """What had these owners died or froze then; its lease is over for so long that another must have taken over."""
        others = [boot for boot in self.boots if boot.is_connected and boot.has_lease and boot.well_since <= since]
        if others:
            self.tried["take-over in time"] += 1
            left = [row.id for row in self._owned.values() if row.owner in owners]
            if left:
                self.report(f"{', '.join(left)} is left to {owners[-1]}, which was gone at {since / 1000:.3f} s")

    def _check_brought(self, key: int, since: int) -> None:
        """This instance ended then; who waited for it has its end."""
        boots = [boot for boot in self.boots if boot.is_connected and boot.has_lease and boot.well_since <= since]
        if not boots or self.bounds.lossy or origin_of(self._store, key) is None:
            return
        self.tried["brought"] += 1
        for child in call_now(self._store.families.of([key])):
            if child.key == key and child.ended:
                self.report(f"{child.id} ended at {since} ms, and {child.awaited.parent} has not its end")

    # At the end.

    def check_end(self, planned: Planned, *, isolated: bool) -> None:
        """An instance must have ended as planned."""
        try:
            row: InstanceRow = call_now(self._store.find(TENANT, planned.id))
        except InstanceNotFound:
            self.report(f"{planned.id} is lost")
            return
        journal: list[Event] = call_now(self._store.events(row.key, after=0, limit=100_000))
        self._check_journal(row, journal)
        if row.status == ev.COMPLETE:
            state = State()
            for event in journal:
                state.apply(event)
            if state.output != expected_output(planned.plan):
                self.report(f"{planned.id} gave {state.output}, not {expected_output(planned.plan)}")
            self._check_steps(planned, journal)
        elif not (row.status == ev.TERMINATED and planned.may_be_terminated):
            self.report(f"{planned.id} is {row.status}: {row.error}")
        if not isolated:
            self._check_effects(planned.id, journal, [it for it in self._ledger.effects if it.instance == planned.id])

    def check_children(self, *, isolated: bool) -> None:
        """Every child must have ended as planned, or have been ended since nobody waits for it any more."""
        made: Counter[tuple[str, str]] = Counter()
        for row in list(self._store.rows.values()):
            origin = origin_of(self._store, row.key)
            if origin is None:
                continue
            parent_id, step = origin
            made[origin] += 1
            parent: InstanceRow = call_now(self._store.find(TENANT, parent_id))
            journal: list[Event] = call_now(self._store.events(parent.key, after=0, limit=100_000))
            restarts = [event.seq for event in journal if event.type == ev.WORKFLOW_RESTARTED]
            if made[origin] > 1 + len(restarts):
                self.report(f"step {step} of {parent_id} has run {made[origin]} children in {1 + len(restarts)} turns")
            begins = max(restarts, default=0)
            wanted = any(
                event.type == ev.CHILD_COMPLETED and event.seq > begins and event.key.name == step for event in journal
            ) and any(
                event.type == ev.CHILD_STARTED and event.seq > begins and event.data["child"] == row.id
                for event in journal
            )
            self.tried["children"] += 1
            self.check_end(Planned(row.id, as_objects(row.params), not wanted), isolated=isolated)

    def _check_journal(self, row: InstanceRow, journal: Sequence[Event]) -> None:
        if [event.seq for event in journal] != list(range(1, row.last_seq + 1)):
            self.report(f"the journal of {row.id} has a gap")
        executions = [event.execution or 0 for event in journal]
        if executions != sorted(executions):
            self.report(f"the journal of {row.id} has events of an execution behind those of a later one")
        projected, state = Rows(journal[0]), State()
        state.apply(journal[0])
        for event in journal[1:]:
            projected.take(event)
            state.apply(event)
        stored = call_now(self._store.load(row.key))
        kept = Rows(journal[0])
        kept.row, kept.steps = stored.row, dict(stored.steps)
        shown = rows_say(kept)
        if shown != rows_say(projected) or shown != state_says(state):
            self.report(f"the row of {row.id} is not the projection of its journal")

    def _check_steps(self, planned: Planned, journal: Sequence[Event]) -> None:
        begins = max((it.seq for it in journal if it.type == ev.WORKFLOW_RESTARTED), default=0)
        ended = Counter(
            event.key.name
            for event in journal
            if event.seq > begins and event.step is not None and event.type in _STEP_ENDS
        )
        for part in steps_of(planned.plan):
            if ended[part[1]] != 1:
                self.report(f"step {part[1]} of {planned.id} ended {ended[part[1]]} times")

    def _check_effects(self, id: str, journal: Sequence[Event], effects: Sequence[Effect]) -> None:
        generation = 1
        of_execution: dict[int | None, int] = {}  # the generation of each
        ended: dict[tuple[int, str], Event] = {}
        attempts: Counter[tuple[int | None, str]] = Counter()  # by execution
        disturbed: set[int] = set()  # executions that did not end by themselves
        for event in journal:
            if event.type == ev.WORKFLOW_RESTARTED:
                generation += 1
            elif event.type == ev.EXECUTION_STARTED:
                of_execution[event.execution] = generation
            elif event.type == ev.EXECUTION_ENDED and event.data["reason"] not in (ev.COMPLETED, ev.HIBERNATED):
                disturbed.add(event.execution or 0)
            elif event.type == ev.STEP_COMPLETED:
                ended[generation, event.key.name] = event
            elif event.type == ev.ATTEMPT_STARTED:
                attempts[event.execution, event.key.name] += 1
        seen = Counter((effect.execution, effect.step) for effect in effects if effect.execution in of_execution)
        self.tried["effects"] += len(effects)
        for effect in effects:
            place = of_execution.get(effect.execution)
            if place is None:
                continue  # its worker began, and nothing of it was committed
            end = ended.get((place, effect.step))
            began_after = end is not None and effect.at > end.at - EPOCH_MS
            if began_after and end is not None and effect.execution >= (end.execution or 0):
                self.report(f"{id}: {effect} after the end of its step was committed (event {end.seq})")
        for (execution, step), times in seen.items():
            if times > attempts[execution, step] and execution not in disturbed:
                tried = attempts[execution, step]
                self.report(f"{id}: {times} effects of step {step} in execution {execution}, and {tried} attempts")


def origin_of(store: SimulatedStore, key: int) -> tuple[str, str] | None:
    """The id of the parent whose step started an instance, and the step's name; None: nobody's child."""
    [queued] = call_now(store.events(key, after=0, limit=1))
    trigger = queued.data["trigger"]
    is_child = isinstance(trigger, dict) and trigger["kind"] == ev.CHILD
    return (trigger["of"], trigger["step"]["name"]) if is_child else None


_STEP_ENDS = {
    ev.STEP_COMPLETED, ev.STEP_ERRORED, ev.SLEEP_COMPLETED, ev.SLEEP_CANCELLED, ev.WAIT_COMPLETED, ev.WAIT_CANCELLED,
    ev.WAIT_TIMED_OUT, ev.CHILD_COMPLETED, ev.CHILD_ERRORED, ev.CHILD_CANCELLED,
}  # fmt: skip
