"""The tables that are not journals, in SQLite: read on the readers' connections, written in the writer's commits.

Architecture Invariant: a server caches nothing of them, since operators' commands may change them in another process
(key_admin.py).
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from playground.store import audit
from playground.store.audit import AuditEntry, AuditRow
from playground.store.columns import awaited_child, awaited_values
from playground.store.encoding import decode, encode
from playground.store.encryption import Keyring
from playground.store.named_sql import NamedSql
from playground.store.rows import Awaited, AwaitedChild
from playground.store.secret_values import encrypt_secret, secret_place
from playground.store.sqlite.audit import forget_entries, insert_audit, read_entries
from playground.store.sqlite.connections import Readers
from playground.store.sqlite.transaction import SqliteTransaction
from playground.store.sqlite.writer import Writer
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
from playground.workflows.errors import InstanceNotFound
from playground.workflows.names import MAIN_WORKFLOW

T = TypeVar("T")

LAST_NUMBER = 2**63 - 1

SQL = NamedSql(Path(__file__).with_name("tables.sql"))


# The statements that delete a tenant without instances.
DELETE_TENANT = (
    "delete_tenant_keys", "delete_tenant_versions", "delete_tenant_schedules", "delete_tenant_secrets",
    "delete_tenant_values", "delete_tenant_usage", "delete_tenant_tokens", "delete_tenant_effects",
    "delete_tenant_used_ids", "delete_tenant_messages", "delete_tenant_queues", "delete_tenant_services",
    "delete_tenant_bulks", "delete_tenant_bulk_parts", "delete_tenant",
)  # fmt: skip


class Tables:
    """The readers, writer and keyring that the tables share."""

    def __init__(self, readers: Readers, writer: Writer, transaction: SqliteTransaction, keyring: Keyring) -> None:
        self._readers, self._writer, self._transaction = readers, writer, transaction
        self.keyring = keyring

    async def rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return await self._readers.run(lambda db: db.execute(SQL[query], values).fetchall())

    async def few_rows(self, query: str, values: Sequence[Any], *, named: bool = True) -> list[tuple[Any, ...]]:
        """The rows of a query by key that returns few; with `named` it is one of tables.sql, else the text itself."""
        text = SQL[query] if named else query
        return await self._readers.run_few(lambda db: db.execute(text, values).fetchall())

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work`, which only reads, on a reader's connection."""
        return await self._readers.run(work)

    async def first_row(self, query: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """The first row of a query by key, or None."""
        return await self._readers.run_few(lambda db: db.execute(SQL[query], values).fetchone())

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction; returns its result once the commit is durable."""
        return await self._writer.submit(partial(self._transaction.write_tables, work))

    async def change(
        self,
        work: Callable[[sqlite3.Connection], T],
        changed: Callable[[T], bool] = lambda result: result is not False,
        *,
        with_rows: bool = False,
    ) -> T:
        """As `write`, for a change that the audit log has an entry of, where `changed(result)`."""
        write, entry = self.write_with_rows if with_rows else self.write, audit.pending_entry()
        if entry is None:
            return await write(work)

        def audited(db: sqlite3.Connection) -> T:
            result = work(db)
            if changed(result):
                insert_audit(db, entry)
            return result

        result = await write(audited)
        if changed(result):
            audit.mark_written()
        return result

    async def write_with_rows(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, for work that also reads the rows of instances."""
        return await self._writer.submit(partial(self._transaction.write_tables_with_rows, work))


class SqliteKv:
    """Implements `tables.KvStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, scope: Scope, key: str) -> tuple[bool, Any]:
        found = await self._tables.first_row("key_value", (*scope, key))
        return (
            (False, None)
            if found is None
            else (True, decode(self._tables.keyring.decrypt(found[0], "kv", *scope, key)))
        )

    async def keys(self, scope: Scope, *, prefix: str, after: str, limit: int) -> list[str]:
        rows = await self._tables.rows("keys_between", (*scope, after, prefix, prefix_end(prefix), limit))
        return [key for (key,) in rows]

    async def bytes(self, scope: Scope) -> int:
        found = await self._tables.first_row("kv_bytes", scope)
        assert found is None or found[0] >= 0, "keys never use less than nothing"
        return 0 if found is None else found[0]


class SqliteEffects:
    """Implements `tables.EffectStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, effect: NewEffect, *, at: int, most: int) -> EffectRow | None:
        return await self._tables.write(partial(_record_effect, effect, at, most))

    async def of_instance(self, instance: int) -> list[EffectRow]:
        return [effect_row(row) for row in await self._tables.rows("effects", (instance,))]

    async def change_counters(self, instance: int) -> tuple[int, int]:
        found = await self._tables.first_row("effects_edition", (instance,))
        return (0, 0) if found is None else (int(found[0]), int(found[1]))


class SqliteFamilies:
    """Implements `tables.FamilyStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def of(self, keys: Sequence[int]) -> Sequence[AwaitedChild]:
        return [awaited_child(row) for row in await self._tables.few_rows("awaited_of", (json.dumps([*keys]),))]

    async def after(self, key: int, limit: int) -> Sequence[AwaitedChild]:
        return [awaited_child(row) for row in await self._tables.rows("awaited_after", (key, limit))]

    async def add(self, key: int, awaited: Awaited) -> None:
        await self._tables.write(lambda db: db.execute(SQL["insert_awaited"], awaited_values(key, awaited)))

    async def forget(self, keys: Sequence[int]) -> None:
        await self._tables.write(lambda db: db.execute(SQL["forget_awaited"], (json.dumps([*keys]),)))


class SqliteTenants:
    """Implements `tables.TenantStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def tenant(self, name: str) -> TenantRow | None:
        found = await self._tables.first_row("tenant", (name,))
        return None if found is None else TenantRow(*found)

    async def all(self, *, after: str, limit: int) -> Sequence[TenantRow]:
        return [TenantRow(*row) for row in await self._tables.rows("tenants_after", (after, limit))]

    async def key(self, hash: str) -> TenantKey | None:
        found = await self._tables.first_row("key_of_hash", (hash,))
        return None if found is None else TenantKey(*found)

    async def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        return await self._tables.change(lambda db: create_key(db, tenant, name, hash, at))

    async def keys(self, tenant: str) -> Sequence[TenantKey]:
        return [TenantKey(*row) for row in await self._tables.rows("keys_of_tenant", (tenant,))]

    async def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        return await self._tables.change(lambda db: revoke_key(db, tenant, number, at))

    async def deploy(
        self, tenant: str, new: NewVersion, *, at: int, most: int, workflows_most: int
    ) -> tuple[Version, bool] | str:
        deploy = partial(_deploy, tenant, new, at, most, workflows_most)
        return await self._tables.change(deploy, is_new_version, with_rows=True)

    async def delete_version(self, tenant: str, id: str) -> str:
        delete = partial(_delete_version, tenant, id)
        return await self._tables.change(delete, lambda outcome: outcome == GONE, with_rows=True)

    async def close(self, tenant: str) -> None:
        await self._tables.change(
            partial(
                _run_all,
                ("delete_tenant_keys", "delete_tenant_versions", "delete_tenant_schedules", "delete_trigger"),
                tenant,
            )
        )

    async def remove(self, tenant: str) -> None:
        await self._tables.change(partial(_run_all, DELETE_TENANT, tenant))

    async def version(self, tenant: str, id: str) -> Version | None:
        found = await self._tables.first_row("version_of_id", (tenant, id))
        return None if found is None else version_row(found)

    async def newest_version(self, tenant: str, workflow: str = MAIN_WORKFLOW) -> Version | None:
        found = await self._tables.first_row("newest_version", (tenant, workflow))
        return None if found is None else version_row(found)

    async def workflows(self, tenant: str) -> Sequence[Version]:
        return [version_row(row) for row in await self._tables.rows("newest_versions", (tenant,))]

    async def versions(
        self, tenant: str, workflow: str = MAIN_WORKFLOW, *, before: int | None = None, limit: int
    ) -> Sequence[Version]:
        until = LAST_NUMBER if before is None else before
        rows = await self._tables.rows("versions_before", (tenant, workflow, until, limit))
        return [version_row(row) for row in rows]

    async def set_trigger(self, tenant: str, hash: str | None) -> None:
        await self._tables.change(lambda db: db.execute(SQL["set_trigger"], (hash, tenant)))

    async def set_secret(self, tenant: str, name: str, value: str | None, *, most: int | None = None) -> bool:
        if value is None:
            await self._tables.change(lambda db: db.execute(SQL["delete_secret"], (tenant, name)).rowcount > 0)
            return True
        keyring = self._tables.keyring
        kept = encrypt_secret(keyring, tenant, name, value) if keyring else value
        row = (tenant, name, kept, bool(keyring), LAST_NUMBER if most is None else most)
        return await self._tables.change(lambda db: db.execute(SQL["set_secret"], row).rowcount > 0)

    async def secrets(self, tenant: str) -> dict[str, str]:
        keyring, found = self._tables.keyring, await self._tables.few_rows("secrets", (tenant,))
        return {
            name: json.loads(keyring.decrypt(value, *secret_place(tenant, name))) if encrypted else value
            for name, value, encrypted in found
        }

    async def secret_names(self, tenant: str) -> list[str]:
        return [name for (name,) in await self._tables.rows("secret_names", (tenant,))]


class SqliteUsage:
    """Implements `tables.UsageStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(
        self, used: Mapping[tuple[str, str, int], int], *, since: Mapping[tuple[str, str], int], kept: Mapping[str, int]
    ) -> Mapping[tuple[str, str], Sequence[tuple[int, int]]]:
        return await self._tables.write(partial(_add_usage, used, since, kept))

    async def take(self, claims: Sequence[Claim]) -> tuple[Claim, int] | None:
        return await self._tables.write(partial(_take_usage, claims))

    async def probe(self) -> None:
        await self._tables.write(lambda db: db.execute(SQL["probe"]))

    async def amounts(self, limit: str, key: str, *, since: int) -> Sequence[tuple[int, int]]:
        return await self._tables.few_rows("usage", (limit, key, since))


class SqliteAudit:
    """Implements `audit.AuditStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, entry: AuditEntry) -> None:
        await self._tables.write(lambda db: insert_audit(db, entry))

    async def entries(
        self, tenant: str | None, *, before: int | None = None, since: int = 0, limit: int
    ) -> Sequence[AuditRow]:
        return await self._tables.read(lambda db: read_entries(db, tenant, before, since, limit))

    async def forget(self, before: int, *, most: int, limit: int = 1_000) -> int:
        return await self._tables.write(lambda db: forget_entries(db, before, most, limit))


