"""What a test written from a run uses: it runs the code again, with what came from outside at the same places, and says
in a sentence a line what has become different (`playground runs export --as-test` writes such tests).

    recorded.check(
        SOURCE,
        id="37bf11bb", began=1795000000000, params={"amount": 42},
        steps=[
            recorded.ran("charge card", {"charged": 42}, attempts=[recorded.error("ConnectionError", "no answer"),
                                                                   recorded.OK]),
            recorded.waited("approval", event="approved", payload={"by": "ada"}),
        ],
        moves=[recorded.sent("approved", {"by": "ada"}, after="wait approval-1 started")],
        output={"charged": 42},
    )

A step that is `ran` runs. Of its attempts, those that are LOST or TIMED_OUT, and planted errors, are made to happen
again; the others have to go as they went. One that is `given` has its outcome without being run. A move is made once
the run has come to the point after which it was made; where that point does not come, the message says so.

As with the rest of the test kit, the code runs as a thread of the test's process: for your own code only.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.runfiles import facts
from playground.runfiles.facts import NOTHING, facts_of, milestone
from playground.testing import mocks
from playground.testing.differences import (
    ANY,
    Attempt,
    End,
    RecordedStep,
    end_differences,
    mark_differences,
    message,
    step_differences,
)
from playground.testing.mocks import Mock, Mocks
from playground.testing.run import NothingHappens, Run
from playground.testing.tester import WorkflowTester
from playground.worker import failures
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.errors import WorkflowError
from playground.workflows.names import CLASS_NAME

DEADLINE = 30.0  # real seconds for the whole run


class RunDiffers(AssertionError):
    """The code does not do what the recorded run did."""


OK = Attempt(facts.OK)
LOST = Attempt(facts.LOST, planted=True)  # its worker died
TIMED_OUT = Attempt(facts.TIMED_OUT, planted=True)
OPEN = Attempt(facts.OPEN, planted=True)  # the run ended, or was recorded, before it did


def error(name: str, message: str, *, planted: bool = False, **stored: Any) -> Attempt:
    """An attempt, or a run, that ended with this error.

    `stored`: what else is known of its class, by which code may catch it: `module`, `qualname`, `bases`,
    `non_retryable`.
    """
    return Attempt(facts.ERROR, name, message, planted, {"name": name, "message": message, **stored})


def ran(
    name: str,
    result: Any = NOTHING,
    *,
    count: int = 1,
    inside: str = "",
    attempts: Sequence[Attempt] = (OK,),
    status: str | None = None,
    rollback: str | None = None,
) -> RecordedStep:
    """A step that runs, with the result that it must have."""
    return RecordedStep(ev.DO, name, count, inside, status, result, tuple(attempts), rollback=rollback)


def given(
    name: str,
    result: Any = NOTHING,
    *,
    count: int = 1,
    inside: str = "",
    attempts: Sequence[Attempt] = (OK,),
    status: str | None = None,
    rollback: str | None = None,
    took: int = 0,
) -> RecordedStep:
    """A step that has this outcome without being run; `took` milliseconds of the test's clock."""
    return RecordedStep(ev.DO, name, count, inside, status, result, tuple(attempts), True, None, rollback, took)


def slept(name: str, *, count: int = 1, inside: str = "", status: str = "completed") -> RecordedStep:
    """A sleep."""
    return RecordedStep(ev.SLEEP, name, count, inside, status)


def waited(
    name: str,
    *,
    event: str,
    payload: Any = NOTHING,
    schema: Any = None,
    count: int = 1,
    inside: str = "",
    status: str = "completed",
) -> RecordedStep:
    """A wait for an event, with the payload of the one that ended it, and the schema that it had to fit."""
    return RecordedStep(ev.WAIT, name, count, inside, status, payload, schema=schema)


def child(
    name: str,
    result: Any = NOTHING,
    *,
    error: Attempt | None = None,
    count: int = 1,
    inside: str = "",
    status: str = "completed",
) -> RecordedStep:
    """A child, none of whose code runs: it has this result, or fails with this error."""
    return RecordedStep(ev.CHILD, name, count, inside, status, result, (), True, error)


@dataclass(frozen=True, slots=True)
class Move:
    """What came from outside; `after` is the point of the run after which it came, see `facts.milestone`."""

    what: str
    after: str | None
    make: Callable[[Run], Any]


def sent(type: str, payload: Any = None, *, after: str | None = None) -> Move:
    """An event was sent."""
    return Move(f'the event "{type}"', after, lambda run: run.send_event(type, payload))


def killed(*, after: str | None = None) -> Move:
    """The worker was killed."""
    return Move("the kill of the worker", after, lambda run: run.kill_worker())


def terminated(*, after: str | None = None, rollback: bool = False) -> Move:
    """A person ended it."""
    return Move("its termination", after, lambda run: run.terminate(rollback=rollback))


def time(text: str) -> Any:
    """A datetime as values are stored: ISO 8601, a zone's name in brackets after it."""
    return values.decode({"$datetime": text})


def check(
    source: str | type,
    *,
    id: str,
    began: int,
    steps: Sequence[RecordedStep],
    params: Any = None,
    class_name: str = CLASS_NAME,
    tags: Sequence[str] = (),
    tagged: Sequence[str] | None = None,
    patches: Mapping[str, bool] | None = None,
    moves: Sequence[Move] = (),
    status: str | None = ev.COMPLETE,
    output: Any = NOTHING,
    error: Attempt | None = None,
) -> None:
    """Run the code as the recorded run went, and compare.

    Args:
        source: the text of a module, or a class, which runs where it was written.
        id: of the run; keys that code makes of it stay the same.
        began: epoch milliseconds at which its clock begins.
        tags: that it was created with; `tagged`: that its code has given it; `patches`: that its code has asked for,
            and which way it took. None: they may be any.
        status: the one that it ended with; None: it had not ended, and is followed as far as its steps go.

    Raises:
        RunDiffers: it does something else; the message has a line for each difference.
    """
    expected = End(status, output, error)
    marks = _Marks(tags, tagged, patches)
    asyncio.run(_check(source, class_name, id, began, params, steps, moves, expected, marks))


