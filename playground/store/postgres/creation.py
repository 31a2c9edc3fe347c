"""Creating instances: all creates that wait are one transaction, and each may be refused alone."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

from playground.store import columns
from playground.store.cache import CachedInstance
from playground.store.encoding import encode_or_none
from playground.store.encryption import Keyring
from playground.store.errors import ChildrenUnfinished, JournalError, QueueFull, StoreError
from playground.store.flow import Scope, scope_of_unique
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Connections, PartitionMissing, Transaction
from playground.store.postgres.flow import living_of
from playground.store.postgres.lanes import share_lanes
from playground.store.postgres.locked import is_callers, not_found
from playground.store.postgres.notify import Hints
from playground.store.postgres.upkeep import Upkeep
from playground.store.postgres.write import Staged, create_statement
from playground.store.postgres.writer import Writer
from playground.store.projection import first_event, initial_row, project
from playground.store.protocol import Refusal
from playground.store.rows import Awaited, InstanceRow, NewInstance, Snippet
from playground.store.secret_values import encrypt_secrets
from playground.workflows.errors import InstanceAlreadyExists
from playground.workflows.events import QUEUED, NewEvent
from playground.workflows.flow import DEBOUNCED, SINGLETON

CREATES_PER_COMMIT = 200  # calls
Identity = tuple[str, str]  # tenant, id
Created = tuple[list[InstanceRow], list[Refusal], list[Snippet]]
GUARD = "create "  # of a tenant whose queue has a limit, in the table of guards


class Create(NamedTuple):
    """One call of `Store.create`. `snippets` is its code that may not be stored yet, by id."""

    instances: Sequence[NewInstance]
    snippets: Mapping[str, Snippet]
    at: int
    queued_most: Mapping[str, int]
    instead_of: tuple[int, str] | None
    needs: int | None
    future: "asyncio.Future[Created]"
    since: float


class _Batch:
    """What the calls of one transaction have created so far."""

    def __init__(
        self, taken: set[Identity], queued: Mapping[str, int], living: Mapping[tuple[Scope, str], str]
    ) -> None:
        self.taken, self.queued, self.living = taken, dict(queued), dict(living)
        self.rows: list[InstanceRow] = []
        self.places: dict[int, int] = {}  # of rows in their calls, by key
        self.staged: list[Staged] = []
        self.children: list[tuple[int, int, str]] = []
        self.awaited: list[tuple[int, Awaited]] = []
        self.parts: list[tuple[int, int, str, int]] = []  # of large bytes: instance, parent, step's name and count
        self.snippets: dict[str, Snippet] = {}


class Creator:
    """Makes the transactions. Used on one event loop.

    Args:
        publish: called with what a commit changed.
    """

    def __init__(
        self, connections: Connections, sql: NamedSql, keyring: Keyring, writer: Writer,
        publish: Callable[[Hints], None], upkeep: Upkeep,
    ) -> None:  # fmt: skip
        self._connections, self._sql, self._keyring, self._writer = connections, sql, keyring, writer
        self._publish, self._upkeep = publish, upkeep
        self._waiting: list[Create] = []
        self._busy: asyncio.Task[None] | None = None

    def submit(
        self, instances: Sequence[NewInstance], snippets: Mapping[str, Snippet], at: int,
        queued_most: Mapping[str, int], instead_of: tuple[int, str] | None, needs: int | None,
    ) -> "asyncio.Future[Created]":  # fmt: skip
        """Create instances; see `Store.create`. The result also has the snippets that were not stored yet."""
        for snippet in snippets.values():
            snippet.source.encode(), (snippet.params or "").encode()  # refused now or not at all
        for new in instances:
            encode_or_none(new.metadata), encode_or_none(new.limits)
        future: asyncio.Future[Created] = asyncio.get_running_loop().create_future()
        self._waiting.append(Create(instances, snippets, at, queued_most, instead_of, needs, future, perf_counter()))
        if self._busy is None:
            self._busy = self._writer.spawn(self._work())
        return future

    async def settled(self) -> None:
        """Wait for the creates that were submitted before."""
        pending = [create.future for create in self._waiting]
        busy = self._busy
        for future in pending:
            with suppress(Exception):
                await asyncio.shield(future)
        if busy is not None and not pending:
            await asyncio.shield(asyncio.wait({busy}))

    async def _work(self) -> None:
        await asyncio.sleep(0)  # for those that come together
        while self._waiting:
            batch, self._waiting = self._waiting[:CREATES_PER_COMMIT], self._waiting[CREATES_PER_COMMIT:]
            await self._commit(batch)
        self._busy = None

    async def _commit(self, batch: Sequence[Create]) -> None:
        try:
            try:
                results = await self._connections.transaction(lambda tx: self._create(tx, batch))
            except PartitionMissing:
                await self._upkeep.make_partitions(0)
                results = await self._connections.transaction(lambda tx: self._create(tx, batch))
        except Exception as error:  # noqa: BLE001 - each caller must get a result
            if len(batch) > 1 and not isinstance(error, StoreError):
                for create in batch:  # one of them is at fault
                    await self._commit([create])
                return
            if isinstance(error, (StoreError, JournalError)):
                self._writer.count_failure(error, len(batch))
            for create in batch:
                if not create.future.done():
                    create.future.set_exception(error)
            return
        hints, newest, events = Hints(), 0, 0
        for create, result in zip(batch, results, strict=True):
            if not isinstance(result, BaseException):
                for row in result[0]:
                    hints.add_row(row, None)
                    newest, events = max(newest, row.key), events + row.last_seq
            if not create.future.done():
                if isinstance(result, BaseException):
                    create.future.set_exception(result)
                else:
                    create.future.set_result(result)
        if newest:
            self._writer.count_commit(batch[0].since, events, len(batch))
            self._upkeep.created(newest)
            self._publish(hints)

    async def _create(self, tx: Transaction, calls: Sequence[Create]) -> Sequence[Created | Exception]:
        wanted = sorted({(new.tenant, new.id) for call in calls for new in call.instances})
        tenants, ids = [tenant for tenant, _ in wanted], [id for _, id in wanted]
        lanes = {(new.queue, new.tenant, new.workflow) for call in calls for new in call.instances}
        if lanes:
            await share_lanes(tx, self._sql, lanes)
        versions = sorted(
            {(new.tenant, new.snippet) for call in calls for new in call.instances
             if new.tenant and isinstance(new.snippet, str)}
        )  # fmt: skip
        if versions:
            await tx.rows(self._sql["share_versions"], *map(list, zip(*versions, strict=True)))
        limited = sorted({new.tenant for call in calls for new in call.instances if new.tenant in call.queued_most})
        queued = await self._queued(tx, limited) if limited else {}
        living = await living_of(tx, self._sql, [new for call in calls for new in call.instances if new.flow])
        taken = {(tenant, id) for tenant, id in await tx.rows(self._sql["taken_ids"], tenants, ids)}
        keys = [key for (key,) in await tx.rows(self._sql["take_keys"], sum(len(call.instances) for call in calls))]
        batch, results = _Batch(taken, queued, living), list[Created | Exception]()
        for call in calls:
            try:
                results.append(await self._stage(tx, batch, call, keys))
            except Exception as error:
                if not is_callers(error):
                    raise
                results.append(error)
        if batch.rows:
            await self._write(tx, batch, results)
        tx.changed = bool(batch.rows)
        return results

    async def _queued(self, tx: Transaction, tenants: Sequence[str]) -> Mapping[str, int]:
        """How many instances of these tenants are queued, of which no other node creates any until this ends."""
        guards = [GUARD + tenant for tenant in tenants]
        while len(await tx.rows(self._sql["lock_guards"], guards)) < len(guards):
            await tx.rows(self._sql["insert_guards"], guards)
        counts = dict(await tx.rows(self._sql["queued_of_tenants"], list(tenants)))
        return {tenant: counts.get(tenant, 0) for tenant in tenants}

    async def _stage(self, tx: Transaction, batch: _Batch, call: Create, keys: list[int]) -> Created:
        for tenant in {new.tenant for new in call.instances} & call.queued_most.keys():
            if batch.queued[tenant] >= call.queued_most[tenant]:
                raise QueueFull(tenant, batch.queued[tenant], call.queued_most[tenant])
        if call.needs is not None and await tx.row(self._sql["share_instance"], call.needs) is None:
            raise not_found(call.needs)
        rows, refused, staged = [], [], []
        children: list[tuple[int, int, str]] = []
        awaited: list[tuple[int, Awaited]] = []
        parts: list[tuple[int, int, str, int]] = []
        ids: set[Identity] = set()
        places: dict[int, int] = {}
        living: dict[tuple[Scope, str], str] = {}
        for index, new in enumerate(call.instances):
            identity = (new.tenant, new.id)
            if identity in ids or identity in batch.taken:
                refused.append(Refusal(index, new.id, InstanceAlreadyExists.code))
                continue
            unique = None if new.flow is None else scope_of_unique(new)
            if unique is not None and (there := {**batch.living, **living}.get(unique)) is not None:
                refused.append(Refusal(index, there, unique[1]))
                continue
            if new.flow is not None and new.flow.key is not None:
                scope = (new.tenant, new.workflow, new.flow.key)
                living[scope, SINGLETON] = new.id
                if new.held_until is not None:
                    living[scope, DEBOUNCED] = new.id
            ids.add(identity)
            each = self._new(new, keys.pop(0), call.at)
            places[each.cached.key] = index
            rows.append(each.cached.row)
            staged.append(each)
            if new.parent is not None and not isinstance(new.trigger, str):
                children.append((each.cached.key, new.parent, new.trigger["kind"]))
                parts += [(each.cached.key, new.parent, *place) for place in columns.copied_parts(new.events)]
            if new.awaited is not None:
                awaited.append((each.cached.key, new.awaited))
        if call.instead_of is not None:
            await self._detach(tx, batch, *call.instead_of)
        batch.taken |= ids
        batch.living |= living
        batch.rows += rows
        batch.places.update(places)
        batch.staged += staged
        batch.children += children
        batch.awaited += awaited
        batch.parts += parts
        for row in rows:
            if row.tenant in batch.queued and row.status == QUEUED:
                batch.queued[row.tenant] += 1
        snippets = {row.snippet: call.snippets[row.snippet] for row in rows if row.snippet in call.snippets}
        batch.snippets.update(snippets)
        return rows, refused, list(snippets.values())

    def _new(self, new: NewInstance, key: int, at: int) -> Staged:
        row = initial_row(new, key, at)
        events: Sequence[NewEvent] = (first_event(new), *new.events)
        if self._keyring:
            events = encrypt_secrets(self._keyring, row, events)
        change = project(row, events, at, {})
        assert change.row.last_seq == len(events), "the seq of a new journal counts from 1"
        staged = Staged(CachedInstance(row, 0))
        staged.apply(change, columns.event_values(row, events, None, at)[0])
        return staged

    async def _detach(self, tx: Transaction, batch: _Batch, parent: int, kind: str) -> None:
        await tx.row(self._sql["lock_origin"], parent)  # of two that replace the same, one sees what the other created
        if any(child[1:] == (parent, kind) for child in batch.children) or (
            await tx.row(self._sql["unfinished_child"], parent, kind) is not None
        ):
            raise ChildrenUnfinished(f"instance number {parent} has children of kind {kind!r} that have not ended")
        await tx.rows(self._sql["part_children"], parent, kind)

    async def _write(self, tx: Transaction, batch: _Batch, results: list[Created | Exception]) -> None:
        """Write the batch; ids that another node has taken meanwhile become refusals."""
        if batch.snippets:
            await tx.rows(self._sql["insert_snippets"], *_snippet_columns(batch.snippets.values()))
        statement = create_statement(batch.rows, batch.staged, batch.children, batch.awaited)
        [moved] = await tx.row(statement.text(), *statement.values)
        written = set(moved)
        for each in batch.parts:
            if each[0] in written:
                await tx.rows(self._sql["copy_parts"], *each)
        identities = [(row.tenant, row.id) for row in batch.rows]
        used = {tuple(it) for it in await tx.rows(self._sql["used_ids"], *map(list, zip(*identities, strict=True)))}
        late = [row.key for row in batch.rows if (row.tenant, row.id) in used and row.key in written]
        if late:
            await tx.rows(self._sql["delete_instances"], late)
        lost = {row.key for row in batch.rows} - written | set(late)
        if lost:
            for number, result in enumerate(results):
                if not isinstance(result, Exception):
                    results[number] = _without(result, lost, batch.places)


def _without(created: Created, lost: set[int], places: Mapping[int, int]) -> Created:
    rows, refused, snippets = created
    late = [Refusal(places[row.key], row.id, InstanceAlreadyExists.code) for row in rows if row.key in lost]
    kept = [row for row in rows if row.key not in lost]
    return kept, sorted([*refused, *late], key=lambda refusal: refusal.index), snippets


def _snippet_columns(snippets: Iterable[Snippet]) -> list[list[object]]:
    found = sorted(snippets, key=lambda snippet: snippet.id)
    return [
        [snippet.id for snippet in found],
        [snippet.source.encode() for snippet in found],
        [None if snippet.params is None else snippet.params.encode() for snippet in found],
        [snippet.created_at for snippet in found],
    ]
