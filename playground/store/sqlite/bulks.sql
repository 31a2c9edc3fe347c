-- All statements on operations on many instances, by name (bulks.py).

-- name: columns
tenant, id, operation, filter, state, matched, done, unchanged, failed, failures, part, created_at, ended_at, due_at

-- name: put
-- Counted in the statement that writes, so that two concurrent calls cannot both take the last place.
INSERT INTO bulk ({columns}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14
WHERE (SELECT count(*) FROM bulk WHERE tenant = ?1 AND state = 'running') < ?15

-- name: put_part
INSERT INTO bulk_part (tenant, id, number, targets) VALUES (?1, ?2, ?3, ?4)

-- name: old
SELECT id FROM bulk WHERE tenant = ?1 AND state <> 'running' ORDER BY created_at DESC, id LIMIT -1 OFFSET ?2

-- name: delete
DELETE FROM bulk WHERE tenant = ?1 AND id = ?2

-- name: delete_parts
DELETE FROM bulk_part WHERE tenant = ?1 AND id = ?2

-- name: get
SELECT {columns} FROM bulk WHERE tenant = ?1 AND id = ?2

-- name: of_tenant
SELECT {columns} FROM bulk WHERE tenant = ?1 ORDER BY created_at DESC, id

-- name: take_due
UPDATE bulk SET due_at = ?2 WHERE (tenant, id) IN (
    SELECT tenant, id FROM bulk INDEXED BY bulk_due WHERE due_at IS NOT NULL AND due_at <= ?1 ORDER BY due_at LIMIT 1
) RETURNING {columns}

-- name: take_back
UPDATE bulk SET due_at = created_at WHERE due_at IS NOT NULL

-- name: part
SELECT targets FROM bulk_part WHERE tenant = ?1 AND id = ?2 AND number = ?3

-- name: advance
-- One that was stopped meanwhile stays so, with what was done.
UPDATE bulk SET done = ?5, unchanged = ?6, failed = ?7, failures = ?8, part = ?9,
    state = CASE WHEN state = 'running' THEN ?4 ELSE state END,
    ended_at = CASE WHEN state = 'running' THEN ?10 ELSE ended_at END,
    due_at = CASE WHEN state = 'running' THEN ?11 END
WHERE tenant = ?1 AND id = ?2 AND part = ?3 AND state <> 'done'

-- name: stop
UPDATE bulk SET state = 'stopped', ended_at = ?3, due_at = NULL WHERE tenant = ?1 AND id = ?2 AND state = 'running'

-- name: next_due
SELECT due_at FROM bulk INDEXED BY bulk_due WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1
