"""The order of one execution's commits: what is added is committed in order, and what gathers meanwhile goes together.

A quick step is one transaction: the announcement of its attempt waits a moment for the outcome.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from playground.store.protocol import Committed, Decider, Store
from playground.workflows.errors import Fenced, WorkflowError
from playground.workflows.events import NewEvent

ATTEMPT_SECONDS = 0.003  # how long an attempt's announcement waits for its outcome
LOG_SECONDS = 0.05  # how long log lines wait for company
LOG_BYTES = 16 * 1024  # or until there is this much of them
BATCH = 500  # most events of one commit

Then = Callable[[Committed], None]
Refused = Callable[[BaseException], None]


@dataclass(slots=True)
class _Entry:
    events: Sequence[NewEvent]
    decider: Decider | None
    then: Then | None
    refused: Refused | None = None
    ack: bytes | None = None


class Pipeline:
    """Commits for one execution, one after another, until `close` or the first refusal.

    `acknowledge` is given the acks of a commit right after it, on the thread that committed: (frames, how many, the commit).
    `failed` is called once with the exception of a commit that could not be made; nothing is committed after it.
    """

    def __init__(
        self,
        store: Store,
        key: int,
        execution: int,
        now: Callable[[], int],
        acknowledge: Callable[[bytes, int, Committed], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._store, self._key, self._execution, self._now = store, key, execution, now
        self._acknowledge, self._failed = acknowledge, failed
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
        self.stamped: Callable[[NewEvent], NewEvent] | None = None  # what adds to a decider's events what only its execution knows
        self.added = 0  # events so far
        self._put_so_far = self._committed_so_far = 0  # entries
        self._durable: list[tuple[int, asyncio.Future[None]]] = []  # who waits for how many of them
        self._task = self._loop.create_task(self._pump())

    @property
    def backlog(self) -> int:
        """How many entries wait for their commit."""
        return len(self._entries)

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits for its commit and none is under way."""
        return not self._entries and not self._busy

    def add(self, *events: NewEvent, then: Then | None = None, ack: bytes | None = None) -> None:
        """Commit events as soon as those before them are; then call back.

        `ack` is a frame that tells the worker so: it leaves from the thread that commits, without a turn of the event loop.
        """
        self._put(_Entry(events, None, then, None, ack))
        self._go()

    def decide(self, decider: Decider, then: Then | None = None, refused: Refused | None = None) -> None:
        """Commit what a decider answers to the state at that time; `then` is called even when it answers nothing.

        With `refused`, an operation that the decider refuses, or that comes too late, is told so and disturbs nothing else.
        """
        if self._stopped:
            if refused is not None:
                refused(Fenced("This execution has ended."))
            return
        self._put(_Entry((), decider, then, refused))
        self._go()

    def add_soon(self, *events: NewEvent) -> None:
        """Commit events with the next ones, or after a moment."""
        self._put(_Entry(events, None, None))
        self._go_in(ATTEMPT_SECONDS)

    def add_log(self, event: NewEvent, size: int) -> None:
        """Commit a log event with the next events, or when enough of them have gathered."""
        self._put(_Entry((event,), None, None))
        self._log_bytes += size
        if self._log_bytes >= LOG_BYTES:
            self._go()
        else:
            self._go_in(LOG_SECONDS)

    async def drain(self) -> None:
        """Wait until everything added so far is committed or refused."""
        if (self._entries or self._busy) and not self._stopped:
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
        await self.drain()
        self._stopped = True
        self._go()
        await self._task

    def abandon(self) -> asyncio.Task[None]:
        """Commit nothing more, not even what is there; gives the task, which is being cancelled."""
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
        self._entries.append(entry)
        self._put_so_far += 1
        self.added += len(entry.events)
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

    async def _pump(self) -> None:
        while True:
            if not self._entries:
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
                await self._commit_some()
            except Exception as refused:  # noqa: BLE001 - it stops this pipeline, and is told
                self._stop(refused)
            self._busy = False

    async def _commit_some(self) -> None:
        first = self._entries[0]
        if first.decider is not None:
            taken = [self._entries[0]]
            try:
                committed = await self._store.decide(self._key, self._stamping(first.decider), execution=self._execution, at=self._now())
            except WorkflowError as error:
                if isinstance(error, Fenced) or first.refused is None:
                    raise
                del self._entries[0]
                self.answers_due -= first.then is not None
                first.refused(error)
                self._count(1)
                return
            del self._entries[0]
            self.added += len(committed.events)
        else:
            taken, events = self._take_plain()
            acks = [entry.ack for entry in taken if entry.ack is not None]
            on_commit = partial(self._acknowledge, b"".join(acks), len(acks)) if acks else None
            committed = await self._store.append(
                self._key, events, execution=self._execution, at=self._now(), on_commit=on_commit
            )
        self._count(len(taken))
        for entry in taken:
            if entry.then is not None:
                self.answers_due -= 1
                entry.then(committed)

    def _stamping(self, decider: Decider) -> Decider:
        stamped = self.stamped
        return decider if stamped is None else lambda snapshot: [stamped(event) for event in decider(snapshot)]

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
        self.answers_due = 0
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
        del self._entries[: len(taken)]
        self._log_bytes = 0
        return taken, events


def spawn(tasks: set[asyncio.Task[Any]], coroutine: Any) -> asyncio.Task[Any]:
    """Start a task and keep it alive until it ends."""
    task = asyncio.get_running_loop().create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
