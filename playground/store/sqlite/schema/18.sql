-- A version of the SQLite schema: services of tenants (store/services.py). Never edited once released: a change is a new migration.

CREATE TABLE service (
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (tenant, kind, name)
) STRICT, WITHOUT ROWID;
