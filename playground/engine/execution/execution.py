"""One execution: a worker's whole life for an instance, from its start frame to the event that records how it ended.

Its parts are the other files of this folder, written against context.py: start.py how it starts, frame_handlers.py what
each frame means, attempts.py the attempts of a `do` and the acknowledgements, waits.py sleeps and waits, children.py
other instances that the code runs, rollback.py the saga, budget.py how much the worker may send and store, watchdog.py
when an idle, stalled or dead worker is given up, faults.py what goes wrong on purpose. Frames become events through the
pipeline; what the worker waits for is acknowledged when the commit that holds it is durable.

The journal is the mailbox of an execution. Whoever wants something of the instance commits it, on whichever node, and
the execution acts on what it did not write itself (`on_others_events`).

Architecture Invariant: there is no other way to an execution than its journal.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from playground.engine import messages, operations
from playground.engine.code.sources import Code, shown_workflow
from playground.engine.execution import open_steps, pipeline
from playground.engine.execution.attempts import Acknowledgements, Attempts
from playground.engine.execution.breakpoints import Breakpoints
from playground.engine.execution.budget import Ahead, Budget
from playground.engine.execution.children import Children
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
from playground.engine.execution.watchdog import CpuWatchdog, IdleTimeout, WarmBeginning, WorkerExit
from playground.engine.metrics import owner_of_limit
from playground.engine.tracing import ExecutionTrace, traced
from playground.sandbox import frames
from playground.sandbox.channel import FrameChannel
from playground.sandbox.pool import Worker
from playground.store.protocol import Committed, Decider
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import Fenced, InstanceNotFound
from playground.workflows.events import Event, NewEvent, StepKey

# Events that end an execution, whoever commits them.
EXECUTION_ENDS = frozenset({ev.EXECUTION_ENDED, ev.WORKFLOW_PAUSED, ev.WORKFLOW_RESTARTED, *ev.FINAL_TYPES})

LAST_FRAMES = (frames.Finish, frames.Crash)  # after which nothing of a worker is handled


class Execution:
    """Runs one claimed instance until it ends, sleeps, pauses or loses its worker."""

    task: asyncio.Task[None]

    def __init__(self, services: Services, row: InstanceRow, on_idle: Callable[[], None]) -> None:
        self.services, self.row, self.on_idle = services, row, on_idle
        settings = services.settings
        ahead = Ahead(settings.ahead_entries, settings.ahead_bytes, settings.ahead_ms)
        self.budget = Budget(services.limit, services.stored, ahead, row)
        self.steps: dict[StepKey, OpenStep] = {}
        self.attempts = Attempts(self)
        self.breaks = Breaks(self._send_breaks)
        self.breakpoints = Breakpoints(self._send_breakpoints)
        self.chaos = Chaos(self.kill_worker_and_end)
        self.waits = Waits(self)
        self.children = Children(self)
        self.rollback = Rollback(self)
        self.idle_timeout = IdleTimeout(self)
        self.cpu_watchdog = CpuWatchdog(self)
        self.bindings = ExecutionEnvironment(self)
        self.warm_beginning = WarmBeginning(self)
        self.worker_exit = WorkerExit(self)
        ahead_here = may_run_ahead(services.sandbox.tier, settings)
        self.gate = OutputGate(allowed=ahead_here and "chaos" not in (row.injected or {}))
        self.acknowledgements = Acknowledgements(self)
        self.pipeline = Pipeline(
            services.store,
            row,
            services.clock.now,
            acknowledge=self.acknowledgements.acknowledge,
            on_others_events=self.on_others_events,
            on_failure=self._commit_failed,
            gate=self.gate,
        )
        self.pipeline.stamp = self._with_workflow_clock
        self.trace: ExecutionTrace | None = None
        if services.tracing is not None:
            self.trace = traced(row, shown_workflow(row.workflow), services.tracing)
            self.pipeline.on_durable = self.trace.read
        # The workflow's clock in microseconds, and our milliseconds at that time.
        self._clock = (0, services.clock.now())
        self.channel: FrameChannel | None = None
        self.worker: Worker | None = None
        self.closing = self.pausing = self.diverged = self._finished = self._handing_over = False
        self.warm_code: Code | None = None  # what the worker runs, where it may run more of it
        self.worker_is_ready = False  # it says that it can
        self.armed_kill: str | None = None
        self.skips_sleeps = False
        self.tags: set[str] = set()
        self.calls = self.calls_on_timers = 0
        self._ended: asyncio.Future[Decider | None] = asyncio.get_running_loop().create_future()
        self._unwritten: BaseException | None = None  # why a commit could not be made
        self._tasks: set[asyncio.Task[Any]] = set()
        self.start = Start(self, self._ended)

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing but durable waits left."""
        return self.idle_timeout.since is not None and not self.closing

    @property
    def waits_for_child(self) -> bool:
        """Whether the code waits for a child, which has no deadline."""
        return any(
            step.key.kind == ev.CHILD and step.status == open_steps.OPEN and step.timer is not None
            for step in self.steps.values()
        )

    @property
    def journal_events(self) -> int:
        """How many events the journal has, those that wait for their commit included."""
        return self.pipeline.length

    @property
    def is_busy(self) -> bool:
        """Whether the worker runs an attempt or a call, or something for it is still to be committed or sent."""
        pending = (
            self.calls
            or self.pausing
            or self.closing
            or self.pipeline.callbacks_pending
            or self.pipeline.is_behind
            or self.rollback.attempt_open
        )
        return bool(pending) or self.worker_exit.is_pending or self.attempts.running > 0

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

    def runs_attempt(self, key: StepKey, attempt: int) -> bool:
        """Whether this attempt of a step, not of its rollback handler, runs now; of a sensitive one, none does."""
        if self.rollback.running or self.open_attempt(key) != attempt:
            return False
        return not self.steps[key].config.get("sensitive")

    @property
    def is_rolling_back(self) -> bool:
        """Whether its rollback handlers run."""
        return self.rollback.running

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way on this side, so that only the worker or time can change anything."""
        waits = self.calls == self.calls_on_timers
        return self.worker is not None and waits and not self.closing and self.pipeline.at_rest

    # Start and end.

    async def play(self) -> None:
        """Run from claim to end.

        Raises:
            NotStarted: there was no worker, or its code could not be loaded yet.
            StoreError, JournalError: a commit failed, so the journal does not record the end.
        """
        try:
            await self.start.begin()
            last_commit = await self._ended
            self._keep_warm_worker()
        finally:
            self._close_worker_and_timers()
        if last_commit is not None:
            await self.pipeline.drain()
            self.pipeline.decide(
                last_commit, lambda committed: self.worker_exit.on_end_committed(committed.row), lambda error: None
            )
        await self.pipeline.close()
        if self.trace is not None:
            self.trace.end()
        # The parts refer to one another, so what they hold would otherwise stay until the next garbage collection.
        self.steps.clear()
        if self._unwritten is not None:
            raise self._unwritten

    def _keep_warm_worker(self) -> None:
        """Where the execution has completed, let its worker wait for another one of the same code."""
        worker, channel, code = self.worker, self.channel, self.warm_code
        if not (self._finished and self.worker_is_ready) or code is None or worker is None or channel is None:
            return
        if channel.release():
            self.worker = None
            self.services.workers.keep_warm(self.row, code, worker)

    def _on_finished(self, committed: Committed) -> None:
        self._finished = True
        self.end(None)

    def finish(self, *events: NewEvent) -> None:
        """The execution has ended normally: commit these events, then release the worker."""
        self.closing = True
        self.worker_exit.reason = next(
            (event.data["reason"] for event in events if event.type == ev.EXECUTION_ENDED), ev.COMPLETED
        )
        self.pipeline.add(*self.budget.truncation_events(), *events, then=self._on_finished)

    def break_limit(self, what: str, setting: str = "") -> None:
        """The worker broke a limit: the instance ends with an error that names it and what ran.

        `setting` is the limit's name, where it does not follow from the first word of `what` (engine/messages.py).
        """
        running = next((step for step in self.steps.values() if step.status == open_steps.RUNNING), None)
        where = f'while step "{running.key.label}" ran' if running is not None else "outside any step"
        setting = setting or messages.setting_of(what)
        error = {**messages.limit(what, where, setting), "line": running.line if running is not None else None}
        self.services.counts.limit(setting, owner_of_limit(self.row), instance=self.row.key, what=what)
        self.end_with_error(error)

    def end_with_error(self, error: dict[str, Any]) -> None:
        """The worker broke a rule: the instance ends with this error."""
        self.worker_exit.reason = ev.LIMIT
        if self.worker is not None:
            self.worker.kill()
        self.end(operations.break_limit(error))

    def end_as_lost(self, reason: str) -> None:
        """The worker is lost, or has to be stopped; the instance continues in another execution."""
        self.worker_exit.reason = reason
        self.end(operations.lose_worker(reason, self.services.settings.worker_losses))

    def end(self, last_commit: Decider | None) -> None:
        """Handle no further frame. After the entries so far, `last_commit` decides what becomes of the instance."""
        self.closing = True
        if not self._ended.done():
            self._ended.set_result(last_commit)

    def _commit_failed(self, error: BaseException) -> None:
        if not isinstance(error, (Fenced, InstanceNotFound)):
            self._unwritten = error
        self.end(None)

    def _close_worker_and_timers(self) -> None:
        """Close the worker and its channel, and cancel every timer."""
        if self.channel is not None:
            self.channel.close()
        if self.worker is not None:
            self.worker.close()
        self.bindings.close()
        self.idle_timeout.close()
        self.cpu_watchdog.close()
        self.warm_beginning.close()
        self.rollback.close()
        for step in self.steps.values():
            step.stop_timer()

    # Commits, its own and those of others.

    async def commit(self, event: NewEvent) -> None:
        """Commit one event in order with the worker's own, and wait until it is durable.

        Raises Fenced when the execution has ended already.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        shown = self.bindings.redact(event)

        def then(committed: Committed) -> None:
            self.apply_committed(committed)
            if not done.done():
                done.set_result(None)

        def refused(error: BaseException) -> None:
            if not done.done():
                done.set_exception(error)

        if self.closing:
            raise Fenced("This execution has ended.")
        self.pipeline.decide(lambda snapshot: [shown], then, refused)
        await done

    def note(self, event: NewEvent) -> None:
        """See `ExecutionContext`."""
        if not self.closing:
            self.pipeline.add_note(event)

    def on_others_events(self, events: Sequence[Event]) -> None:
        """Act on events that others have committed."""
        for place, event in enumerate(events, 1):
            if self.closing:
                return
            if event.type in EXECUTION_ENDS:
                # Not as a part of an operation: a kill, or a take-over.
                if event.type == ev.EXECUTION_ENDED and place == len(events):
                    self.worker_exit.reason = event.data["reason"]
                self.end(None)
            elif event.type in (ev.CODE_CHANGED, ev.WORKFLOW_MIGRATED):
                if self.channel is not None:  # its start was not committed yet, so the operation did not end it
                    self.end_as_lost(ev.EVICTED)
            else:
                self.apply_event(event)
        if not self.closing:
            self.idle_timeout.check_idle()

    def kill_worker_and_end(self, details: Mapping[str, Any] | None = None) -> None:
        """SIGKILL the worker and read nothing more: frames that were not handled are lost with it.

        `details` are added to the event that ends the execution.
        """
        assert self.worker is not None and self.channel is not None
        self.channel.close()
        self.worker.kill()
        self.end(operations.lose_worker(ev.KILLED, self.services.settings.worker_losses, details))

    def evict(self, reason: str) -> None:
        """Release an idle worker: only durable waits are left."""
        if self.idle:
            self.finish(NewEvent(ev.EXECUTION_ENDED, {"reason": reason}))

    def hand_over(self) -> None:
        """The server stops: begin no further step, and give the worker up once the running attempts are over."""
        if not self.closing and self.channel is not None:
            self._handing_over = True
            self.send({"op": "hold", "held": True})
            self._hand_over_if_idle()

    def _hand_over_if_idle(self) -> None:
        if self._handing_over and not self.closing and not self.attempts.running and not self.rollback.attempt_open:
            self.end_as_lost(ev.EVICTED)

    def shut_down(self) -> None:
        """The server stops now: end as lost, so that the next server continues at once."""
        if not self.closing:
            self.end_as_lost(ev.LOST)

    def abandon(self) -> list[asyncio.Task[Any]]:
        """Stop and commit nothing, as if the server had been killed.

        Returns the tasks, which are being cancelled.
        """
        self.closing = True
        self._close_worker_and_timers()
        tasks = [self.task, *self._tasks]
        for task in tasks:
            task.cancel()
        return [*tasks, self.pipeline.abandon()]

    def advance_workflow_clock(self, clock_us: int | None) -> None:
        """The worker has reported the time on the workflow's clock, in microseconds."""
        if clock_us is not None and clock_us >= self._clock[0]:
            self._clock = (clock_us, self.services.clock.now())

    def workflow_clock_us(self) -> int:
        """The time on the workflow's clock, in microseconds, as far as is known here: never ahead of the worker's."""
        clock, at = self._clock
        return clock + max(0, self.services.clock.now() - at) * 1000

    def _with_workflow_clock(self, event: NewEvent) -> NewEvent:
        """An event, with the time on the workflow's clock where it ends a sleep or a wait."""
        if event.type not in ev.SUSPENSION_ENDS or "clock_us" in event.data or self.channel is None:
            return event
        return event._replace(data={**event.data, "clock_us": self.workflow_clock_us()})

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine in the background."""
        return pipeline.spawn(self._tasks, coroutine)

    # Frames from and to the worker.

    def send(self, *messages: dict[str, Any]) -> int:
        """Send frames to the worker, which is active from then on; returns how many it has been sent in all."""
        self.idle_timeout.on_activity()
        return self.channel.send(*messages) if self.channel is not None else 0

    def on_attempt_committed(self) -> None:
        """The end of an attempt is durable: a pause may take effect now, or the worker may be idle."""
        self.idle_timeout.on_activity()
        self._pause_if_idle()
        self._hand_over_if_idle()
        self.idle_timeout.check_idle()

    def apply_committed(self, committed: Committed) -> None:
        """Apply the events that a decider committed.

        An execution that is closing does not: the next one starts from them.
        """
        if not self.closing:
            for event in committed.events:
                self.apply_event(event)
        if committed.row.owner is None:
            self.end(None)
        else:
            self.idle_timeout.check_idle()

    def apply_event(self, event: Event) -> None:
        """Apply one committed event to this execution."""
        if event.step is not None:
            self.waits.apply_event(event)
        elif event.type == ev.WORKFLOW_WAITING_FOR_PAUSE:
            self._set_pausing(True)
            self._pause_if_idle()
        elif event.type == ev.WORKFLOW_RESUMED:
            self.breakpoints.apply_event(event)
            self._set_pausing(False)
        elif event.type in (ev.BREAKPOINT_SET, ev.BREAKPOINT_CLEARED, ev.BREAKPOINT_HIT):
            self.breakpoints.apply_event(event)
            self.update_gate()
        elif event.type in (ev.KILL_ARMED, ev.KILL_DISARMED):
            self.armed_kill = event.data.get("when")
            self.update_gate()
        elif event.type in (ev.SLEEPS_SKIPPED, ev.SLEEPS_KEPT):
            self.skips_sleeps = event.type == ev.SLEEPS_SKIPPED or self.chaos.virtual
            if self.skips_sleeps:
                self.waits.rearm()  # what began since the operation looked
                self.rollback.rearm()
        elif event.type in (ev.BREAK_SET, ev.BREAK_CLEARED):
            self.breaks.apply_event(event)
            self.update_gate()

    def _send_breaks(self) -> None:
        if self.channel is not None and not self.closing:
            self.send({"op": "breaks", "breaks": self.breaks.as_frame()})

    def _send_breakpoints(self) -> None:
        if self.channel is not None and not self.closing:
            self.send({"op": "breakpoints", **self.breakpoints.as_frame()})

    def update_gate(self) -> None:
        """Close the gate while a kill is armed, a break or a breakpoint is set, lest the worker is past the step it is
        set for.
        """
        closed = self.armed_kill is not None or self.breaks.is_set or self.breakpoints.is_set
        if self.gate.allowed and closed != self.gate.closed:
            self.gate.closed = closed
            self.send({"op": "gate", "open": not closed})

    def _pause_if_idle(self) -> None:
        """A pause waits for the running attempts and takes effect with the end of the last."""
        if self.pausing and not self.attempts.running:
            self.pipeline.decide(operations.complete_pause, self.apply_committed, lambda error: None)

    def _set_pausing(self, pausing: bool) -> None:
        if pausing == self.pausing:
            return
        self.pausing = pausing
        self.send({"op": "hold", "held": pausing})
        if not pausing:
            self.acknowledgements.send_withheld()
            self.waits.rearm()

    def on_frames(self, batch: Sequence[tuple[frames.WorkerFrame, int]]) -> None:
        """The worker has sent frames, each with its bytes."""
        for frame, size in batch:
            if self.closing:
                return
            self.budget.count_received(size)
            if isinstance(frame, LAST_FRAMES) and self._charge_storage():
                return  # a worker that runs ahead may send all of a run in one batch
            handle_frame(self, frame, size)
        self.attempts.arm_deadlines()
        if not self.closing:
            self._charge_storage()
        if self.channel is not None and self.budget.is_ahead(self.pipeline.backlog, self.pipeline.waiting_ms):
            self.channel.pause()
            self.spawn(self._read_on_when_committed())

    def _charge_storage(self) -> bool:
        """Charge what goes into the journal. True: it is more than its address may store, which ends the instance."""
        refusal = self.budget.charge(self.row)
        if refusal is not None:
            self.break_limit(refusal, "stored_per_day")
        return refusal is not None

    async def _read_on_when_committed(self) -> None:
        await self.pipeline.drain()
        self.budget.on_committed()
        if self.channel is not None:
            self.channel.resume()
