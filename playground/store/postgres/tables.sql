-- All statements on the tables that are not journals (tables.py) and on secrets at rest (secrets_at_rest.py), by name.

-- name: key_value
SELECT value FROM kv WHERE tenant = $1 AND instance = $2 AND key = $3

-- name: keys_between
SELECT key FROM kv WHERE tenant = $1 AND instance = $2 AND key > $3 AND key >= $4 AND key < $5 ORDER BY key LIMIT $6

-- name: kv_bytes
-- Summed up when it is asked for: a counter would have to be right however many nodes write one key.
SELECT coalesce(sum(64 + octet_length(key) + octet_length(value)), 0)::bigint FROM kv WHERE tenant = $1 AND instance = $2

-- name: effects
SELECT number, at, kind, key, data, step, attempt, execution, asked FROM effect WHERE instance = $1 ORDER BY number

-- name: effects_edition
SELECT count(*), coalesce(sum(asked), 0) FROM effect WHERE instance = $1

-- name: lock_instances_effects
-- The row of the inputs stands for the ledger, so that no commit of the instance waits.
SELECT 1 FROM origin WHERE instance = $1 FOR UPDATE

-- name: ask_effect_again
UPDATE effect SET asked = asked + 1 WHERE tenant = $1 AND scope = $2 AND kind = $3 AND key = $4
RETURNING number, at, kind, key, data, step, attempt, execution, asked

-- name: insert_effect
INSERT INTO effect (instance, number, at, kind, tenant, scope, key, data, step, attempt, execution, asked)
SELECT $1, n.taken + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1
FROM (SELECT count(*) AS taken FROM effect WHERE instance = $1) n WHERE n.taken < $11
ON CONFLICT (tenant, scope, kind, key) WHERE key IS NOT NULL DO NOTHING
RETURNING number, at, kind, key, data, step, attempt, execution, asked

-- name: count_effects
SELECT count(*) FROM effect WHERE instance = $1

-- name: awaited_columns
-- The last four: whether the child has ended, or is gone, whether its parent still waits for it, has a node, and has
-- others that it waits for.
a.instance, a.parent, a.name, a.count, a.started_seq, a.cascades, c.tenant, c.id, c.key IS NULL OR c.ended_at IS NOT NULL,
    p.ended_at IS NULL AND EXISTS (
        SELECT FROM step_open s WHERE s.instance = p.key AND s.generation = p.generation AND s.kind = 'child'
            AND s.name = a.name AND s.count = a.count AND s.started_seq = a.started_seq AND s.status = 'open'
    ), p.owner IS NOT NULL,
    EXISTS (SELECT 1 FROM awaited o WHERE o.parent = a.parent AND o.instance <> a.instance)

-- name: with_both
awaited a LEFT JOIN instance c ON c.key = a.instance LEFT JOIN instance p ON p.key = a.parent

-- name: awaited_of
-- Of these children, and of these parents.
SELECT {awaited_columns} FROM {with_both} WHERE a.instance IN (
    SELECT instance FROM awaited WHERE instance = ANY($1::bigint[])
    UNION SELECT instance FROM awaited WHERE parent = ANY($1::bigint[])
) ORDER BY a.instance

-- name: awaited_after
SELECT {awaited_columns} FROM {with_both} WHERE a.instance > $1 ORDER BY a.instance LIMIT $2

-- name: insert_awaited
INSERT INTO awaited (instance, parent, name, count, started_seq, cascades) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING

-- name: forget_awaited
DELETE FROM awaited WHERE instance = ANY($1::bigint[])

-- name: tenant
SELECT name, created_at, trigger_hash FROM tenant WHERE name = $1

-- name: tenants_after
SELECT name, created_at, trigger_hash FROM tenant WHERE name > $1 ORDER BY name LIMIT $2