def _add_usage(
    used: Mapping[tuple[str, str, int], int],
    since: Mapping[tuple[str, str], int],
    kept: Mapping[str, int],
    db: sqlite3.Connection,
) -> dict[tuple[str, str], list[tuple[int, int]]]:
    db.executemany(SQL["add_usage"], [(*place, amount) for place, amount in used.items()])
    db.executemany(SQL["drop_usage"], list(kept.items()))
    return {place: db.execute(SQL["usage"], (*place, unit)).fetchall() for place, unit in since.items()}


def _take_usage(claims: Sequence[Claim], db: sqlite3.Connection) -> tuple[Claim, int] | None:
    for claim in claims:
        found = db.execute(SQL["usage_of_unit"], claim[:3]).fetchone()
        used: int = 0 if found is None else found[0]
        if used + claim.amount > claim.most:
            return claim, used
    db.executemany(SQL["add_usage"], [claim[:4] for claim in claims])
    return None


def create_key(db: sqlite3.Connection, tenant: str, name: str, hash: str, at: int) -> int:
    """Add a key to a tenant, which is created if missing; returns its number."""
    db.execute(SQL["insert_tenant"], (tenant, at))
    return int(db.execute(SQL["insert_tenant_key"], (tenant, name, hash, at)).fetchone()[0])


