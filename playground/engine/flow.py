"""Creates in whose place there is an instance of the same key: a singleton, or one that is debounced
(workflows/flow.py).

The store says in the create's transaction which instance that is. Debouncing is a commit of its own to that instance;
if it has started meanwhile, the create begins anew.
"""

from typing import Any

from playground.engine import operations
from playground.engine.clock import Clock
from playground.settings import Settings
from playground.store.encoding import encode_input
from playground.store.protocol import Refusal, Store
from playground.store.rows import InstanceRow
from playground.workflows.errors import InstanceNotFound
from playground.workflows.flow import DEBOUNCED, SINGLETON, Flow

TRIES = 10  # to create an instance of a key, or to find it, while others do


def gives_another(refusal: Refusal) -> bool:
    """Whether an instance of the same key is there in place of the one that was not created."""
    return refusal.code in (SINGLETON, DEBOUNCED)


class FlowOfKeys:
    """Finds the instance that a create gives instead of a new one, and debounces it."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock

    async def take_place(self, tenant: str, refusal: Refusal, flow: Flow | None, params: Any) -> InstanceRow | None:
        """The instance that is there, debounced where that was asked; None: it is gone, or has started.

        Raises Busy, NotSerialisable, TooLarge.
        """
        try:
            row = await self._store.find(tenant, refusal.id)
            if refusal.code == SINGLETON:
                return row
            assert flow is not None and flow.debounce is not None, "only what is debounced is refused so"
            tree = await encode_input(params, "params", self._settings.value_bytes)
            at, most = self._clock.now(), self._settings.debounces_per_instance
            committed = await self._store.decide(
                row.key, operations.debounce(tree, flow.debounce, most, at), execution=None, at=at
            )
        except InstanceNotFound:
            return None
        return committed.row if committed.events else None
