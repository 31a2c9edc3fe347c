"""Whatever a program is made of and wherever it is disturbed, a replay goes the way that the first execution went.

Hypothesis writes programs of each kind (tests/replay_kinds.py). Each is played by plain asyncio, to know what it must
give; by the engine undisturbed; with a crash at every commit; hibernating at every wait; and with its worker killed
after every commit (tests/replay_check.py). `REPLAY_EXAMPLES=100 pytest tests/test_property_replay.py` tries more than
the few of every day; `bench/replay.py` goes on for minutes.
"""

import os
import random

import pytest
from aio import story
from cases_support import in_real_workers
from hypothesis import HealthCheck, Phase, given, settings
from replay_check import check
from replay_kinds import KINDS, programs
from replay_programs import Node, Program, written

pytestmark = pytest.mark.long

EXAMPLES = int(os.environ.get("REPLAY_EXAMPLES", "2"))
EVERY_DAY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
# Hash seeds are of processes, so this one is for real workers: the order of a set decides which step is which.
SETS = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        asked = {}
        for word in set(event.payload["words"]):
            asked[word] = await step.do("measure", lambda: "reading of " + word)
        await step.sleep("a while", "1 day")
        for word in frozenset(event.payload["words"]):
            asked[word] += await step.do("measure", lambda: " and of " + word)
        await step.sleep("a while", "1 day")
        return asked
"""
# A timer of the workflow's own that fired before it hibernated has fired when it wakes, too.
RESTED: Node = (
    "gather",
    [("sequence", [("sleep", 0, None), ("sleep", 1, None)]), ("sequence", [("sleep", 2, None)]), ("pause", 1)],
)
WORDS = ("Lisbon", "Cairo", "Oslo", "Quito", "Osaka", "Accra", "Perth", "Turin", "Malmo", "Dakar")


# Code that waits for each commit has fewer ways to go: of it, what has the most.
PLAYED = [*((kind, True) for kind in KINDS), ("mixed", False), ("nested", False)]


@pytest.mark.parametrize(("kind", "runs_ahead"), PLAYED, indirect=["runs_ahead"])
def test_a_replay_goes_the_way_that_the_first_execution_went(kind: str, runs_ahead: bool) -> None:
    @EVERY_DAY
    @given(programs(kind))
    def every_way(program: Program) -> None:
        check(program, [0])

    every_way()


def test_a_timer_that_fired_before_the_worker_hibernated_comes_before_what_ends_after_it() -> None:
    check(written(RESTED, []), [0])


@story
async def test_a_loop_over_a_set_goes_on_alike_in_the_workers_of_another_fork_server() -> None:
    chance = random.Random(1)
    lists = [chance.sample(WORDS, chance.randint(2, len(WORDS))) for _ in range(5)]
    async with in_real_workers(SETS, {"words": lists[0]}, servers=2, idle_grace_ms=0) as (tester, first):
        runs = [first, *[await tester.create({"words": words}) for words in lists[1:]]]
        for run, words in zip(runs, lists, strict=True):
            assert await run.result() == {word: f"reading of {word} and of {word}" for word in words}
