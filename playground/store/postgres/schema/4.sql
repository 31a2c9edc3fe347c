-- A version of the PostgreSQL schema: flow control (store/flow.py). Never edited once released: a change is a new migration.

-- The key whose limits it shares, its priority, and the time before which it can't start while it is held (NULL: it is not).
ALTER TABLE instance ADD COLUMN flow_key text, ADD COLUMN priority integer NOT NULL DEFAULT 0, ADD COLUMN held_until bigint;

-- The unfinished of a key: those that have begun, whose `held_until` is NULL, and those that are held, in the order of their turn.
CREATE INDEX instance_flow ON instance (tenant, workflow, flow_key, held_until) WHERE flow_key IS NOT NULL AND ended_at IS NULL;
CREATE INDEX instance_held ON instance (tenant, workflow, flow_key, priority DESC, key) WHERE flow_key IS NOT NULL AND held_until IS NOT NULL;
-- New instances with a priority, which are in instance_fresh too.
CREATE INDEX instance_prior ON instance (queue, tenant, workflow, priority DESC, key)
    WHERE owner IS NULL AND fresh AND due_at IS NOT NULL AND priority > 0;

-- When to look whether something may be admitted: of a key, or without one the instance.
CREATE TABLE flow_look (
    at bigint NOT NULL,
    instance bigint NOT NULL,
    tenant text NOT NULL,
    workflow text NOT NULL,
    flow_key text,
    PRIMARY KEY (at, instance)
);

-- Starts of keys with a rate, which count for a while.
CREATE TABLE flow_start (
    tenant text NOT NULL,
    workflow text NOT NULL,
    flow_key text NOT NULL,
    at bigint NOT NULL,
    instance bigint NOT NULL,
    PRIMARY KEY (tenant, workflow, flow_key, at, instance)
);
CREATE INDEX flow_start_old ON flow_start (at);
