"""The `do`s that are under way: each announced, its attempts made, and what came of them sent.

A new one is announced and its callback runs without waiting; the await in the tenant's code goes on when the acknowledgement of the commit
comes back. Whether there is another attempt, when, and when one is late, is decided on the trusted side.
"""

import asyncio
import contextvars
import inspect
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from playground.worker import delays, failures
from playground.worker.breaks import Breaks, instead
from playground.worker.channel import Channel
from playground.worker.decorated import retrieved
from playground.worker.entrypoint import NonRetryableDelayError, NotSerialisableError, WorkflowTimeoutError
from playground.worker.loop import Loop
from playground.worker.records import Record
from playground.workflows import values
from playground.workflows.config import StepConfig
from playground.workflows.errors import NotSerialisable, TooLarge

Key = tuple[str, str, int]
_SETTLE = 4  # turns of the loop in which a task that was just made comes to its step
current_step: contextvars.ContextVar[Key | None] = contextvars.ContextVar("current_step", default=None)


class Do:
    """One `do`, from its call to its end. `task` makes its attempts; `waiting` is what the caller waits for. `rollback` configures its handler."""

    __slots__ = (
        "attempt", "broken", "callback", "config", "error", "key", "last", "line", "output", "owed", "reply", "rollback", "task", "timeout",
        "waiting",
    )  # fmt: skip

    task: asyncio.Task[None]
    waiting: asyncio.Future[None]

    def __init__(self, key: Key, callback: Callable[[Record], Any], config: StepConfig, rollback: StepConfig | None, line: int | None) -> None:
        self.key, self.callback, self.config, self.rollback, self.line = key, callback, config, rollback, line
        self.attempt = 0
        self.reply: asyncio.Future[Any] | None = None
        self.error: BaseException | None = None
        self.timeout: str | None = None
        self.output: Any = None
        self.last = config.limit == 0
        self.owed = False
        self.broken: Mapping[str, Any] | None = None  # the break that its attempt falls under


