"""What the writer does to a SQLite file: calls are checked and projected in memory, then written together.

Nothing a caller can get wrong is found out after something of it was staged, so that a refused call leaves no trace in
the commit it would have shared.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

from playground.store.encoding import encode_or_none
from playground.store.encryption import Keyring
from playground.store.errors import ChildrenUnfinished, JournalError, QueueFull, StoreError
from playground.store.metrics import StoreMetrics
from playground.store.named_sql import NamedSql
from playground.store.notifications import Changes
from playground.store.projection import Change, first_event, first_row, project, reads_of
from playground.store.projection_rules import replace
from playground.store.protocol import ANY_NUMBER, Committed, Decider, Needs, Refusal, Snapshot, needs_of
from playground.store.rows import InstanceRow, NewInstance, Snippet, StepRow
from playground.store.sqlite import rows as columns
from playground.store.sqlite.cache import CachedInstance, InstanceCache, has_result
from playground.store.sqlite.connections import shrink
from playground.store.sqlite.new_instances import NewInstances
from playground.store.sqlite.queues import Queues
from playground.store.sqlite.secrets_at_rest import encrypted, readable
from playground.store.tables import scope_of
from playground.workflows.errors import Fenced, InstanceAlreadyExists, InstanceNotFound
from playground.workflows.events import FINAL_STATUSES, QUEUED, NewEvent, StepKey

T = TypeVar("T")

# Of values and logs that one expire() removes, so that commits do not wait long for it.
EXPIRED_BYTES = 16 * 1024 * 1024
LEAST_GROWN = 16  # rows; the statement for many has a price of its own

# What goes with an instance, in the order it is deleted.
OF_AN_INSTANCE = (
    "delete_events", "delete_steps", "delete_inbox", "delete_effects", "delete_own_keys", "delete_own_usage",
    "delete_child", "delete_origin", "delete_instance",
)  # fmt: skip


class SqliteTransaction:
    """The commit under way.

    Used by one thread at a time (writer.py); every method but the last four is an entry's work.

    Args:
        db: a connection in autocommit mode; closed by `close`.
        sql: the statements of queries.sql.
        keyring: encrypts what events keep out of the journal.
    """

    def __init__(self, db: sqlite3.Connection, sql: NamedSql, keyring: Keyring) -> None:
        self.metrics = StoreMetrics()
        self._db, self._keyring = db, keyring
        self._ask = db.cursor().execute  # of a cursor for each, the connection would remember the last two hundred
        self._sql = sql
        self._insert_instances = sql.rows("insert_instance", columns.INSTANCE_COLUMNS)
        self._insert_origins = sql.rows("insert_origin", columns.ORIGIN_COLUMNS)
        self._insert_events = sql.rows("insert_events", columns.EVENT_COLUMNS)
        self._insert_steps = sql.rows("insert_steps", columns.STEP_COLUMNS)
        many = [(rows, text) for rows, text in sql.rows("grow_instances", columns.GROWN_COLUMNS) if rows >= LEAST_GROWN]
        self._grow_instances = [*many, (1, sql["grow_instance"])]
        self._insert_inbox = sql.rows("insert_inbox", columns.INBOX_COLUMNS)
        self._held = InstanceCache()
        self._touched: dict[int, CachedInstance] = {}
        self._unwritten: dict[int, CachedInstance] = {}
        self._new = NewInstances()
        self._events: list[Any] = []
        self._kv: dict[tuple[str, int, str], str | None] = {}
        self._deleted: list[int] = []
        # When the first of those that may be claimed since the last commit falls due, beside those touched.
        self._new_due: int | None = None
        self._uncounted = 0  # events written since the last commit
        # Per process on purpose: the file's lock makes this the only writer of instances, and a key that is known
        # before its row is written lets children, steps and events be written in the same statement as it.
        self._keys = count(db.execute(sql["last_key"]).fetchone()[0] + 1)
        self.queues = Queues(db, sql, self._execute)

    def create(
        self,
        instances: Sequence[NewInstance],
        unknown: Mapping[str, Snippet],
        at: int,
        queued_most: Mapping[str, int] = ANY_NUMBER,
        instead_of: tuple[int, str] | None = None,
        needs: int | None = None,
    ) -> tuple[list[InstanceRow], list[Refusal], list[Snippet]]:
        """See `Store.create`. `unknown` is the code that may not be stored yet, by id; gives which of it was not."""
        for code in unknown.values():
            code.source.encode(), (code.params or "").encode()  # refused now or not at all
        self._check_queues(instances, queued_most)
        if needs is not None:
            self._find(needs)
        rows: list[InstanceRow] = []
        journals: list[Any] = []
        made: list[tuple[NewInstance, Change]] = []
        refused = []
        ids: set[tuple[str, str]] = set()
        for index, new in enumerate(instances):
            identity = (new.tenant, new.id)
            # Looked for before it is written, per process on purpose: the file's lock makes this the only writer, and a
            # conflict found by the INSERT of many rows would undo those of other calls.
            if identity in ids or identity in self._new.ids or self._ask(self._sql["key_of_id"], identity).fetchone():
                refused.append(Refusal(index, new.id, InstanceAlreadyExists.code))
                continue
            ids.add(identity)
            row = first_row(new, next(self._keys), at)
            events: Sequence[NewEvent] = (first_event(new), *new.events)
            if self._keyring:
                events = encrypted(self._keyring, row, events)
            encode_or_none(new.metadata), encode_or_none(new.limits)  # refused now or not at all
            change = project(row, events, at, {})
            rows.append(change.row)
            journals += columns.event_values(row, events, None, at)[0]
            if new.parent is not None or new.events:
                made.append((new, change))
        if instead_of is not None:
            self._part(*instead_of)  # after all that may be refused
        self._new.rows += rows
        for row in rows:
            self.queues.counts.move(row.tenant, row.queue, None, row.status)
        self._events += journals
        if rows:
            self._new_due = at if self._new_due is None else min(at, self._new_due)
        for new, change in made:
            self._kv.update(self._new.add(new, change))
        self._new.ids |= ids
        run = {row.snippet for row in rows} & unknown.keys()
        return rows, refused, self._new.add_code(run, unknown, self._has_snippet)

    def _has_snippet(self, id: str) -> bool:
        return self._ask(self._sql["has_snippet"], (id,)).fetchone() is not None

    def _check_queues(self, instances: Sequence[NewInstance], queued_most: Mapping[str, int]) -> None:
        """Raises QueueFull."""
        for tenant in {new.tenant for new in instances} & queued_most.keys():
            queued, most = self.queues.counts.of_tenant(tenant, QUEUED), queued_most[tenant]
            if queued >= most:
                raise QueueFull(tenant, queued, most)

    def _part(self, parent: int, kind: str) -> None:
        """Make an instance's children of a kind its children no more. Raises ChildrenUnfinished."""
        self.flush()
        if self._ask(self._sql["unfinished_child"], (parent, kind)).fetchone() is not None:
            raise ChildrenUnfinished(f"instance number {parent} has children of kind {kind!r} that have not ended")
        self._execute("part_children", (parent, kind))

    def append(
        self, key: int, events: Sequence[NewEvent], execution: int | None, at: int, last_seq: int | None = None
    ) -> Committed:
        """See `Store.append`."""
        held = self._fenced(key, execution)
        if last_seq is not None and held.row.last_seq != last_seq:
            return Committed((), held.row)
        return self._add(held, events, execution, at)

    def decide(self, key: int, decider: Decider, execution: int | None, at: int) -> Committed:
        """See `Store.decide`."""
        held = self._fenced(key, execution)
        self.flush()
        events = decider(self._snapshot(held, needs_of(decider)))
        return self._add(held, events, execution, at)

    def join_node(self, name: str) -> int:
        """Count one more life of a node; gives its number."""
        self._begin()
        boot: int = self._ask(self._sql["join_node"], (name,)).fetchone()[0]
        return boot

    def row(self, key: int) -> InstanceRow:
        """The instance as this transaction leaves it. Raises InstanceNotFound."""
        return self._find(key).row

    def change_row(self, row: InstanceRow, **changed: Any) -> InstanceRow:
        """Change a row without an event, as taking and giving back an instance does."""
        held = self._find(row.key)
        held.row = replace(held.row, **changed)
        self._touched[row.key] = self._unwritten[row.key] = held
        return held.row

    def delete(self, key: int) -> None:
        """See `Store.delete`."""
        row = self._find(key).row
        self.flush()
        for name in OF_AN_INSTANCE:
            self._execute(name, (key,))
        self.queues.leave(row)
        self.queues.write()
        self._touched.pop(key, None)
        self._held.forget(key)
        self._deleted.append(key)

    def expire(self, before: int, limit: int, chaos: bool) -> int:
        """See `Store.expire`."""
        return self._remove("ended_before_chaos" if chaos else "ended_before", (before, limit), keep_ids=True)

    def take_chore(self, name: str, at: int, until: int) -> bool:
        """See `Store.take_chore`."""
        self._execute("take_chore", (name, at, until))
        return self._changes() > 0

    def forget_used_ids(self, before: int, limit: int) -> int:
        """See `Store.forget_used_ids`."""
        self._execute("forget_used_ids", (before, limit))
        return self._changes()

    def delete_ended(self, tenant: str, limit: int) -> int:
        """See `Store.delete_ended`."""
        return self._remove("ended_of_tenant", (tenant, limit), keep_ids=False)

    def _remove(self, query: str, values: Sequence[Any], *, keep_ids: bool) -> int:
        self.flush()
        removed = size = 0
        for key, bytes_ in self._ask(self._sql[query], values).fetchall():
            if keep_ids:
                self._execute("keep_id", (key,))
            self.delete(key)
            removed += 1
            size += bytes_
            if size >= EXPIRED_BYTES:
                break
        return removed

    def beside(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Let `work` change tables that stand beside the journals, in the open transaction."""
        self._begin()
        return work(self._db)

    def beside_rows(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `beside`, for work that reads the rows of instances too."""
        self.flush()
        return self.beside(work)

    def shrink(self) -> None:
        """See `Store.shrink`. What is touched stays."""
        self._held.clear()
        shrink(self._db)

    def put_snippet(self, snippet: Snippet) -> Snippet:
        """See `Store.put_snippet`."""
        self._execute("insert_snippet", (snippet.id, snippet.source, snippet.params, snippet.created_at))
        return Snippet(*self._ask(self._sql["snippet"], (snippet.id,)).fetchone())

    def flush(self) -> None:
        """Write what is staged, in the open transaction."""
        if not self._unwritten and not self._new.rows:
            return
        self._begin()
        if self._new.rows:
            self._write_new()
        grown: list[Any] = []
        steps, inbox = self._new.take_beginnings()
        for held in self._unwritten.values():
            row, stored = held.row, held.stored
            if columns.only_grew(stored, row):
                grown += (row.key, row.last_seq, row.log_bytes, row.stored_bytes, row.clock, row.clock_at)
            else:
                self._execute("update_instance", columns.instance_update(row))
                self.queues.follow(row, stored)
            if held.changed or held.kept_before is not None:
                steps += self._write_steps(held)
            if held.inbox_cleared or held.inbox_removed or held.inbox_added:
                inbox += self._write_inbox(held)
            held.written()
        self._run(self._grow_instances, columns.GROWN_COLUMNS, grown)
        self._run(self._insert_events, columns.EVENT_COLUMNS, self._events)
        self._run(self._insert_steps, columns.STEP_COLUMNS, steps)
        self._run(self._insert_inbox, columns.INBOX_COLUMNS, inbox)
        self._write_keys()
        self.queues.write()
        self._unwritten.clear()
        self._uncounted += len(self._events) // columns.EVENT_COLUMNS
        self._events.clear()

    def commit(self) -> Changes:
        """See `writer.Transaction`."""
        self.flush()
        if self._db.in_transaction:
            self._ask("COMMIT")
            self.metrics.commits += 1
            self.metrics.failing = False
            self.metrics.events += self._uncounted
            self._uncounted = 0
        self.queues.counts.settle()
        grown: list[tuple[int, int | None]] = [(key, held.row.last_seq) for key, held in self._touched.items()]
        grown += [(key, None) for key in self._deleted]
        due, self._new_due = self._new_due, None
        if self.queues.has_room:
            due, self.queues.has_room = 0, False
        for held in self._touched.values():
            row = held.row
            if row.owner is None and row.due_at is not None and (due is None or row.due_at < due):
                due = row.due_at
            if held.row.status in FINAL_STATUSES:
                self._held.forget(held.key)
            else:
                self._held.keep(held)
        self._touched.clear()
        self._deleted.clear()
        return Changes(grown, due)

    def rollback(self) -> None:
        """See `writer.Transaction`."""
        with contextlib.suppress(sqlite3.Error):  # a full or failing disk has rolled back by itself
            if self._db.in_transaction:
                self._ask("ROLLBACK")
        for key in self._touched:
            self._held.forget(key)
        self._uncounted = 0
        self._touched.clear()
        self._unwritten.clear()
        self._events.clear()
        self._kv.clear()
        self._new.forget()
        self._deleted.clear()
        self._new_due = None
        self.queues.forget()

    def explain(self, fault: Exception) -> Exception:
        """See `writer.Transaction`."""
        if isinstance(fault, sqlite3.IntegrityError):
            return JournalError(f"the journal holds this already: {fault}")
        if isinstance(fault, sqlite3.Error):
            return StoreError(f"the database cannot be written: {fault}")
        return JournalError(f"a row cannot be written: {fault}")

    def close(self) -> None:
        """See `writer.Transaction`."""
        self._db.close()

    def _fenced(self, key: int, execution: int | None) -> CachedInstance:
        held = self._touched.get(key) or self._find(key)
        row = held.row
        if execution is not None and (row.execution != execution or row.owner is None or row.status in FINAL_STATUSES):
            now = f"{row.status}, {'nobody has it' if row.owner is None else f'at execution {row.execution}'}"
            raise Fenced(f"instance {row.id} takes nothing from execution {execution} any more: it is {now}")
        return held

    def _find(self, key: int) -> CachedInstance:
        held = self._touched.get(key) or self._held.get(key)
        if held is None:
            found = self._ask(self._sql["instance_by_key"], (key,)).fetchone()
            if found is None:
                raise InstanceNotFound(f"there is no instance number {key}")
            held = CachedInstance(columns.instance_row(found), columns.instance_weight(found))
        return held

    def _snapshot(self, held: CachedInstance, needs: Needs) -> Snapshot:
        """What a decider sees. Everything is flushed, so that the database has what is not held."""
        key, generation = held.key, held.row.generation
        inbox = [columns.inbox_row(row) for row in self._ask(self._sql["inbox"], (key,))]
        self._hold_open(held)
        steps = {step: self._step(held, step) for step in needs.steps}
        keys = pending = None
        if needs.keys:
            keys = frozenset(columns.step_key(*step) for step in self._ask(self._sql["step_keys"], (key, generation)))
        if needs.pending_rollback:
            pending = self._ask(self._sql["pending_rollback"], (key, generation)).fetchone() is not None
        return Snapshot(held.row, steps, inbox, held.open(), keys, pending)

    def _step(self, held: CachedInstance, step: StepKey, *, result: bool = True) -> StepRow | None:
        """A step of the current generation, perhaps without its result where that is not asked for."""
        row = held.steps.get(step)
        if row is not None and (not result or has_result(row)):
            return readable(self._keyring, held.key, row) if result else row
        if row is None and not result:
            return self._read_step("step_without_result", held, step)
        stored = self._read_step("step", held, step)
        if row is None or stored is None:
            assert row is None, "a result is only missing of a step that is stored"
            return stored
        return replace(row, result=stored.result)

    def _read_step(self, query: str, held: CachedInstance, step: StepKey) -> StepRow | None:
        place = (held.key, held.row.generation, step.kind, columns.step_path(step), step.count)
        found = self._ask(self._sql[query], place).fetchone()
        return None if found is None else readable(self._keyring, held.key, columns.step_row(found))

    def _hold_open(self, held: CachedInstance) -> None:
        """Know all steps under way."""
        if not held.has_open:
            for found in self._ask(self._sql["open_steps"], (held.key,)):
                row = columns.step_row(found)
                held.steps.setdefault(row.key, row)
            held.has_open = True

    def _steps_for(self, held: CachedInstance, events: Sequence[NewEvent]) -> Mapping[StepKey, StepRow]:
        """The rows that the events are folded into: what is held, and what has to be read besides."""
        reads = reads_of(events)
        if reads.all:
            query = self._sql["steps_without_results"]
            stored = [columns.step_row(row) for row in self._ask(query, (held.key, held.row.generation))]
            return {**{row.key: row for row in stored}, **held.steps}
        if reads.open:
            self._hold_open(held)
        if not reads.results and reads.steps <= held.steps.keys():
            return held.steps
        read = {step: self._step(held, step, result=step in reads.results) for step in reads.steps}
        return {**held.steps, **{step: row for step, row in read.items() if row is not None}}

    def _add(self, held: CachedInstance, events: Sequence[NewEvent], execution: int | None, at: int) -> Committed:
        row = held.row
        if not events:
            return Committed([], row)
        stamp = execution if execution is not None else row.execution or None
        if self._keyring:
            events = encrypted(self._keyring, row, events)
        values, written = columns.event_values(row, events, stamp, at)
        change = project(row, events, at, self._steps_for(held, events))
        if change.kept_before is not None:
            self.flush()
        self._stage(held, change, values)
        if change.kept_before is not None:
            self.flush()
        return Committed(written, change.row)

    def _stage(self, held: CachedInstance, change: Change, values: list[Any]) -> None:
        held.take(change)
        self._events += values
        self._touched[held.key] = self._unwritten[held.key] = held
        if change.kv:
            scope = scope_of(change.row)
            self._kv.update({(*scope, key): text for key, text in change.kv.items()})

    def _write_new(self) -> None:
        for row in self._new.rows:
            self.queues.take_turn(row)  # it was counted when it was created
        values, origins = self._new.take_rows()
        self._run(self._insert_instances, columns.INSTANCE_COLUMNS, values)
        self._run(self._insert_origins, columns.ORIGIN_COLUMNS, origins)
        for code in self._new.take_code():
            self._execute("insert_snippet", (code.id, code.source, code.params, code.created_at))
        for child in self._new.take_children():
            self._execute("insert_child", child)

    def _write_steps(self, held: CachedInstance) -> list[Any]:
        generation = held.row.generation
        new: list[Any] = []
        if held.kept_before is not None:
            self._execute("drop_steps", (held.key, held.kept_before))
            self._execute("keep_steps", (generation, held.key))
        for key, row in held.changed.items():
            result = held.results.get(key)
            if key in held.started:
                new += columns.step_values(held.key, generation, row, result)
            elif result is None:
                self._execute("update_step", columns.step_update(held.key, generation, row))
            else:
                self._execute("end_step", columns.step_update(held.key, generation, row, result))
        return new

    def _write_inbox(self, held: CachedInstance) -> list[Any]:
        if held.inbox_cleared:
            self._execute("delete_inbox", (held.key,))
        for seq in held.inbox_removed:
            self._execute("delete_inbox_row", (held.key, seq))
        return [value for row in held.inbox_added.values() for value in columns.inbox_values(held.key, row)]

    def _write_keys(self) -> None:
        for place, text in self._kv.items():
            if text is None:
                self._execute("delete_key", place)
            else:
                self._execute("put_key", (*place, text))
        self._kv.clear()

    def _run(self, statements: Sequence[tuple[int, str]], width: int, values: list[Any]) -> None:
        start, end = 0, len(values)
        for rows, statement in statements:
            size = rows * width
            while end - start >= size:
                self._ask(statement, values[start : start + size])
                start += size

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._ask("BEGIN IMMEDIATE")

    def _execute(self, name: str, values: Sequence[Any]) -> None:
        self._begin()
        self._ask(self._sql[name], values)

    def _changes(self) -> int:
        """How many rows the last statement has changed."""
        found: int = self._ask("SELECT changes()").fetchone()[0]
        return found
