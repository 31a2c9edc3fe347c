-- Version 6 of the SQLite schema: secrets encrypted at rest, and bytes stored by address. Never edited once released: a change is a new migration.

-- The keys with which anything here is, or may be, encrypted, by their ids (see encryption.py); `newest` is 1 for the one that encrypts.
CREATE TABLE secrets_key (
    id TEXT PRIMARY KEY NOT NULL,
    newest INTEGER NOT NULL
) STRICT;

-- Whether `value` is JSON text that was encrypted (1), or the secret itself (0).
ALTER TABLE tenant_secret ADD COLUMN encrypted INTEGER NOT NULL DEFAULT 0;

-- Bytes that the anonymous instances of an address stored, by the hour (epoch milliseconds / 3,600,000), for the limit of a day.
CREATE TABLE stored_per_hour (
    queue TEXT NOT NULL,
    hour INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (queue, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX stored_per_hour_old ON stored_per_hour (hour);
