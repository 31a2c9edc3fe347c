"""`env.WORKFLOWS` of code that is nobody's: it can run itself with other params, as a child, or another class of its
source by the class's name, and nothing else. A tenant deploys each of them as a workflow of that name, and the same
code runs there.

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
        if child.workflow is not None and not child.workflow.isidentifier():
            raise BindingError(
                f'Code of the page has no workflow "{child.workflow[:80]}": it runs itself, or another class of its '
                "own by the class's name. Only a tenant has others."
            )
        return await self._start(self._row, child)
