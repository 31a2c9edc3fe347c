"""Whose turn it is among queues with new instances. A lane is a queue's instances of one (tenant, workflow).

Kept in memory beside the database's index of new instances, and made from it at the start. Per process on purpose: the
file's lock makes this process the only one that claims, and the order of turns is a matter of fairness, not of truth.
Source of the rule: round robin, where a queue that becomes busy joins at the end of the round.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from playground.store.protocol import ClaimLimits


class Room:
    """How many more of each queue may be claimed now: by what runs and has begun in this second, on all nodes, and by
    the queue's limit.

    `load` gives how much of both a queue has; it is asked once for each queue that is come to.
    """

    def __init__(self, limits: ClaimLimits, load: Callable[[str], tuple[int, int]]) -> None:
        self._limits, self._load = limits, load
        self._loads: dict[str, tuple[int, int]] = {}
        self.taken: Counter[str] = Counter()
        self.full: set[str] = set()  # had none left because of what runs
        self.paced: set[str] = set()  # had none left because of what has begun in this second

    def has(self, queue: str) -> bool:
        """Whether one more of it may be claimed."""
        limit = self._limits.of(queue)
        if limit is None and not self._limits.only_idle:
            return True
        load = self._loads.get(queue)
        if load is None:
            load = self._loads[queue] = self._load(queue)
        running, begun = (n + self.taken[queue] for n in load)
        if (limit is not None and running >= limit.running) or (self._limits.only_idle and running):
            self.full.add(queue)
            return False
        if limit is not None and limit.starts_per_second is not None and begun >= limit.starts_per_second:
            self.paced.add(queue)
            return False
        return True

    def take(self, queue: str) -> None:
        """One more of it is claimed."""
        self.taken[queue] += 1

    def begun(self) -> dict[str, int]:
        """How many were claimed of each queue whose starts are limited."""
        limits = ((queue, self._limits.of(queue), n) for queue, n in self.taken.items())
        return {queue: n for queue, limit, n in limits if limit is not None and limit.starts_per_second is not None}

    def without_any(self) -> list[str]:
        """The queues that were found to have none left."""
        return [*self.full, *self.paced]


Workflow = tuple[str, str]  # (tenant, workflow)
# (queue, workflow, limit) -> keys of the lane's oldest, oldest first.
Oldest = Callable[[str, Workflow, int], list[int]]


class Turns:
    """The queues that may have new instances, in the order of their turns."""

    def __init__(self, lanes: Iterable[tuple[str, str, str]] = ()) -> None:
        self._queues: dict[str, dict[Workflow, None]] = {}
        for queue, tenant, workflow in lanes:
            self.add(queue, tenant, workflow)

    def add(self, queue: str, tenant: str, workflow: str) -> None:
        """There is a new instance in this lane."""
        lanes = self._queues.get(queue)
        if lanes is None:
            lanes = self._queues[queue] = {}
        lanes[tenant, workflow] = None

    def take(self, limit: int, room: Room, closed: Collection[Workflow], oldest: Oldest) -> list[int]:
        """Keys of up to `limit` instances, one queue after the other, oldest first within a queue.

        They are taken from `room`. Lanes of `closed` workflows are passed over. Lanes that turn out to be empty are
        forgotten.
        """
        taken: list[int] = []
        found: dict[tuple[str, Workflow], list[int]] = {}
        passed = 0
        while len(taken) < limit and passed < len(self._queues):
            queue = next(iter(self._queues))
            lanes = self._queues.pop(queue)
            key = None
            if room.has(queue):
                key = self._oldest(queue, lanes, limit - len(taken), closed, oldest, found)
            if lanes:
                self._queues[queue] = lanes
            if key is None:
                passed += 1 if lanes else 0
                continue
            passed = 0
            taken.append(key)
            room.take(queue)
        return taken

    def _oldest(
        self, queue: str, lanes: dict[Workflow, None], limit: int, closed: Collection[Workflow], oldest: Oldest,
        found: dict[tuple[str, Workflow], list[int]],
    ) -> int | None:  # fmt: skip
        first: list[int] | None = None
        for lane in list(lanes):
            if lane in closed:
                continue
            keys = found.get((queue, lane))
            if keys is None:
                keys = found[queue, lane] = oldest(queue, lane, limit)[::-1]
                if not keys:
                    del lanes[lane]
            if keys and (first is None or keys[-1] < first[-1]):
                first = keys
        return first.pop() if first else None
