"""New instances of the open transaction: their rows and code, their initial steps and inbox, and their parents."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from playground.store import columns
from playground.store.projection import Change
from playground.store.rows import InstanceRow, NewInstance, Snippet
from playground.store.sqlite.alike import Alike
from playground.store.tables import scope_of

KvPlace = tuple[str, int, str]  # tenant, instance or 0, key


class NewInstances:
    """Collects them until they are written; the `take_` methods return and clear."""

    def __init__(self) -> None:
        self.rows: list[InstanceRow] = []
        self.alike: list[tuple[Alike, int]] = []  # with the key of the first
        self.ids: set[tuple[str, str]] = set()  # (tenant, id)
        self._snippets: dict[str, Snippet] = {}
        self._steps: list[Any] = []
        self._inbox: list[Any] = []
        self._children: list[tuple[int, int, str]] = []
        self._awaited: list[tuple[Any, ...]] = []
        self._parts: list[tuple[int, int, str, int]] = []

    def add(self, new: NewInstance, change: Change) -> dict[KvPlace, str | None]:
        """Add the initial steps and inbox of one, and its parent; returns its initial keys and values."""
        row = change.row
        for key, step in change.steps.items():
            self._steps += columns.step_values(row.key, row.generation, step, change.results.get(key))
        for event in change.inbox_added:
            self._inbox += columns.inbox_values(row.key, event)
        if new.parent is not None and not isinstance(new.trigger, str):
            self._children.append((row.key, new.parent, new.trigger["kind"]))
            self._parts += [(row.key, new.parent, *place) for place in columns.copied_parts(new.events)]
        if new.awaited is not None:
            self._awaited.append(columns.awaited_values(row.key, new.awaited))
        scope = scope_of(row)
        return {(*scope, name): text for name, text in change.kv.items()}

    def add_snippets(
        self, ids: AbstractSet[str], snippets: Mapping[str, Snippet], is_stored: Callable[[str], bool]
    ) -> list[Snippet]:
        """Add the code of new instances, unless it is stored already; returns what was not.

        The check only saves a write: the INSERT ignores what is stored already.
        """
        new = [id for id in ids if id not in self._snippets and not is_stored(id)]
        self._snippets.update({id: snippets[id] for id in new})
        return [snippets[id] for id in new]

    def __bool__(self) -> bool:
        return bool(self.rows or self.alike)

    def take_alike(self) -> list[tuple[Alike, int]]:
        """Those that are alike, and the key of the first of each."""
        alike, self.alike = self.alike, []
        return alike

    def take_rows(self) -> tuple[list[Any], list[Any]]:
        """Values for insert_instance and insert_origin."""
        values: list[Any] = []
        origins: list[Any] = []
        for row in self.rows:
            values += columns.instance_values(row)
            origins += columns.origin_values(row)
        self.rows.clear()
        self.ids.clear()
        return values, origins

    def take_snippets(self) -> list[Snippet]:
        """Snippets, for one insert_snippet each."""
        snippets = list(self._snippets.values())
        self._snippets.clear()
        return snippets

    def take_children(self) -> Sequence[tuple[int, int, str]]:
        """(instance, parent, kind), for one insert_child each."""
        children, self._children = self._children, []
        return children

    def take_awaited(self) -> Sequence[tuple[Any, ...]]:
        """Values for one insert_awaited each."""
        awaited, self._awaited = self._awaited, []
        return awaited

    def take_parts(self) -> Sequence[tuple[int, int, str, int]]:
        """(instance, parent, step's name and count), for one copy_parts each."""
        parts, self._parts = self._parts, []
        return parts

    def take_steps_and_inbox(self) -> tuple[list[Any], list[Any]]:
        """Values for insert_steps and insert_inbox."""
        steps, inbox = self._steps, self._inbox
        self._steps, self._inbox = [], []
        return steps, inbox

    def clear(self) -> None:
        """Drop all."""
        self.take_rows(), self.take_alike(), self.take_snippets(), self.take_children(), self.take_steps_and_inbox()
        self.take_awaited(), self.take_parts()
