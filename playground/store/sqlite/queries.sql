-- All statements on instances, journals and secrets, by name. `{rows}` is replaced by rows of placeholders (store/named_sql.py);
-- nothing else is ever formatted into SQL text.
-- OR ROLLBACK: a conflict rolls the whole commit back, which the writer does anyway; SQLite then copies no page that an INSERT of
-- many rows changes, and commits of many instances take a quarter less time.

-- name: instance_columns
-- One instance in the order that columns.instance_row() reads.
SELECT i.key, i.tenant, i.id, i.workflow, i.snippet, o.class_name, o.params, i.queue, o.control_hash, o.metadata, o.limits,
    i.status, i.generation, i.execution, i.last_seq, i.owner, i.due_at, i.log_bytes, i.stored_bytes, i.output, i.error,
    i.rollback, i.created_at, i.started_at, i.ended_at, i.paused_at, i.wait_until, i.fresh, i.in_execution, i.injected,
    i.clock, o.nonce, o.id_chosen, i.crashes, i.clock_at, i.flow_key, i.priority, i.held_until
FROM instance i JOIN origin o ON o.instance = i.key

-- name: instance_by_key
{instance_columns} WHERE i.key = ?

-- name: instance_by_id
{instance_columns} WHERE i.tenant = ? AND i.id = ?

-- name: instances_by_keys
-- The parameter is a JSON array.
{instance_columns} WHERE i.key IN (SELECT value FROM json_each(?)) ORDER BY i.key DESC

-- name: abandoned
-- The parameter is a JSON array of the owners with a current lease, of which there are few.
{instance_columns} WHERE i.owner IS NOT NULL AND i.owner NOT IN (SELECT value FROM json_each(?)) ORDER BY i.key LIMIT ?

-- name: owned
{instance_columns} WHERE i.owner = ?

-- name: join_node
INSERT INTO node (name, boot) VALUES (?, 1) ON CONFLICT DO UPDATE SET boot = boot + 1 RETURNING boot

-- name: load_of_queue
SELECT running, CASE WHEN second = ?2 THEN begun ELSE 0 END FROM queue_load WHERE queue = ?1

-- name: add_running
INSERT INTO queue_load (queue, running, second, begun) VALUES (?1, ?2, 0, 0) ON CONFLICT DO UPDATE SET running = running + ?2

-- name: add_begun
INSERT INTO queue_load (queue, running, second, begun) VALUES (?1, 0, ?2, ?3)
ON CONFLICT DO UPDATE SET begun = CASE WHEN second = ?2 THEN begun ELSE 0 END + ?3, second = ?2

-- name: drop_idle_queue
-- A queue without a limit of claims per second.
DELETE FROM queue_load WHERE queue = ? AND running = 0 AND second = 0

-- name: drop_idle_queues
DELETE FROM queue_load WHERE running = 0 AND second < ?

-- name: list_all
{instance_columns} WHERE i.key < ? ORDER BY i.key DESC LIMIT ?

-- name: list_status
{instance_columns} WHERE i.status = ? AND i.key < ? ORDER BY i.key DESC LIMIT ?

-- name: list_tenant_status
{instance_columns} WHERE i.tenant = ?1 AND i.status = ?2 AND i.key < ?3 AND (?5 IS NULL OR i.workflow = ?5) ORDER BY i.key DESC LIMIT ?4

-- name: key_of_id
-- 0 for an id that stays used although its instance was deleted.
SELECT key FROM instance WHERE tenant = ?1 AND id = ?2 UNION ALL SELECT 0 FROM used_id WHERE tenant = ?1 AND id = ?2

-- name: taken_ids
-- Which of these ids of a tenant key_of_id would find.
SELECT asked.column1 FROM (SELECT ? AS tenant) AS t, (VALUES {rows}) AS asked
WHERE EXISTS (SELECT 1 FROM instance WHERE instance.tenant = t.tenant AND instance.id = asked.column1)
    OR EXISTS (SELECT 1 FROM used_id WHERE used_id.tenant = t.tenant AND used_id.id = asked.column1)

-- name: used_id
SELECT workflow, status, ended_at FROM used_id WHERE tenant = ? AND id = ?

