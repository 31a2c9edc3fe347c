-- Version 9 of the SQLite schema: what all nodes on a database share. Never edited once released: a change is a new migration.

-- What is done from time to time by one node for all: until when a chore is taken.
CREATE TABLE chore (
    name TEXT PRIMARY KEY NOT NULL,
    until INTEGER NOT NULL
) STRICT;
