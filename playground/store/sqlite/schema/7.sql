-- Version 7 of the SQLite schema: ids that stay used, keys that no other database repeats, versions that go. Never edited once released.

-- A random part of the instance's idempotency keys, and whether its creator chose its id. NULL for instances made before: their keys stay as
-- they were, and their ids count as chosen.
ALTER TABLE origin ADD COLUMN nonce TEXT;
ALTER TABLE origin ADD COLUMN id_chosen INTEGER;

-- Ids of a tenant's expired instances, which stay used.
CREATE TABLE used_id (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    workflow TEXT NOT NULL,
    status TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX used_id_ended ON used_id (ended_at);

-- Which versions of a tenant's code its unfinished instances need.
CREATE INDEX instance_needs ON instance (tenant, snippet) WHERE ended_at IS NULL AND tenant > '';
