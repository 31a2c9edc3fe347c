"""What a test puts in the place of a step's callback: a result, an error, or an attempt that never ends and so times
out.
"""

import asyncio
import difflib
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from playground.worker.context import Record
from playground.worker.steps import Steps
from playground.workflows import names

MOCK_STEP, TIME_OUT_STEP, TIME_OUT_WAIT = "mock_step", "time_out_step", "time_out_wait"
NAMES_SHOWN = 10  # steps named in one message


class UnusedMock(AssertionError):
    """Something that the test put in the place of a step or a wait was never asked for."""


@dataclass(slots=True)
class Mock:
    """One rule: for steps of this name (and count, unless None), for `times` more attempts (None: for ever).

    `made_by` is the method of the tester that it comes from; an `optional` one may stay unused.
    """

    name: str
    count: int | None
    times: int | None
    play: Callable[[], Any]
    made_by: str
    optional: bool = False
    used: bool = False

    def __str__(self) -> str:
        return f'{self.made_by}("{self.name}"' + (f", count={self.count})" if self.count is not None else ")")


class Mocks:
    """The rules of one test, in the order they were given; used from every worker's thread."""

    def __init__(self) -> None:
        self._rules: list[Mock] = []
        self._asked: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def add(self, mock: Mock) -> None:
        """Add a rule; an earlier one for the same step goes first, until it is used up."""
        with self._lock:
            self._rules.append(mock)

    def take(self, name: str, count: int) -> Mock | None:
        """The rule for the next attempt of a step, used once more."""
        with self._lock:
            self._asked.add((name, count))
            for mock in self._rules:
                if mock.name == name and mock.count in (None, count) and mock.times != 0:
                    mock.used = True
                    if mock.times is not None:
                        mock.times -= 1
                    return mock
        return None

    def unused(self) -> list[str]:
        """A sentence for each rule that no attempt has asked for."""
        with self._lock:
            unused = [mock for mock in self._rules if not mock.used and not mock.optional]
            return [_sentence(str(mock), mock, self._asked) for mock in unused]


class MockedSteps(Steps):
    """The `step` object of a worker in a test."""

    mocks: Mocks
    killed: Callable[[], bool]

    def start(self, name: Any, call: Callable[[Record], Any], **given: Any) -> Coroutine[Any, Any, Any]:
        """See `Steps.start`; every attempt asks first whether a rule is meant for it."""

        def attempt(ctx: Record) -> Any:
            if self.killed():  # its thread has not noticed yet; a process would be gone
                return hangs()()
            mock = self.mocks.take(ctx["step"]["name"], ctx["step"]["count"])
            return call(ctx) if mock is None else mock.play()

        return super().start(name, attempt, **given)


def _sentence(what: str, mock: Mock, asked: Iterable[tuple[str, int]]) -> str:
    counts = sorted(count for name, count in asked if name == mock.name)
    if counts:  # an earlier rule stood in its way, or it was for another count
        if mock.count is not None and mock.count not in counts:
            return (
                f'{what} was never used: step "{mock.name}" was called with the counts {", ".join(map(str, counts))}.'
            )
        return f"{what} was never used: what was mocked before it for the same step was never used up."
    return f"{what} was never used: {nearest(mock.name, {name for name, _ in asked}, 'step')}"


def nearest(name: str, known: Iterable[str], kind: str) -> str:
    """What to say of the name of a step or a wait (`kind`) that is not among the known ones."""
    others = sorted(known)
    close = difflib.get_close_matches(name, others, n=1, cutoff=0.5)
    if close:
        return f'no {kind} of this name ran. Is "{close[0]}" meant?'
    if not others:
        return f"no {kind} ran at all."
    shown = ", ".join(f'"{one}"' for one in others[:NAMES_SHOWN]) + (" ..." if len(others) > NAMES_SHOWN else "")
    return f"no {kind} of this name ran. There were {shown}."


def check(made_by: str, name: Any, count: Any, times: Any) -> None:
    """Refuse what no step or wait could ever be found by.

    Raises:
        TypeError: the name is no text, or a number is none.
        ValueError: the name is none that a step may have, or a number is below 1.
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


def check_error(error: Any, result: Any) -> None:
    """Raises TypeError when this is no error to raise, ValueError when there is a result too."""
    if not isinstance(error, BaseException) and not (isinstance(error, type) and issubclass(error, BaseException)):
        given = f"{type(error).__name__}: {error!r:.100}"
        raise TypeError(f"{MOCK_STEP} takes an exception or its class as error, not {given}")
    if result is not None:
        raise ValueError(f"{MOCK_STEP} takes a result or an error, not both; call it twice for one after the other")


def gives(result: Any) -> Callable[[], Any]:
    """An attempt that gives this result."""
    return lambda: result


def fails(error: BaseException | type[BaseException]) -> Callable[[], Any]:
    """An attempt that raises this error."""

    def play() -> Any:
        raise error if isinstance(error, type) else error.with_traceback(None)

    return play


def hangs() -> Callable[[], Any]:
    """An attempt that never ends by itself."""

    async def play() -> Any:
        await asyncio.get_running_loop().create_future()

    return play
