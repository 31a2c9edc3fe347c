"""The journal store over PostgreSQL: any number of nodes, each with a writer, readers and a messenger.

Where a node's clock may be wrong, the database's counts: for leases and for what is due, and nodes go by it
(`NodeStore.clock`). With `uses_caller_clock` (tests, which inject clocks) `at` counts instead.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from time import perf_counter
from typing import Any

from playground.store import audit, columns
from playground.store.alerts import AlertStore
from playground.store.audit import AuditStore
from playground.store.bulks import BulkStore
from playground.store.encryption import Keyring
from playground.store.errors import CLOSED, StoreError
from playground.store.flow import Place
from playground.store.messages import MessageStore
from playground.store.metrics import COMMIT_BOUNDS, Histogram, StoreHealth, StoreMetrics
from playground.store.named_sql import NamedSql
from playground.store.notifications import Floor, Notifications
from playground.store.postgres import flow
from playground.store.postgres.alerts import PostgresAlerts
from playground.store.postgres.audit import insert_audit
from playground.store.postgres.bulks import PostgresBulks
from playground.store.postgres.claims import Claims
from playground.store.postgres.connections import OUTAGE_SECONDS, Connections, Transaction
from playground.store.postgres.creation import Creator
from playground.store.postgres.lanes import is_new, put_back
from playground.store.postgres.locked import not_found
from playground.store.postgres.messages import PostgresMessages
from playground.store.postgres.nodes import CONNECTIONS as OF_HEARTBEAT
from playground.store.postgres.nodes import PostgresNodes
from playground.store.postgres.notify import POLL_SECONDS, POLL_WITHOUT_LISTEN_SECONDS, Hints, Messenger
from playground.store.postgres.opening import Facts, prepare, run_blocking
from playground.store.postgres.schedules import PostgresSchedules
from playground.store.postgres.search import PostgresSearch
from playground.store.postgres.services import PostgresServices
from playground.store.postgres.step_bytes import PostgresStepBytes
from playground.store.postgres.tables import (
    PostgresAudit,
    PostgresEffects,
    PostgresFamilies,
    PostgresKv,
    PostgresTenants,
    PostgresUsage,
    Tables,
)
from playground.store.postgres.upkeep import Upkeep
from playground.store.postgres.writer import Call, Writer
from playground.store.projection_rules import replace
from playground.store.protocol import (
    ANY_NUMBER,
    NO_LIMITS,
    Claimed,
    ClaimLimits,
    Committed,
    Decider,
    History,
    Log,
    NodeStore,
    Refusal,
)
from playground.store.rows import Child, InstanceRow, NewInstance, Snippet, StepRow
from playground.store.schedules import ScheduleStore
from playground.store.search import SearchStore
from playground.store.secret_values import decrypt_result
from playground.store.services import ServiceStore
from playground.store.snippets import SnippetCache, make_snippet
from playground.store.step_bytes import StepBytesStore
from playground.store.tables import EffectStore, FamilyStore, KvStore, TenantStore, UsageStore
from playground.workflows.errors import Fenced, InstanceExpired, InstanceNotFound
from playground.workflows.events import STATUSES, Event, NewEvent, StepKey

NEWEST = 2**63 - 1
SLOW_SECONDS = 1.0  # commits that take this long are logged
STREAM_BATCH_BYTES = 4 * 1024 * 1024  # events_json() stops after this
LANES_MAX = 10_000  # searched for the oldest new instance
EXPIRED_BYTES = 16 * 1024 * 1024  # of values and logs that one expire() deletes

Rows = list[InstanceRow]  # the class has a method named `list`


class PostgresStore:
    """Implements `protocol.Store`; created by `PostgresStore.open`."""

    def __init__(
        self, url: str, facts: Facts, *, log: Log, slow_seconds: float, keyring: Keyring,
        lease_clock: Callable[[], int] | None, uses_caller_clock: bool, outage_seconds: float,
        poll_seconds: float | None,
    ) -> None:  # fmt: skip
        self._facts, self._keyring = facts, keyring
        self._sql = NamedSql(Path(__file__).with_name("queries.sql"))
        self._connections = Connections(url, pooled=facts.pooled, outage_seconds=outage_seconds, log=log)
        usual = POLL_WITHOUT_LISTEN_SECONDS if facts.pooled else POLL_SECONDS
        poll_ms = round((usual if poll_seconds is None else poll_seconds) * 1000)
        self.poll_ms: int | None = poll_ms
        self._notifications = Notifications(self._last_seq, Floor(poll_ms, self._last_seqs, self.next_due))
        notify_seconds = Histogram(COMMIT_BOUNDS)
        self._messenger = Messenger(self._connections, self._notifications, notify_seconds)
        publish = self._messenger.publish
        self._writer = Writer(self._connections, self._sql, keyring, publish, log, slow_seconds)
        self._writer.metrics.notify_seconds = notify_seconds
        self._upkeep = Upkeep(self._connections, self._sql, facts.partitions_end, lambda: self._writer.metrics.commits)
        self._creator = Creator(self._connections, self._sql, keyring, self._writer, publish, self._upkeep)
        self._snippets = SnippetCache()
        lease_now: Callable[[], int | None] = lease_clock or _database_clock
        self._lease_now = lease_now
        self._claims = Claims(
            self._connections, self._sql, self._writer, lambda: self._messenger.full,
            uses_caller_clock=uses_caller_clock, lease_now=lease_now, publish=publish,
        )  # fmt: skip
        self._closed = False
        self._heartbeat = Connections(
            url, pooled=facts.pooled, outage_seconds=outage_seconds, log=lambda *_, **__: None, most=OF_HEARTBEAT
        )
        self.nodes: NodeStore = PostgresNodes(
            self._heartbeat, self._sql, lease_now, self._connections.break_all, has_clock=not uses_caller_clock
        )
        tables = Tables(self._connections, self._writer, keyring, self._creator.settled)
        self.kv: KvStore = PostgresKv(tables)
        self.effects: EffectStore = PostgresEffects(tables)
        self.families: FamilyStore = PostgresFamilies(tables)
        self.tenants: TenantStore = PostgresTenants(tables)
        self.usage: UsageStore = PostgresUsage(tables)
        self.messages: MessageStore = PostgresMessages(tables, self._on_sent)
        self.schedules: ScheduleStore = PostgresSchedules(tables, self._connections)
        self.services: ServiceStore = PostgresServices(tables, self._connections)
        self.audit: AuditStore = PostgresAudit(tables)
        self.bulks: BulkStore = PostgresBulks(tables, self._connections)
        self.alerts: AlertStore = PostgresAlerts(tables)
        self.step_bytes: StepBytesStore = PostgresStepBytes(tables, self._sql["clear_parts"])
        self.search: SearchStore = PostgresSearch(self._connections, self._sql["instances_by_keys"])

    @classmethod
    def open(
        cls,
        url: str,
        *,
        log: Log = lambda *_, **__: None,
        slow_seconds: float = SLOW_SECONDS,
        keyring: Keyring | None = None,
        lease_clock: Callable[[], int] | None = None,
        uses_caller_clock: bool = False,
        outage_seconds: float = OUTAGE_SECONDS,
        poll_seconds: float | None = None,
    ) -> "PostgresStore":
        """Open a database, and migrate its schema to the newest version. Blocks.

        Args:
            log: called as `log(event, **fields)` for a migration, failed and slow commits, outages, and a pooler.
            keyring: encrypts tenants' secrets. None: encrypted values cannot be read, and plaintext is left as it is.
            lease_clock: milliseconds by which the leases of nodes expire. None: the database's clock.
            uses_caller_clock: what is due is compared with `at`, and not with the database's clock.
            outage_seconds: how long a call waits for a database that is away before it raises StoreError.
            poll_seconds: between looks for what was not notified. None: 1, or 0.25 behind a pooler.

        Raises:
            StoreError: the database is unusable; one line says why.
        """
        facts = run_blocking(prepare(url, keyring, log))
        return cls(
            url, facts, log=log, slow_seconds=slow_seconds, keyring=keyring or Keyring(), lease_clock=lease_clock,
            uses_caller_clock=uses_caller_clock, outage_seconds=outage_seconds, poll_seconds=poll_seconds,
        )  # fmt: skip

    async def create(
        self,
        instances: Sequence[NewInstance],
        *,
        at: int,
        queued_most: Mapping[str, int] = ANY_NUMBER,
        instead_of: tuple[int, str] | None = None,
        needs: int | None = None,
    ) -> tuple[list[InstanceRow], list[Refusal]]:
        self._check_open()
        snippets = (new.snippet for new in instances if not isinstance(new.snippet, str))
        maybe_new = {snippet.id: snippet for snippet in snippets if self._snippets.get(snippet.id) is None}
        submit = self._creator.submit
        if needs is None:
            rows, refused, stored = await submit(instances, maybe_new, at, queued_most, instead_of, needs)
        else:  # in the order of this caller's calls on the instance

            async def in_turn() -> Any:
                return await submit(instances, maybe_new, at, queued_most, instead_of, needs)

            rows, refused, stored = await self._writer.submit(needs, Call(turn=in_turn))
        for snippet in stored:
            self._snippets.put(snippet)
        return rows, refused

    async def append(
        self,
        key: int,
        events: Sequence[NewEvent],
        *,
        execution: int | None,
        at: int,
        on_commit: Callable[[Committed], None] | None = None,
        last_seq: int | None = None,
    ) -> Committed:
        committed: Committed = await self._submit(key, Call(events, execution, at, last_seq, on_commit))
        return committed

    async def decide(self, key: int, decider: Decider, *, execution: int | None, at: int) -> Committed:
        entry = audit.pending_entry() if execution is None else None
        committed: Committed = await self._submit(key, Call(decider, execution, at, audit=entry))
        if entry is not None and committed.events:
            audit.mark_written()
        return committed

    async def claim(
        self,
        owner: str,
        limit: int,
        *,
        at: int,
        limits: ClaimLimits = NO_LIMITS,
        closed: Sequence[tuple[str, str]] = (),
    ) -> Claimed:
        self._check_open()
        await self._creator.settled()
        claimed: Claimed = await self._writer.spawn(self._claims.claim(owner, limit, at, limits, closed))
        return claimed

    async def unclaim(self, key: int, *, execution: int) -> None:
        hints = Hints()

        async def work(tx: Transaction) -> None:
            found = await tx.row(self._sql["instance_locked"], key)
            if found is None:
                raise not_found(key)
            row = columns.instance_row(found)
            if row.execution != execution or row.in_execution:
                raise Fenced(
                    f"instance {row.id} is at execution {row.execution}, so execution {execution} cannot be given back"
                )
            if row.owner is not None:
                await tx.rows(self._sql["unclaim"], key)
                after = replace(row, owner=None)
                if is_new(after):
                    await put_back(tx, self._sql, after)
                hints.add_row(after, row)

        await self._change(key, work, hints)

    async def next_due(self, after: int | None = None) -> int | None:
        query, values = ("next_due", ()) if after is None else ("next_due_after", (after,))
        found = await self._read(query, *values)
        return found[0][0] if found else None

    async def place(self, row: InstanceRow, *, at: int) -> Place:
        self._check_open()
        return await self._connections.snapshot(lambda tx: flow.place(tx, self._sql, row, at))

    async def ahead(self, row: InstanceRow, *, at: int) -> int:
        self._check_open()
        return await self._connections.snapshot(lambda tx: flow.ahead(tx, self._sql, row, at))

    async def oldest_due(self) -> int | None:
        [[due]] = await self._read("oldest_due", LANES_MAX)
        return None if due is None else int(due)

    @property
    def product(self) -> tuple[str, str]:
        return "PostgreSQL", self._facts.version

    @property
    def metrics(self) -> StoreMetrics:
        return self._writer.metrics

    async def health(self) -> StoreHealth:
        [[nodes, size, oldest]] = await self._read("health", self._lease_now())
        dead = await self._read("dead_rows")
        return StoreHealth(nodes, dict(dead), float(oldest), size)

    async def load(self, key: int) -> History:
        async def read(tx: Transaction) -> tuple[Any, Any, Any]:
            found = await tx.row(self._sql["instance_by_key"], key)
            if found is None:
                raise not_found(key)
            row = columns.instance_row(found)
            return row, await tx.rows(self._sql["steps"], key, row.generation), await tx.rows(self._sql["inbox"], key)

        self._check_open()
        row, step_rows, inbox = await self._connections.snapshot(read)
        steps = (decrypt_result(self._keyring, key, columns.step_row(step)) for step in step_rows)
        return History.of_rows(row, steps, [columns.inbox_row(received) for received in inbox])

    async def row(self, key: int) -> InstanceRow:
        found = await self._read("instance_by_key", key)
        if not found:
            raise not_found(key)
        return columns.instance_row(found[0])

    async def find(self, tenant: str, id: str) -> InstanceRow:
        found = await self._read("instance_by_id", tenant, id)
        if found:
            return columns.instance_row(found[0])
        used = await self._read("used_id", tenant, id)
        if not used:
            raise InstanceNotFound(f"there is no instance {id}")
        workflow, status, ended_at = used[0]
        raise InstanceExpired(id, workflow, status, ended_at)

    async def events(self, key: int, *, after: int, limit: int) -> list[Event]:
        found = [columns.event(row) for row in await self._read("events_after", key, after, limit)]
        assert not found or found[-1].seq - found[0].seq == len(found) - 1, "seq has no gap"
        return found

    async def step(self, row: InstanceRow, step: StepKey) -> StepRow | None:
        values = (row.key, row.generation, step.kind, columns.step_path(step), step.count)
        found = await self._read("step_without_result", *values)
        return columns.step_row(found[0]) if found else None

    async def open_waits(self, keys: Sequence[int], *, limit: int) -> Mapping[int, Sequence[StepRow]]:
        return columns.steps_by_instance(await self._read("open_waits", [*keys], limit))

    async def events_json(
        self, key: int, *, after: int, limit: int, types: Collection[str] | None = None
    ) -> list[tuple[int, str, bytes]]:
        sizes_query, query = "event_sizes_after", "events_after"
        only: tuple[list[str], ...] = ()
        if types is not None:
            sizes_query, query, only = "event_sizes_of_types_after", "events_of_types_after", ([*types],)
        sizes, size = await self._read(sizes_query, key, after, limit, *only), 0
        for number, (_, bytes_) in enumerate(sizes, 1):
            size += bytes_
            if size >= STREAM_BATCH_BYTES:
                limit = number
                break
        found = [columns.event_json(_as_bytes(row)) for row in await self._read(query, key, after, limit, *only)]
        dense = not found or found[-1][0] - found[0][0] == len(found) - 1
        assert dense or types is not None, "seq has no gap"
        return found

    def subscribe(self, key: int) -> AbstractAsyncContextManager[Callable[[int], Awaitable[int]]]:
        self._messenger.start()
        return self._notifications.watch(key)

    def listen(self, key: int, listener: Callable[[int | None], None]) -> Callable[[], None]:
        self._messenger.start()
        return self._notifications.listen(key, listener)

    def listen_ended(self, listener: Callable[[Sequence[int]], None]) -> Callable[[], None]:
        return self._notifications.listen_ended(listener)

    def listen_due(self, listener: Callable[[int], None]) -> Callable[[], None]:
        self._messenger.start()
        return self._notifications.listen_due(listener)

    def listen_sent(self, listener: Callable[[int], None]) -> Callable[[], None]:
        self._messenger.start()
        return self._notifications.listen_sent(listener)

    async def list(
        self,
        tenant: str | None,
        *,
        status: str | None = None,
        workflow: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Rows:
        older = NEWEST if before is None else before
        if tenant is None:
            assert workflow is None, "a workflow's name says little without its tenant"
            if status is None:
                found = await self._read("list_all", older, limit)
            else:
                found = await self._read("list_status", status, older, limit)
        else:
            statuses = [status] if status is not None else [*STATUSES]
            found = await self._read("list_tenant", tenant, statuses, older, limit, workflow)
        return heapq.nlargest(limit, map(columns.instance_row, found), key=lambda row: row.key)

    async def children(self, key: int, kind: str, *, limit: int = 50) -> Sequence[Child]:
        return [columns.child(row) for row in await self._read("children", key, kind, limit)]

    async def count(self, *, tenant: str | None = None, queue: str | None = None) -> dict[str, int]:
        if tenant is not None and queue is not None:
            return dict(await self._read("counts_of_tenants_queue", tenant, queue))
        if tenant is not None:
            return dict(await self._read("counts_of_tenant", tenant))
        return dict(await (self._read("counts") if queue is None else self._read("counts_of_queue", queue)))

    async def delete(self, key: int) -> None:
        hints = Hints()

        async def work(tx: Transaction) -> None:
            if not await self._delete(tx, [key], hints):
                raise not_found(key)
            if entry is not None:
                await insert_audit(tx, entry)

        entry = audit.pending_entry()
        await self._change(key, work, hints)
        if entry is not None:
            audit.mark_written()

    async def expire(self, before: int, limit: int = 100, *, chaos: bool = False, retained: bool = False) -> int:
        query = "retained_until" if retained else "ended_before_chaos" if chaos else "ended_before"
        return await self._delete_found(query, (before, limit), keep_ids=True)

    async def delete_ended(self, tenant: str, limit: int = 100) -> int:
        return await self._delete_found("ended_of_tenant", (tenant, limit), keep_ids=False)

    async def take_chore(self, name: str, *, at: int, until: int) -> bool:
        return bool(await self._write("take_chore", name, at, until))

    async def forget_used_ids(self, before: int, limit: int = 1_000) -> int:
        return len(await self._write("forget_used_ids", before, limit))

    async def put_snippet(self, source: str, params: str | None, *, at: int) -> Snippet:
        new = make_snippet(source, params, at)
        if self._snippets.get(new.id) is None:
            values = ([new.id], [source.encode()], [None if params is None else params.encode()], [at])
            await self._write("insert_snippets", *values)
        stored = await self.snippet(new.id)
        assert stored is not None, "a snippet is never deleted"
        return stored

    async def snippet(self, id: str) -> Snippet | None:
        known = self._snippets.get(id)
        if known is None:
            for found_id, source, params, created_at in await self._read("snippet", id):
                known = Snippet(found_id, source.decode(), None if params is None else params.decode(), created_at)
                self._snippets.put(known)
        return known

    async def shrink(self) -> None:
        self._snippets.clear()
        self._writer.shrink()
        self._connections.forget_free()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._writer.close()
            await self._messenger.flush()
            for connections in (self._connections, self._heartbeat):
                connections.stop()
            await self._upkeep.close()
            await self._messenger.close()
            for connections in (self._connections, self._heartbeat):
                await connections.close()

    def _on_sent(self, due_at: int) -> None:
        hints = Hints()
        hints.add_sent(due_at)
        self._messenger.publish(hints)

    def _check_open(self) -> None:
        """Raises StoreError."""
        if self._closed:
            raise StoreError(CLOSED)
        self._upkeep.start()

    def _submit(self, key: int, call: Call) -> "asyncio.Future[Any]":
        self._check_open()
        return self._writer.submit(key, call)

    async def _read(self, query: str, *values: Any) -> Sequence[Any]:
        self._check_open()
        return await self._connections.reading(self._sql[query], *values)

    async def _write(self, query: str, *values: Any) -> Sequence[Any]:
        self._check_open()
        since = perf_counter()
        found = await self._connections.transaction(lambda tx: tx.rows(self._sql[query], *values))
        self._writer.count_commit(since, 0, 1)
        return found

    async def _change(self, key: int, work: Callable[[Transaction], Awaitable[None]], hints: Hints) -> None:
        """Change an instance otherwise than by events, in the order of the calls on it."""
        since = perf_counter()
        await self._submit(key, Call(work=work))
        self._writer.forget(key)
        self._writer.count_commit(since, 0, 1)
        self._messenger.publish(hints)

    async def _delete(self, tx: Transaction, keys: Sequence[int], hints: Hints) -> int:
        found = await tx.rows(self._sql["lock_for_delete"], keys)
        for key, _, queue, _, owned in found:
            hints.add_deleted(key, queue, owned=owned)
        await tx.rows(self._sql["delete_instances"], [row[0] for row in found])
        return len(found)

    async def _delete_found(self, query: str, values: Sequence[Any], *, keep_ids: bool) -> int:
        self._check_open()
        hints, since = Hints(), perf_counter()

        async def work(tx: Transaction) -> int:
            keys, size = [], 0
            for key, bytes_ in await tx.rows(self._sql[query], *values):
                keys.append(key)
                size += bytes_
                if size >= EXPIRED_BYTES:
                    break
            if keep_ids:
                await tx.rows(self._sql["keep_id"], keys)
            tx.changed = bool(keys)
            return await self._delete(tx, keys, hints)

        deleted = await self._connections.transaction(work)
        for key in hints.last_seqs:
            self._writer.forget(key)
        if deleted:
            self._writer.count_commit(since, 0, 1)
            self._messenger.publish(hints)
        return deleted

    async def _last_seqs(self, keys: Sequence[int]) -> dict[int, int]:
        return dict(await self._read("last_seqs", keys))

    async def _last_seq(self, key: int) -> int:
        found = await self._last_seqs([key])
        if not found:
            raise not_found(key)
        return found[key]


def _database_clock() -> None:
    """No clock of the caller's: the database's counts."""


def _as_bytes(row: Sequence[Any]) -> Sequence[Any]:
    seq, at, kind, execution, step, data = row
    return seq, at, kind.encode(), execution, None if step is None else step.encode(), data.encode()
