-- Version 9 of the SQLite schema: what all nodes on a database share.
-- Never edited once released: a change is a new migration.

-- What is done from time to time by one node for all: until when a chore is taken.
CREATE TABLE chore (
    name TEXT PRIMARY KEY NOT NULL,
    until INTEGER NOT NULL
) STRICT;

-- What each key (an address, a tenant) has used of each limit that holds for all nodes together, by unit of time.
-- How long a unit is, and what the amount counts, is the limit's: `stored_per_day` counts bytes by the hour, requests
-- are counted by the second. Old units are dropped.
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
