"""The commit pipeline of one execution: its own events are committed, and those of others applied, in one order.

Group commit: entries that gather during a commit are committed together. A quick step is one transaction, since the
start of its attempt waits `ATTEMPT_SECONDS` for the outcome.

The journal is the execution's mailbox: anybody may append to it, on any node. The pipeline follows it by `seq`, the
last event that has been applied. It does one thing at a time, a commit or the reading of what others wrote. So events
of others are known by their place: they lie between `seq` and the first event of the next commit. The worker receives
everything in the order of the journal, as in every replay.

Architecture Invariant: nothing is acknowledged before its commit is durable, and nothing is committed after the first
commit that was refused.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from playground.engine.execution.gate import OutputGate
from playground.store.protocol import Committed, Decider, DeciderWithNeeds, Store, needs_of
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import Fenced, InstanceNotFound, WorkflowError
from playground.workflows.events import Event, NewEvent

ATTEMPT_SECONDS = 0.003  # how long the start of an attempt waits for its outcome
LOG_SECONDS = 0.05  # how long log lines wait to be committed together
LOG_BYTES = 16 * 1024  # or until they have this many bytes
BATCH = 500  # events of one commit, and of one read, at most

OnCommitted = Callable[[Committed], None]
OnRefused = Callable[[BaseException], None]


@dataclass(slots=True)
class _Entry:
    events: Sequence[NewEvent]
    decider: Decider | None
    then: OnCommitted | None
    on_refused: OnRefused | None = None
    ack: bytes | None = None
    # Frames that the worker had received when it sent this; None: it does not run ahead of it.
    received: int | None = None
    if_unchanged: bool = False  # commit it only if nobody else has appended
    others_read: int = 0  # events of others that had been read when it was added
    superseded: bool = False  # somebody has, so that it is not committed
    values: dict[str, Any] | None = None  # the data of a `stream_appended`, to which values are added
    value_bytes: int = 0
    since: float = 0.0  # seconds, by the event loop


class Pipeline:
    """Commits for one execution, one after another, until `close` or the first refusal.

    Args:
        acknowledge: sends the acknowledgements of a commit, as encoded frames and their number: right after it on the
            thread that committed, or on the event loop once the events of others before it have been applied.
        on_others_events: applies events that others committed.
        on_failure: called once with the exception of a commit that failed; nothing is committed after it.
    """

    def __init__(
        self,
        store: Store,
        row: InstanceRow,
        now: Callable[[], int],
        *,
        acknowledge: Callable[[bytes, int], None],
        on_others_events: Callable[[Sequence[Event]], None],
        on_failure: Callable[[BaseException], None],
        gate: OutputGate,
    ) -> None:
        self._store, self._key, self._execution, self._now = store, row.key, row.execution, now
        self._acknowledge, self._on_others_events, self._on_failure = acknowledge, on_others_events, on_failure
        self._gate = gate
        self._entries: list[_Entry] = []
        self._loop = asyncio.get_running_loop()
        self._wake_signal: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._log_bytes = 0
        self._busy = False
        self._stopped = False
        self._drain_waiters: list[asyncio.Future[None]] = []
        self.redact: Callable[[NewEvent], NewEvent] | None = None  # where the code has secrets
        self.on_durable: Callable[[Sequence[Event]], None] | None = None  # receives all events, also those of others
        self.callbacks_pending = 0
        # Adds to a decider's events what only the execution knows.
        self.stamp: Callable[[NewEvent], NewEvent] | None = None
        # The last event that has been applied, and the last one that the journal is known to have.
        self.seq = self._known_length = row.last_seq
        self._uncommitted_events = 0  # in `_entries`
        # Entries since the start; up to which of them `wait_until_durable` waits.
        self._enqueued = self._committed = self._awaited = 0
        # By the number of entries that each waits for.
        self._durable_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._others_read = 0  # events of others
        self._leave = store.listen(row.key, self._on_notification)
        self._task = self._loop.create_task(self._pump())

    def follow_from(self, seq: int) -> None:
        """The execution starts from a snapshot at `seq`: apply everything after it, also what was applied before."""
        assert not (self._entries or self._busy), "nothing is committed before the start"
        self._known_length = max(self._known_length, self.seq)
        self.seq = seq
        self._wake_now()

    @property
    def length(self) -> int:
        """How many events the journal has, those that wait for their commit included, as far as is known."""
        return self.seq + self._uncommitted_events

    @property
    def is_behind(self) -> bool:
        """Whether others have appended events that are not applied yet."""
        return self._known_length > self.seq and not self._busy

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
        self, *events: NewEvent, then: OnCommitted | None = None, ack: bytes | None = None, received: int | None = None
    ) -> None:
        """Commit events as soon as those before them are; then call `then`.

        `ack` is the frame that acknowledges them to the worker: it is sent from the thread that commits, without a turn
        of the event loop. `received`: the worker runs ahead of this commit, and had received so many frames (gate.py).
        """
        self._enqueue(_Entry(events, None, then, None, ack, received))
        self._wake_now()

    def decide(self, decider: Decider, then: OnCommitted | None = None, on_refused: OnRefused | None = None) -> None:
        """Commit what a decider returns for the state at that time; `then` is called even when that is nothing.

        `on_refused` is called when the decider raises or the execution has ended; without it that ends the pipeline.
        """
        if self._stopped:
            if on_refused is not None:
                on_refused(Fenced("This execution has ended."))
            return
        self._enqueue(_Entry((), decider, then, on_refused))
        self._wake_now()

    def add_soon(self, *events: NewEvent, received: int | None = None) -> None:
        """Commit events with the next ones, or after `ATTEMPT_SECONDS`."""
        self._enqueue(_Entry(events, None, None, received=received))
        self._wake_in(ATTEMPT_SECONDS)

    def add_note(self, event: NewEvent) -> None:
        """Commit an event of ours with the next ones, or after `LOG_SECONDS`; `wait_until_durable` waits for none."""
        awaited = self._awaited
        self._enqueue(_Entry((event,), None, None))
        self._awaited = awaited
        self._wake_in(LOG_SECONDS)

    def add_log(self, event: NewEvent, size: int) -> None:
        """Commit a log event with the next events, after `LOG_SECONDS`, or once there are `LOG_BYTES`."""
        self._enqueue(_Entry((event,), None, None))
        self._log_bytes += size
        if self._log_bytes >= LOG_BYTES:
            self._wake_now()
        else:
            self._wake_in(LOG_SECONDS)

    def add_value(self, event: NewEvent, size: int) -> None:
        """Commit a value of a stream as `add_log` does a line: in one event with the values before it of the same
        attempt, where nothing else has come between.
        """
        last = self._entries[-1] if self._entries else None
        if last is None or not self._join_values(last, event, size):
            entry = _Entry((event,), None, None)
            self._enqueue(entry)
            entry.values, entry.value_bytes = dict(entry.events[0].data), size
            entry.events = (entry.events[0]._replace(data=entry.values),)
        self._log_bytes += size
        if self._log_bytes >= LOG_BYTES:
            self._wake_now()
        else:
            self._wake_in(LOG_SECONDS)

    def _join_values(self, last: _Entry, event: NewEvent, size: int) -> bool:
        """Add the value of `event` to those of the last entry, if they are of the same attempt and stream."""
        values = last.values
        if values is None or last.value_bytes + size > LOG_BYTES or last.events[0].step != event.step:
            return False
        if (values["stream"], values["attempt"]) != (event.data["stream"], event.data["attempt"]):
            return False
        assert event.data["first"] == values["first"] + values["count"], "values are numbered without a gap"
        shown = event if self.redact is None else self.redact(event)
        values["count"] += 1
        values["values"].extend(shown.data["values"])
        last.value_bytes += size
        return True

    def add_if_unchanged(self, *events: NewEvent, then: OnCommitted) -> None:
        """Commit events unless others have appended some that are not applied yet.

        `then` receives a commit without events in that case.
        """
        self._enqueue(_Entry(events, None, then, if_unchanged=True, others_read=self._others_read))
        self._wake_now()

    async def drain(self) -> None:
        """Wait until everything added so far is committed or refused, and the events of others are applied."""
        if not self.at_rest and not self._stopped:
            self._wake_now()
            done = self._loop.create_future()
            self._drain_waiters.append(done)
            await done

    async def wait_until_durable(self) -> None:
        """Wait until everything added so far is committed, but notes. Raises Fenced when it can't be."""
        if self._stopped:
            raise Fenced("This execution has ended.")
        if self._committed < self._awaited:
            self._wake_now()
            done = self._loop.create_future()
            self._durable_waiters.append((self._awaited, done))
            await done

    async def close(self) -> None:
        """Commit what has been added, then stop."""
        self._leave()
        self._known_length = 0  # what others append is for the next execution
        await self.drain()
        self._stopped = True
        self._wake_now()
        await self._task

    def abandon(self) -> asyncio.Task[None]:
        """Commit nothing more, not even what has been added; returns the task, which is being cancelled."""
        self._leave()
        self._stopped = True
        self._entries.clear()
        self._refuse_durable_waiters()
        if self._timer is not None:
            self._timer.cancel()
        self._task.cancel()
        return self._task

    def _enqueue(self, entry: _Entry) -> None:
        if self._stopped:
            return
        if self.redact is not None:
            entry.events = [self.redact(event) for event in entry.events]
        entry.since = self._loop.time()
        self._entries.append(entry)
        self._enqueued += 1
        self._awaited = self._enqueued
        self._uncommitted_events += len(entry.events)
        if entry.then is not None:
            self.callbacks_pending += 1

    def _wake_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wake_signal is not None and not self._wake_signal.done():
            self._wake_signal.set_result(None)

    def _wake_in(self, seconds: float) -> None:
        at = self._loop.time() + seconds
        if self._busy or (self._wake_signal is not None and self._wake_signal.done()):
            return
        if self._timer is not None:
            if at >= self._timer_at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._wake_now)

    def _on_notification(self, last: int | None) -> None:
        """The store reports the last seq of the journal; None: the instance has been deleted."""
        if self._stopped:
            return
        if last is None:
            self._stop(InstanceNotFound("the instance has been deleted"))
            self._wake_now()
        elif last > self._known_length:
            self._known_length = last
            if self.is_behind:
                self._wake_now()

    async def _pump(self) -> None:
        while True:
            if not self._entries and (self._stopped or not self.is_behind):
                for done in self._drain_waiters:
                    if not done.done():
                        done.set_result(None)
                self._drain_waiters.clear()
                if self._stopped:
                    return
                self._wake_signal = self._loop.create_future()
                await self._wake_signal
                continue
            self._busy = True
            try:
                if self._entries:
                    await self._commit_some()
                else:
                    await self._apply_others_up_to(self._known_length)
            except Exception as refused:  # noqa: BLE001 - it stops this pipeline, and is reported
                self._stop(refused)
            self._busy = False

    async def _apply_others_up_to(self, last: int) -> None:
        """Read and apply the events of others."""
        while self.seq < last and not self._stopped:
            after = self.seq
            events = await self._store.events(self._key, after=after, limit=min(last - after, BATCH))
            if self.seq != after:  # `follow_from` was called meanwhile
                continue
            self.seq = events[-1].seq if events else last  # none: it has been deleted meanwhile
            self._others_read += len(events)
            if self.on_durable is not None:
                self.on_durable(events)
            self._on_others_events(events)

    async def _commit_some(self) -> None:
        first = self._entries[0]
        acknowledged: list[Committed] = []
        if first.decider is not None:
            taken, acks = [first], []
            try:
                committed = await self._store.decide(
                    self._key, self._with_stamps(first.decider), execution=self._execution, at=self._now()
                )
            except WorkflowError as error:
                if isinstance(error, (Fenced, InstanceNotFound)) or first.on_refused is None:
                    raise
                self._remove_first(first)
                self.callbacks_pending -= first.then is not None
                first.on_refused(error)
                self._count_committed(1)
                return
            self._remove_first(first)
        else:
            taken = self._take_batch()
            acks = [entry.ack for entry in taken if entry.ack is not None]
            on_commit = partial(self._acknowledge_on_commit, b"".join(acks), len(acks), acknowledged) if acks else None
            known = self.seq if taken[-1].if_unchanged or self._gate.allowed else None
            events, received_ends = self._gate.arrange([(entry.events, entry.received) for entry in taken])
            committed = await self._store.append(
                self._key, events, execution=self._execution, at=self._now(), on_commit=on_commit, last_seq=known
            )
            if known is not None and known != committed.row.last_seq - len(committed.events):
                await self._retry_after_others(taken, committed.row.last_seq)
                return
            self._uncommitted_events -= sum(len(entry.events) for entry in taken)
            assert self._stopped or self._uncommitted_events >= 0, "an event is committed once"
            self._gate.forget(received_ends)
        await self._on_durable(taken, committed, b"" if acknowledged else b"".join(acks), len(acks))

    def _remove_first(self, first: _Entry) -> None:
        """Remove the first entry, unless all were removed meanwhile because the instance was deleted."""
        if self._entries and self._entries[0] is first:
            del self._entries[0]

    async def _on_durable(self, taken: Sequence[_Entry], committed: Committed, acks: bytes, count: int) -> None:
        """A commit is durable: apply what others appended before it, then acknowledge it and call back."""
        before = committed.row.last_seq - len(committed.events)
        if self.seq < before:
            await self._apply_others_up_to(before)
        assert self._stopped or self.seq == before, "a commit follows what has been applied, without a gap"
        self._check_committed(committed)
        self.seq = committed.row.last_seq
        if self.on_durable is not None:
            self.on_durable(committed.events)
        if acks:
            self._acknowledge(acks, count)
        self._count_committed(len(taken))
        for entry in taken:
            if entry.then is not None:
                self.callbacks_pending -= 1
                entry.then(Committed((), committed.row) if entry.superseded else committed)

    def _check_committed(self, committed: Committed) -> None:
        row, events = committed.row, committed.events
        assert row.execution == self._execution, "only the current execution commits"
        if events:
            assert events[0].seq == row.last_seq - len(events) + 1 and events[-1].seq == row.last_seq, "seq is dense"
            assert row.status not in ev.FINAL_STATUSES or events[-1].type in ev.FINAL_TYPES, "nothing follows the end"

    async def _retry_after_others(self, taken: Sequence[_Entry], last: int) -> None:
        """Others have appended: apply that, then commit again what does not depend on it."""
        entry = taken[-1]
        if entry.if_unchanged:
            self._uncommitted_events -= len(entry.events)
            entry.events, entry.if_unchanged, entry.superseded = (), False, True
        self._entries[:0] = taken
        await self._apply_others_up_to(last)

    def _acknowledge_on_commit(
        self, data: bytes, count: int, acknowledged: list[Committed], committed: Committed
    ) -> None:
        """On the thread that committed: acknowledge, unless the worker has to receive events of others first."""
        assert committed.events, "what is acknowledged has been committed"
        if committed.events[0].seq == self.seq + 1:
            acknowledged.append(committed)
            self._acknowledge(data, count)

    def _with_stamps(self, decider: Decider) -> Decider:
        stamp = self.stamp
        if stamp is None:
            return decider
        return DeciderWithNeeds(lambda snapshot: [stamp(event) for event in decider(snapshot)], needs_of(decider))

    def _count_committed(self, entries: int) -> None:
        self._committed += entries
        while self._durable_waiters and self._durable_waiters[0][0] <= self._committed:
            done = self._durable_waiters.pop(0)[1]
            if not done.done():
                done.set_result(None)

    def _refuse_durable_waiters(self) -> None:
        for _, done in self._durable_waiters:
            if not done.done():
                done.set_exception(Fenced("This execution has ended."))
        self._durable_waiters.clear()

    def _stop(self, error: BaseException) -> None:
        self._stopped = True
        entries, self._entries = self._entries, []
        self.callbacks_pending = self._uncommitted_events = self._known_length = 0
        self._refuse_durable_waiters()
        for entry in entries:
            if entry.on_refused is not None:
                entry.on_refused(error)
        self._on_failure(error)

    def _take_batch(self) -> list[_Entry]:
        taken: list[_Entry] = []
        events = 0
        for entry in self._entries:
            if entry.decider is not None or events >= BATCH:
                break
            if entry.if_unchanged and entry.others_read != self._others_read:
                # It was decided before the events of others were read, so it may not stand behind them.
                self._uncommitted_events -= len(entry.events)
                entry.events, entry.if_unchanged, entry.superseded = (), False, True
            taken.append(entry)
            events += len(entry.events)
            if entry.if_unchanged:
                break
        del self._entries[: len(taken)]
        self._log_bytes = 0
        return taken


def spawn(tasks: set[asyncio.Task[Any]], coroutine: Any) -> asyncio.Task[Any]:
    """Start a task and keep it alive until it ends."""
    task = asyncio.get_running_loop().create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
