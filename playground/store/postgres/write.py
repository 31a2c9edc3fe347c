"""The one statement that a commit is: composed of the parts that the commit has, each with arrays of its columns.

Its head finds the instances that are still as the writer knew them (owner, execution, last_seq) and locks them; all
other parts happen for those only. So a refused instance leaves no trace and disturbs none of the others, and one round
trip commits any number of them.

Nothing of a tenant's is ever formatted into SQL text: parts are named statements of write.sql, whose parameters are
renumbered; each combination of parts is one prepared statement.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from playground.store import columns
from playground.store.cache import CachedInstance
from playground.store.encoding import encode_or_none
from playground.store.flow import looks
from playground.store.messages import owner_of
from playground.store.named_sql import NamedSql
from playground.store.projection import Change
from playground.store.rows import OPEN_STEPS, Awaited, InstanceRow, MessageRow
from playground.store.tables import scope_of
from playground.workflows.events import StepKey

SQL = NamedSql(Path(__file__).with_name("write.sql"))

_PARAMETER = re.compile(r"(?<!:):(\d+)")
_ARRAYS = re.compile(r"unnest\(((?:\s*:\d+::\w+\[\],?)+)\s*\)")
_ARRAY = re.compile(r":(\d+)::(\w+)\[\]")
# Up to so many rows a part has VALUES in the place of arrays: to take one row from 27 arrays takes PostgreSQL 70 us.
VALUES_ROWS = 4


class Statement:
    """A statement under way: its parts, and the values of their parameters."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, int, int]] = []  # name, rows if they are VALUES, parameters before it
        self.values: list[Any] = []

    def add(self, part: str, flat: Sequence[Any], width: int, *first: Any) -> None:
        """Add a part with its rows, one after the other in one list, unless there are none.

        `first` are parameters of the part before those of its rows.
        """
        rows = len(flat) // width
        if not rows:
            return
        as_values = rows if rows <= VALUES_ROWS and "ORDINALITY" not in SQL[part] else 0
        self._parts.append((part, as_values, len(self.values)))
        self.values += first
        self.values += flat if as_values else [flat[column::width] for column in range(width)]

    def add_values(self, part: str, values: Iterable[Any]) -> None:
        """Add a part without rows, with its parameters."""
        self._parts.append((part, 0, len(self.values)))
        self.values += values

    def text(self) -> str:
        """The SQL."""
        return _composed(tuple(self._parts))


@lru_cache(maxsize=1_000)
def _composed(parts: Sequence[tuple[str, int, int]]) -> str:
    return "\n".join(_renumbered(*part) for part in parts)


def _renumbered(part: str, rows: int, before: int) -> str:
    """The text of a part whose parameters come after so many others."""

    def as_values(arrays: "re.Match[str]") -> str:
        columns = [(int(number), type) for number, type in _ARRAY.findall(arrays[1])]
        row = range(len(columns))
        values = (
            ", ".join(f":{columns[0][0] + number * len(columns) + column}::{columns[column][1]}" for column in row)
            for number in range(rows)
        )
        return f"(VALUES {', '.join(f'({each})' for each in values)})"

    text = _ARRAYS.sub(as_values, SQL[part]) if rows else SQL[part]
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + before}", text)


class Staged:
    """The changes of one instance that one commit writes: what its cached state has unwritten, with the values of its
    events and keys, and which of the changed steps stand in the table of open ones.
    """

    __slots__ = ("cached", "events", "keys", "messages", "tags", "were_open")

    def __init__(self, cached: CachedInstance) -> None:
        self.cached = cached
        self.events: list[Any] = []
        self.keys: dict[str, str | None] = {}
        self.messages: list[MessageRow] = []
        self.tags: list[str] = []
        self.were_open: set[StepKey] = set()

    def apply(self, change: Change, values: list[Any]) -> None:
        """Add a change and the values of its events."""
        cached = self.cached
        for key in change.steps.keys() - change.started - cached.started - self.were_open:
            if cached.steps[key].status in OPEN_STEPS and key not in cached.changed:
                self.were_open.add(key)
        cached.apply(change)
        self.events += values
        for name, text in change.kv.items():
            self.keys.pop(name, None)  # the order of the last changes
            self.keys[name] = text
        self.messages += change.messages
        self.tags += change.tagged

    @property
    def sent(self) -> int | None:
        """When the first of the messages falls due; None: there is none."""
        return min((message.due_at for message in self.messages), default=None)

    @property
    def events_count(self) -> int:
        """How many events."""
        return len(self.events) // columns.EVENT_COLUMNS


