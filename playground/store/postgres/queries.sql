-- All statements on instances and journals, by name; those of a commit are in write.sql, of claims in claims.sql. States are literal,
-- since with a parameter the planner does not find the partial index. `{name}` is replaced by that statement (store/named_sql.py).

-- name: now_ms
(extract(epoch FROM clock_timestamp()) * 1000)::bigint

-- name: columns_of_instance
-- In the order that columns.instance_row() reads.
i.key, i.tenant, i.id, i.workflow, i.snippet, o.class_name, o.params, i.queue, o.control_hash, o.metadata, o.limits,
    i.status, i.generation, i.execution, i.last_seq, i.owner, i.due_at, i.log_bytes, i.stored_bytes, i.output, i.error,
    i.rollback, i.created_at, i.started_at, i.ended_at, i.paused_at, i.wait_until, i.fresh, i.in_execution, i.injected,
    i.clock, o.nonce, o.id_chosen, i.crashes, i.clock_at, i.flow_key, i.priority, i.held_until

-- name: instance_columns
SELECT {columns_of_instance} FROM instance i JOIN origin o ON o.instance = i.key

-- name: instance_by_key
{instance_columns} WHERE i.key = $1

-- name: instances_by_keys
{instance_columns} WHERE i.key = ANY($1::bigint[])

-- name: instance_locked
-- No key update: a create that needs the instance may share it.
{instance_columns} WHERE i.key = $1 FOR NO KEY UPDATE OF i

-- name: instance_by_id
{instance_columns} WHERE i.tenant = $1 AND i.id = $2

-- name: list_all
{instance_columns} WHERE i.key < $1 ORDER BY i.key DESC LIMIT $2

-- name: list_status
{instance_columns} WHERE i.status = $1 AND i.key < $2 ORDER BY i.key DESC LIMIT $3

-- name: list_tenant
-- The newest of each status, by the index; the caller takes the newest of all.
SELECT found.* FROM unnest($2::text[]) AS wanted (status), LATERAL (
    {instance_columns} WHERE i.tenant = $1 AND i.status = wanted.status AND i.key < $3
        AND ($5::text IS NULL OR i.workflow = $5) ORDER BY i.key DESC LIMIT $4
) AS found

-- name: used_id
SELECT workflow, status, ended_at FROM used_id WHERE tenant = $1 AND id = $2

-- name: last_seqs
SELECT key, last_seq FROM instance WHERE key = ANY($1::bigint[])

-- name: children
SELECT i.key, i.id, i.status, i.execution, i.started_at, i.ended_at, i.injected
FROM (SELECT instance FROM child WHERE parent = $1 AND kind = $2 ORDER BY instance DESC LIMIT $3) c
JOIN instance i ON i.key = c.instance ORDER BY i.key DESC

-- name: events_after
SELECT seq, at, type, execution, step, data FROM event WHERE instance = $1 AND seq > $2 ORDER BY seq LIMIT $3

-- name: events_of_types_after
SELECT seq, at, type, execution, step, data FROM event
WHERE instance = $1 AND seq > $2 AND type = ANY($4::text[]) ORDER BY seq LIMIT $3

-- name: event_sizes_of_types_after
SELECT seq, octet_length(data) AS bytes FROM event
WHERE instance = $1 AND seq > $2 AND type = ANY($4::text[]) ORDER BY seq LIMIT $3

-- name: event_sizes_after
-- How many events of a stream's batch fit into $4 bytes, without reading them.
SELECT seq, octet_length(data) AS bytes FROM event WHERE instance = $1 AND seq > $2 ORDER BY seq LIMIT $3

-- name: step_columns
-- In the order that columns.step_row() reads.
s.kind, s.name, s.count, s.status, s.started_seq, s.line, s.config, s.attempt, s.failures, s.losses, s.until,
    s.event_type, s.rollback, s.rollback_config, s.rollback_attempt, s.rollback_failures, s.rollback_until,
    s.result_bytes, s.error, s.started_clock, s.ended_seq, s.clock, s.received, s.result_seq

-- name: with_result
-- A step's result, from its row or its event.
s.result, (SELECT e.data FROM event e WHERE e.instance = s.instance AND e.seq = s.result_seq)

