"""What stands beside the journals, in SQLite: read on the readers' connections,
written in the writer's group commits.

It opens a connection of its own beside a server's. That is right for the tables it changes and for no others: SQLite
lets one transaction at a time write, whichever process it is of, and a server reads these tables whenever it needs
them (tenants, their keys and secrets, keys and values, and results that steps keep encrypted). Instances, journals and
counts are the server's alone.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from playground.store.encoding import decode, encode
from playground.store.encryption import Keyring
from playground.store.named_sql import NamedSql
from playground.store.snippets import make_snippet
from playground.store.sqlite.connections import Readers
from playground.store.sqlite.transaction import SqliteTransaction
from playground.store.sqlite.writer import Writer
from playground.store.tables import (
    GONE,
    MISSING,
    NEEDED,
    NEWEST,
    EffectRow,
    NewEffect,
    Scope,
    TenantKey,
    TenantRow,
    Version,
)
from playground.workflows.errors import InstanceNotFound

T = TypeVar("T")

LAST = "\U0010ffff"
LAST_NUMBER = 2**63 - 1

SQL = NamedSql(Path(__file__).with_name("tables.sql"))


# What goes with a tenant that has no instances any more.
OF_A_TENANT = (
    "delete_tenant_keys", "delete_tenant_versions", "delete_tenant_secrets", "delete_tenant_values",
    "delete_tenant_usage", "delete_tenant_effects", "delete_tenant_used_ids", "delete_tenant",
)  # fmt: skip


class Tables:
    """The way to the database that the tables share."""

    def __init__(self, readers: Readers, writer: Writer, transaction: SqliteTransaction, keyring: Keyring) -> None:
        self._readers, self._writer, self._transaction = readers, writer, transaction
        self.keyring = keyring

    async def all(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return await self._readers.run(lambda db: db.execute(SQL[query], values).fetchall())

    def all_here(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The few rows of a query that goes by a key, at once."""
        return self._readers.run_here(lambda db: db.execute(SQL[query], values).fetchall())

    async def one(self, query: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """The first row of a query."""
        found = await self.all(query, values)
        return found[0] if found else None

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives, once the commit that holds what it wrote is durable."""
        return await self._writer.submit(partial(self._transaction.beside, work))

    async def write_by_rows(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, for work that goes by the rows of instances."""
        return await self._writer.submit(partial(self._transaction.beside_rows, work))


class SqliteKv:
    """See `tables.KvStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, scope: Scope, key: str) -> tuple[bool, Any]:
        found = await self._tables.one("key_value", (*scope, key))
        return (
            (False, None)
            if found is None
            else (True, decode(self._tables.keyring.decrypt(found[0], "kv", *scope, key)))
        )

    async def keys(self, scope: Scope, *, prefix: str, after: str, limit: int) -> list[str]:
        rows = await self._tables.all("keys_between", (*scope, after, prefix, _past(prefix), limit))
        return [key for (key,) in rows]

    async def bytes(self, scope: Scope) -> int:
        found = await self._tables.one("kv_bytes", scope)
        return 0 if found is None else found[0]


class SqliteEffects:
    """See `tables.EffectStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def record(self, effect: NewEffect, *, at: int, most: int) -> EffectRow | None:
        return await self._tables.write(partial(_record, effect, at, most))

    async def of(self, instance: int) -> list[EffectRow]:
        return [_effect(row) for row in await self._tables.all("effects", (instance,))]

    async def edition(self, instance: int) -> tuple[int, int]:
        found = await self._tables.one("effects_edition", (instance,))
        return (0, 0) if found is None else (int(found[0]), int(found[1]))


class SqliteTenants:
    """See `tables.TenantStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def tenant(self, name: str) -> TenantRow | None:
        found = await self._tables.one("tenant", (name,))
        return None if found is None else TenantRow(*found)

    async def all(self, *, after: str, limit: int) -> Sequence[TenantRow]:
        return [TenantRow(*row) for row in await self._tables.all("tenants_after", (after, limit))]

    async def key(self, hash: str) -> TenantKey | None:
        found = await self._tables.one("key_of_hash", (hash,))
        return None if found is None else TenantKey(*found)

    async def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        return await self._tables.write(lambda db: create_key(db, tenant, name, hash, at))

    async def keys(self, tenant: str) -> Sequence[TenantKey]:
        return [TenantKey(*row) for row in await self._tables.all("keys_of_tenant", (tenant,))]

    async def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        return await self._tables.write(lambda db: revoke_key(db, tenant, number, at))

    async def deploy(
        self, tenant: str, source: str, class_name: str, *, at: int, most: int
    ) -> tuple[Version, bool] | None:
        return await self._tables.write_by_rows(partial(_deploy, tenant, source, class_name, at, most))

    async def delete_version(self, tenant: str, id: str) -> str:
        return await self._tables.write_by_rows(partial(_delete_version, tenant, id))

    async def close(self, tenant: str) -> None:
        await self._tables.write(
            partial(_run_all, ("delete_tenant_keys", "delete_tenant_versions", "delete_trigger"), tenant)
        )

    async def remove(self, tenant: str) -> None:
        await self._tables.write(partial(_run_all, OF_A_TENANT, tenant))

    async def version(self, tenant: str, id: str) -> Version | None:
        query, values = ("version_of_id", (tenant, id)) if id else ("newest_version", (tenant,))
        found = await self._tables.one(query, values)
        return None if found is None else Version(*found)

    async def versions(self, tenant: str, *, before: int | None = None, limit: int) -> Sequence[Version]:
        rows = await self._tables.all("versions_before", (tenant, LAST_NUMBER if before is None else before, limit))
        return [Version(*row) for row in rows]

    async def set_trigger(self, tenant: str, hash: str | None) -> None:
        await self._tables.write(lambda db: db.execute(SQL["set_trigger"], (hash, tenant)))

    async def set_secret(self, tenant: str, name: str, value: str | None, *, most: int | None = None) -> bool:
        if value is None:
            await self._tables.write(lambda db: db.execute(SQL["delete_secret"], (tenant, name)))
            return True
        keyring = self._tables.keyring
        kept = keyring.encrypt(json.dumps(value), *_place(tenant, name)) if keyring else value
        row = (tenant, name, kept, bool(keyring), LAST_NUMBER if most is None else most)
        return await self._tables.write(lambda db: db.execute(SQL["set_secret"], row).rowcount > 0)

    async def secrets(self, tenant: str) -> dict[str, str]:
        keyring, found = self._tables.keyring, await self._tables.all("secrets", (tenant,))
        return {
            name: json.loads(keyring.decrypt(value, *_place(tenant, name))) if encrypted else value
            for name, value, encrypted in found
        }

    async def secret_names(self, tenant: str) -> list[str]:
        return [name for (name,) in await self._tables.all("secret_names", (tenant,))]


class SqliteUsage:
    """See `tables.UsageStore`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(
        self, used: Mapping[tuple[str, str, int], int], *, since: Mapping[tuple[str, str], int], kept: Mapping[str, int]
    ) -> Mapping[tuple[str, str], Sequence[tuple[int, int]]]:
        return await self._tables.write(partial(_add_usage, used, since, kept))

    async def probe(self) -> None:
        await self._tables.write(lambda db: db.execute(SQL["probe"]))

    async def of(self, limit: str, key: str, *, since: int) -> Sequence[tuple[int, int]]:
        return self._tables.all_here("usage", (limit, key, since))


def _place(tenant: str, name: str) -> tuple[str, str, str]:
    """Where a secret stands, which is encrypted with it."""
    return ("secret", tenant, name)


def _add_usage(
    used: Mapping[tuple[str, str, int], int],
    since: Mapping[tuple[str, str], int],
    kept: Mapping[str, int],
    db: sqlite3.Connection,
) -> dict[tuple[str, str], list[tuple[int, int]]]:
    db.executemany(SQL["add_usage"], [(*place, amount) for place, amount in used.items()])
    db.executemany(SQL["drop_usage"], list(kept.items()))
    return {place: db.execute(SQL["usage"], (*place, unit)).fetchall() for place, unit in since.items()}


def version_id(source: str, class_name: str) -> str:
    """The content hash of a version."""
    return make_snippet(source, class_name, 0).id


def create_key(db: sqlite3.Connection, tenant: str, name: str, hash: str, at: int) -> int:
    """Give a tenant, which is made if it is not there, one more key; gives its number."""
    db.execute(SQL["insert_tenant"], (tenant, at))
    return int(db.execute(SQL["insert_tenant_key"], (tenant, name, hash, at)).fetchone()[0])


def revoke_key(db: sqlite3.Connection, tenant: str, number: int, at: int) -> bool:
    """Take a key back for good; whether there is one of this number."""
    return db.execute(SQL["revoke_tenant_key"], (at, tenant, number)).rowcount > 0


def keys_of(db: sqlite3.Connection, tenant: str) -> list[TenantKey]:
    """A tenant's keys, revoked ones too."""
    return [TenantKey(*row) for row in db.execute(SQL["keys_of_tenant"], (tenant,))]


# What follows reads and then writes, which is safe in SQLite alone: a transaction that writes has begun (`beside`), and
# the file has one of those at a time. Elsewhere a unique constraint or a lock on the instance's, or the tenant's, row
# decides.


def _record(effect: NewEffect, at: int, most: int, db: sqlite3.Connection) -> EffectRow | None:
    if effect.key is not None:
        known = db.execute(SQL["effect_of_key"], (*effect.scope, effect.kind, effect.key)).fetchone()
        if known is not None:
            db.execute(SQL["ask_effect_again"], (known[-1], known[0]))
            return _effect((*known[:8], known[8] + 1))
    count: int = db.execute(SQL["count_effects"], (effect.instance,)).fetchone()[0]
    if count >= most:
        return None
    happened = (effect.key, encode(effect.data), effect.step, effect.attempt, effect.execution)
    row = (effect.instance, count + 1, at, effect.kind, *effect.scope, *happened)
    if not db.execute(SQL["insert_effect"], row).rowcount:
        raise InstanceNotFound(f"there is no instance number {effect.instance}")
    return _effect((count + 1, at, effect.kind, *happened, 1))


def _deploy(
    tenant: str, source: str, class_name: str, at: int, most: int, db: sqlite3.Connection
) -> tuple[Version, bool] | None:
    newest = db.execute(SQL["newest_version"], (tenant,)).fetchone()
    if newest is not None and newest[2:4] == (source, class_name):
        return Version(*newest), False
    if not _make_room(tenant, most, db):
        return None
    number = 1 if newest is None else newest[0] + 1
    id = version_id(source, class_name)
    if db.execute(SQL["version_of_id"], (tenant, id)).fetchone() is not None:  # the runs of back then keep theirs
        id = version_id(source, f"{class_name} {number}")
    db.execute(SQL["insert_tenant"], (tenant, at))
    db.execute(SQL["insert_version"], (tenant, number, id, source, class_name, at))
    return Version(number, id, source, class_name, at), True


def _make_room(tenant: str, most: int, db: sqlite3.Connection) -> bool:
    """Let old versions go until there is room for one more; whether there is."""
    over = db.execute(SQL["count_versions"], (tenant,)).fetchone()[0] + 1 - most
    if over <= 0:
        return True
    free = db.execute(SQL["versions_not_needed"], (tenant, over)).fetchall()
    if len(free) < over:
        return False
    db.executemany(SQL["delete_version_of_number"], [(tenant, number) for (number,) in free])
    return True


def _delete_version(tenant: str, id: str, db: sqlite3.Connection) -> str:
    found = db.execute(SQL["version_of_id"], (tenant, id)).fetchone()
    if found is None:
        return MISSING
    if db.execute(SQL["newest_version"], (tenant,)).fetchone()[1] == id:
        return NEWEST
    if db.execute(SQL["needs_version"], (tenant, id)).fetchone() is not None:
        return NEEDED
    db.execute(SQL["delete_version_of_id"], (tenant, id))
    return GONE


def _run_all(statements: Sequence[str], tenant: str, db: sqlite3.Connection) -> None:
    for name in statements:
        db.execute(SQL[name], (tenant,))


def _effect(row: Sequence[Any]) -> EffectRow:
    number, at, kind, key, data, step, attempt, execution, asked = row
    return EffectRow(number, at, kind, key, decode(data), step, attempt, execution, asked)


def _past(prefix: str) -> str:
    """The first text, in the database's order, that comes after everything which begins with `prefix`."""
    kept = prefix.rstrip(LAST)
    if not kept:
        return LAST * 300
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if code == 0xD800 else code)
