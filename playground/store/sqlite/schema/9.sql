-- Version 9 of the SQLite schema: what all nodes on a database share.
-- Never edited once released: a change is a new migration.

-- Periodic jobs that one node does for all: until when each is taken.
CREATE TABLE chore (
    name TEXT PRIMARY KEY NOT NULL,
    until INTEGER NOT NULL
) STRICT;

-- Usage of limits that all nodes share, per key (an address, a tenant) and unit of time. Each limit defines its unit and what
-- it counts: `stored_per_day` bytes by the hour, requests by the second. Old units are deleted.
CREATE TABLE usage (
    limit_name TEXT NOT NULL,
    key TEXT NOT NULL,
    unit INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (limit_name, key, unit)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_old ON usage (limit_name, unit);

INSERT INTO usage (limit_name, key, unit, amount)
SELECT 'stored_per_day', queue, hour, bytes FROM stored_per_hour WHERE queue > '';

DROP TABLE stored_per_hour;
