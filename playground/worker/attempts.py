"""The `do`s that are under way: each announced, its attempts made, and what came of them sent.

A new one is announced and its callback runs without waiting; the await in the tenant's code goes on when the commit is
acknowledged and its turn has come (replay.py). Whether there is another attempt, when, and when one is late, is decided
on the trusted side.

What a person has broken, inside: a first attempt begins without asking, so what is to become of it has to be known
here.

The worker claims a break when it announces such an attempt; the trusted side checks the claim and decides what is
written (`playground/engine/execution/faults.py`). Of later attempts it says so itself.

The delay before the next attempt of a step, where the tenant computes it.
"""

import asyncio
import contextvars
import inspect
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from playground.worker import failures
from playground.worker.channel import AHEAD_SECONDS, Channel
from playground.worker.context import Key, Record, context_of, label_of, parent_of
from playground.worker.entrypoint import (
    InjectedError,
    NonRetryableDelayError,
    NotSerialisableError,
    WorkflowTimeoutError,
)
from playground.worker.loop import Loop
from playground.worker.replay import COMPLETED, ERRORED, MICROSECONDS, History, Outcome, Replay
from playground.workflows import breaks, durations, values
from playground.workflows.errors import NotSerialisable, TooLarge
from playground.workflows.step_config import StepConfig

__all__ = ["Attempts", "Do", "Report"]


class Breaks:
    """The breaks of this execution.

    What has been claimed here is counted here: a list on its way does not know of it yet.
    """

    def __init__(self, given: Iterable[breaks.Break]) -> None:
        self._claimed: Counter[int] = Counter()
        self.update(given)

    def update(self, given: Iterable[breaks.Break]) -> None:
        """Take the breaks as they are now; `left` in them is without what was claimed here."""
        self._given = list(given)

    def take(self, name: str, count: int) -> breaks.Break | None:
        """The break that the first attempt of a step falls under, which is used once more."""
        if not self._given:
            return None
        left = [{**each, "left": each["left"] - self._claimed[each["id"]]} for each in self._given]
        found = breaks.find_break(left, name, count)
        if found is not None:
            self._claimed[found["id"]] += 1
        return found


async def injected_outcome(broken: Mapping[str, Any], call: Callable[[], Any], timeout: int) -> Any:
    """Do what a break says in place of an attempt: `call` is the attempt, `timeout` the step's own in milliseconds.

    Raises:
        InjectedError, WorkflowTimeoutError: that is what the break is for.
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


async def computed(function: Callable[..., Any], key: tuple[str, str, int], info: Record, seconds: float) -> int:
    """Milliseconds, by the `function` of a step's config, which is given `info` and may take so many seconds.

    Raises:
        NonRetryableDelayError: it failed, was late, or gave no duration.
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


Report = Callable[[Key, BaseException], None]  # told of a step that failed though nothing awaits it
QUICK_SECONDS = 0.0005  # a step that took less is not announced by itself when it is run again
_SETTLE = 4  # turns of the loop in which a task that was just made comes to its step