-- name: steps
SELECT {step_columns}, {with_result} FROM step_open s WHERE s.instance = $1 AND s.generation = $2
UNION ALL SELECT {step_columns}, {with_result} FROM step s WHERE s.instance = $1 AND s.generation = $2

-- name: steps_without_results
SELECT {step_columns}, NULL, NULL FROM step_open s WHERE s.instance = $1 AND s.generation = $2
UNION ALL SELECT {step_columns}, NULL, NULL FROM step s WHERE s.instance = $1 AND s.generation = $2

-- name: open_steps
SELECT s.instance, {step_columns}, NULL, NULL FROM step_open s WHERE s.instance = ANY($1::bigint[])
UNION ALL SELECT s.instance, {step_columns}, NULL, NULL FROM step s
WHERE s.instance = ANY($1::bigint[]) AND s.rollback IN ('running', 'retrying')

-- name: open_waits
SELECT s.instance, {step_columns}, NULL, NULL FROM step_open s
WHERE s.instance = ANY($1::bigint[]) AND s.kind = 'wait' AND s.status = 'open' ORDER BY s.instance DESC, s.started_seq
LIMIT $2

-- name: steps_that_are_over
SELECT w.* FROM unnest($3::text[], $4::text[], $5::integer[]) AS w (kind, name, count), LATERAL (
    SELECT 1 FROM step s
    WHERE s.instance = $1 AND s.generation = $2 AND s.kind = w.kind AND s.name = w.name AND s.count = w.count LIMIT 1
) found

-- name: step_keys
SELECT kind, name, count FROM step_open WHERE instance = $1 AND generation = $2
UNION ALL SELECT kind, name, count FROM step WHERE instance = $1 AND generation = $2

-- name: pending_rollback
SELECT 1 FROM step_open WHERE instance = $1 AND generation = $2 AND rollback = 'pending'
UNION ALL SELECT 1 FROM step WHERE instance = $1 AND generation = $2 AND rollback = 'pending' LIMIT 1

-- name: some_steps
SELECT found.* FROM unnest($3::text[], $4::text[], $5::integer[]) AS w (kind, name, count), LATERAL (
    SELECT {step_columns}, {with_result} FROM step_open s
    WHERE s.instance = $1 AND s.generation = $2 AND s.kind = w.kind AND s.name = w.name AND s.count = w.count LIMIT 1
) found
UNION ALL SELECT found.* FROM unnest($3::text[], $4::text[], $5::integer[]) AS w (kind, name, count), LATERAL (
    SELECT {step_columns}, {with_result} FROM step s
    WHERE s.instance = $1 AND s.generation = $2 AND s.kind = w.kind AND s.name = w.name AND s.count = w.count LIMIT 1
) found

-- name: step_without_result
SELECT {step_columns}, NULL, NULL FROM step_open s
WHERE s.instance = $1 AND s.generation = $2 AND s.kind = $3 AND s.name = $4 AND s.count = $5
UNION ALL SELECT {step_columns}, NULL, NULL FROM step s
WHERE s.instance = $1 AND s.generation = $2 AND s.kind = $3 AND s.name = $4 AND s.count = $5

-- name: drop_open_steps
-- A restart deletes the steps from a seq on ...
DELETE FROM step_open WHERE instance = $1 AND started_seq >= $2

-- name: drop_steps
DELETE FROM step WHERE instance = $1 AND started_seq >= $2

-- name: clear_parts
-- Parts that no result stands for: one that does is counted with their bytes.
DELETE FROM step_part o WHERE o.instance = $1 AND NOT EXISTS (
    SELECT 1 FROM step s WHERE s.instance = $1 AND s.kind = 'do' AND s.name = o.name AND s.count = o.count
    AND s.result_bytes > (
        SELECT sum(octet_length(p.data)) FROM step_part p WHERE p.instance = $1 AND p.name = s.name AND p.count = s.count
    )
)

-- name: copy_parts
-- A fork has those of the steps that it begins with.
INSERT INTO step_part (instance, name, count, number, data)
SELECT $1, name, count, number, data FROM step_part WHERE instance = $2 AND name = $3 AND count = $4

