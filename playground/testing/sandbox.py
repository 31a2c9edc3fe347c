"""Workers for tests: threads of this process that run the real worker code, without isolation.

For your own code only, since the code shares the process. While a test is open, stdout, stderr and logging are
redirected: what a worker's thread prints goes to its run's log, everything else where it went before.
"""

import asyncio
import contextvars
import inspect
import io
import logging
import signal
import socket
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from playground.packages.installation import Package
from playground.sandbox.handle import EXIT, SIGNAL, Exit
from playground.sandbox.tiers import Tier
from playground.testing.clock import VirtualClock, VirtualLoop
from playground.testing.mocks import MockedSteps, Mocks
from playground.worker import failures
from playground.worker import main as worker_main
from playground.worker.attempts import ExecutionContext
from playground.worker.channel import Channel
from playground.worker.logs import LogHandler, LogStream, log_config
from playground.worker.run import MODULE, Execution, Process
from playground.worker.steps import Steps
from playground.worker.unawaited import TenantWarnings


class _Log:
    """The streams of one worker, and its configuration by `logging.basicConfig`."""

    def __init__(self, streams: Mapping[str, LogStream]) -> None:
        self.streams = streams
        self.handler = LogHandler(streams["logging"])
        self.level: int | None = None  # of loggers that have none of their own
        self.configured = False

    def configure(self, given: Mapping[str, Any]) -> None:
        """As `basicConfig` in a script: the first call counts. Options that send records elsewhere are ignored."""
        wanted = log_config(given, lambda other: isinstance(other, (LogStream, _RoutedStream)))
        if wanted is None or (self.configured and not given.get("force")):
            return
        self.configured = True
        self.handler = LogHandler(self.streams["logging"], wanted.formatter)
        if wanted.level is not None:
            self.level = wanted.level
            root = logging.getLogger()
            root.setLevel(
                min(root.level, wanted.level)
            )  # of the process; `_RoutedRecords` filters by each worker's level


_log: contextvars.ContextVar[_Log | None] = contextvars.ContextVar("log", default=None)


def route(streams: Mapping[str, LogStream]) -> None:
    """Send what this context, and every task made in it, prints or logs to these streams."""
    _log.set(_Log(streams))


def _stderr() -> LogStream | None:
    log = _log.get()
    return None if log is None else log.streams["stderr"]


class _RoutedStream(io.TextIOBase):
    def __init__(self, name: str, original: Any) -> None:
        self._name, self._original = name, original

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return int(self._target().write(text))

    def flush(self) -> None:
        self._target().flush()

    def _target(self) -> Any:
        log = _log.get()
        return self._original if log is None else log.streams[self._name]

    def close(self) -> None:
        """Does nothing: the process's output must not be closed with this object."""

    def isatty(self) -> bool:
        return False


