"""Journals folded for people: a fold is kept, so that asking again costs only what is new.

Steps that have ended are kept as the JSON that is answered: as objects they take five times as much memory, and each
answer would write them anew. Only a restart looks at ended steps again, and after one the journal is folded afresh.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.web.journal_reader import ValueBudget, read_events
from playground.workflows import events as ev
from playground.workflows.events import Event
from playground.workflows.state import State, Step

FOLDS_MAX = 32  # folds kept
FOLDS_BYTES_MAX = 8 * 1024 * 1024  # or as few as hold so much
STEP_BYTES = 1_000  # what a step takes as an object, its values aside
JOINED_BYTES = 64 * 1024  # of text that is put together before the next piece begins

_encode = msgspec.json.encode


class CachedFold:
    """A journal as far as it was read.

    `generation` is the one whose ended steps are kept as JSON: no restart comes after it.
    """

    def __init__(self, generation: int) -> None:
        self.state, self.budget, self.generation = State(), ValueBudget(), generation
        self.lock = asyncio.Lock()  # two requests that read the same events would both count their values
        # By when the steps started: JSON of ended ones in a row, and those that go on.
        self._parts: list[bytes | Step] = []
        self._steps_through_seq = 0  # the seq up to which steps are among them

    def apply_events(self, events: Iterable[Event]) -> bool:
        """Apply what comes next.

        False when it can't be done: this fold has let go of what a restart or a given-up wait asks for.
        """
        for event in events:
            if event.type == ev.WORKFLOW_RESTARTED and self.state.generation >= self.generation:
                return False
            if (
                event.type in ev.SUSPENSION_CANCELS
                and self.state.generation == self.generation
                and event.key not in self.state.steps
            ):
                return False  # it had ended, and the code never saw it
            if (
                event.type == ev.EVENT_REPLIED
                and self.state.generation == self.generation
                and event.key not in self.state.steps
            ):
                return False  # its wait is kept as text
            self.state.apply(event)
        if self.state.generation == self.generation:
            self._encode_ended_steps()
        return True

    def steps_json(self) -> msgspec.Raw:
        """The steps as the API shows them, in JSON."""
        parts = self._parts if self.state.generation == self.generation else self.state.steps.values()
        return msgspec.Raw(
            b"[" + b",".join(part if isinstance(part, bytes) else _encode(part.as_json()) for part in parts) + b"]"
        )

    @property
    def held_bytes(self) -> int:
        """What it holds in memory, about."""
        text = sum(len(part) for part in self._parts if isinstance(part, bytes))
        return text + self.budget.used + STEP_BYTES * len(self.state.steps)

    def _encode_ended_steps(self) -> None:
        steps, known, row = self.state.steps, self._parts, []
        final = self.state.status in ev.FINAL_STATUSES
        self._parts = []
        for part in (*known, *(step for step in steps.values() if step.started_seq > self._steps_through_seq)):
            if isinstance(part, Step) and (part.is_over or final):
                del steps[part.key]
                part = _encode(part.as_json())
            if isinstance(part, bytes) and len(part) < JOINED_BYTES:
                row.append(part)
                continue
            self._parts += (*_joined_json(row), part)
            row = []
        self._parts += _joined_json(row)
        self._steps_through_seq = self.state.last_seq


class FoldCache:
    """Folds journals, and keeps the latest folds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folds: OrderedDict[int, CachedFold] = OrderedDict()
        self._historical: _HistoricalFold | None = None

    def unread(self, row: InstanceRow) -> int:
        """How many events of the journal are in no fold that is kept."""
        fold = self._folds.get(row.key)
        return row.last_seq if fold is None else max(0, row.last_seq - fold.state.last_seq)

    async def current_fold(self, row: InstanceRow) -> CachedFold:
        """The fold of the journal, as far as the row at least: what is newer is read when the row is."""
        generation = row.generation
        while True:
            fold = self._folds.setdefault(row.key, CachedFold(generation))
            self._folds.move_to_end(row.key)
            # The row and its events change together: a fold that is as far as the row has nothing to read.
            if fold.state.last_seq >= row.last_seq or await self._catch_up(fold, row.key):
                self._evict()
                return fold
            generation = fold.state.generation + 1
            if self._folds.get(row.key) is fold:
                del self._folds[row.key]

    async def fold_at(self, row: InstanceRow, at: int) -> CachedFold:
        """The fold at a seq.

        The last one asked for is kept, so that the next moment of the same instance costs what lies between.
        """
        past = self._historical
        if (
            past is None
            or past.key != row.key
            or past.fold.generation != row.generation
            or past.fold.state.last_seq > at
        ):
            past = _HistoricalFold(row.key, CachedFold(row.generation))
        self._historical = None  # another request meanwhile begins its own
        fold = past.fold
        while fold.state.last_seq < at:
            batch, _ = await read_events(
                self._store, row.key, after=fold.state.last_seq, budget=fold.budget, most=at - fold.state.last_seq
            )
            if not batch or not fold.apply_events(batch):
                break
        self._historical = past
        return fold

    def clear(self) -> None:
        """Keep none."""
        self._folds.clear()
        self._historical = None

    async def _catch_up(self, fold: CachedFold, key: int) -> bool:
        async with fold.lock:
            while True:
                batch, _ = await read_events(self._store, key, after=fold.state.last_seq, budget=fold.budget)
                if not batch or not fold.apply_events(batch):
                    return not batch

    def _evict(self) -> None:
        held = sum(fold.held_bytes for fold in self._folds.values())
        while len(self._folds) > 1 and (len(self._folds) > FOLDS_MAX or held > FOLDS_BYTES_MAX):
            _, oldest = self._folds.popitem(last=False)
            held -= oldest.held_bytes


@dataclass(slots=True)
class _HistoricalFold:
    key: int
    fold: CachedFold


def _joined_json(row: list[bytes]) -> Iterator[bytes]:
    if row:
        yield b",".join(row)
