"""One seed, played: what came of it, and the line that says how to see a failure again."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulation.cluster import Cluster
from simulation.plants import Plant
from simulation.referee import Broken


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed. `failure` is None, or one line; `seconds` are virtual; `tried`: see `Referee`."""

    seed: int
    failure: str | None
    seconds: float
    callbacks: int
    tried: Mapping[str, int] = field(default_factory=Counter)


def play(seed: int, plant: Plant = Plant.NONE, trace: Callable[[str], None] | None = None) -> Outcome:
    """Play one seed."""
    cluster = Cluster(seed, plant, trace)
    failure = None
    try:
        cluster.play()
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed has to be named
        what = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
        failure = f"seed {seed}, {what} (again: {command(seed, plant)})"
    return Outcome(seed, failure, cluster.seconds, cluster.callbacks, cluster.referee.tried)


def command(seed: int, plant: Plant = Plant.NONE) -> str:
    """The command that plays a seed again and shows what happens."""
    planted = "" if plant is Plant.NONE else f" --plant {plant.value}"
    return f"./run python bench/simulate.py --seed {seed}{planted} --trace"
