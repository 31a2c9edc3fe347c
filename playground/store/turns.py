"""Whose turn it is among queues with new instances. A lane is a queue's instances of one (tenant, workflow).

Kept in memory beside the database's index of new instances, and made from it at the start: the order of turns is a matter of
fairness, not of truth. Source of the rule: round robin, where a queue that becomes busy joins at the end of the round.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

Workflow = tuple[str, str]  # (tenant, workflow)
Oldest = Callable[[str, Workflow, int], list[int]]  # (queue, workflow, limit) -> keys of the lane's oldest, oldest first


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

    def take(self, limit: int, room: Mapping[str, int], closed: Collection[Workflow], oldest: Oldest) -> list[int]:
        """Keys of up to `limit` instances, one queue after the other, oldest first within a queue.

        `room` says how many may be taken of a queue (absent: any number); lanes of `closed` workflows are passed over. Lanes that
        turn out to be empty are forgotten.
        """
        taken: list[int] = []
        left = dict(room)
        found: dict[tuple[str, Workflow], list[int]] = {}
        passed = 0
        while len(taken) < limit and passed < len(self._queues):
            queue = next(iter(self._queues))
            lanes = self._queues.pop(queue)
            key = None
            if left.get(queue, 1) > 0:
                key = self._oldest(queue, lanes, limit - len(taken), closed, oldest, found)
            if lanes:
                self._queues[queue] = lanes
            if key is None:
                passed += 1 if lanes else 0
                continue
            passed = 0
            taken.append(key)
            if queue in left:
                left[queue] -= 1
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
