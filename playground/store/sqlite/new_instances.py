"""New instances of the commit under way: their rows, their code, and what they begin with besides a journal: steps,
events not consumed yet, keys, and whose children they are.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from playground.store.projection import Change
from playground.store.rows import InstanceRow, NewInstance, Snippet
from playground.store.sqlite import rows as columns
from playground.store.tables import scope_of

KeyPlace = tuple[str, int, str]  # tenant, instance or 0, key


class NewInstances:
    """Holds them until they are written; what is taken is forgotten."""

    def __init__(self) -> None:
        self.rows: list[InstanceRow] = []
        self.ids: set[tuple[str, str]] = set()  # (tenant, id)
        self._code: dict[str, Snippet] = {}
        self._steps: list[Any] = []
        self._inbox: list[Any] = []
        self._children: list[tuple[int, int, str]] = []

    def add(self, new: NewInstance, change: Change) -> dict[KeyPlace, str | None]:
        """Take up what one begins with; gives the keys that it has."""
        row = change.row
        for key, step in change.steps.items():
            self._steps += columns.step_values(row.key, row.generation, step, change.results.get(key))
        for received in change.inbox_added:
            self._inbox += columns.inbox_values(row.key, received)
        if new.parent is not None and not isinstance(new.trigger, str):
            self._children.append((row.key, new.parent, new.trigger["kind"]))
        scope = scope_of(row)
        return {(*scope, name): text for name, text in change.kv.items()}

    def add_code(
        self, ids: AbstractSet[str], code: Mapping[str, Snippet], is_stored: Callable[[str], bool]
    ) -> list[Snippet]:
        """Have code written with the instances that run it, unless it is stored already; gives what was not.

        The look only saves a write: the INSERT leaves what is there, whoever stored it.
        """
        new = [id for id in ids if id not in self._code and not is_stored(id)]
        self._code.update({id: code[id] for id in new})
        return [code[id] for id in new]

    def take_rows(self) -> tuple[list[Any], list[Any]]:
        """For insert_instance and insert_origin."""
        values: list[Any] = []
        origins: list[Any] = []
        for row in self.rows:
            values += columns.instance_values(row)
            origins += columns.origin_values(row)
        self.rows.clear()
        self.ids.clear()
        return values, origins

    def take_code(self) -> list[Snippet]:
        """For insert_snippet, one each."""
        code = list(self._code.values())
        self._code.clear()
        return code

    def take_children(self) -> Sequence[tuple[int, int, str]]:
        """For insert_child, one each."""
        children, self._children = self._children, []
        return children

    def take_beginnings(self) -> tuple[list[Any], list[Any]]:
        """For insert_steps and insert_inbox."""
        steps, inbox = self._steps, self._inbox
        self._steps, self._inbox = [], []
        return steps, inbox

    def forget(self) -> None:
        """Drop all of it."""
        self.take_rows(), self.take_code(), self.take_children(), self.take_beginnings()
