"""Checks of source are shared out by turns: one address's flood of slow ones does not hold up another's, and has its
time of the minute.
"""

import asyncio
from collections import Counter
from typing import Any

import pytest
from aio import story
from dispatch_support import on_engine
from http_support import HELLO, MakeSite, code_of
from limits_support import refused

from playground import Engine
from playground.engine.clock import FakeClock
from playground.engine.code.checker import OF_ONE, WAITING_MOST, CheckedTooMuch, FairSemaphore, TooManyWait
from playground.workflows.errors import WorkflowError

# A tenth of a second or more.
SLOW = HELLO + "\n\n" + "\n".join(f"def f{n}():\n    return f{n - 1}()\n" for n in range(1_200))


def slow(number: int) -> str:
    """One of any number of slow sources, none of which is known from before."""
    return f"{SLOW}\n\nNUMBER = {number}\n"


class Turn:
    """Somebody who waits for a turn, and has it until told to leave."""

    def __init__(self, turns: FairSemaphore, owner: str, order: list[str]) -> None:
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._have(turns, owner, order))

    async def _have(self, turns: FairSemaphore, owner: str, order: list[str]) -> None:
        async with turns.turn(owner):
            order.append(owner)
            await self.leave.wait()

    async def end(self) -> None:
        self.leave.set()
        await self.task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@story
async def test_owners_take_turns_however_many_one_of_them_asks_for() -> None:
    turns, order = FairSemaphore(at_once=1, of_one=1, waiting_most=100), list[str]()
    flood = [Turn(turns, "flood", order) for _ in range(50)]
    await settle()
    others = [Turn(turns, owner, order) for owner in ("a", "b", "a")]
    for turn in [flood[0], flood[1], others[0], others[1], flood[2], others[2], *flood[3:]]:
        await settle()
        await turn.end()
    assert order[:7] == ["flood", "flood", "a", "b", "flood", "a", "flood"]
    assert Counter(order) == {"flood": 50, "a": 2, "b": 1} and turns.waiting() == 0


@story
async def test_one_owner_has_only_its_share_at_once_and_leaves_the_rest_free() -> None:
    turns, order = FairSemaphore(at_once=2, of_one=1, waiting_most=100), list[str]()
    flood = [Turn(turns, "flood", order) for _ in range(10)]
    await settle()
    assert order == ["flood"]
    other = Turn(turns, "other", order)
    await settle()
    assert order == ["flood", "other"], "a turn was free, without anybody's having to end"
    own = [Turn(turns, "", order) for _ in range(2)]
    await other.end()
    await settle()
    assert order[2:] == [""], "the server's own may have all that are free"
    for turn in (flood[0], *own, *flood[1:]):
        await settle()
        await turn.end()
    assert turns.waiting() == 0 and not turns._running


@story
async def test_who_gives_up_waiting_leaves_no_trace_and_takes_nobodys_turn() -> None:
    turns, order = FairSemaphore(at_once=1, of_one=1, waiting_most=2), list[str]()
    first, gone, last = (Turn(turns, "a", order) for _ in range(3))
    await settle()
    with pytest.raises(TooManyWait):
        async with turns.turn("a"):
            pass
    gone.task.cancel()
    await settle()
    await first.end()
    await last.end()
    given_up = Turn(turns, "b", order)
    await settle()
    given_up.task.cancel()
    await settle()
    assert order == ["a", "a", "b"] and not turns._running and not turns._waiting


@on_engine()
async def test_a_check_stays_quick_beside_a_flood_of_slow_ones_of_another_address(engine: Engine) -> None:
    done: list[str] = []

    async def check(source: str, owner: str) -> None:
        assert (await engine.check(source, owner)).ok
        done.append(owner)

    flood = [asyncio.create_task(check(slow(number), "addr:flood")) for number in range(WAITING_MOST)]
    await settle()
    for number in range(3):
        before = done.count("addr:flood")
        await check(f"{HELLO}\n# {number}", "addr:innocent")
        assert done.count("addr:flood") - before <= OF_ONE, "more than the one that was under way had its turn first"
    assert len(done) < len(flood), "else there was no flood"
    await asyncio.gather(*flood)


@on_engine()
async def test_an_address_with_too_many_checks_waiting_is_told_so_and_others_are_not(engine: Engine) -> None:
    flood = [asyncio.create_task(engine.check(slow(number), "addr:flood")) for number in range(OF_ONE + WAITING_MOST)]
    await settle()
    with pytest.raises(CheckedTooMuch, match=f"{WAITING_MOST} checks of your address or tenant are waiting already"):
        await engine.check(f"{HELLO}\n# one more", "addr:flood")
    assert (await engine.check(f"{HELLO}\n# somebody else's", "addr:innocent")).ok
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert (await engine.check(f"{HELLO}\n# the flood is over", "addr:flood")).ok


def test_the_time_of_a_minute_is_counted_by_owner_and_given_back(place: Any) -> None:
    clock = FakeClock()

    async def tale(engine: Engine) -> None:
        engine._checker._took.add("addr:slow", 2_000)
        with pytest.raises(
            CheckedTooMuch, match="took 2 s in a minute, which is the limit .* possible in 60 s"
        ) as refusal:
            await engine.check(f"{HELLO}\n# new", "addr:slow")
        assert refusal.value.details == {"retry_after": 60, "setting": "check_seconds_per_minute"}
        assert isinstance(refusal.value, WorkflowError)
        assert (await engine.check(f"{HELLO}\n# new", "addr:other")).ok
        assert (await engine.check(f"{HELLO}\n# new", "addr:slow")).ok, "what is known costs nothing"
        clock.advance(60_000)
        assert (await engine.check(f"{HELLO}\n# newer", "addr:slow")).ok

    place.run(tale, clock=clock, check_seconds_per_minute=2)


def test_over_http_an_address_and_a_tenant_are_told_what_to_do(make_site: MakeSite) -> None:
    site = make_site(check_seconds_per_minute=1)
    for number in range(200):
        answer = site.client.post("/api/check", json={"source": slow(number)})
        if answer.status_code != 200:
            break
    said = refused(answer, 429, "check_seconds_per_minute", wait=True)
    assert code_of(answer) == (429, "too_many") and "Make it simpler or shorter; the next check is possible in" in said
    assert site.client.post("/api/instances", json={"source": slow(1_000)}).status_code == 429
    [line, *_] = site.log.of("limit")
    assert (line["limit"], line["whose"]) == ("check_seconds_per_minute", "127.0.0.1")
