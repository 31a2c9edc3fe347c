-- Version 15 of the SQLite schema: children that are waited for. Never edited once released: a change is a new migration.

-- A child whose end its parent has still to learn of, or whose parent's end it may have. `name` (the path), `count` and
-- `started_seq` are the parent's step. A row outlives both instances, until what it stands for has been done.
CREATE TABLE awaited (
    instance INTEGER PRIMARY KEY,
    parent INTEGER NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    started_seq INTEGER NOT NULL,
    cascades INTEGER NOT NULL
) STRICT;

CREATE INDEX awaited_parent ON awaited (parent);
