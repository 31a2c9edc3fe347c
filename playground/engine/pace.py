"""How fast a tenant's instances may begin: so many executions in a second, the others in the next."""

from collections import Counter
from collections.abc import Callable, Iterable

SECOND = 1_000  # milliseconds


class Pace:
    """Counts what begins, by queue, within the second that runs.

    Args:
        limit: how many of a queue may begin in a second.
        limited: gives the queues that may begin fewer, or more, than others.
    """

    def __init__(self, limit: Callable[[str], int], limited: Callable[[], Iterable[str]] = tuple) -> None:
        self._limit, self._limited = limit, limited
        self._second = 0
        self._begun: Counter[str] = Counter()

    def begun(self, queue: str, now: int) -> None:
        """One has begun; `now` is in epoch milliseconds."""
        self._turn(now)
        self._begun[queue] += 1

    def room(self, now: int) -> dict[str, int]:
        """How many more may begin now, of each queue of which any has, or which has a limit of its own."""
        self._turn(now)
        return {queue: max(0, self._limit(queue) - self._begun[queue]) for queue in {*self._begun, *self._limited()}}

    def resumes(self, now: int) -> int | None:
        """When a queue that is out of room has some again, or None when none is."""
        self._turn(now)
        out_of_room = any(begun >= self._limit(queue) for queue, begun in self._begun.items())
        return (self._second + 1) * SECOND if out_of_room else None

    def _turn(self, now: int) -> None:
        if now // SECOND != self._second:
            self._second = now // SECOND
            self._begun.clear()
