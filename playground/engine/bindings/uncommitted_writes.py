"""What the open attempts of this node have written to keys and not committed yet: they cannot pass a limit together."""

from typing import Protocol
from weakref import WeakSet

from playground.store.tables import Scope


class Holds(Protocol):
    """Somebody who holds writes back until a step is committed."""

    @property
    def scope(self) -> Scope:
        """Whose keys they are."""

    @property
    def unwritten_bytes(self) -> int:
        """How much they would take; 0 once they will never be committed."""


class Unwritten:
    """All that is held back on this node. An execution that is forgotten takes what it held with it."""

    def __init__(self) -> None:
        self._holding: WeakSet[Holds] = WeakSet()

    def add(self, holds: Holds) -> None:
        """Somebody holds writes back now; again, it changes nothing."""
        self._holding.add(holds)

    def bytes(self, scope: Scope) -> int:
        """How much is held back of one scope."""
        return sum(each.unwritten_bytes for each in self._holding if each.scope == scope)
