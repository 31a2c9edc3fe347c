"""One execution: a worker's whole conversation, from its start frame to the event that says how it ended.

Frames become journal events through the pipeline; what the worker waits for is sent when the commit that holds it is durable.
Files beside this one hold the parts: attempts.py a `do`'s attempts, rollback.py the saga, ending.py what an end means.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from playground.engine import deciders, live, words
from playground.engine.attempts import Attempts
from playground.engine.clock import Timer
from playground.engine.live import LiveStep
from playground.engine.logs import LogBudget
from playground.engine.pipeline import Pipeline, spawn
from playground.engine.rollback import Rollback
from playground.engine.services import Services
from playground.sandbox import frames
from playground.sandbox.channel import FrameChannel
from playground.sandbox.pool import Worker
from playground.store.protocol import Committed, Decider, InstanceRow, Snapshot
from playground.workflows import durations
from playground.workflows import events as ev
from playground.workflows.errors import Fenced, NoWorker, WorkflowError
from playground.workflows.events import Event, NewEvent, StepKey

BACKLOG = 2_000  # commits waiting before the worker is read no further
LOG_FLOOD_BYTES = 64 * 1024 * 1024  # a worker that prints more than this past its budget is ended
REPLY_GRACE_MS = 5_000  # time a worker has to stop an attempt that timed out
EXIT_SECONDS = 10.0  # time a dead worker's exit may take to be told

NOW = "now"
DURING_STEP = "during-step"
BEFORE_COMMIT = "before-commit"
KILL_MOMENTS = (NOW, DURING_STEP, BEFORE_COMMIT)


class NotStarted(Exception):
    """The execution never got a worker; the instance stays due."""


class Execution:
    """Plays one claimed instance until it ends, sleeps, pauses or loses its worker."""

    def __init__(self, services: Services, row: InstanceRow, on_idle: Callable[[], None]) -> None:
        self.services, self.row, self._on_idleness = services, row, on_idle
        self.steps: dict[StepKey, LiveStep] = {}
        self.attempts = Attempts(self)
        self.rollback = Rollback(self)
        self.channel: FrameChannel | None = None
        self.worker: Worker | None = None
        self.pausing = False
        self.kill_at: str | None = None
        self.idle_since: int | None = None
        self.pipeline = Pipeline(services.store, row.key, row.execution, services.clock.now, self._commit_failed)
        self._logs = LogBudget(services.limit(row, "log_bytes") - row.log_bytes)
        self._stored = row.stored_bytes
        self._dos = 0
        self._calls = 0
        self._idle_seen = -1
        self._waiting_said = False
        self._grace: Timer | None = None
        self._silence: Timer | None = None
        self._heard = 0
        self._withheld: list[dict[str, Any]] = []
        self._overtaken: list[Committed] = []
        self._closing = False
        self._killed = False
        self._over: asyncio.Future[Decider | None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing but durable waits left."""
        return self.idle_since is not None and not self._closing

    # The life.

    async def play(self) -> None:
        """From claim to end. Raises NotStarted when no worker could be had."""
        services = self.services
        try:
            try:
                worker, snapshot, snippet = await asyncio.gather(
                    services.sandbox.take(), services.store.load(self.row.key), services.store.snippet(self.row.snippet)
                )
            except Exception as failed:
                services.log("no_worker", instance=self.row.id, reason=str(failed))
                await services.store.unclaim(self.row.key, execution=self.row.execution)
                await self.pipeline.close()
                raise NotStarted from failed
            self.worker = worker
            if not self._closing:
                self._begin(worker, snapshot, snippet.source)
            epilogue = await self._over
        finally:
            self._stop_timers()
            if self.channel is not None:
                self.channel.close()
        await self._close(epilogue)

    def _begin(self, worker: Worker, snapshot: Snapshot, source: str) -> None:
        services, row = self.services, snapshot.row
        self.row = row
        self.steps = live.from_snapshot(snapshot)
        stored = [live.start_frame_step(step) for step in snapshot.steps.values()]
        replayed = sum(deciders.is_over(step) for step in snapshot.steps.values())
        rolling_back = row.rollback == "running"
        start = {
            "op": "start",
            "source": source,
            "class_name": row.class_name,
            "event": {"payload": row.params, "timestamp": row.created_at, "instance": row.id, "workflow": row.workflow},
            "execution": row.execution,
            "metadata": row.metadata,
            "steps": stored,
            "env": services.environment.describe(row) if services.environment is not None else {},
            "limits": {
                "value_bytes": services.limit(row, "value_bytes"),
                "step_limit": services.limit(row, "step_limit"),
                "delay_function_ms": services.settings.delay_function_ms,
            },
            "mode": "rollback" if rolling_back else "run",
        }
        begun = [] if row.started_at is not None else [NewEvent(ev.WORKFLOW_STARTED)]
        begun.append(
            NewEvent(
                ev.EXECUTION_STARTED,
                {"execution": row.execution, "worker": worker.label, "replayed": replayed, "code_version": row.snippet},
            )
        )
        self.pipeline.add(*begun)
        self.channel = FrameChannel(worker.sock, self._said, self._channel_closed)
        self.channel.send_encoded(frames.encode(start), 1, first=True)
        if rolling_back:
            self.rollback.resume(row.error)
        for committed in self._overtaken:
            self._apply(committed)
        self._heard = services.clock.now()
        self._watch_silence()

    async def _close(self, epilogue: Decider | None) -> None:
        worker = self.worker
        assert worker is not None
        if epilogue is None:
            worker.close()
            await self.pipeline.close()
            return
        await self.pipeline.drain()
        worker.close()
        self.pipeline.decide(epilogue, refused=lambda error: None)
        await self.pipeline.close()

    def finish(self, *events: NewEvent) -> None:
        """The execution has ended as it should: commit these, then let the worker go."""
        self._closing = True
        truncated = self._logs.truncated()
        self.pipeline.add(*truncated, *events, then=lambda committed: self._settle(None))

    def break_limit(self, what: str) -> None:
        """The worker broke a limit: the instance ends with an error that names it."""
        self._closing = True
        where = next((f'while step "{step.key}" ran' for step in self.steps.values() if step.status == live.RUNNING), "outside any step")
        line = next((step.line for step in self.steps.values() if step.status == live.RUNNING), None)
        error = {**words.limit(what, where), "line": line}
        self.services.log("limit", instance=self.row.id, limit=what)
        self._settle(deciders.break_limit(error))

    def lose(self, reason: str) -> None:
        """The worker is gone, or must go, and the instance goes on in another execution."""
        self._closing = True
        self._settle(deciders.lose_worker(reason, self.services.settings.worker_losses))

    def _settle(self, epilogue: Decider | None) -> None:
        if not self._over.done():
            self._over.set_result(epilogue)

    def _commit_failed(self, error: BaseException) -> None:
        if not isinstance(error, Fenced):
            self.services.log("commit_failed", instance=self.row.id, error=f"{type(error).__name__}: {error}")
        self._closing = True
        self._settle(None)

    # What others ask of it.

    async def operate(self, decider: Decider) -> Committed:
        """Commit an operation in order with the worker's own commits. Raises Fenced when the execution is over already."""
        done: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()

        def then(committed: Committed) -> None:
            self._apply(committed)
            if not done.done():
                done.set_result(committed)

        def refused(error: BaseException) -> None:
            if not done.done():
                done.set_exception(error)

        if self._closing:
            await self.ended()
            raise Fenced("This execution has ended.")
        self.pipeline.decide(decider, then, refused)
        return await done

    async def ended(self) -> None:
        """Wait until nothing more will be committed by this execution."""
        await asyncio.wait([self.task])

    task: asyncio.Task[None]

    async def pause(self, decider: Decider) -> Committed:
        """Start nothing new from now on, then pause."""
        self._hold(True)
        committed = await self.operate(decider)
        if not committed.events and committed.row.status not in (ev.WAITING_FOR_PAUSE, ev.PAUSED):
            self._hold(False)
        return committed

    def overtaken(self, committed: Committed) -> None:
        """An operation was committed while this execution began; take it as if it had come through here."""
        if self.channel is None:
            self._overtaken.append(committed)
        elif not self._closing:
            self._apply(committed)

    def kill(self, when: str) -> None:
        """SIGKILL the worker at one of `KILL_MOMENTS`. Raises NoWorker when there is none yet."""
        if self.worker is None or self._closing:
            raise NoWorker(f'Instance "{self.row.id}" has no worker now, so there is nothing to kill.')
        if when == NOW:
            self.kill_now()
        else:
            self.kill_at = when

    def kill_now(self) -> None:
        """SIGKILL; what the worker had sent before is still read."""
        self._killed = True
        assert self.worker is not None
        self.worker.kill()

    def drop(self) -> None:
        """SIGKILL and read nothing more: what was sent and not handled is lost with the worker."""
        self._killed = self._closing = True
        assert self.worker is not None and self.channel is not None
        self.channel.close()
        self.worker.kill()
        self.lose(ev.KILLED)

    def evict(self, reason: str) -> None:
        """Give the worker up: only durable waits are left."""
        if self.idle:
            self.finish(NewEvent(ev.EXECUTION_ENDED, {"reason": reason}))

    def shut_down(self) -> None:
        """The server stops: end as lost; the next server goes on."""
        if not self._closing:
            self.lose(ev.LOST)

    # What the worker says.

    def _said(self, batch: Sequence[tuple[frames.Said, int]]) -> None:
        self._heard = self.services.clock.now()
        for frame, size in batch:
            if self._closing:
                return
            handler = _HANDLERS.get(type(frame))
            if handler is None:
                self.break_limit(f"protocol: the worker sent a frame that is out of place ({type(frame).__name__})")
                return
            handler(self, frame, size)
        if self.pipeline.backlog > BACKLOG and self.channel is not None:
            self.channel.pause()
            spawn(self._tasks, self._read_on())

    async def _read_on(self) -> None:
        await self.pipeline.drain()
        if self.channel is not None:
            self.channel.resume()

    def _channel_closed(self, error: frames.ProtocolError | None) -> None:
        if self._closing:
            return
        if error is not None:
            self.break_limit(f"protocol: {error}")
        else:
            spawn(self._tasks, self._worker_gone())

    async def _worker_gone(self) -> None:
        assert self.worker is not None
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                gone = await asyncio.shield(self.worker.exited)
        except TimeoutError:
            self.worker.kill()
            self.break_limit("protocol: the worker closed its channel and lived on")
            return
        if self._closing:
            return
        settings = self.services.settings
        if self._killed:
            self.lose(ev.KILLED)
        elif gone.cause == "cpu":
            self.break_limit(f"processor time: the worker used more than {settings.attempt_cpu_seconds} s")
        elif gone.cause == "memory":
            self.break_limit(f"memory: the worker used more than {settings.worker_memory_bytes:,} bytes")
        else:
            self.lose(ev.LOST if gone.cause == "zygote" else ev.CRASHED)

    def _on_log(self, frame: frames.Log, size: int) -> None:
        event, weight = self._logs.take(frame)
        if event is not None:
            self.pipeline.add_log(event, weight)
        elif self._logs.dropped > LOG_FLOOD_BYTES:
            self.break_limit(f"output: the worker printed more than {LOG_FLOOD_BYTES:,} bytes past its {self._logs.budget:,}")

    def _on_do(self, frame: frames.Do, size: int) -> None:
        self._dos += 1
        if self._dos > self.services.limit(self.row, "step_limit"):
            self.break_limit(f"steps: the limit of {self.services.limit(self.row, 'step_limit'):,} steps has been reached")
        elif frame.step[0] != ev.DO or self._is_known(frame) or frame.attempt != 1:
            return
        else:
            self.attempts.start(frame)

    def _on_resume(self, frame: frames.Resume, size: int) -> None:
        step = self.steps.get(frames.key(frame.step))
        if step is None or step.status != live.RETRYING or step.timer is not None:
            self.break_limit("protocol: the worker resumed a step that does not wait")
        else:
            self.attempts.resume(step)

    def _on_done(self, frame: frames.Done, size: int) -> None:
        most = self.services.limit(self.row, "value_bytes")
        if size > most and frames.size_of(frame.value) > most:
            self.break_limit(f"result: more than {most:,} bytes")
            return
        self._stored += size
        if self._stored > self.services.limit(self.row, "instance_bytes"):
            self.break_limit(f"storage: the instance holds more than {self.services.limit(self.row, 'instance_bytes'):,} bytes")
        elif frame.rollback:
            self.rollback.done(frame)
        else:
            self.attempts.done(frame)

    def _on_fail(self, frame: frames.Fail, size: int) -> None:
        if frame.rollback:
            self.rollback.failed(frame)
        else:
            self.attempts.failed(frame)

    def _on_missing(self, frame: frames.Missing, size: int) -> None:
        self.rollback.missing(frame)

    def _on_collected(self, frame: frames.Collected, size: int) -> None:
        self.rollback.collected()

    def _on_sleep(self, frame: frames.Sleep, size: int) -> None:
        key, now = frames.key(frame.step), self.services.clock.now()
        step = self.steps.get(key)
        if self._is_settled(key, step, ev.SLEEP):
            return
        if step is None:
            until = frame.until if frame.until is not None else now + (frame.duration or 0)
            refused = words.past_sleep() if frame.until is not None and until < now else None
            if until > now + durations.LONGEST:
                refused = words.too_long_sleep()
            if refused is not None:
                self.send({"op": "refused", "step": frame.step, "error": refused})
                return
            step = self.steps[key] = LiveStep(key, live.OPEN, frame.line, until=until)
            self.pipeline.add(NewEvent(ev.SLEEP_STARTED, {"until": until, "line": frame.line}, key))
        self._arm(step, self._sleep_over)

    def _on_wait(self, frame: frames.Wait, size: int) -> None:
        key, now = frames.key(frame.step), self.services.clock.now()
        step = self.steps.get(key)
        if self._is_settled(key, step, ev.WAIT):
            return
        if step is None:
            until = now + frame.timeout
            step = self.steps[key] = LiveStep(key, live.OPEN, frame.line, until=until, timeout=frame.timeout)
            self.pipeline.decide(deciders.start_wait(key, frame.event_type, until, frame.line), self._apply)
        else:
            step.timeout = frame.timeout
        self._arm(step, self._wait_over)

    def _is_settled(self, key: StepKey, step: LiveStep | None, kind: str) -> bool:
        """Whether a sleep or wait needs no arming: it ended before the code came to it again, or has no place here."""
        if step is not None and step.status == live.OVER and step.reply is not None:
            self.answer(step.reply)
            return True
        if key.kind != kind or (step is not None and (step.timer is not None or step.status != live.OPEN)):
            self.break_limit(f"protocol: a {kind} that is out of place")
            return True
        return False

    def _on_finish(self, frame: frames.Finish, size: int) -> None:
        most = self.services.limit(self.row, "value_bytes")
        if frames.size_of(frame.output) > most:
            self.break_limit(f"output: more than {most:,} bytes")
            return
        ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED})
        self.finish(*self.attempts.closed(), ended, NewEvent(ev.WORKFLOW_COMPLETED, {"output": frame.output}))

    def _on_crash(self, frame: frames.Crash, size: int) -> None:
        if self.rollback.running:
            return
        error = frames.plain(frame.error)
        closed = self.attempts.closed()
        if not frame.error.fatal and self.rollback.wanted():
            self.rollback.start(error, closed)
        else:
            ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED})
            self.finish(*closed, ended, NewEvent(ev.WORKFLOW_ERRORED, {"error": error}))

    def _on_idle(self, frame: frames.Idle, size: int) -> None:
        self._idle_seen = frame.seen
        self.consider_idle()

    def _on_call(self, frame: frames.Call, size: int) -> None:
        self._calls += 1
        spawn(self._tasks, self._call(frame))

    async def _call(self, frame: frames.Call) -> None:
        answer: dict[str, Any] = {"op": "answer", "call": frame.call}
        environment = self.services.environment
        try:
            if environment is None:
                raise WorkflowError(f"env.{frame.binding} is not there")
            answer["value"] = await environment.call(self.row, frame.binding, frame.method, frame.args, frame.kwargs)
        except WorkflowError as refused:
            answer["error"] = words.error(type(refused).__name__, refused.message)
        self._calls -= 1
        if not self._closing:
            self.send(answer)

    # What follows from commits.

    def send(self, *messages: dict[str, Any]) -> None:
        """Send frames to the worker, which is not idle from then on."""
        self._stirred()
        if self.channel is not None:
            self.channel.send(*messages)

    def answer(self, message: dict[str, Any]) -> None:
        """Send what ends a step; while pausing it is kept back, so that the code does not come to its next step."""
        if self.pausing:
            self._withheld.append(message)
        else:
            self.send(message)

    def attempt_over(self) -> None:
        """An attempt has ended and is committed: a pause may now take effect."""
        if self.pausing and not any(step.status == live.RUNNING for step in self.steps.values()):
            self.pipeline.decide(deciders.paused_now, self._apply, lambda error: None)

    def _apply(self, committed: Committed) -> None:
        """Tell the worker what a decider's events mean for it."""
        for event in committed.events:
            if event.step is not None:
                self._apply_to_step(event)
            elif event.type == ev.WORKFLOW_RESUMED:
                self._hold(False)
        if committed.row.owner is None:
            self._closing = True
            self._settle(None)
        else:
            self.consider_idle()

    def _apply_to_step(self, event: Event) -> None:
        step = self.steps.get(event.step)
        if step is None or step.status == live.OVER:
            return
        if event.type == ev.RETRY_WOKEN:
            step.until = event.at
            if step.timer is not None:
                self.attempts.run(step, virtual=True)
            return
        if event.type not in _ENDS:
            return
        step.stop_timer()
        step.status = live.OVER
        reply = step.reply = {"op": "over", "step": (step.key.kind, step.key.name, step.key.count), "value": event.data.get("event")}
        if event.type == ev.WAIT_TIMED_OUT:
            reply["error"] = event.data["error"]
        self.answer(reply)

    def _sleep_over(self, step: LiveStep) -> None:
        if not self._closing and not self.pausing:
            self.pipeline.decide(deciders.end_sleep(step.key), self._apply)

    def _wait_over(self, step: LiveStep) -> None:
        if not self._closing and not self.pausing:
            self.pipeline.decide(deciders.end_wait(step.key, step.timeout), self._apply)

    def _hold(self, held: bool) -> None:
        if held == self.pausing:
            return
        self.pausing = held
        if self.channel is None:
            return
        self.send({"op": "hold", "held": held})
        if not held:
            withheld, self._withheld = self._withheld, []
            for message in withheld:
                self.send(message)
            for step in self.steps.values():
                self._rearm(step)

    def _rearm(self, step: LiveStep) -> None:
        if step.status == live.OPEN:
            self._arm(step, self._sleep_over if step.key.kind == ev.SLEEP else self._wait_over)
        elif step.status == live.RETRYING and step.timer is not None:
            self.attempts.resume(step)

    def _arm(self, step: LiveStep, over: Callable[[LiveStep], None]) -> None:
        step.stop_timer()
        clock = self.services.clock
        step.timer = clock.call_at(step.until or 0, over, step)
        if (step.until or 0) <= clock.now():
            step.timer.cancel()
            over(step)

    # Idleness and silence.

    def _stirred(self) -> None:
        self.idle_since = None
        self._waiting_said = False
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def consider_idle(self) -> None:
        """Say that the instance waits, once the worker has nothing to do and nothing is owed to it."""
        busy = self._calls or self.pausing or self._closing or self.pipeline.answers_due or self.idle_since is not None
        if busy or self.channel is None or self._idle_seen != self.channel.sent:
            return
        if any(step.status == live.RUNNING for step in self.steps.values()) or self.rollback.attempt_open:
            return
        until = self._earliest()
        if until is None:
            ended = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED})
            self.finish(ended, NewEvent(ev.WORKFLOW_ERRORED, {"error": words.stuck()}))
            return
        now = self.services.clock.now()
        self.idle_since = now
        if not self._waiting_said:
            self._waiting_said = True
            self.pipeline.add(*self._logs.truncated(), NewEvent(ev.WORKFLOW_WAITING, {"until": until}))
        grace = now + self.services.settings.idle_grace_ms
        self._grace = self.services.clock.call_at(grace, self.evict, ev.HIBERNATED)
        self._on_idleness()

    def _earliest(self) -> int | None:
        times = [step.until for step in self.steps.values() if step.timer is not None and step.until is not None]
        times += [step.rollback_until for step in self.steps.values() if step.rollback_until is not None]
        return min(times, default=None)

    def _watch_silence(self) -> None:
        wall = self.services.limit(self.row, "attempt_wall_seconds") * 1000
        now = self.services.clock.now()
        if self._closing:
            return
        running = any(step.status == live.RUNNING for step in self.steps.values())
        if self.idle_since is None and not running and not self._calls and not self.pausing and now - self._heard >= wall:
            self.drop_silent(wall)
            return
        self._silence = self.services.clock.call_at(max(self._heard, now - wall // 2) + wall, self._watch_silence)

    def drop_silent(self, wall: int) -> None:
        """The worker has said nothing for too long."""
        self.break_limit(f"not answering: nothing was heard of the worker for {wall // 1000} s")

    def _is_known(self, frame: frames.Do) -> bool:
        if frames.key(frame.step) in self.steps:
            self.break_limit("protocol: the worker started a step twice")
            return True
        return False

    def _stop_timers(self) -> None:
        for timer in (self._grace, self._silence):
            if timer is not None:
                timer.cancel()
        for step in self.steps.values():
            step.stop_timer()
        self.rollback.close()


_ENDS = frozenset({ev.SLEEP_COMPLETED, ev.WAIT_COMPLETED, ev.WAIT_TIMED_OUT})
_HANDLERS: dict[type, Callable[[Execution, Any, int], None]] = {
    frames.Do: Execution._on_do,
    frames.Resume: Execution._on_resume,
    frames.Done: Execution._on_done,
    frames.Fail: Execution._on_fail,
    frames.Missing: Execution._on_missing,
    frames.Collected: Execution._on_collected,
    frames.Sleep: Execution._on_sleep,
    frames.Wait: Execution._on_wait,
    frames.Finish: Execution._on_finish,
    frames.Crash: Execution._on_crash,
    frames.Log: Execution._on_log,
    frames.Idle: Execution._on_idle,
    frames.Call: Execution._on_call,
}
