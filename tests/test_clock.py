"""The store's clock, as a node has it: within half of an answer's time, whatever the machine's own is set to."""

import random
from collections.abc import Awaitable, Callable

from aio import story
from simulation.loop import SimulationLoop

from playground.engine.clock import FakeClock, SharedClock

START = 1_767_225_600_000


def reading(machine: FakeClock, there: int = 0, back: int = 0, ahead: int = 0) -> Callable[[], Awaitable[int]]:
    """Reads the shared clock, which is `ahead` of START and what has elapsed.

    The request takes `there` milliseconds, the answer `back`.
    """

    async def read() -> int:
        machine.advance(there)
        now = START + machine.elapsed() + ahead
        machine.advance(back)
        return now

    return read


@story
async def test_a_node_has_the_stores_time_after_one_reading() -> None:
    machine = FakeClock()
    clock = SharedClock(machine.elapsed)
    machine.advance(5_000)
    await clock.correct(reading(machine, 3, 3))
    assert clock.now() == START + 5_006
    machine.advance(70)
    assert clock.now() == START + 5_076


@story
async def test_the_quickest_answer_counts_and_slow_ones_change_nothing() -> None:
    machine = FakeClock()
    clock = SharedClock(machine.elapsed)
    await clock.correct(reading(machine, 0, 800))
    assert clock.now() - START - machine.elapsed() == -400
    await clock.correct(reading(machine, 1, 1))
    assert clock.now() == START + machine.elapsed()
    await clock.correct(reading(machine, 0, 800))
    assert clock.now() == START + machine.elapsed()


@story
async def test_a_store_whose_clock_is_set_is_followed_at_the_next_reading() -> None:
    machine = FakeClock()
    clock = SharedClock(machine.elapsed)
    await clock.correct(reading(machine))
    await clock.correct(reading(machine, 5, 5, ahead=60_000))
    assert clock.now() == START + machine.elapsed() + 60_000


def test_a_timer_goes_by_the_shared_time_and_waits_on_where_that_is_corrected() -> None:
    loop = SimulationLoop(random.Random(1))
    called: list[tuple[str, int]] = []
    ended = loop.create_future()

    async def at(shared: int) -> int:
        return shared

    async def timers() -> None:
        clock = SharedClock(loop.now_ms)
        await clock.correct(lambda: at(START))
        for name, when in (("due", 1_000), ("later", 3_000)):
            clock.call_at(START + when, lambda name=name: called.append((name, loop.now_ms())))
        clock.call_at(START + 1_000, called.append, ("cancelled", 0)).cancel()
        clock.call_at(START - 1, called.append, ("at once", 0))
        loop.call_later(2, lambda: loop.create_task(clock.correct(lambda: at(START + 1_500))))
        loop.call_later(5, ended.set_result, None)
        await ended

    loop.run_until_complete(timers())
    loop.close()
    assert called == [("at once", 0), ("due", 1_000), ("later", 3_500)]
