"""The tables that are not journals, in PostgreSQL: each call that writes is a transaction of its own.

Whatever reads and then writes locks first: the tenant's row, the row of an instance's inputs, or a guard.

Architecture Invariant: a server caches nothing of them, since other nodes and operators' commands change them.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from playground.store import audit
from playground.store.audit import AuditEntry, AuditRow
from playground.store.columns import awaited_child, awaited_values
from playground.store.encoding import decode, encode
from playground.store.encryption import Keyring
from playground.store.named_sql import NamedSql
from playground.store.postgres.audit import forget_entries, insert_audit, select_entries
from playground.store.postgres.connections import Connections, Transaction
from playground.store.postgres.locked import not_found
from playground.store.postgres.writer import Call, Writer
from playground.store.rows import Awaited, AwaitedChild
from playground.store.secret_values import encrypt_secret, secret_place
from playground.store.table_values import (
    effect_row,
    is_new_version,
    new_version,
    prefix_end,
    version_id,
    version_options,
    version_row,
)
from playground.store.tables import (
    GONE,
    MISSING,
    NEEDED,
    NEWEST,
    VERSIONS_FULL,
    WORKFLOWS_FULL,
    Claim,
    EffectRow,
    NewEffect,
    NewVersion,
    Scope,
    TenantKey,
    TenantRow,
    Version,
)
from playground.workflows.names import MAIN_WORKFLOW

T = TypeVar("T")

SQL = NamedSql(Path(__file__).with_name("tables.sql"))
LAST_NUMBER = 2**31 - 1
# The statements that delete a tenant without instances.
DELETE_TENANT = (
    "delete_tenant_keys", "delete_tenant_versions", "delete_tenant_schedules", "delete_tenant_secrets",
    "delete_tenant_values", "delete_tenant_effects", "delete_tenant_used_ids", "delete_tenant_messages",
    "delete_tenant_tokens", "delete_tenant_services", "delete_tenant_queues", "delete_tenant_bulks",
    "delete_tenant_bulk_parts", "delete_tenant",
)  # fmt: skip


class Tables:
    """What the tables share.

    Args:
        created: waits for the creates of this node that were submitted before.
    """

    def __init__(
        self, connections: Connections, writer: Writer, keyring: Keyring, created: Callable[[], Awaitable[None]]
    ) -> None:
        self._connections, self.writer, self.keyring, self.created = connections, writer, keyring, created

    async def rows(self, query: str, *values: Any) -> Sequence[Any]:
        """The rows of a query."""
        return await self.rows_of(SQL[query], *values)

    async def rows_of(self, text: str, *values: Any) -> Sequence[Any]:
        """The rows of a query by its text."""
        return await self._connections.reading(text, *values)

    async def first_row(self, query: str, *values: Any) -> Any:
        """The first row of a query, or None."""
        found = await self.rows(query, *values)
        return found[0] if found else None

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction; returns its result once the commit is durable."""
        since = perf_counter()
        result = await self._connections.transaction(work)
        self.writer.count_commit(since, 0, 1)
        return result

    async def change(
        self,
        work: Callable[[Transaction], Awaitable[T]],
        changed: Callable[[T], bool] = lambda result: result is not False,
    ) -> T:
        """As `write`, for a change that the audit log has an entry of, where `changed(result)`."""
        entry = audit.pending_entry()
        if entry is None:
            return await self.write(work)

        async def audited(tx: Transaction) -> T:
            result = await work(tx)
            if changed(result):
                await insert_audit(tx, entry)
            return result

        result = await self.write(audited)
        if changed(result):
            audit.mark_written()
        return result

    async def run(self, query: str, *values: Any) -> Sequence[Any]:
        """Run one statement that writes."""
        return await self.write(lambda tx: tx.rows(SQL[query], *values))


