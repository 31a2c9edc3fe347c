-- A version of the SQLite schema: nodes, and what is counted for all of them. Never edited once released: a change is a new migration.

-- A node is identified by its name and the number of its boot: a new boot does not own what an earlier one owned. Leases are not in the file: all of them
-- end with the process that holds the file's lock (nodes.py).
CREATE TABLE node (
    name TEXT PRIMARY KEY NOT NULL,
    boot INTEGER NOT NULL
) STRICT;

-- How many instances of a queue have an owner, and how many of it were claimed in the second (epoch) that was counted last.
CREATE TABLE queue_load (
    queue TEXT PRIMARY KEY NOT NULL,
    running INTEGER NOT NULL,
    second INTEGER NOT NULL,
    begun INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_load_idle ON queue_load (second) WHERE running = 0;

INSERT INTO queue_load (queue, running, second, begun) SELECT queue, count(*), 0, 0 FROM instance WHERE owner IS NOT NULL GROUP BY queue;

-- The crash streak: workers that died in a row without progress.
ALTER TABLE instance ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;

-- When `clock` was committed, epoch milliseconds: ending a wait needs the approximate time on the workflow's clock.
ALTER TABLE instance ADD COLUMN clock_at INTEGER;
