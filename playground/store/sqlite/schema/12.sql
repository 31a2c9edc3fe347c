-- A version of the SQLite schema: several named workflows per tenant. Never edited once released: a change is a new migration.

-- Numbers count per workflow, so its name is part of the key. `options` is JSON: what was deployed with the code (limits), NULL for nothing.
CREATE TABLE named_version (
    tenant TEXT NOT NULL,
    workflow TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    class_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    warm INTEGER NOT NULL DEFAULT 0,
    options TEXT,
    PRIMARY KEY (tenant, workflow, number)
) STRICT, WITHOUT ROWID;

INSERT INTO named_version (tenant, workflow, number, id, source, class_name, created_at, warm)
SELECT tenant, 'main', number, id, source, class_name, created_at, warm FROM tenant_version;

DROP TABLE tenant_version;

ALTER TABLE named_version RENAME TO tenant_version;

CREATE INDEX tenant_version_id ON tenant_version (tenant, id, number);