class Do:
    """One `do`, from its call to its end.

    `task` makes its attempts; `waiting` is what the caller waits for. `rollback` configures its handler.
    """

    __slots__ = (
        "abandoned", "attempt", "began", "begun", "broken", "callback", "clock", "config", "context", "error", "key",
        "last", "line", "output", "owed", "reply", "rollback", "task", "timeout", "waiting",
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
        self.begun = False  # an earlier execution has announced it
        self.clock = 0  # when it was called, on the workflow's clock
        self.attempt = 0
        self.began = 0.0  # when the attempt did, in seconds of the machine's clock
        self.reply: asyncio.Future[Any] | None = None
        self.error: BaseException | None = None
        self.timeout: str | None = None
        self.abandoned = False
        self.output: Any = None
        self.last = config.limit == 0
        self.owed = False
        self.broken: Mapping[str, Any] | None = None  # the break that its attempt falls under


class Attempts:
    """Runs the `do`s of one execution. Nothing new begins before `not_held` returns."""

    def __init__(
        self,
        channel: Channel,
        replay: Replay,
        history: History,
        limits: Mapping[str, Any],
        report: Report,
        not_held: Callable[[], Awaitable[None]],
    ) -> None:
        self._channel, self._replay, self._history, self._limits = channel, replay, history, limits
        self._report, self._not_held = report, not_held
        self._open: dict[Key, Do] = {}
        self._none_open: asyncio.Future[None] | None = None  # what waits until there are none
        self.breaks = Breaks(())
        self.runs_ahead = False  # the code goes on before its results are durable
        self._quick: dict[int | None, bool] = {}  # by the line of a step, whether its last attempt took no time

    async def run(self, do: Do) -> Outcome:
        """What becomes of a step, at its turn after it is committed.

        Whoever is cancelled while waiting for it leaves it running.
        """
        key = do.key
        before = self._open.get(key)
        if before is not None:  # inside a step whose earlier attempt began it
            return await asyncio.shield(before.waiting)
        do.waiting = self._expect(key)
        do.context, do.clock = context_of(key), self._replay.seen_clock()
        self._open[key] = do
        if self._replay.live or parent_of(key) is not None:
            self._begin(do)
        else:
            self._replay.when_live(lambda: self._begin(do))
        try:
            outcome = await do.waiting
        except asyncio.CancelledError:
            if do.waiting.cancelled() and not do.abandoned:
                do.waiting = self._expect(key)
                do.waiting.add_done_callback(lambda waiting: self._close_unseen(do, waiting))
            else:
                self._close(do)
            raise
        self._close(do)
        return outcome

    def _expect(self, key: Key) -> "asyncio.Future[Outcome]":
        return self._replay.expect(key) if parent_of(key) is None else asyncio.get_running_loop().create_future()

    def reply(self, key: Key, frame: Mapping[str, Any]) -> None:
        """Take a frame that answers a step."""
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
            self._over(do, {"status": COMPLETED, "value": do.output}, frame)
        elif op == "error":
            self._over(do, {"status": ERRORED, "error": frame["error"]}, frame)
        elif do.reply is not None and not do.reply.done():
            do.reply.set_result(frame)

    def is_late(self, key: Key) -> bool:
        """Whether the attempt of a step has timed out, and its callback is being cancelled."""
        do = self._open.get(key)
        return do is not None and do.timeout is not None

    async def finish(self, loop: Loop) -> None:
        """Wait for those that were started and never awaited."""
        await self._replay.until_live()
        while True:
            for _ in range(_SETTLE):
                if not loop.has_more:
                    break
                await asyncio.sleep(0)
            if not self._open:
                return
            self._none_open = loop.create_future()
            await self._none_open

    async def abandon(self) -> None:
        """Cancel the callbacks still running: `run` has failed, and nothing waits for them."""
        for do in list(self._open.values()):
            do.abandoned = True
            self._close(do)
            do.waiting.cancel()
            if hasattr(do, "task"):
                do.task.cancel()
        await asyncio.sleep(0)

    def _begin(self, do: Do) -> None:
        if do.abandoned:
            return
        do.task = asyncio.get_running_loop().create_task(self._live(do), context=do.context)
        do.task.add_done_callback(lambda task: self._lived(do, task), context=do.context)

    async def _live(self, do: Do) -> None:
        """Make attempts until the trusted side says that the step is over."""
        if do.begun:
            self._post(do, {"op": "resume"})
            await self._take_run(do)
        else:
            await self._not_held()
            do.attempt = 1
            do.broken = self.breaks.take(do.key[1], do.key[2]) if parent_of(do.key) is None else None
            self._announce(do)
        while not await self._attempt(do):
            await self._take_run(do)

    def _lived(self, do: Do, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and not do.waiting.done():
            do.waiting.set_exception(task.exception())  # type: ignore[arg-type] # a fault of ours

    def _over(self, do: Do, outcome: dict[str, Any], frame: Mapping[str, Any]) -> None:
        if do.reply is not None:
            do.reply.cancel()
        if parent_of(do.key) is None:
            self._replay.arrive(do.key, outcome, frame.get("clock"))
        else:
            self._history.remember(do.key, outcome)
            if not do.waiting.done():
                do.waiting.set_result(outcome)

    def _close_unseen(self, do: Do, waiting: asyncio.Future[Outcome]) -> None:
        """A step is over whose caller was cancelled."""
        self._close(do)
        if not waiting.cancelled() and waiting.exception() is None and waiting.result()["status"] == ERRORED:
            self._report(do.key, failures.rebuild(waiting.result()["error"], None))

    def _close(self, do: Do) -> None:
        """The code has what became of the step, or nobody ever will."""
        if self._open.pop(do.key, None) is None:
            return
        self._channel.owed -= do.owed
        if not self._open and self._none_open is not None and not self._none_open.done():
            self._none_open.set_result(None)

    def _announce(self, do: Do) -> None:
        rollback = do.rollback.as_json() if do.rollback is not None else None
        frame = {"op": "do", "config": do.config.as_json(), "line": do.line, "rollback": rollback, "clock": do.clock}
        self._post(do, frame if do.broken is None else {**frame, "broken": do.broken["id"]})
        if self.runs_ahead and self._quick.get(do.line):
            self._channel.flush_old(AHEAD_SECONDS)
        else:
            self._channel.flush()

    def _post(self, do: Do, frame: dict[str, Any]) -> None:
        frame["step"], frame["attempt"] = do.key, do.attempt
        self._channel.post(frame)

    async def _take_run(self, do: Do) -> None:
        do.reply = asyncio.get_running_loop().create_future()
        try:
            reply: Mapping[str, Any] = await do.reply
        finally:
            do.reply = None
        self._replay.owe_no_more(do.key)
        do.attempt, do.last, do.error, do.timeout = reply["attempt"], reply["last"], None, None
        do.broken = reply.get("broken")

    async def _attempt(self, do: Do) -> bool:
        """Run the callback and send what came of it; whether that is a result."""
        self._history.begin_attempt(do.key)
        do.began = _machine_time()
        try:
            ctx = context(do.key, do.attempt, do.config)
            if do.broken is None:
                result = do.callback(ctx)
            else:
                result = injected_outcome(do.broken, lambda: do.callback(ctx), do.config.timeout)
            if inspect.isawaitable(result):
                result = await result
            do.output = stored(result, f'result of step "{do.key[1]}"', self._limits["value_bytes"])
        except GeneratorExit:
            raise
        except asyncio.CancelledError as cancelled:
            if do.abandoned:
                raise
            while do.task.cancelling():
                do.task.uncancel()
            if do.timeout is None:  # the callback's own, of a task that it cancelled
                await self._failed(do, cancelled)
            else:
                await self._failed(do, WorkflowTimeoutError(do.timeout).with_traceback(cancelled.__traceback__))
        except BaseException as error:  # noqa: BLE001 - SystemExit too: it ends the attempt, not the worker
            await self._failed(do, error)
        else:
            self._quick[do.line] = _machine_time() - do.began < QUICK_SECONDS
            if self.runs_ahead and do.timeout is None:  # else the trusted side has given the attempt up
                clock = self._send_end(do, {"op": "done", "value": do.output, "ahead": True}, final=False)
                self._over(do, {"status": COMPLETED, "value": do.output}, {"clock": clock})
                return True
            self._send_end(do, {"op": "done", "value": do.output}, final=True)
            do.owed = do.key in self._open  # else it was abandoned, and would not be cancelled
            self._channel.owed += do.owed
            return True
        return False

    async def _failed(self, do: Do, error: BaseException) -> None:
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # what filled the memory hangs from there
        do.error = error
        took = _machine_time() - do.began
        frame, do.error = await failure(do.key, do.attempt, do.config, error, self._limits, last=do.last)
        if frame["error"].get("line") is None:
            # No line of the tenant's raised it, as for a result that can't be stored: its step did.
            frame["error"]["line"] = do.line
        self._send_end(do, frame, final=do.last or not frame["retryable"], took=took)

    def _send_end(self, do: Do, frame: dict[str, Any], *, final: bool, took: float | None = None) -> int:
        """Send how an attempt ended; a `final` one ends its step, which the workflow's clock waits for.

        Gives when, on the workflow's clock.
        """
        took = _machine_time() - do.began if took is None else took
        waited_for = final and parent_of(do.key) is None and do.key in self._open
        frame["took"] = max(0, round(took * MICROSECONDS))
        clock = frame["clock"] = self._replay.owe(do.key) if waited_for else self._replay.clock()
        self._post(do, frame)
        return clock


def _machine_time() -> float:
    loop: Any = asyncio.get_running_loop()
    seconds: float = loop.real()
    return seconds


def context(key: Key, attempt: int, config: StepConfig) -> Record:
    """The `ctx` of a callback: a fresh copy, so that changing it changes nothing."""
    return Record(step=Record(name=key[1], count=key[2]), attempt=attempt, config=config.as_json())


async def failure(
    key: Key, attempt: int, config: StepConfig, error: BaseException, limits: Mapping[str, Any], *, last: bool
) -> tuple[dict[str, Any], BaseException]:
    """What is sent of a failed attempt of a step, or of its rollback handler, and its error: that of the delay
    function, where that fails.
    """
    frame: dict[str, Any] = {"op": "fail", "error": failures.describe(error), "retryable": failures.retryable(error)}
    if frame["retryable"] and not last and config.delay_function is not None:
        try:
            info = Record(ctx=context(key, attempt, config), error=error)
            frame["delay"] = await computed(config.delay_function, key, info, limits["delay_function_ms"] / 1000)
        except NonRetryableDelayError as refused:
            frame.update(error=failures.describe(refused), retryable=False)
            return frame, refused
    return frame, error


def stored(value: Any, what: str, most: int) -> Any:
    """The stored form of a `what` of at most `most` bytes. Raises NotSerialisableError when it can't be stored."""
    try:
        return values.encode_bounded(value, what, most)
    except NotSerialisable as refused:
        part = what.partition(" ")[0]
        where = f"the whole {part}" if refused.details["path"] == "$" else f"$ is the {part}"
        cure = refused.details["cure"]
        raise NotSerialisableError(f"The {what} is {refused.message} ({where}).{f' {cure}.' if cure else ''}") from None
    except TooLarge as refused:
        raise NotSerialisableError(refused.message) from None
    except RecursionError:
        raise NotSerialisableError(f"The {what} is not serialisable: nested too deep") from None
