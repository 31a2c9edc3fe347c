"""What the journal already holds for this execution: found by kind, name and count, never by position."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

COMPLETED = "completed"
ERRORED = "errored"
OPEN = "open"


class History:
    """The stored steps that come with the start, and the counters that name the steps of this execution."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str, int], Mapping[str, Any]] = {}
        self._unread: set[tuple[str, str, int]] = set()
        self._counts: dict[tuple[str, str], int] = defaultdict(int)

    def hold(self, stored: Iterable[Mapping[str, Any]]) -> None:
        """Take the stored steps, none of which the code has come to."""
        self._stored = {(step["kind"], step["name"], step["count"]): step for step in stored}
        self._unread = set(self._stored)

    @property
    def replaying(self) -> bool:
        """True while the code has not come to every stored step yet: what it prints now, it has printed before."""
        return bool(self._unread)

    def unread(self) -> list[tuple[str, str, int]]:
        """The stored steps that the code has not come to."""
        return [key for key in self._stored if key in self._unread]

    def next_key(self, kind: str, name: str) -> tuple[str, str, int]:
        """Name the next step of this kind and name; counts begin at 1 in every execution."""
        self._counts[kind, name] += 1
        return kind, name, self._counts[kind, name]

    def find(self, key: tuple[str, str, int]) -> Mapping[str, Any] | None:
        """The stored step, if there is one; the code has now come to it."""
        self._unread.discard(key)
        return self._stored.get(key)