-- name: keep_id
INSERT INTO used_id (tenant, id, workflow, status, ended_at)
SELECT i.tenant, i.id, i.workflow, i.status, i.ended_at FROM instance i JOIN origin o ON o.instance = i.key
WHERE i.key = ? AND i.tenant > '' AND o.id_chosen IS NOT 0
ON CONFLICT DO NOTHING

-- name: forget_used_ids
DELETE FROM used_id WHERE (tenant, id) IN (SELECT tenant, id FROM used_id WHERE ended_at < ? ORDER BY ended_at LIMIT ?)

-- name: take_chore
-- A chore taken for longer than ?3 was taken before a clock was set back.
INSERT INTO chore (name, until) VALUES (?1, ?3)
ON CONFLICT DO UPDATE SET until = excluded.until WHERE until <= ?2 OR until > ?3

-- name: ended_of_tenant
SELECT key, stored_bytes + log_bytes FROM instance WHERE tenant = ? AND status IN ('complete', 'errored', 'terminated') LIMIT ?

-- name: last_key
SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'instance'), 0), coalesce((SELECT max(key) FROM instance), 0))

-- name: last_seq
SELECT last_seq FROM instance WHERE key = ?

-- name: insert_instance
INSERT OR ROLLBACK INTO instance (key, tenant, id, workflow, snippet, queue, status, generation, execution, last_seq, owner,
    due_at, wait_until, fresh, in_execution, log_bytes, stored_bytes, output, error, rollback, created_at, started_at, ended_at, paused_at,
    injected, clock, crashes, clock_at, flow_key, priority, held_until)
VALUES {rows}

-- name: insert_origin
INSERT OR ROLLBACK INTO origin (instance, class_name, params, control_hash, metadata, limits, nonce, id_chosen) VALUES {rows}

-- name: insert_alike
-- Many instances with the values of insert_instance that they share, each with its place, id and stored_bytes (alike.py).
INSERT OR ROLLBACK INTO instance (key, tenant, id, workflow, snippet, queue, status, generation, execution, last_seq, owner,
    due_at, wait_until, fresh, in_execution, log_bytes, stored_bytes, output, error, rollback, created_at, started_at, ended_at, paused_at,
    injected, clock, crashes, clock_at, flow_key, priority, held_until)
SELECT ?1 + column1, ?2, column2, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, column3, ?18, ?19, ?20, ?21, ?22, ?23, ?24,
    ?25, ?26, ?27, ?28, ?29, ?30, ?31
FROM (VALUES {rows})

-- name: insert_alike_origins
-- The same with the values of insert_origin, and the place, params and nonce of each.
INSERT OR ROLLBACK INTO origin (instance, class_name, params, control_hash, metadata, limits, nonce, id_chosen)
SELECT ?1 + column1, ?2, column2, ?4, ?5, ?6, column3, ?8 FROM (VALUES {rows})

-- name: insert_alike_events
-- Their first events, between whose halves the params stand.
INSERT OR ROLLBACK INTO event (instance, seq, at, type, execution, step, data)
SELECT instance, 1, ?3, ?4, NULL, NULL, ?5 || coalesce(params, 'null') || ?6 FROM origin WHERE instance BETWEEN ?1 AND ?2

-- name: insert_child
INSERT OR ROLLBACK INTO child (instance, parent, kind) VALUES (?, ?, ?)

-- name: insert_awaited
INSERT OR ROLLBACK INTO awaited (instance, parent, name, count, started_seq, cascades) VALUES (?, ?, ?, ?, ?, ?)

-- name: children
-- Without values: an instance may have a hundred children with a megabyte each.
SELECT key, id, status, execution, started_at, ended_at, injected FROM instance
WHERE key IN (SELECT instance FROM child WHERE parent = ? AND kind = ? ORDER BY instance DESC LIMIT ?) ORDER BY key DESC

-- name: unfinished_child
SELECT 1 FROM child c JOIN instance i ON i.key = c.instance
WHERE c.parent = ? AND c.kind = ? AND i.ended_at IS NULL LIMIT 1

-- name: is_in_family
-- Whether it is a child that is waited for, or has such children.
SELECT 1 WHERE EXISTS (SELECT 1 FROM awaited WHERE instance = ?1) OR EXISTS (SELECT 1 FROM awaited WHERE parent = ?1)