@dataclass(frozen=True, slots=True)
class _Marks:
    """What a run is found by, and the patches of its code."""

    tags: Sequence[str]
    tagged: Sequence[str] | None
    patches: Mapping[str, bool] | None


class _Script(Mocks):
    """Plays what the recording plans for each attempt."""

    def __init__(self, steps: Sequence[RecordedStep]) -> None:
        super().__init__()
        self._steps = {(step.name, step.count): step for step in steps if step.kind == ev.DO}

    def use_for_attempt(self, name: str, count: int, attempt: int) -> Mock | None:
        """See `Mocks`."""
        step = self._steps.get((name, count))
        if step is None or attempt > len(step.attempts):
            return None
        play = _play(step, step.attempts[attempt - 1])
        return None if play is None else Mock(name, count, None, play, mocks.MOCK_STEP)


def _play(step: RecordedStep, planned: Attempt) -> Callable[[], Any] | None:
    """What an attempt does instead of the callback; None: the callback runs."""
    if planned.how in (facts.LOST, facts.OPEN, facts.TIMED_OUT):
        return mocks.hanging()
    if planned.how == facts.ERROR and (step.is_given or planned.planted):
        return _later(step.took_ms, mocks.raising(_exception(planned)))
    if planned.how == facts.OK and step.is_given:
        return _later(step.took_ms, mocks.returning(None if step.result is NOTHING else step.result))
    return None


def _exception(planned: Attempt) -> BaseException:
    return failures.rebuild(planned.stored or {"name": planned.name, "message": planned.message}, None)


def _later(milliseconds: int, play: Callable[[], Any]) -> Callable[[], Any]:
    if not milliseconds:
        return play

    async def wait() -> Any:
        await asyncio.sleep(milliseconds / 1_000)
        return play()

    return wait


class _Tester(WorkflowTester):
    def __init__(self, source: str | type, class_name: str, began: int, script: Mocks) -> None:
        super().__init__(source, class_name=class_name, begin=began, allow_divergence=True)
        self._mocks = script


async def _check(
    source: str | type,
    class_name: str,
    id: str,
    began: int,
    params: Any,
    steps: Sequence[RecordedStep],
    moves: Sequence[Move],
    end: End,
    marks: _Marks,
) -> None:
    script = _Script(steps)
    async with _Tester(source, class_name, began, script) as tester:
        for step in steps:
            if step.kind == ev.CHILD and (step.result is not NOTHING or step.error is not None):
                raised = None if step.error is None else _exception(step.error)
                result = None if step.result is NOTHING else step.result
                tester.mock_child(step.name, count=step.count, result=result, error=raised, times=1, optional=True)
        run = await tester.create(params, id=id, tags=marks.tags)
        came = await _follow(run, steps, moves, end)
        found = step_differences(steps, facts_of(await run.state()))
        if end.status is not None:
            state = await run.state()
            found += mark_differences(marks.tags, marks.tagged, marks.patches, state) + end_differences(end, state)
    if found or came:
        raise RunDiffers(message(id, [*found, *came]))


async def _follow(run: Run, steps: Sequence[RecordedStep], moves: Sequence[Move], end: End) -> list[str]:
    """Take the run to its end, or as far as the recording goes, with the moves made on the way; returns a sentence for
    what could not be.
    """
    try:
        for move in moves:
            if not await _reach(run, move.after):
                return [f"{move.what} could not be repeated: the run never came to {point_words(move.after)}"]
            try:
                await move.make(run)
            except WorkflowError as refused:
                return [f"{move.what} could not be repeated: {refused.message}"]
        if end.status is None:
            await run.wait_until(lambda state: state.status in ev.FINAL_STATUSES or _is_there(steps, state))
        else:
            await run.wait_for_status(*ev.FINAL_STATUSES, deadline=DEADLINE)
    except NothingHappens:
        return [] if end.status is None else ["it does not end: it waits for something that never comes"]
    except TimeoutError:
        return [f"it did not end within {DEADLINE:g} s"]
    return []


async def _reach(run: Run, point: str | None) -> bool:
    """Wait until the run has come to a point; False: it ended, or rests for good, without."""
    if point is None:
        return True

    def there(state: Any) -> str | None:
        if any(milestone(event) == point for event in run.seen):
            return "there"
        return "over" if state.status in ev.FINAL_STATUSES else None

    try:
        found = await run.wait_until(there, point_words(point), deadline=DEADLINE)
    except NothingHappens:
        return False
    return bool(found == "there")


def point_words(point: str | None) -> str:
    if point is None:
        return "its beginning"
    _, _, rest = point.partition(" ")
    return f"`{rest}`"


def _is_there(steps: Sequence[RecordedStep], state: Any) -> bool:
    """Whether a run that had not ended has come as far as the recording, whatever its steps are called by now."""
    found = facts_of(state)
    planned = sorted((step.final_status, len(step.attempts)) for step in steps)
    return sorted((step.status, len(step.attempts)) for step in found) == planned


__all__ = [
    "ANY",
    "LOST",
    "OK",
    "OPEN",
    "TIMED_OUT",
    "RunDiffers",
    "check",
    "child",
    "error",
    "given",
    "killed",
    "ran",
    "sent",
    "slept",
    "terminated",
    "time",
    "waited",
]
