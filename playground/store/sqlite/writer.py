"""The writer: group commits on one thread, or single commits on the event loop where that is quicker.

Calls that are submitted while the thread's commit waits for the disk share its next one. A single call with an
`on_commit` callback that comes while the thread is idle is committed on the event loop: the two thread switches would
take as long as the commit itself, since both threads need the one interpreter. That blocks the loop, so after a slow
commit there the thread makes all commits for many times as long.

Architecture Invariant: only one of the two commits at a time.

One thread and one event loop, per process on purpose: the file's lock lets one process write, and all its engines
share a loop.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol, TypeVar

from playground.store.errors import CLOSED, StoreError
from playground.store.metrics import StoreMetrics
from playground.store.notifications import CommitChanges
from playground.store.protocol import Log

T = TypeVar("T")

BATCH_ENTRIES = 512  # the most per commit
LOOP_SECONDS = 0.002  # after a longer commit on the event loop ...
LOOP_REST_FACTOR = 10  # ... the thread commits for so many times as long
LOOP_COMMITS_MAX = 250  # in a row on the loop; then the thread makes one, which may checkpoint

NO_CHANGES = CommitChanges()


class Transaction(Protocol):
    """The transaction that a writer commits. It counts commits and their events in `metrics`."""

    metrics: StoreMetrics

    def commit(self) -> CommitChanges:
        """Make everything since the last commit durable. When it raises, nothing was written."""

    def rollback(self) -> None:
        """Drop everything since the last commit."""

    def explain(self, fault: Exception) -> Exception:
        """The error to raise in callers whose work could not be written."""

    def close(self) -> None: ...


class Entry:
    """One call. `work` must be repeatable: it runs again when another entry of its commit failed."""

    __slots__ = ("error", "future", "on_commit", "result", "since", "work")

    def __init__(
        self, work: Callable[[], Any], future: asyncio.Future[Any], on_commit: Callable[[Any], None] | None
    ) -> None:
        self.work = work
        self.future = future
        self.on_commit = on_commit
        self.result: Any = None
        self.error: BaseException | None = None
        self.since = perf_counter()


class Writer:
    """Runs calls in group commits and delivers results to the event loop, one wake-up per commit.

    Args:
        transaction: never used by two threads at once.
        allow_waiting: called before each commit with whether it may wait for locks and run a checkpoint.
        on_changes: called on the event loop with the changes of each commit.
        log: called on the event loop for commits that fail or take `slow_seconds` or longer.
    """

    def __init__(
        self,
        transaction: Transaction,
        allow_waiting: Callable[[bool], None],
        on_changes: Callable[[CommitChanges], None],
        log: Log,
        slow_seconds: float,
    ) -> None:
        self._transaction, self._allow_waiting = transaction, allow_waiting
        self._on_changes = on_changes
        self._log, self._slow_seconds = log, slow_seconds
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._thread_entries = 0  # submitted to the thread and not yet delivered
        self._loop_entry: Entry | None = None  # to commit on the event loop, unless another entry comes first
        self._loop_commits = 0  # in a row
        self._loop_not_before = 0.0  # when the next may be made
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T], on_commit: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Submit work; the future resolves once its commit is durable.

        `on_commit` is called with the result right after the commit, on the thread that made it, before any other
        notification.

        Raises:
            StoreError: the store is closed.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            assert self._loop is None or self._loop.is_closed(), "a store is used from one event loop at a time"
            self._loop = loop
        if self._closing:
            raise StoreError(CLOSED)
        future: asyncio.Future[T] = loop.create_future()
        entry = Entry(work, future, on_commit)
        busy = self._thread_entries or self._loop_entry is not None
        if on_commit is None or busy or self._loop_commits == LOOP_COMMITS_MAX or entry.since < self._loop_not_before:
            self._submit_to_thread(entry)
        else:
            self._loop_entry = entry
            loop.call_soon(self._commit_on_loop)
        return future

    def stop(self) -> None:
        """Accept no more work. Called on the event loop; calling it again does nothing."""
        if not self._closing:
            self._closing = True
            self._submit_to_thread(None)

    def close(self) -> None:
        """Commit submitted work and join the thread. Blocks; calling it again does nothing."""
        self.stop()
        self._thread.join()

    def _submit_to_thread(self, entry: Entry | None) -> None:
        if self._loop_entry is not None:
            waiting, self._loop_entry = self._loop_entry, None
            self._submit_to_thread(waiting)
        self._loop_commits = 0
        self._thread_entries += 1
        self._queue.put(entry)

    def _commit_on_loop(self) -> None:
        entry, self._loop_entry = self._loop_entry, None
        if entry is None:
            return  # it was submitted to the thread
        assert self._thread_entries == 0, "the thread is idle while the event loop commits"
        self._loop_commits += 1
        try:
            self._allow_waiting(False)
            changes = self._commit([entry])
        except Exception:  # noqa: BLE001 - the thread tries again, and reports what fails
            self._transaction.rollback()
            self._submit_to_thread(entry)
            return
        took = perf_counter() - entry.since
        if took > LOOP_SECONDS:
            self._loop_not_before = perf_counter() + LOOP_REST_FACTOR * took
        self._deliver([entry], changes)

    def _run(self) -> None:
        entries = self._queue
        open_ = True
        while open_:
            taken = [entries.get()]
            for _ in range(min(entries.qsize(), BATCH_ENTRIES - 1)):
                taken.append(entries.get_nowait())
            open_ = None not in taken
            batch = [entry for entry in taken if entry is not None]
            if batch:
                self._commit_or_fail(batch)
        self._transaction.close()

    def _commit_or_fail(self, batch: Sequence[Entry]) -> None:
        try:
            self._allow_waiting(True)
            changes = self._commit(batch)
        except Exception as fault:  # noqa: BLE001 - a caller must get a result, whatever went wrong
            self._transaction.rollback()
            if len(batch) > 1 and not isinstance(fault, sqlite3.OperationalError):
                for entry in batch:  # one of them is at fault: commit each alone
                    self._commit_or_fail([entry])
                return
            changes = NO_CHANGES
            self._transaction.metrics.failures += 1
            self._transaction.metrics.failing = True
            self._call_on_loop(
                partial(self._log, "database_error", error=f"{type(fault).__name__}: {fault}", calls=len(batch))
            )
            for entry in batch:
                entry.error = self._transaction.explain(fault)
        self._call_on_loop(self._deliver_from_thread, batch, changes)

    def _record_duration(self, seconds: float, calls: int) -> None:
        self._transaction.metrics.seconds.add(seconds)
        if seconds >= self._slow_seconds:
            self._call_on_loop(partial(self._log, "slow_commit", seconds=round(seconds, 3), calls=calls))

    def _commit(self, batch: Sequence[Entry]) -> CommitChanges:
        for entry in batch:
            entry.error = None
            try:
                entry.result = entry.work()
            except sqlite3.Error:
                raise
            except StopIteration as error:  # a future cannot hold it
                entry.error = RuntimeError(f"StopIteration in a decider: {error}")
            except BaseException as error:  # noqa: BLE001 - it is the caller's error; the writer goes on
                entry.error = error
        metrics = self._transaction.metrics
        before = metrics.commits
        changes = self._transaction.commit()
        if metrics.commits != before:
            self._record_duration(perf_counter() - batch[0].since, len(batch))
        for entry in batch:
            if entry.on_commit is not None and entry.error is None:
                try:
                    entry.on_commit(entry.result)
                except Exception as error:  # noqa: BLE001 - the commit stands whatever its callback does
                    self._call_on_loop(self._report_callback_error, error)
        return changes

    def _call_on_loop(self, callback: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None, "work comes from a loop"
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(callback, *args)

    def _deliver_from_thread(self, batch: Sequence[Entry], changes: CommitChanges) -> None:
        self._thread_entries -= len(batch)
        assert self._thread_entries >= 0, "what the thread delivers was submitted to it"
        self._deliver(batch, changes)

    def _deliver(self, batch: Sequence[Entry], changes: CommitChanges) -> None:
        for entry in batch:
            if entry.future.done():  # cancelled
                continue
            if entry.error is None:
                entry.future.set_result(entry.result)
            else:
                entry.future.set_exception(entry.error)
        if changes is not NO_CHANGES:
            self._on_changes(changes)

    def _report_callback_error(self, error: Exception) -> None:
        handler = asyncio.get_running_loop().call_exception_handler
        handler({"message": "an on_commit callback failed", "exception": error})
