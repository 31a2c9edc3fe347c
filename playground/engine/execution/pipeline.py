"""One execution and its journal: what it adds is committed in order, and what others have added is acted on in the same
order.

What gathers meanwhile is committed together. A quick step is one transaction: the announcement of its attempt waits a
moment for the outcome.

Anybody may add to the journal, on any node: it is the execution's mailbox. The pipeline follows it by `seq`, up to
which everything has been acted on. It does one thing at a time, a commit or the reading of what others wrote, so that
what it did not write itself is known by its place: it comes between `seq` and the first event of the next commit. The
worker hears of all of it in the order of the journal, as in every replay.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from playground.engine.execution.gate import OutputGate, SentEnd
from playground.store.protocol import Committed, Decider, DeciderWithNeeds, Store, needs_of
from playground.store.rows import InstanceRow
from playground.workflows.errors import Fenced, InstanceNotFound, WorkflowError
from playground.workflows.events import Event, NewEvent

ATTEMPT_SECONDS = 0.003  # how long an attempt's announcement waits for its outcome
LOG_SECONDS = 0.05  # how long log lines wait for company
LOG_BYTES = 16 * 1024  # or until there is this much of them
BATCH = 500  # most events of one commit, and of what is read at once

Then = Callable[[Committed], None]
Refused = Callable[[BaseException], None]


@dataclass(slots=True)
class _Entry:
    events: Sequence[NewEvent]
    decider: Decider | None
    then: Then | None
    refused: Refused | None = None
    ack: bytes | None = None
    received: int | None = None  # frames that the worker had received when it sent this; None: it does not run ahead
    if_unmoved: bool = False  # commit it only where nobody else has written
    moved: bool = False  # somebody has
    since: float = 0.0  # seconds, by the event loop


class Pipeline:
    """Commits for one execution, one after another, until `close` or the first refusal.

    `acknowledge` is given the acks of a commit: (frames, how many), right after it on the thread that committed, or on
    the event loop once what others wrote before it has been acted on. `heard` is given what others wrote. `failed` is
    called once with the exception of a commit that could not be made; nothing is committed after it.
    """

    def __init__(
        self,
        store: Store,
        row: InstanceRow,
        now: Callable[[], int],
        *,
        acknowledge: Callable[[bytes, int], None],
        heard: Callable[[Sequence[Event]], None],
        failed: Callable[[BaseException], None],
        gate: OutputGate,
    ) -> None:
        self._store, self._key, self._execution, self._now = store, row.key, row.execution, now
        self._acknowledge, self._heard, self._failed, self._gate = acknowledge, heard, failed, gate
        self._entries: list[_Entry] = []
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.Future[None] | None = None
        self._lazy: asyncio.TimerHandle | None = None
        self._lazy_at = 0.0
        self._log_bytes = 0
        self._busy = False
        self._stopped = False
        self._idle: list[asyncio.Future[None]] = []
        self.shown: Callable[[NewEvent], NewEvent] | None = None  # what hides secrets, where there are any
        self.answers_due = 0
        # What adds to a decider's events what only its execution knows.
        self.stamped: Callable[[NewEvent], NewEvent] | None = None
        # Up to here all has been acted on; up to there the journal reaches, as far as is known.
        self.seq = self._grown = row.last_seq
        self._waiting_events = 0  # added and not committed
        self._put_so_far = self._committed_so_far = 0  # entries
        self._durable: list[tuple[int, asyncio.Future[None]]] = []  # who waits for how many of them
        self._leave = store.listen(row.key, self._grew)
        self._task = self._loop.create_task(self._pump())

    def follow_from(self, seq: int) -> None:
        """All up to `seq` is known from elsewhere; what comes after it is heard, also if it was heard before."""
        self.seq = seq
        self._go()

    @property
    def length(self) -> int:
        """How many events the journal has, or will have soon, as far as is known."""
        return self.seq + self._waiting_events

    @property
    def is_behind(self) -> bool:
        """Whether others have written what has not been acted on yet."""
        return self._grown > self.seq and not self._busy

    @property
    def backlog(self) -> int:
        """How many entries wait for their commit."""
        return len(self._entries)

    @property
    def waiting_ms(self) -> int:
        """For how long the first entry has waited for its commit, in milliseconds."""
        return round((self._loop.time() - self._entries[0].since) * 1000) if self._entries else 0

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits for its commit and none is under way."""
        return not self._entries and not self._busy and not self.is_behind

    def add(
        self, *events: NewEvent, then: Then | None = None, ack: bytes | None = None, received: int | None = None
    ) -> None:
        """Commit events as soon as those before them are; then call back.

        `ack` is a frame that tells the worker so: it leaves from the thread that commits, without a turn of the event
        loop. `received`: the worker runs ahead of this, having received so many frames (gate.py).
        """
        self._put(_Entry(events, None, then, None, ack, received))
        self._go()

    def decide(self, decider: Decider, then: Then | None = None, refused: Refused | None = None) -> None:
        """Commit what a decider answers to the state at that time; `then` is called even when it answers nothing.

        With `refused`, an operation that the decider refuses, or that comes too late, is told so and disturbs nothing
        else.
        """
        if self._stopped:
            if refused is not None:
                refused(Fenced("This execution has ended."))
            return
        self._put(_Entry((), decider, then, refused))
        self._go()

    def add_soon(self, *events: NewEvent, received: int | None = None) -> None:
        """Commit events with the next ones, or after a moment."""
        self._put(_Entry(events, None, None, received=received))
        self._go_in(ATTEMPT_SECONDS)

    def add_log(self, event: NewEvent, size: int) -> None:
        """Commit a log event with the next events, or when enough of them have gathered."""
        self._put(_Entry((event,), None, None))
        self._log_bytes += size
        if self._log_bytes >= LOG_BYTES:
            self._go()
        else:
            self._go_in(LOG_SECONDS)

    def add_if_unmoved(self, *events: NewEvent, then: Then) -> None:
        """Commit events unless others have written what has not been acted on; then `then` is told of a commit without
        events.
        """
        self._put(_Entry(events, None, then, if_unmoved=True))
        self._go()

    async def drain(self) -> None:
        """Wait until everything added so far is committed or refused, and everything that others wrote is acted on."""
        if not self.at_rest and not self._stopped:
            self._go()
            done = self._loop.create_future()
            self._idle.append(done)
            await done

    async def durable(self) -> None:
        """Wait until everything added so far is committed, whatever comes after it. Raises Fenced when it can't be."""
        if self._stopped:
            raise Fenced("This execution has ended.")
        if self._committed_so_far < self._put_so_far:
            self._go()
            done = self._loop.create_future()
            self._durable.append((self._put_so_far, done))
            await done

    async def close(self) -> None:
        """Commit what is there, then stop."""
        self._leave()
        self._grown = 0  # what others write concerns the next execution
        await self.drain()
        self._stopped = True
        self._go()
        await self._task

    def abandon(self) -> asyncio.Task[None]:
        """Commit nothing more, not even what is there; gives the task, which is being cancelled."""
        self._leave()
        self._stopped = True
        self._entries.clear()
        self._end_waits()
        if self._lazy is not None:
            self._lazy.cancel()
        self._task.cancel()
        return self._task

    def _put(self, entry: _Entry) -> None:
        if self._stopped:
            return
        if self.shown is not None:
            entry.events = [self.shown(event) for event in entry.events]
        entry.since = self._loop.time()
        self._entries.append(entry)
        self._put_so_far += 1
        self._waiting_events += len(entry.events)
        if entry.then is not None:
            self.answers_due += 1

    def _go(self) -> None:
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _go_in(self, seconds: float) -> None:
        at = self._loop.time() + seconds
        if self._busy or (self._wake is not None and self._wake.done()):
            return
        if self._lazy is not None:
            if at >= self._lazy_at:
                return
            self._lazy.cancel()
        self._lazy_at = at
        self._lazy = self._loop.call_at(at, self._go)

    def _grew(self, last: int | None) -> None:
        """The store says that the journal has grown, or is gone."""
        if self._stopped:
            return
        if last is None:
            self._stop(InstanceNotFound("the instance has been deleted"))
            self._go()
        elif last > self._grown:
            self._grown = last
            if self.is_behind:
                self._go()

    async def _pump(self) -> None:
        while True:
            if not self._entries and (self._stopped or not self.is_behind):
                for done in self._idle:
                    if not done.done():
                        done.set_result(None)
                self._idle.clear()
                if self._stopped:
                    return
                self._wake = self._loop.create_future()
                await self._wake
                continue
            self._busy = True
            try:
                if self._entries:
                    await self._commit_some()
                else:
                    await self._hear_up_to(self._grown)
            except Exception as refused:  # noqa: BLE001 - it stops this pipeline, and is told
                self._stop(refused)
            self._busy = False

    async def _hear_up_to(self, last: int) -> None:
        """Read what others wrote, and act on it."""
        while self.seq < last and not self._stopped:
            after = self.seq
            events = await self._store.events(self._key, after=after, limit=min(last - after, BATCH))
            if self.seq != after:  # it follows from elsewhere now
                continue
            self.seq = events[-1].seq if events else last  # none: it has been deleted meanwhile
            self._heard(events)

    async def _commit_some(self) -> None:
        first = self._entries[0]
        acknowledged: list[Committed] = []
        if first.decider is not None:
            taken, acks = [first], []
            try:
                committed = await self._store.decide(
                    self._key, self._stamping(first.decider), execution=self._execution, at=self._now()
                )
            except WorkflowError as error:
                if isinstance(error, (Fenced, InstanceNotFound)) or first.refused is None:
                    raise
                self._drop(first)
                self.answers_due -= first.then is not None
                first.refused(error)
                self._count(1)
                return
            self._drop(first)
        else:
            taken, own = self._take_plain()
            acks = [entry.ack for entry in taken if entry.ack is not None]
            on_commit = partial(self._acknowledge_at_once, b"".join(acks), len(acks), acknowledged) if acks else None
            known = self.seq if taken[-1].if_unmoved or self._gate.allowed else None
            seen: list[SentEnd] = []
            events = own
            if self._gate.allowed:
                events, seen = self._gate.arrange([(entry.events, entry.received) for entry in taken])
            committed = await self._store.append(
                self._key, events, execution=self._execution, at=self._now(), on_commit=on_commit, last_seq=known
            )
            if known is not None and known != committed.row.last_seq - len(committed.events):
                await self._try_again(taken, committed.row.last_seq)
                return
            self._waiting_events -= len(own)
            self._gate.forget(seen)
        await self._settle(taken, committed, b"" if acknowledged else b"".join(acks), len(acks))

    def _drop(self, first: _Entry) -> None:
        """An entry is done with, unless all of them went meanwhile, with the instance."""
        if self._entries and self._entries[0] is first:
            del self._entries[0]

    async def _settle(self, taken: Sequence[_Entry], committed: Committed, acks: bytes, count: int) -> None:
        """A commit is durable: act on what others wrote before it, then on it."""
        before = committed.row.last_seq - len(committed.events)
        if self.seq < before:
            await self._hear_up_to(before)
        self.seq = committed.row.last_seq
        if acks:
            self._acknowledge(acks, count)
        self._count(len(taken))
        for entry in taken:
            if entry.then is not None:
                self.answers_due -= 1
                entry.then(Committed((), committed.row) if entry.moved else committed)

    async def _try_again(self, taken: Sequence[_Entry], last: int) -> None:
        """Others have written: act on that, then commit what does not depend on it."""
        entry = taken[-1]
        if entry.if_unmoved:
            self._waiting_events -= len(entry.events)
            entry.events, entry.if_unmoved, entry.moved = (), False, True
        self._entries[:0] = taken
        await self._hear_up_to(last)

    def _acknowledge_at_once(
        self, data: bytes, count: int, acknowledged: list[Committed], committed: Committed
    ) -> None:
        """On the thread that committed: let the worker go on, unless it is to hear of something else first."""
        if committed.events[0].seq == self.seq + 1:
            acknowledged.append(committed)
            self._acknowledge(data, count)

    def _stamping(self, decider: Decider) -> Decider:
        stamped = self.stamped
        if stamped is None:
            return decider
        return DeciderWithNeeds(lambda snapshot: [stamped(event) for event in decider(snapshot)], needs_of(decider))

    def _count(self, entries: int) -> None:
        self._committed_so_far += entries
        while self._durable and self._durable[0][0] <= self._committed_so_far:
            done = self._durable.pop(0)[1]
            if not done.done():
                done.set_result(None)

    def _end_waits(self) -> None:
        for _, done in self._durable:
            if not done.done():
                done.set_exception(Fenced("This execution has ended."))
        self._durable.clear()

    def _stop(self, error: BaseException) -> None:
        self._stopped = True
        entries, self._entries = self._entries, []
        self.answers_due = self._waiting_events = self._grown = 0
        self._end_waits()
        for entry in entries:
            if entry.refused is not None:
                entry.refused(error)
        self._failed(error)

    def _take_plain(self) -> tuple[list[_Entry], list[NewEvent]]:
        taken: list[_Entry] = []
        events: list[NewEvent] = []
        for entry in self._entries:
            if entry.decider is not None or len(events) >= BATCH:
                break
            taken.append(entry)
            events.extend(entry.events)
            if entry.if_unmoved:
                break
        del self._entries[: len(taken)]
        self._log_bytes = 0
        return taken, events


def spawn(tasks: set[asyncio.Task[Any]], coroutine: Any) -> asyncio.Task[Any]:
    """Start a task and keep it alive until it ends."""
    task = asyncio.get_running_loop().create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