class PostgresKv:
    """Implements `tables.KvStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, scope: Scope, key: str) -> tuple[bool, Any]:
        found = await self._tables.first_row("key_value", *scope, key)
        if found is None:
            return False, None
        return True, decode(self._tables.keyring.decrypt(found[0], "kv", *scope, key))

    async def keys(self, scope: Scope, *, prefix: str, after: str, limit: int) -> list[str]:
        rows = await self._tables.rows("keys_between", *scope, after, prefix, prefix_end(prefix), limit)
        return [key for (key,) in rows]

    async def bytes(self, scope: Scope) -> int:
        found = await self._tables.first_row("kv_bytes", *scope)
        return int(found[0])


class PostgresEffects:
    """Implements `tables.EffectStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, effect: NewEffect, *, at: int, most: int) -> EffectRow | None:
        call = Call(work=lambda tx: _record_effect(tx, effect, at, most))
        recorded: EffectRow | None = await self._tables.writer.submit(effect.instance, call)
        return recorded

    async def of_instance(self, instance: int) -> list[EffectRow]:
        return [effect_row(row) for row in await self._tables.rows("effects", instance)]

    async def change_counters(self, instance: int) -> tuple[int, int]:
        found = await self._tables.first_row("effects_edition", instance)
        return int(found[0]), int(found[1])


class PostgresFamilies:
    """Implements `tables.FamilyStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def of(self, keys: Sequence[int]) -> Sequence[AwaitedChild]:
        return [awaited_child(row) for row in await self._tables.rows("awaited_of", [*keys])]

    async def after(self, key: int, limit: int) -> Sequence[AwaitedChild]:
        return [awaited_child(row) for row in await self._tables.rows("awaited_after", key, limit)]

    async def add(self, key: int, awaited: Awaited) -> None:
        await self._tables.run("insert_awaited", *awaited_values(key, awaited))

    async def forget(self, keys: Sequence[int]) -> None:
        await self._tables.run("forget_awaited", [*keys])


