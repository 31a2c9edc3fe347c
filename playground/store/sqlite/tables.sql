-- All statements on the tables that are not journals (tables.py), by name.

-- name: key_value
SELECT value FROM kv WHERE tenant = ? AND instance = ? AND key = ?

-- name: keys_between
SELECT key FROM kv WHERE tenant = ? AND instance = ? AND key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?

-- name: kv_bytes
SELECT bytes FROM kv_usage WHERE tenant = ? AND instance = ?

-- name: effects
SELECT number, at, kind, key, data, step, attempt, execution, asked FROM effect WHERE instance = ? ORDER BY number

-- name: effects_edition
SELECT count(*), coalesce(sum(asked), 0) FROM effect WHERE instance = ?

-- name: effect_of_key
SELECT number, at, kind, key, data, step, attempt, execution, asked, instance FROM effect
WHERE tenant = ? AND scope = ? AND kind = ? AND key = ?

-- name: ask_effect_again
UPDATE effect SET asked = asked + 1 WHERE instance = ? AND number = ?

-- name: count_effects
SELECT count(*) FROM effect WHERE instance = ?

-- name: insert_effect
-- Only of an existing instance: an effect recorded after its instance was deleted would stay for ever.
INSERT INTO effect (instance, number, at, kind, tenant, scope, key, data, step, attempt, execution, asked)
SELECT key, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 1 FROM instance WHERE key = ?1

-- name: tenant
SELECT name, created_at, trigger_hash FROM tenant WHERE name = ?

-- name: tenants_after
SELECT name, created_at, trigger_hash FROM tenant WHERE name > ? ORDER BY name LIMIT ?

-- name: insert_tenant
INSERT INTO tenant (name, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING

-- name: set_trigger
UPDATE tenant SET trigger_hash = ? WHERE name = ?

-- name: key_of_hash
SELECT tenant, number, name, created_at, revoked_at FROM tenant_key WHERE hash = ?

-- name: keys_of_tenant
SELECT tenant, number, name, created_at, revoked_at FROM tenant_key WHERE tenant = ? ORDER BY number

-- name: insert_tenant_key
INSERT INTO tenant_key (tenant, number, name, hash, created_at)
VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM tenant_key WHERE tenant = ?1), ?2, ?3, ?4) RETURNING number

-- name: revoke_tenant_key
UPDATE tenant_key SET revoked_at = coalesce(revoked_at, ?) WHERE tenant = ? AND number = ?

-- name: newest_version
SELECT number, id, source, class_name, created_at, warm, workflow, options FROM tenant_version
WHERE tenant = ? AND workflow = ? ORDER BY number DESC LIMIT 1

-- name: version_of_id
SELECT number, id, source, class_name, created_at, warm, workflow, options FROM tenant_version
WHERE tenant = ? AND id = ? ORDER BY number DESC LIMIT 1

-- name: versions_before
SELECT number, id, '', class_name, created_at, warm, workflow, options FROM tenant_version
WHERE tenant = ? AND workflow = ? AND number < ? ORDER BY number DESC LIMIT ?

-- name: newest_versions
SELECT number, id, '', class_name, created_at, warm, workflow, options FROM tenant_version v
WHERE tenant = ? AND number = (SELECT max(number) FROM tenant_version w WHERE w.tenant = v.tenant AND w.workflow = v.workflow)
ORDER BY workflow

-- name: insert_version
INSERT INTO tenant_version (tenant, workflow, number, id, source, class_name, created_at, warm, options)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: count_versions
SELECT count(*) FROM tenant_version WHERE tenant = ?

-- name: count_workflows
SELECT count(DISTINCT workflow) FROM tenant_version WHERE tenant = ?

-- name: has_other_versions
SELECT 1 FROM tenant_version WHERE tenant = ? AND workflow = ? AND number < ? LIMIT 1

-- name: needs_version
SELECT 1 FROM instance INDEXED BY instance_needs WHERE ended_at IS NULL AND tenant > '' AND tenant = ? AND snippet = ? LIMIT 1

-- name: versions_not_needed
-- The oldest first, except each workflow's newest. A version whose id was repeated under a later number (before schema version 7) is found there.
SELECT workflow, number FROM tenant_version v
WHERE tenant = ?1 AND number < (SELECT max(number) FROM tenant_version w WHERE w.tenant = ?1 AND w.workflow = v.workflow)
    AND (
        NOT EXISTS (
            SELECT 1 FROM instance i INDEXED BY instance_needs
            WHERE i.ended_at IS NULL AND i.tenant > '' AND i.tenant = ?1 AND i.snippet = v.id
        )
        OR EXISTS (SELECT 1 FROM tenant_version w WHERE w.tenant = ?1 AND w.id = v.id AND w.number > v.number)
    )
ORDER BY created_at, workflow, number LIMIT ?2

-- name: delete_version_of_number
DELETE FROM tenant_version WHERE tenant = ? AND workflow = ? AND number = ?