-- name: part_children
DELETE FROM child WHERE parent = ? AND kind = ?

-- name: delete_child
DELETE FROM child WHERE instance = ?1 OR parent = ?1

-- name: update_instance
UPDATE instance SET snippet = ?, status = ?, generation = ?, execution = ?, last_seq = ?, owner = ?, due_at = ?, wait_until = ?, fresh = ?,
    in_execution = ?, log_bytes = ?, stored_bytes = ?, output = ?, error = ?, rollback = ?, started_at = ?, ended_at = ?,
    paused_at = ?, injected = ?, clock = ?, crashes = ?, clock_at = ?, held_until = ?
WHERE key = ?

-- name: grow_instances
-- The common commit: no indexed column has changed, so no index is written. For many instances at once.
UPDATE instance SET last_seq = grown.column2, log_bytes = grown.column3, stored_bytes = grown.column4, clock = grown.column5, clock_at = grown.column6
FROM (VALUES {rows}) AS grown WHERE key = grown.column1

-- name: grow_instance
-- The same for one instance, for which the statement above takes thirty times as long.
UPDATE instance SET last_seq = ?2, log_bytes = ?3, stored_bytes = ?4, clock = ?5, clock_at = ?6 WHERE key = ?1

-- name: insert_events
INSERT OR ROLLBACK INTO event (instance, seq, at, type, execution, step, data) VALUES {rows}

-- name: events_after
SELECT seq, at, type, execution, step, data FROM event WHERE instance = ? AND seq > ? ORDER BY seq LIMIT ?

-- name: events_of_types_after
SELECT seq, at, type, execution, step, data FROM event
WHERE instance = ? AND seq > ? AND type IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?

-- name: step_columns
-- A step in the order that columns.step_row() reads.
kind, name, count, status, started_seq, line, config, attempt, failures, losses, until, event_type, rollback, rollback_config,
    rollback_attempt, rollback_failures, rollback_until, result_bytes, error, started_clock, ended_seq, clock, received,
    result_seq

-- name: result_columns
-- A step's result, from its row or its event. A BLOB: as text, a large one would be decoded for nothing.
result,
    (SELECT CAST(event.data AS BLOB) FROM event WHERE event.instance = step.instance AND event.seq = step.result_seq)

-- name: steps
-- Unordered: to sort, SQLite would copy every result once more. One JSON array of the columns: of thousands of steps, to
-- make a Python object of each column of each row would take most of the time.
SELECT json_array({step_columns}), {result_columns} FROM step WHERE instance = ? AND generation = ?

-- name: steps_without_results
SELECT {step_columns}, NULL, NULL FROM step WHERE instance = ? AND generation = ? ORDER BY started_seq

-- name: step_keys
SELECT kind, name, count FROM step WHERE instance = ? AND generation = ?

-- name: pending_rollback
SELECT 1 FROM step WHERE instance = ? AND generation = ? AND rollback = 'pending' LIMIT 1

-- name: open_steps
SELECT {step_columns}, NULL, NULL FROM step INDEXED BY step_open
WHERE instance = ? AND (status IN ('running', 'retrying', 'open') OR rollback IN ('running', 'retrying'))

-- name: open_waits
SELECT instance, {step_columns}, NULL, NULL FROM step INDEXED BY step_open
WHERE instance IN (SELECT value FROM json_each(?)) AND kind = 'wait' AND status = 'open'
    AND (status IN ('running', 'retrying', 'open') OR rollback IN ('running', 'retrying'))
ORDER BY instance DESC, started_seq LIMIT ?

-- name: step
SELECT {step_columns}, {result_columns} FROM step
WHERE instance = ? AND generation = ? AND kind = ? AND name = ? AND count = ?

-- name: step_without_result
SELECT {step_columns}, NULL, NULL FROM step
WHERE instance = ? AND generation = ? AND kind = ? AND name = ? AND count = ?

-- name: insert_steps
INSERT OR ROLLBACK INTO step (instance, generation, kind, name, count, status, started_seq, line, config, attempt, failures, losses,
    until, event_type, rollback, rollback_config, rollback_attempt, rollback_failures, rollback_until, result_bytes, error,
    started_clock, ended_seq, clock, received, result_seq, result)
VALUES {rows}

