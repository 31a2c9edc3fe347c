"""Whose turn it is at a claim: how much each queue may still take, and the round robin over queues.

A lane is a queue's instances of one (tenant, workflow). A priority counts within a queue, not between queues. Source
of the rule: round robin, where a queue that becomes busy joins at the end of the round.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from playground.store.protocol import ClaimLimits


class QueueCapacity:
    """How many more instances of each queue one claim may take, by the queue's limit and its load on all nodes.

    Args:
        places: how many instances the claim may take.
        load: returns how many of a queue run and were claimed in this second; it is called once per queue.
    """

    def __init__(self, limits: ClaimLimits, places: int, load: Callable[[str], tuple[int, int]]) -> None:
        self._limits, self._load = limits, load
        self._ordinary = places - limits.spare  # places that are left, but for the spare ones
        self._loads: dict[str, tuple[int, int]] = {}
        self.claimed: Counter[str] = Counter()
        self.full: set[str] = set()  # at their limit of running instances
        self.busy: set[str] = set()  # of which something runs, where only spare places are left
        self.rate_limited: set[str] = set()  # at their limit of claims in this second

    def has_capacity(self, queue: str) -> bool:
        """Whether one more instance of the queue may be claimed."""
        limit = self._limits.for_queue(queue)
        only_idle = self._ordinary <= 0
        if limit is None and not only_idle:
            return True
        load = self._loads.get(queue)
        if load is None:
            load = self._loads[queue] = self._load(queue)
        running, starts = (n + self.claimed[queue] for n in load)
        if limit is not None and running >= limit.running:
            self.full.add(queue)
            return False
        if only_idle and running:
            self.busy.add(queue)  # nobody need be told when less of it runs: who has ended one has an ordinary place
            return False
        if limit is not None and limit.starts_per_second is not None and starts >= limit.starts_per_second:
            self.rate_limited.add(queue)
            return False
        return True

    def count_claim(self, queue: str) -> None:
        """Count a claim of one instance."""
        self.claimed[queue] += 1
        self._ordinary -= 1

    def starts(self) -> dict[str, int]:
        """The number of claims by queue, of queues whose claims per second are limited."""
        limits = ((queue, self._limits.for_queue(queue), n) for queue, n in self.claimed.items())
        return {queue: n for queue, limit, n in limits if limit is not None and limit.starts_per_second is not None}

    def exhausted_queues(self) -> list[str]:
        """The queues that were found to be at a limit."""
        return [*self.full, *self.busy, *self.rate_limited]


Workflow = tuple[str, str]  # (tenant, workflow)
Place = tuple[int, int]  # of an instance in its queue: its priority, negated, and its key
# (queue, workflow, limit) -> places of the lane's next instances, the first first.
NextOfLane = Callable[[str, Workflow, int], list[Place]]


def merged_places(prior: Sequence[Place], oldest: Iterable[int], limit: int) -> list[Place]:
    """The next of a lane, from the first `limit` of those with a priority, and the oldest of all."""
    if len(prior) >= limit:
        return list(prior[:limit])
    seen = {key for _, key in prior}
    return [*prior, *((0, key) for key in oldest if key not in seen)][:limit]


class RoundRobin:
    """The queues that may have new instances, in the order of their turns, each with its lanes."""

    def __init__(self, lanes: Iterable[tuple[str, str, str]] = ()) -> None:
        self._queues: dict[str, dict[Workflow, None]] = {}
        self.passed: dict[str, None] = {}  # the queues that had their turn in the last claim, the last of them last
        self.emptied: list[tuple[str, Workflow]] = []  # the lanes that were found empty in it
        for queue, tenant, workflow in lanes:
            self.add(queue, tenant, workflow)

    def add(self, queue: str, tenant: str, workflow: str) -> None:
        """Note that a lane has a new instance."""
        lanes = self._queues.get(queue)
        if lanes is None:
            lanes = self._queues[queue] = {}
        lanes[tenant, workflow] = None

    def claim_instances(
        self, limit: int, capacity: QueueCapacity, closed: Collection[Workflow], upcoming: NextOfLane
    ) -> list[int]:
        """Keys of up to `limit` instances, round robin over queues; within a queue by priority, then oldest first.

        They are counted in `capacity`. Lanes of `closed` workflows are skipped; lanes that turn out to be empty are
        removed.
        """
        taken: list[int] = []
        found: dict[tuple[str, Workflow], list[Place]] = {}
        lanes_passed = 0
        self.passed, self.emptied = {}, []
        while len(taken) < limit and lanes_passed < len(self._queues):
            queue = next(iter(self._queues))
            lanes = self._queues.pop(queue)
            self.passed.pop(queue, None)
            self.passed[queue] = None
            key = None
            if capacity.has_capacity(queue):
                key = self._next_of_queue(queue, lanes, limit - len(taken), closed, upcoming, found)
            if lanes:
                self._queues[queue] = lanes
            if key is None:
                lanes_passed += 1 if lanes else 0
                continue
            lanes_passed = 0
            taken.append(key)
            capacity.count_claim(queue)
        return taken

    def _next_of_queue(
        self, queue: str, lanes: dict[Workflow, None], limit: int, closed: Collection[Workflow], upcoming: NextOfLane,
        found: dict[tuple[str, Workflow], list[Place]],
    ) -> int | None:  # fmt: skip
        first: list[Place] | None = None
        for lane in list(lanes):
            if lane in closed:
                continue
            places = found.get((queue, lane))
            if places is None:
                places = found[queue, lane] = upcoming(queue, lane, limit)[::-1]
                if not places:
                    del lanes[lane]
                    self.emptied.append((queue, lane))
            if places and (first is None or places[-1] < first[-1]):
                first = places
        return first.pop()[1] if first else None
