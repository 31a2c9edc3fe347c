"""Verifying a copy of a database: that it holds what its source held, and that what it holds agrees with itself.

Table by table the number of rows and the digest (copying.py) of the copy are compared with those of the source, where
there is one. Then each journal is read: it must count from 1 without a gap up to its instance's `last_seq`, and its
fold must give the status, the generation and the times of the instance's row, which is a projection of it.

Memory holds the rows of instances and one batch of events.
"""

from collections.abc import Mapping

from playground.store.columns import event as read_event
from playground.store.copying import EVENT, INSTANCE, TABLES, CopySide, Digest, Progress, Row
from playground.store.errors import StoreError
from playground.workflows.state import State

_FOLDED = ("status", "generation", "last_seq", "created_at", "started_at", "ended_at")
_COLUMNS = next(table for table in TABLES if table.name == INSTANCE).columns
_PLACES = [_COLUMNS.index(name) for name in _FOLDED]
_ID = _COLUMNS.index("id")


async def digests_of(side: CopySide, what: str, progress: Progress) -> Mapping[str, Digest]:
    """The number of rows and the digest of each table."""
    total, done = sum((await side.facts()).counts.values()), 0
    found = {}
    for table in TABLES:
        digest = Digest()
        async for rows in side.rows(table, ()):
            digest.add(rows)
            done += len(rows)
            progress(f"{what} {table.name}", done, total)
        found[table.name] = digest
    return found


async def verify(copy: CopySide, source: CopySide | None, progress: Progress) -> Mapping[str, Digest]:
    """The digests of a copy that is whole and sound.

    Raises:
        StoreError: it is not equal to its source, or contradicts itself; the message says where.
    """
    found = await digests_of(copy, "reading", progress)
    if source is not None:
        for name, expected in (await digests_of(source, "comparing", progress)).items():
            if found[name] != expected:
                raise StoreError(
                    f"{copy.name} is not equal to {source.name}: table {name} has {found[name].count:,} rows "
                    f"({found[name].text[:16]}) in place of {expected.count:,} ({expected.text[:16]})"
                )
    await _fold_journals(copy, found[EVENT].count, progress)
    return found


async def _fold_journals(copy: CopySide, total: int, progress: Progress) -> None:
    tables = {table.name: table for table in TABLES}
    rows: dict[int, Row] = {}
    async for batch in copy.rows(tables[INSTANCE], ()):
        rows.update({row[0]: row for row in batch})
    done, key, state = 0, 0, State()
    async for batch in copy.rows(tables[EVENT], ()):
        for instance, *values in batch:
            if instance != key:
                _compare(copy, rows, key, state)
                key, state = instance, State()
            event = read_event(values)
            if event.seq != state.last_seq + 1:
                raise StoreError(
                    f"{copy.name} is damaged: the journal of instance number {key} has a gap at {event.seq}"
                )
            state.apply(event)
        done += len(batch)
        progress("folding journals", done, total)
    _compare(copy, rows, key, state)
    if rows:
        raise StoreError(f"{copy.name} is damaged: instance number {min(rows)} has no journal")


def _compare(copy: CopySide, rows: dict[int, Row], key: int, state: State) -> None:
    """Compare the fold of a journal with its row, which is taken out. Key 0 is none."""
    if not key:
        return
    row = rows.pop(key, None)
    if row is None:
        raise StoreError(f"{copy.name} is damaged: there is a journal of instance number {key}, and no row")
    for name, place in zip(_FOLDED, _PLACES, strict=True):
        if row[place] != getattr(state, name):
            raise StoreError(
                f'{copy.name} is damaged: the journal of instance "{row[_ID]}" gives {name} {getattr(state, name)!r}, '
                f"its row has {row[place]!r}"
            )
