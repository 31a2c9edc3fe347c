"""What is outside of the programs that tests/replay_programs.py writes: jobs that go on whatever happens to whoever
asked for them.

A callback's work is a job with a duration. It begins when a callback first asks for it and ends at a fixed time of
the clock, also when the worker that asked for it is gone: the next attempt finds it done, or waits for the rest. A
crash thus moves nothing in time, so that a run that was disturbed must go the very way of one that was not.
"""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from playground.store.protocol import Committed
from playground.testing import Run
from playground.workflows import events as ev

MARK = re.compile(r"(?:step )?(u\d+(?::\d+)?)\b")  # what a result or a message begins with says whose it is
WORKER_LOST = "WorkerLost"


class World:
    """Jobs, by the run and the unit of the program that asked for them. Used from every worker's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.begin(lambda: 0)

    def begin(self, now: Callable[[], int]) -> None:
        """Forget everything: another program begins."""
        with self._lock:
            self._now = now
            self._begun: dict[tuple[str, str, int], int] = {}
            self._failures: Counter[tuple[str, str]] = Counter()
            self._over: set[tuple[str, str]] = set()
            self._ids: dict[int, str] = {}
            self.ran_again: list[tuple[str, str]] = []

    async def work(self, run: str, unit: str, seconds: Sequence[float]) -> bool:
        """Do a job; whether it fails. It takes the first of these seconds, after a failure the next;
        the last succeeds.
        """
        with self._lock:
            self._ran(run, unit)
            failures = min(self._failures[run, unit], len(seconds) - 1)
            begun = self._begun.setdefault((run, unit, failures), self._now())
            left = begun + round(seconds[failures] * 1000) - self._now()
        if left > 0:
            await asyncio.sleep(left / 1000)
        return failures < len(seconds) - 1

    def done(self, run: str, unit: str) -> str:
        """Do a job that takes no time."""
        with self._lock:
            self._ran(run, unit)
        return unit

    async def hang(self, run: str, unit: str, times: int) -> str:
        """Do a job that never ends, so many times, then one that takes no time."""
        with self._lock:
            self._ran(run, unit)
            hangs = self._failures[run, unit] < times
        if hangs:
            await asyncio.get_running_loop().create_future()
        return unit

    def created(self, run: Run) -> None:
        """Whose commits are told of from now on."""
        with self._lock:
            self._ids[run.key] = run.id

    def committed(self, commit: Committed) -> None:
        """Called for every commit when it is durable: what has ended must not run again."""
        run = self._ids.get(commit.row.key)
        for event in commit.events if run is not None else ():
            if event.type == ev.ATTEMPT_ERRORED and event.data["error"]["name"] != WORKER_LOST:
                self.failed(run, event.data["error"]["message"], event.key.name)
            elif event.type == ev.STEP_COMPLETED:
                self.ended(run, event.data["output"], event.key.name)
            elif event.type == ev.STEP_ERRORED:
                self.ended(run, event.data["error"]["message"], event.key.name)

    def failed(self, run: str, said: object, name: str) -> None:
        """An attempt of a unit has failed for good."""
        unit = _unit(said, name)
        if unit is not None:
            with self._lock:
                self._failures[run, unit] += 1

    def ended(self, run: str, said: object, name: str) -> None:
        """A unit has ended, well or not, for good."""
        unit = _unit(said, name)
        if unit is not None:
            with self._lock:
                self._over.add((run, unit))

    def _ran(self, run: str, unit: str) -> None:
        if (run, unit) in self._over:
            self.ran_again.append((run, unit))


def _unit(said: object, name: str) -> str | None:
    found = (MARK.match(said) if isinstance(said, str) else None) or MARK.fullmatch(name)
    return found and found[1]


WORLD = World()
