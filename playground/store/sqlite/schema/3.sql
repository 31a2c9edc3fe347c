-- Version 3 of the SQLite schema: instances derived from others. Never edited once released: a change is a new migration.

-- An instance's children: forks and others that derive from it; `kind` says how.
CREATE TABLE child (
    instance INTEGER PRIMARY KEY,
    parent INTEGER NOT NULL,
    kind TEXT NOT NULL
) STRICT;

CREATE INDEX child_parent ON child (parent, kind, instance);
