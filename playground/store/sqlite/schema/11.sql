-- A version of the SQLite schema: warm workers. Never edited once released: a change is a new migration.

-- Whether a worker may serve several instances of this version, one after the other.
ALTER TABLE tenant_version ADD COLUMN warm INTEGER NOT NULL DEFAULT 0;
