"""`step`: what tenant code calls to run, sleep and wait durably.

A step already in the journal answers at once; a new one is named, counted and checked here. What becomes of a `do` is in attempts.py.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from playground.worker import failures, parameters
from playground.worker.attempts import Attempts, Do, Key
from playground.worker.channel import Channel
from playground.worker.decorated import Decorated
from playground.worker.entrypoint import WorkflowFatalError
from playground.worker.history import COMPLETED, ERRORED, History
from playground.worker.records import Record, moment
from playground.workflows import config as configs
from playground.workflows import durations, names, values
from playground.workflows.errors import InvalidEventType
from playground.workflows.events import DO, SLEEP, WAIT


class Steps:
    """The `step` object of one execution. The public methods are the tenant's API (shared/spec/semantics.md, section 2)."""

    def __init__(self, channel: Channel, history: History, limits: Mapping[str, Any], report: Callable[[str], None]) -> None:
        self._channel, self._history, self._limits = channel, history, limits
        self.attempts = Attempts(channel, limits, report, self._not_held, self._rebuilt)
        self._waiting: dict[Key, asyncio.Future[Any]] = {}
        self._dos = 0
        self._held: asyncio.Event | None = None
        self._collecting = self._closed = False
        self.wanted: list[Key] = []  # steps that a replay without new steps came to and could not answer
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
        if frame["op"] not in ("over", "refused"):
            self.attempts.reply(key, frame)
            return
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(frame)

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
        do = Do(key, call, configs.resolve(config, name), None, line)
        if rollback is not None:
            if not callable(rollback):
                raise TypeError(f'The rollback of step "{name}" must be a function, not {type(rollback).__name__}')
            self.rollbacks[key] = rollback
            self.rollback_configs[key] = do.rollback = configs.resolve(rollback_config, f"{name} (rollback)")
        return self._answered(do)

    async def _answered(self, do: Do) -> Any:
        stored = self._history.find(do.key)
        if stored is not None and stored["status"] == COMPLETED:
            return values.decode(stored["value"])
        if stored is not None and stored["status"] == ERRORED:
            raise self._rebuilt(stored["error"])
        if self._collecting:
            self.wanted.append(do.key)
            await asyncio.get_running_loop().create_future()
        return await self.attempts.run(do, begun=stored is not None)

    # A sleep or a wait.

    async def _suspend(self, key: Key, frame: dict[str, Any]) -> Any:
        stored = self._history.find(key)
        if stored is not None and stored["status"] == COMPLETED:
            return self._event(stored["value"]) if key[0] == WAIT else None
        if stored is not None and stored["status"] == ERRORED:
            raise self._rebuilt(stored["error"])
        future = asyncio.get_running_loop().create_future()
        if self._collecting:
            self.wanted.append(key)
        else:
            await self._not_held()
            self._waiting[key] = future
            self._channel.post({**frame, "step": key})
        reply = await future
        if reply["op"] == "refused" or reply.get("error"):
            raise self._rebuilt(reply["error"])
        return self._event(reply["value"]) if key[0] == WAIT else None

    def _rebuilt(self, shown: Mapping[str, Any]) -> BaseException:
        return failures.rebuild(shown, self.module)

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
