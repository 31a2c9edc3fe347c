"""`Run`, one instance in a test: waits for its progress, reads its journal, and operates on it as a person can."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from playground.engine.code.code_change import change_code
from playground.engine.engine import Engine
from playground.engine.execution.breakpoints import ANY_STEP, GivenError, StepPattern
from playground.engine.execution.faults import NewBreak
from playground.engine.message_queues import joined_marks
from playground.store.encoding import as_objects
from playground.store.protocol import Committed, History, Store
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.errors import InstanceNotFound
from playground.workflows.events import Event, StepKey
from playground.workflows.logs import join_log
from playground.workflows.state import State, Step, fold
from playground.workflows.streams import standing_values

STEPS_NAMED = 5  # in one message
DEADLINE = 30.0  # real seconds that a wait may take
PAGE = 1000  # journal events read at a time


class NothingHappens(AssertionError):
    """What the test waits for can't happen: everything is at rest, and no timer is left."""


class ServerCrashed(ConnectionError):
    """The server was killed, as planned, during this call; the next call uses a new server."""


class WorkflowFailed(AssertionError):
    """The instance ended otherwise than complete; `error` is its stored error."""

    def __init__(self, status: str, error: Any) -> None:
        details = f": {error['name']}: {error['message']}" if error else ""
        super().__init__(f"the workflow ended {status}{details}")
        self.status, self.error = status, error


class ReplayDiverged(AssertionError):
    """A replay diverged from the execution before it. `steps` are those that the code did not call again."""

    def __init__(self, id: str, steps: Sequence[Mapping[str, Any]]) -> None:
        named = ", ".join(f'"{step["name"]}-{step["count"]}"' for step in steps[:STEPS_NAMED])
        more = f" and {len(steps) - STEPS_NAMED} more" if len(steps) > STEPS_NAMED else ""
        super().__init__(
            f'A replay of "{id}" took another way: it did not come to {named or "all"}{more}, '
            "which an earlier execution had called. What the code does outside of steps must follow from the params "
            "and the results of steps alone: put what depends on chance, the time or anything else into a step. "
            "Where it is meant, say allow_divergence=True."
        )
        self.steps = list(steps)


T = TypeVar("T")


class Tester(Protocol):
    """What a run needs of its test, see `WorkflowTester`."""

    @property
    def store(self) -> Store:
        """The journals."""

    @property
    def allow_divergence(self) -> bool:
        """Whether a replay may diverge."""

    async def call(self, operation: Callable[[Engine], Awaitable[T]]) -> T:
        """Have the server carry out an operation."""

    async def drive(self, look: Callable[[], Awaitable[Any]], what: str, deadline: float, run: "Run | None") -> Any:
        """Wait until `look` returns something."""