class PostgresTenants:
    """Implements `tables.TenantStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def tenant(self, name: str) -> TenantRow | None:
        found = await self._tables.first_row("tenant", name)
        return None if found is None else TenantRow(*found)

    async def all(self, *, after: str, limit: int) -> Sequence[TenantRow]:
        return [TenantRow(*row) for row in await self._tables.rows("tenants_after", after, limit)]

    async def key(self, hash: str) -> TenantKey | None:
        found = await self._tables.first_row("key_of_hash", hash)
        return None if found is None else TenantKey(*found)

    async def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        return await self._tables.change(lambda tx: create_key(tx, tenant, name, hash, at))

    async def keys(self, tenant: str) -> Sequence[TenantKey]:
        return [TenantKey(*row) for row in await self._tables.rows("keys_of_tenant", tenant)]

    async def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        return await self._changes("revoke_tenant_key", tenant, number, at)

    async def deploy(
        self, tenant: str, new: NewVersion, *, at: int, most: int, workflows_most: int
    ) -> tuple[Version, bool] | str:
        await self._tables.created()
        return await self._tables.change(lambda tx: _deploy(tx, tenant, new, at, most, workflows_most), is_new_version)

    async def delete_version(self, tenant: str, id: str) -> str:
        await self._tables.created()
        return await self._tables.change(lambda tx: _delete_version(tx, tenant, id), lambda outcome: outcome == GONE)

    async def close(self, tenant: str) -> None:
        await self._run_all(
            ("delete_tenant_keys", "delete_tenant_versions", "delete_tenant_schedules", "delete_trigger"), tenant
        )

    async def remove(self, tenant: str) -> None:
        await self._run_all(DELETE_TENANT, tenant)

    async def version(self, tenant: str, id: str) -> Version | None:
        found = await self._tables.first_row("version_of_id", tenant, id)
        return None if found is None else version_row(found)

    async def newest_version(self, tenant: str, workflow: str = MAIN_WORKFLOW) -> Version | None:
        found = await self._tables.first_row("newest_version", tenant, workflow)
        return None if found is None else version_row(found)

    async def workflows(self, tenant: str) -> Sequence[Version]:
        return [version_row(row) for row in await self._tables.rows("newest_versions", tenant)]

    async def versions(
        self, tenant: str, workflow: str = MAIN_WORKFLOW, *, before: int | None = None, limit: int
    ) -> Sequence[Version]:
        until = LAST_NUMBER if before is None else before
        rows = await self._tables.rows("versions_before", tenant, workflow, until, limit)
        return [version_row(row) for row in rows]

    async def set_trigger(self, tenant: str, hash: str | None) -> None:
        await self._tables.change(lambda tx: tx.rows(SQL["set_trigger"], tenant, hash))

    async def set_secret(self, tenant: str, name: str, value: str | None, *, most: int | None = None) -> bool:
        if value is None:
            await self._changes("delete_secret", tenant, name)
            return True
        keyring = self._tables.keyring
        kept = encrypt_secret(keyring, tenant, name, value)  # without keys its JSON text

        async def write(tx: Transaction) -> bool:
            if most is not None:
                await tx.rows(SQL["lock_guard"], f"secrets {tenant}")
            row = (tenant, name, kept, bool(keyring), LAST_NUMBER if most is None else most)
            return bool(await tx.rows(SQL["set_secret"], *row))

        return await self._tables.change(write)

    async def secrets(self, tenant: str) -> dict[str, str]:
        keyring = self._tables.keyring
        return {
            name: json.loads(keyring.decrypt(value, *secret_place(tenant, name)) if encrypted else value)
            for name, value, encrypted in await self._tables.rows("secrets", tenant)
        }

    async def secret_names(self, tenant: str) -> list[str]:
        return [name for (name,) in await self._tables.rows("secret_names", tenant)]

    async def _run_all(self, statements: Sequence[str], tenant: str) -> None:
        async def write(tx: Transaction) -> None:
            for name in statements:
                await tx.rows(SQL[name], tenant)

        await self._tables.change(write)

    async def _changes(self, query: str, *values: Any) -> bool:
        """Run one statement that returns what it changes; whether it changed anything."""

        async def write(tx: Transaction) -> bool:
            return bool(await tx.rows(SQL[query], *values))

        return await self._tables.change(write)


class PostgresUsage:
    """Implements `tables.UsageStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(
        self, used: Mapping[tuple[str, str, int], int], *, since: Mapping[tuple[str, str], int], kept: Mapping[str, int]
    ) -> Mapping[tuple[str, str], Sequence[tuple[int, int]]]:
        places = [list(column) for column in zip(*used, strict=True)] if used else [[], [], []]
        wanted = [list(column) for column in zip(*since, strict=True)] if since else [[], []]

        async def write(tx: Transaction) -> Mapping[tuple[str, str], Sequence[tuple[int, int]]]:
            await tx.rows(SQL["add_usage"], *places, list(used.values()))
            if kept:
                await tx.rows(SQL["drop_usage"], list(kept), list(kept.values()))
            found: dict[tuple[str, str], list[tuple[int, int]]] = {place: [] for place in since}
            for limit, key, unit, amount in await tx.rows(SQL["usages"], *wanted, list(since.values())):
                found[limit, key].append((unit, amount))
            return found

        return await self._tables.write(write)

    async def take(self, claims: Sequence[Claim]) -> tuple[Claim, int] | None:
        limits, keys, units, amounts, _ = map(list, zip(*claims, strict=True))

        async def write(tx: Transaction) -> tuple[Claim, int] | None:
            locked = await tx.rows(SQL["lock_usage"], limits, keys, units)
            used = {(limit, key, unit): amount for limit, key, unit, amount in locked}
            for claim in claims:
                if used[claim[:3]] + claim.amount > claim.most:
                    return claim, used[claim[:3]]
            await tx.rows(SQL["add_usage"], limits, keys, units, amounts)
            return None

        return await self._tables.write(write)

    async def probe(self) -> None:
        await self._tables.run("probe")

    async def amounts(self, limit: str, key: str, *, since: int) -> Sequence[tuple[int, int]]:
        return [(unit, amount) for unit, amount in await self._tables.rows("usage", limit, key, since)]


class PostgresAudit:
    """Implements `audit.AuditStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, entry: AuditEntry) -> None:
        await self._tables.write(lambda tx: insert_audit(tx, entry))

    async def entries(
        self, tenant: str | None, *, before: int | None = None, since: int = 0, limit: int
    ) -> Sequence[AuditRow]:
        query, values = select_entries(tenant, before, since, limit)
        return [AuditRow(*row) for row in await self._tables.rows_of(query, *values)]

    async def forget(self, before: int, *, most: int, limit: int = 1_000) -> int:
        return await self._tables.write(lambda tx: forget_entries(tx, before, most, limit))