-- name: delete_version_of_id
DELETE FROM tenant_version WHERE tenant = ? AND id = ?

-- name: delete_tenant_versions
DELETE FROM tenant_version WHERE tenant = ?

-- name: delete_tenant_keys
DELETE FROM tenant_key WHERE tenant = ?

-- name: delete_tenant_schedules
DELETE FROM schedule WHERE tenant = ?

-- name: delete_trigger
UPDATE tenant SET trigger_hash = NULL WHERE name = ?

-- name: delete_tenant_secrets
DELETE FROM tenant_secret WHERE tenant = ?

-- name: delete_tenant_values
DELETE FROM kv WHERE tenant = ? AND instance = 0

-- name: delete_tenant_usage
DELETE FROM kv_usage WHERE tenant = ? AND instance = 0

-- name: delete_tenant_tokens
DELETE FROM usage WHERE limit_name = 'ai_tokens_per_day' AND key IN (?1, ?1 || '/own')

-- name: delete_tenant_bulks
DELETE FROM bulk WHERE tenant = ?

-- name: delete_tenant_bulk_parts
DELETE FROM bulk_part WHERE tenant = ?

-- name: delete_tenant_services
DELETE FROM service WHERE tenant = ?

-- name: delete_tenant_effects
-- Those of its instances were deleted with them.
DELETE FROM effect WHERE tenant = ? AND scope = 0

-- name: delete_tenant_used_ids
DELETE FROM used_id WHERE tenant = ?

-- name: delete_tenant_messages
DELETE FROM message WHERE tenant = ?

-- name: delete_tenant_queues
DELETE FROM message_queue WHERE tenant = ?

-- name: delete_tenant
DELETE FROM tenant WHERE name = ?

-- name: set_secret
-- Counted in the statement that writes, so that two concurrent calls cannot both take the last place.
INSERT INTO tenant_secret (tenant, name, value, encrypted)
SELECT ?1, ?2, ?3, ?4 WHERE (SELECT count(*) FROM tenant_secret WHERE tenant = ?1 AND name <> ?2) < ?5
ON CONFLICT DO UPDATE SET value = excluded.value, encrypted = excluded.encrypted

-- name: delete_secret
DELETE FROM tenant_secret WHERE tenant = ? AND name = ?

-- name: secrets
SELECT name, value, encrypted FROM tenant_secret WHERE tenant = ? ORDER BY name

-- name: secret_names
SELECT name FROM tenant_secret WHERE tenant = ? ORDER BY name

-- name: add_usage
INSERT INTO usage (limit_name, key, unit, amount) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET amount = amount + excluded.amount

-- name: usage_of_unit
SELECT amount FROM usage WHERE limit_name = ? AND key = ? AND unit = ?

-- name: probe
-- A row that belongs to no limit: a page is written and nothing changes.
INSERT INTO usage (limit_name, key, unit, amount) VALUES ('', '', 0, 0) ON CONFLICT DO UPDATE SET amount = 1 - amount

-- name: drop_usage
DELETE FROM usage WHERE limit_name = ? AND unit < ?

-- name: usage
SELECT unit, amount FROM usage WHERE limit_name = ? AND key = ? AND unit >= ? ORDER BY unit

-- name: awaited_columns
-- The last four: whether the child has ended, or is gone, whether its parent still waits for it, has a node, and has
-- others that it waits for.
a.instance, a.parent, a.name, a.count, a.started_seq, a.cascades, c.tenant, c.id, c.key IS NULL OR c.ended_at IS NOT NULL,
    p.ended_at IS NULL AND EXISTS (
        SELECT 1 FROM step s WHERE s.instance = p.key AND s.generation = p.generation AND s.kind = 'child'
            AND s.name = a.name AND s.count = a.count AND s.started_seq = a.started_seq AND s.status = 'open'
    ), p.owner IS NOT NULL,
    EXISTS (SELECT 1 FROM awaited o WHERE o.parent = a.parent AND o.instance <> a.instance)

-- name: with_both
awaited a LEFT JOIN instance c ON c.key = a.instance LEFT JOIN instance p ON p.key = a.parent

-- name: awaited_of
-- Of these children, and of these parents.
SELECT {awaited_columns} FROM {with_both} WHERE a.instance IN (
    SELECT instance FROM awaited WHERE instance IN (SELECT value FROM json_each(?1))
    UNION SELECT instance FROM awaited WHERE parent IN (SELECT value FROM json_each(?1))
) ORDER BY a.instance

-- name: awaited_after
SELECT {awaited_columns} FROM {with_both} WHERE a.instance > ? ORDER BY a.instance LIMIT ?

-- name: insert_awaited
INSERT OR IGNORE INTO awaited (instance, parent, name, count, started_seq, cascades) VALUES (?, ?, ?, ?, ?, ?)

-- name: forget_awaited
DELETE FROM awaited WHERE instance IN (SELECT value FROM json_each(?))
