"""Statements of the audit log in PostgreSQL; its table is `PostgresAudit` in tables.py.

An entry is written in the transaction of the change that it is about: a table's, an instance's, or a command's.
"""

from pathlib import Path
from typing import Any

from playground.store.audit import AuditEntry
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import Transaction

SQL = NamedSql(Path(__file__).with_name("audit.sql"))
LAST_NUMBER = 2**63 - 1


async def insert_audit(tx: Transaction, entry: AuditEntry) -> None:
    """Write an entry."""
    await tx.rows(SQL["insert"], *entry)


def select_entries(tenant: str | None, before: int | None, since: int, limit: int) -> tuple[str, tuple[Any, ...]]:
    """The query of `AuditStore.entries`, with its values."""
    values = (LAST_NUMBER if before is None else before, since, limit)
    return (SQL["of_all"], values) if tenant is None else (SQL["of_tenant"], (tenant, *values))


async def forget_entries(tx: Transaction, before: int, most: int, limit: int) -> int:
    """`AuditStore.forget`."""
    gone = len(await tx.rows(SQL["forget_old"], before, limit))
    for tenant, over in await tx.rows(SQL["over"], most):
        gone += len(await tx.rows(SQL["forget_oldest"], tenant, min(over, limit)))
    return gone
