"""`step`: what tenant code calls to run, sleep and wait durably.

A step already in the journal answers at once. A new `do` is announced and its callback runs without waiting; the await goes on
when the acknowledgement of the commit comes back. Retries, deadlines and pauses are decided on the trusted side.
"""

import asyncio
import contextvars
import inspect
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from playground.worker import delays, failures, parameters
from playground.worker.breaks import Breaks, instead
from playground.worker.channel import Channel
from playground.worker.decorated import Decorated, retrieved
from playground.worker.entrypoint import (
    NonRetryableDelayError,
    NotSerialisableError,
    WorkflowFatalError,
    WorkflowTimeoutError,
)
from playground.worker.history import COMPLETED, ERRORED, History
from playground.worker.loop import Loop
from playground.worker.records import Record, moment
from playground.workflows import config as configs
from playground.workflows import durations, names, values
from playground.workflows.errors import InvalidEventType, NotSerialisable, TooLarge
from playground.workflows.events import DO, SLEEP, WAIT

Key = tuple[str, str, int]
_SETTLE = 4  # turns of the loop in which a task that was just made comes to its step
current_step: contextvars.ContextVar[Key | None] = contextvars.ContextVar("current_step", default=None)


class _Do:
    """One `do` of this execution, from its call to its end. `task` makes its attempts; `waiting` is what the caller waits for."""

    __slots__ = (
        "attempt", "broken", "callback", "config", "error", "key", "last", "line", "output", "owed", "reply", "rollback", "task", "timeout",
        "waiting",
    )  # fmt: skip

    task: asyncio.Task[None]
    waiting: asyncio.Future[Any]

    def __init__(self, key: Key, callback: Any, config: configs.StepConfig, rollback: Any, line: int | None) -> None:
        self.key, self.callback, self.config, self.rollback, self.line = key, callback, config, rollback, line
        self.attempt = 0
        self.reply: asyncio.Future[Any] | None = None
        self.error: BaseException | None = None
        self.timeout: str | None = None
        self.output: Any = None
        self.last = config.limit == 0
        self.owed = False
        self.broken: Mapping[str, Any] | None = None  # the break that its attempt falls under


