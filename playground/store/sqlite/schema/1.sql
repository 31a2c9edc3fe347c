-- Version 1 of the SQLite schema. Never edited once released: a change is a new migration (see migrations.py).
-- Times are epoch milliseconds. Values of tenants are JSON text. NULL in an owner means that no node runs the instance.

-- Immutable code and params, addressed by content hash.
CREATE TABLE snippet (
    id TEXT PRIMARY KEY NOT NULL,
    source TEXT NOT NULL,
    params TEXT,
    created_at INTEGER NOT NULL
) STRICT;

-- The current state of an instance: small, since every commit rewrites it. AUTOINCREMENT, so that the key of a deleted instance
-- is never reused.
CREATE TABLE instance (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    workflow TEXT NOT NULL,
    snippet TEXT NOT NULL,
    queue TEXT NOT NULL,
    status TEXT NOT NULL,
    generation INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    owner TEXT,
    due_at INTEGER,
    wait_until INTEGER,
    fresh INTEGER NOT NULL,
    in_execution INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    output TEXT,
    error TEXT,
    rollback TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    paused_at INTEGER,
    UNIQUE (tenant, id)
) STRICT;

-- Claimable instances: those that ran before by due time, and new ones oldest first in each lane of their queue. Partial, so that
-- the millions that are finished, asleep for good or owned cost nothing.
CREATE INDEX instance_woken ON instance (due_at, queue, tenant, workflow)
    WHERE owner IS NULL AND fresh = 0 AND due_at IS NOT NULL;
CREATE INDEX instance_fresh ON instance (queue, tenant, workflow, key)
    WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL;
CREATE INDEX instance_owned ON instance (owner) WHERE owner IS NOT NULL;
CREATE INDEX instance_ended ON instance (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX instance_listed ON instance (tenant, status, key);

-- The immutable inputs of create(), outside the row because they may be large.
CREATE TABLE origin (
    instance INTEGER PRIMARY KEY,
    class_name TEXT NOT NULL,
    params TEXT,
    control_hash TEXT,
    metadata TEXT,
    limits TEXT
) STRICT;

-- The journal. `step` and `data` are JSON text, so that a stream is assembled without parsing.
CREATE TABLE event (
    instance INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    execution INTEGER,
    step TEXT,
    data TEXT NOT NULL,
    PRIMARY KEY (instance, seq)
) STRICT, WITHOUT ROWID;

-- The steps of an instance's current generation.
CREATE TABLE step (
    instance INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    status TEXT NOT NULL,
    started_seq INTEGER NOT NULL,
    line INTEGER,
    config TEXT,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    until INTEGER,
    event_type TEXT,
    rollback TEXT,
    rollback_config TEXT,
    rollback_attempt INTEGER NOT NULL,
    rollback_failures INTEGER NOT NULL,
    rollback_until INTEGER,
    result_bytes INTEGER NOT NULL,
    error TEXT,
    result TEXT, -- last, since it may be large and is not always read
    PRIMARY KEY (instance, generation, kind, name, count)
) STRICT, WITHOUT ROWID;

-- The open steps of an instance that may have thousands. A step that starts and ends in one commit never gets here.
CREATE INDEX step_open ON step (instance)
    WHERE status IN ('running', 'retrying', 'open') OR rollback IN ('running', 'retrying');

-- Received events that no wait has consumed; `seq` is that of the event_received.
CREATE TABLE inbox (
    instance INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (instance, seq)
) STRICT, WITHOUT ROWID;

-- Counts of instances, so that counting reads a few rows and not millions.
CREATE TABLE tally (
    tenant TEXT NOT NULL,
    queue TEXT NOT NULL,
    status TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tenant, queue, status)
) STRICT, WITHOUT ROWID;
