"""Key management for operators' commands, in PostgreSQL: implements `tables.KeyAdmin`. Nodes may be running."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from playground.store.audit import KEY_MADE, KEY_REVOKED, AuditRow, key_entry
from playground.store.encryption import Keyring
from playground.store.postgres.audit import insert_audit, select_entries
from playground.store.postgres.connections import Transaction
from playground.store.postgres.opening import prepare, run_blocking, with_connection
from playground.store.postgres.secrets_at_rest import forget_secrets_key, reencrypt
from playground.store.postgres.tables import SQL, create_key
from playground.store.tables import TenantKey

T = TypeVar("T")

IS_SERVED = """SELECT EXISTS (
    SELECT 1 FROM node WHERE expires_at > (extract(epoch FROM clock_timestamp()) * 1000)::bigint
)"""


class PostgresKeyAdmin:
    """Implements `tables.KeyAdmin`; created by `PostgresKeyAdmin.open`."""

    def __init__(self, url: str, *, is_served: bool) -> None:
        self._url, self.is_served = url, is_served

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator["PostgresKeyAdmin"]:
        """Open the keys of a database, and migrate its schema. Raises StoreError."""
        run_blocking(prepare(url, None, lambda *_, **__: None))

        async def is_served(connection: Any) -> bool:
            return bool(await connection.fetchval(IS_SERVED))

        yield cls(url, is_served=_run(url, is_served))

    def add_key(self, tenant: str, name: str, hash: str, *, at: int) -> int:
        async def create(connection: Any) -> int:
            tx = Transaction(connection, 0)
            number = await create_key(tx, tenant, name, hash, at)
            await insert_audit(tx, key_entry(at, tenant, KEY_MADE, number, name))
            return number

        return _run(self._url, create)

    def keys(self, tenant: str) -> Sequence[TenantKey]:
        async def read(connection: Any) -> Sequence[TenantKey]:
            return [TenantKey(*row) for row in await connection.fetch(SQL["keys_of_tenant"], tenant)]

        return _run(self._url, read)

    def revoke_key(self, tenant: str, number: int, *, at: int) -> bool:
        async def revoke(connection: Any) -> bool:
            found = bool(await connection.fetch(SQL["revoke_tenant_key"], tenant, number, at))
            if found:
                await insert_audit(Transaction(connection, 0), key_entry(at, tenant, KEY_REVOKED, number))
            return found

        return _run(self._url, revoke)

    def audit(self, tenant: str | None, *, limit: int) -> Sequence[AuditRow]:
        query, values = select_entries(tenant, None, 0, limit)

        async def read(connection: Any) -> Sequence[AuditRow]:
            return [AuditRow(*row) for row in await connection.fetch(query, *values)]

        return _run(self._url, read)

    def reencrypt(self, keyring: Keyring) -> tuple[int, Sequence[str]]:
        return _run(self._url, lambda it: reencrypt(it, keyring, in_use=self.is_served))

    def forget_secrets_key(self, id: str) -> Sequence[tuple[str, str]] | None:
        return _run(self._url, lambda it: forget_secrets_key(it, id))


def _run(url: str, work: Callable[[Any], Awaitable[T]]) -> T:
    async def in_transaction(connection: Any) -> T:
        async with connection.transaction():
            return await work(connection)

    return run_blocking(with_connection(url, in_transaction))
