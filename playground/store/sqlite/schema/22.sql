-- A version of the SQLite schema: operations on many instances (store/bulks.py). Never edited once released: a change is a new
-- migration.

CREATE TABLE bulk (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    operation TEXT NOT NULL,
    filter TEXT NOT NULL,
    state TEXT NOT NULL,
    matched INTEGER NOT NULL,
    done INTEGER NOT NULL,
    unchanged INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    failures TEXT NOT NULL,
    part INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    due_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX bulk_due ON bulk (due_at) WHERE due_at IS NOT NULL;

-- The instances that each is about, with their generations: JSON arrays.
CREATE TABLE bulk_part (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    targets TEXT NOT NULL,
    PRIMARY KEY (tenant, id, number)
) STRICT;
