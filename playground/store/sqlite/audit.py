"""Statements of the audit log in SQLite; its table is `SqliteAudit` in tables.py.

An entry is written in the transaction of the change that it is about: a table's, an instance's, or a command's.
"""

import sqlite3
from pathlib import Path
from typing import Any

from playground.store.audit import AuditEntry, AuditRow
from playground.store.named_sql import NamedSql

SQL = NamedSql(Path(__file__).with_name("audit.sql"))
LAST_NUMBER = 2**63 - 1


def insert_audit(db: sqlite3.Connection, entry: AuditEntry) -> None:
    """Write an entry, in the open transaction."""
    db.execute(SQL["insert"], entry)


def select_entries(tenant: str | None, before: int | None, since: int, limit: int) -> tuple[str, tuple[Any, ...]]:
    """The query of `AuditStore.entries`, with its values."""
    values = (LAST_NUMBER if before is None else before, since, limit)
    return (SQL["of_all"], values) if tenant is None else (SQL["of_tenant"], (tenant, *values))


def read_entries(
    db: sqlite3.Connection, tenant: str | None, before: int | None, since: int, limit: int
) -> list[AuditRow]:
    """`AuditStore.entries`."""
    return [AuditRow(*row) for row in db.execute(*select_entries(tenant, before, since, limit))]


def forget_entries(db: sqlite3.Connection, before: int, most: int, limit: int) -> int:
    """`AuditStore.forget`."""
    gone = db.execute(SQL["forget_old"], (before, limit)).rowcount
    for tenant, over in db.execute(SQL["over"], (most,)).fetchall():
        gone += db.execute(SQL["forget_oldest"], (tenant, min(over, limit))).rowcount
    return gone