-- name: keep_open_steps
-- ... and moves the others to the new generation.
UPDATE step_open SET generation = $2 WHERE instance = $1

-- name: keep_steps
UPDATE step SET generation = $2 WHERE instance = $1

-- name: inbox
SELECT seq, at, type, payload FROM inbox WHERE instance = $1 ORDER BY seq

-- name: next_due
-- Of the new instances, which are due at once, that of any lane.
SELECT least(
    (SELECT due_at FROM instance WHERE owner IS NULL AND NOT fresh AND due_at IS NOT NULL ORDER BY due_at LIMIT 1),
    (
        SELECT n.due_at FROM lane l, LATERAL (
            SELECT due_at FROM instance WHERE owner IS NULL AND fresh AND due_at IS NOT NULL
                AND queue = l.queue AND tenant = l.tenant AND workflow = l.workflow AND key > l.head ORDER BY key LIMIT 1
        ) n LIMIT 1
    ),
    (SELECT at FROM flow_look ORDER BY at LIMIT 1)
)

-- name: next_due_after
SELECT least(
    (SELECT due_at FROM instance WHERE owner IS NULL AND NOT fresh AND due_at IS NOT NULL AND due_at > $1 ORDER BY due_at LIMIT 1),
    (SELECT at FROM flow_look WHERE at > $1 ORDER BY at LIMIT 1)
)

-- name: lock_scopes
-- Until the transaction ends, nobody else admits or creates a single instance of these keys. In one order.
SELECT pg_advisory_xact_lock(n) FROM (
    SELECT DISTINCT hashtextextended(k, 0) AS n FROM unnest($1::text[]) AS k ORDER BY 1
) s

-- name: living_of_keys
-- The unfinished instance of each key; where $4 only one that has not started.
SELECT w.tenant, w.workflow, w.flow_key, w.unstarted, (
    SELECT id FROM instance i
    WHERE i.tenant = w.tenant AND i.workflow = w.workflow AND i.flow_key = w.flow_key AND i.flow_key IS NOT NULL
        AND i.ended_at IS NULL AND (NOT w.unstarted OR i.held_until IS NOT NULL)
    ORDER BY i.key LIMIT 1
) AS id
FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) AS w (tenant, workflow, flow_key, unstarted)

-- name: due_looks
-- Taken; those that another node takes are passed over.
WITH due AS (
    SELECT at, instance FROM flow_look WHERE at <= coalesce($1::bigint, {now_ms}) ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM flow_look l USING due WHERE l.at = due.at AND l.instance = due.instance
RETURNING l.at, l.instance, l.tenant, l.workflow, l.flow_key

-- name: add_looks
INSERT INTO flow_look (at, instance, tenant, workflow, flow_key)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[]) AS l ON CONFLICT DO NOTHING

-- name: held_of_keys
-- The next of each key, in the order of their turn.
SELECT n.key FROM unnest($1::text[], $2::text[], $3::text[]) AS w (tenant, workflow, flow_key), LATERAL (
    SELECT key FROM instance i
    WHERE i.tenant = w.tenant AND i.workflow = w.workflow AND i.flow_key = w.flow_key AND i.flow_key IS NOT NULL
        AND i.held_until IS NOT NULL AND i.held_until <= $4 AND i.status = 'queued'
    ORDER BY i.priority DESC, i.key LIMIT $5
) n

-- name: instances_locked
{instance_columns} WHERE i.key = ANY($1::bigint[]) ORDER BY i.key FOR NO KEY UPDATE OF i

-- name: begun_of_keys
SELECT w.tenant, w.workflow, w.flow_key, (
    SELECT count(*) FROM instance i
    WHERE i.tenant = w.tenant AND i.workflow = w.workflow AND i.flow_key = w.flow_key AND i.flow_key IS NOT NULL
        AND i.ended_at IS NULL AND i.held_until IS NULL
)
FROM unnest($1::text[], $2::text[], $3::text[]) AS w (tenant, workflow, flow_key)

-- name: ahead_of_key
-- Of those that are held, how many have their turn before one of this priority and key.
SELECT count(*) FROM (
    SELECT 1 FROM instance
    WHERE tenant = $1 AND workflow = $2 AND flow_key = $3 AND flow_key IS NOT NULL AND held_until IS NOT NULL
        AND held_until <= $4 AND status = 'queued' AND (priority > $5 OR (priority = $5 AND key < $6)) LIMIT $7
) a

