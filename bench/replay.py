"""Programs that hypothesis writes, each disturbed in every way, for as long as you like: does a replay go the same way?

    ./run python bench/replay.py                             ten minutes for each kind of program
    ./run python bench/replay.py --minutes 1 --kind race     one minute, one kind
    ./run python bench/replay.py --shrink                    and look for the smallest program that goes another way

See tests/test_property_replay.py. Every program is new: the seeds are drawn by chance, and printed with what was
found, so that `--seed` begins there again. A line is printed for each kind; exits with 1, and shows the program,
where it was disturbed, and the first difference, when one differs.
"""

import argparse
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from hypothesis import HealthCheck, Phase, given, seed, settings
from replay_check import CRASHES, check
from replay_kinds import KINDS, programs
from replay_programs import Program

BATCH = 4  # programs of one seed


@dataclass
class Tried:
    """What was done for a kind, and what was found."""

    kind: str
    programs: int = 0
    runs: int = 0
    seconds: float = 0.0
    seed: int = 0
    found: str = ""

    def __str__(self) -> str:
        verdict = f"ANOTHER WAY, seed {self.seed}" if self.found else "the same way each time"
        return f"{self.kind:8} {self.programs:5,} programs {self.runs:7,} runs {self.seconds:5.0f} s  {verdict}"


def go_on(kind: str, seconds: float, chance: random.Random, first: int | None, *, shrink: bool) -> Tried:
    """Try programs of a kind until the time is over, or one goes another way. `first` is the seed to begin with."""
    tried = Tried(kind)
    begun = time.monotonic()
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    while time.monotonic() - begun < seconds and not tried.found:
        tried.seed = first if first is not None else chance.randrange(2**32)
        first = None

        @seed(tried.seed)
        @settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(programs(kind))
        def batch(program: Program) -> None:
            if time.monotonic() - begun > seconds and not shrink:
                return
            tried.programs += 1
            tried.runs += check(program, range(len(CRASHES)))

        try:
            batch()
        except Exception as error:  # noqa: BLE001 - whatever a program leads to is what is looked for
            tried.found = f"{type(error).__name__}: {error}"
    tried.seconds = time.monotonic() - begun
    return tried


def main() -> int:
    """Run it; the exit code."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    words.add_argument("--minutes", type=float, default=10, help="for each kind")
    words.add_argument("--kind", choices=sorted(KINDS), action="append", help="only this kind; may be given again")
    words.add_argument("--seed", type=int, help="begin with the programs of this seed")
    words.add_argument(
        "--shrink", action="store_true", help="when a program goes another way, look for a smaller one that does"
    )
    given_words = words.parse_args()
    wrong = 0
    for kind in given_words.kind or KINDS:
        tried = go_on(kind, given_words.minutes * 60, random.Random(), given_words.seed, shrink=given_words.shrink)
        print(tried, flush=True)
        if tried.found:
            wrong += 1
            print(tried.found, flush=True)
    print("WRONG" if wrong else "every replay went the way that the first execution went")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