class Steps:
    """The `step` object of one execution. The public methods are the tenant's API (shared/spec/semantics.md, section 2)."""

    def __init__(self, channel: Channel, history: History, limits: Mapping[str, Any], report: Callable[[str], None]) -> None:
        self._channel, self._history, self._limits, self._report = channel, history, limits, report
        self._open: dict[Key, _Do] = {}
        self._none_open: asyncio.Future[None] | None = None  # what waits until there are none
        self._waiting: dict[Key, asyncio.Future[Any]] = {}
        self._dos = 0
        self._held: asyncio.Event | None = None
        self._collecting = self._closed = False
        self.wanted: list[Key] = []  # steps that a replay without new steps came to and could not answer
        self.breaks = Breaks(())
        self.module: Any = None
        self.decorated: dict[str, Decorated] = {}
        self.rollbacks: dict[Key, Callable[..., Any]] = {}
        self.rollback_configs: dict[Key, configs.StepConfig] = {}

    # What the tenant calls.

    def do(
        self,
        name: Any = None,
        callback: Any = None,
        *,
        depends: list[Any] | None = None,
        concurrent: bool = False,
        config: Any = None,
        rollback: Any = None,
        rollback_config: Any = None,
    ) -> Any:
        """Run a callback durably: `@step.do("name")` over a function, or `await step.do("name", callback)`."""
        given = {"config": config, "rollback": rollback, "rollback_config": rollback_config}
        if callback is not None:
            if not callable(callback):
                raise TypeError(f"step.do takes a function as its second argument, not {type(callback).__name__}")
            call = callback if parameters.takes_context(callback) else lambda ctx: callback()
            return self.start(name, call, line=_caller_line(), **given)

        def decorate(function: Any) -> Decorated:
            title = name if name is not None and not callable(name) else getattr(function, "__name__", "step")
            made = Decorated(self, title, function, depends, concurrent, given)
            self.decorated[made.__name__] = made
            return made

        return decorate(name) if callable(name) else decorate

    def sleep(self, name: Any, duration: Any) -> Coroutine[Any, Any, None]:
        """Sleep durably for a duration: `"2 hours"`, milliseconds or a timedelta; at most 365 days."""
        name = self._plain_name(name)
        milliseconds = durations.parse(duration)
        if milliseconds > durations.LONGEST:
            raise WorkflowFatalError(f'Sleep "{name}" is longer than 365 days, the longest there is')
        return self._suspend(self._history.next_key(SLEEP, name), {"op": "sleep", "duration": milliseconds, "line": _caller_line()})

    def sleep_until(self, name: Any, when: Any) -> Coroutine[Any, Any, None]:
        """Sleep durably until a datetime (naive is UTC) or epoch milliseconds; at most 365 days ahead."""
        name = self._plain_name(name)
        if isinstance(when, datetime):
            when = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000
        if not isinstance(when, (int, float)) or isinstance(when, bool) or not abs(when) < 2**53:
            raise TypeError(f"sleep_until takes a datetime or epoch milliseconds, not {type(when).__name__}")
        return self._suspend(self._history.next_key(SLEEP, name), {"op": "sleep", "until": round(when), "line": _caller_line()})

    def wait_for_event(self, name: Any, event_type: Any = None, /, timeout: Any = "24 hours", **more: Any) -> Coroutine[Any, Any, Record]:
        """Wait durably for an event of a type; gives a mapping with payload, timestamp and type."""
        event_type = more.pop("type", more.pop("event_type", event_type))
        if more:
            raise TypeError(f"wait_for_event got an unexpected argument {next(iter(more))!r}")
        name = self._plain_name(name)
        try:
            names.check_event_type(event_type)
        except InvalidEventType as refused:
            raise WorkflowFatalError(refused.message) from None
        milliseconds = durations.parse(timeout)
        if not durations.SECOND <= milliseconds <= durations.LONGEST:
            raise WorkflowFatalError(f'The timeout of wait "{name}" must be from 1 second to 365 days')
        frame = {"op": "wait", "event_type": event_type, "timeout": milliseconds, "line": _caller_line()}
        return self._suspend(self._history.next_key(WAIT, name), frame)

    # What the channel brings.

    def reply(self, frame: Mapping[str, Any]) -> None:
        """Take a frame that answers a step of this execution."""
        key = tuple(frame["step"])
        op = frame["op"]
        if op in ("over", "refused"):
            waiting = self._waiting.pop(key, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)
            return
        do = self._open.get(key)
        if do is None:
            return
        if op == "timeout":
            if do.attempt == frame["attempt"] and do.reply is None:
                do.timeout = frame["message"]
                do.task.cancel()
        elif op == "ok":
            self._close(do)
            if not do.waiting.done():
                do.waiting.set_result(values.decode(do.output))
        elif do.reply is not None and not do.reply.done():
            do.reply.set_result(frame)

    def hold(self, held: bool) -> None:
        """Start no new step while held: the instance is being paused."""
        if held and self._held is None:
            self._held = asyncio.Event()
        elif not held and self._held is not None:
            self._held.set()
            self._held = None

    def collect(self) -> None:
        """From now on no step starts: `run` is replayed only to learn the rollback handlers."""
        self._collecting = True

    def close(self) -> None:
        """From now on a step that is called is refused: handlers run."""
        self._closed = True

    async def finish_open(self, loop: Loop) -> None:
        """Wait for `do`s that were started and never awaited."""
        while True:
            for _ in range(_SETTLE):
                if not loop.has_more:
                    break
                await asyncio.sleep(0)
            if not self._open:
                return
            self._none_open = loop.create_future()
            await self._none_open

    async def abandon_open(self) -> None:
        """Cancel the callbacks still running: `run` has failed, and nothing waits for them."""
        for do in list(self._open.values()):
            self._close(do)
            do.waiting.cancel()
            do.task.cancel()
        await asyncio.sleep(0)

    def context(self, key: Key, attempt: int, config: configs.StepConfig) -> Record:
        """The `ctx` of a callback: a fresh copy, so that changing it changes nothing."""
        return Record(step=Record(name=key[1], count=key[2]), attempt=attempt, config=config.as_json())

    # A do.

    def start(
        self, name: Any, call: Callable[[Record], Any], *, line: int | None, config: Any, rollback: Any, rollback_config: Any
    ) -> Coroutine[Any, Any, Any]:
        """Check and count a `do`, then give the coroutine that runs it."""
        name = self._plain_name(name)
        self._dos += 1
        if self._dos > self._limits["step_limit"]:
            raise WorkflowFatalError(f"The limit of {self._limits['step_limit']} steps has been reached")
        key = self._history.next_key(DO, name)
        resolved = configs.resolve(config, name)
        do = _Do(key, call, resolved, rollback, line)
        if rollback is not None:
            if not callable(rollback):
                raise TypeError(f'The rollback of step "{name}" must be a function, not {type(rollback).__name__}')
            self.rollbacks[key] = rollback
            self.rollback_configs[key] = configs.resolve(rollback_config, f"{name} (rollback)")
        return self._answered(do)

    async def _answered(self, do: _Do) -> Any:
        stored = self._history.find(do.key)
        if stored is not None and stored["status"] == COMPLETED:
            return values.decode(stored["value"])
        if stored is not None and stored["status"] == ERRORED:
            raise failures.rebuild(stored["error"], self.module)
        if self._collecting:
            self.wanted.append(do.key)
            await asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        do.waiting = loop.create_future()
        do.task = loop.create_task(self._live(do, stored))
        do.task.add_done_callback(lambda task: self._lived(do, task))
        self._open[do.key] = do
        try:
            return await do.waiting
        except asyncio.CancelledError:
            if do.waiting.cancelled():
                raise
            return do.waiting.result()

    async def _live(self, do: _Do, stored: Mapping[str, Any] | None) -> None:
        """Make attempts until one has a result, whose acknowledgement ends the step, or there are to be no more."""
        current_step.set(do.key)
        if stored is None:
            await self._not_held()
            do.attempt = 1
            do.broken = self.breaks.take(do.key[1], do.key[2])
            self._announce(do)
        else:
            self._post(do, {"op": "resume"})
            await self._take_reply(do)
        while not await self._attempt(do):
            reply = await self._take_reply(do)
            if reply["op"] == "error":
                raise do.error if do.error is not None else failures.rebuild(reply["error"], self.module)

    def _lived(self, do: _Do, task: asyncio.Task[None]) -> None:
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

    def _close(self, do: _Do) -> None:
        del self._open[do.key]
        self._channel.owed -= do.owed
        if not self._open and self._none_open is not None and not self._none_open.done():
            self._none_open.set_result(None)

    def _announce(self, do: _Do) -> None:
        rollback = self.rollback_configs[do.key].as_json() if do.rollback is not None else None
        frame = {"op": "do", "config": do.config.as_json(), "line": do.line, "rollback": rollback}
        self._post(do, frame if do.broken is None else {**frame, "broken": do.broken["id"]})
        self._channel.flush()

    def _post(self, do: _Do, frame: dict[str, Any]) -> None:
        frame["step"], frame["attempt"] = do.key, do.attempt
        self._channel.post(frame)

    async def _take_reply(self, do: _Do) -> Mapping[str, Any]:
        do.reply = asyncio.get_running_loop().create_future()
        try:
            reply: Mapping[str, Any] = await do.reply
        finally:
            do.reply = None
        if reply["op"] == "run":
            do.attempt, do.last, do.error, do.timeout = reply["attempt"], reply["last"], None, None
            do.broken = reply.get("broken")
        return reply

    async def _attempt(self, do: _Do) -> bool:
        """Run the callback and send what came of it; whether that is a result."""
        try:
            context = self.context(do.key, do.attempt, do.config)
            if do.broken is None:
                result = do.callback(context)
            else:
                result = instead(do.broken, lambda: do.callback(context), do.config.timeout)
            if inspect.isawaitable(result):
                result = await result
            do.output = self.stored(result, f'result of step "{do.key[1]}"')
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

    async def _failed(self, do: _Do, error: BaseException) -> None:
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # what filled the memory hangs from there
        do.error = error
        retryable = failures.retryable(error)
        frame: dict[str, Any] = {"op": "fail", "error": failures.describe(error), "retryable": retryable}
        if retryable and not do.last and do.config.delay_function is not None:
            try:
                info = Record(ctx=self.context(do.key, do.attempt, do.config), error=error)
                frame["delay"] = await delays.computed(do.config.delay_function, do.key, info, self._limits["delay_function_ms"] / 1000)
            except NonRetryableDelayError as refused:
                do.error = refused
                frame.update(error=failures.describe(refused), retryable=False)
        self._post(do, frame)

    def stored(self, value: Any, what: str) -> Any:
        """The stored form of a value. Raises NotSerialisableError when it can't be stored."""
        try:
            return values.encode_bounded(value, what, self._limits["value_bytes"])
        except NotSerialisable as refused:
            raise NotSerialisableError(f"The {what} is {refused.message}") from None
        except TooLarge as refused:
            raise NotSerialisableError(refused.message) from None
        except RecursionError:
            raise NotSerialisableError(f"The {what} is not serialisable: nested too deep") from None

    # A sleep or a wait.

    async def _suspend(self, key: Key, frame: dict[str, Any]) -> Any:
        stored = self._history.find(key)
        if stored is not None and stored["status"] == COMPLETED:
            return self._event(stored["value"]) if key[0] == WAIT else None
        if stored is not None and stored["status"] == ERRORED:
            raise failures.rebuild(stored["error"], self.module)
        future = asyncio.get_running_loop().create_future()
        if self._collecting:
            self.wanted.append(key)
        else:
            await self._not_held()
            self._waiting[key] = future
            self._channel.post({**frame, "step": key})
        reply = await future
        if reply["op"] == "refused" or reply.get("error"):
            raise failures.rebuild(reply["error"], self.module)
        return self._event(reply["value"]) if key[0] == WAIT else None

    def _event(self, stored: Mapping[str, Any]) -> Record:
        return Record(payload=values.decode(stored["payload"]), timestamp=moment(stored["timestamp"]), type=stored["type"])

    async def _not_held(self) -> None:
        while self._held is not None:
            await self._held.wait()

    def _plain_name(self, name: Any) -> str:
        """The name as plain text: one of a class of its own may be equal to anything."""
        plain = str.__str__(name) if isinstance(name, str) else name
        if not names.step_name_fits(plain):
            raise WorkflowFatalError(names.step_name_refusal(plain))
        if self._closed:
            raise WorkflowFatalError(f'Step "{plain}" can\'t start during a rollback')
        return plain


def _caller_line() -> int | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not failures.is_tenants(frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_lineno if frame is not None else None
