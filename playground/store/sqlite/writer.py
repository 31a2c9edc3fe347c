"""Who commits: one thread, or the event loop itself where that is quicker. Only one of the two at a time.

Work that is handed in while the thread's commit waits for the disk shares its next one. Work whose acknowledgement
somebody waits for, and that comes alone while the thread rests, is committed on the event loop: to hand it over and to
hear of its end takes as long as the commit itself, since both threads want the one interpreter. The loop stands still
meanwhile; so after a commit that took long there, the next ones are the thread's for many times as long.

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

from playground.store.errors import StoreError
from playground.store.metrics import StoreMetrics
from playground.store.notifications import Changes

T = TypeVar("T")

BATCH = 512  # most entries of one commit
LOOP_SECONDS = 0.002  # a commit on the event loop that takes longer ...
LOOP_REST = 10  # ... is the last there for so many times as long
LOOP_COMMITS = 250  # in a row; then the thread makes one, and what is due from time to time
CLOSED = "the store is closed"

Log = Callable[..., None]
NOTHING_CHANGED = Changes()


class Transaction(Protocol):
    """What the writer drives, all on its own thread. It counts its commits and their events in `metrics`."""

    metrics: StoreMetrics

    def commit(self) -> Changes:
        """Make everything since the last commit durable. Whatever it raises, nothing of it was written."""

    def rollback(self) -> None:
        """Forget everything since the last commit."""

    def explain(self, fault: Exception) -> Exception:
        """What the caller of an entry that could not be written is told."""

    def close(self) -> None: ...


class Entry:
    """One call: `work` is run on the writer, perhaps again when another entry of its commit failed, so it must not
    mind.
    """

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
    """Runs work in group commits and hands the results to the event loop, one wake-up per commit.

    Args:
        transaction: what commits; never used by two threads at once. allow: told by who is about to commit whether it
        may take its time: wait for others, and do what is due from time to time. changed: called on the event loop with
        what each commit changed that others wait for. log: is told, on the event loop, of commits that fail or take
        `slow_seconds` or longer.
    """

    def __init__(
        self,
        transaction: Transaction,
        allow: Callable[[bool], None],
        changed: Callable[[Changes], None],
        log: Log,
        slow_seconds: float,
    ) -> None:
        self._transaction, self._allow = transaction, allow
        self._changed = changed
        self._log, self._slow_seconds = log, slow_seconds
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._handed = 0  # entries that are the thread's until the event loop has heard of their end
        self._alone: Entry | None = None  # is committed on the event loop unless another comes before
        self._in_a_row = 0  # commits made there
        self._not_before = 0.0  # when the next may be
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T], on_commit: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Hand in work; the future resolves once the commit that holds it is durable.

        `on_commit` is called with the result by who committed, right after the commit, before anyone else hears of it.

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
        busy = self._handed or self._alone is not None
        if on_commit is None or busy or self._in_a_row == LOOP_COMMITS or entry.since < self._not_before:
            self._hand_over(entry)
        else:
            self._alone = entry
            loop.call_soon(self._commit_alone)
        return future

    def stop(self) -> None:
        """Take nothing more. Called where `submit` is; again, it does nothing."""
        if not self._closing:
            self._closing = True
            self._hand_over(None)

    def close(self) -> None:
        """Commit what was handed in, then end the thread. Blocks until it has ended; calling it again does nothing."""
        self.stop()
        self._thread.join()

    def _hand_over(self, entry: Entry | None) -> None:
        if self._alone is not None:
            alone, self._alone = self._alone, None
            self._hand_over(alone)
        self._in_a_row = 0
        self._handed += 1
        self._queue.put(entry)

    def _commit_alone(self) -> None:
        entry, self._alone = self._alone, None
        if entry is None:
            return  # the thread has it
        self._in_a_row += 1
        try:
            self._allow(False)
            changes = self._commit([entry])
        except Exception:  # noqa: BLE001 - the thread tries again, and tells what comes of it
            self._transaction.rollback()
            self._hand_over(entry)
            return
        took = perf_counter() - entry.since
        if took > LOOP_SECONDS:
            self._not_before = perf_counter() + LOOP_REST * took
        self._deliver([entry], changes)

    def _run(self) -> None:
        waiting = self._queue
        open_ = True
        while open_:
            taken = [waiting.get()]
            for _ in range(min(waiting.qsize(), BATCH - 1)):
                taken.append(waiting.get_nowait())
            open_ = None not in taken
            batch = [entry for entry in taken if entry is not None]
            if batch:
                self._settle(batch)
        self._transaction.close()

    def _settle(self, batch: Sequence[Entry]) -> None:
        try:
            self._allow(True)
            changes = self._commit(batch)
        except Exception as fault:  # noqa: BLE001 - a call must get an answer, whatever went wrong
            self._transaction.rollback()
            if len(batch) > 1 and not isinstance(fault, sqlite3.OperationalError):
                for entry in batch:  # one of them is at fault: let each stand for itself
                    self._settle([entry])
                return
            changes = NOTHING_CHANGED
            self._transaction.metrics.failures += 1
            self._transaction.metrics.failing = True
            self._call(partial(self._log, "database_error", error=f"{type(fault).__name__}: {fault}", calls=len(batch)))
            for entry in batch:
                entry.error = self._transaction.explain(fault)
        self._call(self._take_back, batch, changes)

    def _measured(self, seconds: float, calls: int) -> None:
        self._transaction.metrics.seconds.add(seconds)
        if seconds >= self._slow_seconds:
            self._call(partial(self._log, "slow_commit", seconds=round(seconds, 3), calls=calls))

    def _commit(self, batch: Sequence[Entry]) -> Changes:
        for entry in batch:
            entry.error = None
            try:
                entry.result = entry.work()
            except sqlite3.Error:
                raise
            except StopIteration as error:  # a future can't carry it
                entry.error = RuntimeError(f"StopIteration in a decider: {error}")
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller; the writer lives on
                entry.error = error
        metrics = self._transaction.metrics
        before = metrics.commits
        changes = self._transaction.commit()
        if metrics.commits != before:
            self._measured(perf_counter() - batch[0].since, len(batch))
        for entry in batch:
            if entry.on_commit is not None and entry.error is None:
                try:
                    entry.on_commit(entry.result)
                except Exception as error:  # noqa: BLE001 - the commit stands whatever its listener does
                    self._call(self._report, error)
        return changes

    def _call(self, callback: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None, "work comes from a loop"
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *args)

    def _take_back(self, batch: Sequence[Entry], changes: Changes) -> None:
        self._handed -= len(batch)
        self._deliver(batch, changes)

    def _deliver(self, batch: Sequence[Entry], changes: Changes) -> None:
        for entry in batch:
            if entry.future.done():  # cancelled
                continue
            if entry.error is None:
                entry.future.set_result(entry.result)
            else:
                entry.future.set_exception(entry.error)
        if changes is not NOTHING_CHANGED:
            self._changed(changes)

    def _report(self, error: Exception) -> None:
        handler = asyncio.get_running_loop().call_exception_handler
        handler({"message": "an on_commit callback failed", "exception": error})
