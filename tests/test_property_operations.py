"""Whatever a workflow is made of, an operation that comes right after any of its commits leaves it in order.

As in test_property_crashes.py, hypothesis writes the workflows. Pause and resume, a stop before each further step, a
killed worker and a restart lead to the same output; terminate ends it at once. In every case the journal has no gap
and the rows agree with it.
"""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from aio import run
from crash_support import (
    DEADLINE,
    EVERY,
    GRACES,
    NODES,
    RICH,
    WORLD,
    Source,
    every_day,
    open_tester,
    outcome,
    play,
    wants,
    written,
)
from database_support import Chosen
from hypothesis import example, given
from semantics_support import assert_run_sound, assert_sound
from store_support import POSTGRES

from playground.store.protocol import Committed
from playground.testing import Run, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.errors import CannotTerminate, InstanceInFiniteState, NoWorker

pytestmark = pytest.mark.long


class Trigger:
    """Begins an operation as soon as an instance has made so many commits."""

    def __init__(self, tester: WorkflowTester, commits: int, operate: Any) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.run: Run | None = None
        self._left, self._operate, self.tester = commits, operate, tester

    def __call__(self, commit: Committed) -> None:
        WORLD.committed(commit)
        if self.run is not None and commit.row.key == self.run.key:
            self._left -= 1
            if self._left == 0:
                self.task = asyncio.ensure_future(self._operate(self.run))


async def pause_and_resume(run: Run) -> None:
    await run.pause()


async def step_on(run: Run) -> None:
    """Stop before the next step, and so before every later one (`go_on`)."""
    try:
        await run.next_commit()
    except InstanceInFiniteState:
        pass


async def kill_now(run: Run) -> None:
    await _kill(run, "now")


async def kill_before_commit(run: Run) -> None:
    await _kill(run, "before-commit")


async def kill_during_step(run: Run) -> None:
    await _kill(run, "during-step")


async def restart(run: Run) -> None:
    await run.restart()


async def terminate(run: Run) -> None:
    try:
        await run.terminate()
    except CannotTerminate:
        pass


async def _kill(run: Run, when: str) -> None:
    try:
        await run.kill_worker(when)
    except NoWorker:
        pass


# Every day, each commit in one of the three ways: acknowledged, ahead, and ahead on PostgreSQL.
EACH = 1 if EVERY == 1 else 3
OPERATIONS = [pause_and_resume, step_on, kill_now, kill_before_commit, kill_during_step, restart, terminate]


@pytest.mark.parametrize("operate", OPERATIONS, ids=lambda operate: operate.__name__)
def test_an_operation_after_any_commit(operate: Any, runs_ahead: bool) -> None:
    first = 1 if EACH == 1 else 2 if Chosen.kind == POSTGRES else 3 if runs_ahead else 1

    @every_day
    @example(RICH, 10_000)
    @given(NODES, GRACES)
    def every_commit(node: Any, grace: int) -> None:
        numbers = itertools.count(first, EACH)
        run(operate_after_every_commit(written(node), grace, operate, numbers), DEADLINE)

    every_commit()


async def operate_after_every_commit(source: Source, grace: int, operate: Any, numbers: Iterator[int]) -> None:
    """Do it after each of these commits in turn, until there are no more."""
    WORLD.begin()
    source.numbered = operate is not restart  # an event may be on its way to the generation before
    async with open_tester(source, grace) as tester:
        expected = await play(tester, source)
        for number in numbers:
            await tester.settle()
            trigger = Trigger(tester, number, operate)
            tester.on_commit = trigger
            run = trigger.run = await tester.create()
            WORLD.created(run)
            await go_on(run, source, trigger)
            assert WORLD.ran_again == [], f"{operate.__name__} after commit {number}"
            if (await run.state()).status != ev.TERMINATED or operate is not terminate:
                assert await outcome(run) == expected, f"{operate.__name__} after commit {number}"
            await tester.settle()
            await assert_run_sound(run)
            if trigger.task is None:
                break
        assert number > 1
        await assert_sound(tester)


async def go_on(run: Run, source: Source, trigger: Trigger) -> None:
    """Play it to its end, the operation included; a pause that took effect is ended."""
    while True:
        wanted = await run.wait_until(lambda state: state.status == ev.PAUSED or wants(run, state, source))
        if trigger.task is not None:
            await trigger.task
        status = (await run.state()).status
        if status == ev.PAUSED:
            stopped = (await run.state()).stopped_before is not None
            await (run.next_commit() if stopped else run.resume())
        elif status in ev.FINAL_STATUSES:
            begun = trigger.task
            # The commit that ended it can be read before the server has heard of it, and begun the operation.
            await trigger.tester.settle()
            if trigger.task is begun:
                return
        elif wanted is not True:
            try:
                await run.send_event(*wanted)
            except InstanceInFiniteState:
                assert trigger.task is not None  # it was terminated in between
