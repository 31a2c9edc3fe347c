"""What alerts are made of, read from rows: runs that failed and nodes that were lost between two points in time.

Nothing is noted down for an alert when its cause is committed: the rows say it, whoever committed them and whether or
not a node was there to see it. Up to when alerts have been delivered is the `until` of a chore, so that what follows is
found after any crash, on any node.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class FailedRun(NamedTuple):
    """A run that ended with an error; `error` is the error's name. Times are in epoch milliseconds."""

    tenant: str
    id: str
    workflow: str
    generation: int
    ended_at: int
    error: str


class AlertStore(Protocol):
    """Reads what alerts are made of."""

    async def chore_until(self, name: str) -> int | None:
        """Until when a chore is taken (`Store.take_chore`); None: it never was."""

    async def failed(self, after: int, upto: int, *, tenants_only: bool, limit: int) -> tuple[int, Sequence[FailedRun]]:
        """How many runs failed after a time and up to another, and the first of them; none of chaos runs."""

    async def lost_nodes(self, after: int, upto: int) -> Sequence[tuple[str, int]]:
        """The nodes whose lease ended in that time without being given back, with when it did. A SQLite file has none:
        its one server finds its own runs again.
        """