def write_statement(staged: Sequence[Staged], writer: str | None = None, commit: int | None = None) -> Statement:
    """The statement that writes these changes, each of another instance.

    Args:
        writer, commit: whose commit this is, and its number, for a writer whose connection may break; else the caller
            holds the instances' locks.
    """
    statement = Statement()
    head: list[Any] = []
    full: list[Any] = []
    tally: list[Any] = []
    notes: list[Any] = []
    params: list[Any] = []
    for each in staged:
        before, row = each.cached.stored, each.cached.row
        assert row.execution >= before.execution and row.last_seq >= before.last_seq, "a row only moves forward"
        thin = columns.only_appended(before, row)
        head += (row.key, before.last_seq, before.execution, before.owner)
        head += (row.last_seq, row.log_bytes, row.stored_bytes, row.clock, row.clock_at, thin)
        if not thin:
            full += columns.instance_update(row)
        if before.status != row.status:
            tally += (row.key, row.tenant, row.queue, before.status, row.status)
        notes += [value for look in looks(before, row) for value in look]
        if row.params is not before.params:
            params += (row.key, encode_or_none(row.params))
    statement.add("head", head, 10, writer, commit)
    statement.add("full", full, 24)
    statement.add("tally", tally, 5)
    statement.add("looks", notes, 5)
    statement.add("params", params, 2)
    _add_journal(statement, staged)
    _add_steps(statement, staged)
    statement.add_values("end_of_group", [commit, writer])
    return statement


def create_statement(
    rows: Sequence[InstanceRow],
    staged: Sequence[Staged],
    children: Sequence[tuple[int, int, str]],
    awaited: Sequence[tuple[int, Awaited]] = (),
) -> Statement:
    """The statement that writes new instances; those whose id is taken are left out."""
    statement = Statement()
    statement.add("create", [value for row in rows for value in columns.instance_values(row)], columns.INSTANCE_COLUMNS)
    statement.add("origins", [value for row in rows for value in columns.origin_values(row)], columns.ORIGIN_COLUMNS)
    statement.add("children", [value for child in children for value in child], 3)
    statement.add("awaited", [value for each in awaited for value in columns.awaited_values(*each)], 6)
    statement.add("tally", [v for row in rows for v in (row.key, row.tenant, row.queue, None, row.status)], 5)
    notes = [value for row in rows for look in looks(None, row) for value in look]
    statement.add("looks", notes, 5)
    _add_journal(statement, staged)
    _add_steps(statement, staged)
    statement.add_values("end", [])
    return statement


def _add_journal(statement: Statement, staged: Sequence[Staged]) -> None:
    events: list[Any] = []
    inbox: list[Any] = []
    gone: list[Any] = []
    keys: list[Any] = []
    messages: list[Any] = []
    tags: list[Any] = []
    for each in staged:
        cached = each.cached
        for message in each.messages:
            messages += (cached.key, owner_of(cached.row), *message)
        for tag in dict.fromkeys(each.tags):
            tags += (cached.key, cached.row.tenant, tag)
        events += each.events
        if cached.inbox_cleared:
            gone += (cached.key, 0)
        for seq in cached.inbox_removed:
            gone += (cached.key, seq)
        for received in cached.inbox_added.values():
            inbox += columns.inbox_values(cached.key, received)
        if each.keys:
            scope = scope_of(cached.row)
            for name, text in each.keys.items():
                keys += (cached.key, *scope, name, text)
    statement.add("events", events, columns.EVENT_COLUMNS)
    statement.add("inbox", inbox, columns.INBOX_COLUMNS)
    statement.add("inbox_gone", gone, 2)
    statement.add("keys", keys, 5)
    statement.add("messages", messages, 8)
    statement.add("tags", tags, 3)


def _add_steps(statement: Statement, staged: Sequence[Staged]) -> None:
    opened: list[Any] = []
    over: list[Any] = []
    open_changed: list[Any] = []
    over_changed: list[Any] = []
    closed: list[Any] = []
    for each in staged:
        cached, generation = each.cached, each.cached.row.generation
        for key, row in cached.changed.items():
            result = cached.results.get(key)
            values = columns.step_values(cached.key, generation, row, result, is_new=key in cached.started)
            is_open = row.status in OPEN_STEPS
            if key in cached.started:
                (opened if is_open else over).extend(values)
            elif is_open:
                open_changed += values
            elif key in each.were_open:
                closed += values[:5]
                over += values
            else:
                over_changed += values
    statement.add("steps_opened", opened, columns.STEP_COLUMNS)
    statement.add("steps_over", over, columns.STEP_COLUMNS)
    statement.add("open_steps_changed", open_changed, columns.STEP_COLUMNS)
    statement.add("over_steps_changed", over_changed, columns.STEP_COLUMNS)
    statement.add("steps_closed", closed, 5)