async def create_key(tx: Transaction, tenant: str, name: str, hash: str, at: int) -> int:
    """Add a key to a tenant, which is created if missing; returns its number."""
    await _lock_tenant(tx, tenant, at)
    return int(await tx.value(SQL["insert_tenant_key"], tenant, name, hash, at))


async def _lock_tenant(tx: Transaction, tenant: str, at: int) -> None:
    await tx.rows(SQL["insert_tenant"], tenant, at)
    await tx.rows(SQL["lock_tenant"], tenant)


async def _record_effect(tx: Transaction, effect: NewEffect, at: int, most: int) -> EffectRow | None:
    if await tx.row(SQL["lock_instances_effects"], effect.instance) is None:
        raise not_found(effect.instance)
    if effect.key is not None:
        known = await tx.row(SQL["ask_effect_again"], *effect.scope, effect.kind, effect.key)
        if known is not None:
            return effect_row(known)
    data = encode(effect.data)
    happened = (at, effect.kind, *effect.scope, effect.key, data, effect.step, effect.attempt, effect.execution)
    recorded = await tx.row(SQL["insert_effect"], effect.instance, *happened, most)
    if recorded is None and await tx.value(SQL["count_effects"], effect.instance) < most:
        # Another instance of the scope was faster with this key.
        recorded = await tx.row(SQL["ask_effect_again"], *effect.scope, effect.kind, effect.key)
    return None if recorded is None else effect_row(recorded)


async def _deploy(
    tx: Transaction, tenant: str, new: NewVersion, at: int, most: int, workflows_most: int
) -> tuple[Version, bool] | str:
    await _lock_tenant(tx, tenant, at)
    found = await tx.row(SQL["newest_version"], tenant, new.workflow)
    newest = None if found is None else version_row(found)
    if newest is not None and newest.is_same_code(new):
        tx.changed = False
        return newest, False
    if newest is None and await tx.value(SQL["count_workflows"], tenant) >= workflows_most:
        tx.changed = False
        return WORKFLOWS_FULL
    if not await _delete_old_versions(tx, tenant, most):
        tx.changed = False
        return VERSIONS_FULL
    number = 1 if newest is None else newest.number + 1
    id = version_id(new)
    if await tx.row(SQL["version_of_id"], tenant, id) is not None:  # its runs keep the old version
        id = version_id(new, number)
    place, options = (tenant, new.workflow, number, id), version_options(new)
    await tx.rows(SQL["insert_version"], *place, new.source.encode(), new.class_name, at, new.warm, options)
    return new_version(new, number, id, at), True


async def _delete_old_versions(tx: Transaction, tenant: str, most: int) -> bool:
    """Delete unneeded old versions until one more fits the limit; False: impossible, and nothing was deleted."""
    over = await tx.value(SQL["count_versions"], tenant) + 1 - most
    if over <= 0:
        return True
    await tx.rows(SQL["lock_versions"], tenant)
    free = [tuple(row) for row in await tx.rows(SQL["versions_not_needed"], tenant, over)]
    if len(free) < over:
        return False
    workflows, numbers = zip(*free, strict=True)
    await tx.rows(SQL["delete_versions"], tenant, list(workflows), list(numbers))
    return True


async def _delete_version(tx: Transaction, tenant: str, id: str) -> str:
    await tx.rows(SQL["lock_versions"], tenant)
    found = await tx.row(SQL["version_of_id"], tenant, id)
    if found is None:
        return MISSING
    version = version_row(found)
    newest = version_row(await tx.row(SQL["newest_version"], tenant, version.workflow))
    has_others = await tx.row(SQL["has_other_versions"], tenant, version.workflow, version.number) is not None
    if newest.id == id and has_others:
        return NEWEST
    if await tx.row(SQL["needs_version"], tenant, id) is not None:
        return NEEDED
    await tx.rows(SQL["delete_version_of_id"], tenant, id)
    return GONE
