"""What the writer holds of instances between commits, so that a fenced append asks the database nothing.

The writer is the only one that changes the file, so what is held is what is stored; a rollback drops all that it touched.
"""

from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any

from playground.store.projection import Change
from playground.store.projection_rules import HANDLER_RETRYING, HANDLER_RUNNING
from playground.store.protocol import STEP_COMPLETED, STEP_ERRORED, InboxRow, InstanceRow, StepRow
from playground.workflows.events import StepKey

HELD_INSTANCES = 4096
LARGEST_HELD = 64 * 1024  # bytes of stored values; the rows of instances with more are read each time

_OPEN_HANDLERS = (HANDLER_RUNNING, HANDLER_RETRYING)

ReadStep = Callable[[int, int, StepKey], StepRow | None]
ReadSteps = Callable[[int, int], dict[StepKey, StepRow]]


class HeldSteps(Mapping[StepKey, StepRow]):
    """The steps of one instance: those that are open or were just changed, and the others when they are asked for."""

    def __init__(self, held: "Held", read_step: ReadStep, read_steps: ReadSteps) -> None:
        self.known: dict[StepKey, StepRow] = {}
        self._stored: dict[StepKey, StepRow] | None = None
        self._held = held
        self._read_step = read_step
        self._read_steps = read_steps

    def get(self, key: StepKey, default: Any = None) -> Any:
        row = self.known.get(key)
        if row is None and self._stored is not None:
            row = self._stored.get(key)
        elif row is None:
            row = self._read_step(self._held.key, self._held.stored.generation, key)
        return default if row is None else row

    def __getitem__(self, key: StepKey) -> StepRow:
        row = self.get(key)
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[StepKey]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def items(self) -> ItemsView[StepKey, StepRow]:
        return self._all().items()

    def values(self) -> ValuesView[StepRow]:
        return self._all().values()

    def release(self) -> None:
        """Let go of what was read."""
        self._stored = None

    def _all(self) -> dict[StepKey, StepRow]:
        if self._stored is None:
            self._stored = self._read_steps(self._held.key, self._held.stored.generation)
        return {**self._stored, **self.known}


class Held:
    """One instance: `row` as it will be, `stored` as the database has it, and what is not yet written."""

    __slots__ = (
        "changed",
        "inbox_added",
        "inbox_cleared",
        "inbox_removed",
        "key",
        "restarted",
        "results",
        "row",
        "started",
        "steps",
        "stored",
    )  # fmt: skip

    def __init__(self, row: InstanceRow, read_step: ReadStep, read_steps: ReadSteps) -> None:
        self.key = row.key
        self.row = self.stored = row
        self.steps = HeldSteps(self, read_step, read_steps)
        self.written()

    def take(self, change: Change) -> None:
        """Keep a change until it is written. A restart must be written before anything else is taken."""
        self.row = change.row
        self.steps.release()
        if change.restarted:
            self.restarted = True
            self.steps.known.clear()
            self.changed.clear()
            self.started.clear()
        self.steps.known.update(change.steps)
        self.changed.update(change.steps)
        self.started |= change.started
        self.results.update(change.results)
        if change.inbox_cleared:
            self.inbox_cleared = True
            self.inbox_added.clear()
            self.inbox_removed.clear()
        for row in change.inbox_added:
            self.inbox_added[row.seq] = row
        for seq in change.inbox_removed:
            if self.inbox_added.pop(seq, None) is None:
                self.inbox_removed.append(seq)

    def written(self) -> None:
        """Everything taken has been written: only open steps are still held."""
        self.restarted = False
        self.changed: dict[StepKey, StepRow] = {}
        self.started: set[StepKey] = set()
        self.results: dict[StepKey, str] = {}
        self.inbox_added: dict[int, InboxRow] = {}
        self.inbox_removed: list[int] = []
        self.inbox_cleared = False
        known = self.steps.known
        for key in [key for key, row in known.items() if _is_over(row)]:
            del known[key]


def _is_over(row: StepRow) -> bool:
    return row.status in (STEP_COMPLETED, STEP_ERRORED) and row.rollback not in _OPEN_HANDLERS


class HeldInstances:
    """The instances held, those used last kept longest."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Held] = OrderedDict()

    def get(self, key: int) -> Held | None:
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
        return held

    def keep(self, held: Held) -> None:
        """Hold it, unless it is large. Only what is written may be kept: what makes room for it is forgotten."""
        row = held.row
        if row.stored_bytes > LARGEST_HELD and row.owner is None:
            self._held.pop(held.key, None)
            return
        self._held[held.key] = held
        self._held.move_to_end(held.key)
        if len(self._held) > HELD_INSTANCES:
            self._held.popitem(last=False)

    def forget(self, key: int) -> None:
        self._held.pop(key, None)
