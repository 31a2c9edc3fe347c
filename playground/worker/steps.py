"""`step`: what tenant code calls to run, sleep and wait durably.

A step is named, counted and checked here; one that is in the journal answers when its turn comes (replay.py). What
becomes of a `do` is in attempts.py.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from playground.worker import decorated_steps, failures
from playground.worker.attempts import Attempts, Do, Report
from playground.worker.channel import Channel
from playground.worker.context import Key, Record, as_key, moment, parent_of, step_of_caller
from playground.worker.decorated_steps import Decorated, Decorations
from playground.worker.entrypoint import WorkflowFatalError
from playground.worker.replay import CANCELLED, COMPLETED, ERRORED, OVER, History, Replay
from playground.workflows import durations, names, unavailable, values
from playground.workflows import step_config as configs
from playground.workflows.errors import InvalidEventType
from playground.workflows.events import DO, MAX_STEP_DEPTH, SLEEP, WAIT


class Steps:
    """The `step` object of one execution.

    The public methods are the tenant's API (shared/spec/semantics.md, section 2).
    """

    def __init__(
        self,
        channel: Channel,
        replay: Replay,
        history: History,
        limits: Mapping[str, Any],
        report: Report,
        wall: Callable[[], int],
    ) -> None:
        self._channel, self._replay, self._history, self._limits, self._wall = channel, replay, history, limits, wall
        self.attempts = Attempts(channel, replay, history, limits, report, self._not_held)
        self._dos = 0
        self._held: asyncio.Event | None = None
        self._collecting = self._closed = False
        self._suspended: set[Key] = set()  # sleeps and waits that the trusted side knows of from here
        self.wanted: list[Key] = []  # steps that a replay without new steps came to and could not answer
        self.module: Any = None
        self.decorated = Decorations()
        self.rollbacks: dict[Key, Callable[..., Any]] = {}
        self.rollback_configs: dict[Key, configs.StepConfig] = {}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"`step` has no {name!r}. {unavailable.method_advice(name)}")

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
            return self.start(name, decorated_steps.given_context(callback), line=_caller_line(), **given)

        def decorate(function: Any) -> Decorated:
            title = name if name is not None and not callable(name) else getattr(function, "__name__", "step")
            visible = self.decorated.visible(function, _caller_frame())
            made = Decorated(self, title, function, depends, concurrent, given, visible)
            self.decorated.add(made)
            return made

        return decorate(name) if callable(name) else decorate

    def sleep(self, name: Any, duration: Any) -> Coroutine[Any, Any, None]:
        """Sleep durably for a duration: `"2 hours"`, milliseconds or a timedelta; at most 365 days."""
        name = self._plain_name(name)
        milliseconds = durations.parse(duration)
        if milliseconds > durations.LONGEST:
            raise WorkflowFatalError(f'Sleep "{name}" is longer than 365 days, the longest there is')
        return self._suspend(
            self._next_key(SLEEP, name), {"op": "sleep", "duration": milliseconds, "line": _caller_line()}
        )

    def sleep_until(self, name: Any, when: Any) -> Coroutine[Any, Any, None]:
        """Sleep durably until a datetime (naive is UTC) or epoch milliseconds; at most 365 days ahead."""
        name = self._plain_name(name)
        if isinstance(when, datetime):
            when = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000
        if not isinstance(when, (int, float)) or isinstance(when, bool) or not abs(when) < 2**53:
            raise TypeError(f"sleep_until takes a datetime or epoch milliseconds, not {type(when).__name__}")
        return self._suspend(self._next_key(SLEEP, name), {"op": "sleep", "until": round(when), "line": _caller_line()})

    def wait_for_event(
        self, name: Any, event_type: Any = None, /, timeout: Any = "24 hours", **more: Any
    ) -> Coroutine[Any, Any, Record]:
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
        return self._suspend(self._next_key(WAIT, name), frame)

    # What the channel brings.

    def reply(self, frame: Mapping[str, Any]) -> None:
        """Take a frame that answers a step of this execution."""
        key = as_key(frame["step"])
        if frame["op"] != "over":
            self.attempts.reply(key, frame)
            return
        error = frame.get("error")
        outcome = (
            {"status": COMPLETED, "value": frame.get("value")} if error is None else {"status": ERRORED, "error": error}
        )
        if parent_of(key) is not None:
            self._history.remember(key, outcome)
        self._replay.arrive(key, outcome, frame.get("clock"))

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
        self,
        name: Any,
        call: Callable[[Record], Any],
        *,
        line: int | None,
        config: Any,
        rollback: Any,
        rollback_config: Any,
    ) -> Coroutine[Any, Any, Any]:
        """Check and count a `do`, then give the coroutine that runs it."""
        name = self._plain_name(name)
        self._dos += 1
        if self._dos > self._limits["step_limit"]:
            raise WorkflowFatalError(f"The limit of {self._limits['step_limit']} steps has been reached")
        key = self._next_key(DO, name)
        do = Do(key, call, configs.resolve(config, name), None, line)
        if rollback is not None:
            if not callable(rollback):
                raise TypeError(f'The rollback of step "{name}" must be a function, not {type(rollback).__name__}')
            self.rollbacks[key] = rollback
            self.rollback_configs[key] = do.rollback = configs.resolve(rollback_config, f"{name} (rollback)")
        return self._answered(do)

    async def _answered(self, do: Do) -> Any:
        stored = self._history.find(do.key)
        outcome = None if stored is None else await self._known(do.key, stored)
        if outcome is None:
            if self._collecting:
                self.wanted.append(do.key)
                await asyncio.get_running_loop().create_future()
            if stored is not None:
                do.begun = True
                do.config = do.config.with_stored(stored["config"])
            outcome = await self.attempts.run(do)
        if outcome["status"] == ERRORED:
            raise self._rebuilt(outcome["error"])
        return values.decode(outcome["value"])

    async def _known(self, key: Key, stored: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the journal has of a step that is over, at its turn; None of another."""
        if stored["status"] not in OVER:
            return None
        if parent_of(key) is not None:
            return stored
        return self._replay.at_once(key) or await self._replay.expect(key)

    # A sleep or a wait.

    async def _suspend(self, key: Key, frame: dict[str, Any]) -> Any:
        stored = self._history.find(key)
        frame["clock"] = self._replay.seen_clock()
        if stored is None and frame.get("until") is not None:
            self._check_until(frame["until"])
        try:
            outcome = (await self._known(key, stored) if stored is not None else None) or self._replay.at_once(key)
            if outcome is None:
                future = self._replay.expect(key)
                if self._collecting:
                    self.wanted.append(key)
                elif key not in self._suspended and (stored is None or stored["status"] != CANCELLED):
                    await self._not_held()
                    self._replay.when_live(lambda: None if future.done() else self._send_suspended(key, frame))
                outcome = await future
        except asyncio.CancelledError:
            if not self._collecting:
                self._give_up(
                    key, in_journal=key in self._suspended or (stored is not None and stored["status"] != CANCELLED)
                )
            raise
        if outcome["status"] == ERRORED:
            raise self._rebuilt(outcome["error"])
        return self._event(outcome["value"]) if key[0] == WAIT else None

    def _check_until(self, until: int) -> None:
        now = self._wall()
        if until < now:
            raise WorkflowFatalError("You can't sleep until a time in the past")
        if until > now + durations.LONGEST:
            raise WorkflowFatalError("You can't sleep for more than 365 days")

    def _send_suspended(self, key: Key, frame: dict[str, Any]) -> None:
        self._suspended.add(key)
        self._channel.post({**frame, "step": key})

    def _give_up(self, key: Key, *, in_journal: bool) -> None:
        """The code has cancelled a sleep or a wait, so that it takes no event; one of a step's attempt that is late is
        for the next attempt.
        """
        parent = parent_of(key)
        if parent is not None and self.attempts.is_late(parent):
            return
        self._replay.withdraw(key)
        self._history.give_up(key)
        if parent is not None:
            self._history.remember(key, {"status": CANCELLED})
        if in_journal:
            self._channel.post({"op": "cancel", "step": key, "clock": self._replay.seen_clock()})

    def _next_key(self, kind: str, name: str) -> Key:
        parent = step_of_caller()
        if parent is not None and _depth(parent) >= MAX_STEP_DEPTH:
            raise WorkflowFatalError(
                f'Step "{name}" would run {MAX_STEP_DEPTH + 1} steps deep; steps within steps may be '
                f"{MAX_STEP_DEPTH} deep. Call it outside of the others."
            )
        return self._history.next_key(kind, name, parent)

    def _rebuilt(self, shown: Mapping[str, Any]) -> BaseException:
        return failures.rebuild(shown, self.module)

    def _event(self, stored: Mapping[str, Any]) -> Record:
        return Record(
            payload=values.decode(stored["payload"]), timestamp=moment(stored["timestamp"]), type=stored["type"]
        )

    async def _not_held(self) -> None:
        while self._held is not None:
            await self._held.wait()

    def _plain_name(self, name: Any) -> str:
        """The name as plain text: one of a class of its own may be equal to anything."""
        plain = str.__str__(name) if isinstance(name, str) else name
        if not names.is_step_name(plain):
            raise WorkflowFatalError(names.step_name_error(plain))
        if self._closed:
            raise WorkflowFatalError(f'Step "{plain}" can\'t start during a rollback')
        return plain


def _depth(key: Key) -> int:
    parent = parent_of(key)
    return 1 if parent is None else 1 + _depth(parent)


def _caller_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not failures.is_tenants(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _caller_line() -> int | None:
    frame = _caller_frame()
    return frame.f_lineno if frame is not None else None
