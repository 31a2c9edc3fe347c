"""What a test puts in the place of a step's callback: a result, an error, or an attempt that never ends and so times out."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from playground.worker.records import Record
from playground.worker.steps import Steps


@dataclass(slots=True)
class Mock:
    """One rule: for steps of this name (and count, unless None), for `times` more attempts (None: for ever)."""

    name: str
    count: int | None
    times: int | None
    play: Callable[[], Any]


class Mocks:
    """The rules of one test, in the order they were given; used from every worker's thread."""

    def __init__(self) -> None:
        self._rules: list[Mock] = []
        self._lock = threading.Lock()

    def add(self, mock: Mock) -> None:
        """Add a rule; an earlier one for the same step goes first, until it is used up."""
        with self._lock:
            self._rules.append(mock)

    def take(self, name: str, count: int) -> Mock | None:
        """The rule for the next attempt of a step, used once more."""
        with self._lock:
            for mock in self._rules:
                if mock.name == name and mock.count in (None, count) and mock.times != 0:
                    if mock.times is not None:
                        mock.times -= 1
                    return mock
        return None


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
