"""What the writer holds of instances between commits, so that a fenced append asks the database nothing.

The writer is the only one that changes the file, so what is held is what is stored; a rollback drops all that it touched.
"""

from collections import OrderedDict
from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from typing import Any, Protocol

from playground.store.projection import Change
from playground.store.projection_fold import replace
from playground.store.protocol import InboxRow, InstanceRow, StepRow
from playground.workflows.events import StepKey

HELD_INSTANCES = 4096
HELD_BYTES = 16 * 1024 * 1024  # of their params and other values as JSON


class ReadSteps(Protocol):
    """Where steps that are not held are read from."""

    def step(self, key: int, generation: int, step: StepKey) -> StepRow | None: ...

    def open_steps(self, key: int) -> Sequence[StepRow]: ...

    def steps_without_results(self, key: int, generation: int) -> Sequence[StepRow]: ...


class HeldSteps(Mapping[StepKey, StepRow]):
    """The steps of one instance: those under way or just changed, and the others when they are asked for.

    Iterating reads them all, without results.
    """

    def __init__(self, row: InstanceRow, read: ReadSteps) -> None:
        self._key, self._generation, self._read = row.key, row.generation, read
        self._known: dict[StepKey, StepRow] = {}
        self._all_open = row.last_seq <= 1  # whether what is under way is known

    def get(self, key: StepKey, default: Any = None) -> Any:
        row = self._known.get(key)
        if row is None or (row.result is None and row.result_bytes > len("null")):
            stored = self._read.step(self._key, self._generation, key)
            if row is None:
                return default if stored is None else stored
            assert stored is not None, "a result is only known of a step that is stored"
            row = replace(row, result=stored.result)  # it became known by reading without results
        return row

    def __getitem__(self, key: StepKey) -> StepRow:
        row: StepRow | None = self.get(key)
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

    def open(self) -> list[StepRow]:
        """The steps under way, by start."""
        if not self._all_open:
            for row in self._read.open_steps(self._key):
                self._known.setdefault(row.key, row)
            self._all_open = True
        return sorted((row for row in self._known.values() if row.is_open), key=lambda row: row.started_seq)

    def take(self, change: Change) -> None:
        """Know a change before it is written."""
        if change.kept_before is not None:
            self._known = {key: row for key, row in self._known.items() if row.started_seq < change.kept_before}
        self._known.update(change.steps)

    def written(self, generation: int) -> None:
        """The database has it all now: only what is under way is still held."""
        self._generation = generation
        for key in [key for key, row in self._known.items() if not row.is_open]:
            del self._known[key]

    def _all(self) -> dict[StepKey, StepRow]:
        stored = {row.key: row for row in self._read.steps_without_results(self._key, self._generation)}
        return {**stored, **self._known}


class Held:
    """One instance: `row` as it will be, `stored` as the database has it, and what is not yet written.

    `weight` is the size of its values as JSON.
    """

    kept_before: int | None
    changed: dict[StepKey, StepRow]
    started: set[StepKey]
    results: dict[StepKey, str]
    inbox_added: dict[int, InboxRow]
    inbox_removed: list[int]
    inbox_cleared: bool

    def __init__(self, row: InstanceRow, weight: int, read: ReadSteps) -> None:
        self.key = row.key
        self.row = self.stored = row
        self.weight = weight
        self.steps = HeldSteps(row, read)
        self._nothing_to_write()

    def take(self, change: Change) -> None:
        """Keep a change until it is written. A restart is written before and after."""
        self.row = change.row
        self.steps.take(change)
        self.kept_before = change.kept_before
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
        """The database has it all now."""
        self.stored = self.row
        self.steps.written(self.row.generation)
        self._nothing_to_write()

    def _nothing_to_write(self) -> None:
        self.kept_before = None
        self.changed = {}
        self.started = set()
        self.results = {}
        self.inbox_added = {}
        self.inbox_removed = []
        self.inbox_cleared = False


class HeldInstances:
    """The instances held, those used last kept longest."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Held] = OrderedDict()
        self._weight = 0

    def get(self, key: int) -> Held | None:
        return self._held.get(key)

    def keep(self, held: Held) -> None:
        """Hold it, and let go of the oldest when there are too many. Only what is written may be kept."""
        if held.key not in self._held:
            self._held[held.key] = held
            self._weight += held.weight
        self._held.move_to_end(held.key)
        while len(self._held) > HELD_INSTANCES or (self._weight > HELD_BYTES and len(self._held) > 1):
            self._weight -= self._held.popitem(last=False)[1].weight

    def clear(self) -> None:
        """Hold none. What a transaction has touched and not written must be held elsewhere."""
        self._held.clear()
        self._weight = 0

    def forget(self, key: int) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._weight -= held.weight
