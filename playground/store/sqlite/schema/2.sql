-- Version 2 of the SQLite schema: the tables that are not journals. Never edited once released: a change is a new migration.
-- Times are epoch milliseconds. Values of tenants are JSON text.

-- Keys and values of a scope: a tenant's (instance 0), or an anonymous instance's own (tenant '').
CREATE TABLE kv (
    tenant TEXT NOT NULL,
    instance INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (tenant, instance, key)
) STRICT, WITHOUT ROWID;

-- Bytes that a scope's keys and values use; each row counts 64 bytes more than its key and value. Updated by the triggers below.
CREATE TABLE kv_usage (
    tenant TEXT NOT NULL,
    instance INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (tenant, instance)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER kv_inserted AFTER INSERT ON kv BEGIN
    INSERT INTO kv_usage (tenant, instance, bytes)
    VALUES (NEW.tenant, NEW.instance, 64 + length(CAST(NEW.key AS BLOB)) + length(CAST(NEW.value AS BLOB)))
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER kv_updated AFTER UPDATE OF value ON kv BEGIN
    UPDATE kv_usage SET bytes = bytes + length(CAST(NEW.value AS BLOB)) - length(CAST(OLD.value AS BLOB))
    WHERE tenant = NEW.tenant AND instance = NEW.instance;
END;

CREATE TRIGGER kv_deleted AFTER DELETE ON kv BEGIN
    UPDATE kv_usage SET bytes = bytes - 64 - length(CAST(OLD.key AS BLOB)) - length(CAST(OLD.value AS BLOB))
    WHERE tenant = OLD.tenant AND instance = OLD.instance;
END;

-- The ledger of simulated side effects. `number` counts those of an instance; `scope` is the instance column of kv.
CREATE TABLE effect (
    instance INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    scope INTEGER NOT NULL,
    key TEXT,
    data TEXT NOT NULL,
    step TEXT,
    attempt INTEGER,
    execution INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    PRIMARY KEY (instance, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX effect_once ON effect (tenant, scope, kind, key) WHERE key IS NOT NULL;

CREATE TABLE tenant (
    name TEXT PRIMARY KEY NOT NULL,
    created_at INTEGER NOT NULL,
    trigger_hash TEXT
) STRICT;

-- Of an API key only the hash is stored.
CREATE TABLE tenant_key (
    tenant TEXT NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;

-- Deployed versions, in order. `id` is a hash of the content: deploying older code again repeats it under a new number.
CREATE TABLE tenant_version (
    tenant TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    class_name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX tenant_version_id ON tenant_version (tenant, id, number);

CREATE TABLE tenant_secret (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
