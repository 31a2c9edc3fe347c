"""Chaos runs: an instance is run again once for each commit that it made, with the worker killed before that commit.

The reruns are children of the instance: one without a kill, to see what the code does by itself, then one for each
commit. They start with the events that the original received, and no wait takes any time. They have no token, so nobody
controls them. The number of commits is known of an instance that has ended; of one that still runs, once the rerun
without a kill has ended.

Any node may start and continue a chaos run, since all its state is in the rows. New reruns replace the last ones in the
transaction that creates them, which is refused while one of those runs. The reruns with a kill have ids derived from
that of the one without, so the second node to create them creates none.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from playground.engine import queues
from playground.engine.batches import BATCH_MOST
from playground.engine.creation import CreateInstance
from playground.engine.engine import Engine
from playground.engine.execution import faults
from playground.sandbox import frames
from playground.store.encoding import Encoded, as_objects
from playground.store.errors import ChildrenUnfinished
from playground.store.protocol import History
from playground.store.rows import STEP_COMPLETED, STEP_ERRORED, Child, InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import CannotRunChaos, InstanceNotFound, WorkflowError
from playground.workflows.events import NewEvent

KIND = "chaos"  # of the trigger
TOO_EARLY = "This run has not begun, so there is nothing to repeat yet."
RUNNING = "The last chaos run of this run goes on. Another can begin when it is over."
OF_ITS_OWN = "This run belongs to a chaos run; start one from the run that it repeats."


@dataclass(frozen=True, slots=True)
class Repeated:
    """What the reruns of an instance have in common: what it received, in order, and its waits that timed out, as name
    and count.
    """

    events: Sequence[NewEvent]
    timed_out: Sequence[tuple[str, int]]
    commits: int


class ChaosRuns:
    """Starts chaos runs, and finds their instances."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Instances whose reruns with a kill this node will create. Per node on purpose: several may, one does.
        self._following: dict[int, asyncio.Task[Any]] = {}

    async def check(self, row: InstanceRow) -> list[Child]:
        """The reruns of the last time, if there can be others now.

        Raises:
            CannotRunChaos: it has not begun, its last chaos run is unfinished, or it belongs to one.
        """
        if queues.is_chaos(row.queue):
            raise CannotRunChaos(OF_ITS_OWN)
        if row.started_at is None:
            raise CannotRunChaos(TOO_EARLY)
        before = await self.children(row)
        if is_unfinished(before):
            self.follow(row)  # the node that followed it may be gone
            raise CannotRunChaos(RUNNING)
        return before

    async def start(self, row: InstanceRow, queue: str) -> None:
        """Run an instance again and again. `queue` is that of whoever asked for it, and is charged for what is stored.

        Raises:
            CannotRunChaos: see `check`.
            Busy: too many instances are queued.
        """
        before = await self.check(row)
        repeated = await self._read_repeated(row)
        final = row.status in ev.FINAL_STATUSES
        numbers = faults.spread_over_commits(repeated.commits, self.most) if final else []
        try:
            await self._create(row, queue, repeated, [None, *numbers])
        except ChildrenUnfinished:
            raise CannotRunChaos(RUNNING) from None
        for child in before:
            with suppress(InstanceNotFound):
                await self._engine.store.delete(child.key)
        if not final:
            self.follow(row)

    async def children(self, row: InstanceRow) -> list[Child]:
        """The reruns of an instance that are kept: the one without a kill, then by number."""
        found = await self._engine.store.children(row.key, KIND, limit=BATCH_MOST)
        return sorted(found, key=lambda child: number_of(child) or 0)

    @property
    def most(self) -> int:
        """How many commits of one run may be killed before."""
        return self._engine.settings.chaos_commits

    def follow(self, row: InstanceRow) -> None:
        """Begin the reruns with a kill, if they are still to come, when the one without has ended. Any node may."""
        if row.key not in self._following:
            task = self._following[row.key] = self._engine.run_in_background(self._create_kill_reruns(row))
            task.add_done_callback(lambda done: self._following.pop(row.key, None))

    async def _create_kill_reruns(self, row: InstanceRow) -> None:
        try:
            await self.create_kill_reruns(row)
        except WorkflowError:
            return  # it has been deleted, or the server is full; who looks at the rows asks for the rest again

    async def create_kill_reruns(self, row: InstanceRow) -> None:
        """Create the reruns with a kill when the one without has ended, unless another node was first.

        Raises:
            InstanceNotFound: it, or its rerun without a kill, has been deleted.
            Busy: too many instances are queued.
        """
        children = await self.children(row)
        if not lacks_kill_reruns(children):
            return
        async with self._engine.store.subscribe(children[0].key) as grown:
            control = await self._engine.store.find(row.tenant, children[0].id)
            while control.status not in ev.FINAL_STATUSES:
                await grown(control.last_seq)
                control = await self._engine.store.find(row.tenant, control.id)
        ran = await self._engine.store.load(control.key)
        repeated = await self._read_repeated(row)
        numbers = faults.spread_over_commits(_commits(ran), self.most)
        await self._create(row, queues.billed(control.queue), repeated, list(numbers), control)

    async def _read_repeated(self, row: InstanceRow) -> Repeated:
        async with self._engine.fork_slots:  # a history holds all results of an instance
            snapshot = await self._engine.store.load(row.key)
            waits = sorted(
                (step for step in snapshot.steps.values() if step.key.kind == ev.WAIT),
                key=lambda step: step.started_seq,
            )
            received = [as_objects(step.result) for step in waits if step.status == STEP_COMPLETED]
            events = [NewEvent(ev.EVENT_RECEIVED, {"type": it["type"], "payload": it["payload"]}) for it in received]
            events += [NewEvent(ev.EVENT_RECEIVED, {"type": it.type, "payload": it.payload}) for it in snapshot.inbox]
            timed_out = [(step.key.name, step.key.count) for step in waits if step.status == STEP_ERRORED]
            return Repeated(events, timed_out, _commits(snapshot))

    async def _create(
        self,
        row: InstanceRow,
        queue: str,
        repeated: Repeated,
        numbers: Sequence[int | None],
        control: InstanceRow | None = None,
    ) -> None:
        """Create reruns: in place of the last ones, or those that follow `control`."""
        size = frames.size_of(row.params) + sum(frames.size_of(event.data) for event in repeated.events)
        batch = [
            CreateInstance(
                None,
                id=None if control is None else f"{control.id}-{number}",
                params=Encoded(row.params),
                workflow=row.workflow,
                class_name=row.class_name,
                limits=dict(row.limits) if row.limits else None,
                version=row.snippet,
                queue=queues.of_chaos(queue),
                trigger={"kind": KIND, "of": row.id, "kill_before_commit": number},
                events=repeated.events,
                parent=row.key,
                injected={"chaos": {"kill_before_commit": number, "timed_out": repeated.timed_out}},
            )
            for number in numbers
        ]
        if control is None:
            created, _ = await self._engine.create_batch(batch, instead_of=(row.key, KIND))
        else:
            created, _ = await self._engine.create_batch(batch, needs=control.key)
        self._engine.stored.add(queue, size * len(created))


def number_of(child: Child) -> int | None:
    """The commit before which the worker of a rerun is killed; None for the rerun without a kill."""
    number: int | None = (child.injected or {}).get("chaos", {}).get("kill_before_commit")
    return number


def lacks_kill_reruns(children: Sequence[Child]) -> bool:
    """Whether the reruns with a kill are still to be created, which follow the one without if the run had not ended."""
    return [number_of(child) for child in children] == [None]


def is_unfinished(children: Sequence[Child]) -> bool:
    """Whether a chaos run with these reruns is not over."""
    return lacks_kill_reruns(children) or any(child.status not in ev.FINAL_STATUSES for child in children)


def _commits(snapshot: History) -> int:
    return faults.commits_of_steps(sum(step.key.kind == ev.DO and step.is_over for step in snapshot.steps.values()))
