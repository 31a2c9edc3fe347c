"""The simulator: nodes of the engine over one database, with faults, each run drawn from a seed (tests/simulation).

    ./run python bench/simulate.py --seeds 10000                 seeds 0 to 9,999 on all cores
    ./run python bench/simulate.py --seeds 10000 --first 50000   others
    ./run python bench/simulate.py --seed 430 --trace            one, with everything that happens in it
    ./run python bench/simulate.py --plant fence-off             with a fault that is to be found

A line is printed for each seed that fails, with the command that plays it again, and at the end how many were played in
a second and how often each rule could have been broken. Exits with 1 when one fails. A seed is the same run each time,
on any machine, as long as the code is the same.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from simulation.plants import Plant
from simulation.runs import Outcome, play

AT_ONCE = 20  # seeds that a process is given at once


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    plant = Plant(options.plant)
    if options.seed is not None:
        outcome = play(options.seed, plant, print if options.trace else None)
        print(outcome.failure or f"seed {outcome.seed} holds: {outcome.seconds:.1f} s, {outcome.callbacks} callbacks")
        return outcome.failure is not None
    began, tried, failed, played = time.monotonic(), Counter[str](), 0, 0
    seeds = range(options.first, options.first + options.seeds)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool, suppress(KeyboardInterrupt):
        outcome: Outcome
        for played, outcome in enumerate(pool.imap_unordered(partial(play, plant=plant), seeds, AT_ONCE), 1):
            tried.update(outcome.tried)
            if outcome.failure is not None:
                failed += 1
                print(outcome.failure, flush=True)
            if sys.stderr.isatty():
                print(f"\r{played} of {len(seeds)}", end="\r", file=sys.stderr)
    took = time.monotonic() - began
    print(", ".join(f"{rule} {times:,}" for rule, times in sorted(tried.items())))
    at_rate = f"{played / took:.1f} a second on {options.processes} processes"
    print(f"{played:,} of {len(seeds):,} seeds, {failed} failed, {took:.0f} s, {at_rate}")
    return failed > 0 or played < len(seeds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Simulate nodes over one database, with faults, from seeds.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    parser.add_argument("--plant", choices=[plant.value for plant in Plant], default=Plant.NONE.value)
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="play seeds in so many processes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