-- name: update_step
UPDATE step SET status = ?, attempt = ?, failures = ?, losses = ?, until = ?, rollback = ?, rollback_attempt = ?,
    rollback_failures = ?, rollback_until = ?, error = ?, ended_seq = ?, clock = ?, received = ?, result_bytes = ?,
    result_seq = ?
WHERE instance = ? AND generation = ? AND kind = ? AND name = ? AND count = ?

-- name: end_step
-- As update_step, with the result that the row stores; later updates, by a rollback, do not write it again.
UPDATE step SET status = ?, attempt = ?, failures = ?, losses = ?, until = ?, rollback = ?, rollback_attempt = ?,
    rollback_failures = ?, rollback_until = ?, error = ?, ended_seq = ?, clock = ?, received = ?, result_bytes = ?,
    result_seq = ?, result = ?
WHERE instance = ? AND generation = ? AND kind = ? AND name = ? AND count = ?

-- name: delete_steps
DELETE FROM step WHERE instance = ?

-- name: drop_steps
-- A restart deletes the steps from a seq on ...
DELETE FROM step WHERE instance = ? AND started_seq >= ?

-- name: clear_parts
-- Parts that no result stands for: one that does is counted with their bytes.
DELETE FROM step_part WHERE instance = ?1 AND NOT EXISTS (
    SELECT 1 FROM step s WHERE s.instance = ?1 AND s.kind = 'do' AND s.name = step_part.name AND s.count = step_part.count
    AND s.result_bytes > (
        SELECT sum(length(p.data)) FROM step_part p WHERE p.instance = ?1 AND p.name = s.name AND p.count = s.count
    )
)

-- name: copy_parts
-- A fork has those of the steps that it begins with.
INSERT OR ROLLBACK INTO step_part (instance, name, count, number, data)
SELECT ?, name, count, number, data FROM step_part WHERE instance = ? AND name = ? AND count = ?

-- name: keep_steps
-- ... and moves the others to the new generation.
UPDATE step SET generation = ? WHERE instance = ?

-- name: inbox
SELECT seq, at, type, payload FROM inbox WHERE instance = ? ORDER BY seq

-- name: insert_inbox
INSERT OR ROLLBACK INTO inbox (instance, seq, at, type, payload) VALUES {rows}

-- name: delete_inbox_row
DELETE FROM inbox WHERE instance = ? AND seq = ?

-- name: delete_inbox
DELETE FROM inbox WHERE instance = ?

-- name: delete_events
DELETE FROM event WHERE instance = ?

-- name: delete_origin
DELETE FROM origin WHERE instance = ?

-- name: delete_instance
DELETE FROM instance WHERE key = ?

-- name: ended_before
SELECT key, stored_bytes + log_bytes FROM instance WHERE ended_at < ? ORDER BY ended_at LIMIT ?

-- name: ended_before_chaos
SELECT key, stored_bytes + log_bytes FROM instance INDEXED BY instance_ended_chaos
WHERE ended_at IS NOT NULL AND queue >= 'chaos:' AND queue < 'chaos;' AND ended_at < ? ORDER BY ended_at LIMIT ?

-- name: retained_until
SELECT key, stored_bytes + log_bytes FROM instance INDEXED BY instance_retained
WHERE ended_at IS NOT NULL AND wait_until IS NOT NULL AND wait_until < ? ORDER BY wait_until LIMIT ?

-- name: woken
-- Due instances that ran before, longest due first, except those of excluded queues and workflows (JSON arrays).
SELECT key, queue, tenant, workflow FROM instance INDEXED BY instance_woken
WHERE owner IS NULL AND fresh = 0 AND due_at IS NOT NULL AND due_at <= ?
    AND queue NOT IN (SELECT value FROM json_each(?))
    AND (tenant, workflow) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
ORDER BY due_at LIMIT ?

-- name: fresh_of_lane
-- The oldest new instances of one lane: a queue's instances of one workflow.
SELECT key FROM instance INDEXED BY instance_fresh
WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL AND queue = ? AND tenant = ? AND workflow = ?
ORDER BY key LIMIT ?

-- name: any_prior
SELECT 1 FROM instance INDEXED BY instance_prior
WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL AND priority > 0 LIMIT 1

