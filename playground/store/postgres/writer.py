"""The writer of a node: one connection, on which all appends that wait are one commit.

An append of a cached instance is projected at once, in memory, and waits in the group that forms. One group is in
flight at a time; what comes meanwhile is the next. The statement compares each instance with what the cache knew of it
(write.py): one that has moved, or is locked by somebody else, is left out, and its calls are made again under the lock
of its row (locked.py), which is also the way of deciders. So the cache is never trusted, and no call waits for another
instance.

Calls of one instance run in order: while something is under way for it, the others wait here.

Outages. Of a commit whose connection broke the node asks the database whether it was carried out: each commit writes
its number into the writer's row. The question takes that row's lock, so a commit that is still under way is waited for,
and raises the number, so one that has not begun never will.

Architecture Invariant: a call's result is delivered after its commit is durable, and only then seen by others.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import count
from time import perf_counter
from typing import Any
from uuid import uuid4

from playground.store import columns
from playground.store.audit import AuditEntry, entry_of_commit
from playground.store.cache import CachedInstance, InstanceCache, check_fence
from playground.store.encryption import Keyring
from playground.store.errors import CLOSED, JournalError, StoreError
from playground.store.metrics import StoreMetrics
from playground.store.named_sql import NamedSql
from playground.store.postgres.audit import insert_audit
from playground.store.postgres.connections import (
    Connection,
    Connections,
    DatabaseFault,
    Transaction,
    explain,
    is_conflict,
    is_outage,
)
from playground.store.postgres.lanes import is_new
from playground.store.postgres.locked import Change, LockedInstances, is_callers
from playground.store.postgres.notify import Hints
from playground.store.postgres.write import Staged, write_statement
from playground.store.projection import project, required_reads
from playground.store.protocol import Committed, Decider, Log
from playground.store.rows import InstanceRow, StepRow
from playground.store.secret_values import encrypt_secrets
from playground.workflows.errors import Fenced
from playground.workflows.events import FINAL_STATUSES, NewEvent

GROUP_INSTANCES = 500  # the most per commit
LOCKED_CALLS = 64  # the most per transaction of one instance


class Call:
    """A call on one instance. `work` is for what is neither append nor decide, and alone in its transaction; `turn` for
    what makes transactions of its own, and only waits for its turn.
    """

    __slots__ = ("at", "audit", "events", "execution", "future", "last_seq", "on_commit", "since", "turn", "work")

    def __init__(
        self,
        events: Sequence[NewEvent] | Decider = (),
        execution: int | None = None,
        at: int = 0,
        last_seq: int | None = None,
        on_commit: Callable[[Committed], None] | None = None,
        work: Callable[[Transaction], Awaitable[Any]] | None = None,
        turn: Callable[[], Awaitable[Any]] | None = None,
        audit: AuditEntry | None = None,
    ) -> None:
        self.events, self.execution, self.at, self.last_seq = events, execution, at, last_seq
        self.on_commit, self.work, self.turn, self.audit = on_commit, work, turn, audit
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.since = perf_counter()

    @property
    def is_alone(self) -> bool:
        """Whether it shares no transaction."""
        return self.work is not None or self.turn is not None

    def resolve(self, result: Any) -> None:
        """Deliver the result, unless the caller was cancelled."""
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Deliver an error."""
        if not self.future.done():
            if isinstance(error, StopIteration):  # a future cannot hold it
                error = RuntimeError(f"StopIteration in a decider: {error}")
            self.future.set_exception(error)


class _Group:
    """The calls of one instance in a commit."""

    __slots__ = ("calls", "staged")

    def __init__(self, cached: CachedInstance) -> None:
        self.staged = Staged(cached)
        self.calls: list[tuple[Call, Committed]] = []


