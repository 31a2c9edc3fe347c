-- A version of the PostgreSQL schema: operations on many instances (store/bulks.py). Never edited once released: a change is a new
-- migration.

CREATE TABLE bulk (
    tenant text NOT NULL,
    id text NOT NULL,
    operation text NOT NULL,
    filter text NOT NULL,
    state text NOT NULL,
    matched bigint NOT NULL,
    done bigint NOT NULL,
    unchanged bigint NOT NULL,
    failed bigint NOT NULL,
    failures text NOT NULL,
    part bigint NOT NULL,
    created_at bigint NOT NULL,
    ended_at bigint,
    due_at bigint,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX bulk_due ON bulk (due_at) WHERE due_at IS NOT NULL;

-- The instances that each is about, with their generations: JSON arrays.
CREATE TABLE bulk_part (
    tenant text NOT NULL,
    id text NOT NULL,
    number bigint NOT NULL,
    targets text NOT NULL,
    PRIMARY KEY (tenant, id, number)
);