-- name: insert_tenant
INSERT INTO tenant (name, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: lock_tenant
SELECT 1 FROM tenant WHERE name = $1 FOR UPDATE

-- name: set_trigger
UPDATE tenant SET trigger_hash = $2 WHERE name = $1

-- name: key_of_hash
SELECT tenant, number, name, created_at, revoked_at FROM tenant_key WHERE hash = $1

-- name: keys_of_tenant
SELECT tenant, number, name, created_at, revoked_at FROM tenant_key WHERE tenant = $1 ORDER BY number

-- name: insert_tenant_key
INSERT INTO tenant_key (tenant, number, name, hash, created_at)
VALUES ($1, (SELECT coalesce(max(number), 0) + 1 FROM tenant_key WHERE tenant = $1), $2, $3, $4) RETURNING number

-- name: revoke_tenant_key
UPDATE tenant_key SET revoked_at = coalesce(revoked_at, $3) WHERE tenant = $1 AND number = $2 RETURNING 1

-- name: newest_version
SELECT number, id, source, class_name, created_at, warm, workflow, options FROM tenant_version
WHERE tenant = $1 AND workflow = $2 ORDER BY number DESC LIMIT 1

-- name: version_of_id
SELECT number, id, source, class_name, created_at, warm, workflow, options FROM tenant_version
WHERE tenant = $1 AND id = $2 ORDER BY number DESC LIMIT 1

-- name: versions_before
SELECT number, id, ''::bytea, class_name, created_at, warm, workflow, options FROM tenant_version
WHERE tenant = $1 AND workflow = $2 AND number < $3 ORDER BY number DESC LIMIT $4

-- name: newest_versions
SELECT number, id, ''::bytea, class_name, created_at, warm, workflow, options FROM tenant_version v
WHERE tenant = $1 AND number = (SELECT max(number) FROM tenant_version w WHERE w.tenant = v.tenant AND w.workflow = v.workflow)
ORDER BY workflow

-- name: insert_version
INSERT INTO tenant_version (tenant, workflow, number, id, source, class_name, created_at, warm, options)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: count_versions
SELECT count(*) FROM tenant_version WHERE tenant = $1

-- name: count_workflows
SELECT count(DISTINCT workflow) FROM tenant_version WHERE tenant = $1

-- name: has_other_versions
SELECT 1 FROM tenant_version WHERE tenant = $1 AND workflow = $2 AND number < $3 LIMIT 1

-- name: lock_versions
-- Waits for the creates that share one of them, and keeps others from sharing them.
SELECT number FROM tenant_version WHERE tenant = $1 ORDER BY workflow, number FOR UPDATE

-- name: needs_version
SELECT 1 FROM instance WHERE ended_at IS NULL AND tenant > '' AND tenant = $1 AND snippet = $2 LIMIT 1

-- name: versions_not_needed
-- The oldest first, except each workflow's newest.
SELECT workflow, number FROM tenant_version v
WHERE tenant = $1 AND number < (SELECT max(number) FROM tenant_version w WHERE w.tenant = $1 AND w.workflow = v.workflow)
    AND (
        NOT EXISTS (
            SELECT 1 FROM instance i WHERE i.ended_at IS NULL AND i.tenant > '' AND i.tenant = $1 AND i.snippet = v.id
        )
        OR EXISTS (SELECT 1 FROM tenant_version w WHERE w.tenant = $1 AND w.id = v.id AND w.number > v.number)
    )
ORDER BY created_at, workflow, number LIMIT $2

-- name: delete_versions
DELETE FROM tenant_version v USING unnest($2::text[], $3::integer[]) AS gone (workflow, number)
WHERE v.tenant = $1 AND v.workflow = gone.workflow AND v.number = gone.number

-- name: delete_version_of_id
DELETE FROM tenant_version WHERE tenant = $1 AND id = $2

-- name: delete_tenant_versions
DELETE FROM tenant_version WHERE tenant = $1

-- name: delete_tenant_keys
DELETE FROM tenant_key WHERE tenant = $1

-- name: delete_tenant_schedules
DELETE FROM schedule WHERE tenant = $1

-- name: delete_trigger
UPDATE tenant SET trigger_hash = NULL WHERE name = $1

-- name: delete_tenant_secrets
DELETE FROM tenant_secret WHERE tenant = $1

-- name: delete_tenant_values
DELETE FROM kv WHERE tenant = $1 AND instance = 0

-- name: delete_tenant_tokens
DELETE FROM usage WHERE limit_name = 'ai_tokens_per_day' AND key IN ($1, $1 || '/own')

-- name: delete_tenant_bulks
DELETE FROM bulk WHERE tenant = $1

-- name: delete_tenant_bulk_parts
DELETE FROM bulk_part WHERE tenant = $1

-- name: delete_tenant_services
DELETE FROM service WHERE tenant = $1

-- name: delete_tenant_effects
-- Those of its instances were deleted with them.
DELETE FROM effect WHERE tenant = $1 AND scope = 0

-- name: delete_tenant_used_ids
DELETE FROM used_id WHERE tenant = $1

-- name: delete_tenant_messages
DELETE FROM message WHERE tenant = $1

-- name: delete_tenant_queues
DELETE FROM message_queue WHERE tenant = $1

-- name: delete_tenant
DELETE FROM tenant WHERE name = $1

-- name: lock_guard
INSERT INTO guard (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name

-- name: set_secret
INSERT INTO tenant_secret (tenant, name, value, encrypted)
SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM tenant_secret WHERE tenant = $1 AND name <> $2) < $5
ON CONFLICT (tenant, name) DO UPDATE SET value = excluded.value, encrypted = excluded.encrypted RETURNING 1

-- name: delete_secret
DELETE FROM tenant_secret WHERE tenant = $1 AND name = $2 RETURNING 1

-- name: secrets
SELECT name, value, encrypted FROM tenant_secret WHERE tenant = $1 ORDER BY name

-- name: secret_names
SELECT name FROM tenant_secret WHERE tenant = $1 ORDER BY name

-- name: add_usage
INSERT INTO usage AS u (limit_name, key, unit, amount)
SELECT l, k, t, a FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS n (l, k, t, a) ORDER BY l, k, t
ON CONFLICT (limit_name, key, unit) DO UPDATE SET amount = u.amount + excluded.amount

-- name: lock_usage
-- Rows that are missing are made, so that there is something to lock; in order, so that nobody waits in a circle.
INSERT INTO usage AS u (limit_name, key, unit, amount)
SELECT l, k, t, 0 FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n (l, k, t) ORDER BY l, k, t
ON CONFLICT (limit_name, key, unit) DO UPDATE SET amount = u.amount
RETURNING limit_name, key, unit, amount

-- name: drop_usage
DELETE FROM usage WHERE ctid IN (
    SELECT u.ctid FROM usage u JOIN unnest($1::text[], $2::bigint[]) AS n (limit_name, unit)
        ON u.limit_name = n.limit_name AND u.unit < n.unit
    FOR UPDATE OF u SKIP LOCKED
)

-- name: usages
SELECT u.limit_name, u.key, u.unit, u.amount FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n (limit_name, key, unit)
JOIN usage u ON u.limit_name = n.limit_name AND u.key = n.key AND u.unit >= n.unit ORDER BY u.unit

-- name: usage
SELECT unit, amount FROM usage WHERE limit_name = $1 AND key = $2 AND unit >= $3 ORDER BY unit

-- name: probe
INSERT INTO usage AS u (limit_name, key, unit, amount) VALUES ('', '', 0, 0)
ON CONFLICT (limit_name, key, unit) DO UPDATE SET amount = 1 - u.amount

-- name: secrets_keys
SELECT id FROM secrets_key ORDER BY newest DESC, id

-- name: note_secrets_key
INSERT INTO secrets_key (id, newest) VALUES ($1, true) ON CONFLICT (id) DO UPDATE SET newest = true

-- name: no_secrets_key_is_newest
UPDATE secrets_key SET newest = false

-- name: forget_secrets_keys
DELETE FROM secrets_key

-- name: forget_secrets_key
DELETE FROM secrets_key WHERE id = $1

-- name: plain_secrets
SELECT tenant, name, value FROM tenant_secret WHERE NOT encrypted

-- name: encrypted_secrets
SELECT tenant, name, value FROM tenant_secret WHERE encrypted

-- name: set_secret_again
UPDATE tenant_secret SET value = $3, encrypted = true WHERE tenant = $1 AND name = $2 AND value = $4

-- name: secrets_of_key
SELECT tenant, name FROM tenant_secret WHERE encrypted AND value LIKE $1 ORDER BY tenant, name

-- name: forget_secrets_of_key
DELETE FROM tenant_secret WHERE encrypted AND value LIKE $1

-- name: plain_keys
SELECT tenant, instance, key, value FROM kv WHERE tenant IN (SELECT tenant FROM tenant_secret) AND value NOT LIKE $1

-- name: encrypted_keys
SELECT tenant, instance, key, value FROM kv WHERE value LIKE $1

-- name: set_key_again
UPDATE kv SET value = $4 WHERE tenant = $1 AND instance = $2 AND key = $3 AND value = $5

-- name: plain_results
SELECT s.instance, s.generation, s.kind, s.name, s.count, s.started_seq, s.result FROM step s
WHERE s.result IS NOT NULL AND s.result NOT LIKE $1 AND (s.config LIKE '%"sensitive"%'
    OR s.instance IN (SELECT key FROM instance WHERE tenant IN (SELECT tenant FROM tenant_secret)))

-- name: encrypted_results
SELECT s.instance, s.generation, s.kind, s.name, s.count, s.started_seq, s.result FROM step s WHERE s.result LIKE $1

-- name: set_result_again
UPDATE step SET result = $7, result_bytes = $8
WHERE instance = $1 AND generation = $2 AND kind = $3 AND name = $4 AND count = $5 AND started_seq = $6
