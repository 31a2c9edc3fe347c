"""What the writer holds of instances between commits, so that a fenced append asks the database nothing.

Per process on purpose: the file's lock makes this process the only writer, so what is held is what is stored; a
rollback drops all that it touched. A database that others write too compares owner, execution and last_seq in the
statement instead.
"""

from collections import OrderedDict

from playground.store.projection import Change
from playground.store.rows import InboxRow, InstanceRow, StepRow
from playground.workflows.events import StepKey

HELD_INSTANCES = 4096
HELD_BYTES = 16 * 1024 * 1024  # of their params and other values as JSON


class CachedInstance:
    """One instance: `row` as it will be, `stored` as the database has it, and what is not yet written.

    `weight` is the size of its values as JSON. `steps` are the rows under way, all of them if `has_open`, and those
    that are not written yet. One of them may lack its result (see `has_result`).
    """

    steps: dict[StepKey, StepRow]
    has_open: bool
    kept_before: int | None
    changed: dict[StepKey, StepRow]
    started: set[StepKey]
    results: dict[StepKey, str]
    inbox_added: dict[int, InboxRow]
    inbox_removed: list[int]
    inbox_cleared: bool

    def __init__(self, row: InstanceRow, weight: int) -> None:
        self.key = row.key
        self.row = self.stored = row
        self.weight = weight
        self.steps = {}
        self.has_open = row.last_seq <= 1
        self._nothing_to_write()

    def open(self) -> list[StepRow]:
        """The steps under way, by start; only where `has_open`."""
        assert self.has_open, "open steps are known or read first"
        return sorted((row for row in self.steps.values() if row.is_open), key=lambda row: row.started_seq)

    def take(self, change: Change) -> None:
        """Keep a change until it is written. A restart is written before and after."""
        self.row = change.row
        if change.kept_before is not None:
            self.steps = {key: row for key, row in self.steps.items() if row.started_seq < change.kept_before}
        self.steps.update(change.steps)
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
        """The database has it all now: of the steps only those under way are still held."""
        self.stored = self.row
        for key in [key for key, row in self.steps.items() if not row.is_open]:
            del self.steps[key]
        self._nothing_to_write()

    def _nothing_to_write(self) -> None:
        self.kept_before = None
        self.changed = {}
        self.started = set()
        self.results = {}
        self.inbox_added = {}
        self.inbox_removed = []
        self.inbox_cleared = False


def has_result(row: StepRow) -> bool:
    """Whether a row that is held has its result, or has none: of a step under way it may not have been read."""
    return row.result is not None or row.result_bytes <= len("null")


class InstanceCache:
    """The instances held, those used last kept longest."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, CachedInstance] = OrderedDict()
        self._weight = 0

    def get(self, key: int) -> CachedInstance | None:
        return self._held.get(key)

    def keep(self, held: CachedInstance) -> None:
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
