"""The write transaction on a SQLite file: calls are checked and projected in memory, then written together.

Architecture Invariant: a call is refused before anything of it is staged, so a refused call leaves no trace in the
commit that it would have shared.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from playground.store import columns
from playground.store.cache import CachedInstance, InstanceCache, check_fence
from playground.store.encoding import encode_or_none
from playground.store.encryption import Keyring
from playground.store.errors import ChildrenUnfinished, JournalError, QueueFull, StoreError
from playground.store.messages import owner_of
from playground.store.metrics import StoreMetrics
from playground.store.named_sql import NamedSql
from playground.store.notifications import CommitChanges
from playground.store.projection import Change, first_event, initial_row, project
from playground.store.projection_rules import replace
from playground.store.protocol import ANY_NUMBER, Committed, Decider, Refusal, needs_of
from playground.store.rows import InstanceRow, NewInstance, Snippet
from playground.store.secret_values import encrypt_secrets
from playground.store.sqlite.alike import Alike, AlikeStatements, Created, Identity, Part
from playground.store.sqlite.connections import shrink
from playground.store.sqlite.flow import FlowNotes
from playground.store.sqlite.new_instances import NewInstances
from playground.store.sqlite.queues import Queues
from playground.store.sqlite.step_reader import StepReader
from playground.store.tables import scope_of
from playground.workflows.errors import InstanceAlreadyExists, InstanceNotFound
from playground.workflows.events import FINAL_STATUSES, QUEUED, NewEvent

T = TypeVar("T")

# Of values and logs that one expire() deletes, so that other commits do not wait long.
EXPIRED_BYTES = 16 * 1024 * 1024
BULK_UPDATE_ROWS = 16  # below this, one UPDATE per row is quicker than one for many

# The statements that delete an instance, in order.
DELETE_INSTANCE = (
    "delete_events", "delete_steps", "delete_parts", "delete_inbox", "delete_effects", "delete_own_keys",
    "delete_own_usage", "delete_own_messages", "delete_own_queue", "delete_own_tokens", "delete_tags", "delete_child",
    "delete_origin", "delete_instance",
)  # fmt: skip


class SqliteTransaction:
    """The open transaction, used by one thread at a time (writer.py).

    Public methods are the work of calls, but for `flush` and those of `writer.Transaction`.

    Args:
        db: a connection in autocommit mode; closed by `close`.
        sql: the statements of queries.sql.
        keyring: encrypts what events keep out of the journal.
    """

    def __init__(self, db: sqlite3.Connection, sql: NamedSql, keyring: Keyring) -> None:
        self.metrics = StoreMetrics()
        self._db, self._keyring = db, keyring
        self._run_sql = db.cursor().execute  # one cursor: a connection remembers its last two hundred
        self._sql = sql
        self._insert_instances = sql.rows("insert_instance", columns.INSTANCE_COLUMNS)
        self._insert_origins = sql.rows("insert_origin", columns.ORIGIN_COLUMNS)
        self._insert_events = sql.rows("insert_events", columns.EVENT_COLUMNS)
        self._insert_steps = sql.rows("insert_steps", columns.STEP_COLUMNS)
        many = [
            (rows, text)
            for rows, text in sql.rows("grow_instances", columns.APPENDED_COLUMNS)
            if rows >= BULK_UPDATE_ROWS
        ]
        self._append_to_instances = [*many, (1, sql["grow_instance"])]
        self._insert_inbox = sql.rows("insert_inbox", columns.INBOX_COLUMNS)
        self._alike = AlikeStatements(sql)
        self._cache = InstanceCache()
        self._steps = StepReader(self._run_sql, sql, keyring)
        self._touched: dict[int, CachedInstance] = {}
        self._unwritten: dict[int, CachedInstance] = {}
        self._new = NewInstances()
        self._events: list[Any] = []
        self._kv: dict[tuple[str, int, str], str | None] = {}
        self._messages: list[tuple[Any, ...]] = []
        self._tags: list[tuple[str, str, int]] = []
        self._new_sent: int | None = None  # when the first message of this transaction falls due
        self._deleted: list[int] = []
        # When the first new instance since the last commit falls due; touched ones are looked at in `commit`.
        self._new_due: int | None = None
        self._uncounted = 0  # events written since the last commit
        # Per process on purpose: the file's lock makes this the only writer of instances. Knowing a key before its row
        # is written lets steps, events and children of many new instances be written in bulk.
        self._next_key: int = db.execute(sql["last_key"]).fetchone()[0] + 1
        self.queues = Queues(db, sql, self._execute_named)
        self.flow = FlowNotes(db, sql, self._execute_named)

    def create(
        self,
        parts: Sequence[Part],
        maybe_new: Mapping[str, Snippet],
        at: int,
        queued_most: Mapping[str, int] = ANY_NUMBER,
        instead_of: tuple[int, str] | None = None,
        needs: int | None = None,
    ) -> tuple[list[Created], list[Refusal], list[Snippet]]:
        """`Store.create`. `maybe_new` is code, by id, that may not be stored yet; also returns which of it was not."""
        for snippet in maybe_new.values():
            snippet.source.encode(), (snippet.params or "").encode()  # refused now or not at all
        self._check_queues(parts, queued_most)
        if needs is not None:
            self._cached_instance(needs)
        created: list[Created] = []
        alike: list[tuple[Alike, int]] = []
        event_rows: list[Any] = []
        with_extras: list[tuple[NewInstance, Change]] = []
        refused = []
        ids: set[Identity] = set()
        # Checked first, per process on purpose: the file's lock makes this the only writer, and a conflict in an INSERT
        # of many rows would undo those of other calls.
        for part in parts:
            if isinstance(part, Alike):
                if self._are_free(part, ids):
                    ids |= part.identities
                    alike.append((part, self._take_keys(len(part))))
                    created.append(alike[-1])
                    continue
                part = part.singles()
            for index, new in part:
                if self._is_taken((new.tenant, new.id), ids):
                    refused.append(Refusal(index, new.id, InstanceAlreadyExists.code))
                    continue
                if new.flow is not None and (living := self.flow.living(new, created, self.flush)) is not None:
                    refused.append(Refusal(index, *living))
                    continue
                ids.add((new.tenant, new.id))
                row = initial_row(new, self._take_keys(1), at)
                events: Sequence[NewEvent] = (first_event(new), *new.events)
                if self._keyring:
                    events = encrypt_secrets(self._keyring, row, events)
                encode_or_none(new.metadata), encode_or_none(new.limits)  # refused now or not at all
                change = project(row, events, at, {})
                assert change.row.last_seq == len(events), "the seq of a new journal counts from 1"
                created.append(change.row)
                event_rows += columns.event_values(row, events, None, at)[0]
                if new.parent is not None or new.events:
                    with_extras.append((new, change))
        if instead_of is not None:
            self._detach_children(*instead_of)  # after everything that may be refused
        rows = [row for row in created if isinstance(row, InstanceRow)]
        self._new.rows += rows
        self._new.alike += alike
        for row, n in (*((row, 1) for row in rows), *((part.row, len(part)) for part, _ in alike)):
            self.queues.counts.move(row.tenant, row.queue, None, row.status, n)
        for row in rows:
            self.flow.note(None, row)
        self._events += event_rows
        if created:
            self._new_due = at if self._new_due is None else min(at, self._new_due)
        for new, change in with_extras:
            self._kv.update(self._new.add(new, change))
            self._note_tags(change)
        self._new.ids |= ids
        run = {row.snippet for row in (*rows, *(part.row for part, _ in alike))} & maybe_new.keys()
        return created, refused, self._new.add_snippets(run, maybe_new, self._has_snippet)

    def _take_keys(self, count: int) -> int:
        """The first of so many new keys in a row."""
        key = self._next_key
        self._next_key += count
        return key

    def _is_taken(self, identity: Identity, ids: AbstractSet[Identity]) -> bool:
        if identity in ids or identity in self._new.ids:
            return True
        return self._run_sql(self._sql["key_of_id"], identity).fetchone() is not None

    def _are_free(self, part: Alike, ids: AbstractSet[Identity]) -> bool:
        """Whether no id of theirs is taken, or repeats."""
        if len(part.identities) < len(part) or not (
            part.identities.isdisjoint(ids) and part.identities.isdisjoint(self._new.ids)
        ):
            return False
        return self._alike.are_free(self._run_sql, part)

    def _has_snippet(self, id: str) -> bool:
        return self._run_sql(self._sql["has_snippet"], (id,)).fetchone() is not None

    def _check_queues(self, parts: Sequence[Part], queued_most: Mapping[str, int]) -> None:
        """Raises QueueFull."""
        tenants: set[str] = set()
        for part in parts:
            tenants |= {part.tenant} if isinstance(part, Alike) else {new.tenant for _, new in part}
        for tenant in tenants & queued_most.keys():
            queued, most = self.queues.counts.count_of_tenant(tenant, QUEUED), queued_most[tenant]
            if queued >= most:
                raise QueueFull(tenant, queued, most)

    def _detach_children(self, parent: int, kind: str) -> None:
        """Detach an instance's children of a kind from it. Raises ChildrenUnfinished."""
        self.flush()
        if self._run_sql(self._sql["unfinished_child"], (parent, kind)).fetchone() is not None:
            raise ChildrenUnfinished(f"instance number {parent} has children of kind {kind!r} that have not ended")
        self._execute_named("part_children", (parent, kind))

    def append(
        self, key: int, events: Sequence[NewEvent], execution: int | None, at: int, last_seq: int | None = None
    ) -> Committed:
        """`Store.append`."""
        cached = self._fenced_instance(key, execution)
        if last_seq is not None and cached.row.last_seq != last_seq:
            return Committed((), cached.row)
        return self._append_events(cached, events, execution, at)

    def decide(self, key: int, decider: Decider, execution: int | None, at: int) -> Committed:
        """`Store.decide`."""
        cached = self._fenced_instance(key, execution)
        self.flush()
        events = decider(self._steps.snapshot(cached, needs_of(decider)))
        return self._append_events(cached, events, execution, at)

    def join_node(self, name: str) -> int:
        """Count a new boot of a node; returns its number."""
        self._begin_transaction()
        boot: int = self._run_sql(self._sql["join_node"], (name,)).fetchone()[0]
        return boot

    def row(self, key: int) -> InstanceRow:
        """The instance's row in this transaction. Raises InstanceNotFound."""
        return self._cached_instance(key).row

    def change_row(self, row: InstanceRow, **changed: Any) -> InstanceRow:
        """Change a row without an event, as only `claim` and `unclaim` do."""
        cached = self._cached_instance(row.key)
        cached.row = replace(cached.row, **changed)
        assert cached.row.execution >= row.execution, "an execution number never decreases"
        assert cached.row.last_seq == row.last_seq, "only events change last_seq"
        self._touched[row.key] = self._unwritten[row.key] = cached
        return cached.row

    def delete(self, key: int) -> None:
        """`Store.delete`."""
        row = self._cached_instance(key).row
        self.flush()
        for name in DELETE_INSTANCE:
            self._execute_named(name, (key,))
        self.queues.row_deleted(row)
        self.queues.write()
        self.flow.note(row, None)
        self.flow.write()
        self._touched.pop(key, None)
        self._cache.forget(key)
        self._deleted.append(key)

    def expire(self, before: int, limit: int, chaos: bool, retained: bool) -> int:
        """`Store.expire`."""
        query = "retained_until" if retained else "ended_before_chaos" if chaos else "ended_before"
        return self._delete_found(query, (before, limit), keep_ids=True)

    def take_chore(self, name: str, at: int, until: int) -> bool:
        """`Store.take_chore`."""
        self._execute_named("take_chore", (name, at, until))
        return self._changes() > 0

    def forget_used_ids(self, before: int, limit: int) -> int:
        """`Store.forget_used_ids`."""
        self._execute_named("forget_used_ids", (before, limit))
        return self._changes()

    def delete_ended(self, tenant: str, limit: int) -> int:
        """`Store.delete_ended`."""
        return self._delete_found("ended_of_tenant", (tenant, limit), keep_ids=False)

    def _delete_found(self, query: str, values: Sequence[Any], *, keep_ids: bool) -> int:
        self.flush()
        removed = size = 0
        for key, bytes_ in self._run_sql(self._sql[query], values).fetchall():
            if keep_ids:
                self._execute_named("keep_id", (key,))
            self.delete(key)
            removed += 1
            size += bytes_
            if size >= EXPIRED_BYTES:
                break
        return removed

    def write_tables(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work`, which changes tables that are not journals, in the open transaction."""
        self._begin_transaction()
        return work(self._db)

    def write_tables_with_rows(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write_tables`, for work that also reads the rows of instances."""
        self.flush()
        return self.write_tables(work)

    def shrink(self) -> None:
        """`Store.shrink`. Touched instances stay in `_touched`."""
        self._cache.clear()
        shrink(self._db)

    def put_snippet(self, snippet: Snippet) -> Snippet:
        """`Store.put_snippet`."""
        self._execute_named("insert_snippet", (snippet.id, snippet.source, snippet.params, snippet.created_at))
        return Snippet(*self._run_sql(self._sql["snippet"], (snippet.id,)).fetchone())

    def flush(self) -> None:
        """Write the staged changes, in the open transaction."""
        if not self._unwritten and not self._new:
            return
        self._begin_transaction()
        if self._new:
            self._write_new()
        appended: list[Any] = []
        steps, inbox = self._new.take_steps_and_inbox()
        for cached in self._unwritten.values():
            row, stored = cached.row, cached.stored
            assert row.execution >= stored.execution and row.last_seq >= stored.last_seq, "a row only moves forward"
            if columns.only_appended(stored, row):
                appended += (row.key, row.last_seq, row.log_bytes, row.stored_bytes, row.clock, row.clock_at)
            else:
                self._execute_named("update_instance", columns.instance_update(row))
                self.queues.row_changed(row, stored)
                self.flow.note(stored, row)
                if row.params is not stored.params:
                    self._execute_named("update_params", (encode_or_none(row.params), row.key))
            if cached.changed or cached.keep_before_seq is not None:
                steps += self._write_steps(cached)
            if cached.inbox_cleared or cached.inbox_removed or cached.inbox_added:
                inbox += self._write_inbox(cached)
            cached.mark_written()
        self._run_bulk(self._append_to_instances, columns.APPENDED_COLUMNS, appended)
        self._run_bulk(self._insert_events, columns.EVENT_COLUMNS, self._events)
        self._run_bulk(self._insert_steps, columns.STEP_COLUMNS, steps)
        self._run_bulk(self._insert_inbox, columns.INBOX_COLUMNS, inbox)
        self._write_kv()
        for message in self._messages:
            self._execute_named("send_message", message)
        self._messages.clear()
        for tag in self._tags:
            self._execute_named("insert_tag", tag)
        self._tags.clear()
        self.queues.write()
        self.flow.write()
        self._unwritten.clear()
        self._uncounted += len(self._events) // columns.EVENT_COLUMNS
        self._events.clear()

    def commit(self) -> CommitChanges:
        """`writer.Transaction.commit`."""
        self.flush()
        ended = [key for key, cached in self._touched.items() if cached.row.status in FINAL_STATUSES]
        in_families = [key for key in ended if self._run_sql(self._sql["is_in_family"], (key,)).fetchone() is not None]
        if self._db.in_transaction:
            self._run_sql("COMMIT")
            self.metrics.commits += 1
            self.metrics.failing = False
            self.metrics.events += self._uncounted
            self._uncounted = 0
        self.queues.counts.commit()
        appended: list[tuple[int, int | None]] = [(key, cached.row.last_seq) for key, cached in self._touched.items()]
        appended += [(key, None) for key in self._deleted]
        due, self._new_due = self.flow.take_due(self._new_due), None
        if self.queues.has_freed_capacity:
            due, self.queues.has_freed_capacity = 0, False
        for cached in self._touched.values():
            row = cached.row
            if row.owner is None and row.due_at is not None and (due is None or row.due_at < due):
                due = row.due_at
            if cached.row.status in FINAL_STATUSES:
                self._cache.forget(cached.key)
            else:
                self._cache.put(cached)
        self._touched.clear()
        self._deleted.clear()
        sent, self._new_sent = self._new_sent, None
        return CommitChanges(appended, due, in_families, sent)

    def rollback(self) -> None:
        """`writer.Transaction.rollback`."""
        with contextlib.suppress(sqlite3.Error):  # a full or failing disk has rolled it back already
            if self._db.in_transaction:
                self._run_sql("ROLLBACK")
        for key in self._touched:
            self._cache.forget(key)
        self._uncounted = 0
        self._touched.clear()
        self._unwritten.clear()
        self._events.clear()
        self._kv.clear()
        self._messages.clear()
        self._tags.clear()
        self._new.clear()
        self._deleted.clear()
        self._new_due = self._new_sent = None
        self.queues.rollback()
        self.flow.rollback()

    def explain(self, fault: Exception) -> Exception:
        """`writer.Transaction.explain`."""
        if isinstance(fault, sqlite3.IntegrityError):
            return JournalError(f"the journal holds this already: {fault}")
        if isinstance(fault, sqlite3.Error):
            return StoreError(f"the database cannot be written: {fault}")
        return JournalError(f"a row cannot be written: {fault}")

    def close(self) -> None:
        """`writer.Transaction.close`."""
        self._db.close()

    def _fenced_instance(self, key: int, execution: int | None) -> CachedInstance:
        cached = self._touched.get(key) or self._cached_instance(key)
        check_fence(cached.row, execution)
        return cached

    def _cached_instance(self, key: int) -> CachedInstance:
        cached = self._touched.get(key) or self._cache.get(key)
        if cached is None:
            found = self._run_sql(self._sql["instance_by_key"], (key,)).fetchone()
            if found is None:
                raise InstanceNotFound(f"there is no instance number {key}")
            cached = CachedInstance(columns.instance_row(found), columns.instance_weight(found))
        return cached

    def _append_events(
        self, cached: CachedInstance, events: Sequence[NewEvent], execution: int | None, at: int
    ) -> Committed:
        row = cached.row
        if not events:
            return Committed([], row)
        stamp = execution if execution is not None else row.execution or None
        if self._keyring:
            events = encrypt_secrets(self._keyring, row, events)
        values, written = columns.event_values(row, events, stamp, at)
        change = project(row, events, at, self._steps.steps_to_fold(cached, events))
        assert written[-1].seq == change.row.last_seq, "the projection's last_seq is the journal's"
        if change.keep_before_seq is not None:
            self.flush()
        self._stage(cached, change, values)
        if change.keep_before_seq is not None:
            self.flush()
        return Committed(written, change.row)

    def _stage(self, cached: CachedInstance, change: Change, values: list[Any]) -> None:
        cached.apply(change)
        self._events += values
        self._touched[cached.key] = self._unwritten[cached.key] = cached
        if change.kv:
            scope = scope_of(change.row)
            self._kv.update({(*scope, key): text for key, text in change.kv.items()})
        for message in change.messages:
            self._messages.append((owner_of(change.row), *message))
            self._new_sent = message.due_at if self._new_sent is None else min(message.due_at, self._new_sent)
        self._note_tags(change)

    def _note_tags(self, change: Change) -> None:
        self._tags += [(change.row.tenant, tag, change.row.key) for tag in change.tagged]

    def _write_new(self) -> None:
        for row in self._new.rows:
            self.queues.add_turn(row)  # it was counted when it was created
        values, origins = self._new.take_rows()
        self._run_bulk(self._insert_instances, columns.INSTANCE_COLUMNS, values)
        self._run_bulk(self._insert_origins, columns.ORIGIN_COLUMNS, origins)
        for part, key in self._new.take_alike():
            self.queues.add_turn(part.row)
            self._alike.insert(self._run_sql, part, key)
            self._uncounted += len(part)
        for snippet in self._new.take_snippets():
            self._execute_named("insert_snippet", (snippet.id, snippet.source, snippet.params, snippet.created_at))
        for child in self._new.take_children():
            self._execute_named("insert_child", child)
        for parts in self._new.take_parts():
            self._execute_named("copy_parts", parts)
        for awaited in self._new.take_awaited():
            self._execute_named("insert_awaited", awaited)

    def _write_steps(self, cached: CachedInstance) -> list[Any]:
        generation = cached.row.generation
        new: list[Any] = []
        if cached.keep_before_seq is not None:
            self._execute_named("drop_steps", (cached.key, cached.keep_before_seq))
            self._execute_named("keep_steps", (generation, cached.key))
            self._execute_named("clear_parts", (cached.key,))
        for key, row in cached.changed.items():
            result = cached.results.get(key)
            if key in cached.started:
                new += columns.step_values(cached.key, generation, row, result)
            elif result is None:
                self._execute_named("update_step", columns.step_update(cached.key, generation, row))
            else:
                self._execute_named("end_step", columns.step_update(cached.key, generation, row, result))
        return new

    def _write_inbox(self, cached: CachedInstance) -> list[Any]:
        if cached.inbox_cleared:
            self._execute_named("delete_inbox", (cached.key,))
        for seq in cached.inbox_removed:
            self._execute_named("delete_inbox_row", (cached.key, seq))
        return [value for row in cached.inbox_added.values() for value in columns.inbox_values(cached.key, row)]

    def _write_kv(self) -> None:
        for place, text in self._kv.items():
            if text is None:
                self._execute_named("delete_key", place)
            else:
                self._execute_named("put_key", (*place, text))
        self._kv.clear()

    def _run_bulk(self, statements: Sequence[tuple[int, str]], width: int, values: list[Any]) -> None:
        start, end = 0, len(values)
        for rows, statement in statements:
            size = rows * width
            while end - start >= size:
                self._run_sql(statement, values[start : start + size])
                start += size

    def _begin_transaction(self) -> None:
        if not self._db.in_transaction:
            self._run_sql("BEGIN IMMEDIATE")

    def _execute_named(self, name: str, values: Sequence[Any]) -> None:
        self._begin_transaction()
        self._run_sql(self._sql[name], values)

    def _changes(self) -> int:
        """The number of rows that the last statement changed."""
        found: int = self._run_sql("SELECT changes()").fetchone()[0]
        return found