-- name: ahead_in_queue
-- Of those that wait for a worker, how many go before one of this lane, priority and key: those that woke by $4, and, unless it is one of
-- them, the more urgent and the older of its lane.
SELECT (
    SELECT count(*) FROM (
        SELECT 1 FROM instance
        WHERE owner IS NULL AND NOT fresh AND due_at IS NOT NULL AND due_at <= $4 AND key <> $6 LIMIT $7
    ) w
) + (
    SELECT count(*) FROM (
        SELECT 1 FROM instance
        WHERE owner IS NULL AND fresh AND due_at IS NOT NULL AND priority > 0 AND queue = $1 AND tenant = $2 AND workflow = $3
            AND $8::boolean AND (priority > $5 OR (priority = $5 AND key < $6)) LIMIT $7
    ) u
) + (
    SELECT count(*) FROM (
        SELECT 1 FROM instance
        WHERE owner IS NULL AND fresh AND due_at IS NOT NULL AND priority = 0 AND queue = $1 AND tenant = $2 AND workflow = $3
            AND $8::boolean AND $5 = 0 AND key < $6 LIMIT $7
    ) o
)

-- name: starts_of_key
SELECT at FROM flow_start WHERE tenant = $1 AND workflow = $2 AND flow_key = $3 AND at > $4 ORDER BY at

-- name: add_starts
INSERT INTO flow_start (tenant, workflow, flow_key, at, instance)
SELECT $1, $2, $3, $4, key FROM unnest($5::bigint[]) AS k (key) ON CONFLICT DO NOTHING

-- name: drop_starts
DELETE FROM flow_start WHERE (tenant, workflow, flow_key, at, instance) IN (
    SELECT tenant, workflow, flow_key, at, instance FROM flow_start WHERE at < $1 ORDER BY at LIMIT 1000 FOR UPDATE SKIP LOCKED
)

-- name: oldest_due
SELECT least(
    (SELECT due_at FROM instance WHERE owner IS NULL AND NOT fresh AND due_at IS NOT NULL ORDER BY due_at LIMIT 1),
    (
        SELECT min(n.due_at) FROM (SELECT * FROM lane LIMIT $1) l, LATERAL (
            SELECT due_at FROM instance WHERE owner IS NULL AND fresh AND due_at IS NOT NULL
                AND queue = l.queue AND tenant = l.tenant AND workflow = l.workflow AND key > l.head ORDER BY key LIMIT 1
        ) n
    )
)

-- name: counts
SELECT status, sum(n)::bigint FROM (SELECT status, n FROM tally UNION ALL SELECT status, n FROM tally_change) c
GROUP BY status HAVING sum(n) <> 0

-- name: counts_of_tenant
SELECT status, sum(n)::bigint FROM (
    SELECT status, n FROM tally WHERE tenant = $1 UNION ALL SELECT status, n FROM tally_change WHERE tenant = $1
) c GROUP BY status HAVING sum(n) <> 0

-- name: counts_of_queue
SELECT status, sum(n)::bigint FROM (
    SELECT status, n FROM tally WHERE queue = $1 UNION ALL SELECT status, n FROM tally_change WHERE queue = $1
) c GROUP BY status HAVING sum(n) <> 0

-- name: counts_of_tenants_queue
SELECT status, sum(n)::bigint FROM (
    SELECT status, n FROM tally WHERE tenant = $1 AND queue = $2
    UNION ALL SELECT status, n FROM tally_change WHERE tenant = $1 AND queue = $2
) c GROUP BY status HAVING sum(n) <> 0

-- name: queued_of_tenants
SELECT tenant, sum(n)::bigint FROM (
    SELECT tenant, n FROM tally WHERE tenant = ANY($1::text[]) AND status = 'queued'
    UNION ALL SELECT tenant, n FROM tally_change WHERE tenant = ANY($1::text[]) AND status = 'queued'
) c GROUP BY tenant

