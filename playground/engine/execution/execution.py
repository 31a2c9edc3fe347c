"""One execution: a worker's whole life for an instance, from its start frame to the event that says how it ended.

The parts stand beside this file and know of it what context.py says: start.py how it gets going, frame_handlers.py
what each frame means, attempts.py a `do`'s attempts, waits.py sleeps and waits, rollback.py the saga, budget.py
how much the worker may say, watchdog.py when it is given up, worker_exit.py what its death means. Frames become
events through the pipeline; what the worker waits for is sent (acknowledgements.py) when the commit that holds it is
durable.

The journal is its mailbox: whoever wants something of the instance commits it, on whichever node, and the execution
acts on what it did not write itself (`hear`). There is no other way to it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from playground.engine import messages, operations
from playground.engine.execution import open_steps, pipeline
from playground.engine.execution.attempts import Acknowledgements, Attempts
from playground.engine.execution.budget import Budget
from playground.engine.execution.context import Services
from playground.engine.execution.environment import ExecutionEnvironment
from playground.engine.execution.faults import Breaks, Chaos
from playground.engine.execution.frame_handlers import handle_frame
from playground.engine.execution.gate import OutputGate, may_run_ahead
from playground.engine.execution.open_steps import OpenStep
from playground.engine.execution.pipeline import Pipeline
from playground.engine.execution.rollback import Rollback
from playground.engine.execution.start import Start
from playground.engine.execution.waits import Waits
from playground.engine.execution.watchdog import CpuWatchdog, IdleTimeout, WorkerExit
from playground.engine.metrics import owner_of_limit
from playground.sandbox import frames
from playground.sandbox.channel import FrameChannel
from playground.sandbox.pool import Worker
from playground.store.protocol import Committed, Decider
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import Fenced, InstanceNotFound
from playground.workflows.events import Event, NewEvent, StepKey

# Of an execution, whoever commits it.
ENDS = frozenset({ev.EXECUTION_ENDED, ev.WORKFLOW_PAUSED, ev.WORKFLOW_RESTARTED, *ev.FINAL_TYPES})


class Execution:
    """Plays one claimed instance until it ends, sleeps, pauses or loses its worker."""

    task: asyncio.Task[None]

    def __init__(self, services: Services, row: InstanceRow, on_idle: Callable[[], None]) -> None:
        self.services, self.row, self.on_idle = services, row, on_idle
        settings = services.settings
        ahead = (settings.ahead_entries, settings.ahead_bytes, settings.ahead_ms)
        self.budget = Budget(services.limit, services.stored, ahead, row)
        self.steps: dict[StepKey, OpenStep] = {}
        self.attempts = Attempts(self)
        self.breaks = Breaks(self)
        self.chaos = Chaos(self)
        self.waits = Waits(self)
        self.rollback = Rollback(self)
        self.idle_timeout = IdleTimeout(self)
        self.cpu_watchdog = CpuWatchdog(self)
        self.bindings = ExecutionEnvironment(self)
        self.worker_exit = WorkerExit(self)
        ahead_here = may_run_ahead(services.sandbox.tier, settings)
        self.gate = OutputGate(allowed=ahead_here and "chaos" not in (row.injected or {}))
        self.acknowledgements = Acknowledgements(self)
        self.pipeline = Pipeline(
            services.store,
            row,
            services.clock.now,
            acknowledge=self.acknowledgements.acknowledge,
            heard=self.hear,
            failed=self._commit_failed,
            gate=self.gate,
        )
        self.pipeline.stamped = self._stamped
        self._clock = (0, services.clock.now())  # the workflow's, in microseconds, at a moment of ours
        self.channel: FrameChannel | None = None
        self.worker: Worker | None = None
        self.closing = self.pausing = self.diverged = False
        self.kill_at: str | None = None
        self.calls = 0
        self._over: asyncio.Future[Decider | None] = asyncio.get_running_loop().create_future()
        self._unwritten: BaseException | None = None  # why a commit could not be made
        self._tasks: set[asyncio.Task[Any]] = set()
        self.start = Start(self, self._over)

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing but durable waits left."""
        return self.idle_timeout.since is not None and not self.closing

    @property
    def journal_events(self) -> int:
        """How many events the journal has, or will have soon."""
        return self.pipeline.length

    @property
    def is_busy(self) -> bool:
        """Whether the worker runs an attempt or a call, or is owed an answer."""
        owed = (
            self.calls
            or self.pausing
            or self.closing
            or self.pipeline.answers_due
            or self.pipeline.is_behind
            or self.rollback.attempt_open
        )
        return bool(owed) or self.worker_exit.near or self.attempts.running > 0

    def open_attempt(self, key: StepKey) -> int | None:
        """The attempt of a step, or of its rollback handler, that runs now."""
        step = self.steps.get(key)
        if step is None:
            return None
        if self.rollback.running:
            return (
                step.rollback_attempt
                if self.rollback.attempt_open and step.rollback in ("running", "retrying")
                else None
            )
        return step.attempt if step.status == open_steps.RUNNING else None

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way on this side: it is for the worker, or for time, to do something."""
        return self.worker is not None and not (self.closing or self.calls) and self.pipeline.at_rest

    # The life.

    async def play(self) -> None:
        """From claim to end.

        Raises:
            NotStarted: no worker could be had, or its code not yet.
            StoreError, JournalError: what it did could not be written, so that the journal does not tell its end.
        """
        try:
            await self.start.begin()
            epilogue = await self._over
        finally:
            self._silence()
        if epilogue is not None:
            await self.pipeline.drain()
            self.pipeline.decide(epilogue, lambda committed: self.worker_exit.over(committed.row), lambda error: None)
        await self.pipeline.close()
        # Its parts know one another, so that what they hold would stay until the next collection of garbage.
        self.steps.clear()
        if self._unwritten is not None:
            raise self._unwritten

    def finish(self, *events: NewEvent) -> None:
        """The execution has ended as it should: commit these, then let the worker go."""
        self.closing = True
        self.worker_exit.reason = next(
            (event.data["reason"] for event in events if event.type == ev.EXECUTION_ENDED), ev.COMPLETED
        )
        self.pipeline.add(*self.budget.logs.truncated(), *events, then=lambda committed: self.settle(None))

    def break_limit(self, what: str, setting: str = "") -> None:
        """The worker broke a limit: the instance ends with an error that names it and says what ran.

        `setting` is the limit's name, where the word that `what` begins with does not tell it (see engine/messages.py).
        """
        running = next((step for step in self.steps.values() if step.status == open_steps.RUNNING), None)
        where = f'while step "{running.key.label}" ran' if running is not None else "outside any step"
        setting = setting or messages.setting_of(what)
        error = {**messages.limit(what, where, setting), "line": running.line if running is not None else None}
        self.services.counts.limit(setting, owner_of_limit(self.row), instance=self.row.key, what=what)
        self.end_with(error)

    def end_with(self, error: dict[str, Any]) -> None:
        """The worker did what it may not: the instance ends with this error."""
        self.worker_exit.reason = ev.LIMIT
        if self.worker is not None:
            self.worker.kill()
        self.settle(operations.break_limit(error))

    def lose(self, reason: str) -> None:
        """The worker is gone, or must go, and the instance goes on in another execution."""
        self.worker_exit.reason = reason
        self.settle(operations.lose_worker(reason, self.services.settings.worker_losses))

    def settle(self, epilogue: Decider | None) -> None:
        """Nothing more is heard; once what is under way is committed, `epilogue` says what becomes of the instance."""
        self.closing = True
        if not self._over.done():
            self._over.set_result(epilogue)

    def _commit_failed(self, error: BaseException) -> None:
        if not isinstance(error, (Fenced, InstanceNotFound)):
            self._unwritten = error
        self.settle(None)

    def _silence(self) -> None:
        """Let the worker go, and forget every deadline."""
        if self.channel is not None:
            self.channel.close()
        if self.worker is not None:
            self.worker.close()
        self.idle_timeout.close()
        self.cpu_watchdog.close()
        self.rollback.close()
        for step in self.steps.values():
            step.stop_timer()

    # What is committed, and what others have committed.

    async def commit(self, event: NewEvent) -> None:
        """Commit one event in order with the worker's own, and wait until it is durable.

        Raises Fenced when the execution is over already.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        shown = self.bindings.shown(event)

        def then(committed: Committed) -> None:
            self.apply(committed)
            if not done.done():
                done.set_result(None)

        def refused(error: BaseException) -> None:
            if not done.done():
                done.set_exception(error)

        if self.closing:
            raise Fenced("This execution has ended.")
        self.pipeline.decide(lambda snapshot: [shown], then, refused)
        await done

    def hear(self, events: Sequence[Event]) -> None:
        """Act on what others have committed."""
        for place, event in enumerate(events, 1):
            if self.closing:
                return
            if event.type in ENDS:
                # For its own sake: a kill, or a take-over.
                if event.type == ev.EXECUTION_ENDED and place == len(events):
                    self.worker_exit.reason = event.data["reason"]
                self.settle(None)
            elif event.type in (ev.CODE_CHANGED, ev.WORKFLOW_MIGRATED):
                if self.channel is not None:  # its start was not in the journal yet, so that nobody ended it
                    self.lose(ev.EVICTED)
            else:
                self.take(event)
        if not self.closing:
            self.idle_timeout.consider()

    def drop(self, told: Mapping[str, Any] | None = None) -> None:
        """SIGKILL and read nothing more: what was sent and not handled is lost with the worker.

        `told` goes into the event of the end.
        """
        assert self.worker is not None and self.channel is not None
        self.channel.close()
        self.worker.kill()
        self.settle(operations.lose_worker(ev.KILLED, self.services.settings.worker_losses, told))

    def evict(self, reason: str) -> None:
        """Give the worker up: only durable waits are left."""
        if self.idle:
            self.finish(NewEvent(ev.EXECUTION_ENDED, {"reason": reason}))

    def shut_down(self) -> None:
        """The server stops: end as lost; the next server goes on."""
        if not self.closing:
            self.lose(ev.LOST)

    def abandon(self) -> list[asyncio.Task[Any]]:
        """Let go of everything and commit nothing, as if the server had been killed; gives the tasks, which are being
        cancelled.
        """
        self.closing = True
        self._silence()
        tasks = [self.task, *self._tasks]
        for task in tasks:
            task.cancel()
        return [*tasks, self.pipeline.abandon()]

    def hear_clock(self, clock: int | None) -> None:
        """The worker has said what time it is on the workflow's clock, in microseconds."""
        if clock is not None and clock >= self._clock[0]:
            self._clock = (clock, self.services.clock.now())

    def clock(self) -> int:
        """What time it is on the workflow's clock, in microseconds, as far as it is known here: never later than the
        worker knows.
        """
        clock, at = self._clock
        return clock + max(0, self.services.clock.now() - at) * 1000

    def _stamped(self, event: NewEvent) -> NewEvent:
        """An event that ends a sleep or a wait, with the time on the workflow's clock, as far as it is known here."""
        if event.type not in ev.SUSPENSION_ENDS or "clock_us" in event.data or self.channel is None:
            return event
        return event._replace(data={**event.data, "clock_us": self.clock()})

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run something beside the conversation."""
        pipeline.spawn(self._tasks, coroutine)

    # What the worker says, and what it is told.

    def send(self, *messages: dict[str, Any]) -> int:
        """Send frames to the worker, which is not idle from then on; gives how many it was sent in all."""
        self.idle_timeout.stirred()
        return self.channel.send(*messages) if self.channel is not None else 0

    def attempt_over(self) -> None:
        """An attempt has ended and is committed: a pause may now take effect, or the worker may have fallen idle."""
        self.idle_timeout.stirred()
        self._pause_if_idle()
        self.idle_timeout.consider()

    def apply(self, committed: Committed) -> None:
        """Take what a decider's events mean for this execution.

        One that is ending does nothing more: the next will see them.
        """
        if not self.closing:
            for event in committed.events:
                self.take(event)
        if committed.row.owner is None:
            self.settle(None)
        else:
            self.idle_timeout.consider()

    def take(self, event: Event) -> None:
        """Do what a committed event asks for."""
        if event.step is not None:
            self.waits.apply(event)
        elif event.type == ev.WORKFLOW_WAITING_FOR_PAUSE:
            self._hold(True)
            self._pause_if_idle()
        elif event.type == ev.WORKFLOW_RESUMED:
            self._hold(False)
        elif event.type in (ev.KILL_ARMED, ev.KILL_DISARMED):
            self.kill_at = event.data.get("when")
            self.set_gate()
        elif event.type in (ev.BREAK_SET, ev.BREAK_CLEARED):
            self.breaks.apply(event)
            self.set_gate()

    def set_gate(self) -> None:
        """Have each step acknowledged while a kill is armed or a break is set: it strikes where it was aimed."""
        closed = self.kill_at is not None or self.breaks.is_set
        if self.gate.allowed and closed != self.gate.closed:
            self.gate.closed = closed
            self.send({"op": "gate", "open": not closed})

    def _pause_if_idle(self) -> None:
        """A pause waits for the attempts that run; with the last of them it takes effect."""
        if self.pausing and not self.attempts.running:
            self.pipeline.decide(operations.paused_now, self.apply, lambda error: None)

    def _hold(self, held: bool) -> None:
        if held == self.pausing:
            return
        self.pausing = held
        self.send({"op": "hold", "held": held})
        if not held:
            self.acknowledgements.release()
            self.waits.rearm()

    def said(self, batch: Sequence[tuple[frames.WorkerFrame, int]]) -> None:
        """The worker has sent frames, each with its bytes."""
        for frame, size in batch:
            if self.closing:
                return
            self.budget.said(size)
            handle_frame(self, frame, size)
        self.attempts.arm_deadlines()
        too_much = self.budget.bill(self.row)
        if too_much is not None and not self.closing:
            self.break_limit(too_much, "stored_per_day")
        if self.channel is not None and self.budget.is_ahead(self.pipeline.backlog, self.pipeline.waiting_ms):
            self.channel.pause()
            self.spawn(self._read_on())

    async def _read_on(self) -> None:
        await self.pipeline.drain()
        self.budget.caught_up()
        if self.channel is not None:
            self.channel.resume()
