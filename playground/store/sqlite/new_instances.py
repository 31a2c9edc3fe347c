"""What new instances begin with besides a row and a journal: steps, events not consumed yet, keys, and whose children
they are.
"""

from collections.abc import Sequence
from typing import Any

from playground.store.projection import Change
from playground.store.protocol import NewInstance
from playground.store.sqlite import rows as columns
from playground.store.tables import scope_of

KeyPlace = tuple[str, int, str]  # tenant, instance or 0, key


class Begun:
    """Holds it until the rows of the instances are written; what is taken is forgotten."""

    def __init__(self) -> None:
        self._steps: list[Any] = []
        self._inbox: list[Any] = []
        self._children: list[tuple[int, int, str]] = []

    def add(self, new: NewInstance, change: Change) -> dict[KeyPlace, str | None]:
        """Take up one new instance; gives the keys that it has."""
        row = change.row
        for key, step in change.steps.items():
            self._steps += columns.step_values(row.key, row.generation, step, change.results.get(key))
        for received in change.inbox_added:
            self._inbox += columns.inbox_values(row.key, received)
        if new.parent is not None and not isinstance(new.trigger, str):
            self._children.append((row.key, new.parent, new.trigger["kind"]))
        scope = scope_of(row)
        return {(*scope, name): text for name, text in change.kv.items()}

    def take_children(self) -> Sequence[tuple[int, int, str]]:
        """For insert_child, one each."""
        children, self._children = self._children, []
        return children

    def take_rows(self) -> tuple[list[Any], list[Any]]:
        """For insert_steps and insert_inbox."""
        steps, inbox = self._steps, self._inbox
        self._steps, self._inbox = [], []
        return steps, inbox

    def forget(self) -> None:
        """Drop all of it."""
        self.take_children(), self.take_rows()