-- name: lock_guards
SELECT name FROM guard WHERE name = ANY($1::text[]) ORDER BY name FOR UPDATE

-- name: insert_guards
INSERT INTO guard SELECT name FROM unnest($1::text[]) AS g (name) ORDER BY name ON CONFLICT DO NOTHING

-- name: share_lanes
-- Until the transaction ends, no claim moves the head of these lanes or deletes them; how many there are of queues and lanes.
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM queue WHERE queue = ANY($1::text[]) ORDER BY queue FOR KEY SHARE) q),
    (
        SELECT count(*) FROM (
            SELECT 1 FROM lane l JOIN unnest($2::text[], $3::text[], $4::text[]) AS w (queue, tenant, workflow)
                USING (queue, tenant, workflow)
            ORDER BY l.queue, l.tenant, l.workflow FOR KEY SHARE OF l
        ) l
    )

-- name: insert_queues
INSERT INTO queue (queue, turn) SELECT q, nextval('queue_turn') FROM unnest($1::text[]) AS q ORDER BY q ON CONFLICT DO NOTHING

-- name: insert_lanes
INSERT INTO lane (queue, tenant, workflow, head)
SELECT q, t, w, 0 FROM unnest($1::text[], $2::text[], $3::text[]) AS l (q, t, w) ORDER BY q, t, w ON CONFLICT DO NOTHING

-- name: lower_head
-- Of a lane whose instance is new again: after a restart, or because it was given back.
UPDATE lane SET head = $4 - 1 WHERE queue = $1 AND tenant = $2 AND workflow = $3 AND head >= $4

-- name: take_keys
SELECT nextval('instance_key') FROM generate_series(1, $1::integer)

-- name: used_ids
-- Here and wherever rows are looked for by a list of keys: one at a time, by an index of a whole key (LATERAL … LIMIT). A join is
-- planned by what the table's statistics say, which on a new database is nothing: it read all rows of a tenant.
SELECT w.* FROM unnest($1::text[], $2::text[]) AS w (tenant, id), LATERAL (
    SELECT 1 FROM used_id u WHERE u.tenant = w.tenant AND u.id = w.id LIMIT 1
) found

-- name: taken_ids
SELECT w.* FROM unnest($1::text[], $2::text[]) AS w (tenant, id), LATERAL (
    SELECT 1 FROM instance i WHERE i.tenant = w.tenant AND i.id = w.id LIMIT 1
) found
UNION ALL {used_ids}

-- name: share_instance
SELECT 1 FROM instance WHERE key = $1 FOR KEY SHARE

-- name: share_versions
-- So that none of them is deleted before the instances that need it are there.
SELECT 1 FROM tenant_version v JOIN unnest($1::text[], $2::text[]) AS w (tenant, id) USING (tenant, id)
ORDER BY v.tenant, v.workflow, v.number FOR KEY SHARE OF v

-- name: lock_origin
SELECT 1 FROM origin WHERE instance = $1 FOR UPDATE

-- name: unfinished_child
SELECT 1 FROM child c JOIN instance i ON i.key = c.instance
WHERE c.parent = $1 AND c.kind = $2 AND i.ended_at IS NULL LIMIT 1

-- name: part_children
DELETE FROM child WHERE parent = $1 AND kind = $2

-- name: insert_snippets
INSERT INTO snippet (id, source, params, created_at)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[]) AS s (id, source, params, created_at) ORDER BY id
ON CONFLICT DO NOTHING RETURNING id

-- name: snippet
SELECT id, source, params, created_at FROM snippet WHERE id = $1

-- name: unclaim
UPDATE instance SET owner = NULL WHERE key = $1 AND owner IS NOT NULL RETURNING due_at, fresh

-- name: keep_id
INSERT INTO used_id (tenant, id, workflow, status, ended_at)
SELECT i.tenant, i.id, i.workflow, i.status, i.ended_at FROM instance i JOIN origin o ON o.instance = i.key
WHERE i.key = ANY($1::bigint[]) AND i.tenant > '' AND o.id_chosen IS NOT FALSE ON CONFLICT DO NOTHING

-- name: lock_for_delete
SELECT key, tenant, queue, status, owner IS NOT NULL AS owned FROM instance WHERE key = ANY($1::bigint[]) ORDER BY key FOR UPDATE

