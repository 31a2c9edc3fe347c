"""Planned crashes: a store that kills its server, or a worker, at chosen commits."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from playground.store.messages import MessageStore
from playground.store.protocol import Claimed, Committed, Decider, DeciderWithNeeds, Snapshot, Store, needs_of
from playground.store.rows import NewInstance
from playground.workflows import events as ev
from playground.workflows.errors import WORKER_LOST
from playground.workflows.events import NewEvent

T = TypeVar("T")

WORKER = "worker"
SERVER = "server"
VICTIMS = (WORKER, SERVER)
# The commit is not durable yet. A server that dies never makes it; if a worker dies, its server still makes it.
BEFORE = "before"
AFTER = "after"  # the commit is durable, and nobody has been notified
MOMENTS = (BEFORE, AFTER)
# Events with which an execution makes progress. A worker that is killed after one of them has more to replay; killed
# after every event, it would never make progress.
PROGRESS_TYPES = frozenset(
    {
        ev.STEP_STARTED,
        ev.STEP_COMPLETED,
        ev.STEP_ERRORED,
        ev.ATTEMPT_ERRORED,
        ev.SLEEP_STARTED,
        ev.SLEEP_COMPLETED,
        ev.WAIT_STARTED,
        ev.WAIT_COMPLETED,
        ev.WAIT_TIMED_OUT,
        ev.WAIT_CANCELLED,
        ev.SLEEP_CANCELLED,
        ev.CHILD_STARTED,
        ev.CHILD_COMPLETED,
        ev.CHILD_ERRORED,
        ev.CHILD_CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class Crash:
    """Which victim dies at which commit of the test (from 1), before or after it."""

    victim: str
    commit: int
    moment: str


class CrashPlan:
    """The planned crashes and the number of commits, over all servers of one test.

    `each` kills the worker after every commit with progress.
    """

    def __init__(self, *, each: bool = False) -> None:
        self.commits = 0
        self.each = each
        self._planned: dict[int, Crash] = {}

    def add(self, crash: Crash) -> None:
        """Plan a crash. Raises ValueError: the commit has been made, or has a crash already."""
        if crash.commit <= self.commits or crash.commit in self._planned:
            raise ValueError(
                f"commit {crash.commit} can't crash: {self.commits} have been made, and each can crash once"
            )
        self._planned[crash.commit] = crash

    def clear(self) -> None:
        """Remove all planned crashes."""
        self._planned.clear()
        self.each = False

    @property
    def left(self) -> int:
        """How many planned crashes have not happened."""
        return len(self._planned)

    def count_commit(self, events: Sequence[NewEvent] = ()) -> Crash | None:
        """Count one more commit, that of these events; returns the crash that is planned for it."""
        self.commits += 1
        planned = self._planned.pop(self.commits, None)
        if planned is None and self.each and any(_is_progress(event) for event in events):
            return Crash(WORKER, self.commits, AFTER)
        return planned


def _is_progress(event: NewEvent) -> bool:
    lost = event.type == ev.ATTEMPT_ERRORED and event.data["error"]["name"] == WORKER_LOST
    return event.type in PROGRESS_TYPES and not lost


class _Killed(BaseException):
    """Raised inside the store's transaction, which then writes nothing."""


