"""Nodes of the engine over one database, in virtual time, with faults drawn from a seed (tests/simulation).

What is played here is a portion; `./run python bench/simulate.py --seeds 10000` plays more, and `SIMULATION_SEEDS=300
pytest tests/test_simulation.py` more of this. A seed that fails is in the
failure's line, with the command that plays it again.
"""

import os
import re
from collections import Counter

import pytest
from simulation.plants import Plant
from simulation.programs import expected_output
from simulation.runs import command, play

PORTION = int(os.environ.get("SIMULATION_SEEDS", "100"))
AT_ONCE = 50
RULES = {
    "fence",
    "take-over",
    "take-over in time",
    "limit",
    "replaced",
    "played",
    "due",
    "streamed",
    "effects",
    "brought",
    "children",
}
# By the fault that is planted: the seeds of which one finds it, and what is said of it. Those that need many begin near
# one that does: what is proved is that the referee sees the fault, and bench/simulate.py how often.
FOUND_WITHIN = {
    Plant.FENCE_OFF: (range(60), "committed to .* (which execution . has replaced|which nobody has)"),
    Plant.LEASE_LATE: (range(40, 150), "plays .* and has no lease"),
    Plant.NO_POLL: (range(60), "has been due for|has not streamed|which ended .* ms ago|does not come to its end"),
    Plant.OWN_CLOCKS: (range(30), "does not come to its end|has been due for"),
    Plant.NO_WALK: (range(200), "and . has not its end|does not come to its end|goes on, and nobody waits"),
    Plant.UNPLAYED: (range(60, 260), "and does not play it"),
}


@pytest.mark.parametrize("first", range(0, PORTION, AT_ONCE))
def test_whatever_goes_wrong_every_instance_ends_as_it_would_have_and_every_rule_holds(first: int) -> None:
    tried: Counter[str] = Counter()
    failures = []
    for seed in range(first, first + AT_ONCE):
        outcome = play(seed)
        tried.update(outcome.tried)
        if outcome.failure is not None:
            failures.append(outcome.failure)
    assert not failures, "\n".join(failures)
    assert {rule for rule in tried if tried[rule]} == RULES, "each rule could have been broken"


@pytest.mark.parametrize("plant", [plant for plant in Plant if plant is not Plant.NONE])
def test_a_planted_fault_is_found_and_its_seed_is_named(plant: Plant) -> None:
    seeds, said = FOUND_WITHIN[plant]
    failures = (outcome.failure for outcome in (play(seed, plant) for seed in seeds) if outcome.failure)
    failure = next(failures, None)
    assert failure is not None, f"none of {len(seeds)} seeds finds {plant.value}"
    seed = int(failure.removeprefix("seed ").partition(",")[0])
    assert failure.endswith(f"(again: {command(seed, plant)})")
    assert re.search(said, failure), failure
    assert play(seed, plant).failure == failure, "the seed fails in the same way each time"


def test_a_seed_is_the_same_run_each_time() -> None:
    for seed in (2, 88, 416):
        runs = []
        for _ in range(2):
            lines: list[str] = []
            outcome = play(seed, trace=lines.append)
            runs.append((lines, outcome))
        assert runs[0] == runs[1] and len(runs[0][0]) > 50


def test_what_a_plan_has_to_give_is_known_without_running_it() -> None:
    child = ["child", "d", [["do", "e", 0, 0]]]
    plan = [["do", "a", 0, 0], ["parallel", [["wait", "b"], ["late", "c", 1_000]]], child]
    assert expected_output(plan) == ["do a", ["wait b", "late c"], ["do e"]]