-- name: delete_instances
WITH gone AS (
    DELETE FROM instance WHERE key = ANY($1::bigint[])
    RETURNING key, tenant, queue, status, workflow, injected, flow_key, flow_key IS NOT NULL AND ended_at IS NULL AND held_until IS NULL AS frees
), looks AS (
    INSERT INTO flow_look (at, instance, tenant, workflow, flow_key)
    SELECT 0, key, tenant, workflow, flow_key FROM gone WHERE frees ON CONFLICT DO NOTHING
), tags AS (
    DELETE FROM tag t USING gone g, json_array_elements_text((g.injected::json) -> 'tags') AS of (tag)
    WHERE t.tenant = g.tenant AND t.tag = of.tag AND t.instance = g.key
), events AS (DELETE FROM event WHERE instance = ANY($1::bigint[])
), steps AS (DELETE FROM step WHERE instance = ANY($1::bigint[])
), open_steps AS (DELETE FROM step_open WHERE instance = ANY($1::bigint[])
), parts AS (DELETE FROM step_part WHERE instance = ANY($1::bigint[])
), inboxes AS (DELETE FROM inbox WHERE instance = ANY($1::bigint[])
), effects AS (DELETE FROM effect WHERE instance = ANY($1::bigint[])
), keys AS (DELETE FROM kv WHERE tenant = '' AND instance = ANY($1::bigint[])
), queues AS ( -- before their messages, as `take` locks them; see messages.owner_of()
    DELETE FROM message_queue WHERE tenant IN (
        SELECT '/' || instance || '/' || coalesce(nonce, '') FROM origin WHERE instance = ANY($1::bigint[])
    ) RETURNING tenant
), messages AS (DELETE FROM message WHERE tenant IN (SELECT tenant FROM queues)
), tokens AS (DELETE FROM usage WHERE limit_name = 'ai_tokens_per_run' AND key IN (
        SELECT k || own FROM unnest($1::bigint[]) AS k, unnest(ARRAY['', '/own']) AS own
    )
), children AS (DELETE FROM child WHERE instance = ANY($1::bigint[])
), parents AS (DELETE FROM child WHERE parent = ANY($1::bigint[]) AND NOT instance = ANY($1::bigint[])
), origins AS (DELETE FROM origin WHERE instance = ANY($1::bigint[])
)
INSERT INTO tally_change (tenant, queue, status, n) SELECT tenant, queue, status, -count(*) FROM gone GROUP BY 1, 2, 3

-- name: ended_before
SELECT key, stored_bytes + log_bytes FROM instance WHERE ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2
FOR UPDATE SKIP LOCKED

-- name: ended_before_chaos
SELECT key, stored_bytes + log_bytes FROM instance
WHERE ended_at IS NOT NULL AND queue >= 'chaos:' AND queue < 'chaos;' AND ended_at < $1 ORDER BY ended_at LIMIT $2
FOR UPDATE SKIP LOCKED

-- name: retained_until
SELECT key, stored_bytes + log_bytes FROM instance
WHERE ended_at IS NOT NULL AND wait_until IS NOT NULL AND wait_until < $1 ORDER BY wait_until LIMIT $2
FOR UPDATE SKIP LOCKED

-- name: ended_of_tenant
SELECT key, stored_bytes + log_bytes FROM instance WHERE tenant = $1 AND status IN ('complete', 'errored', 'terminated')
LIMIT $2 FOR UPDATE

-- name: take_chore
-- A chore taken for longer than $3 was taken before a clock was set back.
INSERT INTO chore (name, until) VALUES ($1, $3)
ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE chore.until <= $2 OR chore.until > $3 RETURNING 1

-- name: forget_used_ids
WITH old AS (SELECT tenant, id FROM used_id WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED)
DELETE FROM used_id u USING old WHERE u.tenant = old.tenant AND u.id = old.id RETURNING 1

-- name: join_node
INSERT INTO node AS n (name, boot, expires_at) VALUES ($1, 1, coalesce($2::bigint, {now_ms}) + $3)
ON CONFLICT (name) DO UPDATE SET boot = n.boot + 1, expires_at = excluded.expires_at RETURNING boot

