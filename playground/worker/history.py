"""What the journal already holds for this execution: found by kind, name and count, never by position.

A step that is called in another step's callback is counted in that step's own namespace, afresh in each of its
attempts: it shifts nobody else's count, and the next attempt of its parent finds it done.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from playground.worker.context import Key, as_key, parent_of

COMPLETED = "completed"
ERRORED = "errored"
CANCELLED = "cancelled"  # the code gave this wait or sleep up, and will again
OPEN = "open"
OVER = (COMPLETED, ERRORED)

Stored = Mapping[str, Any]


class History:
    """The stored steps that come with the start, and the counters that name the steps of this execution."""

    def __init__(self) -> None:
        self._stored: dict[Key, Stored] = {}
        self._unread: set[Key] = set()
        self._to_give_up: set[Key] = set()  # what the code cancelled before, and has not yet again
        self._counts: dict[Key | None, dict[tuple[str, str], int]] = defaultdict(lambda: defaultdict(int))

    def hold(self, stored: Iterable[Stored]) -> list[tuple[Key, Stored]]:
        """Take the stored steps, none of which the code has come to.

        Gives those of the workflow itself that are over, as they ended.
        """
        self._stored = {as_key(step["key"]): step for step in stored}
        self._unread = {key for key in self._stored if parent_of(key) is None}
        self._to_give_up = {key for key in self._unread if self._stored[key]["status"] == CANCELLED}
        ended = [(key, step) for key, step in self._stored.items() if step["status"] in OVER and parent_of(key) is None]
        return sorted(ended, key=lambda each: each[1]["ended"])

    @property
    def is_ahead(self) -> bool:
        """Whether the journal tells of something that the code has not done yet: a step that it began, or gave up."""
        return bool(self._unread or self._to_give_up)

    def unread(self) -> list[Key]:
        """The stored steps that the code has not come to, but for those inside other steps."""
        return [key for key in self._stored if key in self._unread]

    def next_key(self, kind: str, name: str, parent: Key | None) -> Key:
        """Name the next step of this kind and name in its namespace; counts begin at 1 in every execution, and in every
        attempt of `parent`.
        """
        counts = self._counts[parent]
        counts[kind, name] += 1
        if parent is None:
            return kind, name, counts[kind, name]
        while self._gave_up((kind, name, counts[kind, name], parent)):
            counts[kind, name] += 1
        return kind, name, counts[kind, name], parent

    def _gave_up(self, key: Key) -> bool:
        """Whether an earlier attempt of its parent cancelled it: the attempt that runs now may not, and so needs
        another.
        """
        stored = self._stored.get(key)
        return stored is not None and stored["status"] == CANCELLED

    def begin_attempt(self, parent: Key) -> None:
        """An attempt of a step begins: what it calls is counted afresh."""
        self._counts.pop(parent, None)

    def find(self, key: Key) -> Stored | None:
        """The stored step, if there is one; the code has now come to it."""
        self._unread.discard(key)
        return self._stored.get(key)

    def give_up(self, key: Key) -> None:
        """The code has cancelled a sleep or a wait."""
        self._to_give_up.discard(key)

    def remember(self, key: Key, outcome: Stored) -> None:
        """A step inside another one is over: the next attempt of its parent finds it."""
        self._stored[key] = outcome
