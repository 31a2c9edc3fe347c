-- A version of the SQLite schema: schedules (store/schedules.py). Never edited once released: a change is a new migration.

CREATE TABLE schedule (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    workflow TEXT NOT NULL,
    cron TEXT NOT NULL,
    timezone TEXT NOT NULL,
    params TEXT,
    metadata TEXT,
    missed TEXT NOT NULL,
    paused INTEGER NOT NULL,
    next_at INTEGER,
    due_at INTEGER,
    revision TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_at INTEGER,
    last_id TEXT,
    last_error TEXT,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule (due_at) WHERE due_at IS NOT NULL;
