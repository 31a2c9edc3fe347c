"""Running `do` steps in the worker: announce the step, run its attempts, send each attempt's result or error.

A new step is announced and its callback starts at once, without waiting for a reply. The await in the tenant's code
returns when the commit is acknowledged and the step's turn has come (replay.py). The trusted side decides whether there
is another attempt, when it starts, and when an attempt has timed out; the worker computes the delay before the next
attempt only where the step's config has a delay function, which is tenant code.

Where the code runs ahead (the output gate) and the last attempt on a step's line was quick, its announcement is held
back: a result that comes before anything else is sent goes with it in one frame, `did`.

Breaks are faults that a person injects into a step. A first attempt starts without asking, so the worker has to know
the breaks beforehand. It claims one when it announces the attempt; the trusted side checks the claim and decides what
is written to the journal (`playground/engine/execution/faults.py`). For later attempts the trusted side sends the break
with the order to run.
"""

import asyncio
import contextvars
import inspect
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from playground.worker import failures
from playground.worker.channel import AHEAD_SECONDS, TEXTS, Channel
from playground.worker.context import Key, Record, context_of, label_of, parent_of
from playground.worker.entrypoint import (
    InjectedError,
    NonRetryableDelayError,
    NotSerialisableError,
    WorkflowTimeoutError,
)
from playground.worker.loop import Loop
from playground.worker.replay import COMPLETED, ERRORED, MICROSECONDS, History, Outcome, Replay
from playground.worker.step_bytes import StepBytes
from playground.workflows import breaks, durations, values
from playground.workflows.errors import NotSerialisable, TooLarge
from playground.workflows.step_config import StepConfig


class Breaks:
    """The breaks of this execution.

    Claims are counted here, since a list of breaks that is still on its way does not include them yet.
    """

    def __init__(self, active: Iterable[breaks.Break]) -> None:
        self._claimed: Counter[int] = Counter()
        self.replace_breaks(active)

    def replace_breaks(self, active: Iterable[breaks.Break]) -> None:
        """Replace the active breaks; their `left` does not include the claims made here."""
        self._breaks = list(active)

    def claim_break(self, name: str, count: int) -> breaks.Break | None:
        """Claim the break that applies to the first attempt of a step, or None."""
        if not self._breaks:
            return None
        left = [{**each, "left": each["left"] - self._claimed[each["id"]]} for each in self._breaks]
        found = breaks.find_break(left, name, count)
        if found is not None:
            self._claimed[found["id"]] += 1
        return found


async def injected_outcome(broken: Mapping[str, Any], call: Callable[[], Any], timeout: int) -> Any:
    """Apply a break in place of an attempt: `call` runs the attempt, `timeout` is the step's in milliseconds.

    Raises:
        InjectedError, WorkflowTimeoutError: the faults that a break injects.
    """
    how = broken["how"]
    if how == breaks.FAIL:
        raise InjectedError(breaks.ERROR_MESSAGE)
    if how == breaks.TIMEOUT:
        raise WorkflowTimeoutError(f"Execution timed out after {timeout}ms")
    if how == breaks.RETURN:
        return values.decode(broken["value"])
    await asyncio.sleep(broken["ms"] / 1000)
    result = call()
    return await result if inspect.isawaitable(result) else result


async def compute_delay(function: Callable[..., Any], key: tuple[str, str, int], info: Record, seconds: float) -> int:
    """Milliseconds until the next attempt, from the step's delay function called with `info`.

    Args:
        seconds: how long the function may take.

    Raises:
        NonRetryableDelayError: it failed, timed out or returned no duration.
    """
    where = f'The delay function for step "{label_of(key)}"'
    try:
        async with asyncio.timeout(seconds) as within:
            delay = function(info)
            if inspect.isawaitable(delay):
                delay = await delay
    except Exception as failed:
        if isinstance(failed, TimeoutError) and within.expired():
            raise NonRetryableDelayError(f"{where} did not return within {seconds:g} seconds") from None
        raise NonRetryableDelayError(f"{where} threw an error: {failures.message_of(failed)}") from failed
    try:
        return durations.parse(delay)
    except durations.InvalidDuration:
        raise NonRetryableDelayError(
            f"{where} returned an invalid delay value (expected a number of ms or a duration string like "
            f"{durations.EXAMPLE})"
        ) from None


