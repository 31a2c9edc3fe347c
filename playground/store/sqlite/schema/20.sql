-- A version of the SQLite schema: the audit log (store/audit.py). Never edited once released: a change is a new migration.

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL
) STRICT;

CREATE INDEX audit_tenant ON audit (tenant, number);
CREATE INDEX audit_at ON audit (at);
