"""What the instances of a simulation run: plans drawn from the seed, the workflow that carries out any of them, what it
has to give, and the ledger of what its callbacks did outside.

A plan's output does not depend on what goes wrong, so it can be worked out without running it. A part of it may be the
plan of a child, which the instance runs and waits for; nobody sends events to a child, so its plan waits for none.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from playground.worker.entrypoint import WorkflowEntrypoint, WorkflowTimeoutError

Part = list[Any]  # as JSON: it is the parameter of an instance
DO, SLEEP, WAIT, LATE, PARALLEL, CHILD = "do", "sleep", "wait", "late", "parallel", "child"
RETRIES = {"limit": 8, "delay": 400, "backoff": "constant"}
CHILD_STEPS_MOST = 3
DEEPEST = 2  # children of children
CHILD_RATE = 0.12


def draw_plan(rng: random.Random, most: int, depth: int = 0) -> list[Part]:
    """A plan of at most so many steps; `depth` counts the parents of the instance that it is for."""
    left = rng.randint(2, most)
    plan: list[Part] = []
    while left > 0:
        if left >= 2 and rng.random() < 0.25:
            width = rng.randint(2, min(3, left))
            plan.append([PARALLEL, [_draw_step(rng, left - place, depth) for place in range(width)]])
            left -= width
        else:
            plan.append(_draw_step(rng, left, depth))
            left -= 1
    return plan


def _draw_step(rng: random.Random, number: int, depth: int) -> Part:
    name, kind = f"s{number}", rng.random()
    if depth < DEEPEST and rng.random() < CHILD_RATE:
        return [CHILD, name, draw_plan(rng, CHILD_STEPS_MOST, depth + 1)]
    if kind < 0.6 or (depth and 0.75 <= kind < 0.92):
        return [DO, name, rng.choice((0, 0, 20, 300, 2_500)), rng.choice((0, 0, 0, 1, 2))]
    if kind < 0.75:
        return [SLEEP, name, rng.choice((500, 2_000, 6_000))]
    return [WAIT, name] if kind < 0.92 else [LATE, name, rng.choice((1_000, 4_000))]


def steps_of(plan: Sequence[Part]) -> Iterator[Part]:
    """Every step of a plan, without those of its children."""
    for part in plan:
        if part[0] == PARALLEL:
            yield from part[1]
        else:
            yield part


def expected_output(plan: Sequence[Part]) -> list[Any]:
    """What an instance gives that is not disturbed."""
    return [_expected_of(part) for part in plan]


def _expected_of(part: Part) -> Any:
    if part[0] == PARALLEL:
        return expected_output(part[1])
    return expected_output(part[2]) if part[0] == CHILD else f"{part[0]} {part[1]}"


@dataclass(frozen=True, slots=True)
class Effect:
    """A callback's work outside: by which instance, step and attempt, in which execution, and when, in milliseconds."""

    instance: str
    step: str
    attempt: int
    execution: int
    at: int


class Ledger:
    """The effects of all instances, in order. `now` is the database's clock, in milliseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.effects: list[Effect] = []

    def add(self, instance: str, step: str, attempt: int, execution: int) -> None:
        """A callback has an effect now."""
        self.effects.append(Effect(instance, step, attempt, execution, self._now()))


class PlannedWorkflow(WorkflowEntrypoint):
    """Carries out the plan that it is given."""

    ledger: Ledger

    async def run(self, event: Any, step: Any) -> Any:
        return [await self._part(part, step, event) for part in event["payload"]]

    async def _part(self, part: Part, step: Any, event: Any) -> Any:
        kind, name = part[0], part[1]
        if kind == PARALLEL:
            return list(await asyncio.gather(*(self._part(each, step, event) for each in part[1])))
        if kind == DO:
            return await self._do(part, step, event)
        if kind == CHILD:
            return await self.env.WORKFLOWS.run(part[2], name=name)
        if kind == SLEEP:
            assert step.patched(f"before {name}"), "no run had gone past the place before the patch stood there"
            await step.sleep(name, part[2])
        else:
            try:
                timeout = "20 days" if kind == WAIT else part[2]
                received = await step.wait_for_event(name, type=name, timeout=timeout)
                assert received["payload"] == name, "an event belongs to the wait of its type"
            except WorkflowTimeoutError:  # of a wait with an event to come: it was woken
                pass
        return f"{kind} {name}"

    async def _do(self, part: Part, step: Any, event: Any) -> Any:
        kind, name, milliseconds, failures = part

        async def callback(ctx: Any) -> Any:
            self.ledger.add(event["instance_id"], name, ctx["attempt"], self.ctx["execution"])
            if milliseconds:
                await asyncio.sleep(milliseconds / 1000)
            if ctx["attempt"] <= failures:
                raise ConnectionError("not yet")
            return f"{kind} {name}"

        return await step.do(name, callback, config={"retries": RETRIES, "timeout": "10 minutes"})
