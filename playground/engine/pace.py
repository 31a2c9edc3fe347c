"""How fast a tenant's instances may begin: so many executions in a second, the others in the next."""

from collections import Counter

SECOND = 1_000  # milliseconds


class Pace:
    """Counts what begins, by queue, within the second that runs."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._second = 0
        self._begun: Counter[str] = Counter()

    def begun(self, queue: str, now: int) -> None:
        """One has begun; `now` is in epoch milliseconds."""
        self._turn(now)
        self._begun[queue] += 1

    def room(self, now: int) -> dict[str, int]:
        """How many more may begin now, of each queue of which any has."""
        self._turn(now)
        return {queue: max(0, self._limit - begun) for queue, begun in self._begun.items()}

    def resumes(self, now: int) -> int | None:
        """When a queue that is out of room has some again, or None when none is."""
        self._turn(now)
        return (self._second + 1) * SECOND if any(begun >= self._limit for begun in self._begun.values()) else None

    def _turn(self, now: int) -> None:
        if now // SECOND != self._second:
            self._second = now // SECOND
            self._begun.clear()
