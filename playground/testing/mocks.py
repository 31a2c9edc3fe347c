"""Mocks of steps: a test replaces a step's callback by a result, an error, or an attempt that hangs until it times
out, and a child by how it ends.

A mocked child is there as any other, with a journal of its own; its class is one that does what the mock says.
"""

import asyncio
import difflib
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from playground.store.rows import NewInstance
from playground.worker.context import Record
from playground.worker.entrypoint import WorkflowEntrypoint
from playground.worker.steps import Steps
from playground.workflows import names

MOCK_STEP, MOCK_CHILD, TIME_OUT_STEP, TIME_OUT_WAIT = "mock_step", "mock_child", "time_out_step", "time_out_wait"
NAMES_SHOWN = 10  # steps named in one message


class UnusedMock(AssertionError):
    """A mock of a step or a wait was never used."""


@dataclass(slots=True)
class Mock:
    """A mock of the steps of this name (and count, unless None), for `times` more attempts (None: for all).

    `made_by` is the method of the tester that made it; an `optional` one may stay unused.
    """

    name: str
    count: int | None
    times: int | None
    play: Callable[[], Any]
    made_by: str
    optional: bool = False
    used: bool = False

    @property
    def kind(self) -> str:
        """`child`, or `step`."""
        return "child" if self.made_by == MOCK_CHILD else "step"

    def __str__(self) -> str:
        return f'{self.made_by}("{self.name}"' + (f", count={self.count})" if self.count is not None else ")")


class MockedChild(WorkflowEntrypoint):
    """The base of the classes of mocked children: what extends `WorkflowEntrypoint` itself might be the test's only
    workflow, which runs whatever its name is.
    """


class Mocks:
    """The mocks of one test, in the order in which they were added; every worker's thread uses them."""

    def __init__(self) -> None:
        self._mocks: list[Mock] = []
        self._requested: set[tuple[str, str, int]] = set()  # kinds, names and counts
        self._lock = threading.Lock()
        self._children: dict[tuple[str, str], str | None] = {}  # class names of mocked children, by tenant and id
        self.classes: dict[str, type[WorkflowEntrypoint]] = {}  # by name

    def add(self, mock: Mock) -> None:
        """Add a mock; an earlier one of the same step is used first, until it is used up."""
        with self._lock:
            self._mocks.append(mock)

    def use(self, name: str, count: int, kind: str = "step") -> Mock | None:
        """Use the mock of the next attempt of a step, or of the next child, if there is one."""
        with self._lock:
            self._requested.add((kind, name, count))
            for mock in self._mocks:
                if mock.kind == kind and mock.name == name and mock.count in (None, count) and mock.times != 0:
                    mock.used = True
                    if mock.times is not None:
                        mock.times -= 1
                    return mock
        return None

    def use_for_attempt(self, name: str, count: int, attempt: int) -> Mock | None:
        """Use the mock of this attempt of a step, if there is one."""
        return self.use(name, count)

    def create(self, new: NewInstance) -> NewInstance:
        """An instance that is about to be created; a child that is mocked gets the class that its mock stands for."""
        if new.awaited is None:
            return new
        place, step = (new.tenant, new.id), new.awaited.step
        if place not in self._children:  # else a server died at its creation
            mock = self.use(step.name, step.count, "child")
            self._children[place] = None if mock is None else self._class_of(mock)
        class_name = self._children[place]
        return new if class_name is None else replace(new, class_name=class_name)

    def _class_of(self, mock: Mock) -> str:
        async def run(self: WorkflowEntrypoint, event: Any, step: Any) -> Any:
            return mock.play()

        name = f"MockedChild{len(self.classes) + 1}"
        self.classes[name] = type(name, (MockedChild,), {"run": run})
        return name

    def unused(self) -> list[str]:
        """A sentence for each mock that no attempt has used."""
        with self._lock:
            unused = [mock for mock in self._mocks if not mock.used and not mock.optional]
            return [_sentence(str(mock), mock, self._requested) for mock in unused]