-- name: prior_of_lane
-- Those of them that have a priority, in the order of their turn.
SELECT -priority, key FROM instance INDEXED BY instance_prior
WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL AND priority > 0 AND queue = ? AND tenant = ? AND workflow = ?
ORDER BY priority DESC, key LIMIT ?

-- name: first_lane
SELECT queue, tenant, workflow FROM instance INDEXED BY instance_fresh
WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL
ORDER BY queue, tenant, workflow LIMIT 1

-- name: next_lane
-- Three parts, each of which is one index seek: a comparison of row values would scan the whole current lane.
SELECT queue, tenant, workflow FROM (
    SELECT * FROM (
        SELECT queue, tenant, workflow FROM instance INDEXED BY instance_fresh
        WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL AND queue = ?1 AND tenant = ?2 AND workflow > ?3
        ORDER BY workflow LIMIT 1
    )
    UNION ALL
    SELECT * FROM (
        SELECT queue, tenant, workflow FROM instance INDEXED BY instance_fresh
        WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL AND queue = ?1 AND tenant > ?2
        ORDER BY tenant, workflow LIMIT 1
    )
    UNION ALL
    SELECT * FROM (
        SELECT queue, tenant, workflow FROM instance INDEXED BY instance_fresh
        WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL AND queue > ?1
        ORDER BY queue, tenant, workflow LIMIT 1
    )
) LIMIT 1

-- name: next_due
SELECT min(due_at) FROM (
    SELECT min(due_at) AS due_at FROM instance INDEXED BY instance_woken
    WHERE owner IS NULL AND fresh = 0 AND due_at IS NOT NULL
    UNION ALL
    SELECT * FROM (
        SELECT due_at FROM instance INDEXED BY instance_fresh
        WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL LIMIT 1
    )
    UNION ALL
    SELECT min(at) FROM flow_look
)

-- name: next_due_after
-- New instances are due at once, so none of them falls due later, unless it is held.
SELECT min(due_at) FROM (
    SELECT min(due_at) AS due_at FROM instance INDEXED BY instance_woken
    WHERE owner IS NULL AND fresh = 0 AND due_at IS NOT NULL AND due_at > ?1
    UNION ALL
    SELECT min(at) FROM flow_look WHERE at > ?1
)

-- name: add_look
INSERT OR IGNORE INTO flow_look (at, instance, tenant, workflow, flow_key) VALUES (?, ?, ?, ?, ?)

-- name: due_looks
SELECT at, instance, tenant, workflow, flow_key FROM flow_look WHERE at <= ? ORDER BY at LIMIT ?

-- name: drop_look
DELETE FROM flow_look WHERE at = ? AND instance = ?

-- name: next_look
SELECT min(at) FROM flow_look

-- name: begun_of_key
SELECT count(*) FROM instance INDEXED BY instance_flow
WHERE tenant = ? AND workflow = ? AND flow_key = ? AND flow_key IS NOT NULL AND ended_at IS NULL AND held_until IS NULL

-- name: held_of_key
SELECT key FROM instance INDEXED BY instance_held
WHERE tenant = ? AND workflow = ? AND flow_key = ? AND flow_key IS NOT NULL AND held_until IS NOT NULL
    AND held_until <= ? AND status = 'queued'
ORDER BY priority DESC, key LIMIT ?

-- name: ahead_of_key
-- Of those that are held, how many have their turn before one of this priority and key.
SELECT count(*) FROM (
    SELECT 1 FROM instance INDEXED BY instance_held
    WHERE tenant = ?1 AND workflow = ?2 AND flow_key = ?3 AND flow_key IS NOT NULL AND held_until IS NOT NULL
        AND held_until <= ?4 AND status = 'queued' AND (priority > ?5 OR (priority = ?5 AND key < ?6)) LIMIT ?7
)