def revoke_key(db: sqlite3.Connection, tenant: str, number: int, at: int) -> bool:
    """Revoke a key for good; whether it exists."""
    return db.execute(SQL["revoke_tenant_key"], (at, tenant, number)).rowcount > 0


def keys_of(db: sqlite3.Connection, tenant: str) -> list[TenantKey]:
    """A tenant's keys, including revoked ones."""
    return [TenantKey(*row) for row in db.execute(SQL["keys_of_tenant"], (tenant,))]


# The functions below read and then write. That is safe in SQLite only: they run in a write transaction, of which the
# file has one at a time. Another database needs a unique constraint, or a lock on the row of the instance or tenant.


def _record_effect(effect: NewEffect, at: int, most: int, db: sqlite3.Connection) -> EffectRow | None:
    if effect.key is not None:
        known = db.execute(SQL["effect_of_key"], (*effect.scope, effect.kind, effect.key)).fetchone()
        if known is not None:
            db.execute(SQL["ask_effect_again"], (known[-1], known[0]))
            return effect_row((*known[:8], known[8] + 1))
    count: int = db.execute(SQL["count_effects"], (effect.instance,)).fetchone()[0]
    if count >= most:
        return None
    happened = (effect.key, encode(effect.data), effect.step, effect.attempt, effect.execution)
    row = (effect.instance, count + 1, at, effect.kind, *effect.scope, *happened)
    if not db.execute(SQL["insert_effect"], row).rowcount:
        raise InstanceNotFound(f"there is no instance number {effect.instance}")
    return effect_row((count + 1, at, effect.kind, *happened, 1))


