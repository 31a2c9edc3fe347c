"""Key management for operators' commands, in SQLite: implements `tables.KeyAdmin`.

It opens its own connection while a server may have one. That is safe only for the tables that it changes, which a
server reads from the database every time (tenants, their keys and secrets, keys and values, and encrypted results of
steps); SQLite lets one transaction write at a time, of whichever process. Architecture Invariant: it never changes
instances, journals or counts, which the server caches.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from playground.store.audit import KEY_MADE, KEY_REVOKED, AuditRow, key_entry
from playground.store.encryption import Keyring
from playground.store.errors import StoreError, StoreInUse
from playground.store.sqlite.audit import insert_audit, read_entries
from playground.store.sqlite.connections import BUSY_MS, transaction
from playground.store.sqlite.migrations import MIGRATIONS, schema_version
from playground.store.sqlite.secrets_at_rest import forget_secrets_key, reencrypt
from playground.store.sqlite.store import SqliteStore
from playground.store.sqlite.tables import create_key, keys_of, revoke_key
from playground.store.tables import TenantKey


class SqliteKeyAdmin:
    """Implements `tables.KeyAdmin`; created by `SqliteKeyAdmin.open`."""

    def __init__(self, db: sqlite3.Connection, *, is_served: bool) -> None:
        self._db = db
        self.is_served = is_served

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["SqliteKeyAdmin"]:
        """Open the keys of an existing database, and migrate its schema unless a server has it open.

        Raises:
            StoreError: there is no such database, it is unusable, or the server that has it open is of another version.
        """
        if not path.exists():  # opening it would create an empty one
            raise StoreError(
                f"there is no database {path} here; start the server first, run this in its folder, "
                "or name its database with --database"
            )
        is_served = False
        try:
            SqliteStore.open(path).close_now()
        except StoreInUse:
            is_served = True
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            if schema_version(db, f"the database {path}") != len(MIGRATIONS):
                raise StoreError(
                    f"the database {path} is in use by an older server; stop it and start the newer one first"
                )
            try:
                yield cls(db, is_served=is_served)
            except sqlite3.Error as fault:
                raise StoreError(f"the database {path} cannot be written: {fault}") from None

    def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        with transaction(self._db):
            number = create_key(self._db, tenant, name, hash, at)
            insert_audit(self._db, key_entry(at, tenant, KEY_MADE, number, name))
        return number

    def keys(self, tenant: str) -> Sequence[TenantKey]:
        return keys_of(self._db, tenant)

    def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        with transaction(self._db):
            found = revoke_key(self._db, tenant, number, at)
            if found:
                insert_audit(self._db, key_entry(at, tenant, KEY_REVOKED, number))
        return found

    def audit(self, tenant: str | None, *, limit: int) -> Sequence[AuditRow]:
        return read_entries(self._db, tenant, None, 0, limit)

    def reencrypt(self, keyring: Keyring) -> tuple[int, Sequence[str]]:
        return reencrypt(self._db, keyring, in_use=self.is_served)

    def forget_secrets_key(self, id: str) -> Sequence[tuple[str, str]] | None:
        return forget_secrets_key(self._db, id)