class Run:
    """An instance that a test has created. Time moves only while one of the `wait_...` methods, or `result`, waits."""

    def __init__(self, tester: Tester, row: InstanceRow) -> None:
        self._tester = tester
        self.key, self.tenant, self.id = row.key, row.tenant, row.id
        self._events: list[Event] = []
        self._divergence_reported = False

    # Waiting.

    async def wait_for_status(self, *statuses: str, deadline: float = DEADLINE) -> str:
        """Wait until its status is one of these; returns it.

        Args:
            deadline: in real seconds.

        Raises:
            NothingHappens: this can't happen any more: everything is at rest and no timer is left.
            TimeoutError: the deadline has passed; the message describes its state.
        """
        unknown = set(statuses) - set(ev.STATUSES)
        if unknown or not statuses:
            raise ValueError(f"no status {', '.join(sorted(unknown))}; there are {', '.join(ev.STATUSES)}")

        def reached(state: State) -> str | None:
            return state.status if state.status in statuses else None

        status: str = await self.wait_until(reached, f"status {' or '.join(statuses)}", deadline=deadline)
        return status

    async def wait_for_step(
        self,
        name: str,
        *,
        count: int = 1,
        kind: str | None = None,
        status: str | None = None,
        deadline: float = DEADLINE,
    ) -> Step:
        """Wait until a step has started, or has this `status`. Raises as `wait_for_status`.

        Args:
            status: `running`, `retrying`, `sleeping`, `waiting`, `completed`, `errored` or `timed_out`.
        """

        def reached(state: State) -> Step | None:
            for step in state.steps.values():
                if (
                    step.key.name == name
                    and step.key.count == count
                    and kind in (None, step.key.kind)
                    and status in (None, step.status)
                ):
                    return step
            return None

        found: Step = await self.wait_until(reached, f'step "{name}-{count}" {status or "started"}', deadline=deadline)
        return found

    async def wait_until(self, reached: Callable[[State], Any], what: str = "it", *, deadline: float = DEADLINE) -> Any:
        """Wait until `reached(state)` returns something other than None or False; returns that.

        Raises as `wait_for_status`.
        """

        async def look() -> Any:
            found = reached(await self.state())
            return None if found is False else found

        return await self._tester.drive(look, f'{what} of "{self.id}"', deadline, self)

    async def result(self, *, deadline: float = DEADLINE, allow_divergence: bool | None = None) -> Any:
        """Wait for the end and return the output, as the value that `run` returned.

        Args:
            allow_divergence: whether a replay may have diverged; None: as set for the tester.

        Raises:
            ReplayDiverged: a replay diverged from the execution before it.
            WorkflowFailed: it ended errored or terminated.
        """
        await self.wait_for_status(*ev.FINAL_STATUSES, deadline=deadline)
        if allow_divergence is None:
            allow_divergence = self._tester.allow_divergence
        if allow_divergence:
            self._divergence_reported = True
        else:
            await self.check_divergence()
        state = await self.state()
        if state.status != ev.COMPLETE:
            raise WorkflowFailed(state.status, state.error)
        return values.decode(state.output)

    async def check_divergence(self) -> None:
        """Raises ReplayDiverged, once, when a replay diverged from the execution before it."""
        steps = await self.not_reached()
        if steps is not None and not self._divergence_reported:
            self._divergence_reported = True
            raise ReplayDiverged(self.id, steps)

    async def not_reached(self) -> list[Mapping[str, Any]] | None:
        """The steps that a replay did not call again, though an earlier execution had; None when no replay diverged."""
        found: list[Mapping[str, Any]] | None = None
        for event in await self.journal():
            if event.type == ev.WORKFLOW_RESTARTED:
                found = None
            elif event.type == ev.REPLAY_DIVERGED:
                found = [*(found or ()), *event.data["steps"]]
        return found

    async def sent(self, queue: str = "default") -> list[Any]:
        """The bodies of the messages that it has sent into a queue, in order."""
        found = [event.data for event in await self.journal() if event.type == ev.MESSAGE_SENT]
        return [values.decode(data["body"]) for data in found if data["queue"] == queue]

    async def marks(self) -> Mapping[str, Any] | None:
        """What a handler of a batch has said of its messages: `acked`, ids, and `retried`, `{id, delay_ms?}`."""
        found = [event.data for event in await self.journal() if event.type == ev.BATCH_MARKED]
        return joined_marks(found)

    # Its state.

    async def journal(self) -> list[Event]:
        """Every event so far."""
        while True:
            after = self._events[-1].seq if self._events else 0
            new = await self._tester.store.events(self.key, after=after, limit=PAGE)
            self._events.extend(new)
            if len(new) < PAGE:
                return list(self._events)

    @property
    def seen(self) -> list[Event]:
        """The events of its journal when it was last read; every wait reads it."""
        return list(self._events)

    async def types(self, *only: str) -> list[str]:
        """The types of its events in order: all, or only these."""
        return [event.type for event in await self.journal() if not only or event.type in only]

    async def state(self) -> State:
        """The fold of its journal: status, output, error, steps with their attempts."""
        return fold(await self.journal())

    async def exists(self) -> bool:
        """Whether it has not been deleted."""
        try:
            await self.row()
        except InstanceNotFound:
            return False
        return True

    async def row(self) -> InstanceRow:
        """Its row in the store."""
        return await self._tester.store.find(self.tenant, self.id)

    async def snapshot(self) -> History:
        """Its row, with the rows of its steps and of received events that no wait has consumed."""
        return await self._tester.store.load(self.key)

    async def step(self, name: str, *, count: int = 1, kind: str = ev.DO) -> Step:
        """A step. Raises KeyError when it has not started."""
        return (await self.state()).steps[StepKey(kind, name, count)]

    async def logs(self, *, replay: bool = False) -> list[str]:
        """The lines that it printed or logged, in order, with pieces joined; those of replays only with `replay`."""
        return [text.text for text in join_log(await self.journal(), sys.maxsize) if replay or not text.replay]

    async def stream(self, name: str) -> list[Any]:
        """The values that its steps have appended to a stream, those of the latest attempt of each."""
        return [item.value for item in standing_values(name, await self.journal())]

    async def patches(self) -> dict[str, bool]:
        """Which way it takes at each patch that its code has asked for (`step.patched`)."""
        return {name: one["patched"] for name, one in (await self.state()).patches.items()}

    # Operations.

    async def _operate(self, operation: Callable[[Engine, InstanceRow], Awaitable[T]]) -> T:
        row = await self.row()
        return await self._tester.call(lambda engine: operation(engine, row))

    async def send_event(self, type: str, payload: Any = None, *, reply: bool = False) -> Any:
        """Send an event, before or while it waits for one; with `reply`, the result is what the workflow replies.

        Raises PayloadMismatch, EventRejected, EventNotAnswered.
        """
        if not reply:
            return await self._operate(lambda engine, row: engine.send_event(row, type, payload))
        return values.decode(as_objects(await self._operate(lambda engine, row: engine.ask(row, type, payload))))

    async def pause(self) -> Committed:
        """Pause now, or when its running attempts have ended."""
        return await self._operate(lambda engine, row: engine.pause(row))

    async def resume(self) -> Committed:
        """Go on after a pause, or from a stop: to the next breakpoint, or to the end."""
        return await self._operate(lambda engine, row: engine.resume(row))

    async def terminate(self, *, rollback: bool = False) -> Committed:
        """End it."""
        return await self._operate(lambda engine, row: engine.terminate(row, rollback))

    async def restart(self, from_step: str | None = None, *, count: int = 1, kind: str = ev.DO) -> Committed:
        """Run it again from the start, or from a step."""
        origin = None if from_step is None else StepKey(kind, from_step, count)
        return await self._operate(lambda engine, row: engine.restart(row, origin))

    async def change_code(self, source: str) -> Committed:
        """Let it go on with other code, which must fit its journal. Raises IncompatibleCode where it does not."""
        return await self._operate(lambda engine, row: change_code(engine, row, source))

    async def delete(self) -> None:
        """Remove it."""
        await self._operate(lambda engine, row: engine.delete(row))

    async def kill_worker(self, when: str = "now") -> None:
        """Kill its worker `now`, `during-step` (its next attempt) `before-commit` (of its next result, which is lost),
        or `never` after all.
        """
        await self._operate(lambda engine, row: engine.kill_worker(row, when))

    async def break_step(self, name: str, how: str | None, *, count: int | None = None, **more: Any) -> Committed:
        """Make the next attempts of a step `fail`, `timeout`, be `slow` or `return`; None clears it.

        `more`: see `NewBreak`.
        """
        new = NewBreak(name, count, how, **more)
        return await self._operate(lambda engine, row: engine.set_break(row, new))

    async def break_before(
        self, name: str, *, count: int | None = None, kind: str | None = None, on: bool = True
    ) -> Committed:
        """Stop before a step that has not begun: this call of it, or every call of its name; `on=False` clears it."""
        step = StepPattern(name, kind, count)
        return await self._operate(lambda engine, row: engine.set_breakpoint(row, step, on=on))

    async def wait_for_stop(self, name: str | None = None, *, deadline: float = DEADLINE) -> Mapping[str, Any]:
        """Wait until it is stopped before a step, or before this one; returns `{kind, name, count, line, ...}`.

        Raises as `wait_for_status`.
        """

        def reached(state: State) -> Mapping[str, Any] | None:
            stop = state.stopped_before
            return stop if state.status == ev.PAUSED and stop and name in (None, stop["name"]) else None

        what = "a stop before a step" if name is None else f'a stop before "{name}"'
        found: Mapping[str, Any] = await self.wait_until(reached, what, deadline=deadline)
        return found

    async def next_commit(self) -> Committed:
        """Go on until the code comes to its next step; the attempts that run by then are committed first."""
        return await self._operate(lambda engine, row: engine.go_on(row, ANY_STEP))

    async def run_to(self, name: str, *, count: int | None = None, kind: str | None = None) -> Committed:
        """Go on and stop once before this step, or before a breakpoint that comes first."""
        return await self._operate(lambda engine, row: engine.go_on(row, StepPattern(name, kind, count)))

    async def give(self, output: Any = None, *, until: str | None = None) -> Committed:
        """Give the step that it is stopped before a result, instead of running it, and go on, `until` a step or to the
        next breakpoint.

        A wait gets it as the payload of its event; None ends a sleep.
        """
        step = None if until is None else StepPattern(until)
        return await self._operate(lambda engine, row: engine.go_on(row, step, output))

    async def give_error(self, error: BaseException | None = None, *, until: str | None = None) -> Committed:
        """Make the step that it is stopped before fail with this error, of which class and message count, instead of
        running it, and go on, `until` a step or to the next breakpoint. A wait is over its timeout; it takes no error.
        """
        step = None if until is None else StepPattern(until)
        given = GivenError() if error is None else GivenError(type(error).__name__, str(error))
        return await self._operate(lambda engine, row: engine.go_on(row, step, error=given))

    async def skip_sleeps(self, *, on: bool = True) -> Committed:
        """Have every sleep and every wait before a retry be over at once, or no longer."""
        return await self._operate(lambda engine, row: engine.skip_sleeps(row, on=on))

    async def wake(self, name: str | None = None, *, count: int = 1, kind: str = ev.SLEEP) -> Committed:
        """End a sleep, a wait between attempts or a wait for an event: the named one, or the one due first."""
        step = None if name is None else StepKey(kind, name, count)
        return await self._operate(lambda engine, row: engine.wake(row, step))