-- name: ahead_in_queue
-- Of those that wait for a worker, how many go before one of this lane, priority and key: those that woke by ?4, and, unless it is one of
-- them, the more urgent and the older of its lane.
SELECT (
    SELECT count(*) FROM (
        SELECT 1 FROM instance INDEXED BY instance_woken
        WHERE owner IS NULL AND fresh = 0 AND due_at IS NOT NULL AND due_at <= ?4 AND key <> ?6 LIMIT ?7
    )
) + (
    SELECT count(*) FROM (
        SELECT 1 FROM instance INDEXED BY instance_prior
        WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL AND priority > 0 AND queue = ?1 AND tenant = ?2 AND workflow = ?3
            AND ?8 AND (priority > ?5 OR (priority = ?5 AND key < ?6)) LIMIT ?7
    )
) + (
    SELECT count(*) FROM (
        SELECT 1 FROM instance INDEXED BY instance_fresh
        WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL AND priority = 0 AND queue = ?1 AND tenant = ?2 AND workflow = ?3
            AND ?8 AND ?5 = 0 AND key < ?6 LIMIT ?7
    )
)

-- name: living_of_key
-- The unfinished instance of a key; with ?4 only one that has not started.
SELECT id FROM instance INDEXED BY instance_flow
WHERE tenant = ?1 AND workflow = ?2 AND flow_key = ?3 AND flow_key IS NOT NULL AND ended_at IS NULL
    AND (NOT ?4 OR held_until IS NOT NULL)
ORDER BY key LIMIT 1

-- name: starts_of_key
SELECT at FROM flow_start WHERE tenant = ? AND workflow = ? AND flow_key = ? AND at > ? ORDER BY at

-- name: add_start
INSERT OR IGNORE INTO flow_start (tenant, workflow, flow_key, at, instance) VALUES (?, ?, ?, ?, ?)

-- name: drop_starts
DELETE FROM flow_start WHERE at < ?

-- name: update_params
UPDATE origin SET params = ? WHERE instance = ?

-- name: oldest_due
-- The earliest due_at without an owner. New instances are indexed by lane, so this seeks the first of each lane: one index seek per lane,
-- however many instances it has (see next_lane).
WITH RECURSIVE head (key) AS (
    SELECT * FROM (
        SELECT key FROM instance INDEXED BY instance_fresh
        WHERE owner IS NULL AND fresh = 1 AND due_at IS NOT NULL
        ORDER BY queue, tenant, workflow, key LIMIT 1
    )
    UNION ALL
    SELECT coalesce(
        (
            SELECT n.key FROM instance n INDEXED BY instance_fresh
            WHERE n.owner IS NULL AND n.fresh = 1 AND n.due_at IS NOT NULL
                AND n.queue = i.queue AND n.tenant = i.tenant AND n.workflow > i.workflow
            ORDER BY n.workflow, n.key LIMIT 1
        ),
        (
            SELECT n.key FROM instance n INDEXED BY instance_fresh
            WHERE n.owner IS NULL AND n.fresh = 1 AND n.due_at IS NOT NULL AND n.queue = i.queue AND n.tenant > i.tenant
            ORDER BY n.tenant, n.workflow, n.key LIMIT 1
        ),
        (
            SELECT n.key FROM instance n INDEXED BY instance_fresh
            WHERE n.owner IS NULL AND n.fresh = 1 AND n.due_at IS NOT NULL AND n.queue > i.queue
            ORDER BY n.queue, n.tenant, n.workflow, n.key LIMIT 1
        )
    )
    FROM head JOIN instance i ON i.key = head.key
    LIMIT ?
)
SELECT min(due_at) FROM (
    SELECT min(i.due_at) AS due_at FROM head JOIN instance i ON i.key = head.key
    UNION ALL
    SELECT min(due_at) FROM instance INDEXED BY instance_woken WHERE owner IS NULL AND fresh = 0 AND due_at IS NOT NULL
)

-- name: tally
SELECT tenant, queue, status, n FROM tally

-- name: add_tally
INSERT INTO tally (tenant, queue, status, n) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, queue, status) DO UPDATE SET n = n + excluded.n

-- name: drop_tally
DELETE FROM tally WHERE tenant = ? AND queue = ? AND status = ? AND n = 0

-- name: insert_snippet
INSERT INTO snippet (id, source, params, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING

-- name: has_snippet
SELECT 1 FROM snippet WHERE id = ?

-- name: snippet
SELECT id, source, params, created_at FROM snippet WHERE id = ?

-- name: put_key
INSERT INTO kv (tenant, instance, key, value) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, instance, key) DO UPDATE SET value = excluded.value

-- name: send_message
INSERT INTO message (tenant, queue, id, sent_at, due_at, content_type, body) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING

