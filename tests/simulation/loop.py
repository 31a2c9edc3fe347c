"""An event loop for many simulated processes in one thread: virtual time, and an order of callbacks drawn from a seed.

Every callback belongs to a process, which its context names. Callbacks of one process run in the order of asyncio;
whose turn is next is drawn from the seed. Time moves only when nobody that may run has anything to do, so that a run
takes as long as its callbacks, and is the same each time. A frozen process runs nothing while time goes on; its timers
that fall due meanwhile run at once when it thaws, in their order. A dead process never runs again.

Sockets are pipes in memory: what one end sends is readable at the other at once.

Architecture Invariant: nothing here reads the machine's clock, or starts a thread.
"""

import asyncio
import contextvars
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import Any


class Process:
    """Callbacks that live and die together: a node, a worker, the network, or the simulation itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = self.dead = False
        self.queue: deque[asyncio.Handle] = deque()
        self.listed = False  # among those that may run

    def __repr__(self) -> str:
        return self.name


class Stuck(Exception):
    """Nothing is left to do, and the simulation has not ended."""


MAIN = Process("simulation")
_process: contextvars.ContextVar[Process] = contextvars.ContextVar("process", default=MAIN)


def current_process() -> Process:
    """The process whose callback runs now."""
    return _process.get()


def context_in(process: Process) -> contextvars.Context:
    """A fresh context, in which everything that begins belongs to this process."""
    context = contextvars.Context()
    context.run(_process.set, process)
    return context


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number, so that a set of tasks has the same order in every run."""

    def __init__(self, coroutine: Any, number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class SimulationLoop(asyncio.BaseEventLoop):
    """The loop. Everything is drawn from `rng`.

    `at_rest` is called each time before time moves, with nothing left to run now.
    """

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._seconds = 0.0
        self._order, self._tasks = itertools.count(), itertools.count()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._runnable: list[Process] = []
        self._readers: dict[Pipe, tuple[Callable[..., None], tuple[Any, ...], contextvars.Context]] = {}
        self.at_rest: Callable[[], None] = lambda: None
        self.callbacks = 0  # run so far
        self.set_task_factory(
            lambda loop, coroutine, **options: _Task(coroutine, next(self._tasks), loop=loop, **options)
        )

    def time(self) -> float:
        """Seconds of virtual time since the start."""
        return self._seconds

    def now_ms(self) -> int:
        """Whole milliseconds of virtual time since the start."""
        return int(self._seconds * 1000 + 1e-6)

    # What asyncio calls.

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        """As in asyncio, in the process of the context."""
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is one thread

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        """As in asyncio."""
        return self.call_at(self._seconds + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        """As in asyncio."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Runs it at once."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            future.set_exception(error)
        return future

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """A cancelled timer is dropped when its time comes."""

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """No thread has to wake it."""

    # Processes.

    def freeze(self, process: Process) -> None:
        """Let a process do nothing until it is thawed."""
        process.frozen = True
        self._unlist(process)

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on, with everything that it is late with."""
        process.frozen = False
        self._list(process)

    def kill(self, process: Process) -> None:
        """Let a process never run again."""
        process.dead = True
        process.queue.clear()
        self._unlist(process)

    def _list(self, process: Process) -> None:
        if process.queue and not (process.listed or process.frozen or process.dead):
            process.listed = True
            self._runnable.append(process)

    def _unlist(self, process: Process) -> None:
        if process.listed:
            process.listed = False
            self._runnable.remove(process)

    def _enqueue(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(_process, MAIN)  # type: ignore[attr-defined]
        if process.dead:
            return
        process.queue.append(handle)
        if not process.listed:
            self._list(process)

    def _run_once(self) -> None:
        runnable, random_ = self._runnable, self._rng.random
        while runnable and not self._stopping:  # type: ignore[attr-defined]
            process = runnable[0] if len(runnable) == 1 else runnable[int(random_() * len(runnable))]
            handle = process.queue.popleft()
            if not process.queue:
                self._unlist(process)
            if not handle._cancelled:  # type: ignore[attr-defined]
                self.callbacks += 1
                handle._run()  # type: ignore[attr-defined]
        if not self._stopping:  # type: ignore[attr-defined]
            self._move_time()

    def _move_time(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:  # type: ignore[attr-defined]
            heapq.heappop(timers)
        if not timers:
            raise Stuck("nothing is left to do")
        if timers[0][0] > self._seconds:
            self.at_rest()
            self._seconds = timers[0][0]
        when = self._seconds
        while timers and timers[0][0] <= when:
            handle = heapq.heappop(timers)[2]
            handle._scheduled = False
            if not handle._cancelled:  # type: ignore[attr-defined]
                self._enqueue(handle)

    # Pipes.

    def add_reader(self, pipe: "Pipe", callback: Any, *args: Any) -> None:  # type: ignore[override]
        """Call back while there is something to read."""
        pipe.loop = self
        self._readers[pipe] = (callback, args, contextvars.copy_context())
        self.on_readable(pipe)

    def remove_reader(self, pipe: "Pipe") -> bool:  # type: ignore[override]
        """As in asyncio."""
        return self._readers.pop(pipe, None) is not None

    def on_readable(self, pipe: "Pipe") -> None:
        """Something may be read from this end now."""
        found = self._readers.get(pipe)
        if found is not None and pipe.readable and not pipe.notified:
            pipe.notified = True
            self.call_soon(self._read, pipe, context=found[2])

    def _read(self, pipe: "Pipe") -> None:
        pipe.notified = False
        found = self._readers.get(pipe)
        if found is not None and pipe.readable:
            found[0](*found[1])
            self.on_readable(pipe)


class Pipe:
    """One end of a stream socket in memory; see `pipe`. `on_data` is called when something may be read, where set."""

    other: "Pipe"

    def __init__(self) -> None:
        self.loop: SimulationLoop | None = None
        self.notified = False
        self._data = bytearray()
        self._ended = self._closed = False  # by the other end, by this one
        self.on_data: Callable[[], None] | None = None

    @property
    def readable(self) -> bool:
        """Whether a read would return at once."""
        return bool(self._data) or self._ended

    def send(self, data: bytes) -> int:
        """Send all of it."""
        if self._closed or self._ended:
            raise BrokenPipeError("the other end is closed")
        self.other._data += data
        self.other._notify()
        return len(data)

    sendall = send

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read what there is, up to `size` bytes; nothing at the end of the stream. `flags` are not looked at."""
        if not self.readable:
            raise BlockingIOError
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    def close(self) -> None:
        """Close both directions."""
        if not self._closed:
            self._closed = True
            self.other._ended = True
            self.other._notify()

    def _notify(self) -> None:
        if self.on_data is not None:
            self.on_data()
        elif self.loop is not None:
            self.loop.on_readable(self)


def pipe() -> tuple[Pipe, Pipe]:
    """The two ends of a stream."""
    one, other = Pipe(), Pipe()
    one.other, other.other = other, one
    return one, other
