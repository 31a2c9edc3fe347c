"""`step`: the object that tenant code calls to run, sleep and wait durably.

A step is named, counted and validated here. One that the journal has ended returns its stored outcome at its turn
(replay.py); attempts.py runs a new `do`.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any

from playground.worker import decorated_steps, failures
from playground.worker.attempts import Attempts, Do, ExecutionContext, encode_value
from playground.worker.context import (
    Key,
    ReceivedEvent,
    Record,
    label_of,
    parent_of,
    parse_key,
    step_of_caller,
    utc_datetime,
)
from playground.worker.decorated_steps import Decorated, Decorations
from playground.worker.entrypoint import WorkflowFatalError
from playground.worker.replay import CANCELLED, COMPLETED, ERRORED, OVER
from playground.worker.step_bytes import is_apart
from playground.workflows import breakpoints, durations, names, payload_schema, unavailable, values
from playground.workflows import step_config as configs
from playground.workflows.errors import InvalidEventType, InvalidFlow, InvalidId, InvalidName, InvalidTag
from playground.workflows.events import CHILD, DO, MAX_STEP_DEPTH, PATCH, REPLY, SLEEP, WAIT
from playground.workflows.flow import checked_flow
from playground.workflows.tags import check_tag, check_tags, too_many

_TAG_INSIDE = "step.tag is for the code outside of steps: what a step did is not done again in a replay."


class Breakpoints:
    """The breakpoints of this execution (`playground/workflows/breakpoints.py`).

    `log` writes a line of ours to the tenant's log.
    """

    def __init__(self, log: Callable[[str, Key], None]) -> None:
        self._log = log
        self._nested: set[str] = set()  # names of nested steps of which the log says that nothing stops before them
        self._set: list[breakpoints.Breakpoint] = []
        self._passed: list[breakpoints.Passed] = []

    def replace(self, frame: Mapping[str, Any]) -> None:
        """Replace them by those of a frame."""
        self._set, self._passed = frame["set"], frame["passed"]

    def stop_before(self, key: Key) -> bool:
        """Whether the run stops before a new step. The attempt around a nested one would be lost."""
        if not self._set:
            return False
        outer = parent_of(key)
        if outer is not None:
            self._tell_of_nested(key, outer)
            return False
        return breakpoints.stops_before(self._set, self._passed, *key[:3])

    def _tell_of_nested(self, key: Key, outer: Key) -> None:
        named = [each for each in self._set if "name" in each["step"]]
        if key[1] not in self._nested and breakpoints.stops_before(named, (), *key[:3]):
            self._nested.add(key[1])
            while (around := parent_of(outer)) is not None:
                outer = around
            self._log(breakpoints.nested_sentence(key[1], label_of(outer)), outer)


class Steps:
    """The `step` object of one execution.

    The public methods are the tenant's API (shared/spec/semantics.md, section 2).
    """

    def __init__(self, context: ExecutionContext) -> None:
        self._channel, self._replay, self._history = context.channel, context.replay, context.history
        self._limits, self._epoch_ms, self._step_bytes = context.limits, context.epoch_ms, context.step_bytes
        self.attempts = Attempts(context, self._wait_to_begin)
        self.breakpoints = Breakpoints(context.log)
        self._do_count = 0
        self._resumed: asyncio.Event | None = None
        self._on_resumed: list[Callable[[], None]] = []  # sleeps and waits that begin then
        self._only_replays = self._refuses_steps = self._is_over = False
        self._suspended: set[Key] = set()  # sleeps and waits that this execution has announced
        self._tags: set[str] = set()  # that this execution has given
        self.unanswered: list[Key] = []  # steps that a replay without new steps reached and has no outcome of
        self.refused_patches: list[Key] = []  # deprecated ones whose old way the journal of a dry run has taken
        self.module: Any = None
        self.decorated = Decorations()
        self.rollbacks: dict[Key, Callable[..., Any]] = {}
        self.rollback_configs: dict[Key, configs.StepConfig] = {}

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"`step` has no {name!r}. {unavailable.method_advice(name)}")

    # Called by tenant code.

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
        options = {"config": config, "rollback": rollback, "rollback_config": rollback_config}
        if callback is not None:
            if not callable(callback):
                raise TypeError(f"step.do takes a function as its second argument, not {type(callback).__name__}")
            return self.start(name, decorated_steps.taking_context(callback), line=None, **options)

        def decorate(function: Any) -> Decorated:
            title = name if name is not None and not callable(name) else getattr(function, "__name__", "step")
            visible = self.decorated.visible(function, _caller_frame())
            made = Decorated(self, title, function, depends, concurrent, options, visible)
            self.decorated.add(made)
            return made

        return decorate(name) if callable(name) else decorate

    def sleep(self, name: Any, duration: Any) -> Coroutine[Any, Any, None]:
        """Sleep durably for a duration: `"2 hours"`, milliseconds or a timedelta; at most 365 days."""
        name = self._checked_name(name)
        milliseconds = durations.parse(duration)
        if milliseconds > durations.LONGEST:
            raise WorkflowFatalError(f'Sleep "{name}" is longer than 365 days, the longest there is')
        return self._suspend(
            self._next_key(SLEEP, name), {"op": "sleep", "duration": milliseconds, "line": _caller_line()}
        )

    def sleep_until(self, name: Any, when: Any) -> Coroutine[Any, Any, None]:
        """Sleep durably until a datetime (naive is UTC) or epoch milliseconds; at most 365 days ahead."""
        name = self._checked_name(name)
        if isinstance(when, datetime):
            when = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000
        if not isinstance(when, (int, float)) or isinstance(when, bool) or not abs(when) < 2**53:
            raise TypeError(f"sleep_until takes a datetime or epoch milliseconds, not {type(when).__name__}")
        return self._suspend(self._next_key(SLEEP, name), {"op": "sleep", "until": round(when), "line": _caller_line()})

    def wait_for_event(
        self, name: Any, event_type: Any = None, /, timeout: Any = "24 hours", schema: Any = None, **more: Any
    ) -> Coroutine[Any, Any, Record]:
        """Wait durably for an event of a type, or of the first of several (a list); returns a mapping with payload,
        timestamp and type. An event whose payload does not fit `schema` is refused where it is sent.
        """
        event_type = more.pop("type", more.pop("event_type", event_type))
        if more:
            raise TypeError(f"wait_for_event got an unexpected argument {next(iter(more))!r}")
        name = self._checked_name(name)
        try:
            event_type = names.check_event_types(event_type)
        except InvalidEventType as refused:
            raise WorkflowFatalError(refused.message) from None
        milliseconds = durations.parse(timeout)
        if not durations.SECOND <= milliseconds <= durations.LONGEST:
            raise WorkflowFatalError(f'The timeout of wait "{name}" must be from 1 second to 365 days')
        frame = {"op": "wait", "event_type": event_type, "timeout": milliseconds, "line": _caller_line()}
        if schema is not None:
            try:
                frame["schema"] = payload_schema.check_schema(schema)
            except payload_schema.InvalidSchema as refused:
                raise WorkflowFatalError(f'The schema of wait "{name}" can\'t be used: {refused}') from None
        return self._suspend(self._next_key(WAIT, name), frame)

    def patched(self, name: Any) -> bool:
        """Whether this run takes the new way at a change of the code, which is decided once for the whole run.

        True in a run that comes to this place with the new code first; False in one whose journal has gone past it
        without the patch, and must go on as it began.
        """
        return self._decide_patch(name, deprecated=False)

    def deprecate_patch(self, name: Any) -> None:
        """Stands where `patched` was once the old way is removed: a run that took the old way fails here."""
        if not self._decide_patch(name, deprecated=True):
            if self._only_replays:
                self.refused_patches.append((PATCH, name, 1))
            raise WorkflowFatalError(
                f'This run went past the patch "{name}" on the old way, which the code does not have any more. Give it '
                f'the code with `if step.patched("{name}")` again until it has ended, or restart it.'
            )

    def _decide_patch(self, name: Any, *, deprecated: bool) -> bool:
        name = self._checked_name(name)
        if step_of_caller() is not None:
            raise WorkflowFatalError(
                f'The patch "{name}" is asked for inside a step, which no replay runs again. Ask outside of steps, and '
                "use the answer in the step."
            )
        patches = self._history.patches
        if name in patches:
            return patches[name]
        if len(patches) >= self._limits["patch_limit"]:
            raise WorkflowFatalError(f"The limit of {self._limits['patch_limit']} patches has been reached")
        # A step that stands in the journal, and that the code has not called yet, was called by code without the patch:
        # with it, the decision would have been committed before that step.
        patches[name] = patched = self._replay.live or not self._history.has_unreached
        if not self._only_replays:
            frame: dict[str, Any] = {"op": "patch", "step": (PATCH, name, 1), "patched": patched}
            frame |= {"deprecated": deprecated, "line": _caller_line(), "clock": self._replay.observed_clock()}
            self._channel.post(frame)
        return patched

    def run_child(
        self, binding: str, params: Any, id: Any, name: Any, *, workflow: Any, cascade: bool,
        asked: Mapping[str, Any], tags: Any,
    ) -> Coroutine[Any, Any, Any]:  # fmt: skip
        """Run another workflow and wait durably for its end (`self.env.WORKFLOWS.run`)."""
        if id is not None:
            try:
                id = names.check_instance_id(id)
            except InvalidId as refused:
                raise WorkflowFatalError(refused.message) from None
        if workflow is not None:
            try:
                workflow = names.check_name(workflow, "workflow")
            except InvalidName as refused:
                raise WorkflowFatalError(refused.message) from None
        try:
            flow, found_by = checked_flow(**asked), check_tags(tags, self._limits["tags_per_run"])
        except (InvalidFlow, InvalidTag) as refused:
            raise WorkflowFatalError(refused.message) from None
        name = self._checked_name(CHILD if name is None and id is None else id if name is None else name)
        key = self._next_key(CHILD, name)
        frame = {"op": "child", "binding": binding, "id": id, "cascade": cascade, "line": _caller_line()}
        if workflow is not None:
            frame["workflow"] = workflow
        if flow is not None:
            frame["asked"] = {**asked, "delay": flow.delay_ms}
        if found_by:
            frame["tags"] = found_by
        if not self._history.is_over(key):
            frame["params"], _ = encode_value(params, f'params of child "{name}"', self._limits["value_bytes"])
        return self._suspend(key, frame)

    def tag(self, *tags: Any) -> None:
        """Give the run tags, by which it is found: words such as "order-7". One that it has already changes nothing."""
        if step_of_caller() is not None:
            raise WorkflowFatalError(_TAG_INSIDE)
        for tag in tags:
            try:
                checked = check_tag(tag)
            except InvalidTag as refused:
                raise WorkflowFatalError(refused.message) from None
            if checked in self._tags or self._only_replays or self._refuses_steps:
                continue
            if len(self._tags) >= self._limits["tags_per_run"]:
                raise WorkflowFatalError(too_many(self._limits["tags_per_run"]))
            self._tags.add(checked)
            self._replay.when_live(partial(self._channel.post, {"op": "tagged", "name": checked}))

    # Called for frames.

    def handle_frame(self, frame: Mapping[str, Any]) -> None:
        """Handle a frame that belongs to a step."""
        key = parse_key(frame["step"])
        if frame["op"] != "over":
            self.attempts.handle_frame(key, frame)
            return
        error = frame.get("error")
        outcome = (
            {"status": COMPLETED, "value": frame.get("value")} if error is None else {"status": ERRORED, "error": error}
        )
        if parent_of(key) is not None:
            self._history.store_outcome(key, outcome)
        self._replay.receive_result(key, outcome, frame.get("clock"))

    def set_paused(self, paused: bool) -> None:
        """Start no new step while the instance is being paused, except in an attempt that runs: that comes to its
        end.
        """
        if paused and self._resumed is None:
            self._resumed = asyncio.Event()
        elif not paused and self._resumed is not None:
            self._resumed.set()
            self._resumed = None
            begin, self._on_resumed = self._on_resumed, []
            for each in begin:
                each()

    def only_replay(self) -> None:
        """From now on no new step starts: `run` is replayed to collect the rollback handlers, or as a dry run."""
        self._only_replays = True

    def refuse_steps(self) -> None:
        """From now on calling a step is an error: rollback handlers run."""
        self._refuses_steps = True

    def close(self) -> None:
        """The run is over: what its module has kept of `step` cannot be called in another."""
        self._is_over = True

    # `do` steps.

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
        """Validate and count a `do`, then return the coroutine that runs it."""
        name = self._checked_name(name)
        self._do_count += 1
        if self._do_count > self._limits["step_limit"]:
            raise WorkflowFatalError(f"The limit of {self._limits['step_limit']} steps has been reached")
        key = self._next_key(DO, name)
        if line is None and not self._history.is_over(key):  # of a step that is only replayed nobody asks for its line
            line = _caller_line()
        do = Do(key, call, configs.resolve(config, name), None, line)
        if rollback is not None:
            if not callable(rollback):
                raise TypeError(f'The rollback of step "{name}" must be a function, not {type(rollback).__name__}')
            self.rollbacks[key] = rollback
            self.rollback_configs[key] = do.rollback = configs.resolve(rollback_config, f"{name} (rollback)")
        return self._run_do(do)

    async def _run_do(self, do: Do) -> Any:
        stored = self._history.reach_step(do.key)
        outcome = None if stored is None else await self._stored_outcome(do.key, stored)
        if outcome is None:
            if self._only_replays:
                self.unanswered.append(do.key)
                await asyncio.get_running_loop().create_future()
            if stored is not None:
                do.in_journal = True
                do.config = do.config.with_stored(stored["config"])
            outcome = await self.attempts.run_step(do)
        if outcome["status"] == ERRORED:
            raise self._rebuild_error(outcome["error"])
        tree = outcome["value"]
        return await self._step_bytes.value(do.key, tree) if is_apart(tree) else values.decode(tree)

    async def _stored_outcome(self, key: Key, stored: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The stored outcome of an ended step, at its turn; None of one that has not ended."""
        if stored["status"] not in OVER:
            return None
        if parent_of(key) is not None:
            return stored
        return self._replay.take_due_result(key) or await self._replay.result_future(key)

    # Sleeps, waits and children.

    async def _suspend(self, key: Key, frame: dict[str, Any]) -> Any:
        stored = self._history.reach_step(key)
        frame["clock"] = self._replay.observed_clock()
        if stored is None and frame.get("until") is not None:
            self._check_until(frame["until"])
        try:
            outcome = (
                await self._stored_outcome(key, stored) if stored is not None else None
            ) or self._replay.take_due_result(key)
            if outcome is None:
                future = self._replay.result_future(key)
                if self._only_replays:
                    self.unanswered.append(key)
                elif key not in self._suspended and (stored is None or stored["status"] != CANCELLED):
                    if parent_of(key) is None:
                        await self._wait_while_paused()
                    self._replay.when_live(lambda: self._begin_suspended(key, frame, future, new=stored is None))
                outcome = await future
        except asyncio.CancelledError:
            if not self._only_replays:
                self._cancel_suspended(
                    key, in_journal=key in self._suspended or (stored is not None and stored["status"] != CANCELLED)
                )
            raise
        if outcome["status"] == ERRORED:
            raise self._rebuild_error(outcome["error"])
        if key[0] == CHILD:
            return values.decode(outcome["value"])
        return self._event(key, outcome["value"]) if key[0] == WAIT else None

    def _reply(self, wait: Key, value: Any, refusal: str | None) -> None:
        """Reply to the event of a wait, unless the journal has a reply to it."""
        key: Key = (REPLY, *wait[1:])
        if self._history.reach_step(key) is not None or key in self._suspended or self._only_replays:
            return
        self._suspended.add(key)
        frame: dict[str, Any] = {
            "op": "reply",
            "step": key,
            "line": _caller_line(),
            "clock": self._replay.observed_clock(),
        }
        if refusal is None:
            frame["value"], _ = encode_value(value, f'reply to "{wait[1]}"', self._limits["value_bytes"])
        else:
            frame["refusal"] = refusal[: failures.MESSAGE_LENGTH]
        self._replay.when_live(lambda: self._channel.post(frame))

    def _check_until(self, until: int) -> None:
        now = self._epoch_ms()
        if until < now:
            raise WorkflowFatalError("You can't sleep until a time in the past")
        if until > now + durations.LONGEST:
            raise WorkflowFatalError("You can't sleep for more than 365 days")

    def _begin_suspended(
        self, key: Key, frame: dict[str, Any], future: "asyncio.Future[Mapping[str, Any]]", *, new: bool
    ) -> None:
        """Announce a sleep or a wait, unless the code has given it up; a new one, once it may begin."""
        if future.done():
            return
        if new and self._resumed is None and self.breakpoints.stop_before(key):
            self._stop_before(key, frame)
        if new and self._resumed is not None and parent_of(key) is None:
            self._on_resumed.append(lambda: self._begin_suspended(key, frame, future, new=True))
        else:
            self._send_suspended(key, frame)

    def _send_suspended(self, key: Key, frame: dict[str, Any]) -> None:
        self._suspended.add(key)
        self._channel.post({**frame, "step": key})

    def _cancel_suspended(self, key: Key, *, in_journal: bool) -> None:
        """Tell the trusted side that the code cancelled a sleep or a wait, so that it consumes no event.

        One that a timed-out attempt had started stays, for the next attempt of that step.
        """
        parent = parent_of(key)
        if parent is not None and self.attempts.has_timed_out(parent):
            return
        self._replay.cancel_wait(key)
        self._history.mark_cancelled(key)
        if parent is not None:
            self._history.store_outcome(key, {"status": CANCELLED})
        if in_journal:
            self._channel.post({"op": "cancel", "step": key, "clock": self._replay.observed_clock()})

    def _next_key(self, kind: str, name: str) -> Key:
        if self._is_over:
            raise WorkflowFatalError(
                f'Step "{name}" is called on the `step` of a run that has ended: this worker is warm, and the module '
                "has kept it. Use the `step` that `run` is given."
            )
        parent = step_of_caller()
        if parent is not None and _depth(parent) >= MAX_STEP_DEPTH:
            raise WorkflowFatalError(
                f'Step "{name}" would run {MAX_STEP_DEPTH + 1} steps deep; steps within steps may be '
                f"{MAX_STEP_DEPTH} deep. Call it outside of the others."
            )
        return self._history.next_key(kind, name, parent)

    def _rebuild_error(self, shown: Mapping[str, Any]) -> BaseException:
        return failures.rebuild(shown, self.module)

    def _event(self, key: Key, stored: Mapping[str, Any]) -> Record:
        def send(value: Any, refusal: str | None) -> None:
            self._reply(key, value, refusal)

        return ReceivedEvent(
            send,
            payload=values.decode(stored["payload"]),
            timestamp=utc_datetime(stored["timestamp"]),
            type=stored["type"],
        )

    async def _wait_to_begin(self, key: Key, frame: dict[str, Any]) -> None:
        """Wait until a new `do` may begin: not during a pause, and not before a breakpoint that it has not passed.

        One that a callback calls is part of an attempt that runs, which a pause lets come to its end.
        """
        while True:
            if parent_of(key) is None:
                await self._wait_while_paused()
            if not self.breakpoints.stop_before(key):
                return
            self._stop_before(key, frame)

    def _stop_before(self, key: Key, frame: dict[str, Any]) -> None:
        """Hold a step that a breakpoint stands before, and every later one: the trusted side pauses the run."""
        self._channel.post({**frame, "op": "stop", "step": key})
        self._channel.flush()
        self.set_paused(True)

    async def _wait_while_paused(self) -> None:
        while self._resumed is not None:
            await self._resumed.wait()

    def _checked_name(self, name: Any) -> str:
        """A valid step name as a plain `str`: a subclass could compare equal to anything."""
        plain = str.__str__(name) if isinstance(name, str) else name
        if not names.is_step_name(plain):
            raise WorkflowFatalError(names.step_name_error(plain))
        if self._refuses_steps:
            raise WorkflowFatalError(f'Step "{plain}" can\'t start during a rollback')
        return plain


def _depth(key: Key) -> int:
    parent = parent_of(key)
    return 1 if parent is None else 1 + _depth(parent)


def _caller_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not failures.is_tenant_file(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _caller_line() -> int | None:
    frame = _caller_frame()
    return frame.f_lineno if frame is not None else None