class MockedSteps(Steps):
    """The `step` object of a worker in a test."""

    mocks: Mocks
    killed: Callable[[], bool]

    def start(self, name: Any, call: Callable[[Record], Any], **given: Any) -> Coroutine[Any, Any, Any]:
        """See `Steps.start`; every attempt uses its mock, if there is one."""

        def attempt(ctx: Record) -> Any:
            if self.killed():  # its thread has not noticed yet; a process would be gone
                return hanging()()
            mock = self.mocks.use_for_attempt(ctx["step"]["name"], ctx["step"]["count"], ctx["attempt"])
            return call(ctx) if mock is None else mock.play()

        return super().start(name, attempt, **given)


def _sentence(what: str, mock: Mock, requested: Iterable[tuple[str, str, int]]) -> str:
    kind = mock.kind
    counts = sorted(count for asked, name, count in requested if (asked, name) == (kind, mock.name))
    if counts:  # an earlier mock was used instead, or it was for another count
        if mock.count is not None and mock.count not in counts:
            return (
                f'{what} was never used: {kind} "{mock.name}" was called with the counts {", ".join(map(str, counts))}.'
            )
        return f"{what} was never used: what was mocked before it for the same {kind} was never used up."
    known = {name for asked, name, _ in requested if asked == kind}
    return f"{what} was never used: {name_hint(mock.name, known, kind)}"


def name_hint(name: str, known: Iterable[str], kind: str) -> str:
    """A hint for the name of a step or a wait (`kind`) that is not among the known ones."""
    others = sorted(known)
    close = difflib.get_close_matches(name, others, n=1, cutoff=0.5)
    if close:
        return f'no {kind} of this name ran. Is "{close[0]}" meant?'
    if not others:
        return f"no {kind} ran at all."
    shown = ", ".join(f'"{one}"' for one in others[:NAMES_SHOWN]) + (" ..." if len(others) > NAMES_SHOWN else "")
    return f"no {kind} of this name ran. There were {shown}."


def check_arguments(made_by: str, name: Any, count: Any, times: Any) -> None:
    """Refuse arguments that can match no step or wait.

    Raises:
        TypeError: the name is not a string, or a number not an int.
        ValueError: the name is not valid for a step, or a number is below 1.
    """
    if not isinstance(name, str):
        raise TypeError(f"{made_by} takes the name of a step as text, not {type(name).__name__}: {name!r:.100}")
    if not names.is_step_name(name):
        raise ValueError(names.step_name_error(name))
    for what, number in (("count", count), ("times", times)):
        if number is None:
            continue
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{made_by} takes a whole number as {what}, not {type(number).__name__}: {number!r:.100}")
        if number < 1:
            raise ValueError(f"{made_by} takes a {what} from 1, or None for every one; {number} is none")


def check_error(made_by: str, error: Any, result: Any) -> None:
    """Raises TypeError unless `error` can be raised, ValueError when there is a result too."""
    if not isinstance(error, BaseException) and not (isinstance(error, type) and issubclass(error, BaseException)):
        given = f"{type(error).__name__}: {error!r:.100}"
        raise TypeError(f"{made_by} takes an exception or its class as error, not {given}")
    if result is not None:
        raise ValueError(f"{made_by} takes a result or an error, not both; call it twice for one after the other")


def returning(result: Any) -> Callable[[], Any]:
    """An attempt that returns this result."""
    return lambda: result


def raising(error: BaseException | type[BaseException]) -> Callable[[], Any]:
    """An attempt that raises this error."""

    def play() -> Any:
        raise error if isinstance(error, type) else error.with_traceback(None)

    return play


def hanging() -> Callable[[], Any]:
    """An attempt that hangs until it is cancelled."""

    async def play() -> Any:
        await asyncio.get_running_loop().create_future()

    return play
