"""New instances that are alike: a batch of one workflow, whose instances differ in id, params and nonce only.

What they share is projected once and bound once per statement. A bound value takes 0.2 us, longer than SQLite takes to
insert it, and an instance has 43 columns in three tables: written so, an instance takes half the time that
`executemany` takes for the same rows. Few or different instances are written a row of placeholders each
(transaction.py).
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from playground.store import columns
from playground.store.encoding import encode
from playground.store.named_sql import NamedSql
from playground.store.projection import first_event, initial_row, project
from playground.store.projection_rules import replace
from playground.store.rows import InstanceRow, NewInstance

ALIKE_LEAST = 16  # fewer are written like others: 25 shared values would be bound for them
# Rows per INSERT, largest first; a full batch of the engine is one statement.
ALIKE_STEPS = (100, 16, 4, 1)
INSTANCE_VALUES = 2  # bound for each instance: id, stored_bytes
ORIGIN_VALUES = 2  # params, nonce

RunSql = Callable[[str, Sequence[Any]], sqlite3.Cursor]
Single = tuple[int, NewInstance]  # with its index in the batch


Identity = tuple[str, str]  # tenant, id


class Alike:
    """New instances that share all but id, params and nonce, and begin with their first event only.

    `first` is the index of the first in its batch, where the others follow it. Never changed: a commit may run twice.

    Raises:
        NotSerialisable: a value in them cannot be stored.
    """

    def __init__(self, first: int, instances: Sequence[NewInstance], at: int) -> None:
        self.first, self.at, self._instances = first, at, instances
        one = instances[0]
        self.tenant = one.tenant
        self.ids = [new.id for new in instances]
        self.identities = {(one.tenant, id) for id in self.ids}
        queued = first_event(replace(one, params=None))
        shared = project(initial_row(replace(one, params=None), 0, at), [queued], at, {}).row
        assert shared.last_seq == 1, "the seq of a new journal counts from 1"
        self.row = shared
        self.instance_values, self.origin_values = columns.instance_values(shared), columns.origin_values(shared)
        self.event_type = queued.type
        # The params of each are put in place of these, which are the first `null` of the event.
        self.event_before, _, self.event_after = encode(queued.data).partition("null")
        texts = [encode(new.params) for new in instances]
        self.sizes = [len(text) if text.isascii() else len(text.encode()) for text in texts]
        self.id_values: list[Any] = []
        self.input_values: list[Any] = []
        for new, text, size in zip(instances, texts, self.sizes, strict=True):
            self.id_values += (new.id, size)
            self.input_values += (None if new.params is None else text, new.nonce)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, key: int) -> list[InstanceRow]:
        """Their rows once they are created; `key` is that of the first."""
        shared = self.row
        return [
            replace(shared, key=key + place, id=new.id, params=new.params, stored_bytes=size, nonce=new.nonce)
            for place, (new, size) in enumerate(zip(self._instances, self.sizes, strict=True))
        ]

    def singles(self) -> list[Single]:
        """The same instances one by one, for a batch of which some are refused."""
        return list(enumerate(self._instances, self.first))


Part = Alike | list[Single]
Created = InstanceRow | tuple[Alike, int]  # the key of the first


class AlikeStatements:
    """The statements for instances that are alike."""

    def __init__(self, sql: NamedSql) -> None:
        self._taken_ids = sql.rows("taken_ids", 1, ALIKE_STEPS)
        self._instances = sql.rows("insert_alike", INSTANCE_VALUES, ALIKE_STEPS, numbered=True)
        self._origins = sql.rows("insert_alike_origins", ORIGIN_VALUES, ALIKE_STEPS, numbered=True)
        self._events = sql["insert_alike_events"]

    def are_free(self, run_sql: RunSql, part: Alike) -> bool:
        """Whether no stored instance of their tenant has, or had, one of their ids."""
        found = (
            run_sql(statement, [part.tenant, *part.ids[begin:end]]).fetchone()
            for begin, end, statement in _slices(len(part), self._taken_ids)
        )
        return all(row is None for row in found)

    def insert(self, run_sql: RunSql, part: Alike, key: int) -> None:
        """Insert them with their first events; `key` is that of the first."""
        tables = (
            (self._instances, INSTANCE_VALUES, part.instance_values, part.id_values),
            (self._origins, ORIGIN_VALUES, part.origin_values, part.input_values),
        )
        for statements, width, shared, own in tables:
            for begin, end, statement in _slices(len(part), statements):
                run_sql(statement, [key + begin, *shared[1:], *own[begin * width : end * width]])
        last = key + len(part) - 1
        run_sql(self._events, (key, last, part.at, part.event_type, part.event_before, part.event_after))


def _slices(count: int, statements: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """Begin, end and statement of each run of rows, the largest first."""
    begin = 0
    for rows, statement in statements:
        while count - begin >= rows:
            yield begin, begin + rows, statement
            begin += rows


def rows_of(created: Sequence[Created]) -> list[InstanceRow]:
    """The rows of what was created, in its order."""
    rows: list[InstanceRow] = []
    for each in created:
        if isinstance(each, InstanceRow):
            rows.append(each)
        else:
            alike, key = each
            rows += alike.rows(key)
    return rows


def parts_of(instances: Sequence[NewInstance], at: int) -> list[Part]:
    """A batch in its order, with those that are alike and follow one another together."""
    if len(instances) < ALIKE_LEAST:
        return [list(enumerate(instances))]
    parts: list[Part] = []
    begin, count = 0, len(instances)
    while begin < count:
        one, end = instances[begin], begin + 1
        if one.parent is None and not one.events and one.flow is None:
            while end < count and _are_alike(one, instances[end]):
                end += 1
        if end - begin >= ALIKE_LEAST:
            parts.append(Alike(begin, instances[begin:end], at))
        else:
            singles = [(index, instances[index]) for index in range(begin, end)]
            if parts and isinstance(parts[-1], list):
                parts[-1] += singles
            else:
                parts.append(singles)
        begin = end
    return parts


def _are_alike(one: NewInstance, other: NewInstance) -> bool:
    """Whether both have the same fields but for id, params and nonce. Values that are only equal may look different as
    JSON (1 and True), so those that have parts must be the same object.
    """
    return (
        one.metadata is other.metadata
        and one.limits is other.limits
        and one.trigger is other.trigger
        and one.injected is other.injected
        and other.parent is None
        and not other.events
        and one.tenant == other.tenant
        and one.workflow == other.workflow
        and one.queue == other.queue
        and (one.snippet is other.snippet or one.snippet_id == other.snippet_id)
        and one.class_name == other.class_name
        and one.control_hash == other.control_hash
        and one.id_chosen == other.id_chosen
    )
