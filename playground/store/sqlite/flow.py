"""Admission on a SQLite file (store/flow.py).

The next note's time is in memory, so that claims without any read nothing: per process on purpose, since the file's
lock makes this the only one that writes.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from playground.store.flow import (
    ADMITTED_MOST,
    AHEAD_MOST,
    COUNTED_MOST,
    LOOKS_MOST,
    Look,
    Place,
    Scope,
    admit,
    ahead_values,
    counted_since,
    is_waiting,
    looks,
    next_start_at,
    scope_of_unique,
)
from playground.store.named_sql import NamedSql
from playground.store.rows import InstanceRow, NewInstance
from playground.store.sqlite.alike import Created
from playground.workflows.flow import RATE_SECONDS_MOST, SINGLETON, limits_of


class FlowNotes:
    """The notes of the open transaction, and what a claim makes of those that are due.

    Args:
        db: the writer's connection, in autocommit mode.
        execute_named: runs a named statement in the open transaction.
    """

    def __init__(
        self, db: sqlite3.Connection, sql: NamedSql, execute_named: Callable[[str, Sequence[Any]], None]
    ) -> None:
        self._run_sql, self._sql, self._execute_named = db.cursor().execute, sql, execute_named
        self._next = self._read_next()
        self._unwritten: list[Look] = []
        self._new_due: int | None = None

    def note(self, before: InstanceRow | None, after: InstanceRow | None, at: int = 0) -> None:
        """Note what a change at a time lets be looked at; it is written by `write`."""
        for look in looks(before, after, at):
            self._unwritten.append(look)
            self._new_due = look.at if self._new_due is None else min(look.at, self._new_due)

    def write(self) -> None:
        """Write the notes, in the open transaction."""
        for look in self._unwritten:
            self._execute_named("add_look", look)
            self._next = look.at if self._next is None else min(look.at, self._next)
        self._unwritten.clear()

    def take_due(self, due: int | None) -> int | None:
        """The earliest of a time and of the notes since the last commit."""
        noted, self._new_due = self._new_due, None
        return min((at for at in (due, noted) if at is not None), default=None)

    def rollback(self) -> None:
        """Drop the notes since the last commit."""
        self._unwritten.clear()
        self._new_due = None
        self._next = self._read_next()

    def is_due(self, at: int) -> bool:
        """Whether a claim has notes to look at."""
        return self._next is not None and self._next <= at

    def living(self, new: NewInstance, created: Sequence[Created], flush: Callable[[], None]) -> tuple[str, str] | None:
        """The id of the instance that there is in place of a new one, with the code of the refusal.

        Args:
            created: of the same batch.
            flush: writes everything that is staged.
        """
        unique = scope_of_unique(new)
        if unique is None:
            return None
        scope, code = unique
        assert new.flow is not None
        for row in (one for one in created if isinstance(one, InstanceRow)):
            is_of_key = (row.tenant, row.workflow, row.flow_key) == scope
            if is_of_key and (code == SINGLETON or row.held_until is not None):
                return row.id, code
        flush()
        found = self._run_sql(self._sql["living_of_key"], (*scope, new.flow.debounce is not None)).fetchone()
        return None if found is None else (found[0], code)

    def admissible(self, at: int, row: Callable[[int], InstanceRow]) -> list[int]:
        """The keys of instances to admit now, by the notes that are due, which are taken. Everything is written."""
        taken: list[int] = []
        scopes: dict[Scope, None] = {}
        for note in self._run_sql(self._sql["due_looks"], (at, LOOKS_MOST)).fetchall():
            look = Look(*note)
            self._execute_named("drop_look", (look.at, look.instance))
            if look.scope is not None:
                scopes[look.scope] = None
            elif self._may_start(look.instance, at, row):
                taken.append(look.instance)
        for scope in scopes:
            taken += self._of_scope(scope, at, row)
        self._next = self._read_next()
        return taken

    def _may_start(self, key: int, at: int, row: Callable[[int], InstanceRow]) -> bool:
        if self._run_sql(self._sql["last_seq"], (key,)).fetchone() is None:
            return False  # it has been deleted
        held = row(key)
        return is_waiting(held) and held.held_until is not None and held.held_until <= at

    def _of_scope(self, scope: Scope, at: int, row: Callable[[int], InstanceRow]) -> Sequence[int]:
        found = self._run_sql(self._sql["held_of_key"], (*scope, at, ADMITTED_MOST)).fetchall()
        if not found:
            return ()
        candidates = [row(key) for (key,) in found]
        begun = self._run_sql(self._sql["begun_of_key"], scope).fetchone()[0]
        since = [counted for one in candidates if (counted := counted_since(one, at)) is not None]
        admission = admit(candidates, begun, self._starts(scope, min(since, default=None)), at)
        with_rate = {one.key for one in candidates if limits_of(one.limits).rate is not None}
        for key in admission.keys:
            if key in with_rate:
                self._execute_named("add_start", (*scope, at, key))
        if with_rate:
            self._execute_named("drop_starts", (at - RATE_SECONDS_MOST * 1_000,))
        if admission.again_at is not None:
            self._execute_named("add_look", Look(admission.again_at, candidates[-1].key, *scope))
        return admission.keys

    def _starts(self, scope: Scope, since: int | None) -> list[int]:
        if since is None:
            return []
        return [at for (at,) in self._run_sql(self._sql["starts_of_key"], (*scope, since))]

    def _read_next(self) -> int | None:
        found: int | None = self._run_sql(self._sql["next_look"]).fetchone()[0]
        return found


def ahead(db: sqlite3.Connection, sql: NamedSql, row: InstanceRow, at: int) -> int:
    """See `Store.ahead`."""
    found: int = db.execute(sql["ahead_in_queue"], ahead_values(row, at)).fetchone()[0]
    return min(found, AHEAD_MOST)


def place(db: sqlite3.Connection, sql: NamedSql, row: InstanceRow, at: int) -> Place:
    """See `Store.place`."""
    assert row.flow_key is not None
    scope = (row.tenant, row.workflow, row.flow_key)
    begun = db.execute(sql["begun_of_key"], scope).fetchone()[0]
    ahead = db.execute(sql["ahead_of_key"], (*scope, at, row.priority, row.key, COUNTED_MOST)).fetchone()[0]
    since = counted_since(row, at)
    starts = [] if since is None else [each for (each,) in db.execute(sql["starts_of_key"], (*scope, since))]
    return Place(begun, ahead, next_start_at(row, starts, at))