class Attempts:
    """Runs the `do`s of one execution. Nothing new begins before `not_held` returns; `rebuild` makes an exception of a stored error."""

    def __init__(
        self,
        channel: Channel,
        limits: Mapping[str, Any],
        report: Callable[[str], None],
        not_held: Callable[[], Awaitable[None]],
        rebuild: Callable[[Mapping[str, Any]], BaseException],
    ) -> None:
        self._channel, self._limits, self._report, self._not_held, self._rebuild = channel, limits, report, not_held, rebuild
        self._open: dict[Key, Do] = {}
        self._none_open: asyncio.Future[None] | None = None  # what waits until there are none
        self.breaks = Breaks(())

    async def run(self, do: Do, *, begun: bool) -> Any:
        """The result of a step, once it is committed; `begun` says that an earlier execution has announced it.

        Whoever is cancelled while waiting for it leaves it running.
        """
        loop = asyncio.get_running_loop()
        do.waiting = loop.create_future()
        do.task = loop.create_task(self._live(do, begun))
        do.task.add_done_callback(lambda task: self._lived(do, task))
        self._open[do.key] = do
        try:
            await do.waiting
        except asyncio.CancelledError:
            if do.waiting.cancelled():
                raise
            do.waiting.result()  # the end of the step came first, so it counts
        return values.decode(do.output)

    def reply(self, key: Key, frame: Mapping[str, Any]) -> None:
        """Take a frame that answers a step."""
        do = self._open.get(key)
        if do is None:
            return
        if frame["op"] == "timeout":
            if do.attempt == frame["attempt"] and do.reply is None and do.error is None:  # its callback runs, not its delay function
                do.timeout = frame["message"]
                do.task.cancel()
        elif frame["op"] == "ok":
            self._close(do)
            if not do.waiting.done():
                do.waiting.set_result(None)
        elif do.reply is not None and not do.reply.done():
            do.reply.set_result(frame)

    async def finish(self, loop: Loop) -> None:
        """Wait for those that were started and never awaited."""
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
            self._close(do)
            do.waiting.cancel()
            do.task.cancel()
        await asyncio.sleep(0)

    async def _live(self, do: Do, begun: bool) -> None:
        """Make attempts until one has a result, whose acknowledgement ends the step, or there are to be no more."""
        current_step.set(do.key)
        if begun:
            self._post(do, {"op": "resume"})
            await self._take_reply(do)
        else:
            await self._not_held()
            do.attempt = 1
            do.broken = self.breaks.take(do.key[1], do.key[2])
            self._announce(do)
        while not await self._attempt(do):
            reply = await self._take_reply(do)
            if reply["op"] == "error":
                raise do.error if do.error is not None else self._rebuild(reply["error"])

    def _lived(self, do: Do, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._open.get(do.key) is not do or not (task.cancelled() or error):
            return
        self._close(do)
        if error is None:
            do.waiting.cancel()
        elif not do.waiting.done():
            do.waiting.set_exception(error)
            retrieved(do.waiting)
        else:
            self._report(f'Step "{do.key[1]}-{do.key[2]}" failed and nothing awaited it: {type(error).__name__}: {failures.message_of(error)}')

    def _close(self, do: Do) -> None:
        del self._open[do.key]
        self._channel.owed -= do.owed
        if not self._open and self._none_open is not None and not self._none_open.done():
            self._none_open.set_result(None)

    def _announce(self, do: Do) -> None:
        rollback = do.rollback.as_json() if do.rollback is not None else None
        frame = {"op": "do", "config": do.config.as_json(), "line": do.line, "rollback": rollback}
        self._post(do, frame if do.broken is None else {**frame, "broken": do.broken["id"]})
        self._channel.flush()

    def _post(self, do: Do, frame: dict[str, Any]) -> None:
        frame["step"], frame["attempt"] = do.key, do.attempt
        self._channel.post(frame)

    async def _take_reply(self, do: Do) -> Mapping[str, Any]:
        do.reply = asyncio.get_running_loop().create_future()
        try:
            reply: Mapping[str, Any] = await do.reply
        finally:
            do.reply = None
        if reply["op"] == "run":
            do.attempt, do.last, do.error, do.timeout = reply["attempt"], reply["last"], None, None
            do.broken = reply.get("broken")
        return reply

    async def _attempt(self, do: Do) -> bool:
        """Run the callback and send what came of it; whether that is a result."""
        try:
            ctx = context(do.key, do.attempt, do.config)
            if do.broken is None:
                result = do.callback(ctx)
            else:
                result = instead(do.broken, lambda: do.callback(ctx), do.config.timeout)
            if inspect.isawaitable(result):
                result = await result
            do.output = stored(result, f'result of step "{do.key[1]}"', self._limits["value_bytes"])
        except asyncio.CancelledError as cancelled:
            if do.timeout is None:
                raise
            do.task.uncancel()
            await self._failed(do, WorkflowTimeoutError(do.timeout).with_traceback(cancelled.__traceback__))
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too: it ends the attempt, not the worker
            await self._failed(do, error)
        else:
            self._post(do, {"op": "done", "value": do.output})
            do.owed = do.key in self._open  # else it was abandoned, and would not be cancelled
            self._channel.owed += do.owed
            return True
        return False

    async def _failed(self, do: Do, error: BaseException) -> None:
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # what filled the memory hangs from there
        do.error = error
        frame, do.error = await failure(do.key, do.attempt, do.config, error, self._limits, last=do.last)
        self._post(do, frame)


def context(key: Key, attempt: int, config: StepConfig) -> Record:
    """The `ctx` of a callback: a fresh copy, so that changing it changes nothing."""
    return Record(step=Record(name=key[1], count=key[2]), attempt=attempt, config=config.as_json())


async def failure(
    key: Key, attempt: int, config: StepConfig, error: BaseException, limits: Mapping[str, Any], *, last: bool
) -> tuple[dict[str, Any], BaseException]:
    """What is sent of a failed attempt of a step, or of its rollback handler, and its error: that of the delay function, where that fails."""
    frame: dict[str, Any] = {"op": "fail", "error": failures.describe(error), "retryable": failures.retryable(error)}
    if frame["retryable"] and not last and config.delay_function is not None:
        try:
            info = Record(ctx=context(key, attempt, config), error=error)
            frame["delay"] = await delays.computed(config.delay_function, key, info, limits["delay_function_ms"] / 1000)
        except NonRetryableDelayError as refused:
            frame.update(error=failures.describe(refused), retryable=False)
            return frame, refused
    return frame, error


def stored(value: Any, what: str, most: int) -> Any:
    """The stored form of a `what` of at most `most` bytes. Raises NotSerialisableError when it can't be stored."""
    try:
        return values.encode_bounded(value, what, most)
    except NotSerialisable as refused:
        raise NotSerialisableError(f"The {what} is {refused.message}") from None
    except TooLarge as refused:
        raise NotSerialisableError(refused.message) from None
    except RecursionError:
        raise NotSerialisableError(f"The {what} is not serialisable: nested too deep") from None