class _RoutedRecords(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = _log.get()
        if log is not None and (log.level is None or record.levelno >= log.level or _has_own_level(record.name)):
            log.handler.emit(record)


def _has_own_level(name: str) -> bool:
    """Whether a logger's level is its own or of a parent below the root."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger.parent is not None and logger.level == logging.NOTSET:
        logger = logger.parent
    return logger is not None and logger.parent is not None


class Routing:
    """Redirects the process's output while at least one test is open."""

    def __init__(self) -> None:
        self._open = 0
        self._original: tuple[Any, Any, int, Any] = (None, None, 0, None)
        self._ours: tuple[Any, Any] = (None, None)
        self._records = _RoutedRecords()
        self._warnings = TenantWarnings(MODULE, _stderr)

    def start(self) -> None:
        """Count one more open test; the first redirects the output."""
        self._open += 1
        if self._open > 1:
            return
        root = logging.getLogger()
        self._original = (sys.stdout, sys.stderr, root.level, logging.basicConfig)
        self._ours = sys.stdout, sys.stderr = _RoutedStream("stdout", sys.stdout), _RoutedStream("stderr", sys.stderr)
        root.addHandler(self._records)
        root.setLevel(min(root.level, logging.INFO))
        logging.basicConfig = self._configure
        self._warnings.install()

    def stop(self) -> None:
        """Count one open test less; the last restores the output. What others have replaced meanwhile stays."""
        self._open -= 1
        if self._open:
            return
        root = logging.getLogger()
        if sys.stdout is self._ours[0]:
            sys.stdout = self._original[0]
        if sys.stderr is self._ours[1]:
            sys.stderr = self._original[1]
        root.removeHandler(self._records)
        root.setLevel(self._original[2])
        logging.basicConfig = self._original[3]
        self._warnings.uninstall()

    def _configure(self, **given: Any) -> None:
        log = _log.get()
        if log is None:
            self._original[3](**given)
        else:
            log.configure(given)


KILLED_KEPT = 16  # killed workers whose coroutines are kept suspended, since a kill runs no `finally`
TURNS = 20  # of the loop, in which cancelled coroutines of a killed worker may end
JOIN_SECONDS = 2.0  # for a thread to end
TIER = Tier(
    "D", "NOT isolated: threads of this process, for tests of your own code only.", "Serve with `playground`.", ()
)


# Tasks that ignore every cancellation. They are kept, since garbage collection would run their code again.
_unstoppable_tasks: list[asyncio.Task[Any]] = []


class LocalChannel(Channel):
    """A worker's end of its socket. It may be shut down while the thread lives on; what is sent then is lost."""

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            pass


class LocalProcess(Process):
    """The thread that stands for a worker's process. `workflow` is a class to run instead of the source."""

    def __init__(self, mocks: Mocks, workflow: type | None) -> None:
        self._mocks, self._workflow = mocks, workflow
        self.killed = False

    def exit(self, code: int = 0) -> None:
        """See `Process`; the thread goes on to its end."""
        self.has_exited = True

    def prepare(self, loop: asyncio.AbstractEventLoop, captured: Mapping[str, LogStream]) -> None:
        """See `Process`; for this thread only."""
        asyncio.set_event_loop(loop)
        route(captured)
        if self._workflow is not None:
            failures.set_tenant_file(inspect.getfile(self._workflow))

    def redirect_output(self, captured: Mapping[str, LogStream]) -> None:
        """See `Process`; what this thread prints goes there already."""

    def make_steps(self, context: ExecutionContext) -> Steps:
        """See `Process`."""
        steps = MockedSteps(context)
        steps.mocks, steps.killed = self._mocks, lambda: self.killed
        return steps

    def load_module(self, source: str) -> types.ModuleType:
        """See `Process`. A class runs where it was written, so that it sees what its test sees."""
        if self._workflow is None:
            module = super().load_module(source)
        else:
            found = sys.modules[self._workflow.__module__]
            module = types.ModuleType(found.__name__)
            module.__dict__.update(found.__dict__)
            setattr(module, self._workflow.__name__, self._workflow)
        module.__dict__.update(self._mocks.classes)
        return module


class LocalWorker:
    """One worker: see `playground.sandbox.handle.Worker`."""

    executions = 0  # it is never used again

    def __init__(self, label: str, process: LocalProcess, clock: VirtualClock, changed: Callable[[], None]) -> None:
        self.label = label
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        self._main = asyncio.get_running_loop()
        self.exited: asyncio.Future[Exit] = self._main.create_future()
        self._process, self._changed = process, changed
        self._released = threading.Event()
        self.loop = VirtualLoop(LocalChannel(theirs.detach()), clock, self._rested)
        self._thread = threading.Thread(
            target=contextvars.Context().run, args=(self._run_thread,), name=label, daemon=True
        )
        self._thread.start()

    def processor_seconds(self) -> float | None:
        """Not known of a thread that shares its process."""
        return None

    def kill(self) -> None:
        """As SIGKILL: nothing that it sends from now on is received, and no `finally` of its code runs before the
        end of the test.
        """
        self._process.killed = True
        if not self.exited.done():
            self.exited.set_result(Exit(signal.SIGKILL, None, SIGNAL))
        self._shut_down_socket()

    def close(self) -> None:
        """Kill it if it runs, and close its socket."""
        self.kill()
        self.sock.close()

    def at_rest(self) -> bool:
        """Whether it can do nothing until a frame arrives or time moves."""
        return not self.exited.done() and self.sock.fileno() >= 0 and self.loop.at_rest(self.sock)

    def due(self) -> int | None:
        """When its own next timer is due (epoch milliseconds)."""
        return None if self.exited.done() else self.loop.selector.due

    def release(self) -> None:
        """Let the thread end: cancel what is left of the killed code."""
        self._shut_down_socket()
        self._released.set()

    def join(self) -> None:
        """Wait briefly for the end of the thread; one with a blocked callback is left running."""
        self._thread.join(JOIN_SECONDS)

    def _shut_down_socket(self) -> None:
        try:
            self.loop.channel.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended

    def _run_thread(self) -> None:
        try:
            worker_main.serve(Execution(self.loop, self._process))
        finally:
            self._call_in_test(self._on_exit)
            if asyncio.all_tasks(self.loop):
                self._released.wait()
            self._close_loop()

    def _close_loop(self) -> None:
        loop = self.loop
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        for _ in range(TURNS):
            if all(task.done() for task in tasks):
                break
            loop.call_soon(loop.stop)
            loop.run_forever()
        _unstoppable_tasks.extend(task for task in tasks if not task.done())
        loop.channel.socket.close()
        loop.close()

    def _on_exit(self) -> None:
        if not self.exited.done():
            self.exited.set_result(Exit(None, 0, EXIT))
        self._shut_down_socket()
        self._changed()

    def _rested(self) -> None:
        self._call_in_test(self._changed)

    def _call_in_test(self, callback: Callable[[], None]) -> None:
        try:
            self._main.call_soon_threadsafe(callback)
        except RuntimeError:
            pass  # the test is over


class LocalSandbox:
    """Replaces `playground.sandbox.pool.Sandbox` in tests of your own workflows."""

    tier = TIER
    keeps_workers = False
    packages: tuple[Package, ...] = ()  # workers import what this process can
    module_names: Mapping[str, Sequence[str]] = {}

    def __init__(self, clock: VirtualClock, mocks: Mocks, workflow: type | None, changed: Callable[[], None]) -> None:
        self._clock, self._mocks, self._workflow, self._changed = clock, mocks, workflow, changed
        self._number = 0
        self._workers: deque[LocalWorker] = deque()

    async def take_worker(self) -> LocalWorker:
        """Start a new worker."""
        self._number += 1
        worker = LocalWorker(
            f"local.{self._number}", LocalProcess(self._mocks, self._workflow), self._clock, self._changed
        )
        self._workers.append(worker)
        ended = [one for one in self._workers if one.exited.done()]
        for one in ended[:-KILLED_KEPT]:
            one.close()
            one.release()
            self._workers.remove(one)
        return worker

    def due(self) -> int | None:
        """When the first of all workers' own timers is due."""
        return min((due for worker in self._workers if (due := worker.due()) is not None), default=None)

    def move(self) -> None:
        """Time has moved: wake the workers whose timers are due."""
        for worker in self._workers:
            due = worker.due()
            if due is not None and due <= self._clock.now():
                worker.loop.wake()

    def kill_all(self) -> None:
        """The server died, and its workers with it."""
        for worker in self._workers:
            worker.close()

    async def close(self) -> None:
        """Let every thread end."""
        for worker in self._workers:
            worker.close()
            worker.release()
        for worker in self._workers:
            await asyncio.to_thread(worker.join)
        self._workers.clear()