class Writer:
    """See above. Used on one event loop.

    Args:
        publish: called with what a commit changed.
        log: called for failed and slow commits.
    """

    def __init__(
        self,
        connections: Connections,
        sql: NamedSql,
        keyring: Keyring,
        publish: Callable[[Hints], None],
        log: Log,
        slow_seconds: float,
    ) -> None:
        self._connections, self._sql, self._keyring = connections, sql, keyring
        self._publish, self._log, self._slow_seconds = publish, log, slow_seconds
        self.metrics = StoreMetrics()
        self._locked = LockedInstances(sql, keyring)
        self._cache = InstanceCache()
        self._forming: dict[int, _Group] = {}
        self._waiting: dict[int, deque[Call]] = {}  # by instance, while something is under way for it
        self._in_flight = self._closing = False
        self._flush_due = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connection: Connection = None
        self._id, self._commits = "", 0

    def submit(self, key: int, call: Call) -> "asyncio.Future[Any]":
        """Make a call; the future resolves once its commit is durable. Raises StoreError when closed."""
        if self._closing:
            raise StoreError(CLOSED)
        self._begin(key, call)
        return call.future

    def adopt(self, row: InstanceRow, weight: int, open_steps: Sequence[StepRow]) -> None:
        """Cache an instance that was just read in a transaction."""
        if row.key in self._waiting or row.key in self._forming:
            return
        cached = CachedInstance(row, weight)
        cached.steps = {step.key: step for step in open_steps}
        cached.has_open_steps = True
        self._cache.forget(row.key)
        self._cache.put(cached)

    def forget(self, key: int) -> None:
        """Drop an instance from the cache."""
        self._cache.forget(key)

    def shrink(self) -> None:
        """Drop all cached instances."""
        self._cache.clear()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something that `close` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def count_commit(self, since: float, events: int, calls: int) -> None:
        """Count a durable commit."""
        took, metrics = perf_counter() - since, self.metrics
        metrics.commits += 1
        metrics.events += events
        metrics.failing = False
        metrics.seconds.add(took)
        metrics.calls.add(calls)
        if took >= self._slow_seconds:
            self._log("slow_commit", seconds=round(took, 3), calls=calls)

    def count_failure(self, error: BaseException, calls: int) -> None:
        """Count and log a commit that the database refused."""
        self.metrics.failures += 1
        self.metrics.failing = isinstance(error, StoreError)
        self._log("database_error", error=f"{type(error).__name__}: {error}", calls=calls)

    async def close(self) -> None:
        """Commit what was submitted; later calls raise StoreError."""
        self._closing = True
        while self._tasks or self._forming:
            self._flush()
            await asyncio.wait(self._tasks)
        if self._connection is not None:
            with suppress(*DatabaseFault):
                if self._id:
                    await self._run(self._sql["delete_writer"], [self._id])
                await self._connection.close(timeout=1)

    def _begin(self, key: int, call: Call) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(call)
        elif call.is_alone or callable(call.events) or not self._stage(key, call):
            self._waiting[key] = deque([call])
            if key not in self._forming:
                self.spawn(self._run_locked(key))

    def _stage(self, key: int, call: Call) -> bool:
        """Add an append to the group that forms; False: it has to see the database."""
        group = self._forming.get(key)
        cached = self._cache.get(key) if group is None else group.staged.cached
        events = call.events
        assert not callable(events), "a decider runs under the lock"
        if cached is None or not cached.has_open_steps or not events:
            return False
        row = cached.row
        if call.last_seq is not None and row.last_seq != call.last_seq:
            return False
        try:
            check_fence(row, call.execution)
            if self._keyring:
                events = encrypt_secrets(self._keyring, row, events)
            reads = required_reads(events)
            if reads.all or reads.results or not reads.steps <= cached.steps.keys():
                return False
            if not reads.started.isdisjoint(cached.steps):
                return False
            stamp = call.execution if call.execution is not None else row.execution or None
            values, written = columns.event_values(row, events, stamp, call.at)
            change = project(row, events, call.at, cached.steps)
        except (Fenced, JournalError):  # if the cache is right
            return False
        except Exception as error:  # noqa: BLE001 - the caller's: what cannot be stored
            call.fail(error)
            return True
        if change.keep_before_seq is not None or (is_new(change.row) and not is_new(row)):
            return False
        if group is None:
            group = self._forming[key] = _Group(cached)
        group.staged.apply(change, values)
        group.calls.append((call, Committed(written, change.row)))
        if not self._in_flight and not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)
        return True

    def _flush(self) -> None:
        self._flush_due = False
        if self._in_flight or not self._forming:
            return
        self._in_flight = True
        keys = list(self._forming)[:GROUP_INSTANCES]
        groups = [self._forming.pop(key) for key in keys]
        for key in keys:
            self._waiting.setdefault(key, deque())
        self.spawn(self._commit(groups))

    async def _commit(self, groups: Sequence[_Group]) -> None:
        since = min(group.calls[0][0].since for group in groups)
        moved: set[int] = set()
        try:
            moved = await self._write(groups)
        except Exception as fault:  # noqa: BLE001 - each caller must get a result
            if isinstance(fault, StoreError):
                self._fail(groups, fault)
                return
            # One of them contradicts its journal: each alone will show which.
        finally:
            self._in_flight = False
            self._flush()
        hints, refused = Hints(), []
        events = calls = 0
        for group in groups:
            if group.staged.cached.key not in moved:
                refused.append(group)
                continue
            events += group.staged.events_count
            calls += len(group.calls)
            self._deliver(group, hints)
        if calls:
            self.count_commit(since, events, calls)
            self._publish(hints)
        for group in refused:
            key = group.staged.cached.key
            self._cache.forget(key)
            self._waiting[key].extendleft(call for call, _ in reversed(group.calls))
            self.spawn(self._run_locked(key))
        for group in groups:
            if group.staged.cached.key in moved:
                self._go_on(group.staged.cached.key)

    def _deliver(self, group: _Group, hints: Hints) -> None:
        cached = group.staged.cached
        before = cached.stored
        cached.mark_written()
        self._keep(cached)
        hints.add_row(cached.row, before)
        hints.add_sent(group.staged.sent)
        for call, committed in group.calls:
            self._acknowledge(call, committed)

    def _fail(self, groups: Sequence[_Group], error: StoreError) -> None:
        self.count_failure(error, sum(len(group.calls) for group in groups))
        for group in groups:
            key = group.staged.cached.key
            self._cache.forget(key)
            for call, _ in group.calls:
                call.fail(error)
            self._go_on(key)

    async def _write(self, groups: Sequence[_Group]) -> set[int]:
        """Commit; returns the instances that were not refused. Raises StoreError, or the database's refusal."""
        staged = [group.staged for group in groups]
        deadline = self._connections.deadline()
        for attempt in count():
            try:
                if self._connection is None:
                    self._connection = await self._connections.open_one(deadline)
                if not self._id:
                    id = uuid4().hex
                    await self._run(self._sql["insert_writer"], [id])
                    self._id, self._commits = id, 0
                statement = write_statement(staged, self._id, self._commits + 1)
                moved, in_turn = await self._run(statement.text(), statement.values)
                if in_turn:
                    self._commits += 1
                    return set(moved)
                self._id = ""  # its row was deleted
            except DatabaseFault as fault:
                if is_conflict(fault):
                    continue
                if not is_outage(fault):
                    raise
                self._connections.note_outage(fault)
                self._drop_connection()
                if self._id and (left_out := await self._left_out(deadline)) is not None:
                    return {each.cached.key for each in staged} - set(left_out)
                await self._connections.pause(attempt, deadline, fault)
        raise AssertionError("the attempts have no end")

    async def _run(self, text: str, values: Sequence[Any]) -> Any:
        if not self._connections.pooled:
            return await self._connection.fetchrow(text, *values)
        async with self._connection.transaction():
            return await self._connection.fetchrow(text, *values)

    async def _left_out(self, deadline: float) -> Sequence[int] | None:
        """Who was left out of the commit whose connection broke; None: it was not committed and never will be.

        Raises StoreError when the database stays away.
        """
        try:
            return await self._ask_left_out(deadline)
        except StoreError as error:
            raise StoreError(f"it is unknown whether a commit was carried out: {error}") from None

    async def _ask_left_out(self, deadline: float) -> Sequence[int] | None:
        for attempt in count():
            try:
                if self._connection is None:
                    self._connection = await self._connections.open_one(deadline)
                found = await self._run(self._sql["fence_writer"], [self._id])
            except DatabaseFault as fault:
                if not is_outage(fault):
                    raise explain(fault) from None
                self._drop_connection()
                await self._connections.pause(attempt, deadline, fault)
                continue
            self._id = ""
            if found is None:
                return None
            commits, left_out = found
            return (left_out or ()) if commits == self._commits + 1 else None
        raise AssertionError("the attempts have no end")

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*DatabaseFault):
                connection.terminate()

    async def _run_locked(self, key: int) -> None:
        """Make the calls that wait for an instance, under its lock, until appends may join groups again."""
        waiting = self._waiting[key]
        while True:
            batch = [waiting.popleft()]
            while waiting and len(batch) < LOCKED_CALLS and not batch[0].is_alone and not waiting[0].is_alone:
                batch.append(waiting.popleft())
            await self._commit_locked(key, batch)
            if not waiting or not (waiting[0].is_alone or callable(waiting[0].events)):
                break
        self._go_on(key)

    def _go_on(self, key: int) -> None:
        """Nothing is under way for an instance any more: begin what has waited."""
        for call in self._waiting.pop(key):
            self._begin(key, call)

    async def _commit_locked(self, key: int, batch: Sequence[Call]) -> None:
        since = batch[0].since
        hints = Hints()
        try:
            if batch[0].turn is not None:
                batch[0].resolve(await batch[0].turn())
                return
            if batch[0].work is not None:
                batch[0].resolve(await self._connections.transaction(batch[0].work))
                return
            change, outcomes = await self._connections.transaction(lambda tx: self._make_calls(tx, key, batch))
        except Exception as error:  # noqa: BLE001 - each caller must get a result
            self._cache.forget(key)
            if len(batch) > 1 and isinstance(error, JournalError):
                for call in batch:  # one of them is at fault
                    await self._commit_locked(key, [call])
                return
            if isinstance(error, (StoreError, JournalError)):
                self.count_failure(error, len(batch))
            for call in batch:
                call.fail(error)
            return
        if change is not None:
            self._keep(change.cached)
            if change.events:
                self.count_commit(since, change.events, len(batch))
                hints.add_row(change.cached.row, change.before)
                hints.add_sent(change.sent)
        for call, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                call.fail(outcome)
            else:
                self._acknowledge(call, outcome)
        if hints:
            self._publish(hints)

    async def _make_calls(
        self, tx: Transaction, key: int, batch: Sequence[Call]
    ) -> tuple[Change | None, Sequence[Committed | BaseException]]:
        outcomes: list[Committed | BaseException] = []
        tx.changed = False
        change = await self._locked.lock(tx, key, self._cache.get(key))
        for call in batch:
            before = change.cached.row
            try:
                committed = await self._locked.append(tx, change, call.events, call.execution, call.at, call.last_seq)
                if call.audit is not None and committed.events:
                    of_commit = entry_of_commit(call.audit, committed.row.id, committed.events[0].type)
                    await insert_audit(tx, of_commit)
                outcomes.append(committed)
            except BaseException as error:
                if not is_callers(error) or change.cached.row is not before:
                    raise
                outcomes.append(error)
        tx.changed = change.events > 0
        return change, outcomes

    def _keep(self, cached: CachedInstance) -> None:
        self._cache.forget(cached.key)
        if cached.row.status not in FINAL_STATUSES:
            self._cache.put(cached)

    def _acknowledge(self, call: Call, committed: Committed) -> None:
        if call.on_commit is not None:
            try:
                call.on_commit(committed)
            except Exception as error:  # noqa: BLE001 - the commit stands whatever its callback does
                handler = asyncio.get_running_loop().call_exception_handler
                handler({"message": "an on_commit callback failed", "exception": error})
        call.resolve(committed)
