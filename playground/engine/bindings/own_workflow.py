"""`env.WORKFLOWS` of code that is nobody's: it can run itself with other params, as a child, and nothing else.

The children are charged to the address of their parent and change with its token, so that they need no key.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from playground.engine.bindings.binding import Binding, NewChild
from playground.store.rows import InstanceRow
from playground.workflows.errors import BindingError


class OwnWorkflow(Binding):
    """The workflow of one instance.

    Args:
        start: creates a child of the instance; returns its key.
    """

    internal = frozenset({"start_child"})

    def __init__(self, row: InstanceRow, start: Callable[[InstanceRow, NewChild], Awaitable[int]]) -> None:
        self._row, self._start = row, start

    @property
    def tenant(self) -> str:
        """See `ChildStarter`."""
        return self._row.tenant

    def describe(self) -> Mapping[str, Any]:
        """See `Binding`: only `run`."""
        return {"workflow": "run"}

    async def start_child(self, child: NewChild) -> int:
        """See `ChildStarter`."""
        if child.workflow is not None:
            raise BindingError(
                "Only a tenant has workflows that are named. Code of the page runs itself: look at the payload."
            )
        return await self._start(self._row, child)
