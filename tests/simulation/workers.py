"""Workers of the simulation: the real worker code, each on an event loop of its own that is stepped, not run.

A worker runs until it would wait, which is one callback of the simulation's loop; a frame or its own timer makes it run
again. Its channel is a pipe in memory. Nothing of it is a model: replay, attempts and frames are those of
`playground.worker`, as in the test kit (playground/testing/sandbox.py), which runs them on threads.
"""

import asyncio
import contextvars
import signal
import types
from asyncio import events
from collections.abc import Callable, Mapping
from typing import Any

from playground.sandbox.handle import EXIT, SIGNAL, Exit
from playground.sandbox.tiers import Tier
from playground.worker.channel import HEADER_BYTES, Channel
from playground.worker.logs import LogStream
from playground.worker.loop import IdleSelector, LockedLoop
from playground.worker.run import Execution
from playground.worker.run import Process as WorkerProcess
from simulation import programs
from simulation.loop import Pipe, Process, SimulationLoop, context_in, current_process, pipe

NOT_ISOLATED = Tier("D", "Workers of a simulation.", "", ())
ISOLATED = Tier("A", "Workers of a simulation that let nothing out by themselves.", "", ())
FD = 3  # what a loop knows its channel by; no file of this process is touched
TURNS = 20  # of a worker's loop, in which the coroutines of a killed one may end


class _Channel(Channel):
    """The worker's end of its pipe. What is sent once it is killed is lost."""

    def __init__(self, end: Pipe) -> None:
        super().__init__(FD, is_open=False)
        self.socket = end  # type: ignore[assignment]  # all of it that a channel uses

    def flush_old(self, seconds: float = 0.0) -> None:
        """The machine's clock has no say: what is queued is sent when the loop waits."""

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            pass


class _Selector(IdleSelector):
    """Gives the channel's data, or stops the loop where it would wait. `due`: for how many seconds; None: for ever."""

    def __init__(self, channel: _Channel) -> None:
        super().__init__(channel)
        self.loop: LockedLoop
        self.resting = False
        self.due: float | None = None

    def wait(self, timeout: float | None) -> Any:
        if self._channel.socket.readable:  # type: ignore[attr-defined]
            return [(key, 1) for key in self.get_map().values()]
        if timeout is None or timeout > 0:
            self.resting, self.due = True, timeout
            self.loop.stop()
        return []


class _Loop(LockedLoop):
    """A worker's loop on the simulation's time."""

    def __init__(self, channel: _Channel, simulation: SimulationLoop) -> None:
        self.selector = _Selector(channel)
        self.selector.loop = self
        self._simulation = simulation
        super().__init__(channel, self.selector)

    def machine_time(self) -> float:
        return self._simulation.time()


class _Process(WorkerProcess):
    """What a worker does to its process. The loop of `Execution.run` ends where the worker rests."""

    def __init__(self, selector: _Selector, workflow: type) -> None:
        self._selector, self._workflow = selector, workflow
        self.exited = False

    @property
    def has_exited(self) -> bool:  # type: ignore[override]
        return self.exited or self._selector.resting

    def exit(self, code: int = 0) -> None:
        self.exited = True

    def prepare(self, loop: asyncio.AbstractEventLoop, streams: Mapping[str, LogStream]) -> None:
        """This process's output stays as it is."""

    def redirect_output(self, streams: Mapping[str, LogStream]) -> None:
        """This process's output stays as it is."""

    def load_module(self, source: str) -> types.ModuleType:
        module = types.ModuleType("workflow")
        module.__dict__.update(vars(programs), TenantWorkflow=self._workflow)
        return module


class Worker:
    """One worker; see `playground.sandbox.handle.Worker`."""

    executions = 0  # it is never used again

    def __init__(self, loop: SimulationLoop, label: str, workflow: type) -> None:
        self.label = label
        self.sock, self._end = pipe()
        self._simulation = loop
        self.process = Process(f"{current_process()}/{label}")
        self._in_process = context_in(self.process)
        self._context = contextvars.Context()  # of the worker's own code
        self.exited: asyncio.Future[Exit] = loop.create_future()
        self._workflow = workflow
        self._execution: Execution | None = None
        self._stepping: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._inner: _Loop | None = None
        self._end.on_data = self._step_soon

    def processor_seconds(self) -> float | None:
        """Not known."""
        return None

    @property
    def alive(self) -> bool:
        """Whether it has neither exited nor been killed."""
        return not self.exited.done() and not self.process.dead

    def kill(self) -> None:
        """As SIGKILL."""
        self._simulation.kill(self.process)
        if not self.exited.done():
            self.exited.set_result(Exit(signal.SIGKILL, None, SIGNAL))
        self._end.on_data = None
        self._end.close()

    def close(self) -> None:
        """Kill it if it runs, and close its socket."""
        self.kill()
        self.sock.close()

    def dispose(self) -> None:
        """Let the coroutines of its code end, after the run."""
        self.close()
        loop = self._inner
        if loop is None or loop.is_closed():
            return
        loop.set_exception_handler(lambda loop, context: None)
        self._nested(self._cancel_all)
        self._nested(loop.close)
        self._inner = self._execution = None

    def _cancel_all(self) -> None:
        loop = self._inner
        assert loop is not None
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        for _ in range(TURNS):
            if all(task.done() for task in tasks):
                return
            loop.call_soon(loop.stop)
            loop.run_forever()

    def _step_soon(self) -> None:
        if self._stepping is None:
            self._stepping = self._simulation.call_soon(self._step, context=self._in_process)

    def _step(self) -> None:
        self._stepping = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._nested(self._run_until_it_waits)
        selector = self._inner.selector if self._inner is not None else None
        if self._execution is not None and self._execution.process.exited:  # type: ignore[attr-defined]
            if not self.exited.done():
                self.exited.set_result(Exit(None, 0, EXIT))
            self._end.close()
            self._simulation.kill(self.process)
        elif selector is not None and selector.due is not None and self.alive:
            self._timer = self._simulation.call_later(selector.due, self._step, context=self._in_process)

    def _nested(self, run: Callable[[], None]) -> None:
        """Run something with this worker's loop as the running one."""
        running = events._get_running_loop()
        events._set_running_loop(None)
        try:
            self._context.run(run)
        finally:
            events._set_running_loop(running)

    def _run_until_it_waits(self) -> None:
        if self._execution is None:
            channel = _Channel(self._end)
            self._inner = _Loop(channel, self._simulation)
            process = _Process(self._inner.selector, self._workflow)
            self._execution = Execution(self._inner, process)
            size = int.from_bytes(self._end._data[:HEADER_BYTES], "big")
            if len(self._end._data) < HEADER_BYTES + size:
                process.exit()  # it is killed before it has begun
                return
            self._execution.run(channel.receive_first())
            return
        assert self._inner is not None
        self._inner.selector.resting, self._inner.selector.due = False, None
        while not self._execution.process.has_exited:
            self._inner.run_forever()


class Sandbox:
    """Where the workers of one boot come from. Implements what an engine uses of `playground.sandbox.pool.Sandbox`."""

    keeps_workers = False

    def __init__(self, loop: SimulationLoop, tier: Tier, workflow: type, made: Callable[[Worker], None]) -> None:
        self._loop, self.tier, self._workflow, self._made = loop, tier, workflow, made
        self._count = 0

    async def take_worker(self) -> Worker:
        """A worker."""
        self._count += 1
        worker = Worker(self._loop, f"w{self._count}", self._workflow)
        self._made(worker)
        return worker