def _deploy(
    tenant: str, new: NewVersion, at: int, most: int, workflows_most: int, db: sqlite3.Connection
) -> tuple[Version, bool] | str:
    found = db.execute(SQL["newest_version"], (tenant, new.workflow)).fetchone()
    newest = None if found is None else version_row(found)
    if newest is not None and newest.is_same_code(new):
        return newest, False
    if newest is None and db.execute(SQL["count_workflows"], (tenant,)).fetchone()[0] >= workflows_most:
        return WORKFLOWS_FULL
    if not _delete_old_versions(tenant, most, db):
        return VERSIONS_FULL
    number = 1 if newest is None else newest.number + 1
    id = version_id(new)
    if db.execute(SQL["version_of_id"], (tenant, id)).fetchone() is not None:  # its runs keep the old version
        id = version_id(new, number)
    db.execute(SQL["insert_tenant"], (tenant, at))
    row = (tenant, new.workflow, number, id, new.source, new.class_name, at, new.warm, version_options(new))
    db.execute(SQL["insert_version"], row)
    return new_version(new, number, id, at), True


def _delete_old_versions(tenant: str, most: int, db: sqlite3.Connection) -> bool:
    """Delete unneeded old versions until one more fits the limit; False: impossible, and nothing was deleted."""
    over = db.execute(SQL["count_versions"], (tenant,)).fetchone()[0] + 1 - most
    if over <= 0:
        return True
    free = db.execute(SQL["versions_not_needed"], (tenant, over)).fetchall()
    if len(free) < over:
        return False
    db.executemany(SQL["delete_version_of_number"], [(tenant, *version) for version in free])
    return True


def _delete_version(tenant: str, id: str, db: sqlite3.Connection) -> str:
    found = db.execute(SQL["version_of_id"], (tenant, id)).fetchone()
    if found is None:
        return MISSING
    version = version_row(found)
    newest = version_row(db.execute(SQL["newest_version"], (tenant, version.workflow)).fetchone())
    place = (tenant, version.workflow, version.number)
    if newest.id == id and db.execute(SQL["has_other_versions"], place).fetchone() is not None:
        return NEWEST
    if db.execute(SQL["needs_version"], (tenant, id)).fetchone() is not None:
        return NEEDED
    db.execute(SQL["delete_version_of_id"], (tenant, id))
    return GONE


def _run_all(statements: Sequence[str], tenant: str, db: sqlite3.Connection) -> None:
    for name in statements:
        db.execute(SQL[name], (tenant,))
