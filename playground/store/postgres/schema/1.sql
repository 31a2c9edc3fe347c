-- Version 1 of the PostgreSQL schema. Never edited once released: a change is a new migration, which leaves what an older node
-- reads and writes as it is (see migrations.py). Times are epoch milliseconds, values of tenants JSON text.
-- No extension, no trigger, no foreign key: it runs on any managed PostgreSQL 14 or newer.

-- Keys are never reused. Not cached: within a lane they follow the order of creation.
CREATE SEQUENCE instance_key;
-- The order of queues in the round robin.
CREATE SEQUENCE queue_turn;

CREATE TABLE snippet (
    id text PRIMARY KEY,
    source bytea NOT NULL, -- text may not hold NUL, and what somebody sent as code may
    params bytea,
    created_at bigint NOT NULL
);

-- The hot row. A commit that only appends changes no indexed column, so with room on its page no index is written (HOT);
-- what is large is NULL until the end, or in `origin`.
CREATE TABLE instance (
    key bigint PRIMARY KEY,
    tenant text NOT NULL,
    id text NOT NULL,
    workflow text NOT NULL,
    snippet text NOT NULL,
    queue text NOT NULL,
    status text NOT NULL,
    generation integer NOT NULL,
    execution integer NOT NULL,
    last_seq bigint NOT NULL,
    owner text,
    due_at bigint,
    wait_until bigint,
    fresh boolean NOT NULL,
    in_execution boolean NOT NULL,
    log_bytes bigint NOT NULL,
    stored_bytes bigint NOT NULL,
    output text,
    error text,
    rollback text,
    created_at bigint NOT NULL,
    started_at bigint,
    ended_at bigint,
    paused_at bigint,
    injected text,
    clock bigint,
    crashes integer NOT NULL,
    clock_at bigint,
    UNIQUE (tenant, id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE INDEX instance_woken ON instance (due_at) WHERE owner IS NULL AND NOT fresh AND due_at IS NOT NULL;
CREATE INDEX instance_fresh ON instance (queue, tenant, workflow, key)
    WHERE owner IS NULL AND fresh AND due_at IS NOT NULL;
CREATE INDEX instance_owned ON instance (owner, key) WHERE owner IS NOT NULL;
CREATE INDEX instance_running ON instance (queue) WHERE owner IS NOT NULL;
CREATE INDEX instance_ended ON instance (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX instance_ended_chaos ON instance (ended_at) WHERE ended_at IS NOT NULL AND queue >= 'chaos:' AND queue < 'chaos;';
CREATE INDEX instance_listed ON instance (tenant, status, key);
CREATE INDEX instance_needs ON instance (tenant, snippet) WHERE ended_at IS NULL AND tenant > '';

-- The immutable inputs of create().
CREATE TABLE origin (
    instance bigint PRIMARY KEY,
    class_name text NOT NULL,
    params text,
    control_hash text,
    metadata text,
    limits text,
    nonce text,
    id_chosen boolean
);

-- The journal: append only, in partitions of 1,000,000 instances, which upkeep.py makes ahead of their use.
CREATE TABLE event (
    instance bigint NOT NULL,
    seq bigint NOT NULL,
    at bigint NOT NULL,
    type text NOT NULL,
    execution integer,
    step text,
    data text NOT NULL,
    PRIMARY KEY (instance, seq)
) PARTITION BY RANGE (instance);

-- Open steps, whose rows change, in a small table; steps that are over are inserted once. A rollback changes them where they are.
CREATE TABLE step_open (
    instance bigint NOT NULL,
    generation integer NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    count integer NOT NULL,
    status text NOT NULL,
    started_seq bigint NOT NULL,
    line integer,
    config text,
    attempt integer NOT NULL,
    failures integer NOT NULL,
    losses integer NOT NULL,
    until bigint,
    event_type text,
    rollback text,
    rollback_config text,
    rollback_attempt integer NOT NULL,
    rollback_failures integer NOT NULL,
    rollback_until bigint,
    result_bytes bigint NOT NULL,
    error text,
    started_clock bigint,
    ended_seq bigint,
    clock bigint,
    received bigint,
    result_seq bigint,
    result text,
    PRIMARY KEY (instance, generation, kind, name, count)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE step (LIKE step_open INCLUDING DEFAULTS, PRIMARY KEY (instance, generation, kind, name, count));
CREATE INDEX step_handler_open ON step (instance) WHERE rollback IN ('running', 'retrying');

CREATE TABLE inbox (
    instance bigint NOT NULL,
    seq bigint NOT NULL,
    at bigint NOT NULL,
    type text NOT NULL,
    payload text NOT NULL,
    PRIMARY KEY (instance, seq)
);

CREATE TABLE child (
    instance bigint PRIMARY KEY,
    parent bigint NOT NULL,
    kind text NOT NULL
);
CREATE INDEX child_parent ON child (parent, kind, instance);

CREATE TABLE used_id (
    tenant text NOT NULL,
    id text NOT NULL,
    workflow text NOT NULL,
    status text NOT NULL,
    ended_at bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX used_id_ended ON used_id (ended_at);

-- Counts of instances by status. A commit inserts its differences into tally_change and waits for nobody; upkeep.py adds
-- them up in `tally`. What counts is the sum of both.
CREATE TABLE tally (
    tenant text NOT NULL,
    queue text NOT NULL,
    status text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (tenant, queue, status)
);
CREATE INDEX tally_queue ON tally (queue);
CREATE TABLE tally_change (
    tenant text NOT NULL,
    queue text NOT NULL,
    status text NOT NULL,
    n bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- New instances are claimed lane by lane (a queue's instances of one workflow), from `head` on, the key below which none waits: so
-- a claim does not step over the index entries of millions that have gone. Who makes an instance holds a key-share lock on its
-- queue and lane before it takes the key; who moves the head or deletes a lane needs it all, so none is passed over.
CREATE TABLE queue (
    queue text PRIMARY KEY,
    turn bigint NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX queue_in_turn ON queue (turn);
CREATE TABLE lane (
    queue text NOT NULL,
    tenant text NOT NULL,
    workflow text NOT NULL,
    head bigint NOT NULL,
    PRIMARY KEY (queue, tenant, workflow)
) WITH (fillfactor = 50);

-- A queue with a limit: its row is locked by the claim that counts what runs, and holds the claims of one second (epoch).
CREATE TABLE queue_load (
    queue text PRIMARY KEY,
    second bigint NOT NULL,
    begun integer NOT NULL
) WITH (fillfactor = 50);

-- A node's lease. A new boot does not own what an earlier one owned.
CREATE TABLE node (
    name text PRIMARY KEY,
    boot integer NOT NULL,
    expires_at bigint NOT NULL
);

-- The number of the last commit of each connection that writes: whether one whose connection broke was committed, and that it
-- will not be later.
CREATE TABLE writer (
    id text PRIMARY KEY,
    commits bigint NOT NULL,
    left_out bigint[], -- of its instances, those that were refused
    opened_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);

CREATE TABLE chore (
    name text PRIMARY KEY,
    until bigint NOT NULL
);

-- Rows that are only locked: who takes turns at something that no row of its own stands for.
CREATE TABLE guard (name text PRIMARY KEY);

CREATE TABLE kv (
    tenant text NOT NULL,
    instance bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (tenant, instance, key)
);

CREATE TABLE effect (
    instance bigint NOT NULL,
    number integer NOT NULL,
    at bigint NOT NULL,
    kind text NOT NULL,
    tenant text NOT NULL,
    scope bigint NOT NULL,
    key text,
    data text NOT NULL,
    step text,
    attempt integer,
    execution integer NOT NULL,
    asked integer NOT NULL,
    PRIMARY KEY (instance, number)
);
CREATE UNIQUE INDEX effect_once ON effect (tenant, scope, kind, key) WHERE key IS NOT NULL;

CREATE TABLE tenant (
    name text COLLATE "C" PRIMARY KEY,
    created_at bigint NOT NULL,
    trigger_hash text
);

CREATE TABLE tenant_key (
    tenant text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    hash text NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    revoked_at bigint,
    PRIMARY KEY (tenant, number)
);

CREATE TABLE tenant_version (
    tenant text NOT NULL,
    number integer NOT NULL,
    id text NOT NULL,
    source bytea NOT NULL,
    class_name text NOT NULL,
    created_at bigint NOT NULL,
    warm boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, number)
);
CREATE INDEX tenant_version_id ON tenant_version (tenant, id, number);

-- `value` is JSON text, encrypted or not.
CREATE TABLE tenant_secret (
    tenant text NOT NULL,
    name text COLLATE "C" NOT NULL,
    value text NOT NULL,
    encrypted boolean NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE secrets_key (
    id text PRIMARY KEY,
    newest boolean NOT NULL
);

CREATE TABLE usage (
    limit_name text NOT NULL,
    key text NOT NULL,
    unit bigint NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (limit_name, key, unit)
) WITH (fillfactor = 70);
CREATE INDEX usage_old ON usage (limit_name, unit);
