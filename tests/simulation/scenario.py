"""What a seed stands for: how many nodes, how slow and lossy the network, how many faults and instances."""

import random
from dataclasses import dataclass

from playground.settings import Settings
from simulation.network import Weather


@dataclass(frozen=True, slots=True)
class Scenario:
    """The fixed parts of a run; what happens in it, and when, is drawn from the same seed as it goes."""

    nodes: int
    slots: int  # instances that a node plays at once
    lease_ms: int
    running_most: int  # instances of the one queue that run at once, on all nodes together
    idle_grace_ms: int
    isolated: bool  # whether workers run ahead of their commits
    weather: Weather
    faults: int
    instances: int

    @property
    def faulty_seconds(self) -> float:
        """In which the faults begin: some leases, so that one can fall into what follows another."""
        return 2.5 * self.lease_ms / 1000 + 8

    @property
    def settings(self) -> Settings:
        """The settings of every node."""
        return Settings(
            database="simulation:",
            workers=self.slots,
            spare_slots=0,
            running_per_tenant=self.running_most,
            idle_grace_ms=self.idle_grace_ms,
            worker_losses=1_000,  # a run may lose many, none of which is the program's fault
        )


def draw_scenario(rng: random.Random) -> Scenario:
    """A scenario. Most things go wrong in only some runs, so that rules that hold without them are strict there."""
    slow, lossy, hints_lost = rng.random() < 0.4, rng.random() < 0.35, rng.random() < 0.5
    weather = Weather(
        quick_ms=rng.choice((1.0, 3.0, 20.0)),
        slow_ms=rng.choice((100.0, 400.0, 1_500.0)) if slow else 0.0,
        slow_rate=rng.choice((0.01, 0.05)) if slow else 0.0,
        lost_rate=rng.choice((0.005, 0.02)) if lossy else 0.0,
        hints_lost_rate=rng.choice((0.1, 0.5, 1.0)) if hints_lost else 0.0,
        hints_late_ms=rng.choice((1.0, 10.0, 300.0)),
        timeout_ms=rng.choice((200.0, 3_000.0, 30_000.0)),
    )
    return Scenario(
        nodes=rng.choice((2, 2, 3)),
        slots=rng.choice((2, 3)),
        lease_ms=rng.choice((5_000, 15_000)),
        running_most=rng.choice((2, 3, 100)),
        idle_grace_ms=rng.choice((0, 1_000, 10_000)),
        isolated=rng.random() < 0.4,
        weather=weather,
        faults=rng.randint(1, 4),
        instances=rng.randint(1, 4),
    )
