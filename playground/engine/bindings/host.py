"""What a shipped binding may do for one execution: read the store's tables, and write with the step or at once."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from playground.engine.execution.conversation import Conversation
from playground.engine.redaction import Redactor, name_refused
from playground.store.protocol import InstanceRow, Store
from playground.store.tables import Scope, scope_of
from playground.workflows.errors import BindingError
from playground.workflows.events import NewEvent, StepKey


class Host:
    """One execution as its bindings see it. `redactor` knows the secrets of this execution's code."""

    def __init__(self, execution: Conversation, redactor: Callable[[], Redactor]) -> None:
        self._execution, self._redactor = execution, redactor
        self._buffers: dict[StepKey, list[NewEvent]] = {}
        self._counts: dict[StepKey, int] = {}
        self._at_once = 0  # events on their way to the journal, outside steps
        self._held: Counter[StepKey | None] = Counter()  # bytes of KV not committed yet; None: outside steps

    @property
    def row(self) -> InstanceRow:
        """The instance."""
        return self._execution.row

    @property
    def scope(self) -> Scope:
        """Whose keys and effects it has."""
        return scope_of(self._execution.row)

    @property
    def store(self) -> Store:
        """The store, for its tables."""
        return self._execution.services.store

    def check_name(self, what: str, text: object) -> None:
        """Let a name pass that will be shown; `what` is the kind of name, with its article.

        Raises BindingError: it holds a secret.
        """
        if isinstance(text, str) and self._redactor().hides(text):
            raise BindingError(name_refused(what))

    def shown(self, tree: Any) -> Any:
        """An encoded value without the secrets in it."""
        return self._redactor().shown(tree)

    def now(self) -> int:
        """Epoch milliseconds."""
        return self._execution.services.clock.now()

    def limit(self, name: str) -> Any:
        """A limit of this instance."""
        return self._execution.services.limit(self._execution.row, name)

    def buffered(self, step: StepKey | None) -> Sequence[NewEvent]:
        """What the step's running attempt has written so far."""
        return self._buffers.get(step, ()) if step is not None else ()

    @property
    def unwritten_bytes(self) -> int:
        """See `Holds`."""
        return 0 if self._execution.closing else self._held.total()

    def unwritten_of_all(self) -> int:
        """What the open attempts of this node have written to the scope's keys, and not committed yet."""
        return self._execution.services.unwritten.bytes(self.scope)

    async def write(self, event: NewEvent, size: int = 0, key_bytes: int = 0) -> None:
        """Commit an event that stores `size` bytes with the step it names, or, when it names none, now.

        `key_bytes` is what that takes of `kv_bytes`.

        Raises:
            BindingError: the instance holds as much as it may.
        """
        execution = self._execution
        most = self.limit("instance_bytes")
        if execution.budget.stored_bytes + size > most:
            raise BindingError(f"The instance holds {most:,} bytes, which is the limit. Keep large data elsewhere.")
        if execution.journal_events + self._at_once + len(self.buffered(event.step)) >= execution.budget.most_events:
            raise BindingError(
                f"The instance's journal has {execution.budget.most_events:,} events, which is the limit. Write less "
                "often."
            )
        execution.budget.stored_bytes += size
        self._held[event.step] += key_bytes
        execution.services.unwritten.add(self)
        if event.step is not None:
            self._buffers.setdefault(event.step, []).append(event)
        else:
            self._at_once += 1
            try:
                await execution.commit(event)
            finally:
                self._at_once -= 1
                self._held[None] -= key_bytes

    def number(self, step: StepKey) -> int:
        """Count something that the step's running attempt does, from 1."""
        self._counts[step] = self._counts.get(step, 0) + 1
        return self._counts[step]

    def take(self, step: StepKey) -> list[NewEvent]:
        """What the attempt that has just succeeded wrote, to be committed with its result."""
        self._counts.pop(step, None)
        self._held.pop(step, None)
        return self._buffers.pop(step, [])

    def drop(self, step: StepKey) -> None:
        """An attempt failed: what it wrote goes."""
        self._counts.pop(step, None)
        self._held.pop(step, None)
        self._buffers.pop(step, None)
