-- A version of the PostgreSQL schema: schedules (store/schedules.py). Never edited once released: a change is a new migration.

CREATE TABLE schedule (
    tenant text NOT NULL,
    name text COLLATE "C" NOT NULL,
    workflow text NOT NULL,
    cron text NOT NULL,
    timezone text NOT NULL,
    params text,
    metadata text,
    missed text NOT NULL,
    paused boolean NOT NULL,
    next_at bigint,
    due_at bigint,
    revision text NOT NULL,
    created_at bigint NOT NULL,
    last_at bigint,
    last_id text,
    last_error text,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX schedule_due ON schedule (due_at) WHERE due_at IS NOT NULL;