-- name: lost_owners
-- Owners, of which there are few, are found one by one in the index, however much each of them owns.
RECURSIVE owners (owner) AS (
    (SELECT owner FROM instance WHERE owner IS NOT NULL ORDER BY owner LIMIT 1)
    UNION ALL
    SELECT (SELECT i.owner FROM instance i WHERE i.owner IS NOT NULL AND i.owner > o.owner ORDER BY i.owner LIMIT 1)
    FROM owners o WHERE o.owner IS NOT NULL
), lost AS (
    SELECT owner FROM owners WHERE owner IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM node n WHERE n.name || '.' || n.boot = owners.owner AND n.expires_at > coalesce($1::bigint, {now_ms})
    )
)

-- name: renew_node
-- One statement, and the only one of a heartbeat at which nothing is to be done.
WITH {lost_owners}
UPDATE node SET expires_at = coalesce($1::bigint, {now_ms}) + $4
WHERE name = $2 AND boot = $3 AND expires_at > coalesce($1::bigint, {now_ms}) RETURNING (
    SELECT min(other.expires_at) - coalesce($1::bigint, {now_ms}) FROM node other
    WHERE other.name <> $2 AND other.expires_at > coalesce($1::bigint, {now_ms})
), EXISTS (SELECT 1 FROM lost), (SELECT count(*) FROM instance WHERE owner = $5)

-- name: boot_of_node
SELECT boot FROM node WHERE name = $1

-- name: leave_node
UPDATE node SET expires_at = 0 WHERE name = $1 AND boot = $2

-- name: has_lease
SELECT boot, expires_at > coalesce($2::bigint, {now_ms}) FROM node WHERE name = $1

-- name: health
-- The nodes that live, the database's size, and the age in seconds of the oldest transaction, prepared ones too. Of other users'
-- sessions it is seen by members of pg_read_all_stats.
SELECT ARRAY(SELECT name FROM node WHERE expires_at > coalesce($1::bigint, {now_ms}) ORDER BY name),
    pg_database_size(current_database()),
    greatest(0, (
        SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    ), (
        SELECT max(extract(epoch FROM clock_timestamp() - prepared)) FROM pg_prepared_xacts WHERE database = current_database()
    ))

-- name: dead_rows
-- Of the journal's partitions together.
SELECT CASE WHEN relname LIKE 'event\_%' THEN 'event' ELSE relname END, sum(n_dead_tup)::bigint
FROM pg_stat_user_tables WHERE schemaname = current_schema() GROUP BY 1

-- name: abandoned
WITH {lost_owners}, found AS (
    SELECT k.key FROM lost, LATERAL (
        SELECT key FROM instance i WHERE i.owner = lost.owner ORDER BY key LIMIT $2
    ) k ORDER BY key LIMIT $2
)
SELECT {columns_of_instance} FROM found f JOIN instance i ON i.key = f.key JOIN origin o ON o.instance = i.key
WHERE i.owner IS NOT NULL ORDER BY i.key

-- name: owned
SELECT {columns_of_instance} FROM instance i JOIN origin o ON o.instance = i.key WHERE i.owner = $1 ORDER BY i.key

-- name: insert_writer
INSERT INTO writer (id, commits) VALUES ($1, 0)

-- name: fence_writer
-- What this says is the truth for good: the row's lock waits for a commit under way, and the new number refuses a later one.
UPDATE writer SET commits = commits + 1000000 WHERE id = $1 RETURNING commits - 1000000, left_out

-- name: delete_writer
DELETE FROM writer WHERE id = $1

-- name: drop_idle_loads
-- Queues of which nothing was claimed for a minute; a claim that needs one makes it again.
DELETE FROM queue_load WHERE queue IN (
    SELECT queue FROM queue_load WHERE second < {now_ms} / 1000 - 60 ORDER BY queue LIMIT 10000 FOR UPDATE SKIP LOCKED
)

-- name: drop_old_writers
-- Of nodes that were killed. One that lives takes a new row when its own is gone.
DELETE FROM writer WHERE id IN (
    SELECT id FROM writer WHERE opened_at < now() - interval '30 days' FOR UPDATE SKIP LOCKED
)