class CrashingStore:
    """One server's view of the store. `busy` is the number of its open calls; once it is `dead`, no call ever returns.

    With `freezes` a server is frozen instead of killed: no call starts or returns until `thaw`.

    A commit is a transaction that adds events to a journal, that claims an instance, or that sends, takes or settles
    messages; creating an instance does not count.
    """

    def __init__(
        self,
        store: Store,
        crash_plan: CrashPlan,
        *,
        kill_worker: Callable[[int], None],
        died: Callable[[], None],
        changed: Callable[[], None],
        durable: Callable[[Committed], None],
        freezes: bool = False,
        on_create: Callable[[NewInstance], NewInstance] = lambda new: new,
    ) -> None:
        self._store, self._crash_plan, self._on_create = store, crash_plan, on_create
        self.messages: Any = _CrashingMessages(self, store.messages)
        self._kill_worker, self._died, self._changed = kill_worker, died, changed
        self._durable, self._freezes = durable, freezes
        self._thawed = asyncio.Event()
        self.busy = 0
        self.dead = self.frozen = False

    def thaw(self) -> None:
        """Let the frozen calls go on."""
        self.frozen = False
        self._thawed.set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(method):
            return method

        async def through(*args: Any, **kwargs: Any) -> Any:
            return await self._call(method(*args, **kwargs))

        return through

    async def create(self, instances: Sequence[NewInstance], **options: Any) -> Any:
        """See `Store.create`."""
        return await self._call(self._store.create([self._on_create(new) for new in instances], **options))

    async def append(self, key: int, events: Sequence[NewEvent], **options: Any) -> Committed:
        """See `Store.append`."""
        crash = self._crash_plan.count_commit(events)
        if crash is not None and crash.moment == BEFORE:
            await self._die(crash, key)
        on_commit = options.pop("on_commit", None)
        if on_commit is not None and crash is None:
            options["on_commit"] = on_commit
        committed = await self._call(self._store.append(key, events, **options), self._durable)
        if crash is not None:
            if crash.moment == AFTER:
                await self._die(crash, key)
            if on_commit is not None:
                on_commit(committed)
        return committed

    async def decide(self, key: int, decider: Decider, **options: Any) -> Committed:
        """See `Store.decide`."""
        crashes: list[Crash | None] = []

        def counted(snapshot: Snapshot) -> Sequence[NewEvent]:
            events = decider(snapshot)
            if events and not crashes:
                crashes.append(self._crash_plan.count_commit(events))
                if crashes[0] is not None and crashes[0] == Crash(SERVER, crashes[0].commit, BEFORE):
                    raise _Killed
            return events

        wrapped = DeciderWithNeeds(counted, needs_of(decider))
        try:
            committed: Committed | None = await self._call(self._store.decide(key, wrapped, **options), self._durable)
        except _Killed:
            committed = None
        if crashes and crashes[0] is not None:
            await self._die(crashes[0], key)
        if committed is None:  # it was frozen just before, and has thawed
            committed = await self._call(self._store.decide(key, decider, **options), self._durable)
        return committed

    async def claim(self, owner: str, limit: int, *, at: int, **options: Any) -> Claimed:
        """See `Store.claim`."""
        due = await self._call(self._store.next_due())
        if due is None or due > at:
            return Claimed(())
        return await self.commit(lambda: self._store.claim(owner, limit, at=at, **options))

    async def commit(self, write: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Make a commit that is of no single instance: no worker dies at it."""
        crash = self._crash_plan.count_commit()
        if crash is not None and crash.moment == BEFORE:
            await self._die(crash, None)
        result = await self.call(write())
        if crash is not None and crash.moment == AFTER:
            await self._die(crash, None)
        return result

    async def call(self, call: Coroutine[Any, Any, T]) -> T:
        """Make a call that commits nothing."""
        return await self._call(call)

    async def _call(self, call: Coroutine[Any, Any, T], completed: Callable[[T], None] | None = None) -> T:
        if self.dead:
            call.close()
            await _for_ever()
        try:
            await self._until_thawed()
        except BaseException:  # the caller was cancelled meanwhile
            call.close()
            raise
        self.busy += 1
        try:
            result = await call
        finally:
            self.busy -= 1
            self._changed()
        if completed is not None:
            completed(result)
        if self.dead:
            await _for_ever()
        await self._until_thawed()
        return result

    async def _until_thawed(self) -> None:
        if self.frozen:
            await self._thawed.wait()

    async def _die(self, crash: Crash, key: int | None) -> None:
        if crash.victim == WORKER:
            if key is not None:
                self._kill_worker(key)
            return
        if self._freezes:
            self.frozen, self._thawed = True, asyncio.Event()
            self._died()
            await self._until_thawed()
            return
        self.dead = True
        self._died()
        await _for_ever()


class _CrashingMessages:
    """One server's view of the queues of messages."""

    def __init__(self, store: CrashingStore, messages: MessageStore) -> None:
        self._store, self._messages = store, messages

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._messages, name)

        async def through(*args: Any, **kwargs: Any) -> Any:
            if name in ("send", "take", "settle"):
                return await self._store.commit(lambda: method(*args, **kwargs))
            return await self._store.call(method(*args, **kwargs))

        return through


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