OnUnawaitedError = Callable[[Key, BaseException], None]  # called when a step failed that nothing awaits
QUICK_SECONDS = 0.0005  # a step that took less is not flushed on its own when it is announced again
_SETTLING_TURNS = 4  # turns of the event loop within which a new task reaches its first step


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What the steps of one execution share.

    `limits` are those of the start frame, `epoch_ms` is the trusted side's clock, `on_unawaited_error` reports a failed
    step that nothing awaits, `log` writes a line of ours to the tenant's log, for a step.
    """

    channel: Channel
    replay: Replay
    history: History
    limits: Mapping[str, Any]
    on_unawaited_error: OnUnawaitedError
    epoch_ms: Callable[[], int]
    log: Callable[[str, Key], None]
    step_bytes: StepBytes


class Do:
    """One `do` step, from its call to its end.

    `task` runs its attempts; the caller awaits `waiting`. `rollback` is the config of its rollback handler.
    """

    __slots__ = (
        "abandoned", "announcement", "attempt", "attempt_started", "callback", "called_at", "config", "context",
        "error", "in_journal", "injected_break", "is_last_attempt", "key", "line", "output", "output_text", "reply",
        "rollback", "running", "task", "timeout", "unacknowledged", "waiting",
    )  # fmt: skip

    task: asyncio.Task[None]
    waiting: asyncio.Future[Outcome]
    context: contextvars.Context

    def __init__(
        self,
        key: Key,
        callback: Callable[[Record], Any],
        config: StepConfig,
        rollback: StepConfig | None,
        line: int | None,
    ) -> None:
        self.key, self.callback, self.config, self.rollback, self.line = key, callback, config, rollback, line
        self.in_journal = False  # an earlier execution has announced it
        self.called_at = 0  # microseconds on the workflow's clock
        self.attempt = 0
        self.announcement: dict[str, Any] | None = None  # that may not be sent yet
        self.running = False  # an attempt has started and its end is not sent
        self.attempt_started = 0.0  # seconds of the machine's clock
        self.reply: asyncio.Future[Any] | None = None
        self.error: BaseException | None = None
        self.timeout: str | None = None
        self.abandoned = False
        self.output: Any = None
        self.output_text = "null"  # the same as JSON
        self.is_last_attempt = config.limit == 0
        self.unacknowledged = False
        self.injected_break: Mapping[str, Any] | None = None  # applies to the current attempt


class Attempts:
    """Runs the `do` steps of one execution. A new step, with the frame that announces it, starts once
    `wait_to_begin` returns.
    """

    def __init__(
        self, context: ExecutionContext, wait_to_begin: Callable[[Key, dict[str, Any]], Awaitable[None]]
    ) -> None:
        self._channel, self._replay, self._history = context.channel, context.replay, context.history
        self._limits, self._on_unawaited_error = context.limits, context.on_unawaited_error
        self._wait_to_begin, self._step_bytes = wait_to_begin, context.step_bytes
        self._open: dict[Key, Do] = {}
        self._none_open: asyncio.Future[None] | None = None  # resolved once no step is open
        self.breaks = Breaks(())
        self.runs_ahead = False  # the code continues before its results are durable (the output gate)
        self._quick: dict[int | None, bool] = {}  # by a step's line: whether its last attempt was quick

    async def run_step(self, do: Do) -> Outcome:
        """Run a step and wait for its outcome, which comes at the step's turn after the commit.

        Cancelling the caller leaves the step running.
        """
        key = do.key
        earlier = self._open.get(key)
        if earlier is not None:  # nested in a step whose earlier attempt started it
            return await asyncio.shield(earlier.waiting)
        do.waiting = self._outcome_future(key)
        do.context, do.called_at = context_of(key), self._replay.observed_clock()
        self._open[key] = do
        if self._replay.live or parent_of(key) is not None:
            self._start_task(do)
        else:
            self._replay.when_live(lambda: self._start_task(do))
        try:
            outcome = await do.waiting
        except asyncio.CancelledError:
            if do.waiting.cancelled() and not do.abandoned:
                do.waiting = self._outcome_future(key)
                do.waiting.add_done_callback(lambda waiting: self._close_unobserved(do, waiting))
            else:
                self._close(do)
            raise
        self._close(do)
        return outcome

    def _outcome_future(self, key: Key) -> "asyncio.Future[Outcome]":
        return self._replay.result_future(key) if parent_of(key) is None else asyncio.get_running_loop().create_future()

    def handle_frame(self, key: Key, frame: Mapping[str, Any]) -> None:
        """Handle a frame that belongs to an open step; one for a closed step is ignored."""
        do = self._open.get(key)
        if do is None:
            return
        op = frame["op"]
        if op == "timeout":
            if (
                do.attempt == frame["attempt"] and do.reply is None and do.error is None
            ):  # its callback runs, not its delay function
                do.timeout = frame["message"]
                do.task.cancel()
        elif op == "ok":
            self._deliver_outcome(do, {"status": COMPLETED, "value": do.output}, frame)
        elif op == "error":
            self._deliver_outcome(do, {"status": ERRORED, "error": frame["error"]}, frame)
        elif do.reply is not None and not do.reply.done():
            do.reply.set_result(frame)

    def running_attempt(self, key: Key) -> int | None:
        """The attempt of a step that runs now."""
        do = self._open.get(key)
        return do.attempt if do is not None and do.running else None

    def has_timed_out(self, key: Key) -> bool:
        """Whether the current attempt of a step has timed out, so that its callback is being cancelled."""
        do = self._open.get(key)
        return do is not None and do.timeout is not None

    async def wait_until_done(self, loop: Loop) -> None:
        """Wait for the steps that were started and never awaited."""
        await self._replay.until_live()
        while True:
            for _ in range(_SETTLING_TURNS):
                if not loop.has_ready_callbacks:
                    break
                await asyncio.sleep(0)
            if not self._open:
                return
            self._none_open = loop.create_future()
            await self._none_open

    async def cancel_all(self) -> None:
        """Cancel the callbacks that still run: the workflow has failed, and nothing waits for them."""
        for do in list(self._open.values()):
            do.abandoned = True
            self._close(do)
            do.waiting.cancel()
            if hasattr(do, "task"):
                do.task.cancel()
        await asyncio.sleep(0)

    def _start_task(self, do: Do) -> None:
        if do.abandoned:
            return
        do.task = asyncio.get_running_loop().create_task(self._make_attempts(do), context=do.context)
        do.task.add_done_callback(lambda task: self._on_task_done(do, task), context=do.context)

    async def _make_attempts(self, do: Do) -> None:
        """Run attempts until the trusted side ends the step."""
        if do.in_journal:
            self._post(do, {"op": "resume"})
            await self._wait_for_next_attempt(do)
        else:
            announcement = _announcement(do)
            await self._wait_to_begin(do.key, announcement)
            do.attempt = 1
            do.injected_break = self.breaks.claim_break(do.key[1], do.key[2]) if parent_of(do.key) is None else None
            self._announce(do, announcement)
        while not await self._run_attempt(do):
            await self._wait_for_next_attempt(do)

    def _on_task_done(self, do: Do, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and not do.waiting.done():
            do.waiting.set_exception(task.exception())  # type: ignore[arg-type] # a bug of the worker

    def _deliver_outcome(self, do: Do, outcome: dict[str, Any], frame: Mapping[str, Any]) -> None:
        if do.reply is not None:
            do.reply.cancel()
        if parent_of(do.key) is None:
            self._replay.receive_result(do.key, outcome, frame.get("clock"))
        else:
            self._history.store_outcome(do.key, outcome)
            if not do.waiting.done():
                do.waiting.set_result(outcome)

    def _close_unobserved(self, do: Do, waiting: asyncio.Future[Outcome]) -> None:
        """Close a step whose caller was cancelled; report its error, which nothing else will see."""
        self._close(do)
        if not waiting.cancelled() and waiting.exception() is None and waiting.result()["status"] == ERRORED:
            self._on_unawaited_error(do.key, failures.rebuild(waiting.result()["error"], None))

    def _close(self, do: Do) -> None:
        """Forget a step: its outcome was delivered, or never will be."""
        if self._open.pop(do.key, None) is None:
            return
        self._channel.unacknowledged -= do.unacknowledged
        if not self._open and self._none_open is not None and not self._none_open.done():
            self._none_open.set_result(None)

    def _announce(self, do: Do, frame: dict[str, Any]) -> None:
        if do.injected_break is not None:
            frame["broken"] = do.injected_break["id"]
        elif self.runs_ahead and self._quick.get(do.line) and not self._channel.must_flush(AHEAD_SECONDS):
            frame["step"], frame["attempt"] = do.key, do.attempt
            self._channel.hold(frame)
            do.announcement = frame
            return
        self._post(do, frame)
        self._channel.flush()

    def _post(self, do: Do, frame: dict[str, Any]) -> None:
        frame["step"], frame["attempt"] = do.key, do.attempt
        self._channel.post(frame)

    async def _wait_for_next_attempt(self, do: Do) -> None:
        do.reply = asyncio.get_running_loop().create_future()
        try:
            reply: Mapping[str, Any] = await do.reply
        finally:
            do.reply = None
        self._replay.release_clock(do.key)
        do.attempt, do.is_last_attempt, do.error, do.timeout = reply["attempt"], reply["last"], None, None
        do.injected_break = reply.get("broken")

    async def _run_attempt(self, do: Do) -> bool:
        """Run the callback once and send its result or error. True when it ended with a result."""
        assert not do.running, "a step has at most one open attempt"
        do.running = True
        self._history.reset_counts(do.key)
        do.attempt_started = _monotonic_time()
        try:
            ctx = step_context(do.key, do.attempt, do.config)
            if do.injected_break is None:
                result = do.callback(ctx)
            else:
                result = injected_outcome(do.injected_break, lambda: do.callback(ctx), do.config.timeout)
            if inspect.isawaitable(result):
                result = await result
            if self._step_bytes.are_large(result) and not do.config.sensitive:
                do.output, standing = await self._step_bytes.send(do.key[1], result)
                do.output_text = values.dumps(standing)
            else:
                do.output, do.output_text = encode_value(
                    result, f'result of step "{do.key[1]}"', self._limits["value_bytes"]
                )
        except GeneratorExit:
            raise
        except asyncio.CancelledError as cancelled:
            if do.abandoned:
                raise
            while do.task.cancelling():
                do.task.uncancel()
            if do.timeout is None:  # the callback's own, of a task that it cancelled
                await self._send_failure(do, cancelled)
            else:
                await self._send_failure(do, WorkflowTimeoutError(do.timeout).with_traceback(cancelled.__traceback__))
        except BaseException as error:  # noqa: BLE001 - SystemExit too: it ends the attempt, not the worker
            await self._send_failure(do, error)
        else:
            took = _monotonic_time() - do.attempt_started
            was_quick, self._quick[do.line] = self._quick.get(do.line), took < QUICK_SECONDS
            # One that is over its time, and perhaps let nobody say so, is for the trusted side to judge.
            if self.runs_ahead and do.timeout is None and took * 1000 < do.config.timeout:
                clock = self._send_result(do, took)
                if not was_quick:  # code that ends its process after each step must get on all the same
                    self._channel.flush()
                self._deliver_outcome(do, {"status": COMPLETED, "value": do.output}, {"clock": clock})
                return True
            self._send_end(do, {"op": "done", TEXTS: {"value": do.output_text}}, final=True, took=took)
            do.unacknowledged = do.key in self._open  # else it was abandoned, and would not be cancelled
            self._channel.unacknowledged += do.unacknowledged
            return True
        return False

    def _send_result(self, do: Do, took: float) -> int:
        """Send the result of an attempt that the code does not wait for, in one frame with its announcement if that has
        not been sent. Returns its time on the workflow's clock.
        """
        announcement, do.announcement = do.announcement, None
        done = {"op": "done", TEXTS: {"value": do.output_text}, "ahead": True}
        if announcement is None or not self._channel.take_back(announcement):
            return self._send_end(do, done, final=False, took=took)
        do.running = False
        clock = self._replay.clock()
        announcement["op"], announcement[TEXTS] = "did", {"value": do.output_text}
        announcement["took"], announcement["ended"] = max(0, round(took * MICROSECONDS)), clock
        self._channel.post(announcement)
        return clock

    async def _send_failure(self, do: Do, error: BaseException) -> None:
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # they refer to what filled the memory
        do.error = error
        took = _monotonic_time() - do.attempt_started
        frame, do.error = await failure_frame(
            do.key, do.attempt, do.config, error, self._limits, last=do.is_last_attempt
        )
        if frame["error"].get("line") is None:
            # No line of tenant code raised it, as for a result that can't be stored: use the line of the step.
            frame["error"]["line"] = do.line
        self._send_end(do, frame, final=do.is_last_attempt or not frame["retryable"], took=took)

    def _send_end(self, do: Do, frame: dict[str, Any], *, final: bool, took: float) -> int:
        """Send the end of an attempt, which `took` so many seconds. A `final` one ends its step, and holds the
        workflow's clock until acknowledged.

        Returns its time on the workflow's clock, in microseconds.
        """
        assert do.running, "the end of an attempt is sent once"
        do.running = False
        waited_for = final and parent_of(do.key) is None and do.key in self._open
        frame["took"] = max(0, round(took * MICROSECONDS))
        clock = frame["clock"] = self._replay.hold_clock(do.key) if waited_for else self._replay.clock()
        self._post(do, frame)
        return clock


def _announcement(do: Do) -> dict[str, Any]:
    rollback = do.rollback.as_json() if do.rollback is not None else None
    return {"op": "do", "config": do.config.as_json(), "line": do.line, "rollback": rollback, "clock": do.called_at}


def _monotonic_time() -> float:
    loop: Any = asyncio.get_running_loop()
    seconds: float = loop.machine_time()
    return seconds


def step_context(key: Key, attempt: int, config: StepConfig) -> Record:
    """The `ctx` of a callback: a fresh copy, so that changing it changes nothing."""
    return Record(step=Record(name=key[1], count=key[2]), attempt=attempt, config=config.as_json())


async def failure_frame(
    key: Key, attempt: int, config: StepConfig, error: BaseException, limits: Mapping[str, Any], *, last: bool
) -> tuple[dict[str, Any], BaseException]:
    """The frame for a failed attempt of a step or of its rollback handler, and the error that it carries.

    That is the delay function's error where the delay function fails.
    """
    frame: dict[str, Any] = {"op": "fail", "error": failures.describe(error), "retryable": failures.retryable(error)}
    if frame["retryable"] and not last and config.delay_function is not None:
        try:
            info = Record(ctx=step_context(key, attempt, config), error=error)
            frame["delay"] = await compute_delay(config.delay_function, key, info, limits["delay_function_ms"] / 1000)
        except NonRetryableDelayError as refused:
            frame.update(error=failures.describe(refused), retryable=False)
            return frame, refused
    return frame, error


def encode_value(value: Any, what: str, most: int) -> tuple[Any, str]:
    """Encode a value for the journal, in at most `most` bytes, and its JSON text; errors name it `what`.

    Raises NotSerialisableError.
    """
    try:
        return values.encode_with_text(value, what, most)
    except NotSerialisable as refused:
        part = what.partition(" ")[0]
        where = f"the whole {part}" if refused.details["path"] == "$" else f"$ is the {part}"
        cure = refused.details["cure"]
        raise NotSerialisableError(f"The {what} is {refused.message} ({where}).{f' {cure}.' if cure else ''}") from None
    except TooLarge as refused:
        raise NotSerialisableError(refused.message) from None
    except RecursionError:
        raise NotSerialisableError(f"The {what} is not serialisable: nested too deep") from None