-- name: insert_tag
INSERT INTO tag (tenant, tag, instance) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- name: delete_tags
DELETE FROM tag WHERE (tenant, tag, instance) IN (
    SELECT i.tenant, t.value, i.key FROM instance i, json_each(i.injected, '$.tags') t WHERE i.key = ?
)

-- name: delete_key
DELETE FROM kv WHERE tenant = ? AND instance = ? AND key = ?

-- name: delete_own_keys
-- Keys and values of an instance without a tenant; see tables.scope_of().
DELETE FROM kv WHERE tenant = '' AND instance = ?

-- name: delete_own_usage
DELETE FROM kv_usage WHERE tenant = '' AND instance = ?

-- name: delete_own_messages
-- Messages of an instance without a tenant; see messages.owner_of().
DELETE FROM message WHERE tenant IN (SELECT '/' || instance || '/' || coalesce(nonce, '') FROM origin WHERE instance = ?)

-- name: delete_own_queue
DELETE FROM message_queue WHERE tenant IN (SELECT '/' || instance || '/' || coalesce(nonce, '') FROM origin WHERE instance = ?)

-- name: delete_own_tokens
-- What the instance has used of its own limit; see engine/ai/budget.py.
DELETE FROM usage WHERE limit_name = 'ai_tokens_per_run' AND key IN (CAST(?1 AS TEXT), CAST(?1 AS TEXT) || '/own')

-- name: delete_parts
DELETE FROM step_part WHERE instance = ?

-- name: delete_effects
DELETE FROM effect WHERE instance = ?

-- The rest is used by secrets_at_rest.py, at the start of a server and in operators' commands.

-- name: secrets_keys
SELECT id FROM secrets_key ORDER BY newest DESC, id

-- name: note_secrets_key
INSERT INTO secrets_key (id, newest) VALUES (?, 1) ON CONFLICT DO UPDATE SET newest = 1

-- name: no_secrets_key_is_newest
UPDATE secrets_key SET newest = 0

-- name: forget_secrets_keys
DELETE FROM secrets_key

-- name: forget_secrets_key
DELETE FROM secrets_key WHERE id = ?

-- name: plain_secrets
SELECT tenant, name, value FROM tenant_secret WHERE encrypted = 0

-- name: encrypted_secrets
SELECT tenant, name, value FROM tenant_secret WHERE encrypted = 1

-- name: set_secret_again
UPDATE tenant_secret SET value = ?, encrypted = 1 WHERE tenant = ? AND name = ?

-- name: secrets_of_key
SELECT tenant, name FROM tenant_secret WHERE encrypted = 1 AND value LIKE ? ORDER BY tenant, name

-- name: forget_secrets_of_key
DELETE FROM tenant_secret WHERE encrypted = 1 AND value LIKE ?

-- name: plain_keys_of_tenants_with_secrets
SELECT tenant, instance, key, value FROM kv WHERE tenant IN (SELECT tenant FROM tenant_secret) AND value NOT LIKE ?

-- name: encrypted_keys
SELECT tenant, instance, key, value FROM kv WHERE value LIKE ?

-- name: set_key_again
UPDATE kv SET value = ? WHERE tenant = ? AND instance = ? AND key = ?

-- name: plain_results
-- Of one instance: the instances are listed first, since the table may be large.
SELECT generation, {step_columns}, result, NULL FROM step
WHERE instance = ? AND result IS NOT NULL AND result NOT LIKE ? AND (config LIKE '%"sensitive"%'
    OR instance IN (SELECT key FROM instance WHERE tenant IN (SELECT tenant FROM tenant_secret)))

-- name: instances_with_plain_results
SELECT DISTINCT instance FROM step WHERE config LIKE '%"sensitive"%'
UNION SELECT key FROM instance WHERE tenant IN (SELECT tenant FROM tenant_secret)

-- name: encrypted_results
SELECT generation, {step_columns}, result, NULL FROM step WHERE instance = ? AND result LIKE ?

-- name: instances_with_encrypted_results
SELECT DISTINCT instance FROM step WHERE result LIKE ?

-- name: set_result_again
UPDATE step SET result = ?, result_bytes = ?
WHERE instance = ? AND generation = ? AND kind = ? AND name = ? AND count = ? AND started_seq = ?
