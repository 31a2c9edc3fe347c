-- Version 5 of the PostgreSQL schema: children that are waited for. Never edited once released: a change is a new migration,
-- which leaves what an older node reads and writes as it is (see migrations.py).

-- A child whose end its parent has still to learn of, or whose parent's end it may have. `name` (the path), `count` and
-- `started_seq` are the parent's step. A row outlives both instances, until what it stands for has been done.
CREATE TABLE awaited (
    instance bigint PRIMARY KEY,
    parent bigint NOT NULL,
    name text NOT NULL,
    count integer NOT NULL,
    started_seq bigint NOT NULL,
    cascades boolean NOT NULL
);
CREATE INDEX awaited_parent ON awaited (parent);
